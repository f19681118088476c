# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4. Finding an equation from its solutions
#
# **Question.** Somebody films a drop of dye in a stream and hands us the frames. How fast does the
# stream flow, how fast does the dye spread, and how sure can we be?
#
# **Equation.** Advection and diffusion,
#
# $$u_t = D\,(u_{xx} + u_{yy}) - a\,u_x - b\,u_y,$$
#
# with unknown numbers $D$, $a$, $b$. This is an inverse problem: the solution is given, the
# equation is asked for.

# %% [markdown]
# ## By hand, in NumPy
#
# First we need frames. Whoever makes them with the same program that later looks for the parameters
# tests nothing: the errors of the two cancel. So the secret film is the exact solution, by
# Fourier's method, on a grid three times as fine. Every wave $e^{i(k x + l y)}$ is multiplied by
# $e^{\lambda t}$ with $\lambda = -D(k^2 + l^2) - i(a k + b l)$. Then there is noise, of standard
# deviation 0.02, which is hardly visible.

# %%
import matplotlib.pyplot as plt
import numpy as np

SECRET = {"D": 0.02, "a": 0.5, "b": -0.3}
N, FINER, NOISE = 20, 3, 0.02
h = 1 / N
times = np.linspace(0, 0.32, 9)
rng = np.random.default_rng(1)

fine = np.arange(FINER * N) * h / FINER
xs, ys = np.meshgrid(fine, fine)
drop = np.exp(-30 * ((xs - 0.35) ** 2 + (ys - 0.6) ** 2))
drop += 0.4 * np.sin(2 * np.pi * xs) * np.cos(2 * np.pi * ys)

waves = 2 * np.pi * np.fft.fftfreq(FINER * N, 1 / (FINER * N))
kx, ky = np.meshgrid(waves, waves)
growth = -SECRET["D"] * (kx**2 + ky**2) - 1j * (SECRET["a"] * kx + SECRET["b"] * ky)
film = np.array([np.fft.ifft2(np.exp(growth * t) * np.fft.fft2(drop)).real for t in times])
clean = film[:, ::FINER, ::FINER]
film_noise = rng.normal(size=clean.shape)
noisy = clean + NOISE * film_noise

figure, panels = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained")
for panel, frame in zip(panels, (0, 4, 8), strict=True):
    image = panel.pcolormesh(fine[::FINER], fine[::FINER], noisy[frame], vmin=-0.5, vmax=1)
    panel.set(title=f"t = {times[frame]:.2f}", xlabel="x", ylabel="y", aspect="equal")
figure.colorbar(image, ax=panels)
plt.show()

# %% [markdown]
# The obvious method: replace all derivatives by differences of the frames. Then the equation says
# $\partial_t u = D\,(\Delta_h u) + a\,(-\partial_x u) + b\,(-\partial_y u)$ at every node of every
# frame: thousands of linear equations for three unknowns, solved by least squares.


# %%
def differences(frames):
    """∂_t u at the inner frames, and the three columns Δu, −u_x, −u_y."""
    rate = (frames[2:] - frames[:-2]) / (times[2] - times[0])
    u = frames[1:-1]
    east, west = np.roll(u, -1, axis=2), np.roll(u, 1, axis=2)
    north, south = np.roll(u, -1, axis=1), np.roll(u, 1, axis=1)
    laplacian = (east + west + north + south - 4 * u) / h**2
    return rate, [laplacian, (west - east) / (2 * h), (south - north) / (2 * h)]


def regression(frames):
    rate, columns = differences(frames)
    matrix = np.stack([column.ravel() for column in columns], axis=1)
    return np.linalg.lstsq(matrix, rate.ravel(), rcond=None)[0]


levels = np.array([0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03])
by_hand = np.array([regression(clean + level * film_noise) for level in levels])
print("noise     D       a       b")
for level, row in zip(levels, by_hand, strict=True):
    print(f"{level:.3f}", " ".join(f"{number:7.4f}" for number in row))

# %% [markdown]
# Without noise this is right to a few per cent; the rest is the error of the differences.
# With noise 0.02 an eighth of D is left. That is not bad luck but a bias: the second
# difference divides the noise by $h^2$, so that the column $\Delta_h u$ is mostly noise, of
# variance $20\,\sigma^2/h^4$, and noise in a column pulls its coefficient towards 0. More frames do
# not help.

# %%
rate, columns = differences(noisy)
size_of_noise = np.sqrt(20) * NOISE / h**2
print(
    f"Δu of the noisy frames: {columns[0].std():.0f}, of which the noise alone {size_of_noise:.0f}"
)
assert abs(differences(NOISE * film_noise)[1][0].std() / size_of_noise - 1) < 0.05

# %% [markdown]
# ## With pdenet
#
# pdenet has the same columns: the right side of a network with D = 1, a = b = 0, and so on.

# %%
import sympy as sp
import torch

import pdenet as pn

torch.set_num_threads(1)  # on grids as small as these, threads cost more than they save

t, x, y = pn.coordinates("t x y")
u = pn.fields("u", (t, x, y))
D, a, b = sp.symbols("D a b")
dye = pn.PDE(sp.Eq(u.diff(t), D * (u.diff(x, 2) + u.diff(y, 2)) - a * u.diff(x) - b * u.diff(y)))
grid = pn.Grid(x=(0, 1, N), y=(0, 1, N))
ring = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())

made = []
for name in ("D", "a", "b"):
    unit = {"D": 0, "a": 0, "b": 0, name: 1}
    one = dye.to_network(grid, ring, values=unit, dt=1e-4, space="central2", dtype="float64")
    made.append(one.right_side(torch.tensor(noisy[1:-1, None])).numpy().ravel())
by_net = np.linalg.lstsq(np.stack(made, axis=1), rate.ravel(), rcond=None)[0]
print("regression by hand:", regression(noisy), " with the network's columns:", by_net)
np.testing.assert_allclose(by_net, regression(noisy), rtol=1e-11)  # 2,800 rows, rounded to 1e-16

# %% [markdown]
# Better: differentiate nothing that is noisy. Start from an initial state, take the network's
# steps through the times of all frames, and compare *solutions*,
#
# $$L(D, a, b, u_0) = \frac1N \sum \bigl(\text{prediction} - \text{observation}\bigr)^2.$$
#
# The gradient goes back through all time steps. `pn.fit` does that. The first frame is noisy too,
# so the initial state is an unknown like the others, `initial="estimated"`. And our grid is coarse,
# so stencils of fourth order are worth their price. The time step is that of the network, fixed: it
# has to be stable for all values that the search may try, and `bounds=` keeps it there. (The limit
# here is $D\,\Delta t\cdot\frac{32}{3}/h^2 \le 2$, that is $D \le 0.035$.)

# %%
net = dye.to_network(
    grid,
    ring,
    values={"D": 0.01, "a": 0, "b": 0},  # where the search starts
    trainable=["D", "a", "b"],
    dt=0.04 / 3,  # three steps a frame
    stepper="heun",
    space="central4",
    dtype="float64",
)
bounds = {"D": (0, 0.03)}  # beyond, this dt is unstable
fit = pn.fit(net, noisy[:, None], times=times, bounds=bounds, initial="estimated", tolerance=1e-7)
print(fit)
print(net.to_equation())  # the network now holds what was found

# %% [markdown]
# The interval of each parameter should hold the secret with a probability of 95 %, so for three
# parameters one miss now and then is no surprise. Four standard errors would be.
#
# (The value printed as the noise is estimated too, from what the fit leaves over.)

# %%
for name, secret in SECRET.items():
    distance = (fit.values[name] - secret) / fit.errors[name]
    low, high = fit.interval(name)
    print(f"{name}: {low:.4f} … {high:.4f}, secret {secret}: {distance:+.1f} standard errors away")
    assert abs(distance) < 4
assert abs(fit.noise["u"] / NOISE - 1) < 0.05  # its own uncertainty is 1/√(2 · 3200) = 1.3 %

figure, panel = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
panel.plot(levels, by_hand[:, 0], "o-", label="differences and least squares")
panel.errorbar(
    NOISE, fit.values["D"], 2 * fit.errors["D"], fmt="s", capsize=4, label="fit of solutions"
)
panel.axhline(SECRET["D"], color="0.6", linestyle="--", label="secret")
panel.set(xlabel="noise of the frames", ylabel="D found", ylim=(0, 0.025))
panel.legend()
plt.show()
assert by_hand[5, 0] < 0.5 * SECRET["D"]

# %% [markdown]
# ## What data cannot tell
#
# In $u_t = D\,(u_{xx} + u_{yy}) + \text{birth}\; u - \text{death}\; u$ two numbers do the same
# thing. No film in the world can tell them apart, and a search finds *some* pair. `fit` looks for
# directions in which the parameters can move without a change of the prediction, and says so.

# %%
import warnings

rng = np.random.default_rng(2)
birth, death = sp.symbols("birth death")
colony = pn.PDE(sp.Eq(u.diff(t), D * (u.diff(x, 2) + u.diff(y, 2)) + birth * u - death * u))
secret = {"D": 0.02, "birth": 1.5, "death": 0.7}
start = 1 + 0.5 * drop[None, ::FINER, ::FINER]
options = {"dt": 0.01, "stepper": "heun"}

watched = colony.to_solver(grid, ring, values=secret, **options).run(start, until=0.5, every=0.1)
counted = watched.states[1:] + 0.01 * rng.normal(size=watched.states[1:].shape)
data = pn.Trajectory(watched.times[1:], counted, initial=watched.states[0], start=0.0)

guess = {"D": 0.01, "birth": 1, "death": 0.5}
colony_net = colony.to_network(
    grid, ring, values=guess, trainable=list(guess), dtype="float64", **options
)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", pn.FitWarning)
    blurred = pn.fit(colony_net, data)
print(blurred)
print("\nFitWarning:", caught[0].message)

# %% [markdown]
# What is known is the difference. With one of the two given, `parameters=` fits the other.

# %%
found = blurred.values["birth"] - blurred.values["death"]
print(f"birth − death = {found:.4f}; true 0.8")
assert set(blurred.undetermined) == {"birth", "death"}
# Its standard error is about 3e-4: 2,880 values with noise 0.01 that change by t · u = 0.3 a unit.
assert abs(found - 0.8) < 4 * 3e-4

with torch.no_grad():
    colony_net.quantities()["death"].fill_(0.7)
print(pn.fit(colony_net, data, parameters=["D", "birth"]))

# %% [markdown]
# ## A field
#
# Heat in a plate of unknown material: $u_t = \partial_x(k\,u_x) + \partial_y(k\,u_y)$ with a
# function $k(x, y)$. A trainable coefficient function has one number at every node, 441 here. Two
# experiments are filmed, from a finer simulation again. The plate is insulated.
#
# The data say little of single nodes, so we add what we believe: neighbouring nodes differ by about
# $\delta = 0.002$. For the likelihood that is a normal distribution of differences, and a
# penalty in the loss:
#
# $$L = \frac1N\sum\frac{(\text{prediction} - \text{observation})^2}{\sigma^2}
#   + w \sum_{\text{neighbours}} (k_p - k_q)^2,\qquad w = \frac{1}{N\,\delta^2},$$
#
# with $N$ the number of measured values.

# %%

rng = np.random.default_rng(3)
k = sp.Function("k")(x, y)
plate = pn.PDE(sp.Eq(u.diff(t), pn.D(k * u.diff(x), x) + pn.D(k * u.diff(y), y)))
insulated = pn.Boundary(x=pn.Neumann(0), y=pn.Neumann(0))
coarse, finer = (pn.Grid(x=(0, 1, points), y=(0, 1, points)) for points in (21, 41))

material = 0.02 + 0.03 * sp.exp(-30 * ((x - 0.35) ** 2 + (y - 0.6) ** 2))
material += 0.01 * sp.tanh(10 * (x - sp.Rational(7, 10)))
truth = np.broadcast_to(sp.lambdify((x, y), material)(*coarse.mesh(insulated)), coarse.shape)

plate_solver = plate.to_solver(finer, insulated, values={"k": material}, stepper="rk4")
experiments = []
for p, q in ((3, 2), (2, 3)):
    heated = sp.cos(p * sp.pi * x) * sp.cos(q * sp.pi * y)
    run = plate_solver.run(heated, until=0.4, every=0.1)
    seen = run.states[..., ::2, ::2]
    measured = seen[1:] + 0.01 * rng.normal(size=seen[1:].shape)
    experiments.append(pn.Trajectory(run.times[1:], measured, initial=seen[0], start=0.0))

plate_net = plate.to_network(
    coarse,
    insulated,
    values={"k": np.full(coarse.shape, 0.02)},
    trainable="k",
    dt=0.01,
    stepper="euler",
    dtype="float64",
)
num_values = sum(one.states.size for one in experiments)
plate_fit = pn.fit(
    plate_net,
    experiments,
    noise=0.01,
    tolerance=1e-6,
    bounds={"k": (0, None)},
    penalty=pn.smoothness("k", 1 / (num_values * 0.002**2)),
)
print(plate_fit)

figure, panels = plt.subplots(1, 3, figsize=(11.5, 3.2), layout="constrained")
shown = {
    "truth": (truth, {"vmin": 0, "vmax": 0.045}),
    "found": (plate_fit.values["k"], {"vmin": 0, "vmax": 0.045}),
    "standard error": (plate_fit.errors["k"], {"vmin": 0, "cmap": "magma"}),
}
for panel, (title, (values, limits)) in zip(panels, shown.items(), strict=True):
    image = panel.pcolormesh(*coarse.nodes(insulated), values, **limits)
    panel.set(title=title, xlabel="x", ylabel="y", aspect="equal")
    figure.colorbar(image, ax=panel)
plt.show()

miss = np.abs(plate_fit.values["k"] - truth)
print(
    f"error: mean {miss.mean():.5f}, largest {miss.max():.5f}, of a field up to {truth.max():.3f}"
)
# Within two standard errors at 95 % of the nodes, were the belief exact; it is one, so 85 %.
assert (miss < 2 * plate_fit.errors["k"]).mean() > 0.85
assert miss.mean() < 0.001

# %% [markdown]
# The standard error is largest where k is large, for there the heat is soon gone, and at the
# walls, where neither experiment has a gradient across. The bump is a little too flat: that is the
# belief in smoothness.

# %% [markdown]
# ## A kernel that knows nothing
#
# At last we do not even tell which derivatives there are. The equation is $u_t = K * u$ with a 3×3
# kernel $K$ that starts at zero. We take the network of the heat equation with its isotropic
# stencil, which is one 3×3 kernel, and wipe it out. The film is of heat with $D = 0.02$, exact
# again, with noise 0.05. The time step is small: a kernel that it makes unstable would amplify the
# shortest waves until they resemble the noise, and a search that comes so far finds that better.

# %%
M = 32
rng = np.random.default_rng(4)
kx, ky = np.meshgrid(*2 * [np.fft.fftfreq(2 * M, 1 / (2 * M))])
smooth = np.fft.fft2(rng.normal(size=(2 * M, 2 * M))) * np.exp(-(kx**2 + ky**2) / 2)
smooth /= np.fft.ifft2(smooth).real.std()
moments_of_time = np.linspace(0, 0.2, 6)
decay = -0.02 * 4 * np.pi**2 * (kx**2 + ky**2)
heat_film = np.array([np.fft.ifft2(np.exp(decay * s) * smooth).real for s in moments_of_time])
heat_film = heat_film[:, None, ::2, ::2]
heat_noisy = heat_film + 0.05 * rng.normal(size=heat_film.shape)

blank = pn.catalogue["heat"].to_network(
    pn.Grid(x=(0, 1, M), y=(0, 1, M)),
    ring,
    values={"D": 1},
    space="nine_point",
    stepper="heun",
    dt=0.005,
    trainable="stencils",
    dtype="float64",
)
with torch.no_grad():
    blank.quantities()["stencils.xx"].zero_()
print("before:", blank.to_equation())

heat_data = pn.Trajectory(moments_of_time[1:], heat_noisy[1:], initial=heat_film[0], start=0.0)
kernel_fit = pn.fit(blank, heat_data)
kernel = kernel_fit.values["stencils.xx"]
print(kernel_fit)
print("\n100 × the kernel:", np.round(100 * kernel, 2), sep="\n")

# %% [markdown]
# That does not look like 0.02 times the five-point Laplacian, which would be 2 around −8. But in a
# smooth film kernels that differ in a fourth derivative only do the same, and entries say little.
# `to_equation()` says which derivatives the kernel is a sum of: all nine that fit in 3×3, since
# noise leaves none at exactly zero. Which of them are real? The coefficients are moments of the
# kernel (tutorial 3), linear in its entries, so the covariance of the fit gives each a standard
# error.

# %%
reading = blank.to_equation()
right_side = reading.pde.equations[0].rhs.expand()
powers = np.array([[1, 1, 1], [-1, 0, 1], [0.5, 0, 0.5]])  # kᵖ/p! for k = −1, 0, 1

for p in range(3):
    for q in range(3):
        weights = np.outer(powers[q], powers[p]) * M ** (2 - p - q)  # rows are y
        number = (weights * kernel).sum()
        error = np.sqrt(weights.ravel() @ kernel_fit.covariance @ weights.ravel())
        derivative = sp.Derivative(u, (x, p), (y, q)).doit()
        read = float(right_side.coeff(derivative))
        name = "u" + "_" * (p + q > 0) + "x" * p + "y" * q
        verdict = "real" if abs(number) > 4 * error else "nothing"
        print(f"{name:7s} {number:+.6f} ± {error:.6f}  {verdict}")
        # Moments are differences of entries of size 0.1; M² of them are 1000 times their rounding.
        assert abs(read - number) < 1e-10
        assert (verdict == "real") == (name in ("u_xx", "u_yy"))
        if verdict == "real":
            assert abs(number - 0.02) < 5 * error

# %% [markdown]
# Two derivatives are real, with the same coefficient up to their standard errors: the kernel has
# found $u_t = 0.02\,(u_{xx} + u_{yy})$. With less noise another error would come to light, that of
# a 3×3 kernel, of which standard errors know nothing; see exercise 2.

# %% [markdown]
# ## Exercise
#
# 1. Repeat the first fit with `initial="given"`. The intervals become shorter. Are they better?
#    Draw 20 films with other noise and count how often each holds the secret.
# 2. Divide the noise in the first film by ten. From which noise on is the error of the
#    stencil, `space="central2"`, larger than the standard error? The intervals do not know of it.
# 3. Film one experiment of the plate only, or one whose initial state is the same everywhere along
#    y. What becomes of the standard error, and why?
# 4. Let the free kernel watch `noisy`, the film of the dye. Which derivatives are real now?
# 5. Fit the kernel with `stencils="moment"`, from the stencil of D = 0.03. Which entries of the
#    moment matrix can no longer be wrong? Why is the D that is found wrong, and what has to
#    be trainable beside the kernel?
