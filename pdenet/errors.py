"""Every error that pdenet raises on purpose, and the sentence that offers a near name.

One base class, `PdenetError`; each error is also a `ValueError`, `KeyError`, `ImportError` or
`RuntimeError`, where Python's habit asks for that. A message has three parts: what was expected,
what arrived, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `pdenet --help` does not wait for it
    import numpy as np


class PdenetError(Exception):
    """Base class of all errors that pdenet raises on purpose."""


class EquationError(PdenetError, ValueError):
    """An equation that the language does not admit."""


class ParseError(EquationError):
    """A text that is not an equation of the language."""


class GridError(PdenetError, ValueError):
    """A grid that makes no sense, or is too small for the stencils."""


class BoundaryError(PdenetError, ValueError):
    """A side without a condition, with two, or with one that cannot be meant."""


class StencilError(PdenetError, ValueError):
    """A derivative or an accuracy for which there is no stencil."""


class SchemeError(PdenetError, ValueError):
    """A combination of equation, space discretisation and stepper that does not exist."""


class ValuesError(PdenetError, ValueError):
    """Values of parameters or coefficients that are missing, unknown or of the wrong kind."""


class InitialStateError(PdenetError, ValueError):
    """An initial state that does not fit the equation or the grid."""


class TimeError(PdenetError, ValueError):
    """A time, a time step or an interval that makes no sense."""


class BackendError(PdenetError, ValueError):
    """A back end, dtype or device that does not exist here."""


class StabilityError(PdenetError, ValueError):
    """A time step, or a combination of schemes, that is unstable."""


class IllPosedError(StabilityError):
    """An equation whose own growth rate is unbounded, such as the backward heat equation."""


class NetworkError(PdenetError, ValueError):
    """A network that cannot be built, or an input, a state dict or a time that does not fit one."""


class SymmetryError(PdenetError, ValueError):
    """A symmetry that does not exist here, or a matrix that is no element of the group."""


class FitError(PdenetError, ValueError):
    """Frames, sensors, bounds or options from which no parameters can be found."""


class DataError(PdenetError, ValueError):
    """Images, class lists or a data set that cannot be used."""


class TrainingError(PdenetError, ValueError):
    """A training run whose options make no sense."""


class CheckpointError(PdenetError, RuntimeError):
    """A checkpoint that cannot be written, or none that is intact."""


class DivergedError(PdenetError, RuntimeError):
    """A training run that went bad more often than it may be rolled back."""


class CommandError(PdenetError, ValueError):
    """A command line or a TOML file that asks for something that does not exist."""


class ResultError(PdenetError, RuntimeError):
    """A result that cannot be written, read or resumed."""


class MissingExtraError(PdenetError, ImportError):
    """An optional package is needed; the message names the extra to install."""


class UnknownNameError(PdenetError, KeyError):
    """A name that a mapping of pdenet does not hold."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would print the repr of the message


class BlowUpError(PdenetError, RuntimeError):
    """The state ceased to be finite.

    Attributes:
        step: the step, counted from 1, whose result is not finite.
        time: the time at the end of that step.
        field: the component that holds the first non-finite value.
        cell: its place in array order, `(row, column)` in two dimensions.
        last_good: the last state that was finite, shape `(component, *space)`.
    """

    def __init__(
        self,
        message: str,
        *,
        step: int,
        time: float,
        field: str,
        cell: tuple[int, ...],
        last_good: np.ndarray,
    ) -> None:
        super().__init__(message)
        self.step = step
        self.time = time
        self.field = field
        self.cell = cell
        self.last_good = last_good


class StabilityWarning(UserWarning):
    """A run goes on although it was found to be unstable (`stability="warn"`)."""


class DataWarning(UserWarning):
    """Image files that were passed over."""


class CheckpointWarning(UserWarning):
    """A damaged checkpoint that was passed over for an older one."""


class FitWarning(UserWarning):
    """A fit that stopped before it converged, or parameters that the data do not determine."""


class SymmetryWarning(UserWarning):
    """A change of unknowns that loses digits, such as one by an ill-conditioned matrix."""


class BoundaryWarning(UserWarning):
    """Boundary conditions that contradict one another at a corner."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'heat'?" where a known name is near `name`, else what to do."""
    names = [str(k) for k in known]
    same = [k for k in names if k.lower() == str(name).lower()]
    near = same or difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if near:
        return f" Did you mean {near[0]!r}?"
    return " Use one of these." if names else " Leave it out."
