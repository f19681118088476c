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
# # 6. Weights move, the function stays
#
# **Question.** The weights of a network made from an equation are the equation's coefficients, in
# some unknowns $u_1 \dots u_n$. Nobody chose these unknowns: training found them. What becomes of
# the weights in other unknowns, and what of the network's answers?
#
# **Equation.** Change the unknowns by an invertible matrix, $u = P v$. Eq. (7) of Liu, Shao & Bai
# (2023),
#
# $$\partial_t u_i = \sum_a A^a_{ij}\,\partial_a\big((C_{jk} u_k)(D_{jl} u_l)\big)
# \quad\text{becomes}\quad
# \partial_t v_i = \sum_a (P^{-1}\!A^a)_{ij}\,\partial_a\big((CP)_{jk} v_k\,(DP)_{jl} v_l\big),$$
#
# an equation of the same form, with other coefficients: all of GL(n) acts on the weights.

# %% [markdown]
# ## By hand, in NumPy
#
# One time step in one dimension, three unknowns, six hidden products. $\partial$ is a central
# difference on a periodic grid.

# %%
import numpy as np

rng = np.random.default_rng(0)
n, hidden, points = 3, 6, 16
A = rng.standard_normal((n, hidden))
C, D = rng.standard_normal((2, hidden, n))
u = rng.standard_normal((n, points))


def step_by_hand(u: np.ndarray, A: np.ndarray, C: np.ndarray, D: np.ndarray) -> np.ndarray:
    flux = (C @ u) * (D @ u)  # (hidden, x)
    derivative = (np.roll(flux, -1, axis=1) - np.roll(flux, 1, axis=1)) / 2
    return u + 0.1 * A @ derivative


P = rng.standard_normal((n, n))
inverse = np.linalg.inv(P)
v = inverse @ u
there = step_by_hand(u, A, C, D)
back = P @ step_by_hand(v, inverse @ A, C @ P, D @ P)
print(f"largest difference of the two steps: {np.abs(there - back).max():.1e}")
# Sums of 18 products of numbers of size 1 to 10, and a matrix of condition below 100: 1e-16 · 1e3.
assert np.abs(there - back).max() < 1e-12

# %% [markdown]
# Which $P$ another equation admits can be read off its indices. In Eq. (7) each summed index stands
# twice, as in tensor calculus, so that $P$ and $P^{-1}$ find a coefficient to go into. In Eq. (3),
# $A_{ij} C_{jk} u_k \partial_x u_j$, the index $j$ stands three times: a product component by
# component. It lets permutations and factors through, and no mixture. pdenet finds the rule for any
# equation that it can read.

# %%
import pdenet as pn

for name in ("eq7", "eq3"):
    print(pn.catalogue[name])
    print(pn.symmetry.family_group(pn.catalogue[name].system))
    print()

acted = pn.symmetry.family_group(pn.catalogue["eq7"].system).act(
    {"Ax": A, "C": C, "D": D}, {"u": P}
)
# One product with P or its inverse, rounded.
assert np.allclose(acted["Ax"], inverse @ A, rtol=1e-12, atol=1e-12)
assert np.allclose(acted["C"], C @ P, rtol=1e-12, atol=1e-12)

# %% [markdown]
# ## A whole network
#
# Between blocks stand activations. *Softball*, $u/\sqrt{1 + u^T u/n}$, measures $u$ by its length,
# which only rotations keep. Let it measure $u$ by a quadratic form of its own,
# $u^T L^T L\,u$ with $L = I$ at first: then $L \to L P$ goes along, and all of GL(n) acts,
# activations included. The stem ends in a ReLU, whose channels stay channels; a 1×1 convolution
# behind it frees the first stage as well.
#
# A small network learns the digits of tutorial 5 for a few seconds, so that its weights are those
# of a trained one.

# %%
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

torch.manual_seed(0)
torch.set_num_threads(1)  # for pictures of 64 pixels more threads cost more than they bring

digits = load_digits()
pictures = torch.tensor(digits.images[:, None], dtype=torch.float32)
pictures = (pictures - pictures.mean()) / pictures.std()  # (picture, 1, y, x)
labels = torch.tensor(digits.target)

model = pn.catalogue["eq7"].to_classifier(
    10,
    in_channels=1,
    layout=pn.Layout(widths=(6, 12), depths=(1, 2)),
    directions=2,
    share_kernels=False,
    quadratic_form="identity",
    stem_projection=True,
)
# Laid out pixel by pixel, depthwise convolutions are several times as fast on a CPU.
model = model.to(memory_format=torch.channels_last)
optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
for batch in torch.cat([torch.randperm(1500) for _ in range(8)]).split(50):
    optimiser.zero_grad()
    F.cross_entropy(model(pictures[batch]), labels[batch]).backward()
    optimiser.step()
model.eval()


def right(network: torch.nn.Module) -> float:
    with torch.no_grad():
        return float((network(pictures[1500:]).argmax(dim=1) == labels[1500:]).double().mean())


print(f"{right(model):.1%} of the digits set aside are read correctly")
# Chance is 10 %.
assert right(model) > 0.8

# %% [markdown]
# `group` says what acts on the states of each stage, and what limits it.

# %%
found = pn.symmetry.group(model)
print(found)

# %% [markdown]
# Batch norms act on each component alone. Where $P$ mixes components they are folded into the
# weights beside them; the copy is for evaluation, and can be trained further.
#
# A random $P$ for every stage at once:

# %%
matrices = found.random(np.random.default_rng(1), condition=10.0)
moved = pn.symmetry.transforms(model, matrices)

with torch.no_grad():
    before, after = model(pictures[1500:]), moved(pictures[1500:])
change = float((after - before).abs().max() / before.abs().max())
print(f"largest change of a logit: {change:.1e} of the largest logit")
print(f"{right(moved):.1%} are read correctly")
assert right(moved) == right(model)
# float32 rounds to 6e-8; the promise is 200 eps times the condition number.
assert change < 200 * 1.2e-7 * 10

# %%
names = ["stages.1.blocks.1.coefficients.tensors.C", "head.weight"]
titles = ["C", "head"]  # of the last block
fig, axes = plt.subplots(2, 3, figsize=(9, 5.2), layout="constrained", width_ratios=(1, 1, 1.2))
for row, (name, title) in enumerate(zip(names, titles, strict=True)):
    for column, (network, words) in enumerate([(model, "trained"), (moved, "in other unknowns")]):
        weight = network.state_dict()[name].reshape(-1, 12)
        size = weight.abs().max()
        axes[row, column].imshow(weight, cmap="RdBu", vmin=-size, vmax=size, aspect="auto")
        axes[row, column].set(title=f"{title}, {words}", xlabel="component", yticks=[])
for row, (x, y) in enumerate([(0, 1), (2, 3)]):
    axes[row, 2].plot(before[:, x], before[:, y], "o", ms=6, mfc="none", label="trained")
    axes[row, 2].plot(after[:, x], after[:, y], ".", ms=3, label="in other unknowns")
    axes[row, 2].set(title="logits of 297 digits", xlabel=f"logit {x}", ylabel=f"logit {y}")
axes[1, 2].legend(fontsize="small")
plt.show()

# %% [markdown]
# The weights are different ones; the dots lie in the circles. How exactly, depends on the condition
# number of $P$ alone: solving with $P$ loses as many digits as $\operatorname{cond}(P)$ has.

# %%
conditions = [1, 10, 100, 1000]
fig, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
for dtype, marker in ((torch.float32, "o"), (torch.float64, "s")):
    network, x = model.to(dtype), pictures[1500:1600].to(dtype)
    errors = []
    for condition in conditions:
        matrix = found[2].random(np.random.default_rng(2), max(1.0, 0.999 * condition))
        with torch.no_grad():
            expected, got = network(x), pn.symmetry.transform(network, 2, matrix)(x)
        errors.append(float((got - expected).abs().max() / expected.abs().max()))
    name = str(dtype).removeprefix("torch.")
    axis.loglog(conditions, errors, marker=marker, label=name)
    bound = [200 * torch.finfo(dtype).eps * c for c in conditions]
    axis.loglog(conditions, bound, "k:", label=f"promised for {name}")
    assert all(e <= b for e, b in zip(errors, bound, strict=True))
model.float()
axis.set(xlabel="condition number of P", ylabel="largest change of a logit, relative")
axis.set_ylim(1e-17, 1)
axis.legend(ncols=2, fontsize="small", loc="upper left")
plt.show()

# %% [markdown]
# ## What it is good for
#
# The choice of unknowns is free, so choose those in which weights are 0. Take as $P$ the inverse of
# 12 rows of C in the last block: in the new unknowns these rows are the identity, 132 exact zeros
# for nothing. (`pn.symmetry.sparsify` chooses the rows that lose least, goes on from there, and
# leaves that convolution out.)

# %%
double = model.double()
C = double.state_dict()[names[0]].reshape(-1, 12)
rows = C.numpy()
# Rows in the order in which they are most independent of those before: QR with pivots, by hand.
chosen: list[int] = []
left = rows.copy()
for _ in range(12):
    best = int(np.square(left).sum(axis=1).argmax())
    chosen.append(best)
    direction = left[best] / np.linalg.norm(left[best])
    left = left - np.outer(left @ direction, direction)
P = np.linalg.inv(rows[chosen])
print(f"cond(P) = {np.linalg.cond(P):.1f}")
sparse = pn.symmetry.transform(double, 2, P)
block = sparse.state_dict()[names[0]].reshape(-1, 12)[chosen]
print(f"largest distance from the identity: {float((block - torch.eye(12)).abs().max()):.1e}")
x = pictures[1500:].double()
with torch.no_grad():
    change = float((sparse(x) - double(x)).abs().max() / double(x).abs().max())
print(f"largest change of a logit: {change:.1e}")
# Rounding of float64 times the condition number of P.
assert (block - torch.eye(12)).abs().max() < 1e-12 * np.linalg.cond(P)
assert change < 200 * 2.2e-16 * np.linalg.cond(P)

# %% [markdown]
# ## Exercise
#
# 1. Give `transform` a rotation of two components of stage 2 of the same model without
#    `quadratic_form`. Which matrices are refused now, and what does the message say?
# 2. Take `activation="relu"`, with an activation behind every block. Predict the group of each
#    stage, then print it.
# 3. The weights before and after are not equally far from 0. Does weight decay treat the two models
#    alike? When is gradient descent the same in both unknowns?
