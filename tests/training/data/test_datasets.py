"""The data sets themselves: digits, faces, textures, folders; and timm's pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.textures import TEXTURES, write_textures
from pdenet.training.data import sources
from pdenet.training.data.loaders import DataOptions, load_data
from pdenet.training.data.transforms import central_box
from tests.training.data.pictures import write_folder


def test_digits_are_split_as_scikit_learn_splits_them() -> None:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    _, test = train_test_split(
        np.arange(1797), test_size=0.2, random_state=0, stratify=digits.target
    )
    data = load_data(DataOptions(batch_size=1000))
    ((images, labels),) = data.val
    numbers = [int(name.removeprefix("digit ")) for name in data.val.name_batch(0).split(", ")]
    assert numbers == sorted(test.tolist())
    made = images[:, 0] * data.std[0] + data.mean[0]
    np.testing.assert_allclose(made, digits.images[numbers] / 16, atol=1e-6)  # float32
    assert labels.tolist() == digits.target[numbers].tolist()
    assert data.classes == tuple("0123456789")
    assert (data.in_channels, data.image_size) == (1, 8)


def test_tuning_never_sees_the_test_part() -> None:
    for load, sizes in ((sources.digits, (1437, 360)), (sources.faces, (160, 40))):
        whole, tune = load(), load(tune=True)
        assert (len(whole.train), len(whole.val)) == sizes
        assert sorted([*whole.train, *whole.val]) == list(range(len(whole.labels)))
        assert sorted([*tune.train, *tune.val]) == whole.train.tolist()
        # Stratified: each class has its share of a fifth, to one sample.
        for made in (whole, tune):
            counts = [np.bincount(made.labels[part]) for part in (made.train, made.val)]
            assert abs(counts[1] - 0.2 * (counts[0] + counts[1])).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [None, 16, 5])
@pytest.mark.parametrize("dataset", ["digits", "faces"])
def test_training_images_in_memory_have_mean_zero_and_deviation_one(
    dataset: str, size: int | None, channels: int
) -> None:
    options = DataOptions(dataset=dataset, in_channels=channels, image_size=size, batch_size=2000)
    data = load_data(options)
    ((images, _),) = data.train.epoch(0)
    native = 8 if dataset == "digits" else 25
    assert images.shape[1:] == (channels, size or native, size or native)
    for c in range(channels):
        assert float(images[:, c].mean()) == pytest.approx(0, abs=1e-5)  # sums of 1e5 float32
        assert float(images[:, c].std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_faces_are_the_first_hundred_crops() -> None:
    data = load_data(DataOptions(dataset="faces", batch_size=7))
    assert data.classes == ("face", "other")
    for b, (_, labels) in enumerate(data.val):
        for name, label in zip(data.val.name_batch(b).split(", "), labels.tolist(), strict=True):
            assert label == (int(name.removeprefix("crop ")) >= 100)


def test_validation_images_are_central_crops_normalised(tmp_path: Path) -> None:
    write_folder(tmp_path)
    data = load_data(DataOptions(folder=tmp_path, image_size=12, crop_pct=0.75, batch_size=2))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    k = 0
    for b, (images, _) in enumerate(data.val):
        for image, name in zip(images, data.val.name_batch(b).split(", "), strict=True):
            with Image.open(name) as opened:
                picture = opened.convert("RGB")
            box = central_box(*picture.size, 0.75)
            crop = picture.resize((12, 12), Image.Resampling.BICUBIC, box=box)
            expected = (np.asarray(crop) / 255 - mean) / std
            np.testing.assert_allclose(image.permute(1, 2, 0), expected, atol=1e-5)  # float32
            k += 1
    assert k == 6


def test_a_grey_folder_is_normalised_by_a_half(tmp_path: Path) -> None:
    write_folder(tmp_path)
    data = load_data(DataOptions(folder=tmp_path, in_channels=1, image_size=8))
    assert (data.mean, data.std) == ((0.5,), (0.5,))
    ((images, _),) = data.val
    assert images.shape == (6, 1, 8, 8)
    assert -1 <= float(images.min()) <= float(images.max()) <= 1


def test_given_means_and_deviations_are_used(tmp_path: Path) -> None:
    raw = load_data(DataOptions(mean=(0.0,), std=(1.0,), batch_size=2000))
    ((images, _),) = raw.train.epoch(0)
    assert set((images * 16).unique().tolist()) == set(map(float, range(17)))


def test_defaults_depend_on_the_data_set(tmp_path: Path) -> None:
    digits, faces = DataOptions().settled(), DataOptions(dataset="faces").settled()
    pictures = DataOptions(folder=tmp_path).settled()
    for options, hflip, scale, jitter in (
        (digits, 0.0, None, 0.0),
        (faces, 0.5, None, 0.0),
        (pictures, 0.5, (0.08, 1.0), 0.4),
    ):
        assert (options.hflip, options.scale, options.color_jitter) == (hflip, scale, jitter)
        assert options.settled() == options


def test_sixteen_bit_training_images_keep_their_depth(tmp_path: Path) -> None:
    """A dark picture of twelve bits in sixteen: eight bits would leave 16 levels of 4096."""
    for part in ("train", "val"):
        for c in "ab":
            (tmp_path / part / c).mkdir(parents=True)
            values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
            Image.fromarray(values).save(tmp_path / part / c / "1.png")
    options = DataOptions(
        folder=tmp_path, in_channels=1, image_size=64, scale=(1, 1), ratio=(1, 1), hflip=0,
        color_jitter=0, crop_pct=1.0, mean=(0.0,), std=(1.0,),
    )  # fmt: skip
    data = load_data(options)
    expected = torch.arange(4096).reshape(64, 64) / 65535
    for images, _ in (*data.train.epoch(0), *data.val):
        torch.testing.assert_close(images[:, 0], expected.expand(2, -1, -1), atol=1e-7, rtol=0)


def test_textures_of_both_parts_have_no_pixel_in_common(tmp_path: Path) -> None:
    import skimage.data

    write_textures(tmp_path / "new", size=16, train=6, val=3, grey=False, seed=1)
    data = load_data(DataOptions(folder=tmp_path / "new", image_size=16))
    assert data.classes == TEXTURES
    assert (data.train.num_samples, data.val.num_samples) == (6 * 8, 3 * 8)
    for name in ("brick", "coffee"):
        photograph = np.asarray(getattr(skimage.data, name)())
        middle = int(0.7 * photograph.shape[1])
        for part, left, right in (("train", 0, middle), ("val", middle, photograph.shape[1])):
            for path in sorted((tmp_path / "new" / part / name).iterdir()):
                with Image.open(path) as opened:
                    crop = np.asarray(opened)
                columns = find_columns(photograph, crop)
                assert columns
                assert all(left <= column <= right - 16 for column in columns)


def find_columns(photograph: np.ndarray, crop: np.ndarray) -> list[int]:
    """Return the left edges of every place where a crop occurs."""
    size = len(crop)
    height, width = photograph.shape[0] - size + 1, photograph.shape[1] - size + 1
    is_corner = np.reshape(photograph[:height, :width] == crop[0, 0], (height, width, -1)).all(-1)
    return [
        int(j)
        for i, j in np.argwhere(is_corner)
        if np.array_equal(photograph[i : i + size, j : j + size], crop)
    ]


def test_textures_depend_on_the_seed_alone(tmp_path: Path) -> None:
    def contents(name: str, seed: int) -> list[bytes]:
        folder = write_textures(tmp_path / name, size=12, train=2, val=1, seed=seed)
        return [path.read_bytes() for path in sorted(folder.rglob("*.png"))]

    assert contents("one", 0) == contents("two", 0) != contents("three", 1)
    with Image.open(tmp_path / "one/train/coffee/0000.png") as image:
        assert image.mode == "L"
