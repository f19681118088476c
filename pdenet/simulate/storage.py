"""Frames on disk: a zarr store that survives the end of its writer at any moment, and netCDF.

Both hold one variable per component with the dimensions `(time, *space)` and one per coordinate,
so that xarray opens them as they are. The time of a frame is written last and is its commit mark:
a frame is finished when its time is a number. This module loads zarr and xarray; import it inside
the functions that need it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import LocalStore

from pdenet.errors import ResultError
from pdenet.files import replacing, written_whole
from pdenet.simulate.layout import FORMAT, FORMAT_VERSION, Attribute, Layout

# One chunk of times is rewritten with every frame: 8 kB, and 1000 times fewer files to read.
_TIMES_PER_CHUNK = 1024
# Blosc takes at most 2 GiB; a frame of a large 3-D grid is cut along its slowest axis.
_LARGEST_CHUNK_BYTES = 2**28


_Array = zarr.Array[Any]  # zarr's parameter is its metadata's class, v2 or v3


class _FlushedStore(LocalStore):
    """A local zarr store whose values are written whole: temporary name, fsync, `os.replace`."""

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()
        await asyncio.to_thread(_write, self.root / key, value.to_bytes())


class ZarrFrames:
    """The frames of a zarr store, opened for reading or for appending.

    A killed writer can leave a store with chunks, or lengths of arrays, beyond the last finished
    frame; they are ignored, and removed by `drop_unfinished`.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        """Open the store at `path`.

        Raises:
            ResultError: nothing is there, or something that is no result.
        """
        self._path = path
        if not path.exists():
            raise ResultError(
                f"Expected a saved result at {str(path)!r}; there is nothing. Check the path."
            )
        try:
            # A chunk equal to the fill value is written too: a frame of NaN is a frame.
            with zarr.config.set({"array.write_empty_chunks": True}):
                self._group = zarr.open_group(
                    _FlushedStore(path, read_only=not writable),
                    mode="r+" if writable else "r",
                    # Consolidated metadata is a copy made when a writer closes; arrays are newer.
                    use_consolidated=False,
                )
                # The times before the arrays, so that frames which a running writer adds
                # meanwhile are left out rather than half seen.
                self._time = self._array("time")
                times = np.asarray(self._time[:])
                arrays = dict(self._group.arrays())
            attributes = dict(self._group.attrs)
        except (KeyError, OSError, ValueError, TypeError) as error:
            raise _not_a_result(path) from error
        members = {n: a for n, a in arrays.items() if "component" in a.attrs}
        names = sorted(members, key=lambda n: int(str(members[n].attrs["component"])))
        if attributes.pop(FORMAT, None) != FORMAT_VERSION or not names:
            raise _not_a_result(path)
        self._arrays = [members[n] for n in names]
        metadata = self._arrays[0].metadata
        assert isinstance(metadata, ArrayV3Metadata)  # FORMAT_VERSION 1 is zarr's format 3
        dimensions = metadata.dimension_names or ()
        axes = tuple(str(d) for d in reversed(dimensions[1:]))
        self.layout = Layout(
            components=tuple(names),
            axes=axes,
            nodes=tuple(np.asarray(arrays[a][:]) for a in axes),
            dtype=self._arrays[0].dtype,
            attributes=attributes,  # type: ignore[arg-type]  # checked by Layout
        )
        unfinished = np.isnan(times)
        self.times = times[: int(np.argmax(unfinished))] if unfinished.any() else times

    @classmethod
    def create(cls, path: Path, layout: Layout, *, overwrite: bool) -> ZarrFrames:
        """Make a store without frames, whole at once, and open it for appending.

        Raises:
            ResultError: something stands at `path` and may not be overwritten.
        """
        layout.check_names_for_files()
        with written_whole(path, overwrite=overwrite) as temporary:
            group = zarr.create_group(
                _FlushedStore(temporary),
                attributes={**layout.attributes, FORMAT: FORMAT_VERSION},
            )
            dimensions = ("time", *reversed(layout.axes))
            for k, name in enumerate(layout.components):
                _create_array(
                    group,
                    name,
                    shape=(0, *layout.shape[1:]),
                    chunks=_chunks(layout),
                    dtype=layout.dtype,
                    dimensions=dimensions,
                    attributes={"component": k},
                )
            for axis, nodes in zip(layout.axes, layout.nodes, strict=True):
                array = _create_array(
                    group,
                    axis,
                    shape=nodes.shape,
                    chunks=nodes.shape,
                    dtype=nodes.dtype,
                    dimensions=(axis,),
                )
                array[:] = nodes
            _create_array(
                group,
                "time",
                shape=(0,),
                chunks=(_TIMES_PER_CHUNK,),
                dtype=np.dtype(np.float64),
                dimensions=("time",),
            )
        return cls(path, writable=True)

    def append(self, time: float, state: np.ndarray) -> None:
        """Write one frame, `state` of shape `(component, *space)`; it counts once all is on disk.

        Raises:
            ResultError: the disk refused it; the frames before it are unharmed.
        """
        n = len(self.times)
        try:
            for array, values in zip(self._arrays, state, strict=True):
                array.resize((n + 1, *array.shape[1:]))
                array[n] = values
            self._time.resize((n + 1,))
            self._time[n] = time  # the commit mark, last
        except OSError as error:
            raise ResultError(
                f"Frame {n} at t = {time!r} could not be written to {str(self._path)!r}: {error}. "
                f"The {n} frames before it are readable; make room, then resume."
            ) from error
        self.times = np.append(self.times, time)

    def read(self, frames: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Return times `(frame,)` and states `(frame, component, *space)` of the finished frames.

        Raises:
            ResultError: a chunk of a finished frame is missing or damaged.
        """
        wanted = range(len(self.times))[frames]
        states = np.empty((len(wanted), *self.layout.shape), self.layout.dtype)
        for k, (name, array) in enumerate(zip(self.layout.components, self._arrays, strict=True)):
            self._check_chunks(name, array, wanted)
            for place, frame in enumerate(wanted):
                try:
                    states[place, k] = array[frame]
                except (OSError, ValueError, RuntimeError) as error:
                    raise ResultError(
                        f"Frame {frame} of {name!r} in {str(self._path)!r} does not match its "
                        f"checksum: {error}. Restore the folder, or open it with "
                        f"frames=slice({frame})."
                    ) from error
        return self.times[frames].copy(), states

    def drop_unfinished(self) -> None:
        """Remove what a killed writer left beyond the last finished frame."""
        n = len(self.times)
        for array in (self._time, *self._arrays):
            array.resize((n, *array.shape[1:]))
        for leftover in self._path.rglob("*.partial*"):
            leftover.unlink()

    def update_attributes(self, attributes: Mapping[str, Attribute]) -> None:
        """Set attributes beside those that are there; one atomic write."""
        merged = {**self.layout.attributes, **attributes}
        self.layout = dataclasses.replace(self.layout, attributes=merged)
        self._group = self._group.update_attributes(dict(self.layout.attributes))

    def close(self) -> None:
        """Copy the metadata of all arrays to one place, where xarray looks for it first."""
        with warnings.catch_warnings():
            # zarr warns that other readers may not know this copy; they use the originals.
            warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
            zarr.consolidate_metadata(self._group.store)

    def _array(self, name: str) -> _Array:
        array = self._group[name]
        if not isinstance(array, zarr.Array):
            raise TypeError(f"{name!r} is no array")
        return array

    def _check_chunks(self, name: str, array: _Array, frames: Sequence[int]) -> None:
        # zarr reads a chunk that is not there as NaN; here it means that files were lost.
        there = set(os.listdir(self._path / name))
        counts = [math.ceil(s / c) for s, c in zip(array.shape[1:], array.chunks[1:], strict=True)]
        for frame in frames:
            for rest in itertools.product(*(range(c) for c in counts)):
                key = array.metadata.encode_chunk_key((frame, *rest))
                if frame >= array.shape[0] or key not in there:
                    raise ResultError(
                        f"Frame {frame} of {name!r} was written to {str(self._path)!r}, but its "
                        f"file {key!r} is missing. Restore the folder, or open it with "
                        f"frames=slice({frame})."
                    )


def to_dataset(times: np.ndarray, states: np.ndarray, layout: Layout) -> xr.Dataset:
    """Return the frames as a dataset with one variable `(time, *space)` per component; no copy."""
    layout.check_names_for_files()
    dimensions = ("time", *reversed(layout.axes))
    return xr.Dataset(
        {
            name: xr.Variable(dimensions, states[:, k], {"component": k})
            for k, name in enumerate(layout.components)
        },
        {"time": times, **dict(zip(layout.axes, layout.nodes, strict=True))},
        {**layout.attributes, FORMAT: FORMAT_VERSION},
    )


def write_netcdf(
    path: Path, times: np.ndarray, states: np.ndarray, layout: Layout, *, overwrite: bool
) -> None:
    """Write all frames to a netCDF4 file, whole.

    Raises:
        ResultError: something stands at `path` and may not be overwritten.
    """
    dataset = to_dataset(times, states, layout)
    # No fill value: a NaN in a state is a NaN, not a hole. zlib adds a checksum.
    packed = {"zlib": True, "complevel": 1, "shuffle": True}
    encoding = {name: {"_FillValue": None, **packed} for name in layout.components}
    encoding |= {name: {"_FillValue": None} for name in ("time", *layout.axes)}
    with written_whole(path, overwrite=overwrite) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)


def read_netcdf(path: Path, frames: slice = slice(None)) -> tuple[np.ndarray, np.ndarray, Layout]:
    """Return times, states and layout of a netCDF file that `write_netcdf` made.

    Raises:
        ResultError: nothing is there, or something that is no result, or it is damaged.
    """
    if not path.is_file():
        raise ResultError(
            f"Expected a saved result at {str(path)!r}; there is no file. Check the path."
        )
    try:
        with xr.open_dataset(path, engine="h5netcdf", decode_cf=False) as dataset:
            if dataset.attrs.get(FORMAT) != FORMAT_VERSION:
                raise _not_a_result(path)
            members = [n for n in dataset.data_vars if "component" in dataset[n].attrs]
            names = sorted(members, key=lambda n: int(dataset[n].attrs["component"]))
            axes = tuple(str(d) for d in reversed(dataset[names[0]].dims[1:]))
            layout = Layout(
                components=tuple(str(n) for n in names),
                axes=axes,
                nodes=tuple(dataset[a].to_numpy() for a in axes),
                dtype=dataset[names[0]].dtype,
                attributes={str(k): v for k, v in dataset.attrs.items() if k != FORMAT},
            )
            selected = dataset.isel(time=frames)
            times = selected["time"].to_numpy()
            states = np.stack([selected[n].to_numpy() for n in names], axis=1)
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise _not_a_result(path) from error
    return times, states, layout


def _create_array(
    group: zarr.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype,
    dimensions: tuple[str, ...],
    attributes: dict[str, int] | None = None,
) -> _Array:
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=np.nan,
        compressors=[BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"), Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},  # one folder an array, flat
        dimension_names=dimensions,
        attributes=attributes,  # type: ignore[arg-type]  # dict is invariant in its values
    )


def _chunks(layout: Layout) -> tuple[int, ...]:
    slowest, *rest = layout.shape[1:]
    row_bytes = math.prod(rest) * layout.dtype.itemsize
    return (1, min(slowest, max(1, _LARGEST_CHUNK_BYTES // row_bytes)), *rest)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _not_a_result(path: Path) -> ResultError:
    return ResultError(
        f"Expected a result that pdenet saved (format {FORMAT_VERSION}); {str(path)!r} is none, or "
        f"is damaged. Check the path; other files can be opened with xarray."
    )
