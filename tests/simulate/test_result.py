"""Laws of Result: it means what it says, and comes back from every file bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pdenet.errors import PdenetError, ResultError
from pdenet.simulate.layout import Attribute
from pdenet.simulate.result import Result
from tests.strategies import few_each

SUFFIXES = ("zarr", "nc")
# Points per axis in coordinate order; odd, unequal numbers show every swap of axes.
GRIDS = {1: (7,), 2: (5, 3), 3: (5, 3, 2)}


def make_result(
    dimension: int = 2,
    frames: int = 4,
    dtype: type = np.float64,
    components: tuple[str, ...] = ("u", "u_t"),
    attributes: dict[str, Attribute] | None = None,
) -> Result:
    """A result of random bits of every magnitude, so that no rounding can hide."""
    points = GRIDS[dimension]
    random = np.random.default_rng(dimension)
    shape = (frames, len(components), *reversed(points))
    states: np.ndarray = (
        random.normal(size=shape) * 10.0 ** random.integers(-30, 30, shape)
    ).astype(dtype)
    times = np.cumsum(random.uniform(0.1, 1, frames))
    nodes = tuple(np.linspace(-1, 1 / 3, n) for n in points)
    return Result(times, states, components, ("x", "y", "z")[:dimension], nodes, attributes)


def assert_same_bits(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


def assert_same_result(got: Result, expected: Result) -> None:
    assert_same_bits(got.times, expected.times)
    assert_same_bits(got.states, expected.states)
    assert (got.components, got.axes) == (expected.components, expected.axes)
    for mine, theirs in zip(got.nodes, expected.nodes, strict=True):
        assert_same_bits(mine, theirs)
    assert got.attributes == expected.attributes
    assert [type(v) for v in got.attributes.values()] == [
        type(v) for v in expected.attributes.values()
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_a_saved_result_comes_back_bit_for_bit(
    tmp_path: Path, suffix: str, dtype: type, dimension: int
) -> None:
    result = make_result(dimension, dtype=dtype)
    result.save(tmp_path / f"r.{suffix}")
    assert_same_result(Result.open(tmp_path / f"r.{suffix}"), result)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(
    values=hnp.arrays(np.float64, (2, 1, 3), elements=st.floats(allow_subnormal=True)),
    time=st.floats(1e-300, 1e300),
)
def test_every_float_survives_a_file(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, values: np.ndarray, time: float
) -> None:
    # NaN, infinities, subnormal numbers and the sign of zero among them.
    path = tmp_path_factory.mktemp("floats") / f"r.{suffix}"
    result = Result([0.0, time], values, ("u",), ("x",), (np.arange(3.0),))
    result.save(path)
    assert_same_result(Result.open(path), result)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("value", [0.0, -0.0, np.nan])
def test_a_constant_frame_is_a_frame(tmp_path: Path, suffix: str, value: float) -> None:
    # Stores like to leave out chunks that equal the fill value, and to forget the sign of zero.
    result = Result([0.0], np.full((1, 1, 3), value), ("u",), ("x",), (np.arange(3.0),))
    result.save(tmp_path / f"r.{suffix}")
    assert_same_result(Result.open(tmp_path / f"r.{suffix}"), result)


@pytest.mark.parametrize("suffix", SUFFIXES)
@few_each
@given(
    number=st.floats(allow_nan=False, allow_infinity=False),
    integer=st.integers(-(2**63) + 1, 2**63 - 1),
    text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200),
)
def test_attributes_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, number: float, integer: int, text: str
) -> None:
    path = tmp_path_factory.mktemp("attributes") / f"r.{suffix}"
    attributes: dict[str, Attribute] = {"dt": number, "steps": integer, "equation, ∂ₜu": text}
    make_result(1, attributes=attributes).save(path)
    back = Result.open(path).attributes
    assert back == attributes
    assert [type(v) for v in back.values()] == [float, int, str]
    assert np.float64(back["dt"]).tobytes() == np.float64(number).tobytes()  # the sign of 0.0 too


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_long_equation_fits_into_an_attribute(tmp_path: Path, suffix: str) -> None:
    # HDF5 keeps short attributes in headers of 64 kB; a long text must not meet that limit.
    result = make_result(1, attributes={"equation": "u_t = u" * 100_000})
    result.save(tmp_path / f"r.{suffix}")
    assert_same_result(Result.open(tmp_path / f"r.{suffix}"), result)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_components_keep_their_order_and_names(tmp_path: Path, suffix: str) -> None:
    names = ("v", "u[10]", "u[2]", "a", "ρ", "u_t")  # neither alphabetical nor numerical
    result = make_result(2, components=names)
    result.save(tmp_path / f"r.{suffix}")
    assert_same_result(Result.open(tmp_path / f"r.{suffix}"), result)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_xarray_names_the_axes_as_the_arrays_have_them(dimension: int) -> None:
    result = make_result(dimension, attributes={"stepper": "rk4"})
    dataset = result.to_xarray()
    for k, name in enumerate(result.components):
        assert dataset[name].dims == ("time", *("z", "y", "x")[-dimension:])
        np.testing.assert_array_equal(dataset[name].to_numpy(), result.states[:, k])
        assert np.shares_memory(dataset[name].to_numpy(), result.states)
    for axis, nodes in zip(result.axes, result.nodes, strict=True):
        np.testing.assert_array_equal(dataset[axis].to_numpy(), nodes)
    np.testing.assert_array_equal(dataset["time"].to_numpy(), result.times)
    assert dataset.attrs["stepper"] == "rk4"


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_xarray_opens_our_files_and_sees_the_same_dataset(tmp_path: Path, dimension: int) -> None:
    result = make_result(dimension, attributes={"stepper": "rk4", "dt": 0.1, "steps": 3})
    result.save(tmp_path / "r.zarr")
    result.save(tmp_path / "r.nc")
    with xr.open_zarr(tmp_path / "r.zarr") as dataset:
        assert dataset.identical(result.to_xarray())
    with xr.open_dataset(tmp_path / "r.nc", engine="h5netcdf") as dataset:
        assert dataset.identical(result.to_xarray())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("frames", [slice(-1, None), slice(1, 3), slice(None, None, 2)])
def test_some_frames_can_be_opened_alone(tmp_path: Path, suffix: str, frames: slice) -> None:
    result = make_result(2, frames=5)
    result.save(tmp_path / f"r.{suffix}")
    part = Result.open(tmp_path / f"r.{suffix}", frames=frames)
    assert_same_bits(part.times, result.times[frames])
    assert_same_bits(part.states, result.states[frames])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_overwriting_replaces_all_of_the_old_result(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r.{suffix}"
    make_result(2, frames=9, components=("a", "b", "c")).save(path)
    result = make_result(1, frames=2)
    with pytest.raises(ResultError, match="overwrite=True"):
        result.save(path)
    result.save(path, overwrite=True)
    assert_same_result(Result.open(path), result)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failing_save_leaves_the_old_result_and_no_litter(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"r.{suffix}"
    old = make_result(1)
    old.save(path)
    real = os.replace

    def refuse(source: Path, target: Path) -> None:
        if Path(target) == path and not Path(source).name.endswith(".old"):
            raise OSError("no space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no space"):
        make_result(2).save(path, overwrite=True)
    monkeypatch.undo()
    assert_same_result(Result.open(path), old)
    assert os.listdir(tmp_path) == [path.name]


def test_a_folder_that_is_no_result_is_never_deleted(tmp_path: Path) -> None:
    path = tmp_path / "thesis.zarr"
    path.mkdir()
    (path / "chapter1.txt").write_text("ten years of work")
    with pytest.raises(ResultError, match="not deleted"):
        make_result().save(path, overwrite=True)
    assert (path / "chapter1.txt").read_text() == "ten years of work"


@pytest.mark.parametrize("where", ["u", "time"])
def test_a_damaged_zarr_file_is_noticed(tmp_path: Path, where: str) -> None:
    path = tmp_path / "r.zarr"
    make_result(2).save(path)
    chunk = next(p for p in (path / where).iterdir() if p.name.startswith("c.1") or where == "time")
    chunk = chunk if chunk.name != "zarr.json" else path / "time" / "c.0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(bytes(content))
    with pytest.raises(ResultError):
        Result.open(path)


def test_a_damaged_netcdf_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "r.nc"
    # Random bits do not compress: the largest part of the file is states, nearly as they are.
    bits = np.random.default_rng(0).integers(-(2**63), 2**63, (50, 1, 40), np.int64)
    states = bits.view(np.float64)
    Result(np.arange(50.0), states, ("u",), ("x",), (np.arange(40.0),)).save(path)
    content = bytearray(path.read_bytes())
    content[-len(content) // 4] ^= 1  # in the frames, which are the largest part of the file
    path.write_bytes(bytes(content))
    with pytest.raises(ResultError):
        Result.open(path)


def test_a_lost_chunk_is_noticed_and_the_frames_before_it_are_readable(tmp_path: Path) -> None:
    path = tmp_path / "r.zarr"
    result = make_result(2)
    result.save(path)
    (path / "u_t" / "c.2.0.0").unlink()
    with pytest.raises(ResultError, match=r"Frame 2 of 'u_t'.*slice\(2\)"):
        Result.open(path)
    assert_same_bits(Result.open(path, frames=slice(2)).states, result.states[:2])


def test_large_frames_are_cut_into_several_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Compressors take at most 2 GiB; here at most two rows of z.
    monkeypatch.setattr("pdenet.simulate.storage._LARGEST_CHUNK_BYTES", 200)
    points = (4, 3, 7)
    states = np.random.default_rng(0).normal(size=(2, 1, 7, 3, 4))
    nodes = tuple(np.arange(float(n)) for n in points)
    result = Result([0.0, 1.0], states, ("u",), ("x", "y", "z"), nodes)
    result.save(tmp_path / "r.zarr")
    assert len(list((tmp_path / "r.zarr" / "u").glob("c.*"))) == 2 * 4
    assert_same_result(Result.open(tmp_path / "r.zarr"), result)


def test_final_is_the_last_frame_and_repr_says_the_essentials() -> None:
    result = make_result(2)
    assert result.final is not None
    np.testing.assert_array_equal(result.final, result.states[-1])
    for part in ("4 frames", "u, u_t", "x=5, y=3", "float64"):
        assert part in repr(result)


def test_importing_result_loads_no_heavy_library() -> None:
    code = (
        "import sys, pdenet.simulate.result as r, pdenet.simulate.frames;"
        "heavy = {'zarr', 'xarray', 'matplotlib', 'PIL', 'imageio', 'torch'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=60)


X = np.arange(3.0)
STATES = np.zeros((2, 1, 3))
BAD_RESULTS = {
    "times not increasing": (([0.0, 0.0], STATES, ("u",), ("x",), (X,)), "frame 1"),
    "time NaN": (([0.0, np.nan], STATES, ("u",), ("x",), (X,)), "nan"),
    "no frame": (([], STATES[:0], ("u",), ("x",), (X,)), "at least one frame"),
    "frames and times differ": (([0.0], STATES, ("u",), ("x",), (X,)), r"\(2, 1, 3\)"),
    "components and states differ": (
        ([0.0, 1.0], STATES, ("u", "v"), ("x",), (X,)),
        r"\(2, 1, 3\)",
    ),
    "component named twice": (([0.0, 1.0], STATES, ("u", "u"), ("x",), (X,)), "different"),
    "components as one text": (([0.0, 1.0], STATES, (), ("x",), (X,)), "components"),
    "axis without nodes": (([0.0, 1.0], STATES, ("u",), ("x", "y"), (X,)), "2 axes"),
    "integer nodes": (([0.0, 1.0], STATES, ("u",), ("x",), (np.arange(3),)), "int64"),
    "falling nodes": (([0.0, 1.0], STATES, ("u",), ("x",), (X[::-1],)), "increasing"),
    "integer states": (([0.0, 1.0], STATES.astype(int), ("u",), ("x",), (X,)), "int64"),
    "complex states": (([0.0, 1.0], STATES * 1j, ("u",), ("x",), (X,)), "complex128"),
}


@pytest.mark.parametrize(("arguments", "says"), BAD_RESULTS.values(), ids=BAD_RESULTS.keys())
def test_a_result_that_does_not_fit_together_is_refused(
    arguments: tuple[list[float], np.ndarray, tuple[str, ...], tuple[str, ...], tuple[np.ndarray]],
    says: str,
) -> None:
    with pytest.raises(ResultError, match=says):
        Result(*arguments)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("stable", True, "a bool"),
        ("dt", float("nan"), "nan"),
        ("until", float("inf"), "inf"),
        ("count", 2**64, "more than 64 bits"),
        ("text", "a\0b", "NUL"),
        ("values", [1, 2], "a list"),
        ("a/b", 1, "'a/b'"),
        ("_FillValue", 1, "'_FillValue'"),
        ("coordinates", "x y", "'coordinates'"),
        ("", 1, "''"),
    ],
)
def test_an_attribute_that_a_file_would_change_is_refused(
    name: str, value: Attribute, says: str
) -> None:
    with pytest.raises(ResultError, match=says):
        make_result(attributes={name: value})


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["time", "x", "a/b", ".."])
def test_a_component_that_would_hide_a_coordinate_is_not_saved(
    tmp_path: Path, suffix: str, name: str
) -> None:
    with pytest.raises(ResultError, match="Rename the field"):
        make_result(components=(name,)).save(tmp_path / f"r.{suffix}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["r.txt", "r", "missing/r.zarr", "missing/r.nc"])
def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ResultError, match=name.split("/", maxsplit=1)[0]):
        make_result().save(tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_opening_nothing_or_something_else_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ResultError, match="there is no"):
        Result.open(tmp_path / f"r.{suffix}")
    if suffix == "zarr":
        (tmp_path / "r.zarr").mkdir()
    else:
        (tmp_path / "r.nc").write_text("no netCDF")
    with pytest.raises(ResultError, match="Check the path"):
        Result.open(tmp_path / f"r.{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_foreign_dataset_is_refused(tmp_path: Path, suffix: str) -> None:
    foreign = xr.Dataset({"a": ("x", np.arange(3.0))})
    path = tmp_path / f"r.{suffix}"
    if suffix == "zarr":
        foreign.to_zarr(path, consolidated=False)
    else:
        foreign.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(PdenetError, match="result that pdenet saved"):
        Result.open(path)


@pytest.mark.parametrize("frames", [slice(None, None, -1), slice(9, None)])
def test_frames_that_are_not_there_are_refused(tmp_path: Path, frames: slice) -> None:
    make_result().save(tmp_path / "r.zarr")
    with pytest.raises(ResultError, match="frames"):
        Result.open(tmp_path / "r.zarr", frames=frames)
