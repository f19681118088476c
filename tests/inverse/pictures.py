"""The maps of docs/inverse_problems.md: truth, what was found, and the error."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.inverse.experiment import Map, Outcome


def velocity_picture(outcome: Outcome) -> Figure:
    """Draw both components of the velocity: truth, found, error."""
    return _maps([(m, m.name) for m in outcome.maps], (-0.3, 0.9), 0.1)


def speed_picture(outcome: Outcome) -> Figure:
    """Draw the map of the speed: truth, found, error, for both experiments."""
    return _maps([(m, m.group.replace(", ", ",\n")) for m in outcome.maps], (0.7, 1.3), 0.2)


def _maps(rows: list[tuple[Map, str]], limits: tuple[float, float], error: float) -> Figure:
    figure = Figure(figsize=(7.0, 2.1 * len(rows) + 0.3), layout="constrained", dpi=90)
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for number, (line, (field, label)) in enumerate(zip(axes, rows, strict=True)):
        for place, (values, title) in zip(
            line,
            ((field.truth, "truth"), (field.found, "found"), (field.found - field.truth, "error")),
            strict=True,
        ):
            span = (-error, error) if title == "error" else limits
            image = place.imshow(
                values, origin="lower", extent=(0, 1, 0, 1), vmin=span[0], vmax=span[1],
                cmap="RdBu_r" if title == "error" else "viridis",
            )  # fmt: skip
            place.set(xticks=(0, 1), yticks=(0, 1))
            if number == 0:
                place.set_title(title, fontsize=10)
            if title != "truth":
                figure.colorbar(image, ax=place, shrink=0.9)
        line[0].set_ylabel(label, fontsize=9)
    return figure
