"""Pictures and movies of the frames of a run, drawn with Matplotlib in the grid's coordinates."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from pdenet.checks import is_integer, is_number
from pdenet.errors import MissingExtraError, ResultError
from pdenet.files import written_whole
from pdenet.simulate.layout import Layout

if TYPE_CHECKING:  # loading Matplotlib takes a second; `import pdenet` does not wait for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A vector field may have hundreds of components; more panels than this no one reads.
_MOST_PANELS = 6
# Equal axes are the truth about a domain until a panel becomes a stripe.
_LARGEST_ASPECT = 8.0
_DOTS_PER_INCH = 100
_FASTEST_GIF = 50.0  # browsers slow down frames of less than 20 ms

_LINE_COLOURS = "Blues"  # a line of one colour and its smoothed edges

_Draw = Callable[[int], None]
_Limits = tuple[float, float, str]  # lowest and highest value, and the colour map


def plot(
    layout: Layout,
    times: np.ndarray,
    states: np.ndarray,
    component: str | Sequence[str] | None,
    frames: Sequence[int],
    path: Path | None,
) -> Figure:
    """Draw components (rows) at some frames (lines, or columns of images); see `Result.plot`."""
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    chosen = _components(layout, component)
    numbers = _frame_numbers(frames, len(times))
    columns = 1 if len(layout.axes) == 1 else len(numbers)
    size = _figure_size(layout, rows=len(chosen), columns=columns)
    # A figure that only goes to a file stays unknown to pyplot, which would keep it for ever.
    make = plt.figure if path is None else Figure
    figure = make(figsize=size, layout="compressed", dpi=_DOTS_PER_INCH)
    grid = figure.subplots(len(chosen), columns, squeeze=False)
    label = _time_label(times)
    for row, k in zip(grid, chosen, strict=True):
        if len(layout.axes) == 1:
            _draw_lines(row[0], layout, times, states[:, k], k, numbers, label)
            continue
        limits = _limits(states[numbers, k])
        for panel, frame in zip(row, numbers, strict=True):
            draw = _image(panel, layout, states[:, k], k, limits, label, times)
            draw(frame)
        figure.colorbar(row[-1].images[0], ax=list(row), fraction=0.12 / columns, pad=0.02)
    if len(layout.axes) == 1 and len(numbers) > 1:
        grid[0, 0].legend(fontsize="small")  # the colours mean the same in all rows
    if path is not None:
        known = figure.canvas.get_supported_filetypes()
        if path.suffix[1:].lower() not in known:
            raise ResultError(
                f"A picture's path ends in one of {', '.join('.' + s for s in sorted(known))}; "
                f"got {str(path)!r}. Change the suffix."
            )
        with written_whole(path, overwrite=True) as temporary:
            figure.savefig(temporary, dpi=1.5 * _DOTS_PER_INCH)
    return figure


def movie(
    layout: Layout,
    times: np.ndarray,
    states: np.ndarray,
    component: str | Sequence[str] | None,
    path: Path,
    fps: float,
    progress: bool | None,
) -> None:
    """Write all frames to a GIF or an MP4; see `Result.movie`."""
    chosen = _components(layout, component)
    if path.suffix not in (".gif", ".mp4"):
        raise ResultError(
            f"A movie's path ends in .gif or .mp4; got {str(path)!r}. Change the suffix."
        )
    fastest = _FASTEST_GIF if path.suffix == ".gif" else 1000.0
    if not is_number(fps) or not 0.1 <= fps <= fastest:
        raise ResultError(
            f"fps is a number of frames per second from 0.1 to {fastest:g} for {path.suffix}; got "
            f"{fps!r}. Use fps=12, or show fewer frames."
        )
    limits = [_limits(states[:, k]) for k in chosen]
    with written_whole(path, overwrite=True) as temporary:
        pictures = tqdm(
            _rendered(layout, times, states, chosen, limits),
            total=len(times),
            desc=path.name,
            unit="frame",
            disable=None if progress is None else not progress,  # None: off unless a terminal
        )
        if path.suffix == ".gif":
            maps = sorted({colours for _, _, colours in limits})
            _write_gif(temporary, pictures, maps if len(layout.axes) > 1 else [_LINE_COLOURS], fps)
        else:
            _write_mp4(temporary, pictures, fps)


def _rendered(
    layout: Layout,
    times: np.ndarray,
    states: np.ndarray,
    chosen: Sequence[int],
    limits: Sequence[_Limits],
) -> Iterator[np.ndarray]:
    """Yield each frame as pixels, uint8 of shape (height, width, 3), both sizes even."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = _figure_size(layout, rows=1, columns=len(chosen))
    # Even numbers of pixels: H.264 halves the resolution of the colours.
    size = (round(width * 50) * 2 / _DOTS_PER_INCH, round(height * 50) * 2 / _DOTS_PER_INCH)
    figure = Figure(figsize=size, layout="compressed", dpi=_DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(chosen), squeeze=False)[0]
    label = _time_label(times)
    draws: list[_Draw] = []
    make = _line if len(layout.axes) == 1 else _image
    for panel, k, shown in zip(panels, chosen, limits, strict=True):
        draws.append(make(panel, layout, states[:, k], k, shown, label, times))
        if len(layout.axes) > 1:
            figure.colorbar(panel.images[0], ax=panel)
    for frame in range(len(times)):
        for draw in draws:
            draw(frame)
        canvas.draw()
        figure.set_layout_engine("none")  # placed once: panels that move distract
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _write_gif(
    path: Path, pictures: Iterable[np.ndarray], colour_maps: Sequence[str], fps: float
) -> None:
    from PIL import Image

    # One palette for the whole movie, without dithering: equal values keep equal colours.
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette(colour_maps).tobytes())
    images = (
        Image.fromarray(pixels).quantize(palette=palette, dither=Image.Dither.NONE)
        for pixels in pictures
    )
    next(images).save(
        path,
        format="GIF",
        save_all=True,
        append_images=images,
        duration=10 * round(100 / fps),  # milliseconds, in steps of 10
        loop=0,
    )


def _palette(colour_maps: Sequence[str]) -> np.ndarray:
    """Return 256 colours, uint8 of shape (256, 3): greys for text, the rest for the maps."""
    from matplotlib import colormaps

    greys = np.repeat(np.linspace(0, 1, 32)[:, None], 3, axis=1)
    count, rest = divmod(256 - len(greys), len(colour_maps))
    sizes = [count + (k < rest) for k in range(len(colour_maps))]
    colours = [
        colormaps[name](np.linspace(0, 1, size))[:, :3]
        for name, size in zip(colour_maps, sizes, strict=True)
    ]
    return np.round(255 * np.concatenate([greys, *colours])).astype(np.uint8)


def _write_mp4(path: Path, pictures: Iterable[np.ndarray], fps: float) -> None:
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:  # RuntimeError: installed without its program
        raise MissingExtraError(
            "An .mp4 needs imageio-ffmpeg, which is not installed. "
            "Run `pip install pdenet[movie]`, or write a .gif."
        ) from error
    writer = None
    with contextlib.ExitStack() as stack:
        for pixels in pictures:
            if writer is None:
                height, width, _ = pixels.shape
                writer = imageio_ffmpeg.write_frames(
                    str(path), (width, height), fps=fps, quality=7, macro_block_size=2
                )
                stack.enter_context(contextlib.closing(writer))
                writer.send(None)
            writer.send(pixels.tobytes())


def _draw_lines(
    panel: Axes,
    layout: Layout,
    times: np.ndarray,
    values: np.ndarray,
    k: int,
    frames: Sequence[int],
    label: Callable[[float], str],
) -> None:
    from matplotlib import colormaps

    colours = colormaps["viridis"](np.linspace(0, 0.85, len(frames)))
    for frame, colour in zip(frames, colours, strict=True):
        panel.plot(layout.nodes[0], values[frame], color=colour, label=label(times[frame]))
    _label_line(panel, layout, k)
    if len(frames) == 1:
        panel.set_title(f"{layout.components[k]}, {label(times[frames[0]])}", parse_math=False)
    else:
        panel.set_title(layout.components[k], parse_math=False)


def _line(
    panel: Axes,
    layout: Layout,
    values: np.ndarray,
    k: int,
    limits: _Limits,
    label: Callable[[float], str],
    times: np.ndarray,
) -> _Draw:
    """Make an empty line plot; return what draws one frame into it."""
    low, high, _ = limits
    margin = 0.05 * (high - low)
    (line,) = panel.plot(layout.nodes[0], np.full(len(layout.nodes[0]), np.nan), "#08519c")
    panel.set_ylim(low - margin, high + margin)
    _label_line(panel, layout, k)

    def draw(frame: int) -> None:
        line.set_ydata(values[frame])
        panel.set_title(f"{layout.components[k]}, {label(times[frame])}", parse_math=False)

    return draw


def _image(
    panel: Axes,
    layout: Layout,
    values: np.ndarray,
    k: int,
    limits: _Limits,
    label: Callable[[float], str],
    times: np.ndarray,
) -> _Draw:
    """Make an image with coordinates; return what draws one frame into it."""
    from matplotlib import colormaps

    low, high, colours = limits
    x, y = layout.nodes[:2]
    image = panel.imshow(
        np.zeros((len(y), len(x))),
        origin="lower",  # y grows with the row
        extent=(*_edges(x), *_edges(y)),
        vmin=low,
        vmax=high,
        cmap=colormaps[colours].with_extremes(bad="0.6"),
        interpolation="nearest",
        aspect="equal" if _aspect(layout) <= _LARGEST_ASPECT else "auto",
    )
    panel.set_xlabel(layout.axes[0])
    panel.set_ylabel(layout.axes[1])
    panel.locator_params(nbins=5)
    middle = len(layout.nodes[2]) // 2 if len(layout.axes) == 3 else None
    place = "" if middle is None else f", {layout.axes[2]} = {layout.nodes[2][middle]:.3g}"

    def draw(frame: int) -> None:
        state = values[frame] if middle is None else values[frame, middle]
        image.set_data(np.ma.masked_invalid(state))
        title = f"{layout.components[k]}{place}, {label(times[frame])}"
        panel.set_title(title, parse_math=False)

    return draw


def _label_line(panel: Axes, layout: Layout, k: int) -> None:
    panel.set_xlabel(layout.axes[0])
    panel.set_ylabel(layout.components[k], parse_math=False)
    panel.set_xlim(layout.nodes[0][0], layout.nodes[0][-1])
    panel.grid(alpha=0.3)


def _components(layout: Layout, component: str | Sequence[str] | None) -> list[int]:
    if component is None:
        return list(range(len(layout.components)))[:_MOST_PANELS]
    names = [component] if isinstance(component, str) else list(component)
    return [layout.component_index(name) for name in names]


def _frame_numbers(frames: Sequence[int], count: int) -> list[int]:
    numbers = []
    for frame in frames:
        if not is_integer(frame) or not -count <= frame < count:
            raise ResultError(
                f"A frame is an integer from {-count} to {count - 1}; got {frame!r}. "
                f"The times of the frames are in result.times."
            )
        numbers.append(int(frame) % count)
    if not numbers:
        raise ResultError("A picture shows at least one frame; got none. Pass frames=[0, -1].")
    return numbers


def _limits(values: np.ndarray) -> _Limits:
    """Lowest and highest value to show, and a colour map whose middle is 0 where signs differ."""
    finite = values[np.isfinite(values)].astype(np.float64)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    largest = max(abs(low), abs(high))
    # Rounding and small overshoots below 0 do not make a concentration a signed quantity.
    if min(-low, high) > 0.05 * largest:
        return -largest, largest, "RdBu_r"
    if high - low <= 1e-12 * largest or largest == 0.0:  # constant to rounding
        low, high = low - (0.5 * largest or 0.5), high + (0.5 * largest or 0.5)
    return low, high, "viridis"


def _edges(nodes: np.ndarray) -> tuple[float, float]:
    half = 0.5 * float(nodes[1] - nodes[0]) if len(nodes) > 1 else 0.5
    return float(nodes[0]) - half, float(nodes[-1]) + half


def _aspect(layout: Layout) -> float:
    (x0, x1), (y0, y1) = (_edges(n) for n in layout.nodes[:2])
    ratio = (x1 - x0) / (y1 - y0)
    return max(ratio, 1 / ratio)


def _figure_size(layout: Layout, *, rows: int, columns: int) -> tuple[float, float]:
    """Width and height in inches that leave little empty room around equal axes."""
    if len(layout.axes) == 1:
        return 6.4 if columns == 1 else 4.8 * columns, 3.6 * rows
    (x0, x1), (y0, y1) = (_edges(n) for n in layout.nodes[:2])
    ratio = (x1 - x0) / (y1 - y0) if _aspect(layout) <= _LARGEST_ASPECT else 1.0
    width, height = (4.0, 4.0 / ratio) if ratio >= 1 else (4.0 * ratio, 4.0)
    # Room for the labels, the title and the colour bar beside an image.
    return columns * (max(width, 1.6) + 1.2), rows * (height + 0.8)


def _time_label(times: np.ndarray) -> Callable[[float], str]:
    """Return the writer of times: so many decimals that neighbours differ, always as many."""
    step = float(np.diff(times).min()) if len(times) > 1 else 0.0
    if 1e-6 < step < 1e6:
        decimals = max(0, math.ceil(-math.log10(step)) + 1)
        return lambda t: f"t = {t:.{decimals}f}"
    return lambda t: f"t = {t:.6g}"
