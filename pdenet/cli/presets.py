"""What `pdenet solve NAME` does when nothing else is said: a box, an initial state, a time.

Every preset stands on a periodic box, where nothing depends on walls, unless its equation carries
everything inwards. They are starting points, all of it can be overridden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any  # values of parameters are numbers or arrays

import numpy as np

from pdenet.equation.pde import PDE

# Nodes along each axis, by dimension: a run takes seconds, and its movie shows no grid.
_POINTS = {1: 256, 2: 128, 3: 48}

# The sum of squares, (x² + y²), written for whatever axes there are.
_R2 = "{r2}"
_PULSE = f"exp(-40*{_R2})"


@dataclass(frozen=True)
class Preset:
    """A box, an initial state, a time and a scheme.

    Attributes:
        initial: for each field a text; fields that are missing start as 0.
        until: the length of the run, in the equation's unit of time.
        low: the low end of every axis.
        high: the high end of every axis.
        boundary: the condition on every side.
        points: nodes along each axis; None for the usual number of the dimension.
        scheme: `space=` and `stepper=` where "auto" would blur the picture.
        values: values of parameters that have no default.
        note: what a reader should know.
    """

    initial: Mapping[str, str] = field(default_factory=dict)
    until: float = 1.0
    low: float = -1.0
    high: float = 1.0
    boundary: str = "periodic"
    points: int | None = None
    scheme: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def num_points(self, dimension: int) -> int:
        """Return the nodes along each axis."""
        return self.points or _POINTS[dimension]


# Forward Euler with upwind differences, the automatic choice, smears a pulse within one turn.
_SHARP = {"space": "central4", "stepper": "rk4"}

_PRESETS: Mapping[str, Preset] = {
    "heat": Preset({"u": _PULSE}, until=0.1),
    "wave": Preset({"u": _PULSE}, until=2.0),
    "wave_system": Preset({"u": _PULSE}, until=2.0),
    "wave_first_order": Preset({"p": _PULSE}, until=2.0),
    "rotation": Preset({"u": "exp(-40*((x - 0.4)^2 + y^2))"}, until=2 * np.pi, scheme=_SHARP),
    "dilation": Preset(
        {"u": "exp(-10*(x^2 + y^2))"}, until=1.0, boundary="dirichlet:0", scheme=_SHARP
    ),
    "advection": Preset({"u": _PULSE}, until=2.0, scheme=_SHARP),
    "advection_diffusion": Preset({"u": _PULSE}, until=0.5),
    "gray_scott": Preset(
        # Three unequal drops: nothing is symmetric, so stripes grow in all directions.
        {
            "u": "1 - exp(-60*((x - 1)^2 + (y - 1.2)^2))/2 - exp(-90*((x - 1.5)^2 + (y - 1.5)^2))/2"
            " - exp(-120*((x - 1.6)^2 + (y - 0.8)^2))/2",
            "v": "exp(-60*((x - 1)^2 + (y - 1.2)^2))/4 + exp(-90*((x - 1.5)^2 + (y - 1.5)^2))/4"
            " + exp(-120*((x - 1.6)^2 + (y - 0.8)^2))/4",
        },
        until=4000.0,
        low=0.0,
        high=2.5,
    ),
    "burgers_1d": Preset({"u": "-sin(pi*x)"}, until=1.0),
    "burgers_2d": Preset({"u": "sin(pi*x)*cos(pi*y)", "v": "-cos(pi*x)*sin(pi*y)"}, until=1.0),
    "acoustics": Preset({"p": _PULSE}, until=2.0),
    "shallow_water": Preset({"h": f"exp(-40*{_R2})/10"}, until=2.0),
    "maxwell_tm": Preset({"Ez": _PULSE}, until=2.0),
    "kdv": Preset(  # a fast soliton overtakes a slow one
        {"u": "2/cosh(x + 12)^2 + 1/(2*cosh((x + 2)/2)^2)"}, until=6.0, low=-20.0, high=20.0
    ),
    "eq1": Preset({"u": f"1 + exp(-10*{_R2})/4", "v": "0"}, until=0.5),
}


def preset_for(pde: PDE) -> Preset | None:
    """Return the preset of an equation of the catalogue, None for any other equation."""
    found = _PRESETS.get(pde.name)
    if found is None and pde.name in _SYSTEMS:
        return _example(pde)
    if found is None:
        return None
    r2 = "(" + " + ".join(f"{axis}^2" for axis in pde.axes) + ")"
    first = pde.fields[0]
    # A variant may have fields of other names, such as eq1 with fields= or one in one dimension.
    texts = {name: text.replace(_R2, r2) for name, text in found.initial.items()}
    texts = {name: text for name, text in texts.items() if name in pde.fields} or {
        first: f"exp(-10*{r2})"
    }
    return Preset(**{**vars(found), "initial": texts})


def _symmetric(n: int, diagonal: float, beside: float) -> np.ndarray:
    """Return a symmetric matrix, positive definite for |beside| < diagonal/2."""
    return diagonal * np.eye(n) + beside * (np.eye(n, k=1) + np.eye(n, k=-1))


def _triple(n: int, sign: float) -> np.ndarray:
    """Return A_ijk, symmetric in i and j for each k, so that A(u) is symmetric."""
    k = np.arange(n)
    return np.asarray(
        np.multiply.outer(_symmetric(n, 0.5, 0.2 * sign), 1.0 + 0.1 * k)
        + 0.1 * (k[:, None, None] == k[None, :, None]) * (k[:, None, None] == k)
    )


# Where example coefficients are known.
_SYSTEMS = ("eq2", "eq3", "eq4", "eq5", "eq6", "eq7", "eq9")


def _coefficients(name: str, n: int) -> Mapping[str, np.ndarray]:
    """Return example coefficients that keep a system hyperbolic.

    In eq3, eq4 and eq6 a positive definite S times a diagonal matrix is similar to a symmetric one,
    with S the same along both axes; in eq7 A = Cᵀ and D = C make the Jacobian 2 Cᵀ diag(Cu) C
    symmetric.
    """
    same = _symmetric(n, 0.5, 0.15)
    hidden = np.concatenate([np.eye(n), _symmetric(n, 0.5, 0.5), _symmetric(n, 0.5, -0.5)])
    signs = np.diag((-1.0) ** np.arange(n))
    tables: Mapping[str, Mapping[str, np.ndarray]] = {
        "eq2": {"A": _triple(n, 1.0), "B": _triple(n, -1.0)},
        "eq3": {"A": same, "B": same, "C": np.eye(n), "D": _symmetric(n, 0.5, -0.2)},
        "eq4": {"Ax": same, "Ay": same / 2, "Az": same / 2, "C": _symmetric(n, 1.0, 0.3)},
        "eq5": {"Cx": _symmetric(n, 0.6, 0.2), "Cy": np.eye(n) / 2, "Cz": np.eye(n) / 2},
        "eq6": {"Ax": same, "Ay": same / 2, "Az": same / 2, "C": np.diag(0.5 ** np.arange(n))},
        "eq7": {
            "Ax": hidden.T / 2,
            "Ay": hidden.T / 4,
            "Az": hidden.T / 4,
            "C": hidden,
            "D": hidden,
        },
        "eq9": {"A": _symmetric(n, 0.0, 1.0), "B": signs},
    }
    return tables[name]


def _example(pde: PDE) -> Preset:
    known = {p.name for p in pde.parameters}
    size = pde.system.fields[0].size
    # The catalogue's option n fixes the size; else two components are enough to see.
    n = int(size) if size is not None and size.is_Integer else 2
    r2 = "(" + " + ".join(f"{axis}^2" for axis in pde.axes) + ")"
    return Preset(
        {pde.fields[0]: f"1 + exp(-10*{r2})/4"},
        until=0.5,
        points=None if len(pde.axes) == 1 else 64,
        values={name: v for name, v in _coefficients(pde.name, n).items() if name in known},
        note=f"coefficients: a symmetrisable example of size n = {n}; --set gives others",
    )
