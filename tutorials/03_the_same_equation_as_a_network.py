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
# # 3. The same equation as a network
#
# **Question.** A simulator slides a stencil over a grid, again and again. A ConvNet slides a kernel
# over an image, layer after layer. Is that a likeness, or are they the same object?
#
# **Equation.** Heat, on a periodic square,
#
# $$u_t = D\,(u_{xx} + u_{yy}),$$
#
# later the rotation of a picture, $u_t = x\,u_y - y\,u_x$, and a system of eight equations.

# %% [markdown]
# ## By hand, in NumPy and PyTorch
#
# Forward Euler with central differences adds to each node a sum over its four neighbours,
#
# $$u_{ij} \leftarrow u_{ij} + \frac{D\,\Delta t}{h^2}\,
#   (u_{i,j+1} + u_{i,j-1} + u_{i+1,j} + u_{i-1,j} - 4\,u_{ij}).$$
#
# The sum is a convolution with a 3×3 kernel. "Periodic" says what stands beyond the edge: the other
# edge, which is circular padding. And "add to each node" is a skip connection.

# %%
import numpy as np
import torch
from torch.nn import functional as F

torch.set_num_threads(1)  # on grids as small as these, threads cost more than they save

N, D, STEPS = 32, 0.1, 50
h = 1 / N
dt = 0.2 * h**2 / D

five_point = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=torch.float64)
kernel = (D * five_point / h**2)[None, None]

nodes = h * np.arange(N)
spot = np.exp(-60 * ((nodes[None, :] - 0.4) ** 2 + (nodes[:, None] - 0.5) ** 2))

by_roll = spot.copy()
by_conv = torch.tensor(spot)[None, None]  # (batch, channel, y, x)
for _ in range(STEPS):
    neighbours = sum(np.roll(by_roll, shift, axis) for shift in (1, -1) for axis in (0, 1))
    by_roll = by_roll + D * dt / h**2 * (neighbours - 4 * by_roll)
    by_conv = by_conv + dt * F.conv2d(F.pad(by_conv, (1, 1, 1, 1), mode="circular"), kernel)


def roundings(one, other):
    """The largest difference, in units of the rounding of the largest number."""
    one, other = np.asarray(one), np.asarray(other)
    return np.abs(one - other).max() / (np.finfo(other.dtype).eps * np.abs(other).max())


apart = roundings(by_conv[0, 0], by_roll)
print(f"NumPy's roll and PyTorch's convolution: {apart:.1f} roundings apart")
assert apart < STEPS * 8  # each step rounds a few times

# %% [markdown]
# ## With pdenet
#
# `to_solver` makes the simulator, `to_network` a `torch.nn.Module` that takes `steps` time steps.
# Networks compute in float32 unless asked otherwise.

# %%
import sympy as sp

import pdenet as pn

t, x, y = pn.coordinates("t x y")
u = pn.fields("u", (t, x, y))
diffusivity = sp.Symbol("D", positive=True)

heat = pn.PDE(sp.Eq(u.diff(t), diffusivity * (u.diff(x, 2) + u.diff(y, 2))))
square = pn.Grid(x=(0, 1, N), y=(0, 1, N))
ring = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())

net = heat.to_network(square, ring, values={"D": D}, steps=STEPS, dt=dt, dtype="float64")
print(net.describe())

by_net = net(torch.tensor(spot)[None, None])

solver = heat.to_solver(square, ring, values={"D": D}, dt=dt)
by_solver = solver.initial_state(spot[None])
for _ in range(STEPS):
    by_solver = solver.step(by_solver)

for name, other in (("by hand", by_conv[0, 0]), ("solver", by_solver[0])):
    apart = roundings(by_net[0, 0], other)
    print(f"network and {name}: {apart:.1f} roundings apart")
    assert apart < STEPS * 8

# %% [markdown]
# So the two are one object under two names. This is the dictionary of Liu, Shao & Bai (2023,
# arXiv 2308.01621):
#
# | network | equation |
# |---|---|
# | input | initial condition |
# | forward pass | solving, one explicit step after the other |
# | feature maps | the solution at intermediate times |
# | 3×3 convolution | differential operator of order at most 2 (6 of its 9 dimensions) |
# | 1×1 convolution | matrix of coefficients |
# | weights | coefficients |
# | padding | boundary condition |
# | skip connection | time derivative |
# | depth | time |
#
# One entry is special: layers that share their weights are an equation whose coefficients do not
# depend on time.

# %% [markdown]
# ## A network that turns a picture
#
# The solution of $u_t = x\,u_y - y\,u_x$ is the initial picture, turned by the angle $t$. So the
# network below, which has never seen a picture, turns any picture by 90 degrees. Its depth is
# the time $\pi/2$.
#
# The picture is a letter with soft edges, since no grid holds a sharp one: differences see
# only what changes little from node to node. The softening is a network too, eight steps of heat.

# %%
import matplotlib.pyplot as plt

M, LAYERS = 97, 80
disc = pn.Grid(x=(-1, 1, M), y=(-1, 1, M))
dark = pn.Boundary(x=pn.Dirichlet(0), y=pn.Dirichlet(0))

letter = torch.zeros(1, 1, M, M)
letter[..., 25:73, 36:44] = 1  # rows are y, upwards
letter[..., 65:73, 36:64] = 1
letter[..., 47:55, 36:58] = 1
blur = heat.to_network(disc, dark, values={"D": 1}, steps=8, dt=0.2 * (2 / (M - 1)) ** 2)
soft = blur(letter)

turning = pn.PDE(sp.Eq(u.diff(t), x * u.diff(y) - y * u.diff(x)))
turn = turning.to_network(
    disc, dark, steps=LAYERS, dt=np.pi / 2 / LAYERS, stepper="rk4", space="central4"
)
print(turn.describe())
turned = turn(soft)
truth = torch.rot90(soft, -1, dims=(3, 2))  # clockwise, with y upwards

frames = [soft, turn.advance(soft, steps=LAYERS // 2), turned, turned - truth]
titles = ["input", "after half of the layers", "output", "output − exact, times 10"]
figure, panels = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
for panel, frame, title in zip(panels, frames, titles, strict=True):
    shown = 10 * frame[0, 0] if frame is frames[-1] else frame[0, 0]
    panel.imshow(shown, origin="lower", extent=(-1, 1, -1, 1), vmin=-1, vmax=1, cmap="RdBu_r")
    panel.set(title=title, xlabel="x", ylabel="y")
plt.show()

# %% [markdown]
# What is left is the error of the stencil. Fourth order on a finer grid must reduce it by almost
# 2⁴ = 16: the proof that it is the equation that turns the picture.

# %%
misses = []
for points, layers in ((65, 80), (129, 160)):
    finer = pn.Grid(x=(-1, 1, points), y=(-1, 1, points))
    one = turning.to_network(
        finer,
        dark,
        steps=layers,
        dt=np.pi / 2 / layers,
        stepper="rk4",
        space="central4",
        dtype="float64",
    )
    xs, ys = (torch.tensor(a) for a in finer.mesh(dark))
    picture = torch.exp(-40 * ((xs - 0.3) ** 2 + ys**2) - 20 * (xs - 0.3) * ys)[None, None]
    with torch.no_grad():
        miss = (one(picture) - torch.rot90(picture, -1, dims=(3, 2))).abs().max().item()
    misses.append(miss)
    print(f"{points:4d} points: error {misses[-1]:.1e}")
print(f"ratio {misses[0] / misses[1]:.1f}")
# The next term of the error is smaller by about h² times a curvature of 80: 8 % on the coarse grid.
assert 13 < misses[0] / misses[1] < 17

# %% [markdown]
# ## Padding is the boundary condition
#
# `F.pad` has four modes. Each of them is a wall, though not always the one that was meant:
#
# - `circular` is `Periodic()`;
# - `reflect` mirrors at the end node, $u_{-1} = u_1$: `Neumann(0)`, an insulated wall;
# - zeros, what `conv2d(padding=1)` does, is `ZeroPadding()`: a cold wall *one spacing outside*;
# - `replicate`, $u_{-1} = u_0$, is an insulated wall half a spacing outside; pdenet has no such
#   condition.
#
# A cold wall *at* the end node, `Dirichlet(0)`, is no mode of `F.pad`: the end node itself must be
# kept at 0.

# %%
closed = pn.Grid(x=(0, 1 - h, N), y=(0, 1 - h, N))  # spacing h; walls at the first and last nodes
warm = torch.tensor(np.cos(2 * nodes[:, None]) * np.exp(nodes[None, :]))[None, None]


def keep_ends(state):
    state[..., [0, -1], :] = state[..., :, [0, -1]] = 0
    return state


walls = {
    "circular": pn.Periodic(),
    "reflect": pn.Neumann(0),
    "constant": pn.ZeroPadding(),  # the constant is 0
    "constant, ends kept": pn.Dirichlet(0),
}
answers = {}
for mode, condition in walls.items():
    grid = square if mode == "circular" else closed
    both = pn.Boundary(x=condition, y=condition)
    walled = heat.to_network(grid, both, values={"D": D}, steps=STEPS, dt=dt, dtype="float64")
    hand = keep_ends(warm.clone()) if "ends" in mode else warm
    answers[mode] = walled(hand)[0, 0]
    for _ in range(STEPS):
        padded = F.pad(hand, (1, 1, 1, 1), mode=mode.split(",")[0])
        hand = hand + dt * F.conv2d(padded, kernel)
        hand = keep_ends(hand) if "ends" in mode else hand
    apart = roundings(answers[mode], hand[0, 0])
    print(f"{mode:20s} is {condition!r:18}: {apart:.1f} roundings apart")
    assert apart < STEPS * 8

figure, panel = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for mode, answer in answers.items():
    panel.plot(nodes, answer[N // 2], ".-", label=f"{walls[mode]!r}")
panel.set(xlabel="x, node by node", ylabel="u in the middle row", title="four paddings")
panel.legend()
plt.show()
inside = answers["constant"][..., 1:-1] - answers["constant, ends kept"][..., 1:-1]
print(f"zeros and Dirichlet(0) differ by {inside.abs().max():.2f}")
assert inside.abs().max() > 0.1

# %% [markdown]
# ## Eight equations, and a block
#
# The main system of Liu, Shao & Bai has $n$ components (channels) and four matrices,
#
# $$\partial_t u_i = \sum_j A_{ij} \Bigl(\sum_k C_{jk} u_k\Bigr) \partial_x u_j
#   + \sum_j B_{ij} \Bigl(\sum_k D_{jk} u_k\Bigr) \partial_y u_j,$$
#
# their Eq. (3), as read off their Fig. 1. In pdenet repeated indices are summed. By hand, the
# smallest program for the right side is three convolutions and a product.

# %%
n = 8
rng = np.random.default_rng(3)
matrices = {name: rng.normal(size=(n, n)) / n for name in "ABCD"}
A, B, C, E = (torch.tensor(m) for m in matrices.values())  # E is the paper's D

state = torch.tensor(rng.normal(size=(2, n, N, N)))
d_dx = torch.tensor([[0.0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]], dtype=torch.float64) / h
kernels = torch.stack([d_dx, d_dx.T])[:, None]  # rows are y, upwards

padded = F.pad(state, (1, 1, 1, 1), mode="circular")
slopes = F.conv2d(padded.reshape(2 * n, 1, N + 2, N + 2), kernels).reshape(2, n, 2, N, N)
slopes = slopes.transpose(1, 2).reshape(2, 2 * n, N, N)  # first all ∂x u_j, then all ∂y u_j
opened = F.conv2d(state, torch.cat([C, E])[:, :, None, None])  # n → 2n
rate = F.conv2d(opened * slopes, torch.cat([A, B], dim=1)[:, :, None, None])  # 2n → n

system = pn.VectorField("u", n, (t, x, y))
i, j, k = pn.indices("i j k")
a, b, c, d = (pn.Coefficient(name, (n, n)) for name in "ABCD")
eq3 = pn.PDE(
    sp.Eq(
        system[i].diff(t),
        a[i, j] * c[j, k] * system[k] * system[j].diff(x)
        + b[i, j] * d[j, k] * system[k] * system[j].diff(y),
    )
)
block = eq3.to_network(
    square,
    ring,
    values=matrices,
    stepper="euler",
    dt=1e-4,
    trainable=True,
    dtype="float64",
)
print(eq3)
print(block.describe())

apart = roundings(block.right_side(state).detach(), rate)
print(f"the block and the program by hand: {apart:.1f} roundings apart")
assert apart < 2 * n * 8  # sums of 2n products, each rounded a few times

# %% [markdown]
# This is the block of the paper's Fig. 1, without its batch norms: depthwise 3×3 kernels that all
# channels share, two stacked 1×1 convolutions, an element-wise product in between, and the skip
# connection. Nobody has told pdenet of such a block; it looks for the cheapest order in which
# to sum a product of tensors. (The paper trains four kernels instead of the two here; exercise 4.)
#
# ## Back to the equation
#
# `to_equation()` reads the equation from the weights, not from a memory of what they once were. So
# it can tell what a changed weight means. First one kernel entry and one coefficient of the
# heat network: D from 0.1 to 0.125, and 0.01 more at the lower left corner of the stencil of u_xx.

# %%
print("as built:        ", heat.to_network(square, ring, values={"D": D}).to_equation())
learner = heat.to_network(square, ring, values={"D": D}, dt=dt, trainable=["D", "stencils"])
quantities = learner.quantities()
print("trainable:       ", {name: tuple(one.shape) for name, one in quantities.items()})
with torch.no_grad():
    quantities["D"].fill_(0.125)
    quantities["stencils.xx"][0, 0] += 0.01  # row 0 is the lowest y
reading = learner.to_equation()
print("after the change:", reading)

# %% [markdown]
# Taylor's formula explains every term. The entry at offset $(k_x, k_y)$ multiplies
#
# $$u(x + k_x h, y + k_y h)
#   = \sum_{p,q} \frac{k_x^p\,k_y^q}{p!\,q!}\,h^{p+q}\,\partial_x^p\partial_y^q u,$$
#
# so that a kernel $K$ of a second derivative is the operator
#
# $$\sum_{p,q} M_{pq}\,h^{p+q-2}\,\partial_x^p\partial_y^q,\qquad
#   M_{pq} = \frac{1}{p!\,q!}\sum_{k_x,k_y} k_x^p\,k_y^q\,K[k_y, k_x].$$
#
# $M$ is the *moment matrix* (Long, Lu, Ma & Dong 2018, arXiv 1710.09668). For a 3×3 kernel its nine
# entries with $p, q \le 2$ say everything. The corner was changed by 0.01, and $0.01/h^2 = 10.24$:
# the network now has a source $0.125 \cdot 10.24\,u = 1.28\,u$. A small change of a weight can be a
# large change of the equation. With `stencils="moment"` the moments up to the order of the
# derivative are kept, so that training cannot do this; then a kernel changes its error only.

# %%
changed = quantities["stencils.xx"].detach().double().numpy()
powers = np.array([[1, 1, 1], [-1, 0, 1], [0.5, 0, 0.5]])  # kᵖ/p! for k = −1, 0, 1
moments = powers @ changed.T @ powers.T  # row p, column q
print(np.round(moments, 4))
found = {"u": 0.125 * moments[0, 0] / h**2, "u_xy": 0.125 * moments[1, 1]}
for derivative, number in ((u, found["u"]), (u.diff(x, y), found["u_xy"])):
    read = float(sp.expand(reading.pde.equations[0].rhs).coeff(derivative))
    print(f"{derivative}: {read:.6g} read, {number:.6g} from the moments")
    # float32 keeps 7 digits, of which the corner 0.01 beside weights of size 2 loses two.
    assert abs(read / number - 1) < 1e-5

# %% [markdown]
# Eq. (3) is read back with its tensors in `reading.values`. A change of the x kernel shows in all
# terms that use it.

# %%
print(block.to_equation())
with torch.no_grad():
    block.quantities()["stencils.x"][1, 1] += 0.0625
print("\nafter a change:", block.to_equation().pde)

# %% [markdown]
# ## Gradients through time
#
# `backward()` through the steps computes $J^T w$, with $J$ the derivative of the final state by the
# initial one: the adjoint equation, backwards in time. One test shows whether a gradient is
# right, and it needs no step size: for all $v$ and $w$ must hold
# $\langle J v, w\rangle = \langle v, J^T w\rangle$.

# %%
import warnings

warnings.filterwarnings("ignore", ".*jit.*", DeprecationWarning)  # PyTorch's jvp warns of itself
start, v, w = (torch.tensor(rng.normal(size=(1, n, N, N))) for _ in range(3))
run = lambda u0: block.advance(u0, steps=20)  # noqa: E731 - a notebook
forward = (torch.func.jvp(run, (start,), (v,))[1] * w).sum().item()
backward = (v * torch.func.vjp(run, start)[1](w)[0]).sum().item()
print(f"⟨Jv, w⟩ = {forward:.12f}\n⟨v, Jᵀw⟩ = {backward:.12f}")
# Sums of 8192 products of size 1, rounded to 1.1e-16 in each of some 20 · 10 operations.
assert abs(forward - backward) < 8192 * 200 * 1.1e-16

# %% [markdown]
# ## Exercise
#
# 1. Turn the picture by 90 degrees with `space="central2"`. Where is the error largest, and why
#    there? What does `space="upwind", stepper="euler"` do to the letter? Read the network back:
#    which terms has the equation that it really solves?
# 2. Which differential operator is the kernel [[1, 0, −1], [2, 0, −2], [1, 0, −1]] (Sobel) on
#    spacing h? Compute its moments, then put it into a network and read it back.
# 3. By hand, take `mode="replicate"` for an insulated wall and measure the order of the error, as
#    in tutorial 2. Where would the nodes have to stand for order 2?
# 4. Add two terms to Eq. (3), with $\partial_{xx}$ and $\partial_{yy}$ and four more matrices. What
#    does `describe()` say now? That is the paper's "x4".
# 5. Check the gradient by D of the mean square of the final temperature. For a start of
#    $\sin 2\pi x$ you know the answer.
