"""Forms: the factor of a quadratic form, made triangular.

|L u|² is |Q L u|² for orthogonal Q: L is free up to rotations from the left. Of L = Q R the R is
triangular, with n(n − 1)/2 zeros, and with a positive diagonal unique.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pdenet.network.convnet.activation import Radial
from pdenet.network.convnet.classifier import Classifier
from pdenet.symmetry.network.stages import stage_of


@torch.no_grad()
def triangulate(model: Classifier, stages: Sequence[int]) -> None:
    """Replace the factors of quadratic forms at some stages by upper triangular ones, in place.

    The function stays, up to rounding; a factor that is triangular already stays exactly.

    Args:
        model: a classifier.
        stages: numbers of stages, from 1; to the last belongs the activation behind it.
    """
    modules = [m for number in stages for m in stage_of(model, number).activations]
    if len(model.stages) in stages:
        modules.append(model.final)
    for module in modules:
        if not isinstance(module, Radial) or module.factor is None:
            continue
        factor = module.factor.double().cpu().numpy()
        if np.array_equal(factor, np.triu(factor)) and (np.diag(factor) > 0).all():
            continue
        _, root = np.linalg.qr(factor)
        r = root * np.where(np.diag(root) < 0, -1.0, 1.0)[:, None]
        module.factor.copy_(torch.from_numpy(r).to(module.factor))
