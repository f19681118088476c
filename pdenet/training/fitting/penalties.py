"""Penalties: what is known about parameters beside the observations."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Collection, Mapping

import torch

from pdenet.errors import FitError, suggest
from pdenet.training.fitting.keys import Key, names_of


def smoothness(
    names: Key | Collection[Key], weight: float
) -> Callable[[Mapping[str, torch.Tensor]], torch.Tensor]:
    """Return a penalty on differences between neighbours, weight · Σ (c[k+1] − c[k])².

    The sum runs over all pairs of neighbouring entries along every axis of the parameter; the two
    ends of an axis are no neighbours. A constant has penalty zero.

    Args:
        names: a parameter with at least one axis, such as a coefficient function c(x, y), or
            several.
        weight: positive, in 1/(unit of c)²; it is weighed against the mean squared residual, see
            `pdenet.fit`. With noise= given there, 1/(N d²) expects neighbours to differ by d, N
            being the number of measured values.

    Raises:
        FitError: a weight that is not positive; later, a name that the network does not have or
            that is a single number.

    Example:
        >>> penalty = smoothness("c", 0.5)
        >>> penalty({"c": torch.tensor([[0.0, 1.0], [0.0, 3.0]])})  # two rows: 1 + 9, and 0 + 4
        tensor(7.)
    """
    if (
        isinstance(weight, bool)
        or not isinstance(weight, numbers.Real)
        or not (0 < weight < math.inf)
    ):
        raise FitError(
            f"the weight of a penalty is a positive number; got {weight!r}; leave the penalty out "
            "for none"
        )

    chosen = names_of("the names of a smooth parameter", names)

    def penalty(quantities: Mapping[str, torch.Tensor]) -> torch.Tensor:
        squares = []
        for name in chosen:
            if name not in quantities:
                raise FitError(
                    f"smoothness of a parameter of the network, {', '.join(quantities)}, was "
                    f"expected; got {name!r}.{suggest(name, quantities)}"
                )
            c = quantities[name]
            if not c.ndim:
                raise FitError(
                    f"smoothness is that of an array; got {name}, a single number; leave it out"
                )
            squares += [torch.diff(c, dim=axis).square().sum() for axis in range(c.ndim)]
        return weight * torch.stack(squares).sum()

    return penalty
