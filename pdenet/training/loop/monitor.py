"""Monitor: how large the state u and its gradient grow, stage by stage, while a network trains.

A network without bounded activations fails as a nonlinear hyperbolic equation does: the state
steepens towards a shock, |∇u| first, then |u|, until a number overflows. The figure shows it.
"""

from __future__ import annotations

import csv
import math
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from pdenet.errors import TrainingError
from pdenet.files import replacing


class Monitor:
    """Records max |u| and max |∇u| after each stage of a model, on every so many-th step.

    The gradient is the difference between neighbouring pixels, in pixels: its largest component.
    Both maxima are over batch, channels and pixels. A step that is not recorded costs one call of
    an empty function a stage; one that is costs three passes over the state of each stage, and no
    wait for the device: numbers are fetched by `rows`.

    Only passes in training mode count; of several in a step (accumulation) the largest value.

    Attributes:
        trips: the steps that were marked.
    """

    def __init__(self, model: nn.Module, every: int = 50) -> None:
        """Put a hook on each stage.

        Args:
            model: a module whose `stages` is a `nn.ModuleList`; each returns a tensor
                (batch, channel, *space).
            every: steps from one record to the next.

        Raises:
            TrainingError: the model has no stages, or `every` is no positive int.
        """
        stages = getattr(model, "stages", None)
        if not isinstance(stages, nn.ModuleList | nn.Sequential) or not len(stages):
            raise TrainingError(
                f"A monitor watches the modules of model.stages, a ModuleList with at least one; "
                f"got {type(stages).__name__} in {type(model).__name__}. Leave the monitor out."
            )
        if type(every) is not int or every < 1:
            raise TrainingError(f"every counts steps, an int >= 1; got {every!r}. Use every=50.")
        self.trips: list[int] = []
        self._every = every
        self._is_armed = False
        self._steps: list[int] = []
        self._seen: list[dict[int, Tensor]] = []  # of each step: stage → float32 (|u|, |∇u|)
        self._rows: list[dict[str, float]] = []
        self._num_stages = len(stages)
        self._handles = [
            stage.register_forward_hook(partial(self._record, k)) for k, stage in enumerate(stages)
        ]

    def start(self, step: int) -> None:
        """Say which step the next forward pass belongs to."""
        self._is_armed = step % self._every == 0
        if self._is_armed:
            self._steps.append(step)
            self._seen.append({})

    def mark(self, step: int) -> None:
        """Mark a step at which the guard went back."""
        self.trips.append(step)

    def rows(self) -> list[dict[str, float]]:
        """Return a row for each recorded step: "step", "stage1_u", "stage1_grad_u", and so on.

        Values that were not finite are so here too.
        """
        for step, seen in zip(self._steps, self._seen, strict=True):
            if len(seen) < self._num_stages:
                continue  # the forward pass was left out, or broke off
            values = torch.stack([seen[k] for k in range(self._num_stages)]).tolist()
            row: dict[str, float] = {"step": step}
            for k, (largest, gradient) in enumerate(values, 1):
                row |= {f"stage{k}_u": largest, f"stage{k}_grad_u": gradient}
            self._rows.append(row)
        self._steps.clear()
        self._seen.clear()
        self._is_armed = False
        return list(self._rows)

    def write(self, path: Path) -> None:
        """Write the rows as a table with a line of names."""
        rows = self.rows()
        if rows:
            with replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, list(rows[0]))
                table.writeheader()
                table.writerows(rows)

    def read(self, path: Path, step: int) -> None:
        """Take up the rows before a step that `write` wrote, where there are any."""
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
            self._rows = [{**row, "step": int(row["step"])} for row in rows if row["step"] < step]

    def plot(self, path: Path) -> Path:
        """Draw both quantities over the steps: a line a stage, a dotted line at each trip.

        Values that are not finite stand as crosses at the upper edge.

        Args:
            path: of the picture; its suffix says the format.

        Returns:
            The path.
        """
        from matplotlib import colormaps
        from matplotlib.figure import Figure

        rows = self.rows()
        figure = Figure(figsize=(10, 4), layout="compressed", dpi=120)
        panels = figure.subplots(1, 2, sharex=True)
        colours = colormaps["viridis"](
            [0.85 * k / self._num_stages for k in range(self._num_stages)]
        )
        for panel, quantity, title in zip(
            panels, ("u", "grad_u"), ("largest |u|", "largest |∇u| (per pixel)"), strict=True
        ):
            has_values = False  # a logarithmic axis needs some
            for k in range(1, self._num_stages + 1):
                steps = [row["step"] for row in rows]
                values = [row[f"stage{k}_{quantity}"] for row in rows]
                colour = colours[k - 1]
                # The logarithm has no place for 0, NaN or infinity: gaps.
                shown = [v if math.isfinite(v) and v > 0 else math.nan for v in values]
                has_values |= not all(map(math.isnan, shown))
                panel.plot(steps, shown, color=colour, marker=".", ms=3, label=f"stage {k}")
                lost = [s for s, v in zip(steps, values, strict=True) if not math.isfinite(v)]
                if lost:
                    # x in steps, y in parts of the panel's height.
                    edge = panel.get_xaxis_transform()
                    height = [1.0] * len(lost)
                    panel.plot(lost, height, "x", color=colour, transform=edge, clip_on=False)
            for number, step in enumerate(self.trips):
                label = "rolled back" if number == 0 else None
                panel.axvline(step, color="crimson", ls=":", lw=1, label=label)
            if has_values:
                panel.set_yscale("log")
            panel.set(xlabel="step", title=title)
            panel.grid(alpha=0.3)
        panels[0].legend(fontsize="small")
        figure.savefig(path)
        return Path(path)

    def remove(self) -> None:
        """Take the hooks off the model; what was recorded stays."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _record(self, stage: int, module: nn.Module, inputs: object, output: Tensor) -> None:
        if not self._is_armed or not module.training:
            return
        now = _extent(output.detach())
        seen = self._seen[-1]
        seen[stage] = torch.maximum(seen[stage], now) if stage in seen else now


def _extent(u: Tensor) -> Tensor:
    """Return (max |u|, max |∇u|), float32 (2,), of a state (batch, channel, *space).

    NaN where any value, or the difference of two infinite ones, is NaN.
    """
    gradient = [torch.zeros((), device=u.device)]
    for axis in range(2, u.ndim):
        if u.shape[axis] > 1:
            n = u.shape[axis] - 1
            gradient.append(_largest(u.narrow(axis, 1, n) - u.narrow(axis, 0, n)))
    return torch.stack([_largest(u), torch.stack(gradient).amax()])


def _largest(values: Tensor) -> Tensor:
    low, high = torch.aminmax(values)  # one pass, and no copy as abs() would make
    return torch.maximum(-low, high).float()
