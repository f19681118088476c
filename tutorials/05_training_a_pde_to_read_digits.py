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
# # 5. Training a PDE to read digits
#
# **Question.** A time step of an equation is a layer of a network (tutorial 3). Can an equation be
# trained to see? Its initial state is a picture, its coefficients are the weights, its solution at
# a later time says what the picture shows.
#
# **Equation.** A conservation law whose fluxes are products of two linear maps of u, Eq. (7) of
# Liu, Shao & Bai (2023),
#
# $$\partial_t u_i = \sum_a A^a_{ij}\,\partial_a\big((C_{jk} u_k)(D_{jl} u_l)\big),$$
#
# where i = 1 … n are the channels, and j = 1 … 3n hidden ones.

# %% [markdown]
# ## By hand, in NumPy and PyTorch
#
# C and D are 1×1 convolutions, since they mix channels at each pixel. $\partial_a$ for two
# directions a is a depthwise 3×3 convolution: it sees neighbours, one channel at a time. A is a 1×1
# convolution again, and $\partial_t$ is the skip connection: $u + F(u)$ is one step of Euler's
# method. That is all that a residual block of this equation is.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional as F

torch.manual_seed(0)
torch.set_num_threads(2)

n = 4
C, D = torch.randn(2, 3 * n, n) / 3
A = torch.randn(n, 3 * n, 2) / 5  # (i, j, direction)
K = torch.randn(3 * n, 2, 3, 3) / 3  # (j, direction, y, x)


def block_by_hand(u: torch.Tensor) -> torch.Tensor:
    flux = F.conv2d(u, C[:, :, None, None]) * F.conv2d(u, D[:, :, None, None])
    derivatives = F.conv2d(flux, K.reshape(-1, 1, 3, 3), padding=1, groups=3 * n)
    return u + F.conv2d(derivatives, A.reshape(n, -1, 1, 1))


# %% [markdown]
# ## With pdenet
#
# The equation is in the catalogue. A block is one time step of it, *relaxed*: its derivatives
# become trainable kernels, here one pair for each hidden channel. The same weights give the same
# numbers.

# %%
import pdenet as pn

eq7 = pn.catalogue["eq7"]
print(eq7)

plain = pn.Relaxation(directions=2, share_kernels=False, norm=False)
block = pn.PDEBlock(eq7, n, relaxation=plain)
with torch.no_grad():
    for name, value in {"C": C, "D": D, "Ax_Ay": A}.items():
        block.coefficients.tensors[name].copy_(value)
    block.banks.convolutions["flux_0"].weight.copy_(K.reshape(-1, 1, 3, 3))

u = torch.randn(1, n, 8, 8)
# A 1×1 convolution is a matrix at each pixel; both sums round n products of size 1 to 6e-8 each.
by_numpy = np.einsum("jk,bkyx->bjyx", C.numpy(), u.numpy())
assert np.allclose(by_numpy, F.conv2d(u, C[:, :, None, None]).numpy(), atol=1e-5)
difference = (block(u) - block_by_hand(u)).abs().max().item()
print(f"largest difference between the two blocks: {difference:.1e}")
# Sums of some hundred numbers of size 1, each rounded to 6e-8.
assert difference < 1e-5

# %% [markdown]
# A classifier is a stem, which makes a picture the initial state, stages of such blocks, and a
# head: the mean over all pixels and a linear map. Between stages the picture shrinks and the number
# of components grows. After the published model, batch norms follow the derivatives and A, and
# *softball*, $u/\sqrt{1 + |u|^2/n}$, keeps the state bounded at the stages' ends.

# %%
layout = pn.Layout(widths=(12, 24), depths=(1, 2))
model = eq7.to_classifier(
    10, in_channels=1, layout=layout, directions=2, share_kernels=False, activation="softball"
)
# Laid out pixel by pixel, depthwise convolutions are several times as fast on a CPU.
model = model.to(memory_format=torch.channels_last)
weights = sum(p.numel() for p in model.parameters())
print(f"{weights:,} weights")

# %% [markdown]
# ## The data
#
# 1,797 digits that 43 people wrote, 8×8 pixels each. A fifth is set aside and not looked at.

# %%
digits = load_digits()
pictures = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)  # (picture, 1, y, x)
labels = torch.tensor(digits.target)
train, test = train_test_split(
    np.arange(len(labels)), test_size=0.2, random_state=0, stratify=digits.target
)
mean, std = pictures[train].mean(), pictures[train].std()
pictures = (pictures - mean) / std

fig, axes = plt.subplots(2, 8, figsize=(8, 2.4), layout="constrained")
for ax, k in zip(axes.flat, test, strict=False):
    ax.imshow(digits.images[k], cmap="gray_r")
    ax.set_title(digits.target[k], fontsize=9)
    ax.axis("off")
plt.show()

# %% [markdown]
# ## Training
#
# Stochastic gradient descent with momentum. The learning rate rises for a while and then falls
# along a cosine; each picture is moved by up to a pixel, so that no two epochs are the same.

# %%
EPOCHS, BATCH = 12, 48
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
batches = len(train) // BATCH
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=EPOCHS * batches)


def accuracy(which: np.ndarray) -> float:
    model.eval()
    with torch.no_grad():
        return (model(pictures[which]).argmax(1) == labels[which]).float().mean().item()


def moved(batch: torch.Tensor) -> torch.Tensor:
    dy, dx = torch.randint(-1, 2, (2,)).tolist()
    padded = F.pad(batch, (1, 1, 1, 1), value=batch.min().item())
    return padded[:, :, 1 + dy : 9 + dy, 1 + dx : 9 + dx]


start = time.perf_counter()
losses = []
for epoch in range(EPOCHS):
    model.train()
    for chosen in torch.tensor(train)[torch.randperm(len(train))].split(BATCH)[:batches]:
        loss = F.cross_entropy(model(moved(pictures[chosen])), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    if epoch % 3 == 2:
        print(f"epoch {epoch + 1:2}: loss {np.mean(losses[-batches:]):.3f}")
print(f"{time.perf_counter() - start:.0f} s")

# %% [markdown]
# ## Against the truth
#
# The digits that were set aside.

# %%
right = accuracy(test)
print(f"{right:.1%} of {len(test)} unseen digits are read correctly")
# Chance is 10 %; a linear classifier reads some 96 % of these.
assert right > 0.96

fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
ax.semilogy(losses, linewidth=0.6)
ax.set(xlabel="update", ylabel="cross-entropy", title="Eq. (7) learns to read")
plt.show()

# %% [markdown]
# ## The solution at intermediate times
#
# What a network calls feature maps is the equation's solution. Here are six components of it: the
# initial state that the stem makes of a picture, and the states behind the two stages.

# %%
states = [model.stem(pictures[test[:1]])]
with torch.no_grad():
    for stage in model.stages:
        states.append(stage(states[-1]))

fig, axes = plt.subplots(3, 6, figsize=(8, 4.2), layout="constrained")
for row, state in zip(axes, states, strict=True):
    size = state.abs().max().item()
    for ax, component in zip(row, state[0].detach(), strict=False):
        ax.imshow(component, cmap="RdBu_r", vmin=-size, vmax=size)
        ax.set(xticks=[], yticks=[])
for ax, name in zip(axes[:, 0], ("stem", "stage 1", "stage 2"), strict=True):
    ax.set_ylabel(name)
plt.show()

# %% [markdown]
# ## Exercises
#
# 1. Write Eq. (3), `pn.catalogue["eq3"]`, in the place of Eq. (7), with `directions=4` and
#    `share_kernels=True`. How many weights does it need for the same accuracy?
# 2. `activation="none"` leaves the state unbounded. Raise the learning rate to 3 and watch the
#    loss: solutions of quasi-linear equations form shocks in finite time. `pdenet train` guards
#    against that.
# 3. Write an equation of your own, with `pn.VectorField` and `pn.Coefficient`, and train it.
