"""Checkpoints: what was saved comes back, the newest of each kind; damage is seen."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any  # every kind of wrong value is given to the doors

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from pdenet.errors import CheckpointError, CheckpointWarning
from pdenet.training.loop import contents as files
from pdenet.training.loop.checkpoint import Checkpoints, read_checkpoint
from tests.training.loop.checkpoints import loaded_step, names_in, save, weights_at

# --- what comes back ---------------------------------------------------------------------------

plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=10,
)


@given(plain_values)
def test_plain_state_comes_back_equal_and_of_the_same_types(value: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder))
        checkpoints.save("last", 1, {}, {"value": value})
        saved = checkpoints.load()
    assert saved is not None
    # repr tells 1 from True and from 1.0, lists from tuples.
    assert repr(saved.state["value"]) == repr(value)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.bool, torch.uint8]
)
def test_tensors_come_back_bit_for_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    value = (torch.randn(3, 4, generator=torch.Generator().manual_seed(0)) * 10).to(dtype)
    scalar, empty = torch.tensor(2, dtype=dtype), torch.empty(0, 3, dtype=dtype)
    given = {"strided": value.T, "scalar": scalar, "empty": empty, "part": value[1:, :2]}
    Checkpoints(tmp_path).save("last", 1, given, dict(given))
    saved = Checkpoints(tmp_path).load()
    assert saved is not None
    for name, expected in given.items():
        for back in (saved.weights[name], saved.state[name]):
            assert isinstance(back, torch.Tensor)
            assert back.dtype == dtype
            assert torch.equal(back, expected)


def test_what_is_no_plain_float_comes_back_as_one(tmp_path: Path) -> None:
    """NumPy's float64 passes for a float in Python, but not when read with weights_only=True."""
    state = {"best": np.float64(0.1), "nested": ({"rate": np.float64(-np.inf)},)}
    Checkpoints(tmp_path).save("best", 3, {}, state)
    saved = Checkpoints(tmp_path).load("best")
    assert saved is not None
    assert saved.state == {"best": 0.1, "nested": ({"rate": -np.inf},)}
    assert type(saved.state["best"]) is float


def test_a_shared_tensor_is_stored_once_and_shared_again(tmp_path: Path) -> None:
    """As weights shared across depth are; another view of the same memory comes back by value."""
    w = torch.nn.Parameter(torch.arange(6000.0).reshape(60, 100))
    given = {"one": w, "two": w, "three": w.view(60, 100), "flat": w.view(-1), "other": w.T}
    empty = {"e1": torch.empty(0), "e2": torch.empty(0, 2)}
    path = Checkpoints(tmp_path).save("last", 1, {**given, **empty}, {})
    saved = read_checkpoint(path)
    for name, expected in {**given, **empty}.items():
        assert torch.equal(saved.weights[name], expected)
    assert saved.weights["one"] is saved.weights["two"] is saved.weights["three"]
    stored = safetensors.torch.load_file(path / files.WEIGHTS)
    assert stored.keys() == {"one", "flat", "other", "e1", "e2"}


def test_a_view_of_a_large_tensor_is_stored_without_the_rest(tmp_path: Path) -> None:
    large = torch.zeros(100_000)
    path = Checkpoints(tmp_path).save("last", 1, {"w": large[:2]}, {"s": large[:2]})
    # The containers' own overhead is some 1 kB each; the whole storage is 400 kB.
    assert sum(file.stat().st_size for file in path.iterdir()) < 8_000


def test_a_model_with_shared_weights_resumes(tmp_path: Path) -> None:
    def make() -> torch.nn.Module:
        layer = torch.nn.Linear(3, 3)
        return torch.nn.Sequential(layer, layer, torch.nn.BatchNorm1d(3))

    model, other = make(), make()
    Checkpoints(tmp_path).save("last", 1, model.state_dict(), {})
    saved = Checkpoints(tmp_path).load()
    assert saved is not None
    other.load_state_dict(saved.weights)
    x = torch.randn(4, 3)
    assert torch.equal(model(x), other(x))


# --- which one -----------------------------------------------------------------------------------


def test_the_newest_of_each_kind_is_read_and_two_of_each_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run" / "deep")
    assert checkpoints.load() is None
    save(checkpoints, 1, 2, 30, 100)
    save(checkpoints, 5, kind="best")
    assert names_in(checkpoints.folder) == ["best-5", "last-100", "last-30"]
    assert loaded_step(checkpoints.folder) == 100
    assert loaded_step(checkpoints.folder, "best") == 5
    assert checkpoints.load("other") is None


def test_the_newest_is_the_one_saved_last_whatever_its_step(tmp_path: Path) -> None:
    """A run that was taken back to an earlier step goes on from there."""
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 50, 60)
    save(Checkpoints(tmp_path), 7)
    assert loaded_step(tmp_path) == 7
    assert names_in(tmp_path) == ["last-60", "last-7"]


def test_the_same_step_again_destroys_nothing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 4)
    checkpoints.save("last", 4, {"again": torch.ones(1)}, {})
    assert names_in(tmp_path) == ["last-4", "last-4.2"]
    saved = checkpoints.load()
    assert saved is not None
    assert saved.step == 4
    assert saved.weights.keys() == {"again"}


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_damaged_ones_do_not_count_among_those_that_stay(keep: int, tmp_path: Path) -> None:
    for step in range(1, 5):
        save(Checkpoints(tmp_path, keep=10), step)
    for step in (3, 4):
        (tmp_path / f"last-{step}" / files.STATE).write_bytes(b"damaged")
    save(Checkpoints(tmp_path, keep), 5)
    assert names_in(tmp_path) == [f"last-{step}" for step in (1, 2, 5)[3 - keep :]]


def test_the_only_intact_one_stays_until_there_are_enough(tmp_path: Path) -> None:
    save(Checkpoints(tmp_path), 1)
    (tmp_path / "last-1" / files.WEIGHTS).write_bytes(b"")
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 2)
    assert names_in(tmp_path) == ["last-1", "last-2"]
    save(checkpoints, 3)
    assert names_in(tmp_path) == ["last-2", "last-3"]


# --- damage --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    save(Checkpoints(folder), 1, 2)
    return folder


# A bit of a number's mantissa: no reader but the checksum sees it.
@example(files.WEIGHTS, "flip", -70, 1)
@given(
    st.sampled_from([files.WEIGHTS, files.STATE, files.MANIFEST]),
    st.sampled_from(["flip", "truncate", "insert", "remove", "zero"]),
    st.integers(0, 10**6),
    st.integers(1, 255),
)
def test_any_damage_to_any_file_is_seen_and_the_older_one_used(
    two: Path, name: str, damage: str, place: int, mask: int
) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "run"
        shutil.copytree(two, folder)
        file = folder / "last-2" / name
        content = bytearray(file.read_bytes())
        place %= len(content)
        if damage == "flip":
            content[place] ^= mask
        elif damage == "truncate":
            del content[place:]
        elif damage == "insert":
            content.insert(place, mask)
        elif damage == "zero":  # what a power cut leaves on some file systems
            content[:] = bytes(len(content))
        file.write_bytes(content)
        if damage == "remove":
            file.unlink()
        with pytest.warns(CheckpointWarning, match=r"last-2' is damaged: .*'last-1' is used"):
            assert loaded_step(folder) == 1


def test_a_manifest_of_other_content_is_not_believed(two: Path, tmp_path: Path) -> None:
    """Every digit of it counts: the step, the order, the aliases."""
    shutil.copytree(two, tmp_path / "run")
    file = tmp_path / "run" / "last-2" / files.MANIFEST
    manifest = json.loads(file.read_bytes())
    for change in ({"step": 3}, {"sequence": 9}, {"aliases": {"c": "a"}}, {"format": 2}):
        file.write_text(json.dumps({**manifest, **change}, indent=1, sort_keys=True) + "\n")
        with pytest.warns(CheckpointWarning, match="is not as it was written"):
            assert loaded_step(tmp_path / "run") == 1


def test_all_damaged_is_an_error_that_names_each(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two, tmp_path / "run")
    for step in (1, 2):
        (tmp_path / "run" / f"last-{step}" / files.STATE).unlink()
    with pytest.raises(CheckpointError, match=r"(?s)every one is damaged.*last-2.*last-1"):
        Checkpoints(tmp_path / "run").load()


class _Foreign:
    """Something that weights_only=True does not read."""


def test_a_file_that_runs_code_is_refused_although_its_checksum_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_plain", lambda value, where: {"x": _Foreign()})
    path = Checkpoints(tmp_path).save("last", 1, {}, {})
    with pytest.raises(CheckpointError, match=r"(?s)cannot be parsed: .*_Foreign"):
        read_checkpoint(path)


@pytest.mark.parametrize("what", ["nothing", "file", "empty folder", "pipe inside"])
def test_what_is_no_checkpoint_is_refused_by_name(what: str, tmp_path: Path) -> None:
    path = tmp_path / "last-1"
    if what == "file":
        path.write_text("")
    elif what != "nothing":
        path.mkdir()
    if what == "pipe inside":
        os.mkfifo(path / files.MANIFEST)  # reading one would wait for ever
    with pytest.raises(CheckpointError, match="last-1' is damaged"):
        read_checkpoint(path)


# --- what is refused -----------------------------------------------------------------------------


class _Wrapped(torch.Tensor):
    pass


BAD_SAVES: dict[str, tuple[dict[str, Any], str]] = {
    "kind with a path": ({"kind": "../last"}, "word of small letters"),
    "kind with capitals": ({"kind": "Last"}, "word of small letters"),
    "kind no text": ({"kind": 3}, "word of small letters"),
    "negative step": ({"step": -1}, "at least 0"),
    "step no int": ({"step": 1.0}, "at least 0"),
    "step bool": ({"step": True}, "at least 0"),
    "NaN": ({"weights": {"w": torch.tensor([1.0, np.nan])}}, "1 values that are NaN"),
    "infinite": ({"weights": {"w": torch.tensor(np.inf)}}, r"weights\['w'\].*infinite"),
    "NaN in bfloat16": (
        {"weights": {"w": torch.tensor([np.nan], dtype=torch.bfloat16)}},
        "NaN or infinite",
    ),
    "NaN in the imaginary part": (
        {"weights": {"w": torch.tensor([complex(0, np.nan)])}},
        "NaN or infinite",
    ),
    "NaN in float8": (
        {"weights": {"w": torch.tensor([np.nan]).to(torch.float8_e4m3fn)}},
        "NaN or infinite",
    ),
    "NaN deep in the state": (
        {"state": {"opt": {0: [torch.tensor(np.nan)]}}},
        r"state\['opt'\]\[0\]\[0\] of shape \(\)",
    ),
    "weight no tensor": ({"weights": {"w": 1.0}}, "got float for 'w'"),
    "weight's name no text": ({"weights": {1: torch.ones(1)}}, "got Tensor for 1"),
    "weight's name no UTF-8": ({"weights": {"\udcff": torch.ones(1)}}, "names in UTF-8"),
    "sparse": ({"weights": {"w": torch.eye(2).to_sparse()}}, "dense tensors with values"),
    "meta": ({"weights": {"w": torch.empty(2, device="meta")}}, "dense tensors with values"),
    "subclass": (
        {"state": {"w": torch.ones(1).as_subclass(_Wrapped)}},
        r"state\['w'\] is _Wrapped",
    ),
    "state no mapping": ({"state": [1]}, "got list"),
    "state with an object": ({"state": {"rng": random.Random(0)}}, r"state\['rng'\] holds Random"),
    "state with a set": ({"state": {"x": {1}}}, "holds set"),
    "state with an array": ({"state": {"x": np.zeros(2)}}, "holds ndarray"),
    "state with a function": ({"state": {"x": print}}, "holds builtin"),
    "key of a tuple": ({"state": {(1, 2): 3}}, r"a key \(1, 2\) of type tuple"),
}


@pytest.mark.parametrize("case", BAD_SAVES)
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_a_bad_save_is_refused_and_changes_nothing(case: str, tmp_path: Path) -> None:
    change, message = BAD_SAVES[case]
    save(Checkpoints(tmp_path), 3)
    good: dict[str, Any] = {"kind": "last", "step": 4, "weights": weights_at(4), "state": {}}
    with pytest.raises(CheckpointError, match=message):
        Checkpoints(tmp_path).save(**{**good, **change})
    assert names_in(tmp_path) == ["last-3"]
    assert loaded_step(tmp_path) == 3


def _at_a_file(tmp_path: Path) -> Checkpoints:
    (tmp_path / "file").write_text("")
    return Checkpoints(tmp_path / "file")


def _in_a_file(tmp_path: Path) -> Checkpoints:
    (tmp_path / "file").write_text("")
    return Checkpoints(tmp_path / "file" / "run")


def _at_a_dead_link(tmp_path: Path) -> Checkpoints:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    return Checkpoints(tmp_path / "link")


BAD_FOLDERS: dict[str, tuple[Callable[[Path], Checkpoints], str]] = {
    "a file": (_at_a_file, "is a file"),
    "in a file": (_in_a_file, "can be (read|written)"),
    "a dead link": (_at_a_dead_link, "a link to nowhere"),
    "not UTF-8": (lambda path: Checkpoints(path / os.fsdecode(b"run\xff")), r"UTF-8.*run\\\\xff"),
    "a name too long": (lambda path: Checkpoints(path / ("a" * 300)), "can be (read|written)"),
    "keep 0": (lambda path: Checkpoints(path, keep=0), "at least 1; got 0"),
    "keep a float": (lambda path: Checkpoints(path, keep=2.0), "got 2.0"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_a_bad_folder_is_refused(case: str, tmp_path: Path) -> None:
    make, message = BAD_FOLDERS[case]
    with pytest.raises(CheckpointError, match=message):
        save(make(tmp_path), 1)


def test_a_folder_that_may_not_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stand-in for the system: who runs as root may write everywhere."""

    def refuse(path: Path, *rest: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    save(Checkpoints(tmp_path), 1)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CheckpointError, match=r"can be written.*Permission denied"):
        save(Checkpoints(tmp_path), 2)
    assert loaded_step(tmp_path) == 1


def test_a_link_to_a_folder_is_one_and_a_link_in_it_is_left_alone(tmp_path: Path) -> None:
    """Runs are often linked to another disk; a linked checkpoint is somebody else's."""
    save(Checkpoints(tmp_path / "elsewhere"), 9)
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "real")
    (tmp_path / "run" / "last-9").symlink_to(tmp_path / "elsewhere" / "last-9")
    save(Checkpoints(tmp_path / "run", keep=1), 10, 11)
    assert names_in(tmp_path / "real") == ["last-11", "last-9"]
    assert loaded_step(tmp_path / "run") == 11
    assert loaded_step(tmp_path / "elsewhere") == 9


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    strange = os.fsencode(tmp_path) + b"/last-\xff"
    os.mkdir(strange)
    (tmp_path / "last-1.txt").write_text("")
    (tmp_path / "last-").mkdir()
    save(Checkpoints(tmp_path, keep=1), 1, 2)
    assert loaded_step(tmp_path) == 2
    assert len(names_in(tmp_path)) == 4
