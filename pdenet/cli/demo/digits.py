"""A conservation law is trained to read handwritten digits."""

from __future__ import annotations

import io
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import torch

from pdenet.cli.demo.section import Check, Picture, Progress, Section
from pdenet.equation.catalogue import catalogue
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.models import classifier_from_config
from pdenet.pages.drawings import formula
from pdenet.pages.pictures import still
from pdenet.training.data.loaders import Data, load_data
from pdenet.training.loop.checkpoint import Checkpoints
from pdenet.training.loop.options import TrainOptions
from pdenet.training.loop.recipes import RECIPES
from pdenet.training.loop.train import train

_CODE = """\
model = pn.create_model("eq7_nows_x6_small", num_classes=10, in_channels=1)
print(model.stages[0].blocks[0].explain())          # which part of the equation each layer is
logits = model(pictures)                            # (batch, 1, 8, 8) -> (batch, 10)

# The same training on the command line, and a page about what came of it:
#   pdenet train --recipe digits --epochs 8
#   pdenet evaluate out/train/eq7_nows_x6_small-digits"""

_SHOWN = 8  # components of each state
_WIDTH = 80
_EPOCHS = 8  # of the recipe's 30
# In per cent of the pictures that are set aside. Five seeds misread 0.3 to 1.7; ten epochs of a
# smaller layout some 10 %, with chance at 90 %.
_TOLERANCE, _FAST_TOLERANCE = 3.0, 25.0


def digits(is_fast: bool, progress: Progress) -> Section:
    """Train Eq. (7) on scikit-learn's digits, and show its solution at intermediate times."""
    progress("digits: Eq. (7) learns to read")
    chosen = dict(RECIPES["digits"]) | {"epochs": _EPOCHS}
    if is_fast:
        layout = {"widths": [12, 24], "depths": [1, 1]}
        chosen |= {"epochs": 10, "model_kwargs": {"layout": layout}}
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        with redirect_stderr(io.StringIO()):
            outcome = train(TrainOptions(**chosen, output=folder, experiment="digits"))  # type: ignore[arg-type]
        options = TrainOptions(**chosen)  # type: ignore[arg-type]  # a recipe is checked by itself
        data = load_data(options.data_options())
        model = _trained(outcome.folder)
    progress("digits: its solution")
    missed, pictures = _read(model, data)
    check = Check(
        "digits set aside, misread", missed, _FAST_TOLERANCE if is_fast else _TOLERANCE, "%"
    )
    eq7 = catalogue["eq7"]
    weights = sum(p.numel() for p in model.parameters())
    return Section(
        title="An equation learns to read",
        equation=formula(eq7.latex()),
        text=str(eq7),
        words=(
            "A classifier is an equation too: its initial state is a picture, its coefficients are "
            "the weights, and its solution at a later time says what the picture shows. A "
            f"conservation law with {weights:,} coefficients was trained for "
            f"{len(outcome.history)} epochs on {data.train.num_samples:,} handwritten digits of "
            "8×8 pixels, and then shown those that had been set aside: "
            f"{100 - missed:.1f} % are read correctly. Below are the initial state of one of them "
            "and the states behind each stage, red positive and blue negative."
        ),
        code=_CODE,
        rows=pictures,
        checks=(check,),
    )


def _trained(folder: Path) -> Classifier:
    # The last one: the best one would have been chosen on the digits that are set aside.
    saved = Checkpoints(folder).load("last")
    assert saved is not None
    config = saved.state["model"]
    assert isinstance(config, dict)
    model = classifier_from_config(config)
    model.load_state_dict(saved.weights)
    return model.eval()


@torch.no_grad()
def _read(model: Classifier, data: Data) -> tuple[float, tuple[tuple[Picture, ...], ...]]:
    """Return the share of misread digits in per cent, and rows of pictures."""
    wrong = total = 0
    seen: list[tuple[np.ndarray, int, int]] = []
    for images, labels in data.val:
        answers = model(images).argmax(1)
        wrong += int((answers != labels).sum())
        total += len(labels)
        known = {label for _, label, _ in seen}
        for image, label, answer in zip(images, labels.tolist(), answers.tolist(), strict=True):
            if label not in known:
                known.add(label)
                seen.append((image[0].numpy(), label, answer))
    seen.sort(key=lambda one: one[1])
    digits = tuple(
        Picture(_enlarged(-image[::-1], -image.max(), -image.min()), f"reads {answer}", _WIDTH)
        for image, _, answer in seen
    )
    first = torch.tensor(seen[3][0])[None, None]
    rows = [digits]
    maps = model.feature_maps(first)
    last = {name.split(".")[0]: state for name, state in maps.items()}
    for name, state in last.items():
        if name != "final":
            rows.append(_components(name, state[0].numpy()))
    return 100.0 * wrong / total, tuple(rows)


def _components(name: str, state: np.ndarray) -> tuple[Picture, ...]:
    size = float(np.abs(state[:_SHOWN]).max())
    title = "initial state" if name == "stem" else name.replace("stage", "stage ")
    side = "×".join(map(str, state.shape[1:]))
    return tuple(
        Picture(
            _enlarged(component[::-1], -size, size, "RdBu_r"),
            title if k == 0 else f"u[{k}]",
            _WIDTH,
            side if k == 0 else "",
        )
        for k, component in enumerate(state[:_SHOWN])
    )


def _enlarged(array: np.ndarray, low: float, high: float, colours: str = "gray") -> str:
    """Return a picture of some 80 pixels whatever its size; the page would blur a smaller one."""
    factor = max(1, _WIDTH // len(array))
    return still(np.kron(array, np.ones((factor, factor))), low, high, colours)
