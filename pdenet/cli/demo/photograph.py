"""The photograph of the demo: scikit-image's `camera`, which its wheel carries."""

from __future__ import annotations

import numpy as np


def photograph(points: int) -> np.ndarray:
    """Return grey levels from 0 (black) to 1, shape `(points, points)`, y growing with the row."""
    from skimage import data, transform

    picture = data.camera()[::-1] / 255.0
    return np.asarray(transform.resize(picture, (points, points), anti_aliasing=True))


def largest(difference: np.ndarray) -> float:
    """Return the largest absolute difference in grey levels, of which there are 255."""
    return float(255 * np.abs(difference).max())


def typical(difference: np.ndarray) -> float:
    """Return the root of the mean square difference in grey levels."""
    return float(255 * np.sqrt(np.mean(difference**2)))
