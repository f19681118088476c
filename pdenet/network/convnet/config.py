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
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any  # JSON

from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.errors import NetworkError, suggest
from pdenet.network.convnet.layout import LAYOUTS, Layout
from pdenet.network.convnet.published import EQUATIONS, MODELS
from pdenet.network.convnet.unit_rows import UnitRows, unit_rows_of

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
