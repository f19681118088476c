"""What a block says and draws of itself is what it does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any  # options of a relaxation

import pytest
import sympy as sp
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import pdenet as pn
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.config import MODELS
from pdenet.network.convnet.explanation import flow_of
from pdenet.network.convnet.relaxation import Relaxation
from pdenet.network.operations import KINDS, Operation
from tests.network.convnet.redraw import redraw
from tests.tiers import mostly_deep

WIDTH = 8

t, x, y = pn.coordinates("t x y")
i, j, k, m, p = (pn.indices(s) for s in "ijkmp")
n = sp.Symbol("n", integer=True, positive=True)
u, v = (pn.VectorField(name, n, (t, x, y)) for name in "uv")
A, B, C, E = (pn.Coefficient(name, (n, n)) for name in "ABCE")
G, H = (pn.Coefficient(name, (n, 2 * n)) for name in "GH")
K, L = (pn.Coefficient(name, (2 * n, n)) for name in "KL")
g = pn.Coefficient("g", (n,))
c = sp.Function("c")(x, y)
_HIDDEN = K[m, k] * u[k] * L[m, p] * u[p]


def _of(right: Any) -> pn.PDE:
    return pn.PDE(sp.Eq(u[i].diff(t), right))


EQUATIONS: dict[str, pn.PDE] = {
    **{name: pn.catalogue[name] for name in ("eq2", "eq3", "eq4", "eq5", "eq6", "eq7", "eq9")},
    "mixture": _of(
        A[i, j] * C[j, k] * u[k] * u[j].diff(x)
        + B[i, j] * E[j, k] * u[k] * u[j].diff(y)
        + G[i, m] * pn.D(_HIDDEN, x)
        + H[i, m] * pn.D(_HIDDEN, y)
    ),
    "functions": _of(c * A[i, j] * u[j].diff(x) + sp.sin(x * y) * u[i] - 2 * sp.tanh(u[i])),
    "diffusion": _of(pn.D(c * u[i].diff(x), x) + pn.D(c * u[i].diff(y), y)),
    "diffusion with matrices": _of(A[i, j] * pn.D(c * u[j].diff(x), x) + g[i]),
    "second order": _of(sp.Symbol("a") * (u[i].diff(x, 2) + u[i].diff(x, y)) - A[i, i] * u[i]),
    "waves": pn.PDE(sp.Eq(u[i].diff(t, 2), u[i].diff(x, 2) + u[i].diff(y, 2))),
    "two fields": pn.PDE(
        sp.Eq(u[i].diff(t), A[i, j] * C[j, k] * v[k] * u[j].diff(x) + u[i].diff(y) * v[i]),
        sp.Eq(v[i].diff(t), B[i, j] * pn.D(u[j] * v[j], y) + v[i].diff(x)),
    ),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "published": {},
    "entry": {"out": 2, "stride": 2},
    "own derivatives": {"directions": None, "stencils": "moment"},
    "none": {"directions": None, "stencils": "frozen", "norm": False},
    "all": {"directions": 6, "share_kernels": False, "position": 1, "opening_norm": True},
}


def made(equation: str, variant: str) -> PDEBlock:
    options = dict(VARIANTS[variant])
    out, stride = options.pop("out", 1), options.pop("stride", 1)
    pde = EQUATIONS[equation]
    width = WIDTH * len(pde.system.fields)
    relaxation = Relaxation(**options)
    return PDEBlock(pde, width, out * width, stride=stride, relaxation=relaxation)


EVERY = [
    (equation, variant)
    for k, equation in enumerate(EQUATIONS)
    for q, variant in enumerate(VARIANTS)
    if (k + q) % 2 == 0 or variant in ("published", "entry")
]


# The operations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("equation", "variant"), mostly_deep(EVERY, EVERY[::4]))
def test_operations_have_all_parameters_once_with_their_shapes(equation: str, variant: str) -> None:
    block = made(equation, variant)
    operations = flow_of(block)
    found = [pair for one in operations for pair in one.parameters]
    assert sorted(set(found)) == sorted((n, tuple(p.shape)) for n, p in block.named_parameters())
    # A function of x and y may stand in several terms; all else is used at one place.
    once = [pair for pair in found if not pair[0].startswith(("functions.", "symbols."))]
    assert len(set(once)) == len(once)
    assert {one.kind for one in operations} <= set(KINDS)
    for number, one in enumerate(operations):
        assert all(before < number for before in one.inputs)


def calls(block: PDEBlock) -> int:
    with torch.no_grad(), torch.profiler.profile() as profile:
        block.eval()(torch.zeros(1, block.in_channels, 6, 6))
    return {e.key: e.count for e in profile.key_averages()}.get("aten::conv2d", 0)


@pytest.mark.parametrize(("equation", "variant"), mostly_deep(EVERY, EVERY[::4]))
def test_as_many_convolutions_run_as_are_listed(equation: str, variant: str) -> None:
    block = made(equation, variant)
    listed = [o for o in flow_of(block) if o.kind in ("convolution", "depthwise")]
    assert calls(block) == len(listed)


@pytest.mark.parametrize("variant", ["published", "entry", "all"])
@pytest.mark.parametrize("equation", ["eq2", "eq3", "eq4", "eq5", "eq6", "eq7", "mixture"])
def test_channels_are_those_that_the_convolutions_and_norms_see(
    equation: str, variant: str
) -> None:
    block = redraw(made(equation, variant))
    seen: dict[str, int] = {}
    for name, module in block.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):

            def note(_: Any, args: Any, out: torch.Tensor, name: str = name) -> None:
                seen[name] = out.shape[1]

            module.register_forward_hook(note)
    block(torch.randn(2, block.in_channels, 6, 6))
    listed = {o.name: o.channels for o in flow_of(block) if o.kind == "norm"}
    assert listed == seen
    for one in flow_of(block):
        sizes = re.search(r"convolution (\d+) → (\d+)", one.words)
        if sizes is not None:
            assert int(sizes[2]) == one.channels


def kinds(operations: tuple[Operation, ...]) -> str:
    return " ".join(o.kind for o in operations)


# Fig. 1 for Eq. (3), and as the parameter counts have the others.
PUBLISHED = {
    "eq3": "state depthwise norm convolution product convolution norm skip",
    "eq4": "state depthwise norm convolution norm convolution product skip",
    "eq5": "state depthwise norm convolution product skip",
    "eq6": "state convolution product depthwise norm convolution norm skip",
    "eq7": "state convolution convolution product depthwise norm convolution norm skip",
}


@pytest.mark.parametrize("equation", PUBLISHED)
def test_the_published_blocks_are_the_published_operations(equation: str) -> None:
    assert kinds(flow_of(made(equation, "published"))) == PUBLISHED[equation]


# Texts -------------------------------------------------------------------------------------------


def test_the_block_of_the_paper_is_explained_line_by_line() -> None:
    """Fig. 1 for Eq. (3), written here by hand."""
    text = PDEBlock(pn.catalogue["eq3"], 64).explain()
    depthwise = (
        "depthwise 3×3 convolution 64 → 256, one kernel of each direction for all channels "
        "(∂x, ∂y relaxed)"
    )
    assert text.splitlines() == [
        "PDEBlock 64 → 64 channels: u + F(u) for",
        "  ∂t u_i = A_ij C_jk u_k ∂x u_j + B_ij D_jk u_k ∂y u_j",
        "u (64): the state",
        "directions u [u.weight (4, 1, 3, 3)]: a_j = ∂u_j in 4 directions: " + depthwise,
        "u.norm.weight (256), u.norm.bias (256): batch norm of a_j, 256 channels",
        "C_D (64, 4, 64): b_j = Σ_k C_jk u_k in 4 directions: 1×1 convolution 64 → 256",
        "product: c_j = a_j b_j in 4 directions: product of 256 channels, element by element",
        "A_B (64, 64, 4): e_i = Σ_j A_ij c_j summed over 4 directions: 1×1 convolution 256 → 64",
        "norms.0.weight (64), norms.0.bias (64): batch norm of e_i, 64 channels",
        "u + F: u′ = u + e_i: the skip connection, the time derivative",
    ]


@pytest.mark.parametrize(("equation", "variant"), mostly_deep(EVERY, EVERY[::4]))
def test_every_operation_is_a_line_that_names_its_parameters(equation: str, variant: str) -> None:
    block = made(equation, variant)
    lines = block.explain().splitlines()
    operations = flow_of(block)
    assert lines[1].strip() == str(EQUATIONS[equation]).splitlines()[0]
    head = 1 + len(str(EQUATIONS[equation]).splitlines())
    assert len(lines) == head + len(operations)
    for line, one in zip(lines[head:], operations, strict=True):
        for name, shape in one.parameters:
            short = name.removeprefix("coefficients.tensors.").removeprefix("banks.convolutions.")
            assert f"{short} ({', '.join(map(str, shape))})" in line


def test_no_two_results_have_one_letter_nor_that_of_a_coefficient() -> None:
    for equation, variant in EVERY:
        operations = flow_of(made(equation, variant))
        letters = [o.symbol.partition("_")[0] for o in operations if o.kind != "norm"]
        letters = [c for c, o in zip(letters, operations, strict=False) if o.kind != "function"]
        system = EQUATIONS[equation].system
        taken = {parameter.name for parameter in system.parameters}
        assert not taken & set(letters)


@pytest.mark.parametrize("name", ["eq3", "eq5_small", "eq7_nows_x6_small"])
def test_a_classifier_is_explained_stage_by_stage(name: str) -> None:
    model = pn.create_model(name, 10)
    text = model.explain()
    assert str(pn.catalogue[MODELS[name][0]]) in text
    for number, width in enumerate(model.layout.widths, 1):
        assert f"stage {number}: " in text
        reduction = model.layout.reductions[number - 1]
        size = "r" if reduction == 1 else f"r/{reduction}"
        assert f"→ ({width}, {size}, {size})" in text
        weights = sum(p.numel() for p in model.stages[number - 1].parameters())
        assert f"{weights:,} parameters" in text
    assert f"linear {model.num_features} → 10" in text


def test_fused_blocks_are_explained_too() -> None:
    model = redraw(pn.create_model("eq7_nows_x6_small", 10)).fused()
    text = model.explain()
    assert "batch norm of" not in text
    assert "shift of" in text


# Figures -----------------------------------------------------------------------------------------


def boxes(figure: Figure) -> dict[str, list[tuple[float, float, float, float]]]:
    """The extents of the boxes and texts of each operation, in pixels."""
    figure.draw_without_rendering()
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    (axes,) = figure.axes
    for artist in axes.get_children():
        gid = artist.get_gid()
        if gid is not None:
            box = artist.get_window_extent()
            found.setdefault(gid, []).append((box.x0, box.y0, box.x1, box.y1))
    return found


def overlap(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    across = min(one[2], two[2]) - max(one[0], two[0])
    along = min(one[3], two[3]) - max(one[1], two[1])
    return across > 0.5 and along > 0.5  # half a pixel


DRAWN = [
    *((name, "published") for name in ("eq3", "eq4", "eq5", "eq7", "mixture", "functions")),
    *(("eq3", "entry"), ("two fields", "entry"), ("diffusion", "none"), ("mixture", "all")),
    *(("diffusion with matrices", "own derivatives"), ("second order", "all")),
]


@pytest.mark.parametrize(("equation", "variant"), mostly_deep(DRAWN, DRAWN[::3]))
def test_every_operation_is_drawn_once_from_left_to_right_and_nothing_overlaps(
    equation: str, variant: str
) -> None:
    block = made(equation, variant)
    operations = flow_of(block)
    figure = block.draw()
    drawn = boxes(figure)
    assert set(drawn) == {f"operation {k}" for k in range(len(operations))}
    (axes,) = figure.axes
    texts = {a.get_gid(): a.get_text() for a in axes.texts if a.get_gid()}
    for number, one in enumerate(operations):
        shown = texts[f"operation {number}"].split("\n")
        assert any(str(one.channels) in line for line in shown)
        if one.kind in ("convolution", "depthwise", "norm", "function"):
            name = one.name.removeprefix("banks.convolutions.")
            assert sum(name in text.split("\n") for text in texts.values()) == [
                o.name for o in operations
            ].count(one.name)
    for a, ones in drawn.items():
        for b, twos in drawn.items():
            assert a == b or not any(overlap(one, two) for one in ones for two in twos), (a, b)
    for number, one in enumerate(operations):
        for before in one.inputs:
            last = max(box[0] for box in drawn[f"operation {before}"])
            assert last < min(box[0] for box in drawn[f"operation {number}"])
    width, height = figure.get_size_inches() * figure.dpi
    for extents in drawn.values():
        for x0, y0, x1, y1 in extents:
            assert min(x0, y0) >= 0
            assert x1 <= width
            assert y1 <= height
    plt.close(figure)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_figures_are_saved_by_their_endings_and_unknown_to_pyplot(
    ending: str, tmp_path: Path
) -> None:
    before = plt.get_fignums()
    path = tmp_path / f"block.{ending}"
    figure = made("eq3", "published").draw(path)
    assert isinstance(figure, Figure)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(start)
    assert plt.get_fignums() == before
