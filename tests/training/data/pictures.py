"""Pictures for tests: textures of scikit-image, folders of them, and timm's transforms."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image


def texture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A colour crop of a real photograph."""
    import skimage.data

    photograph = np.asarray(skimage.data.astronaut())
    random = np.random.default_rng(seed)
    top, left = random.integers(0, 512 - height + 1), random.integers(0, 512 - width + 1)
    return Image.fromarray(photograph[top : top + height, left : left + width].copy())


def write_folder(root: Path, classes: tuple[str, ...] = ("a", "b"), train: int = 7) -> Path:
    """A data set of small photographs of various sizes and formats."""
    for c, name in enumerate(classes):
        for part, count in (("train", train), ("val", 3)):
            (root / part / name).mkdir(parents=True)
            for k in range(count):
                picture = texture(20 + 3 * k, 31 - 2 * k, seed=100 * c + k + 50 * (part == "val"))
                suffix = ("png", "jpg", "webp")[k % 3]
                picture.save(root / part / name / f"{k}.{suffix}")
    return root


def timm_module(name: str) -> ModuleType:
    """Import a module of timm; torchvision's wheel needs two schemas on a CPU build of torch."""
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    for schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        with contextlib.suppress(RuntimeError):  # it is there already
            torch.library.define(
                "torchvision::" + schema.split("(")[0], schema[schema.index("(") :]
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        return importlib.import_module(name)
