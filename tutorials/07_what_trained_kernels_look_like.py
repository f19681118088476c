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
# # 7. What trained kernels look like
#
# **Question.** A convolution of a network is a stencil that was learned. Single kernels look like
# noise or like derivatives. What does their average over all channels look like, and does it
# prefer a direction?
#
# **Equation.** The mean kernel of a layer is $K = \frac{1}{NC}\sum_{n,c} W_{nc}$. How symmetric it
# is, Alsallakh et al. (2025), arXiv 2503.19215, measure by
#
# $$S(K) = 1 - \frac{1}{2|T|}\sum_T \|T(\hat K) - \hat K\|,\qquad \hat K = K/\|K\|,$$
#
# where T runs over the eight symmetries of the square.

# %% [markdown]
# ## By hand, in NumPy
#
# The symmetries are four turns, each with and without a mirror. The Laplacian of tutorial 1 has all
# of them, a derivative along x has few.

# %%
import matplotlib.pyplot as plt
import numpy as np


def score_by_hand(kernel: np.ndarray) -> float:
    unit = kernel / np.linalg.norm(kernel)
    turned = [np.rot90(unit, k) for k in range(4)]
    images = turned + [image.T for image in turned]
    return 1 - sum(np.linalg.norm(image - unit) for image in images) / 16


laplacian = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
corner = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0]])
for name, kernel in {"Laplacian": laplacian, "Sobel": sobel, "corner": corner}.items():
    print(f"S = {score_by_hand(kernel):.4f}  {name}")
# Two of eight symmetries change the sign of Sobel's kernel, four turn it to the other axis.
assert np.isclose(score_by_hand(sobel), 1 - (2 * 2 + 4 * np.sqrt(2)) / 16)

# %% [markdown]
# Is 0.4 much? Kernels of random numbers say so.

# %%
generator = np.random.default_rng(0)
by_chance = [score_by_hand(generator.normal(size=(3, 3))) for _ in range(3000)]
low, high = np.quantile(by_chance, [0.05, 0.95])
print(f"by chance {np.mean(by_chance):.3f}, nine of ten from {low:.2f} to {high:.2f}")

# %% [markdown]
# ## With pdenet
#
# `pn.symmetry.kernels` finds the kernels of any PyTorch model. The numbers are the same.

# %%
import torch
from torch import nn
from torch.nn import functional as F

import pdenet as pn

kernels = pn.symmetry.kernels
for kernel in (laplacian, sobel, corner):
    # Both are sums of eight numbers of size 1.
    assert np.isclose(kernels.symmetry_score(kernel), score_by_hand(kernel), atol=1e-12)

model = pn.create_model("eq3_small", num_classes=10, in_channels=1)
table = kernels.symmetry_table(model, draws=2000)
print(table)
for row in table:
    # The kernels of pdenet's blocks are their directions, which start as random numbers.
    assert np.isclose(row.score, score_by_hand(row.layer.kernel), atol=1e-12)
# Chance by 2000 and by 3000 draws: five standard errors of 0.09/√1200.
assert abs(table.rows[0].chance.mean - np.mean(by_chance)) < 0.013

# %% [markdown]
# ## Training
#
# A small ConvNet learns digits, each of which is turned and mirrored at random. So the data prefer
# no direction. The mean of each layer's kernels is 0 before training. The second and fourth
# convolution have stride 2.

# %%
from sklearn.datasets import load_digits

torch.set_num_threads(1)  # for networks this small one thread is the fastest
found = load_digits()
pictures = torch.tensor(found.images[:, None] / 8 - 1, dtype=torch.float32)  # (picture, 1, y, x)
labels = torch.tensor(found.target)


def network(seed: int, turned: bool) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    before = 1
    for width, stride in ((8, 1), (16, 2), (16, 1), (32, 2), (32, 1)):
        convolution = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        with torch.no_grad():
            convolution.weight -= convolution.weight.mean(dim=(0, 1))
            if turned:
                convolution.weight.copy_(convolution.weight.flip(2, 3))
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


def train(seed: int, size: int, turned: bool = False, epochs: int = 6, dtype=torch.float32):
    net = network(seed, turned).to(dtype)
    x = F.interpolate(pictures, (size, size), mode="bilinear", align_corners=True).to(dtype)
    optimizer = torch.optim.SGD(net.parameters(), 0.2, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=14 * epochs)
    for _ in range(epochs):
        for chosen in torch.randperm(len(labels)).split(128)[:14]:
            batch = torch.rot90(x[chosen], int(torch.randint(4, ())), (2, 3))
            batch = batch.flip(3) if torch.randint(2, ()) else batch
            batch = batch.flip(2, 3) if turned else batch
            loss = F.cross_entropy(net(batch), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval(), x


trained, x = train(seed=0, size=8)
table = kernels.symmetry_table(trained, draws=2000)
print(table)
kernels.plot_mean_kernels(table)
plt.show()

# %% [markdown]
# ## Which padding is even?
#
# With stride 2, one ghost pixel and an even number of pixels, windows reach over the first edge and
# never over the last one. `uneven_padding` runs the model once and says where.

# %%
print(kernels.uneven_padding(trained, 8))
assert len(kernels.uneven_padding(trained, 8).uneven) == 2
assert not kernels.uneven_padding(trained, 9).uneven  # 9 → 5 → 3

# %% [markdown]
# ## Against the truth
#
# With even padding no side is special. Turn all first kernels and all pictures by 180°, and the
# trained kernels must come out turned by 180°, exactly. With uneven padding they need not.

# %%
for size in (8, 9):
    first, second = (
        kernels.mean_kernels(train(0, size, turned, epochs=1, dtype=torch.float64)[0])
        for turned in (False, True)
    )
    apart = [
        np.abs(a.kernel - b.kernel[::-1, ::-1]).max() / np.abs(a.kernel).max()
        for a, b in zip(first, second, strict=True)
    ]
    print(f"{size}×{size} pixels: mean kernels differ from turned ones by {max(apart):.1e}")
    # Rounding, 1e-16, grows a little in 14 updates; a preferred side is of the size of kernels.
    assert max(apart) < 1e-9 if size == 9 else min(apart) > 0.05

# %% [markdown]
# So uneven padding alone makes kernels asymmetric. In which direction? The *lean* of a kernel says
# how much heavier its first row and column are than its last; here for the last convolution of
# stride 2, of a few networks.


# %%
def lean(kernel: np.ndarray) -> float:
    unit = kernel / np.linalg.norm(kernel)
    return (unit[0] - unit[2]).sum() / 2 + (unit[:, 0] - unit[:, 2]).sum() / 2


nets = {size: [train(seed, size)[0] for seed in range(3)] for size in (8, 9)}
leans = {
    size: [lean(kernels.mean_kernels(net)["9"].kernel) for net in some]
    for size, some in nets.items()
}
for size, values in leans.items():
    print(f"{size}×{size} pixels: lean {np.mean(values):+.2f} ± {np.std(values) / np.sqrt(2):.2f}")

# %% [markdown]
# Three networks are few. Ten that the tests of pdenet train in this way lean by 0.80 ± 0.14 with
# pictures of 8×8 pixels: at the edge over which windows reach, kernels are heavier.
#
# ## Symmetry by depth
#
# Squares are convolutions of stride 2; the grey band is chance.

# %%
tables = {
    f"{size}×{size}, seed {seed}": kernels.symmetry_table(net, draws=1000)
    for size, some in nets.items()
    for seed, net in enumerate(some[:2])
}
kernels.plot_symmetry_by_depth(tables)
plt.show()
inner = [
    kernels.symmetry_table(net, draws=200).scores[1:] for some in nets.values() for net in some
]
print(f"mean S of inner layers {np.mean(inner):.3f}, by chance {np.mean(by_chance):.3f}")

# %% [markdown]
# ## What it means for predictions
#
# The same class for a digit and its mirror image? For two crops of it?

# %%
print(kernels.flip_consistency(trained, x))
print(kernels.shift_consistency(trained, x, crop=7, of=None))

# %% [markdown]
# ## Exercise
#
# 1. Leave out the turning of the batches, so that digits stand upright. Which layers are now less
#    symmetric, and what becomes of flip consistency?
# 2. Give the convolutions of stride 2 `padding_mode="circular"`. Is the padding even at 8×8 pixels?
#    Ask `uneven_padding`, then train and look at the lean.
# 3. `kernels.report(model, "kernels.html", images)` writes all of this about a model of yours, and
#    `pdenet kernels timm:resnet18` from the command line. The column *p(order)* of the table
#    compares a kernel with its own entries in random order. Which of your layers are symmetric by
#    their arrangement, and which only because their entries are alike?
