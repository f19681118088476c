"""Bad input to models: one clear error each, with what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any  # options of all kinds, good and bad

import pytest
import sympy as sp
import torch
from torch import nn

import pdenet as pn
from pdenet.errors import NetworkError, PdenetError, UnknownNameError
from pdenet.network.convnet.activation import activation
from pdenet.network.convnet.form import form_of
from pdenet.network.convnet.relaxation import Relaxation
from pdenet.network.convnet.stage import Stage

EQ3 = pn.catalogue["eq3"]
t, x, y = pn.coordinates("t x y")
i, j = pn.indices("i j")
n, m = (sp.Symbol(name, integer=True, positive=True) for name in "nm")
u, v = pn.VectorField("u", n, (t, x, y)), pn.VectorField("v", m, (t, x, y))
fixed = pn.VectorField("u", 3, (t, x, y))
c = sp.Function("c")(x, y)
TINY: dict[str, Any] = {"layout": pn.Layout((4, 8), (1, 1)), "in_channels": 1}


@dataclass(frozen=True)
class Case:
    """What is done, the class of the error, and what its message names."""

    name: str
    do: Callable[[], object]
    error: type[PdenetError]
    parts: tuple[str, ...]


def block(*given: Any, **options: Any) -> Callable[[], object]:
    def do() -> object:
        defaults: tuple[Any, ...] = (EQ3, 8)
        return pn.PDEBlock(*given, *defaults[len(given) :], **options)

    return do


def relaxed(**options: Any) -> Callable[[], object]:
    return lambda: Relaxation(**options)


def model(**options: Any) -> Callable[[], object]:
    return lambda: EQ3.to_classifier(**{"num_classes": 5, **TINY, **options})


def called(*shape: int, dtype: torch.dtype = torch.float32, **options: Any) -> Callable[[], object]:
    return lambda: model(**options)()(torch.zeros(shape, dtype=dtype))  # type: ignore[operator]


def stage(**options: Any) -> Callable[[], object]:
    given: dict[str, Any] = {
        "form": form_of(EQ3), "in_channels": 4, "channels": 4, "depth": 2, "stride": 1,
        "relaxation": Relaxation(), "activations": [nn.Identity(), nn.Identity()],
    }  # fmt: skip
    given.update(options)
    return lambda: Stage(**given)


def layout(**options: Any) -> Callable[[], object]:
    return lambda: pn.Layout(**{"widths": (4, 8), "depths": (1, 1), **options})


def equation(right: Any, field: Any = u) -> Callable[[], object]:
    pde = pn.PDE(sp.Eq(field[i].diff(t), right))
    return lambda: pn.PDEBlock(pde, 8)


_OTHER = pn.PDE(
    sp.Eq(u[i].diff(t), u[i].diff(x)), sp.Eq(v[i].diff(t), v[i].diff(y))
)  # of n and of m components
_TWO = pn.PDE(
    sp.Eq(u[i].diff(t), u[i].diff(x)),
    sp.Eq(pn.VectorField("w", n, (t, x, y))[i].diff(t), u[i].diff(y)),
)
N, E = NetworkError, UnknownNameError

CASES = [
    # Equations
    Case("scalar fields", block(pn.catalogue["heat"]), N, ("VectorField", "got u (1)")),
    Case(
        "one dimension", block(pn.catalogue.build("eq3", dimension=1)), N, ("axes x and y", "(x)")
    ),
    Case("no equation", block("eq3"), N, ("a pn.PDE", "'eq3'", "catalogue")),
    Case("time in it", equation(sp.sin(t) * u[i].diff(x)), N, ("do not depend on the time", "t")),
    Case("fixed size", equation(fixed[i].diff(x), fixed), N, ("one symbolic number", "u (3)")),
    Case("two sizes", block(_OTHER), N, ("symbolic number", "u (n), v (m)")),
    Case("derivative of a function", equation(c.diff(x) * u[i]), N, ("no block", "pn.D(")),
    # Blocks
    Case("odd channels for two fields", block(_TWO, 7), N, ("2 fields", "7", "multiple")),
    Case("no channels", block(EQ3, 0), N, ("in_channels", "at least 1", "0")),
    Case("half a channel", block(EQ3, 3.5), N, ("in_channels", "3.5")),
    Case("negative outputs", block(EQ3, 4, -2), N, ("out_channels", "-2")),
    Case("no stride", block(stride=0), N, ("stride", "at least 1")),
    Case(
        "groups that do not come out",
        block(pn.catalogue["eq5"], 4, 12, relaxation=Relaxation(directions=4)),
        N,
        ("4 directions", "in groups to 12", "multiple of 3"),
    ),
    Case(
        "fewer directions than derivatives",
        block(relaxation=Relaxation(directions=1)),
        N,
        ("2 terms", "directions=1", "at least 2"),
    ),
    Case("a block without a batch", lambda: block()()(torch.zeros(8, 5, 5)), N, ("u[None]",)),  # type: ignore[operator]
    Case("a block of 9 channels", lambda: block()()(torch.zeros(1, 9, 5, 5)), N, ("8 channels",)),  # type: ignore[operator]
    # Relaxations
    Case("no directions", relaxed(directions=0), N, ("directions", "at least 1", "0")),
    Case("directions 3.5", relaxed(directions=3.5), N, ("directions", "3.5")),
    Case("directions True", relaxed(directions=True), N, ("directions", "True")),
    Case("share_kernels 1", relaxed(share_kernels=1), N, ("share_kernels", "True or False", "1")),
    Case("norm 'batch'", relaxed(norm="batch"), N, ("norm is True or False", "'batch'")),
    Case("position −1", relaxed(position=-1), N, ("position", "at least 0")),
    Case("stencils 'fre'", relaxed(stencils="fre"), N, ("free, moment, frozen", "mean 'free'")),
    Case(
        "moments of directions",
        relaxed(stencils="moment"),
        N,
        ("directions=4", "write directions=None"),
    ),
    Case(
        "moments of channels' own",
        relaxed(stencils="moment", directions=None, share_kernels=False),
        N,
        ("share_kernels=True",),
    ),
    Case("padding 'zero'", relaxed(padding="zero"), N, ("circular, reflect", "mean 'zeros'")),
    Case(
        "Dirichlet", relaxed(padding=pn.Dirichlet(0)), N, ("Dirichlet", "no padding of a ConvNet")
    ),
    Case("a slope", relaxed(padding=pn.Neumann(1.0)), N, ("Neumann(value=1.0)", "slope")),
    Case("three paddings", relaxed(padding=("zeros",) * 3), N, ("a pair for x and y",)),
    Case(
        "sides that differ",
        relaxed(padding=pn.Boundary(x=(pn.Neumann(0), pn.ZeroPadding()), y=pn.Periodic())),
        N,
        ("both sides of an axis alike",),
    ),
    Case(
        "a boundary in 1-D", relaxed(padding=pn.Boundary(x=pn.Periodic())), N, ("padding", "None")
    ),
    # Layouts and stages
    Case("unequal lengths", layout(widths=(4, 8, 16)), N, ("3 widths and 2 depths",)),
    Case("no stages", layout(widths=(), depths=()), N, ("a number for each stage",)),
    Case("a width of 0", layout(widths=(0, 8)), N, ("each of widths", "at least 1")),
    Case("depth of a half", layout(depths=(1, 0.5)), N, ("each of depths", "0.5")),
    Case("stem 'pool'", layout(stem="pool"), N, ("pooled, plain", "mean 'pooled'")),
    Case("stepper 'eular'", stage(stepper="eular"), N, ("euler, heun", "mean 'euler'")),
    Case(
        "stepper 'symplectic_euler'", stage(stepper="symplectic_euler"), N, ("stepper is one of",)
    ),
    Case("coefficients 'share'", stage(coefficients="share"), N, ("free, shared", "mean 'shared'")),
    Case("depth 0", stage(depth=0), N, ("depth", "at least 1")),
    # Classifiers
    Case("layout 'resnet5'", model(layout="resnet5"), N, ("resnet50, resnet26, small", "resnet50")),
    Case("layout 50", model(layout=50), N, ("layout is a Layout or one of", "50")),
    Case("classes −1", model(num_classes=-1), N, ("num_classes", "at least 0", "-1")),
    Case("classes 2.5", model(num_classes=2.5), N, ("num_classes", "2.5")),
    Case("no input", model(in_channels=0), N, ("in_channels", "at least 1", "0")),
    Case("drop_rate 1", model(drop_rate=1), N, ("drop_rate", "below 1")),
    Case("drop_path_rate", model(drop_path_rate=-0.1), N, ("drop_path_rate", "-0.1")),
    Case("drop_rate 'a'", model(drop_rate="a"), N, ("drop_rate", "probability", "'a'")),
    Case("activation", model(activation="sofball"), N, ("softball", "mean 'softball'")),
    Case("activate", model(activate="stage"), N, ("auto, stages, blocks", "mean 'stages'")),
    Case("activation 'ReLU'", lambda: activation("ReLU"), N, ("activation is one of", "'ReLU'")),
    Case("unknown model", lambda: pn.create_model("eq33"), E, ("models are", "mean 'eq3'")),
    Case("Eq. (2) at full size", lambda: pn.create_model("eq2"), E, ("eq2_small",)),
    Case("a model of no name", lambda: pn.create_model(3), E, ("models are", "3")),  # type: ignore[arg-type]
    # Pictures
    Case("three channels for one", called(2, 3, 8, 8), N, ("1 channels", "got 3", "in_channels=3")),
    Case("one picture alone", called(1, 8, 8), N, ("3 axes", "(1, 8, 8)", "x[None]")),
    Case("five axes", called(1, 1, 1, 8, 8), N, ("5 axes",)),
    Case("bytes", called(2, 1, 8, 8, dtype=torch.uint8), N, ("uint8", "/ 255")),
    Case("an array", lambda: model()()([[0.0]]), N, ("a list", "torch.from_numpy")),  # type: ignore[operator]
    Case(
        "a picture of one pixel, mirrored",
        called(2, 1, 1, 1, padding="reflect"),
        N,
        ("'reflect'", "at least 2", "got 1"),
    ),
    Case(
        "a picture too small for the last stage",
        called(2, 1, 2, 2, padding="reflect", layout=pn.Layout((4, 8), (1, 2))),
        N,
        ("larger pictures",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_refused_with_what_to_do(case: Case) -> None:
    with pytest.raises(PdenetError) as caught:
        case.do()
    assert type(caught.value) is case.error
    message = str(caught.value)
    for part in case.parts:
        assert part in message, message


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 30
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("padding", ["zeros", "circular", "replicate"])
def test_a_picture_of_one_pixel_is_a_picture(padding: str) -> None:
    made = EQ3.to_classifier(5, **TINY, padding=padding).eval()
    assert made(torch.zeros(2, 1, 1, 1)).shape == (2, 5)
