"""What is linear is read the same way wherever it is read.

The exact periodic solution, the stability analysis and the count of incoming waves each walk over
the terms of a system. For linear systems with constant coefficients all must find one symbol
S(k) = Σ_α A_α (ik)^α.
"""

from __future__ import annotations

from typing import Any  # strategies' makers, and values as they draw them

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdenet.discrete.advection import speed_matrices
from pdenet.discrete.environment import constants
from pdenet.discrete.grid import Grid
from pdenet.discrete.scheme import discretise
from pdenet.discrete.spectrum import continuous_symbols, matrices, tensor_entries
from pdenet.discrete.stability import Stability
from pdenet.discrete.steppers import stepper
from pdenet.equation.catalogue import catalogue
from pdenet.equation.functions import evaluate
from pdenet.equation.linear import linear_form
from pdenet.equation.pde import PDE
from pdenet.equation.values import Values, bind
from pdenet.simulate.exact import symbol
from tests.strategies import Problem, few_each, hyperbolic_systems, parabolic_systems, periodic

# Sums of a few products of numbers up to 8 with their own rounding, relative to the largest.
ROUNDING = 64 * np.finfo(float).eps


def by_stability(pde: PDE, values: Values, waves: np.ndarray) -> np.ndarray:
    """The symbol as the stability analysis has it: matrices of groups times (ik)^α."""
    grid = Grid(**dict.fromkeys(pde.axes, (0, 1, 6)))
    scheme = discretise(values.system, grid, periodic(len(pde.axes)), "central2", stepper("euler"))
    analysis = Stability(scheme, values)
    groups = list(analysis.groups)
    environment = constants(scheme, values)
    tensors = {k: np.asarray(v) for k, v in values.tensors.items()}
    entries = tensor_entries(scheme, tensors, environment)
    found = [
        matrices(terms, values, entries, environment, grid.shape)[0]
        for terms in analysis.groups.values()
    ]
    factors = continuous_symbols(groups, waves)
    count = len(values.components)
    total = np.zeros((waves.shape[1], count, count), dtype=np.complex128)
    for factor, matrix in zip(factors, found, strict=True):
        total += factor[:, np.newaxis, np.newaxis] * matrix
    return total


def check(pde: PDE, drawn: Any) -> None:
    values = bind(pde.system, drawn)
    dimension = len(pde.axes)
    waves = np.random.default_rng(3).normal(size=(dimension, 5))
    form = linear_form(values)
    exact = symbol(form, [np.stack([row, row]) for row in waves])
    largest = np.abs(exact).max(initial=1e-300)
    np.testing.assert_allclose(
        by_stability(pde, values, waves), exact, rtol=0, atol=ROUNDING * largest
    )
    if values.system.has_vectors:
        return
    for axis in range(dimension):
        plain, fluxes = speed_matrices(values.system, axis)
        numbers = [
            [float(evaluate(e, values.numbers)) for e in row] for row in (plain + fluxes).tolist()
        ]
        alpha = tuple(int(a == axis) for a in range(dimension))
        expected = form.matrices.get(alpha, np.zeros_like(numbers))
        np.testing.assert_allclose(numbers, expected, rtol=0, atol=ROUNDING * largest)


@pytest.mark.parametrize("kind", [hyperbolic_systems, parabolic_systems])
@pytest.mark.parametrize("dimension", [1, 2, 3])
@few_each
@given(data=st.data())
def test_random_systems_have_one_symbol(kind: Any, dimension: int, data: st.DataObject) -> None:
    problem: Problem = data.draw(kind(dimension))
    check(problem.pde, problem.values)


@pytest.mark.parametrize(
    "name",
    ["heat", "wave", "wave_system", "wave_first_order", "advection", "advection_diffusion"]
    + ["acoustics", "maxwell_tm"],
)
def test_equations_of_the_catalogue_have_one_symbol(name: str) -> None:
    check(catalogue[name], None)
