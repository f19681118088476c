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
# # 2. Boundaries and stability
#
# **Question.** A simulation can go wrong in two ways that a newcomer meets on the first day: it
# explodes, or it quietly obeys another wall than the one intended. When does it explode? And what
# exactly does a wall do?
#
# **Equation.** Heat in a rod of length 1,
#
# $$u_t = D\,u_{xx},\qquad u(0, t) = u(1, t) = 0,$$
#
# both ends held at temperature 0. The rod starts with $u = \sin \pi x$, which keeps its shape and
# decays as $e^{-\pi^2 D t}$ (put it into the equation).

# %% [markdown]
# ## By hand, in NumPy
#
# Forward Euler and central differences. Everything hangs on one number, $r = D\,\Delta t/h^2$. Here
# is the same rod with $r = 0.45$ and with $r = 0.55$.

# %%
import matplotlib.pyplot as plt
import numpy as np

N, D = 41, 1.0
h = 1 / (N - 1)
nodes = np.linspace(0, 1, N)


def rod(r, steps):
    u = np.sin(np.pi * nodes)
    u[[0, -1]] = 0
    for _ in range(steps):
        u[1:-1] = u[1:-1] + r * (u[2:] - 2 * u[1:-1] + u[:-2])
    return u


figure, panels = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for panel, r in zip(panels, (0.45, 0.55), strict=True):
    for steps in (0, 100, 200, 212):
        panel.plot(nodes, rod(r, steps), ".-", label=f"{steps} steps")
    panel.set(title=f"r = {r}", xlabel="x", ylabel="temperature u")
    panel.legend(fontsize="small")
plt.show()

# %% [markdown]
# With $r = 0.55$ a sawtooth grows out of nothing: out of the rounding errors of the sine. In a few
# more steps it is all there is.

# %% [markdown]
# ## Where the bound comes from
#
# Let a single wave $e^{i k x_j}$ go through one step. With $\theta = kh$ it is multiplied by
#
# $$g(\theta) = 1 + r\,(e^{i\theta} - 2 + e^{-i\theta}) = 1 - 4 r \sin^2(\theta/2).$$
#
# No wave grows when $|g| \le 1$ for all $\theta$ (von Neumann). The sawtooth, $\theta = \pi$, is
# the worst: $1 - 4r \ge -1$, that is
#
# $$\Delta t \le \frac{h^2}{2D}.$$

# %%
theta = np.linspace(0, np.pi, 200)
figure, panel = plt.subplots(figsize=(6, 3.2), layout="constrained")
for r in (0.25, 0.45, 0.5, 0.55):
    panel.plot(theta, 1 - 4 * r * np.sin(theta / 2) ** 2, label=f"r = {r}")
panel.axhspan(-1, 1, color="0.92")
panel.set(xlabel="θ = k h (long waves left, sawtooth right)", ylabel="growth factor g")
panel.legend(fontsize="small")
plt.show()

# %% [markdown]
# ## pdenet knows the bound
#
# It derives $g$ from the equation, the stencils and the time stepper, and looks for its largest
# value. Asked for a step above the bound, it refuses before the first step, and says what would
# work.

# %%
import sympy as sp

import pdenet as pn

t, x = pn.coordinates("t x")
u = pn.fields("u", (t, x))

heat = pn.PDE(sp.Eq(u.diff(t), u.diff(x, 2)))
grid = pn.Grid(x=(0, 1, N))
cold = pn.Boundary(x=pn.Dirichlet(0))
start = sp.sin(sp.pi * x)

bound = heat.to_solver(grid, cold, stepper="euler").bound()
print(f"bound {bound.dt:.8f} ({bound.method}); h²/2D = {h**2 / (2 * D):.8f}")
assert abs(bound.dt / (h**2 / (2 * D)) - 1) < 1e-6

try:
    heat.to_solver(grid, cold, stepper="euler", dt=0.55 * h**2)
except pn.StabilityError as refusal:
    print("\nStabilityError:", refusal)

# %% [markdown]
# Below the bound the two programs give the same numbers. And above it too, if pdenet is told not to
# look: `stability="ignore"`. But rounding errors explode as well, and those of two programs differ;
# so the two agree up to rounding errors times what the sawtooth has grown by.

# %%
for r, mode in ((0.45, "refuse"), (0.55, "ignore")):
    solver = heat.to_solver(grid, cold, stepper="euler", dt=r * h**2, stability=mode)
    state = solver.initial_state(start)
    for _ in range(100):
        state = solver.step(state)
    difference = np.abs(state[0] - rod(r, 100)).max()
    print(f"r = {r}: largest difference from the program by hand {difference:.1e}")
    # A rounding error of 1e-16 in each step, multiplied by |g| = |1 − 4 · 0.55| = 1.2 in each later
    # one, makes 1e-16 · 1.2¹⁰⁰/0.2 = 4e-8; below the bound it makes 100 · 1e-16.
    assert difference < (1e-14 if mode == "refuse" else 4e-8)

# %% [markdown]
# Left alone, the explosion ends in infinity. pdenet looks at every step whether the state is still
# finite, and stops at the step where it is not.

# %%
try:
    heat.to_solver(grid, cold, stepper="euler", dt=0.55 * h**2, stability="ignore").run(
        start, until=3.0
    )
except pn.BlowUpError as blow_up:
    print("BlowUpError:", blow_up)
    print("last good frame up to", f"{np.abs(blow_up.last_good).max():.1e}")

# %% [markdown]
# ## The well-known bounds
#
# The same search, over other equations and steppers, gives what the textbooks have, each for its
# own reason. "h" is the spacing, "d" the dimension.

# %%
catalogue, periodic = pn.catalogue, pn.Periodic()
around_1, around_2 = pn.Boundary(x=periodic), pn.Boundary(x=periodic, y=periodic)
line, square = pn.Grid(x=(0, 1, 40)), pn.Grid(x=(0, 1, 40), y=(0, 1, 40))
h40 = 1 / 40
advection = catalogue.build("advection", dimension=1)
both = catalogue.build("advection_diffusion", dimension=1)
rotation, disc = catalogue["rotation"], pn.Grid(x=(-1, 1, 41), y=(-1, 1, 41))
dark = pn.Boundary(x=pn.Dirichlet(0), y=pn.Dirichlet(0))
sprung = pn.Boundary(x=pn.Robin(8, 1, 0))
alpha = 8 * h  # a h / b

table = [
    ("heat, d = 2, Euler: h²/4D", catalogue["heat"], square, around_2, {"D": 1}, {}, h40**2 / 4),
    ("wave, d = 2, leapfrog: h/(c√2)", catalogue["wave"], square, around_2, {}, {}, h40 / 2**0.5),
    (
        "advection, central, RK4: 2√2 h/c",
        *(advection, line, around_1, {"c": 1}),
        *({"space": "central2", "stepper": "rk4"}, 8**0.5 * h40),
    ),
    (
        "advection, central, SSP-RK3: √3 h/c",
        *(advection, line, around_1, {"c": 1}),
        *({"space": "central2", "stepper": "ssprk3"}, 3**0.5 * h40),
    ),
    (
        "advection–diffusion, Euler: 2D/c²",
        *(both, line, around_1, {"c": 1, "D": 0.01}),
        *({"space": "central2", "stepper": "euler"}, 2 * 0.01),
    ),
    (
        "rotation, upwind: 1/max(|x|/h + |y|/h)",
        *(rotation, disc, dark, {"omega": 1}),
        *({"space": "upwind", "stepper": "euler"}, 0.05 / 2),
    ),
    (
        "heat, Robin, α = ha/b: h²/D(1 + √(1 + α²))",
        *(heat, grid, sprung, {}, {"stepper": "euler"}),
        h**2 / (1 + (1 + alpha**2) ** 0.5),
    ),
]
for name, pde, where, walls, values, options, expected in table:
    found = pde.to_solver(where, walls, values=values, **options).bound().dt
    print(f"{name:44s} {expected:.8f}   pdenet {found:.8f}")
    # 1e-6: that is what the search over wave numbers promises.
    assert abs(found / expected - 1) < 1e-6

# %% [markdown]
# Some combinations are stable at no step at all: forward Euler with central differences on pure
# advection multiplies a wave by $1 + i\lambda\,\Delta t$, whose modulus is always above 1.

# %%
try:
    advection.to_solver(line, around_1, space="central2", stepper="euler", dt=1e-9)
except pn.StabilityError as refusal:
    print("StabilityError:", refusal)

# %% [markdown]
# ## What a wall does
#
# The stencil of the last node reaches one node too far. A boundary condition says what stands
# there, in the *ghost node*:
#
# - `Dirichlet(0)`: the end node itself is 0; nothing has to be known beyond it.
# - `Neumann(0)`, insulated: the ghost is the mirror image, $u_{-1} = u_1$.
# - `ZeroPadding()`: the ghost is 0. It is what `conv2d(padding=1)` does in a ConvNet.
#
# By hand the three are one line each.


# %%
def hand_step(u, wall):
    padded = np.pad(u, 1)  # ZeroPadding: NumPy pads with zeros too
    if wall == "Neumann":
        padded[0], padded[-1] = u[1], u[-2]
    stepped = u + 0.45 * ((padded[2:] + padded[:-2]) - 2 * u)
    if wall == "Dirichlet":
        stepped[0] = stepped[-1] = 0
    return stepped


conditions = {
    "Dirichlet": pn.Dirichlet(0),
    "Neumann": pn.Neumann(0),
    "ZeroPadding": pn.ZeroPadding(),
}
warm = sp.sin(sp.pi * x) + x * (1 - x) ** 2 * 4
figure, panels = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained", sharey=True)
for panel, (name, condition) in zip(panels, conditions.items(), strict=True):
    solver = heat.to_solver(grid, pn.Boundary(x=condition), stepper="euler", dt=0.45 * h**2)
    state = solver.initial_state(warm)
    by_hand = state[0].copy()
    for step in range(401):
        if step % 100 == 0:
            panel.plot(nodes, state[0], color=plt.get_cmap("viridis")(step / 450))
        state, by_hand = solver.step(state), hand_step(by_hand, name)
    panel.set(title=name, xlabel="x", ylabel="temperature u")
    # 401 steps that round a few times each, to 1.1e-16 of values below 2.
    assert np.abs(state[0] - by_hand).max() < 401 * 8 * np.finfo(float).eps
plt.show()

# %% [markdown]
# ## ZeroPadding is not Dirichlet
#
# They look alike. But the zero of `ZeroPadding` stands one spacing *outside* the grid, so its rod
# is longer, $1 + 2h$. Against the rod of length 1 its error is of first order: halving $h$ only
# halves it. If that is what you want, move the grid inwards by one spacing; then the walls stand at
# 0 and 1, and the error is of second order, as with Dirichlet.

# %%
END = 0.05
intervals = (10, 20, 40, 80)
cases = {
    "Dirichlet": (pn.Dirichlet(0), 0, "o-"),
    "ZeroPadding": (pn.ZeroPadding(), 0, "o-"),
    "ZeroPadding, grid moved inwards": (pn.ZeroPadding(), 1, "x--"),
}
figure, panel = plt.subplots(figsize=(6.4, 4), layout="constrained")
for name, (condition, inwards, style) in cases.items():
    errors = []
    for n in intervals:
        finer = pn.Grid(x=(inwards / n, 1 - inwards / n, n + 1 - 2 * inwards))
        solver = heat.to_solver(finer, pn.Boundary(x=condition), stepper="euler")
        found = solver.run(start, until=END, every=END)
        exact = np.sin(np.pi * found.nodes[0]) * np.exp(-(np.pi**2) * END)
        errors.append(np.abs(found.final[0] - exact).max())
    order = np.log2(errors[-2] / errors[-1])
    panel.loglog([1 / n for n in intervals], errors, style, label=f"{name}: order {order:.2f}")
    print(f"{name:32s}", "  ".join(f"{e:.2e}" for e in errors), f"  order {order:.2f}")
    # On the last pair of grids the next term of the error is below 5 % of the first.
    assert abs(order - (1 if name == "ZeroPadding" else 2)) < 0.1
panel.set(xlabel="spacing h", ylabel=f"largest error at t = {END}")
panel.legend()
plt.show()

# %% [markdown]
# ## Exercise
#
# 1. Which $r$ is the largest for forward Euler in three dimensions? Derive it from $g$, then ask
#    `catalogue.build("heat", dimension=3)`.
# 2. Backward heat, `sp.Eq(u.diff(t), -u.diff(x, 2))`: what does pdenet say, and why does no small
#    step help?
# 3. With `pn.Robin(a, 1, 0)` the bound falls below that of `pn.Dirichlet(0)` as `a` grows. At which
#    `a` has it halved? Run it above the bound with `stability="ignore"`: where does it explode
#    first?
# 4. A radiating rod loses heat in proportion to its temperature at the right end only. Write its
#    `Boundary`, with a pair `(low, high)`.
