"""Fit: the parameters that were found, with their uncertainty; as a table and as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pdenet.errors import FitError, suggest
from pdenet.training.fitting.keys import Key, name_of
from pdenet.training.fitting.options import check_level
from pdenet.training.fitting.uncertainty import quantile

if TYPE_CHECKING:  # loading Matplotlib takes a second; `import pdenet` does not wait for it
    from matplotlib.figure import Figure

Value = float | np.ndarray
"""A scalar parameter, or an array of its shape, float64."""


@dataclass(frozen=True, eq=False)
class Fit:
    """What `pdenet.fit` found.

    Parameters have their own units, residuals and noise those of their components.

    Attributes:
        values: the parameters; the network holds them too.
        errors: their standard errors: infinite where the data determine nothing, NaN where they
            were not computed (`notes` says why).
        covariance: of all entries in a row, float64, shape (entry, entry), NaN and infinite like
            `errors`; None where it was not computed.
        entries: the name of each entry, such as "D" or "c[0, 3]".
        undetermined: for each parameter with entries that the data do not determine a boolean
            array of its shape (0-d for a scalar), true at these.
        relations: what of such parameters is determined, such as "only the product a·b".
        noise: the standard deviation of each observed component's residual, with the number of
            parameters taken off the number of values; NaN where nothing is left over.
        noise_given: what `noise=` said, or None.
        freedom: degrees of freedom of the residual; intervals take it as that of Student's t, or
            as infinite where the noise was given.
        loss: the loss of each iterate, the start first, shape (iterations + 1,), dimensionless.
        best: the smallest of these, that of `values`.
        iterations: of the optimiser.
        converged: whether it stopped because it was done.
        stopped: why it stopped.
        level: the probability that an interval holds the true value, where none is said.
        bounds: the bounds (low, high) of each parameter, ±∞ for none.
        num_values: how many measured values were compared.
        residuals: for each trajectory the times and the root mean square of its residuals, each
            divided by the noise or the spread of its component; shape (frame,) both.
        initial: the estimated initial states, (component, *space), one for each trajectory; None
            where they were given.
        notes: what else there is to know, in words.
    """

    values: Mapping[str, Value]
    errors: Mapping[str, Value]
    covariance: np.ndarray | None
    entries: tuple[str, ...]
    undetermined: Mapping[str, np.ndarray]
    relations: tuple[str, ...]
    noise: Mapping[str, float]
    noise_given: Mapping[str, float] | None
    freedom: float
    loss: np.ndarray
    best: float
    iterations: int
    converged: bool
    stopped: str
    level: float
    bounds: Mapping[str, tuple[np.ndarray, np.ndarray]]
    num_values: int
    residuals: tuple[tuple[np.ndarray, np.ndarray], ...]
    initial: tuple[np.ndarray, ...] | None
    notes: tuple[str, ...]

    @property
    def num_effective(self) -> float:
        """The effective number of parameters, `num_values − freedom`.

        Those that the observations determine, the values of unknown initial states among them; no
        whole number where a penalty determines a part. With `errors=False`, and where the notes say
        that standard errors were not computed, all fitted entries count.
        """
        return self.num_values - self.freedom

    @property
    def intervals(self) -> dict[str, tuple[Value, Value]]:
        """The interval of each parameter at `level`; see `interval`."""
        return {name: self.interval(name) for name in self.values}

    def interval(self, name: Key, level: float | None = None) -> tuple[Value, Value]:
        """Return the interval value ± quantile · standard error, cut at the bounds.

        Args:
            name: a fitted parameter.
            level: the probability that it holds the true value; by default that of the fit.

        Returns:
            Its two ends, each of the parameter's shape: infinite where nothing is determined, NaN
            where standard errors were not computed.

        Raises:
            FitError: an unknown name, or a level that is no probability.
        """
        name = name_of("the name of an interval", name)
        if name not in self.values:
            raise FitError(
                f"the fit is of {', '.join(self.values)}; got {name!r}.{suggest(name, self.values)}"
            )
        inside = self.level if level is None else check_level(level)
        freedom = math.inf if self.noise_given is not None else self.freedom
        width = quantile(inside, freedom) * np.asarray(self.errors[name])
        low, high = self.bounds[name]
        value = np.asarray(self.values[name])
        return _value(np.maximum(value - width, low)), _value(np.minimum(value + width, high))

    def plot(self) -> Figure:
        """Draw the loss over the iterations, and the residuals of each trajectory over time.

        Returns:
            A figure of pyplot's, so that `plt.show()` shows it.
        """
        from matplotlib import pyplot as plt

        figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.5), layout="constrained")
        positive = bool((self.loss > 0).all())
        left.plot(np.arange(len(self.loss)), self.loss, marker="." if len(self.loss) < 60 else "")
        left.set(xlabel="iteration", ylabel="loss", yscale="log" if positive else "linear")
        for times, sizes in self.residuals:
            right.plot(times, sizes, marker="." if len(times) < 60 else "")
        unit = "noise" if self.noise_given is not None else "spread of the data"
        right.set(xlabel="t", ylabel=f"residual / {unit}")
        right.set_ylim(bottom=0.0)
        return figure

    def __str__(self) -> str:
        count = len(self.residuals)
        trajectories = "1 trajectory" if count == 1 else f"{count} trajectories"
        state = "converged" if self.converged else "not converged"
        plural = "s" * (self.iterations != 1)
        lines = [
            f"{state} after {self.iterations} iteration{plural}: {self.stopped}",
            f"{self.num_values:,} values of {trajectories}, loss {self.best:.6g}",
            "",
            *_table(self._rows()),
            "",
        ]
        for name, size in self.noise.items():
            given = "" if self.noise_given is None else f", given {self.noise_given[name]:.3g}"
            shown = "nothing is left over to estimate it" if math.isnan(size) else f"{size:.3g}"
            lines.append(f"noise of {name}: {shown}{given}")
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def _rows(self) -> list[tuple[str, str, str, str]]:
        rows = [("parameter", "value", "standard error", f"{100 * self.level:g} % interval")]
        for name, value in self.values.items():
            error, (low, high) = self.errors[name], self.interval(name)
            open_entries = self.undetermined.get(name)
            if isinstance(value, float):
                one = float(error)
                ends = f"{_short(float(low), one)} … {_short(float(high), one)}"
                if open_entries is not None and math.isinf(one):
                    ends = "not determined"
                rows.append((name, _short(value, one), _short(one, one), ends))
                continue
            assert isinstance(error, np.ndarray)
            ends = ""
            if open_entries is not None:
                ends = f"{int(open_entries.sum())} of {value.size} entries not determined"
            shape = "×".join(map(str, value.shape))
            known = error[np.isfinite(error)]
            rows.append((f"{name} ({shape})", _span(value), _span(known), ends))
        return rows


def _value(array: np.ndarray) -> Value:
    return float(array) if array.ndim == 0 else array


def _span(values: np.ndarray) -> str:
    if not values.size:
        return "–"
    return f"{values.min():.4g} to {values.max():.4g}"


def _short(number: float, error: float) -> str:
    """Return a number with the digits that its standard error allows: two of the error's."""
    if math.isnan(number):
        return "–"
    if math.isinf(number):
        return "∞" if number > 0 else "−∞"
    if not (math.isfinite(error) and error > 0) or number == 0:
        return f"{number:.6g}"
    digits = math.floor(math.log10(abs(number))) - math.floor(math.log10(error)) + 2
    return f"{number:.{min(max(digits, 1), 12)}g}"


def _table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
