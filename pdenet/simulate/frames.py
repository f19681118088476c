"""FrameWriter: the frames of a run go to disk as they finish, and a killed run can go on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from pdenet.errors import ResultError
from pdenet.files import check_target
from pdenet.simulate.layout import Attribute, Layout, as_path, check_times, checked_attributes


class FrameWriter:
    """Write the frames of a run one by one.

    To a path that ends in `.zarr` each frame is written as it finishes, and is on the disk when
    `append` returns: if the process is killed at any moment, every finished frame can be opened,
    and a half-written one is ignored. To a path that ends in `.nc` the frames are held in memory
    and the file is written whole by `close`. Cost of `append` to zarr: a few milliseconds and one
    compressed copy of the state.

    Times and states come back bit for bit, so that a run continued from `last_state` is equal to
    one that was never interrupted.

    Args:
        path: where to write, ending in `.zarr` or `.nc`; its folder must exist.
        components: names of the components, in the order of the state's first axis.
        axes: names of the coordinates in coordinate order, `("x", "y")`.
        nodes: one float64 array of shape `(points,)` per axis, in coordinate order.
        dtype: dtype of the states.
        attributes: texts and numbers to store beside the frames.
        overwrite: whether a result that stands at `path` may be replaced.

    Raises:
        ResultError: a path that cannot be written, or names, nodes or attributes that do not fit.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> path = tempfile.mkdtemp() + "/ramp.zarr"
        >>> with FrameWriter(path, ("u",), ("x",), (np.arange(4.0),), np.float64, {}) as writer:
        ...     writer.append(0.0, np.zeros((1, 4)))
        ...     writer.append(0.5, np.ones((1, 4)))
        >>> with FrameWriter.resume(path) as writer:
        ...     writer.last_time, writer.last_state
        (0.5, array([[1., 1., 1., 1.]]))
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        components: Sequence[str],
        axes: Sequence[str],
        nodes: Sequence[np.ndarray],
        dtype: npt.DTypeLike,
        attributes: Mapping[str, Attribute],
        overwrite: bool = False,
    ) -> None:
        layout = Layout(tuple(components), tuple(axes), tuple(nodes), np.dtype(dtype), attributes)
        self._frames = _create(as_path(path), layout, overwrite)
        self._closed = False

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> Self:
        """Reopen what a finished or a killed run left, to append frames after its last one.

        Raises:
            ResultError: nothing is at `path`, or something that is no result.
        """
        writer = cls.__new__(cls)  # __init__ starts a new result; this one goes on
        writer._frames = _reopen(as_path(path))
        writer._closed = False
        return writer

    @property
    def layout(self) -> Layout:
        """Components, axes, nodes, dtype and attributes of the run."""
        return self._frames.layout

    @property
    def num_frames(self) -> int:
        """Number of finished frames."""
        return len(self._frames.times)

    @property
    def times(self) -> np.ndarray:
        """Times of the finished frames, float64 of shape `(frame,)`, in the equation's unit."""
        return self._frames.times.copy()

    @property
    def last_time(self) -> float:
        """Time of the last finished frame."""
        self._require_a_frame()
        return float(self._frames.times[-1])

    @property
    def last_state(self) -> np.ndarray:
        """The last finished frame, shape `(component, *space)`, bit for bit as it was appended."""
        self._require_a_frame()
        _, states = self._frames.read(slice(-1, None))
        state: np.ndarray = states[0]
        return state

    def append(self, time: float, state: np.ndarray) -> None:
        """Add a frame.

        Args:
            time: finite and after the frames before.
            state: array of shape `(component, *space)` in the dtype of the run; it is copied.

        Raises:
            ResultError: a time or a state that does not fit, a closed writer, or a full disk.
        """
        self._require_open()
        self.layout.check_state(state)
        check_times(np.array([*self._frames.times[-1:], time], dtype=np.float64))
        self._frames.append(float(time), state)

    def update_attributes(self, attributes: Mapping[str, Attribute]) -> None:
        """Set attributes beside those that are there, such as the new end of a resumed run.

        Raises:
            ResultError: a value that is no text, 64-bit integer or finite number.
        """
        self._require_open()
        self._frames.update_attributes(checked_attributes(attributes))

    def close(self) -> None:
        """Finish the file; a second call does nothing.

        Raises:
            ResultError: a netCDF file that cannot be written, or has no frame.
        """
        if not self._closed:
            self._frames.close()
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A run that raises, by blow-up or by Ctrl-C, keeps its finished frames; its own error
        # must not be hidden by one about a file that has no frame to hold.
        if kind is None or self.num_frames:
            self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise ResultError(
                "Frames are appended to an open writer; this one is closed. "
                "Use FrameWriter.resume(path) to go on."
            )

    def _require_a_frame(self) -> None:
        if not self.num_frames:
            raise ResultError(
                "Expected at least one finished frame; the result has none, since the run ended "
                "before its first. Start the run anew with overwrite=True."
            )


class _Frames(Protocol):
    """What FrameWriter asks of a place where frames are kept."""

    @property
    def layout(self) -> Layout: ...
    @property
    def times(self) -> np.ndarray: ...
    def append(self, time: float, state: np.ndarray) -> None: ...
    def read(self, frames: slice) -> tuple[np.ndarray, np.ndarray]: ...
    def update_attributes(self, attributes: Mapping[str, Attribute]) -> None: ...
    def close(self) -> None: ...


class _HeldFrames:
    """Frames in memory that become a netCDF file on `close`."""

    def __init__(
        self, path: Path, layout: Layout, times: np.ndarray, states: list[np.ndarray]
    ) -> None:
        self.layout, self.times = layout, times
        self._path, self._states = path, states

    def append(self, time: float, state: np.ndarray) -> None:
        self._states.append(state.copy())
        self.times = np.append(self.times, time)

    def read(self, frames: slice) -> tuple[np.ndarray, np.ndarray]:
        return self.times[frames], np.stack(self._states[frames])

    def update_attributes(self, attributes: Mapping[str, Attribute]) -> None:
        merged = {**self.layout.attributes, **attributes}
        self.layout = dataclasses.replace(self.layout, attributes=merged)

    def close(self) -> None:
        from pdenet.simulate.storage import write_netcdf

        if not self._states:
            raise ResultError(
                f"A netCDF file holds at least one frame; none was appended for "
                f"{str(self._path)!r}. Append the initial state first."
            )
        # The path was checked at the start. What came there since does not cost us the run.
        write_netcdf(self._path, self.times, np.stack(self._states), self.layout, overwrite=True)


def is_zarr(path: Path) -> bool:
    """Say whether a path is that of a zarr store rather than a netCDF file, by its suffix.

    Raises:
        ResultError: it ends in neither.
    """
    if path.suffix not in (".zarr", ".nc"):
        raise ResultError(
            f"Results are saved to a path that ends in .zarr (a folder, frame by frame) or .nc "
            f"(netCDF, at the end); got {str(path)!r}. Change the suffix."
        )
    return path.suffix == ".zarr"


def _create(path: Path, layout: Layout, overwrite: bool) -> _Frames:
    if is_zarr(path):
        from pdenet.simulate.storage import ZarrFrames

        return ZarrFrames.create(path, layout, overwrite=overwrite)
    layout.check_names_for_files()
    check_target(path, overwrite=overwrite)  # now, not at the end of the run
    return _HeldFrames(path, layout, np.empty(0), [])


def _reopen(path: Path) -> _Frames:
    from pdenet.simulate.storage import ZarrFrames, read_netcdf

    if is_zarr(path):
        frames = ZarrFrames(path, writable=True)
        frames.drop_unfinished()
        return frames
    times, states, layout = read_netcdf(path)
    return _HeldFrames(path, layout, times, list(states))
