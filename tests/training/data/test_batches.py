"""Batches: a pure function of their numbers, whoever builds them and in however many parts."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import multiprocessing
import random
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pdenet.errors import DataError, DataWarning
from pdenet.training.data.loaders import Batch, DataOptions, load_data
from tests.training.data.pictures import write_folder

EVERYTHING = DataOptions(
    image_size=16,
    batch_size=4,
    aa="rand-m9-mstd0.5",
    shift=2,
    reprob=0.5,
    mixup=0.4,
    cutmix=1.0,
    smoothing=0.1,
)


def is_same(one: Iterable[Batch], other: Iterable[Batch]) -> bool:
    """Whether all batches agree bit by bit."""
    pairs = list(itertools.zip_longest(one, other))
    return bool(pairs) and all(
        a is not None and b is not None and torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
        for a, b in pairs
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("folder"), ("a", "b", "ü ö"))


SOURCES = st.sampled_from(
    [
        DataOptions(batch_size=100),
        DataOptions(batch_size=300, shift=1, hflip=0.5, smoothing=0.1),
        dataclasses.replace(EVERYTHING, dataset="digits", batch_size=200, scale=(0.5, 1.0)),
        dataclasses.replace(EVERYTHING, dataset="faces", batch_size=20, color_jitter=0.2, aa=""),
    ]
)


@given(SOURCES, st.integers(0, 2**40), st.integers(0, 10**6), st.data())
def test_a_resumed_epoch_yields_the_rest_of_the_batches_bitwise(
    options: DataOptions, seed: int, epoch: int, data: st.DataObject
) -> None:
    options = dataclasses.replace(options, seed=seed)
    train = load_data(options).train
    start = data.draw(st.integers(0, len(train) - 1))
    whole = list(train.epoch(epoch))
    assert len(whole) == len(train)
    # By another object, which has seen nothing before.
    assert is_same(load_data(options).train.epoch(epoch, start), whole[start:])
    assert list(train.epoch(epoch, len(train))) == []


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.deep), 2])
def test_workers_change_no_bit(workers: int, folder: Path) -> None:
    for options in (
        dataclasses.replace(EVERYTHING, folder=folder, seed=3),
        dataclasses.replace(EVERYTHING, folder=folder, aa="", in_channels=1),
        DataOptions(batch_size=400, shift=1),
    ):
        here = load_data(options)
        there = load_data(dataclasses.replace(options, workers=workers))
        assert is_same(here.train.epoch(2), there.train.epoch(2))
        assert is_same(here.train.epoch(2, 1), there.train.epoch(2, 1))
        assert is_same(here.val, there.val)
    assert multiprocessing.active_children() == []


def test_workers_end_with_an_epoch_that_is_given_up(folder: Path) -> None:
    options = dataclasses.replace(EVERYTHING, folder=folder, batch_size=1, workers=2)
    batches = load_data(options).train.epoch(0)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    del batches
    gc.collect()
    assert multiprocessing.active_children() == []


KILLED = """
import sys
from pdenet.training.data.loaders import DataOptions, load_data

if __name__ == "__main__":
    for batch in load_data(DataOptions(workers=2, batch_size=8)).train.epoch(0):
        print("started", flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.deep)]
)
def test_no_worker_outlives_a_training_process_that_is_killed(
    how: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "run.py").write_text(KILLED)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.send_signal(how)
        # The workers and their server hold the same pipe: it ends with the last of them.
        assert process.communicate(timeout=60)[0] == b""
    assert process.returncode in (-how, 1)


def global_states() -> tuple[torch.Tensor, object, list[object]]:
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 (what others may rely on)
    return torch.get_rng_state(), random.getstate(), [str(numpy_state)]


@pytest.mark.parametrize("workers", [0, 2])
def test_no_global_random_state_is_read_or_changed(workers: int, folder: Path) -> None:
    options = dataclasses.replace(EVERYTHING, folder=folder, workers=workers)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        random.seed(seed)
        before = global_states()
        found.append(list(load_data(options).train.epoch(0)))
        after = global_states()
        assert torch.equal(before[0], after[0])
        assert before[1:] == after[1:]
    assert is_same(*found)


def test_epochs_and_seeds_differ(folder: Path) -> None:
    for options in (EVERYTHING, DataOptions(batch_size=200, shift=1)):
        options = dataclasses.replace(options, folder=folder if options is EVERYTHING else None)
        train = load_data(options).train
        other = load_data(dataclasses.replace(options, seed=1)).train
        assert not is_same(train.epoch(0), train.epoch(1))
        assert not is_same(train.epoch(0), other.epoch(0))
        assert len({train.name_batch(0, 0), train.name_batch(1, 0), other.name_batch(0, 0)}) == 3


@given(
    st.integers(1, 5),
    st.integers(1, 500),
    st.integers(0, 10**6),
    st.sampled_from(["digits", "faces"]),
)
def test_ranks_take_disjoint_parts_of_one_order(
    ranks: int, batch_size: int, epoch: int, dataset: str
) -> None:
    options = DataOptions(dataset=dataset, batch_size=batch_size)
    alone = load_data(dataclasses.replace(options, batch_size=batch_size * ranks)).train
    parts = [load_data(options, rank, ranks).train for rank in range(ranks)]
    assert {len(part) for part in parts} == {len(alone)}
    seen: Counter[str] = Counter()
    for b in range(len(alone)):
        together = [name for part in parts for name in part.name_batch(epoch, b).split(", ")]
        assert sorted(together) == sorted(alone.name_batch(epoch, b).split(", "))
        seen.update(together)
    assert set(seen.values()) == {1}
    size = batch_size * ranks
    # Whole batches only, unless there is none.
    kept = alone.num_samples // size * size or alone.num_samples
    assert len(seen) == kept


@given(st.integers(1, 7), st.integers(1, 400), st.sampled_from(["digits", "faces"]))
def test_validation_shows_every_sample_once_over_all_ranks(
    ranks: int, batch_size: int, dataset: str
) -> None:
    options = DataOptions(dataset=dataset, batch_size=batch_size)
    parts = [load_data(options, rank, ranks).val for rank in range(ranks)]
    names = [
        name for part in parts for b in range(len(part)) for name in part.name_batch(b).split(", ")
    ]
    assert len(names) == len(set(names)) == parts[0].num_samples
    shown = [label for part in parts for _, labels in part for label in labels.tolist()]
    alone = [label for _, labels in load_data(options).val for label in labels.tolist()]
    assert sorted(shown) == sorted(alone)
    assert [len(list(part)) for part in parts] == [len(part) for part in parts]


def test_names_are_those_of_the_images_in_the_batch() -> None:
    from sklearn.datasets import load_digits

    data = load_data(DataOptions(batch_size=50))
    images = load_digits().images / 16
    for b, (batch, labels) in itertools.islice(enumerate(data.train.epoch(4)), 3):
        numbers = [
            int(name.removeprefix("digit ")) for name in data.train.name_batch(4, b).split(", ")
        ]
        made = batch[:, 0] * data.std[0] + data.mean[0]
        np.testing.assert_allclose(made, images[numbers], atol=1e-6)  # float32
        assert labels.tolist() == load_digits().target[numbers].tolist()


def test_files_are_named_by_their_paths(folder: Path) -> None:
    train = load_data(DataOptions(folder=folder, batch_size=21, image_size=8)).train
    names = train.name_batch(0, 0).split(", ")
    assert sorted(names) == sorted(str(path) for path in folder.glob("train/*/*"))


def test_an_incomplete_batch_is_kept_where_it_is_the_only_one(folder: Path) -> None:
    train = load_data(DataOptions(folder=folder, batch_size=64, image_size=8)).train
    assert [len(targets) for _, targets in train.epoch(0)] == [21]
    halves = [
        load_data(DataOptions(folder=folder, batch_size=16, image_size=8), rank, 2).train
        for rank in (0, 1)
    ]
    assert [[len(t) for _, t in half.epoch(0)] for half in halves] == [[11], [10]]


# Unreadable files: 21 training files, of which some are spoilt.


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    write_folder(tmp_path, ("a", "b", "ü ö"))
    (tmp_path / "train/a/1.jpg").write_bytes(b"")
    whole = (tmp_path / "train/b/3.png").read_bytes()
    (tmp_path / "train/b/3.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "val/b/0.png").write_text("no image")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_file_is_an_error_of_the_main_process_that_names_it(
    workers: int, spoilt: Path
) -> None:
    data = load_data(DataOptions(folder=spoilt, image_size=8, batch_size=3, workers=workers))
    with pytest.raises(DataError) as caught:
        list(data.train.epoch(0))
    assert type(caught.value) is DataError
    assert any(str(spoilt / "train" / name) in str(caught.value) for name in ("a/1.jpg", "b/3.png"))
    assert str(caught.value).startswith("an image file was expected; got ")
    with pytest.raises(DataError, match=r"val/b/0\.png"):
        list(data.val)
    gc.collect()
    assert multiprocessing.active_children() == []


def test_above_the_cap_all_bad_files_are_listed(spoilt: Path) -> None:
    train = load_data(
        DataOptions(folder=spoilt, image_size=8, batch_size=21, max_bad_files=1)
    ).train
    with pytest.raises(DataError, match="at most max_bad_files=1") as caught:
        list(train.epoch(0))
    assert "a/1.jpg" in str(caught.value)
    assert "b/3.png" in str(caught.value)


def test_bad_files_are_counted_over_the_epochs(spoilt: Path) -> None:
    """One bad file in each half: the second is one too many, whenever it comes."""
    train = load_data(DataOptions(folder=spoilt, image_size=8, batch_size=1, max_bad_files=1)).train
    with pytest.raises(DataError, match="got 2 so far"):
        list(train.epoch(0))


@pytest.mark.parametrize("workers", [0, 2])
def test_another_sample_stands_in_for_a_bad_one_and_no_other_batch_changes(
    workers: int, spoilt: Path, folder: Path
) -> None:
    options = DataOptions(image_size=16, batch_size=3, max_bad_files=2, shift=1, workers=workers)
    damaged = load_data(dataclasses.replace(options, folder=spoilt))
    sound = load_data(dataclasses.replace(options, folder=folder, workers=0))
    with pytest.warns(DataWarning, match="2 unreadable files of the training part") as caught:
        batches = list(damaged.train.epoch(5))
    assert len(caught) == 1
    assert Path(caught[0].filename) == Path(__file__)
    changed = 0
    for b, (one, other) in enumerate(zip(batches, sound.train.epoch(5), strict=True)):
        assert one[0].shape == other[0].shape
        names = damaged.train.name_batch(5, b)
        assert ("unreadable" in names) == ("a/1.jpg" in names or "b/3.png" in names)
        # The next file in the order of the folder.
        for bad, good in (("a/1.jpg", "a/2.webp"), ("b/3.png", "b/4.jpg")):
            said = f"{bad} (unreadable; {spoilt / 'train' / good} instead)"
            assert (said in names) == (bad in names)
        for k, name in enumerate(sound.train.name_batch(5, b).split(", ")):
            is_bad = name.endswith(("a/1.jpg", "b/3.png"))
            assert torch.equal(one[0][k], other[0][k]) != is_bad
            assert one[1][k] == other[1][k]  # the next file is of the same class here
            changed += is_bad
    assert changed == 2
    # A pure function still: in another object, from the middle, and again without a new warning.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_same(damaged.train.epoch(5), batches)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = load_data(dataclasses.replace(options, folder=spoilt, workers=0)).train
        assert is_same(again.epoch(5, 2), batches[2:])


def test_a_bad_file_is_left_out_of_validation(spoilt: Path, folder: Path) -> None:
    options = DataOptions(image_size=16, batch_size=1, max_bad_files=2)
    sound = list(load_data(dataclasses.replace(options, folder=folder)).val)
    with pytest.warns(DataWarning, match=r"1 unreadable files of the validation.*val/b/0\.png"):
        shown = list(load_data(dataclasses.replace(options, folder=spoilt)).val)
    assert is_same(shown, sound[:3] + sound[4:])  # a/0 a/1 a/2 b/0 …


def test_the_last_files_of_all_are_replaced_by_the_first(tmp_path: Path) -> None:
    write_folder(tmp_path)
    last = sorted(tmp_path.glob("train/b/*"))[-2:]
    for path in last:
        path.write_bytes(b"")
    train = load_data(
        DataOptions(folder=tmp_path, image_size=8, batch_size=1, max_bad_files=2)
    ).train
    with pytest.warns(DataWarning):
        labels = [int(targets) for _, targets in train.epoch(0)]
    assert sorted(labels) == [0] * 9 + [1] * 5  # both give way to the first file of class a


def test_samples_batches_and_epochs_draw_differently() -> None:
    plain = DataOptions(batch_size=100)
    # Noise replaces another rectangle in each sample.
    before, after = (
        next(load_data(dataclasses.replace(plain, reprob=p)).train.epoch(0))[0] for p in (0.0, 1.0)
    )
    masks = (before != after).flatten(1)
    assert len(masks.unique(dim=0)) > 50
    # A sample is shifted otherwise in another epoch: 1 in 25 keeps its place, few are symmetric.
    train = load_data(dataclasses.replace(plain, batch_size=2000, shift=2)).train
    seen = []
    for epoch in (0, 1):
        ((images, _),) = train.epoch(epoch)
        names = train.name_batch(epoch, 0).split(", ")
        seen.append(dict(zip(names, images, strict=True)))
    same = sum(torch.equal(image, seen[1][name]) for name, image in seen[0].items())
    assert 0.02 * 1437 < same < 0.08 * 1437
    # Each batch has a weight of its own: its least largest share is max(λ, 1 − λ).
    pairs = load_data(dataclasses.replace(plain, mixup=1.0)).train
    weights = {round(float(targets.max(1).values.min()), 6) for _, targets in pairs.epoch(0)}
    assert len(weights) > 10
    # And each rank, at the same batch.
    ranks = [load_data(dataclasses.replace(plain, mixup=1.0), rank, 2).train for rank in (0, 1)]
    both = [next(part.epoch(0))[1].max(1).values.min() for part in ranks]
    assert both[0] != both[1]
