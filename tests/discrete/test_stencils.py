"""Laws of stencils: their accuracy, their orientation, their symbols, and what is refused."""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch

from pdenet.discrete.shifts import Offset
from pdenet.discrete.stencils import (
    Stencil,
    apply,
    central,
    compact_mixed,
    for_derivative,
    identity,
    laplacian5,
    laplacian9,
    mixed,
    neighbour_mean,
    one_sided,
    staggered,
    upwind,
)
from pdenet.errors import StencilError
from tests.discrete.stencil_table import ALL, EVEN, EVERY, LINES, ORDERS, PLANES, SPACES

EPS = np.finfo(np.float64).eps


def moment_about(stencil: Stencil, centre: Fraction, power: int) -> Fraction:
    """Σ w (k − centre)^power."""
    terms = zip(stencil.offsets, stencil.weights, strict=True)
    return sum((w * (k - centre) ** power for (k,), w in terms), Fraction(0))


@pytest.mark.parametrize("name", LINES)
def test_weights_are_exact_on_polynomials_up_to_the_accuracy_and_not_beyond(name: str) -> None:
    stencil, centre = LINES[name]
    (order,) = stencil.derivative
    for power in range(order + stencil.accuracy):
        wanted = math.factorial(order) if power == order else 0
        assert moment_about(stencil, centre, power) == wanted
    assert moment_about(stencil, centre, order + stencil.accuracy) != 0


PRINTED: dict[str, tuple[Stencil, int, str]] = {
    # Fornberg 1988, Generation of Finite Difference Formulas, Tables 1 (central), 2 (staggered)
    # and 3 (one-sided): stencil, first offset, weights.
    "central 1,6": (central(1, 6), -3, "-1/60 3/20 -3/4 0 3/4 -3/20 1/60"),
    "central 2,4": (central(2, 4), -2, "-1/12 4/3 -5/2 4/3 -1/12"),
    "central 3,2": (central(3, 2), -2, "-1/2 1 0 -1 1/2"),
    "central 4,2": (central(4, 2), -2, "1 -4 6 -4 1"),
    "central 4,4": (central(4, 4), -3, "-1/6 2 -13/2 28/3 -13/2 2 -1/6"),
    "staggered 0,4": (staggered(0, 4), -1, "-1/16 9/16 9/16 -1/16"),
    "staggered 1,4": (staggered(1, 4), -1, "1/24 -9/8 9/8 -1/24"),
    "one-sided 1,2": (one_sided(1, 2), 0, "-3/2 2 -1/2"),
    "one-sided 2,2": (one_sided(2, 2), 0, "2 -5 4 -1"),
    # Rusanov's and Burstein & Mirin's third-order upwind difference.
    "upwind 1,3": (upwind(1, 3, -1), -2, "1/6 -1 1/2 1/3"),
    "upwind 1,1": (upwind(1, 1, -1), -1, "-1 1"),
    "upwind 1,2": (upwind(1, 2, -1), -2, "1/2 -2 3/2"),
}


@pytest.mark.parametrize("name", PRINTED)
def test_weights_are_the_printed_ones(name: str) -> None:
    stencil, first, text = PRINTED[name]
    weights = {(first + k,): Fraction(w) for k, w in enumerate(text.split()) if w != "0"}
    assert dict(zip(stencil.offsets, stencil.weights, strict=True)) == weights


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("accuracy", ALL)
def test_the_other_side_is_the_mirror_image(order: int, accuracy: int) -> None:
    for make in (one_sided, upwind):
        left, right = make(order, accuracy, -1), make(order, accuracy, 1)
        mirrored = {
            (-k,): (-1) ** order * w for (k,), w in zip(right.offsets, right.weights, strict=True)
        }
        assert dict(zip(left.offsets, left.weights, strict=True)) == mirrored


@pytest.mark.parametrize("accuracy", ALL)
def test_upwind_differences_damp_every_wave_and_one_sided_ones_of_high_order_do_not(
    accuracy: int,
) -> None:
    theta = np.concatenate([np.logspace(-8, 0, 50), np.linspace(0.1, np.pi, 500)])[None]
    # u_t = u_x is carried to the left: the wind comes from the right. No tolerance: the symbol
    # keeps the sign even where the damping is as small as θ^(accuracy + 1).
    assert (upwind(1, accuracy, side=1).symbol(theta).real < 0).all()
    assert (upwind(1, accuracy, side=-1).symbol(theta).real > 0).all()
    grows = (one_sided(1, accuracy, side=1).symbol(theta).real > 0).any()
    assert grows == (accuracy > 2)


def powers_below(total: int, dimension: int) -> list[tuple[int, ...]]:
    return [p for p in itertools.product(range(total), repeat=dimension) if sum(p) < total]


# Of those off the line, the ones about a node and for a single derivative.
POINTWISE = [
    name
    for name, stencil in (PLANES | SPACES).items()
    if any(stencil.derivative) and not stencil.equal_spacing and "staggered" not in name
]


@pytest.mark.parametrize("name", POINTWISE)
def test_products_and_compact_stencils_are_exact_up_to_their_accuracy(name: str) -> None:
    stencil = EVERY[name]
    for powers in powers_below(sum(stencil.derivative) + stencil.accuracy, stencil.dimension):
        wanted = math.prod(map(math.factorial, powers)) if powers == stencil.derivative else 0
        assert stencil.moment(powers) == wanted


@pytest.mark.parametrize("stencil", [laplacian5(1), laplacian5(2), laplacian5(3), laplacian9()])
def test_laplacians_are_exact_up_to_degree_three(stencil: Stencil) -> None:
    d = stencil.dimension
    squares = {tuple(2 * int(a == axis) for a in range(d)) for axis in range(d)}
    for powers in powers_below(4, d):
        assert stencil.moment(powers) == (2 if powers in squares else 0)


def test_the_nine_point_laplacian_errs_isotropically_and_cancels_the_error_of_euler() -> None:
    """Δ_h = Δ + h²/12 Δ² + …, Δ² = ∂x⁴ + 2∂x²∂y² + ∂y⁴; powers give 4!/12 and 2·2!·2!/12."""
    nine = laplacian9()
    assert nine.moment((4, 0)) == nine.moment((0, 4)) == Fraction(24, 12)
    assert nine.moment((2, 2)) == Fraction(8, 12)
    assert laplacian5().moment((2, 2)) == 0  # the five-point one is not isotropic
    directions = np.linspace(0, 2 * np.pi, 33)
    wave = np.stack([np.cos(directions), np.sin(directions)])
    errors = []
    for size in (0.2, 0.1):
        growth = 1 + nine.symbol(size * wave).real / 6
        errors.append(np.abs(growth - np.exp(-(size**2) / 6)).max())
    # One step errs by O(θ⁶), so halving θ divides by 64, up to a relative O(θ²) = 4 %.
    assert errors[0] / errors[1] == pytest.approx(64, rel=0.04)


def test_compact_mixed_stencils_make_diagonally_dominant_diffusion_monotone() -> None:
    """a u_xx + 2b u_xy + a u_yy with |b| ≤ a has non-negative weights at all neighbours."""
    for kind, b in (("diagonal", 1), ("antidiagonal", -1)):
        total: dict[Offset, Fraction] = {}
        cross = compact_mixed(kind)
        parts = [(cross, 2 * b), (central(2, 2, 0, 2), 1), (central(2, 2, 1, 2), 1)]
        for stencil, factor in parts:
            for offset, weight in zip(stencil.offsets, stencil.weights, strict=True):
                total[offset] = total.get(offset, Fraction(0)) + factor * weight
        assert all(weight >= 0 for offset, weight in total.items() if offset != (0, 0))
    assert compact_mixed("cross") == mixed((1, 1))


def test_the_dispatcher_takes_central_stencils_and_products_of_them() -> None:
    assert for_derivative((0, 0)) == identity(2)
    assert for_derivative((0, 3), 4) == central(3, 4, axis=1, dimension=2)
    product = central(1, 4, axis=0, dimension=3) @ central(2, 4, axis=2, dimension=3)
    assert for_derivative((1, 0, 2), 4) == product == mixed((1, 0, 2), 4)
    assert product.accuracy == 4
    assert product.radius == (2, 0, 2)
    assert (upwind(1, 1, 1, 0, 2) @ central(1, 4, 1, 2)).accuracy == 1
    assert hash(central(2)) == hash(for_derivative((2,)))


# --- orientation ---


@pytest.mark.parametrize("name", PLANES)
def test_torch_convolution_with_the_kernel_is_the_stencil(name: str) -> None:
    stencil, spacing = PLANES[name], (0.5, 0.5)
    rng = np.random.default_rng(3)
    u = rng.normal(size=(24, 20))
    kernel = stencil.kernel(spacing)
    rx, ry = stencil.radius
    assert kernel.shape == (2 * ry + 1, 2 * rx + 1)
    valid = torch.nn.functional.conv2d(
        torch.tensor(u)[None, None], torch.tensor(kernel)[None, None]
    )

    def shifted(offset: Offset) -> np.ndarray:
        kx, ky = offset
        return u[ry + ky : 24 - ry + ky, rx + kx : 20 - rx + kx]

    value = apply(stencil, shifted, stencil.scale(spacing))
    # Each side rounds at most twice a term, relative to Σ|kernel|·max|u|.
    bound = 2 * (kernel.size + 2) * EPS * np.abs(kernel).sum() * np.abs(u).max()
    assert np.abs(valid[0, 0].numpy() - value).max() <= bound


def test_a_kernel_differentiates_towards_growing_columns_and_rows() -> None:
    y, x = np.meshgrid(np.arange(6.0), np.arange(5.0), indexing="ij")
    u = torch.tensor(3 * x + 7 * y)[None, None]

    def convolve(stencil: Stencil) -> list[float]:
        kernel = torch.tensor(stencil.kernel())[None, None]
        return sorted(set(torch.nn.functional.conv2d(u, kernel).flatten().tolist()))

    assert convolve(central(1, axis=0, dimension=2)) == [3.0]
    assert convolve(central(1, axis=1, dimension=2)) == [7.0]
    assert convolve(upwind(1, 1, 1, axis=1, dimension=2)) == [7.0]


def test_kernels_of_three_axes_are_in_array_order() -> None:
    kernel = central(2, axis=2, dimension=3).kernel((1.0, 1.0, 0.5))
    assert kernel.shape == (3, 1, 1)
    np.testing.assert_array_equal(kernel.ravel(), [4, -8, 4])
    np.testing.assert_array_equal(laplacian9().kernel() * 6, [[1, 4, 1], [4, -20, 4], [1, 4, 1]])


def test_scale_divides_by_every_spacing_to_its_order() -> None:
    assert mixed((1, 2)).scale((0.5, 0.25)) == 2 * 16
    assert identity(2).scale((0.5, 0.25)) == 1
    assert laplacian5().scale((0.5, 0.5)) == 4


# --- symbols ---


def exact_symbol(stencil: Stencil, theta: np.ndarray) -> Any:  # mpmath has no annotations
    """Σ w e^(iθ·k) with 60 digits."""
    with mpmath.workdps(60):
        total = mpmath.mpc(0)
        for offset, weight in zip(stencil.offsets, stencil.weights, strict=True):
            phase = mpmath.fsum(
                k * mpmath.mpf(float(a)) for k, a in zip(offset, theta, strict=True)
            )
            total += mpmath.mpf(weight.numerator) / weight.denominator * mpmath.expj(phase)
        return total


SMALL_AND_LARGE = [1e-9, 1e-5, 1e-2, 0.7, 1.9, 3.0]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("accuracy", EVEN)
def test_central_symbols_have_all_digits_at_every_wave_length(order: int, accuracy: int) -> None:
    stencil = central(order, accuracy)
    value = stencil.symbol(np.array([SMALL_AND_LARGE]))
    zero, other = (value.real, value.imag) if order % 2 else (value.imag, value.real)
    assert not zero.any()
    for theta, part in zip(SMALL_AND_LARGE, other, strict=True):
        exact = exact_symbol(stencil, np.array([theta]))
        wanted = float(exact.imag if order % 2 else exact.real)
        # Sums of at most five terms of one sign; the power s^4 has four roundings of s.
        assert abs(part - wanted) <= 20 * EPS * abs(wanted)


@pytest.mark.parametrize("name", EVERY)
def test_symbols_are_the_factors_of_waves(name: str) -> None:
    stencil = EVERY[name]
    rng = np.random.default_rng(5)
    theta = rng.uniform(-np.pi, np.pi, size=(stencil.dimension, 6))
    value = stencil.symbol(theta)
    assert value.shape == (6,)
    largest = max(abs(float(weight)) for weight in stencil.weights)
    # e^(ikθ) is evaluated by polynomials whose terms reach (3 + √8)^|k|, a few roundings each.
    growth = math.prod((3 + math.sqrt(8)) ** max(r - 4, 0) for r in stencil.radius)
    bound = 8 * EPS * largest * len(stencil.offsets) * growth * 8
    for k in range(6):
        assert abs(complex(exact_symbol(stencil, theta[:, k])) - value[k]) <= bound


def test_symmetric_stencils_have_exactly_real_and_antisymmetric_ones_imaginary_symbols() -> None:
    theta = np.random.default_rng(6).uniform(-np.pi, np.pi, size=(2, 50))
    for stencil in (laplacian5(), laplacian9(), neighbour_mean(2), mixed((1, 1), 6), mixed((2, 2))):
        assert not stencil.symbol(theta).imag.any()
    for stencil in (central(1, 6, 1, 2), mixed((2, 1), 4), mixed((1, 2))):
        assert not stencil.symbol(theta).real.any()


def test_symbols_take_any_shape_and_the_spacing() -> None:
    theta = np.full((2, 3, 4), 0.3)
    value = mixed((1, 2)).symbol(theta, (0.5, 0.25))
    assert value.shape == (3, 4)
    assert value.dtype == np.complex128
    np.testing.assert_array_equal(value, mixed((1, 2)).symbol(theta) * 32)
    single = central(2).symbol([np.pi])
    assert single.shape == ()
    assert single == pytest.approx(-4, rel=4 * EPS)
    assert (identity(1).symbol(np.zeros((1, 2))) == 1).all()


# --- what is refused ---

BAD: dict[str, tuple[Callable[[], object], str]] = {
    "order 5": (lambda: central(5), "order = 5"),
    "order −1": (lambda: one_sided(-1), "order = -1"),
    "order 2.0": (lambda: central(2.0), "order = 2.0"),  # type: ignore[arg-type]
    "order True": (lambda: central(True), "order = True"),
    "accuracy 3": (lambda: central(1, 3), "among 2, 4, 6, got accuracy = 3"),
    "accuracy 8": (lambda: central(1, 8), "got accuracy = 8"),
    "accuracy 0": (lambda: upwind(1, 0), "among 1, 2, 3, 4, 5, 6, got accuracy = 0"),
    "accuracy 7": (lambda: one_sided(1, 7), "got accuracy = 7"),
    "side 0": (lambda: upwind(1, 1, 0), "side = 0"),
    "axis": (lambda: central(1, axis=1), "axis = 1"),
    "dimension": (lambda: central(1, dimension=4), "got 4"),
    "no axes": (lambda: mixed(()), "got 0"),
    "mixed order": (lambda: mixed((1, 5)), "order = 5"),
    "mixed accuracy": (lambda: mixed((0, 0), 5), "accuracy = 5"),
    "kind": (lambda: compact_mixed("round"), "got 'round'"),
    "one axis twice": (lambda: compact_mixed("cross", (0, 0)), r"axes = \(0, 0\)"),
    "same axis": (lambda: central(1) @ central(2), r"\(1,\) and \(2,\)"),
    "dimensions": (lambda: central(1) @ central(1, axis=1, dimension=2), r"\(1,\) and \(0, 1\)"),
    "spacings": (lambda: central(1).scale((0.1, 0.1)), "expected 1 spacings"),
    "unequal": (lambda: laplacian9().scale((0.1, 0.2)), r"got \(0.1, 0.2\)"),
    "angles": (lambda: laplacian9().symbol(np.zeros(3)), r"shape \(3,\)"),
    "no terms": (lambda: Stencil((1,), (), (), 1), "at least one"),
    "unsorted": (lambda: Stencil((1,), ((1,), (0,)), (Fraction(1),) * 2, 1), "sorted"),
    "axes": (lambda: Stencil((1,), ((1, 0),), (Fraction(1),), 1), "along 1 axes"),
    "zero weight": (lambda: Stencil((1,), ((1,),), (Fraction(0),), 1), "other than 0"),
    "float weight": (lambda: Stencil((1,), ((1,),), (0.5,), 1), "Fractions"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", BAD)
def test_stencils_that_do_not_exist_are_refused_with_what_came(case: str) -> None:
    make, message = BAD[case]
    with pytest.raises(StencilError, match=message) as error:
        make()
    assert str(error.value).startswith("expected")
    assert ";" in str(error.value), "the last part says what to do"


def test_integers_of_other_libraries_are_taken() -> None:
    assert central(np.int64(2), np.int64(4)) == central(2, 4)  # type: ignore[arg-type]
    assert type(central(np.int64(2)).derivative[0]) is int  # type: ignore[arg-type]
