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
# # 1. From an equation to a picture
#
# **Question.** A plate is cold but for one warm spot. What is the temperature a moment later, and
# how do we know that the answer is right?
#
# **Equation.** Fourier's law: heat flows down the slope of the temperature $u$, so that
#
# $$u_t = D\,(u_{xx} + u_{yy}),$$
#
# where $D$, the diffusivity, has the unit length²/time. The plate is the square $[-1, 1]^2$, and it
# is periodic: what leaves on the right enters on the left.

# %% [markdown]
# ## By hand, in NumPy
#
# Put $N$ nodes at distance $h$ on each axis. Two Taylor series, one to each side, add up to
#
# $$u_{xx}(x) = \frac{u(x+h) - 2u(x) + u(x-h)}{h^2} + O(h^2),$$
#
# and one in time gives $u(t + \Delta t) = u(t) + \Delta t\, u_t(t) + O(\Delta t^2)$. That is
# forward Euler with central differences. `np.roll` moves the whole plate by one node, so the
# program is the formula. Arrays are indexed `(y, x)`: rows are $y$.

# %%
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

N, D, STEPS, END = 64, 0.1, 64, 0.1
h, dt = 2 / N, END / STEPS

nodes = -1 + h * np.arange(N)
by_hand = np.exp(-40 * (nodes[None, :] ** 2 + nodes[:, None] ** 2))

for _ in range(STEPS):
    u_xx = (np.roll(by_hand, -1, axis=1) - 2 * by_hand + np.roll(by_hand, 1, axis=1)) / h**2
    u_yy = (np.roll(by_hand, -1, axis=0) - 2 * by_hand + np.roll(by_hand, 1, axis=0)) / h**2
    by_hand = by_hand + dt * D * (u_xx + u_yy)

print(f"the spot has cooled from 1 to {by_hand.max():.4f}")

# %% [markdown]
# ## With pdenet
#
# Write the equation as it stands above, say what the grid is and what happens at its edges, and
# run. The fields are ordinary SymPy functions; `Periodic()` has to be said, since there is no
# default.

# %%
import sympy as sp

import pdenet as pn

t, x, y = pn.coordinates("t x y")
u = pn.fields("u", (t, x, y))
diffusivity = sp.Symbol("D", positive=True)

heat = pn.PDE(sp.Eq(u.diff(t), diffusivity * (u.diff(x, 2) + u.diff(y, 2))))
grid = pn.Grid(x=(-1, 1, N), y=(-1, 1, N))
walls = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
spot = sp.exp(-40 * (x**2 + y**2))

solver = heat.to_solver(grid, walls, values={diffusivity: D}, dt=dt)
result = solver.run(spot, until=END, every=END / 2)
print(heat)
print(solver)
print(result)

# %% [markdown]
# The same numbers? Not merely similar pictures: the two programs do the same sums, in another
# order, so they may differ by rounding only. Each of the 64 steps rounds a few times to a relative
# $1.1\cdot10^{-16}$.

# %%
difference = np.abs(result.final[0] - by_hand).max()
print(f"largest difference: {difference:.1e}")
assert difference <= 64 * 8 * np.finfo(float).eps

# %% [markdown]
# ## The picture
#
# `result.states` has the shape `(frame, component, y, x)`. `result.plot` draws frames,
# `result.movie("spot.gif")` writes them all, and `result.to_xarray()` hands them over with names.

# %%
result.plot(frames=[0, 1, 2])
plt.show()

# %% [markdown]
# ## Against the truth
#
# A Gaussian stays a Gaussian. Put $u = a(t)\,e^{-b(t)(x^2+y^2)}$ into the equation, and you find
#
# $$u(t, x, y) = \frac{1}{1 + 160 D t}\,\exp\!\left(-\frac{40\,(x^2 + y^2)}{1 + 160 D t}\right)$$
#
# on the infinite plate. Ours is finite, but at its edge this is below $10^{-7}$.
# SymPy checks the derivation; then we look at the error.

# %%
spread = 1 + 160 * diffusivity * t
truth = sp.exp(-40 * (x**2 + y**2) / spread) / spread
residual = truth.diff(t) - diffusivity * (truth.diff(x, 2) + truth.diff(y, 2))
assert sp.simplify(residual) == 0

exact = sp.lambdify((t, x, y, diffusivity), truth, "numpy")
error = result.final[0] - exact(END, *grid.mesh(walls), D)

figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
top = np.abs(error).max()
for panel, values, limits, title in (
    (panels[0], result.final[0], {}, f"temperature, t = {END}"),
    (panels[1], error, {"vmin": -top, "vmax": top, "cmap": "RdBu_r"}, "simulation − exact"),
):
    image = panel.pcolormesh(*result.nodes, values, **limits)
    panel.set(title=title, xlabel="x", ylabel="y", aspect="equal")
    figure.colorbar(image, ax=panel)
plt.show()

# %% [markdown]
# One error says little: a wrong factor might hide in it. But theory says more, that the error is of
# second order: $O(h^2 + \Delta t)$ with $\Delta t \sim h^2$. So **halving $h$ must divide it by
# 4.** A scheme that solves a slightly different equation fails this test, however small its error
# looks. With `dt="auto"`, the default, pdenet takes nine tenths of the largest stable step, which
# is proportional to $h^2$.

# %%
errors = []
for points in (32, 64, 128):
    finer = pn.Grid(x=(-1, 1, points), y=(-1, 1, points))
    run = heat.to_solver(finer, walls, values={diffusivity: D}).run(spot, until=END, every=END)
    errors.append(float(np.abs(run.final[0] - exact(END, *finer.mesh(walls), D)).max()))
    print(f"{points:4d} points: error {errors[-1]:.2e}")
ratios = [coarse / fine for coarse, fine in pairwise(errors)]
print("ratios:", ", ".join(f"{ratio:.2f}" for ratio in ratios))
# The next term of the error is smaller by h² b, b = 40: 4 % on the finest grid, 16 % on the middle.
assert abs(ratios[-1] - 4) < 0.4

# %% [markdown]
# There is a truth for every linear equation with constant coefficients on a periodic grid, the
# Fourier transform, and pdenet offers it. It needs no formula found by a clever person.

# %%
fourier = pn.exact_periodic(heat, grid, spot, END, values={diffusivity: D})[0, 0]
distance = np.abs(fourier - exact(END, *grid.mesh(walls), D)).max()
print(f"Fourier against the formula: {distance:.1e}")
# At the edge the formula is still 8e-8; there the infinite plate and the periodic one part.
assert distance < 2e-7

# %% [markdown]
# ## Exercise
#
# 1. Change the equation to the wave equation, `sp.Eq(u.diff(t, 2), u.diff(x, 2) + u.diff(y, 2))`,
#    and run it until t = 0.7. Which time stepper has pdenet chosen? (Print the solver.) What are
#    the components of the state?
# 2. Let wind blow over the plate: add `- u.diff(x)` to the right side of the heat equation, and
#    compare with `pn.exact_periodic`.
# 3. On a line instead of a plate (`pn.coordinates("t x")`), take `dt = h**2 / (6 * D)`. By which
#    number does halving h divide the error now? Expand one step in a Taylor series to see why.
