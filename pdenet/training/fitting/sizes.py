"""Sizes: how many values of each component were measured, how large they are, how they spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pdenet.training.fitting.batches import Piece
from pdenet.training.fitting.model import Model


@dataclass(frozen=True, eq=False)
class Sizes:
    """Sizes of the observations, one number for each component of the network, in its unit.

    Attributes:
        counts: how many values were measured.
        spreads: their standard deviation, initial states included; 1 where nothing was observed.
        largest: their largest absolute value; 0 where nothing was observed.
    """

    counts: np.ndarray
    spreads: np.ndarray
    largest: np.ndarray

    @classmethod
    def of(cls, pieces: Sequence[Piece], model: Model) -> Sizes:
        """Measure all pieces together."""
        counts, spreads, largest = (np.zeros(len(model.components)) for _ in range(3))
        for k in range(len(counts)):
            seen = [
                piece.values[:, place].ravel().astype(np.float64)
                for piece in pieces
                for place, field in enumerate(piece.observer.fields)
                if field == k
            ]
            values = np.concatenate([*seen, np.empty(0)])
            values = values[~np.isnan(values)]
            counts[k] = values.size
            if values.size:
                # What has decayed in all frames still had a spread at the start.
                starts = [piece.initial[k].ravel().astype(np.float64) for piece in pieces]
                values = np.concatenate([values, *starts])
            size = float(np.abs(values).max(initial=0.0))
            spread = float(values.std()) if values.size else 0.0
            # A constant has no spread but rounding: its size measures residuals then.
            spreads[k] = spread if spread > 1e-6 * size else size or 1.0
            largest[k] = size
        return cls(counts, spreads, largest)

    @property
    def seen(self) -> np.ndarray:
        """Which components were observed, bool."""
        found: np.ndarray = self.counts > 0
        return found

    def rounding(self, eps: float) -> np.ndarray:
        """Return the residual of each component that is nothing but rounding: 4 ε of the largest.

        One rounding for the observation, one for the prediction, and as much for its steps.
        """
        return 4.0 * eps * self.largest

    def observed(self, components: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the observed components."""
        return tuple(n for n, seen in zip(components, self.seen, strict=True) if seen)
