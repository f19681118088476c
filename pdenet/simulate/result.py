"""Result: the frames of a run, with names for everything; saved, opened, drawn, animated."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pdenet.errors import ResultError
from pdenet.files import written_whole
from pdenet.simulate.frames import is_zarr
from pdenet.simulate.layout import Attribute, Layout, as_path, check_times

if TYPE_CHECKING:  # loading these takes a second; `import pdenet` does not wait for it
    import matplotlib.figure
    import xarray as xr


class Result:
    """The frames of a run: times and states, and what their axes mean.

    The first frame is the initial state. Times have the equation's unit of time, nodes its unit
    of length, states the units of their fields.

    Args:
        times: finite, increasing, shape `(frame,)`; kept as float64.
        states: floating point array of shape `(frame, component, *space)`, with `space` in array
            order, `(y, x)` in two dimensions; kept as it is, not copied.
        components: name of each component, such as `("u", "u_t")`.
        axes: names of the coordinates in coordinate order, `("x", "y")`.
        nodes: one float64 array of shape `(points,)` per axis, in coordinate order.
        attributes: texts and numbers that say how the result came about.

    Raises:
        ResultError: shapes, names or times that do not fit together.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(0, 1, 5)
        >>> states = np.stack([np.sin(x), 0.5 * np.sin(x)])[:, None]  # (frame, component, x)
        >>> result = Result([0.0, 0.1], states, ("u",), ("x",), (x,), {"stepper": "euler"})
        >>> result
        Result(2 frames, t = 0 to 0.1, components u, grid x=5, float64)
        >>> result.final.shape
        (1, 5)
    """

    times: np.ndarray
    states: np.ndarray
    components: tuple[str, ...]
    axes: tuple[str, ...]
    nodes: tuple[np.ndarray, ...]
    attributes: dict[str, Attribute]

    def __init__(
        self,
        times: npt.ArrayLike,
        states: np.ndarray,
        components: Sequence[str],
        axes: Sequence[str],
        nodes: Sequence[np.ndarray],
        attributes: Mapping[str, Attribute] | None = None,
    ) -> None:
        self.times = np.asarray(times, dtype=np.float64)
        self.states = states
        layout = Layout(
            tuple(components), tuple(axes), tuple(nodes), states.dtype, attributes or {}
        )
        self.components, self.axes, self.nodes = layout.components, layout.axes, layout.nodes
        self.attributes = dict(layout.attributes)
        expected = (*self.times.shape, *layout.shape)
        if self.times.ndim != 1 or not self.times.size or states.shape != expected:
            raise ResultError(
                f"A result has times of shape (frame,) with at least one frame and states of shape "
                f"(frame, component, *space); got times {self.times.shape} and states "
                f"{states.shape}, where components and nodes ask for (frame, "
                f"{', '.join(map(str, layout.shape))}). Stack the frames along a new first axis."
            )
        check_times(self.times)

    def __repr__(self) -> str:
        grid = ", ".join(f"{a}={len(n)}" for a, n in zip(self.axes, self.nodes, strict=True))
        count = len(self.times)
        return (
            f"Result({count} frame{'s' * (count != 1)}, t = {self.times[0]:g} to "
            f"{self.times[-1]:g}, components {', '.join(self.components)}, grid {grid}, "
            f"{self.states.dtype})"
        )

    @property
    def final(self) -> np.ndarray:
        """The last state, shape `(component, *space)`; a view of `states`."""
        state: np.ndarray = self.states[-1]
        return state

    def to_xarray(self) -> xr.Dataset:
        """Return a dataset with one variable per component, dimensions `("time", "y", "x")`.

        The variables are views of `states`, the coordinates carry their names, and the attributes
        of the result become those of the dataset.

        Raises:
            ResultError: a component is named like a coordinate.
        """
        from pdenet.simulate.storage import to_dataset

        return to_dataset(self.times, self.states, self._layout)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the result whole: readers see all of it or nothing.

        Args:
            path: ends in `.zarr` (a folder) or `.nc` (netCDF4); both open in xarray as well, and
                give back every bit.
            overwrite: whether what stands at `path` may be replaced.

        Raises:
            ResultError: another suffix, a missing folder, or a path that exists.
        """
        from pdenet.simulate.storage import ZarrFrames, write_netcdf

        target = as_path(path)
        if not is_zarr(target):
            write_netcdf(target, self.times, self.states, self._layout, overwrite=overwrite)
            return
        with written_whole(target, overwrite=overwrite) as temporary:
            frames = ZarrFrames.create(temporary, self._layout, overwrite=False)
            for time, state in zip(self.times, self.states, strict=True):
                frames.append(float(time), state)
            frames.close()

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, frames: slice = slice(None)) -> Result:
        """Read what `save` or a run wrote, bit for bit.

        A run that was killed, or that is still going, gives every frame it has finished.

        Args:
            path: ends in `.zarr` or `.nc`.
            frames: which of them to read, for results larger than memory: `slice(-1, None)` for
                the last, `slice(None, None, 10)` for every tenth.

        Raises:
            ResultError: nothing is there, it is no result, it has no finished frame, or its files
                are damaged.
        """
        from pdenet.simulate.storage import ZarrFrames, read_netcdf

        if frames.step is not None and frames.step < 1:
            raise ResultError(
                f"Frames are read in the order of time; got frames={frames}. Use a step >= 1."
            )
        target = as_path(path)
        if is_zarr(target):
            store = ZarrFrames(target)
            layout = store.layout
            times, states = store.read(frames)
        else:
            times, states, layout = read_netcdf(target, frames)
        if not len(times):
            raise ResultError(
                f"Expected at least one finished frame; {str(target)!r} holds none for "
                f"frames={frames}. Run it again, or choose other frames."
            )
        return cls(times, states, layout.components, layout.axes, layout.nodes, layout.attributes)

    def plot(
        self,
        component: str | Sequence[str] | None = None,
        frame: int = -1,
        *,
        frames: Sequence[int] | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> matplotlib.figure.Figure:
        """Draw components at one frame or several.

        One dimension gives lines, one per frame; two give images in the coordinates of the grid,
        one row per component and one column per frame; three give the slice through the middle of
        z. The frames of a component share their colour scale. Cells that are not finite are grey.

        Args:
            component: a name or several; by default every component, six at most.
            frame: the frame to draw; negative ones count from the end.
            frames: several frames instead.
            path: where to write the picture; its suffix is the format (.png, .pdf, .svg, …).
                Without it the figure belongs to pyplot, so that `plt.show()` shows it.

        Raises:
            UnknownNameError: no such component.
            ResultError: no such frame, or a path that cannot be written.
        """
        from pdenet.simulate.pictures import plot

        chosen = (frame,) if frames is None else tuple(frames)
        return plot(
            self._layout,
            self.times,
            self.states,
            component,
            chosen,
            None if path is None else as_path(path),
        )

    def movie(
        self,
        path: str | os.PathLike[str],
        component: str | Sequence[str] | None = None,
        *,
        fps: float = 12.0,
        progress: bool | None = None,
    ) -> None:
        """Write all frames as a movie, with colour and value scales fixed over the run.

        Args:
            path: ends in `.gif`, which needs no further program, or `.mp4`. It is written whole;
                an older movie is replaced.
            component: a name or several, side by side; by default every component, six at most.
            fps: frames per second. A GIF counts time in hundredths of a second: at most 50, and
                12 becomes 12.5.
            progress: whether to show a progress bar; by default on a terminal only.

        Raises:
            UnknownNameError: no such component.
            ResultError: another suffix, a missing folder, or a rate that makes no sense.
            MissingExtraError: `.mp4` without imageio-ffmpeg; `pip install pdenet[movie]` adds it.
        """
        from pdenet.simulate.pictures import movie

        movie(self._layout, self.times, self.states, component, as_path(path), fps, progress)

    @property
    def _layout(self) -> Layout:
        return Layout(self.components, self.axes, self.nodes, self.states.dtype, self.attributes)
