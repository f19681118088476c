"""Waves that come in through a side where nothing is prescribed.

For ∂u/∂t = A ∂u/∂x + … waves travel with the velocities −λ, λ the eigenvalues of A. As many
conditions are needed at a side as waves come in there (Kreiss 1970); with fewer, what comes in is
made up by extrapolation, and errors grow without end, like a power of t where no eigenvalue tells.
"""

from __future__ import annotations

import numpy as np

from pdenet.discrete.advection import speed_matrices
from pdenet.discrete.boundary import ENDS, Free
from pdenet.discrete.environment import constants, coordinates
from pdenet.discrete.scheme import Scheme
from pdenet.equation.analysis import term_order
from pdenet.equation.functions import evaluate, symbol_names
from pdenet.equation.values import Values
from pdenet.errors import SchemeError


def unprescribed_inflow(scheme: Scheme, values: Values) -> str:
    """Say at which side more waves come in than conditions are given, at t = 0.

    Args:
        scheme: the scheme. Systems of scalar fields of first order are looked at whose speeds do
            not depend on the state; for others nothing is known before a run.
        values: values of its parameters.

    Returns:
        A sentence, or an empty text.
    """
    system = scheme.system
    if system.has_vectors or max((term_order(t) for _, t in system.terms()), default=0) != 1:
        return ""
    environment = {**constants(scheme, values), **coordinates(scheme, 0.0)}
    for axis, name in enumerate(scheme.grid.axes):
        if scheme.is_periodic[axis]:
            continue
        try:
            plain, fluxes = speed_matrices(system, axis)
        except SchemeError:
            continue  # products of derivatives have no speeds
        entries = [
            [plain[r, c] + fluxes[r, c] for c in range(plain.cols)] for r in range(plain.rows)
        ]
        if any(symbol_names(e) & set(system.field_names) for row in entries for e in row):
            continue
        place = scheme.grid.dimension - 1 - axis
        for end in (0, 1):
            node = 0 if end == 0 else scheme.grid.points[axis] - 1
            on_side = {
                k: np.take(v, [node], place)
                if np.ndim(v) == scheme.grid.dimension and v.shape[place] > 1
                else v
                for k, v in environment.items()
            }
            numbers = [[np.asarray(evaluate(e, on_side)) for e in row] for row in entries]
            shape = np.broadcast_shapes(*(v.shape for row in numbers for v in row))
            rows = [np.stack([np.broadcast_to(v, shape) for v in row], axis=-1) for row in numbers]
            at_side = np.stack(rows, axis=-2).astype(np.float64)
            eigenvalues = np.linalg.eigvals(at_side)
            # Rounding of a zero eigenvalue is no wave.
            noise = 1e-9 * max(float(np.abs(eigenvalues).max()), np.finfo(float).tiny)
            velocity = -eigenvalues.real if end == 0 else eigenvalues.real
            incoming = int((velocity > noise).sum(axis=-1).max())
            given = [
                f
                for f in system.field_names
                if not isinstance(scheme.conditions[f][axis][end], Free)
            ]
            if incoming > len(given):
                return (
                    f"{incoming} wave{'s' * (incoming > 1)} come{'s' * (incoming == 1)} in at "
                    f"{name} {ENDS[end]}, where {len(given) or 'no'} field"
                    f"{'s have' if len(given) != 1 else ' has'} a condition"
                )
    return ""
