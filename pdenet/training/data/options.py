"""Options: all that decides the batches, checked when they are written down."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pdenet.errors import DataError, TrainingError
from pdenet.training.data.randaugment import RandAugment
from pdenet.training.loop import kinds

DATASETS = ("digits", "faces", "folder")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_SHARE, _NOT_NEGATIVE = kinds.number(0.0, 1.0), kinds.number(0.0)
_KINDS = {
    "dataset": kinds.word(*DATASETS),
    "image_size": kinds.whole(1),
    "batch_size": kinds.whole(1),
    "workers": kinds.whole(0),
    "seed": kinds.whole(0),
    "hflip": _SHARE,
    "shift": kinds.whole(0),
    "scale": kinds.interval(1.0),
    "ratio": kinds.interval(),
    "color_jitter": _NOT_NEGATIVE,
    "reprob": _SHARE,
    "mixup": _NOT_NEGATIVE,
    "cutmix": _NOT_NEGATIVE,
    "smoothing": _SHARE,
    "crop_pct": kinds.number(0.0, 1.0, above=True),
    "mean": kinds.numbers(None, "numbers, one a channel"),
    "std": kinds.numbers(None, "numbers, one a channel"),
    "max_bad_files": kinds.whole(0),
    "max_pixels": kinds.whole(1),
}

_NATIVE = {"digits": 8, "faces": 25, "folder": 224}


@dataclass(frozen=True)
class DataOptions:
    """Which images, how they are augmented, and how they are gathered into batches.

    None means the data set's own choice; `settled` fills it in. Flags that timm has too are named
    and meant as there.

    Attributes:
        dataset: "digits" (1797 handwritten digits, 8×8), "faces" (100 crops with a face and 100
            without, 25×25) or "folder"; None for a folder where one is given, else the digits.
        folder: root of `train/<class>/…` and `val/<class>/…`.
        image_size: height and width of the images of a batch; None for 8, 25 or 224.
        in_channels: 1 (grey) or 3 (colour); None for 1, 1 or 3.
        batch_size: images of a batch on each rank.
        workers: processes that read images; 0 reads them in the training process.
        seed: of the order of the samples, of augmentation and of mixing.
        class_list: text file with one class folder a line, `#` for comments: a subset of classes.
        tune: digits and faces only: leave the test part alone, and split the training part again
            into training and validation, to choose hyper-parameters by.
        aa: "", or RandAugment as in "rand-m9-mstd0.5"; it replaces the colour jitter.
        hflip: probability of a mirror image; None for 0, 0.5 or 0.5.
        shift: translate by up to so many pixels along each axis; zeros (black) come in.
        scale: area of RandomResizedCrop as parts of the image; None for no crop of digits and
            faces, and (0.08, 1) for folders.
        ratio: width over height of that crop.
        color_jitter: brightness, contrast and saturation change by factors within 1 ± this; None
            for 0, 0 or 0.4.
        reprob: probability that a rectangle is replaced by noise (random erasing).
        mixup: parameter α of mixup's Beta(α, α); 0 for none.
        cutmix: the same of cutmix; where both are given, each takes half of the batches.
        smoothing: label smoothing: this share of a target is spread evenly over all classes.
        crop_pct: validation images are the central part of this extent.
        mean: subtracted from each channel; None for the training part's own mean (digits, faces),
            ImageNet's (colour folders) or 0.5 (grey folders).
        std: by which each channel is then divided; None likewise.
        max_bad_files: so many unreadable files are passed over in each part by each rank.
        max_pixels: a file whose header promises more is refused before it is decoded.
        pin_memory: worker batches arrive in page-locked memory, for faster copies to a GPU.
    """

    dataset: str | None = None
    folder: Path | None = None
    image_size: int | None = None
    in_channels: int | None = None
    batch_size: int = 64
    workers: int = 0
    seed: int = 0
    class_list: Path | None = None
    tune: bool = False
    aa: str = ""
    hflip: float | None = None
    shift: int = 0
    scale: tuple[float, float] | None = None
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    color_jitter: float | None = None
    reprob: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.0
    crop_pct: float = 0.875
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    max_bad_files: int = 0
    max_pixels: int = 2**26
    pin_memory: bool = False

    def __post_init__(self) -> None:
        """Check every value by itself, then those that depend on one another.

        Raises:
            TrainingError: an option makes no sense.
            DataError: `in_channels` is neither 1 nor 3.
        """
        self._check_numbers()
        self._check_dataset()
        self._check_colours()
        if self.aa:
            RandAugment.parse(self.aa)

    @property
    def name(self) -> str:
        """The data set: "digits", "faces" or "folder"."""
        return self.dataset or ("digits" if self.folder is None else "folder")

    @property
    def _channels(self) -> int:
        return self.in_channels or (3 if self.name == "folder" else 1)

    def settled(self) -> DataOptions:
        """Return the options with the data set's own choices in place of None.

        `mean` and `std` of digits and faces stay None: they are computed from the training part.
        """
        is_folder = self.name == "folder"
        channels = self._channels
        mean, std = self.mean, self.std
        if is_folder:
            grey = (0.5,)
            mean = mean or (IMAGENET_MEAN if channels == 3 else grey)
            std = std or (IMAGENET_STD if channels == 3 else grey)
        hflip = 0.0 if self.name == "digits" else 0.5
        jitter = 0.4 if is_folder else 0.0
        return dataclasses.replace(
            self,
            dataset=self.name,
            image_size=self.image_size or _NATIVE[self.name],
            in_channels=channels,
            hflip=hflip if self.hflip is None else self.hflip,
            scale=(0.08, 1.0) if is_folder and self.scale is None else self.scale,
            color_jitter=jitter if self.color_jitter is None else self.color_jitter,
            mean=mean,
            std=std,
        )

    def _check_numbers(self) -> None:
        for option in dataclasses.fields(self):
            if option.name in _KINDS:
                value = getattr(self, option.name)
                made = _KINDS[option.name].check(option.name, value, option.default)
                object.__setattr__(self, option.name, made)
        # Pillow refuses what is larger by itself, and only by a setting of the whole process.
        most = 2 * (Image.MAX_IMAGE_PIXELS or math.inf)
        if self.max_pixels > most:
            raise TrainingError(
                f"max_pixels is at most {most} here; got {self.max_pixels}; raise "
                "PIL.Image.MAX_IMAGE_PIXELS first, if these images are to be trusted"
            )

    def _check_dataset(self) -> None:
        name = self.name
        if (name == "folder") != (self.folder is not None):
            raise TrainingError(
                f"a folder goes with the data set 'folder', and with no other; got dataset={name!r}"
                f" and folder={self.folder!r}; give both or neither"
            )
        if name != "folder" and self.class_list is not None:
            raise TrainingError(
                f"class_list chooses among the class folders of a data set; got dataset={name!r}, "
                "which has none; give a folder too, or leave class_list out"
            )
        if name == "folder" and self.tune:
            raise TrainingError(
                "tune splits the training part of digits and faces; got dataset='folder'; put the "
                "images to tune by into the folder's val/"
            )

    def _check_colours(self) -> None:
        if self.in_channels not in (None, 1, 3) or isinstance(self.in_channels, bool):
            raise DataError(
                f"images are read as grey or as colour: in_channels is 1 or 3; got "
                f"{self.in_channels!r}; choose one of them"
            )
        channels = self._channels
        for name in ("mean", "std"):
            value = getattr(self, name)
            if value is None:
                continue
            if (
                not isinstance(value, tuple)
                or len(value) != channels
                or (name == "std" and min(value) <= 0)
            ):
                what = "positive numbers" if name == "std" else "numbers"
                raise TrainingError(
                    f"{name} is a tuple of {channels} {what}, one a channel; got {value!r}; "
                    "leave it out for the default"
                )
