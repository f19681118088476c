"""Config: how to make a classifier, as a dictionary that JSON can hold.

```
{"name": "eq3_small", "num_classes": 10, …}        a model of `list_models()`
{"equation": "eq3", "num_classes": 10, …}          an equation of the catalogue
{"equation": None, "num_classes": 10, …}           another one, which has to be given: pde=
```

Every option has the value that it was settled to: paddings are names, one for x and one for y; a
layout is its name or a dictionary of widths, depths and stem. `"fused": True` marks a model whose
batch norms are folded; `"folded_stages": [3]` one where those of some stages are, which a change of
unknowns needed; `"unit_rows": [{"stage": 3, "block": 2, "coefficient": "C", "rows": […]}]` one
whose opening convolution has no parameters for these rows, which are those of the identity.

The table of the published models is that of Liu, Shao & Bai (2023), arXiv 2308.01621. "nows" is "no
weight sharing": each channel has kernels of its own; "x6" counts the channels of the depthwise
convolution in widths of a block. Eq. (7) has 3n hidden channels with two kernels each, hence its
x6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any  # JSON, options of a classifier

import sympy as sp

from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import Coefficient, D, VectorField, coordinates, indices
from pdenet.errors import NetworkError, suggest
from pdenet.network.convnet.layout import LAYOUTS, Layout
from pdenet.network.convnet.unit_rows import UnitRows, unit_rows_of

SMALL = "_small"
"""The ending of the names of the same models for pictures of 8 to 64 pixels."""

_PUBLISHED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "eq2": ("eq2", {"directions": 4}),
    "eq3": ("eq3", {"directions": 4}),
    "eq3_nows": ("eq3", {"directions": 4, "share_kernels": False}),
    "eq3_nows_x6": ("eq3", {"directions": 6, "share_kernels": False}),
    "eq4": ("eq4", {"directions": 4}),
    "eq5": ("eq5", {"directions": 4}),
    "eq6": ("eq6", {"directions": 4}),
    "eq7_nows_x6": ("eq7", {"directions": 2, "share_kernels": False}),
}

# Eq. (2) has n³ coefficients a direction: 550 million in one block of 512 channels.
_SMALL_ONLY = {"eq2"}


def _models() -> dict[str, tuple[str, dict[str, Any]]]:
    made = {}
    for name, (equation, options) in _PUBLISHED.items():
        if name not in _SMALL_ONLY:
            made[name] = (equation, {**options, "layout": "resnet50"})
        made[name + SMALL] = (equation, {**options, "layout": "small"})
    return made


MODELS: Mapping[str, tuple[str, dict[str, Any]]] = MappingProxyType(_models())
"""For each model the name of its equation in the catalogue and the options that it fixes."""


def official_equation() -> PDE:
    """Return Eq. (7) with the hidden sizes of the authors' published implementation.

        ∂t u_i = Σ_a A^a_ij ∂_a ((C_jk u_k)(D_jl u_l)),  j = 1 … kn,  k = 4 for n ≤ 128, else 2

    The printed Eq. (7) has k = 3 at every width. n is the width of what a block is given.

    Source: Liu, Shao & Bai (2023), arXiv 2308.01621, their published code; 9,531,940 parameters at
    100 classes with `opening_norm`.
    """
    size = sp.Symbol("n", integer=True, positive=True)
    hidden = sp.Piecewise((4 * size, size <= 128), (2 * size, True))
    t, x, y = coordinates("t x y")
    u, (i, j, k, m) = VectorField("u", size, (t, x, y)), indices("i j k l")
    c, d = (Coefficient(letter, (hidden, size)) for letter in "CD")
    flux = c[j, k] * u[k] * d[j, m] * u[m]
    terms = [Coefficient(f"A{a}", (size, hidden))[i, j] * D(flux, a) for a in (x, y)]
    return PDE(
        sp.Eq(u[i].diff(t), sp.Add(*terms), evaluate=False),
        name="eq7_official",
        description="Eq. (7) with 4n or 2n fluxes, as in the authors' published code.",
        source="Liu, Shao & Bai (2023), arXiv 2308.01621, published code",
    )


EQUATIONS: Mapping[str, Callable[[], PDE]] = MappingProxyType({"eq7_official": official_equation})
"""Equations outside the catalogue that a config names all the same."""

_NO_OPTIONS = ("name", "equation", "fused", "folded_stages", "unit_rows")


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a config comes to.

    Attributes:
        name: the model's name, or None.
        pde: its equation.
        options: the options of `pdenet.Classifier`.
        fused: whether its batch norms are folded.
        folded_stages: the stages whose norms are folded, in order.
        unit_rows: the rows that are left out of opening convolutions.
    """

    name: str | None
    pde: PDE
    options: dict[str, Any]
    fused: bool
    folded_stages: tuple[int, ...]
    unit_rows: tuple[UnitRows, ...] = ()


def recipe(config: Mapping[str, Any], pde: PDE | None = None) -> Recipe:
    """Return the equation and the options that a config stands for.

    Args:
        config: see the head of this module.
        pde: the equation, where the config cannot name it.

    Raises:
        NetworkError: the config is none, or the equation is missing or not that of the config.
    """
    if not isinstance(config, Mapping) or not ({"name", "equation"} & set(config)):
        raise NetworkError(
            'a config with "name" or "equation" was expected, as model.config gives it; got '
            f"{config!r:.100}"
        )
    options = {k: v for k, v in config.items() if k not in _NO_OPTIONS}
    name = config.get("name")
    if name is not None:
        if not isinstance(name, str) or name not in MODELS:
            raise NetworkError(
                f"the name in a config is one of pdenet.list_models(); got {name!r}."
                f"{suggest(str(name), MODELS)}"
            )
        equation, fixed = MODELS[name]
        options = {**fixed, **options}
    else:
        equation = config["equation"]
    folded = config.get("folded_stages", ())
    if not isinstance(folded, list | tuple):
        raise NetworkError(f"folded_stages is a list of numbers of stages; got {folded!r}")
    fused = bool(config.get("fused", False))
    units = unit_rows_of(config.get("unit_rows", ()))
    return Recipe(name, _equation(equation, pde), options, fused, tuple(folded), units)


def equation_name(pde: PDE) -> str | None:
    """Return the name by which a config finds an equation, None where it finds none."""
    name = pde.name
    if name in EQUATIONS:
        return name if pde == EQUATIONS[name]() else None
    return name if name in catalogue and pde == catalogue[name] else None


def layout_config(layout: Layout) -> str | dict[str, Any]:
    """Return a layout's name, or a dictionary where it has none."""
    for name, known in LAYOUTS.items():
        if layout == known:
            return name
    made = asdict(layout)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in made.items()}


def _equation(name: object, pde: PDE | None) -> PDE:
    if name is None:
        if pde is None:
            raise NetworkError(
                "the equation of this model is not in the catalogue, so that its config cannot "
                "name it; got none; pass the equation that it was made from: pde=my_equation"
            )
        return pde
    if isinstance(name, str) and name in EQUATIONS:
        known = EQUATIONS[name]()
    elif isinstance(name, str) and name in catalogue:
        known = catalogue[name]
    else:
        raise NetworkError(
            f"the equation in a config is a name of the catalogue or None; got {name!r}."
            f"{suggest(str(name), catalogue)}"
        )
    if pde is not None and pde != known:
        raise NetworkError(
            f"this model was made from {name}, {known}; got pde={pde}; leave pde= out"
        )
    return known
