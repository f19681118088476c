"""Loading: a trained classifier and its data, from a run or from a file of weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # the state of a checkpoint

from torch import Tensor, nn

from pdenet.errors import CheckpointError, DataError, NetworkError, TrainingError, suggest
from pdenet.network.convnet.config import MODELS
from pdenet.network.convnet.models import classifier_from_config, create_model
from pdenet.network.convnet.weights import load_weights, read_config, read_tensors
from pdenet.training.data.loaders import Data, DataOptions, load_data
from pdenet.training.evaluation.history import History
from pdenet.training.loop.building import build_model
from pdenet.training.loop.checkpoint import Checkpoints, Saved, read_checkpoint
from pdenet.training.loop.options import BUNDLED, OPTIONS, PLACES, TrainOptions
from pdenet.training.loop.runs import is_run

KINDS = ("best", "last")
"""The checkpoints of a run."""

_AVERAGE = "module."
"""Before the names of the averaged weights in a checkpoint `last`."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A classifier with trained weights.

    Attributes:
        model: in evaluation mode, on the CPU.
        name: what it is called.
        data: what it is measured on.
        classes: the names of its classes; those that the data do not have are numbered.
        source: which weights these are.
        folder: where the page belongs.
        history: of the run; empty for a file of weights.
        channels_last: whether the run had channels innermost in memory.
    """

    model: nn.Module
    name: str
    data: Data
    classes: tuple[str, ...]
    source: str
    folder: Path
    history: History = field(default_factory=History)
    channels_last: bool = False

    @property
    def dataset(self) -> str:
        """What it is measured on, in a word."""
        options = self.data.options
        return options.name if options.folder is None else options.folder.resolve().name


def load_run(
    path: Path,
    kind: str = "best",
    *,
    average: bool = False,
    data_dir: str | None = None,
    batch_size: int | None = None,
    model: nn.Module | None = None,
) -> Loaded:
    """Load what `pdenet train` has written.

    Args:
        path: the folder of a run, or one checkpoint in it.
        kind: "best" or "last". A run that has no `best` has validated nothing.
        average: take the average of the weights, which `best` of a run with an average always is.
        data_dir: a folder with train/ and val/, or "digits" or "faces", instead of the run's own.
        batch_size: instead of the run's own.
        model: takes the weights, instead of the one that the run names.

    Raises:
        TrainingError: there is no run, or no such kind of checkpoint.
        CheckpointError: every checkpoint is damaged, or holds another model or no average.
        DataError: the data have other classes than the model.
    """
    path = Path(path)
    if kind not in KINDS:
        raise TrainingError(
            f"a checkpoint is one of {', '.join(KINDS)}; got {kind!r}.{suggest(str(kind), KINDS)}"
        )
    saved, folder = read_saved(path, kind)
    state: Any = saved.state
    try:
        options = TrainOptions(**_plain(state["options"]))
        classes = tuple(str(name) for name in state["classes"])
        wanted = dataclasses.replace(
            options.data_options(),
            image_size=state["image_size"],
            in_channels=state["in_channels"],
            mean=tuple(state["mean"]),
            std=tuple(state["std"]),
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"a checkpoint of `pdenet train` was expected; {str(saved.path)!r} does not say "
            f"{error}; name its model: --model NAME --weights {saved.path / 'weights.safetensors'}"
        ) from error
    data = _data(wanted, data_dir, batch_size)
    made = model if model is not None else _model_of(state["model"], options, data)
    weights = _averaged(saved) if average else saved.weights
    try:
        made.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise CheckpointError(
            f"weights of {options.model} were expected; those in {str(saved.path)!r} do not fit: "
            f"{error}; take the version of pdenet that wrote them"
        ) from error
    _check_classes(classes, data)
    of_average = average or (bool(options.model_ema) and saved.path.name.startswith("best"))
    return Loaded(
        model=made.eval(),
        name=options.model,
        data=data,
        classes=_padded(classes, _num_outputs(made)),
        source=f"{folder}, {saved.path.name}{', average of the weights' if of_average else ''}",
        folder=folder,
        history=History.read(folder),
        channels_last=options.channels_last,
    )


def load_file(
    path: Path,
    name: str | None = None,
    *,
    data_dir: str | None = None,
    batch_size: int | None = None,
    image_size: int | None = None,
) -> Loaded:
    """Load a file of weights.

    It says nothing of the pictures it was trained on: those of a folder are 224 pixels large, and
    normalised as by default, unless their size is given.

    Args:
        path: a safetensors file.
        name: of the model, where the file does not say: one of `pdenet.list_models()`.
        data_dir: a folder with train/ and val/, or "digits" or "faces"; by default the digits.
        batch_size: of the pictures that go through the model together.
        image_size: pixels along each side; by default the data set's own.

    Raises:
        TrainingError: neither the file nor the name says which model it is.
        UnknownNameError: there is no model of that name.
        CheckpointError: the file is missing or damaged.
        NetworkError: it does not fit the model.
        DataError: the data have more classes than the model.
    """
    path = Path(path)
    made, called = _model_of_file(path, name)
    load_weights(made, path)
    wanted = DataOptions(in_channels=made.in_channels, image_size=image_size)
    data = _data(wanted, data_dir, batch_size)
    outputs = _num_outputs(made)
    if len(data.classes) > outputs:
        raise DataError(
            f"data of at most {outputs} classes were expected, as the weights {str(path)!r} have; "
            f"got {len(data.classes)}; name the data they were trained on by --data-dir"
        )
    return Loaded(
        model=made.eval(),
        name=called,
        data=data,
        classes=_padded(data.classes, outputs),
        source=str(path),
        folder=path.parent,
    )


def read_saved(path: Path, kind: str | None = None) -> tuple[Saved, Path]:
    """Return a checkpoint, and the folder of its run.

    Args:
        path: the folder of a run, or one checkpoint in it.
        kind: "best" or "last"; None for the best, or else the last.

    Raises:
        TrainingError: there is no run, or no such kind of checkpoint.
        CheckpointError: every checkpoint is damaged.
    """
    if (path / "manifest.json").exists():
        return read_checkpoint(path), path.parent
    if not is_run(path):
        what = "holds none" if path.is_dir() else "is no folder"
        raise TrainingError(
            f"the folder of a run of `pdenet train`, or a file of weights, was expected; "
            f"{str(path)!r} {what}; check the path"
        )
    for wanted in KINDS if kind is None else (kind,):
        saved = Checkpoints(path).load(wanted)
        if saved is not None:
            return saved, path
    other = "" if kind is None else f", or take --checkpoint {next(k for k in KINDS if k != kind)}"
    raise TrainingError(
        f"a checkpoint {' or '.join(KINDS) if kind is None else repr(kind)} was expected in "
        f"{str(path)!r}; there is none yet; wait for the end of an epoch{other}"
    )


def _plain(options: Mapping[str, object]) -> dict[str, Any]:
    # Where the run lay and what it resumed is nobody's business here.
    return {k: v for k, v in options.items() if k in OPTIONS and k not in PLACES}


def _model_of(config: Mapping[str, Any], options: TrainOptions, data: Data) -> nn.Module:
    # The config of a model that is no Classifier is its name alone.
    return classifier_from_config(config) if len(config) > 1 else build_model(options, data)


def _averaged(saved: Saved) -> dict[str, Tensor]:
    state: Any = saved.state
    average = state.get("ema")
    if average:
        return {
            name.removeprefix(_AVERAGE): value
            for name, value in average.items()
            if name.startswith(_AVERAGE)
        }
    if saved.path.name.startswith("best") and state["options"].get("model_ema"):
        return dict(saved.weights)
    raise CheckpointError(
        f"a checkpoint with an average of the weights was expected; {str(saved.path)!r} has none; "
        "leave --ema out, or train with --model-ema"
    )


def _data(options: DataOptions, data_dir: str | None, batch_size: int | None) -> Data:
    changes: dict[str, Any] = {}
    if data_dir is not None:
        is_bundled = data_dir in BUNDLED
        changes["dataset"] = data_dir if is_bundled else "folder"
        changes["folder"] = None if is_bundled else Path(data_dir)
        if is_bundled:
            changes["class_list"] = None
        else:
            changes["tune"] = False
    if batch_size is not None:
        changes["batch_size"] = batch_size
    return load_data(dataclasses.replace(options, **changes))


def _model_of_file(path: Path, name: str | None) -> tuple[Any, str]:
    """Return a classifier with newly drawn weights, and its name."""
    if name is None:
        try:
            config = read_config(path)
        except CheckpointError as error:
            if "says which model" not in str(error):
                raise
            raise TrainingError(
                f"a file that says its model was expected, or --model NAME; {str(path)!r} does "
                f"not; the models are {', '.join(MODELS)}"
            ) from error
        return classifier_from_config(config), str(config.get("name", path.stem))
    tensors, _ = read_tensors(path)
    stem, head = tensors.get("stem.0.weight"), tensors.get("head.weight")
    if stem is None or head is None or stem.ndim != 4 or head.ndim != 2:
        some = ", ".join(list(tensors)[:3]) or "nothing"
        raise NetworkError(
            f"weights of a classifier, with a stem and a head, were expected; {str(path)!r} has "
            f"{some}, …; name another file"
        )
    return create_model(name, head.shape[0], in_channels=stem.shape[1]), name


def _num_outputs(model: nn.Module) -> int:
    found: int = getattr(model, "num_classes", 0)
    return found


def _padded(classes: tuple[str, ...], outputs: int) -> tuple[str, ...]:
    return classes + tuple(f"output {k}" for k in range(len(classes), outputs))


def _check_classes(classes: tuple[str, ...], data: Data) -> None:
    if classes == data.classes:
        return
    extra = sorted(set(data.classes) ^ set(classes))[:5] or ["another order"]
    raise DataError(
        f"the {len(classes)} classes that the model was trained on were expected; the data have "
        f"{len(data.classes)}, which differ in {', '.join(map(repr, extra))}; name the right "
        "folder by --data-dir"
    )
