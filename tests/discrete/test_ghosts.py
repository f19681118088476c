"""Ghost and prescribed nodes can be traced: what they do depends on no number in the arrays."""

from __future__ import annotations

import torch

from pdenet.backends.torch_arrays import TorchArrays
from pdenet.discrete import ghosts
from pdenet.discrete.boundary import Boundary, Dirichlet, Free, Neumann, Robin
from pdenet.discrete.domain import HIGH, LOW
from pdenet.discrete.grid import Grid
from pdenet.discrete.scheme import discretise
from pdenet.discrete.steppers import stepper
from pdenet.equation.catalogue import catalogue

GRID = Grid(x=(0, 1, 5), y=(0, 1, 6), z=(0, 1, 7))
WALLS = Boundary(x=Dirichlet(1), y=(Dirichlet(2), Neumann(1)), z=(Free(), Robin(1, 2, 3)))
ARRAYS = TorchArrays(torch.float64, torch.device("cpu"))


class Padded(torch.nn.Module):
    """A field with the value g at the x walls and 2g at the low y wall, and its ghost nodes."""

    def __init__(self) -> None:
        super().__init__()
        system = catalogue.build("heat", dimension=3).system
        scheme = discretise(system, GRID, WALLS, "central2", stepper("euler"))
        self.closures, self.width = scheme.closures["u"], scheme.width

    def forward(self, field: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        field = field.clone()
        given = {(0, LOW): g, (0, HIGH): g, (1, LOW): 2 * g}
        ghosts.prescribe(field, ghosts.with_corner_means(given, GRID.shape, ARRAYS))

        def value(axis: int, end: int) -> torch.Tensor | float:
            return given.get((axis, end), 1.5)

        padded: torch.Tensor = ghosts.pad(field, self.closures, self.width, ARRAYS, value)
        return padded


def test_one_traced_program_serves_every_batch_and_every_value() -> None:
    model = Padded()
    field = torch.randn(2, *GRID.shape, dtype=torch.float64)
    batch = torch.export.Dim("batch", max=64)
    made = torch.export.export(
        model,
        (field, torch.tensor(0.0, dtype=torch.float64)),
        dynamic_shapes=({0: batch}, None),
        strict=True,  # by the compiler's own reading of the code, so torch.compile takes it too
    ).module()
    for size, g in ((1, 0.0), (3, -2.5)):
        other = torch.randn(size, *GRID.shape, dtype=torch.float64)
        value = torch.tensor(g, dtype=torch.float64)
        found = made(other, value)
        torch.testing.assert_close(found, model(other, value), rtol=0, atol=0)
        inner = found[:, 1:-1, 1:-1, 1:-1]
        # z is not prescribed: in the box's interior the corner of x and y has the mean of g and 2g.
        torch.testing.assert_close(inner[:, 3, 0, 0], torch.full((size,), 1.5 * g).double())
        torch.testing.assert_close(inner[:, 3, 2, 0], torch.full((size,), g).double())
