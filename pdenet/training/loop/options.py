"""Options: all that decides a training run, under the names that timm's users know.

Precedence: defaults < recipe < TOML file < command line; `settle` puts them together.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any  # a field's default is of its own type

from pdenet.errors import TrainingError, suggest
from pdenet.training.loop import kinds
from pdenet.training.loop.kinds import Kind, to_toml
from pdenet.training.loop.recipes import RECIPES
from pdenet.training.loop.runs import ARGUMENTS, locate
from pdenet.training.loop.schedule import SCHEDULES, Schedule

if TYPE_CHECKING:  # torch is imported when a run begins, not for the help
    from pdenet.training.data.options import DataOptions

OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam", "adamw", "nadam", "radam")
"""Those of `optimisers`, which imports torch."""

BUNDLED = ("digits", "faces")
"""Data sets that need no folder."""


def _option(default: Any, kind: Kind, text: str, group: str, short: str = "") -> Any:
    metadata = {"kind": kind, "help": text, "group": group, "short": short}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


_SHARE = kinds.number(0.0, 1.0)
_NOT_NEGATIVE = kinds.number(0.0)
_POSITIVE = kinds.number(0.0, above=True)
_BELOW_ONE = kinds.number(0.0, 1.0, below=True)


@dataclass(frozen=True)
class TrainOptions:
    """What to train, on what, how and where. See `pdenet train --help` for each of them.

    Raises:
        TrainingError: a value makes no sense, by itself or with another; the message names it.

    Example:
        >>> TrainOptions(epochs=3, lr=1).lr
        1.0
        >>> TrainOptions(opt="sdg")
        Traceback (most recent call last):
            ...
        pdenet.errors.TrainingError: opt is one of sgd, momentum, rmsprop, adam, adamw, nadam,
        radam; got 'sdg'. Did you mean 'sgd'?
    """

    # fmt: off
    model: str = _option("eq7_nows_x6", kinds.text(), "a name of pdenet.list_models()", "model")
    num_classes: int | None = _option(None, kinds.whole(2), "by default those of the data", "model")
    in_chans: int | None = _option(None, kinds.whole(1), "channels of a picture", "model")
    drop: float = _option(0.0, _BELOW_ONE, "dropout before the head", "model")
    drop_path: float = _option(0.0, _BELOW_ONE, "stochastic depth", "model")
    model_kwargs: Mapping[str, object] = _option(
        {}, kinds.mapping(), "options of the model: activation=hardtanh directions=6", "model")

    data_dir: str | None = _option(
        None, kinds.path(), "a folder with train/ and val/, or digits, or faces", "data")
    img_size: int | None = _option(None, kinds.whole(1), "pixels along each side", "data")
    class_list: str | None = _option(
        None, kinds.path(), "a text file with the class folders to use, one a line", "data")
    max_bad_files: int = _option(0, kinds.whole(0), "unreadable files to pass over", "data")
    workers: int = _option(2, kinds.whole(0), "processes that read images of folders", "data", "-j")
    batch_size: int = _option(128, kinds.whole(1), "images a batch, of each process", "data", "-b")
    tune: bool = _option(
        False, kinds.flag(), "digits, faces: validate on a part of the training part", "data")

    aa: str = _option("", kinds.text(), "RandAugment: rand-m9-mstd0.5", "augmentation")
    hflip: float | None = _option(None, _SHARE, "probability of a mirror image", "augmentation")
    shift: int = _option(0, kinds.whole(0), "move by up to so many pixels", "augmentation")
    scale: tuple[float, float] | None = _option(
        None, kinds.interval(1.0), "area of the crop", "augmentation")
    ratio: tuple[float, float] = _option(
        (3 / 4, 4 / 3), kinds.interval(), "width over height of the crop", "augmentation")
    color_jitter: float | None = _option(None, _NOT_NEGATIVE, "its strength", "augmentation")
    reprob: float = _option(0.0, _SHARE, "probability of random erasing", "augmentation")
    mixup: float = _option(0.0, _NOT_NEGATIVE, "its alpha; 0 for none", "augmentation")
    cutmix: float = _option(0.0, _NOT_NEGATIVE, "its alpha; 0 for none", "augmentation")
    smoothing: float = _option(0.0, _BELOW_ONE, "label smoothing", "augmentation")
    crop_pct: float = _option(
        0.875, kinds.number(0.0, 1.0, above=True), "central part for validation", "augmentation")
    mean: tuple[float, ...] | None = _option(
        None, kinds.numbers(None, "numbers, one a channel"), "subtracted", "augmentation")
    std: tuple[float, ...] | None = _option(
        None, kinds.numbers(None, "numbers, one a channel"), "divided by", "augmentation")

    opt: str = _option("sgd", kinds.word(*OPTIMIZERS), ", ".join(OPTIMIZERS), "optimisation")
    lr: float = _option(0.1, _POSITIVE, "the peak learning rate", "optimisation")
    momentum: float = _option(0.9, _BELOW_ONE, "of sgd, momentum, rmsprop", "optimisation")
    weight_decay: float = _option(1e-4, _NOT_NEGATIVE, "of weights, not of scales", "optimisation")
    layer_decay: float | None = _option(
        None, kinds.number(0.0, 1.0, above=True), "rate of a layer over the next", "optimisation")
    sched: str = _option("cosine", kinds.word(*SCHEDULES), ", ".join(SCHEDULES), "optimisation")
    epochs: int = _option(50, kinds.whole(1), "how many, warm-up included", "optimisation")
    warmup_epochs: float = _option(0.0, _NOT_NEGATIVE, "may be a fraction", "optimisation")
    warmup_lr: float = _option(0.0, _NOT_NEGATIVE, "where warm-up begins", "optimisation")
    min_lr: float = _option(0.0, _NOT_NEGATIVE, "where the cosine ends", "optimisation")
    decay_epochs: float = _option(30.0, _POSITIVE, "of step: epochs to a decay", "optimisation")
    decay_rate: float = _option(0.1, kinds.number(0, 1), "of step: its factor", "optimisation")
    cooldown_epochs: int = _option(0, kinds.whole(0), "at the last rate", "optimisation")
    clip_grad: float | None = _option(None, _POSITIVE, "largest gradient norm", "optimisation")
    grad_accum_steps: int = _option(1, kinds.whole(1), "batches of an update", "optimisation")
    model_ema: bool = _option(
        False, kinds.flag(), "average the weights; the average is judged too", "optimisation")
    model_ema_decay: float = _option(0.9998, _BELOW_ONE, "of the average", "optimisation")
    depth_penalty: float = _option(
        0.0, _NOT_NEGATIVE, "weight of the coefficients' variation over depth", "optimisation")
    hyperbolicity_penalty: float = _option(
        0.0, _NOT_NEGATIVE, "weight of what keeps the system from being hyperbolic", "optimisation")
    seed: int = _option(0, kinds.whole(0), "of everything random", "optimisation")

    device: str = _option("auto", kinds.word(), "cpu, cuda, cuda:1; auto: cuda or cpu", "machine")
    amp: bool = _option(False, kinds.flag(), "mixed precision", "machine")
    amp_dtype: str = _option(
        "bfloat16", kinds.word("bfloat16", "float16"), "its narrow type", "machine")
    channels_last: bool = _option(False, kinds.flag(), "channels innermost in memory", "machine")
    torchcompile: bool = _option(False, kinds.flag(), "compile the model", "machine")
    sync_bn: bool = _option(False, kinds.flag(), "batch norm over all processes; GPU", "machine")
    deterministic: bool = _option(
        False, kinds.flag(), "GPU: the same bits in every run, and slower", "machine")

    guard_snapshots: int = _option(4, kinds.whole(1), "good states to go back to", "guard")
    guard_every: int = _option(20, kinds.whole(1), "updates between them", "guard")
    guard_factor: float = _option(
        0.5, kinds.number(0, 1, above=True, below=True), "of the rate, each time", "guard")
    guard_loss: float = _option(
        10.0, _NOT_NEGATIVE, "a loss above so many ln(classes) counts as bad; 0: none", "guard")
    max_trips: int = _option(10, kinds.whole(0), "how often to go back before giving up", "guard")
    monitor_every: int = _option(
        10, kinds.whole(0), "updates between looks at the state's size; 0: none", "guard")

    output: str = _option("out/train", kinds.path(), "where the folders of runs lie", "output")
    experiment: str | None = _option(None, kinds.word(), "name of the run's folder", "output")
    resume: str | None = _option(None, kinds.path(), "auto, or a run or checkpoint", "output")
    checkpoint_every: int = _option(
        0, kinds.whole(0), "updates between checkpoints within an epoch; 0: none", "output")
    log_interval: int = _option(50, kinds.whole(1), "updates between shown losses", "output")
    tensorboard: bool = _option(False, kinds.flag(), "write for TensorBoard too", "output")
    recipe: str | None = _option(None, kinds.word(*RECIPES), ", ".join(RECIPES), "output")
    # fmt: on

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            made = option.metadata["kind"].check(option.name, value, default_of(option))
            object.__setattr__(self, option.name, made)
        if self.epochs <= self.warmup_epochs:
            raise TrainingError(
                f"warm-up ends before the last epoch; got epochs={self.epochs} and warmup_epochs="
                f"{self.warmup_epochs:g}; give warmup_epochs too, so that the peak rate is reached"
            )
        self.schedule(1000)
        self.data_options()
        name = self.experiment
        if name is not None and (Path(name).name != name or name == ".."):
            raise TrainingError(
                f"experiment is the name of a folder, without a path; got {name!r}; say by output "
                "where it lies"
            )

    @property
    def family(self) -> str:
        """What runs like this one are called: the model and the data."""
        return f"{self.model or 'model'}-{Path(self.data_dir or 'digits').resolve().name}"

    def locate(self) -> tuple[Path, Path | None]:
        """Return the folder of the run, and the checkpoint to resume where one is named."""
        return locate(Path(self.output), self.experiment, self.family, self.resume)

    def schedule(self, steps_per_epoch: int) -> Schedule:
        """Return the schedule of the learning rate."""
        return Schedule(
            lr=self.lr,
            epochs=self.epochs,
            steps_per_epoch=steps_per_epoch,
            sched=self.sched,
            warmup_epochs=self.warmup_epochs,
            warmup_lr=self.warmup_lr,
            min_lr=self.min_lr,
            decay_epochs=self.decay_epochs,
            decay_rate=self.decay_rate,
            cooldown_epochs=self.cooldown_epochs,
        )

    def data_options(self) -> DataOptions:
        """Return what decides the batches.

        Raises:
            TrainingError: an option of the data makes no sense.
        """
        from pdenet.training.data.options import DataOptions

        is_bundled = self.data_dir is None or self.data_dir in BUNDLED
        names = (option.name for option in dataclasses.fields(DataOptions))
        given: dict[str, Any] = {name: getattr(self, name) for name in names if name in OPTIONS}
        given["workers"] = 0 if is_bundled else self.workers  # bundled images are in memory
        given["class_list"] = None if self.class_list is None else Path(self.class_list)
        return DataOptions(
            dataset=(self.data_dir or "digits") if is_bundled else "folder",
            folder=None if is_bundled else Path(self.data_dir or ""),
            image_size=self.img_size,
            in_channels=self.in_chans,
            **given,
        )

    def as_plain(self) -> dict[str, object]:
        """Return all options by name, those that are None left out."""
        found = {option.name: getattr(self, option.name) for option in dataclasses.fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    def to_toml(self) -> str:
        """Write the options as a TOML file that `--config` reads."""
        return to_toml({k: v for k, v in self.as_plain().items() if k not in PLACES})


PLACES = ("output", "experiment", "resume")
"""Where a run lies: no part of what it is."""

OPTIONS = {option.name: option for option in dataclasses.fields(TrainOptions)}
"""All options by name; `metadata` holds the kind, help, group and short flag."""


def default_of(option: dataclasses.Field[Any]) -> object:
    """Return the default of an option."""
    if option.default_factory is not dataclasses.MISSING:
        return option.default_factory()
    return option.default


def settle(given: Mapping[str, object], config: str | Path | None = None) -> TrainOptions:
    """Put together what a run is told.

    Later ones win: defaults, the recipe, the TOML file, what is given. Where a run is resumed, its
    own options come before the TOML file. Without a recipe and without a folder of images the
    recipe is "digits".

    Args:
        given: options by name.
        config: a TOML file of options.

    Raises:
        TrainingError: there is no such option, file or recipe, or a value makes no sense.
    """
    _check_names(given, "the call")
    said = {**({} if config is None else read_toml(Path(config))), **given}
    recipe = said.get("recipe")
    resume = said.get("resume")
    is_new = resume is None or resume == "auto"
    if recipe is None and is_new and said.get("data_dir") in (None, "digits"):
        recipe = "digits"
    OPTIONS["recipe"].metadata["kind"].check("recipe", recipe, None)
    layers: dict[str, Any] = dict(RECIPES[str(recipe)]) if recipe else {}
    if recipe:
        layers["recipe"] = recipe
    if resume is None:
        return TrainOptions(**{**layers, **said})
    places = {k: v for k, v in {**layers, **said}.items() if k in (*PLACES, "model", "data_dir")}
    # With the defaults for all the rest, which need not go with what is said.
    arguments = TrainOptions(**places).locate()[0] / ARGUMENTS
    kept = read_toml(arguments) if arguments.is_file() else {}
    return TrainOptions(**{**layers, **kept, **said})


def read_toml(path: Path) -> dict[str, object]:
    """Read options from a TOML file.

    Raises:
        TrainingError: the file cannot be read, or holds something else.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(
            f"a TOML file of options was expected; {str(path)!r}: {error.strerror or error}; "
            "check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(
            f"a TOML file of options was expected; {str(path)!r} is none: {error}; correct it"
        ) from error
    found.pop("transforms", None)  # of runs that could choose between Pillow's and timm's
    _check_names(found, str(path))
    return found


def _check_names(found: Mapping[str, object], where: str) -> None:
    for name in found:
        if name not in OPTIONS:
            raise TrainingError(
                f"options of a training run were expected; {where} has {name!r}."
                f"{suggest(name, OPTIONS)}"
            )
