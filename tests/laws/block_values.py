"""Values of an equation's coefficients, and the same values as the weights of a block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any  # values as `values=` takes them

import numpy as np
import torch

from pdenet.equation.pde import PDE
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.form import form_of
from pdenet.network.products import STACK


def drawn_values(pde: PDE, size: int, seed: int) -> dict[str, Any]:
    """Tensors for `size` components, numbers, and functions as polynomials [a, b] of x^a y^b.

    All are below 1, so that F(u) of few components is about as large as u.
    """
    form = form_of(pde)
    random = np.random.default_rng(seed)
    made: dict[str, Any] = {
        name: random.uniform(
            -1, 1, [form.length(name, axis, size) for axis in range(len(form.shapes[name]))]
        )
        for name in form.shapes
    }
    made |= {name: random.uniform(0.5, 1) for name in form.symbols}
    return made | {name: random.uniform(-0.5, 0.5, (3, 3)) for name in form.functions}


def on_nodes(
    pde: PDE, values: Mapping[str, Any], points: Sequence[int], size: int
) -> dict[str, Any]:
    """The values as `values=` of a solver takes them: functions at nodes, x and y in [−1, 1]."""
    form = form_of(pde)
    x, y = (np.linspace(-1, 1, n) for n in points)
    made = dict(values)
    for name, arguments in form.functions.items():
        polynomial = values[name]
        if arguments == ("x", "y"):
            # polygrid2d's array is (x, y), a solver's (y, x).
            made[name] = np.polynomial.polynomial.polygrid2d(x, y, polynomial).T
    return made | {str(form.size): size}


@torch.no_grad()
def put(block: PDEBlock, values: Mapping[str, Any]) -> PDEBlock:
    """Make the weights of a block, on its equation's own derivatives, these values."""
    coefficients = block.coefficients
    seen = set()
    for stack, label in coefficients.labels.items():
        parameter = coefficients.tensors[label]
        if label in seen:  # the same coefficients under other letters
            continue
        seen.add(label)
        arrays = [np.asarray(values[name.rstrip("'")]) for name in stack.names]
        if len(set(stack.indices)) < len(stack.indices):  # A_jj: the whole matrix, stack first
            made = np.stack(arrays) if len(arrays) > 1 else arrays[0]
        else:
            letters = coefficients.letters[stack]
            joined = np.stack(arrays) if STACK in letters else arrays[0]
            have = (STACK if STACK in letters else "") + stack.indices
            made = joined.transpose([have.index(c) for c in letters])
        assert parameter.shape == made.shape
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(made)))
    for name, symbol in block.symbols.items():
        symbol.fill_(float(values[name]))
    for name, function in block.functions.items():
        function.copy_(torch.from_numpy(np.ascontiguousarray(values[name].T)))  # [b, a]
    return block
