"""`to_equation` on networks of known equations: what it prints, and what it does with changes."""

from __future__ import annotations

from typing import Any  # values of parameters

import numpy as np
import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.discrete import stencils
from pdenet.errors import NetworkError
from pdenet.network.network import Network
from tests.strategies import periodic

t, x, y = pn.coordinates("t x y")
u, v = pn.fields("u v", (t, x, y))
U = pn.fields("u", (t, x))
GRID = pn.Grid(x=(-1, 1, 16), y=(-1, 1, 16))
LINE = pn.Grid(x=(-1, 1, 16))


def network(pde: pn.PDE | str, values: Any = None, grid: pn.Grid = GRID, **how: Any) -> Network:
    pde = pn.catalogue[pde] if isinstance(pde, str) else pde
    chosen = {"stability": "ignore", "dt": 1 / 64, "space": "central2", **how}
    boundary = chosen.pop("boundary", periodic(grid.dimension))
    return pde.to_network(grid, boundary, values=values, **chosen)


def written(right: sp.Expr, values: Any = None, grid: pn.Grid = GRID, **how: Any) -> Network:
    field = u if grid.dimension == 2 else U
    return network(pn.PDE(sp.Eq(field.diff(t), right)), values, grid, **how)


def equation(net: Network) -> str:
    return str(net.to_equation().pde)


# What it prints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("heat", "u_t = 0.1 (u_xx + u_yy)"),
        ("wave", "u_tt = u_xx + u_yy"),
        ("acoustics", "p_t = -u_x - v_y"),
        ("rotation", "u_t = x u_y - y u_x"),
        ("kdv", "u_t = -6 u u_x - u_xxx"),
        ("eq3", "∂t u_i = A_ij C_jk u_k ∂x u_j + B_ij D_jk u_k ∂y u_j"),
        ("gray_scott", "u_t = 0.04 (1 - u) + 2.0e-5 (u_xx + u_yy) - u v²"),
    ],
)
def test_equations_are_printed_as_one_writes_them(name: str, expected: str, dtype: str) -> None:
    pde = pn.catalogue[name]
    values = {p.name: np.ones((2, 2)) for p in pde.parameters if p.kind == "tensor"}
    grid = GRID if len(pde.axes) == 2 else LINE
    assert equation(network(pde, values, grid, dtype=dtype)).splitlines()[0] == expected


def test_a_sign_that_all_terms_share_stands_before_their_bracket() -> None:
    assert equation(written(-0.5 * (u.diff(x) + u.diff(y)))) == "u_t = -0.5 (u_x + u_y)"


def test_terms_of_the_scheme_hold_its_steps() -> None:
    upwind = network("advection", space="upwind").to_equation()
    assert str(upwind).splitlines() == [
        "u_t = 0.5 h_x u_xx + 0.25 h_y u_yy - u_x - 0.5 u_y",
        "h_x = 0.125",
        "h_y = 0.125",
    ]
    mean = network("advection", space="lax_friedrichs", stepper="euler").to_equation()
    assert str(mean.pde) == "u_t = 0.25 (h_x² u_xx/dt + h_y² u_yy/dt) - u_x - 0.5 u_y"
    assert mean.values == {"dt": 1 / 64, "h_x": 1 / 8, "h_y": 1 / 8}


def test_a_matrix_of_speeds_and_its_modulus_are_values() -> None:
    matrix = np.array([[0.0, 2.0], [2.0, 0.0]])
    values = {"A": matrix, "B": np.eye(2)}
    reading = network("eq9", values, space="upwind", dtype="float64").to_equation()
    assert set(reading.values) == {"A", "B", "abs_A_x", "abs_B_y", "h_x", "h_y"}
    # |A| = √(A²), a multiple of the identity here; eigenvectors are found to a few eps.
    np.testing.assert_allclose(reading.values["abs_A_x"], 2 * np.eye(2), rtol=0, atol=1e-14)
    assert "abs_A_x: (2, 2)" in str(reading)


def test_names_of_the_scheme_give_way_to_those_of_the_equation() -> None:
    h, d = pn.fields("h_x dt", (t, x))
    pde = pn.PDE(sp.Eq(h.diff(t), -h.diff(x)), sp.Eq(d.diff(t), h - d))
    reading = network(pde, None, LINE, space="upwind").to_equation()
    assert str(reading.pde) == "h_x_t = 0.5 h_x_ h_x_xx - h_x_x\ndt_t = -dt + h_x"
    assert reading.values == {"h_x_": 1 / 8}


def test_spacings_that_differ_by_their_rounding_are_equal() -> None:
    """0.2/8 and 0.3/12 differ in float64, and the nine-point Laplacian is both derivatives."""
    grid = pn.Grid(x=(0, 0.2, 8), y=(0, 0.3, 12))
    first, second = grid.spacing(periodic(2))
    assert first != second
    assert equation(network("heat", None, grid, space="nine_point", dtype="float64")) == (
        "u_t = 0.1 (u_xx + u_yy)"
    )


def test_latex_is_that_of_the_equation() -> None:
    assert "u_{xx}" in network("heat").to_equation()._repr_latex_()


# Coefficients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_coefficient_function_is_a_polynomial_or_itself(dtype: str) -> None:
    c = sp.Function("c")(x, y)
    xs, ys = np.meshgrid(np.linspace(-1, 1, 16, endpoint=False), np.linspace(-1, 1, 16, False))
    net = written(c * u.diff(x), {"c": 1 - xs**2 / 2 + ys}, dtype=dtype)
    assert equation(net) == "u_t = (-0.5 x² + y + 1) u_x"
    assert net.to_equation().values == {}
    wavy = np.sin(3 * xs * ys).astype(dtype)
    other = written(c * u.diff(x), {"c": wavy}, dtype=dtype).to_equation()
    assert str(other) == "u_t = c(x, y) u_x\nc: (16, 16)"
    np.testing.assert_array_equal(other.values["c"], wavy)


def test_a_coefficient_function_of_one_axis_keeps_it() -> None:
    c = sp.Function("c")(y)
    values = {"c": np.sin(np.arange(16.0))}
    reading = written(c * u.diff(x), values, dtype="float64").to_equation()
    assert str(reading) == "u_t = c(y) u_x\nc: (16,)"
    np.testing.assert_array_equal(reading.values["c"], values["c"])


def test_what_varies_without_being_a_polynomial_is_a_function() -> None:
    reading = written(sp.sin(sp.pi * x) * u.diff(y), dtype="float64").to_equation()
    assert str(reading) == "u_t = map_0(x) u_y\nmap_0: (16,)"
    nodes = np.linspace(-1, 1, 16, endpoint=False)
    # One rounding of sin each, and of its argument of size π.
    np.testing.assert_allclose(reading.values["map_0"], np.sin(np.pi * nodes), atol=1e-15)


def test_functions_of_time_and_fields_stay_as_they_are_with_numbers_for_symbols() -> None:
    a, k = sp.symbols("a k")
    net = written(a * sp.cos(k * t) * u.diff(x) + sp.exp(-k * u), {"a": 0.5, "k": 0.3})
    assert equation(net) == "u_t = 0.5 cos(0.3 t) u_x + exp(-0.3 u)"


def test_entries_in_the_time_stay_expressions() -> None:
    w = pn.VectorField("u", 2, (t, x, y))
    i, j = pn.indices("i j")
    a = pn.Coefficient("A", (2, 2))
    k = sp.Symbol("k")
    pde = pn.PDE(sp.Eq(w[i].diff(t), k * a[i, j] * w[j].diff(x)))
    net = network(pde, {"A": [[sp.cos(k * t), x], [0, 1]], "k": 0.3}, dtype="float64")
    reading = net.to_equation()
    assert str(reading) == "∂t u_i = 0.3 A_ij ∂x u_j\nA: (2, 2)"
    assert [str(e) for e in reading.values["A"].flat] == ["cos(0.3*t)", "x", "0", "1"]


def test_entries_that_vary_in_space_are_arrays() -> None:
    w = pn.VectorField("u", 2, (t, x))
    i, j = pn.indices("i j")
    pde = pn.PDE(sp.Eq(w[i].diff(t), pn.Coefficient("A", (2, 2))[i, j] * w[j].diff(x)))
    array = np.random.default_rng(0).normal(size=(2, 2, 16))
    reading = network(pde, {"A": array}, LINE, dtype="float64").to_equation()
    np.testing.assert_array_equal(reading.values["A"], array)
    assert reading.pde.parameters[0].shape == (2, 2)


# Changes ------------------------------------------------------------------------------------------


def test_each_kind_of_weight_is_read_as_it_is_now() -> None:
    """The expected equations are worked out by hand."""
    net = network("heat", dtype="float64")
    with torch.no_grad():
        net.block.symbols["D"].fill_(0.25)
    assert equation(net) == "u_t = 0.25 (u_xx + u_yy)"
    with torch.no_grad():
        net.block.numbers[1] = 2.0
    first, second = (k.name for k in net.block.structure.kernels)
    assert sorted(equation(net).split()[2:]) == sorted(
        ["0.25", f"u_{first}", "+", "0.5", f"u_{second}"]
    )
    with torch.no_grad():
        # 1/64 more at x + h, h = 1/8: u/64 + h u_x/64 + h² u_xx/128, times 0.25/h² = 16.
        net.block.numbers[1] = 1.0
        net.block.kernels["xx"][1, 2] += 1 / 64
    assert net.to_equation().pde == pn.PDE(
        sp.Eq(
            u.diff(t),
            0.25 * (u.diff(x, 2) + u.diff(y, 2)) + u / 4 + u.diff(x) / 32 + u.diff(x, 2) / 512,
        )
    )
    assert net.to_equation().leftover == ()


def test_a_node_of_a_map_is_read() -> None:
    net = network("rotation", dtype="float64")
    name = next(n for n, m in net.block.maps.items() if m.shape[-1] > 1)  # x
    with torch.no_grad():
        net.block.maps[name][0, 3] += 1e-6
    reading = net.to_equation()
    shown = name.strip("_")
    assert str(reading.pde) in (f"u_t = {shown}(x) u_y - y u_x", f"u_t = -y u_x + {shown}(x) u_y")
    expected = np.linspace(-1, 1, 16, endpoint=False)
    expected[3] += 1e-6
    np.testing.assert_array_equal(reading.values[shown], expected)


def test_an_entry_of_a_coefficient_is_read() -> None:
    net = network("eq9", {"A": np.eye(2), "B": np.eye(2)}, trainable=["A"])
    with torch.no_grad():
        net.quantities()["A"][0, 1] = 0.5
    np.testing.assert_array_equal(net.to_equation().values["A"], [[1, 0.5], [0, 1]])


def test_kernels_between_fixed_moments_are_read_as_what_they_act_as() -> None:
    net = network("heat", dtype="float64", trainable="stencils", stencils="moment")
    parameters = [p for n, p in net.quantities().items() if n.startswith("stencils")]
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.25)
    found = equation(net)
    # Moments up to order 2 are fixed; ∂xxy, ∂xyy and ∂xxyy are what 3×3 nodes have besides.
    assert "0.1 (u_xx + u_yy)" in found
    assert "u_xxyy" in found


def test_a_wave_whose_rate_has_changed_is_of_first_order() -> None:
    net = network("wave", dtype="float64")
    with torch.no_grad():
        net.block.numbers[0] = 0.5
    reading = net.to_equation()
    assert str(reading.pde) == "u_t = 0.5 v\nv_t = u_xx + u_yy"
    assert reading.pde.fields == ("u", "v")
    assert reading.space is None  # conditions on u no longer imply those on its rate


def test_squares_of_components_are_written_with_an_identity() -> None:
    """u_j ∂x u_j with 1/32 more at the node itself is u_j ∂x u_j + u_j u_j/32h."""
    w = pn.VectorField("u", 2, (t, x))
    i, j = pn.indices("i j")
    b = pn.Coefficient("b", (2,))
    pde = pn.PDE(sp.Eq(w[i].diff(t), b[i] * w[j] * w[j].diff(x)))
    net = network(pde, {"b": [1.0, 2.0]}, LINE, dtype="float64")
    with torch.no_grad():
        net.block.kernels["x"][1] += 1 / 32
    reading = net.to_equation()
    assert str(reading.pde) == "∂t u_i = 0.25 b_i delta_jk u_j u_k + b_i u_j ∂x u_j"
    np.testing.assert_array_equal(reading.values["delta"], np.eye(2))
    assert reading.space == "central2"


def test_a_changed_divergence_is_read_by_the_product_rule() -> None:
    """K = ∂x + 1/16 at x + h, h = 1/8: F/16h + ∂x F/16 + h ∂xx F/32 more, F = −u²/2."""
    net = network(pn.catalogue.build("burgers_1d", form="divergence"), {"nu": 1}, LINE,
                  dtype="float64")  # fmt: skip
    with torch.no_grad():
        net.block.kernels["x"][2] += 1 / 16
    flux = -(U**2) / 2
    expected = U.diff(x, 2) + flux / 2 + sp.Rational(17, 16) * pn.D(flux, x)
    expected += pn.D(-U * U.diff(x), x) / 256
    assert net.to_equation().pde == pn.PDE(sp.Eq(U.diff(t), expected))
    assert net.to_equation().space is None


def test_the_product_rule_holds_for_the_modulus() -> None:
    """As before with F = |u|, of which ∂x F = sign(u) ∂x u."""
    net = written(pn.D(sp.Abs(U), x), None, LINE, dtype="float64")
    with torch.no_grad():
        net.block.kernels["x"][2] += 1 / 16
    expected = sp.Abs(U) / 2 + sp.Rational(17, 16) * pn.D(sp.Abs(U), x)
    expected += pn.D(sp.sign(U) * U.diff(x), x) / 256
    assert net.to_equation().pde == pn.PDE(sp.Eq(U.diff(t), expected))


def test_derivatives_of_a_product_that_the_language_has_not_are_left_over() -> None:
    """∂xx(u u_xxxx) holds derivatives of fifth order."""
    net = written(pn.D(U * U.diff(x, 4), x), None, LINE, dtype="float64")
    with torch.no_grad():
        net.block.kernels["x"][2] += 1 / 16
    reading = net.to_equation()
    inside = U * U.diff(x, 4)
    expected = inside / 2 + sp.Rational(17, 16) * pn.D(inside, x)
    assert reading.pde == pn.PDE(sp.Eq(U.diff(t), expected))
    (left,) = reading.leftover
    np.testing.assert_array_equal(left.weights, np.array([1, -2, 1]) / 32)


def test_a_changed_difference_at_a_face_is_read_inside_of_its_flux() -> None:
    """[−1, 1] with 1/16 more on the upper side: the mean at the face /16h and ∂x/32, h = 1/8."""
    c = sp.Function("c")(x)
    values = {"c": np.sin(np.arange(16.0))}
    net = written(pn.D(c * U.diff(x), x), values, LINE, dtype="float64")
    (name,) = (k.name for k in net.block.structure.kernels)
    with torch.no_grad():
        net.block.kernels[name][1] += 1 / 16
    reading = net.to_equation()
    expected = pn.D(c * U * sp.Rational(1, 2) + sp.Rational(33, 32) * c * U.diff(x), x)
    assert reading.pde == pn.PDE(sp.Eq(U.diff(t), expected))
    assert reading.space is None  # no scheme takes the mean of u alone at a face


def test_kernels_of_several_accuracies_have_no_solver() -> None:
    net = written(U.diff(x), None, LINE, space="central4", dtype="float64")
    assert net.to_equation().space == "central4"
    with torch.no_grad():
        net.block.kernels["x"][0] += 1 / 8
    reading = net.to_equation()
    assert reading.space is None
    assert reading.leftover == ()  # five nodes hold all derivatives up to the fourth
    assert {f.derivative for _, term in reading.pde.system.terms() for f in term.factors()} >= {
        (1,), (2,), (3,), (4,)
    }  # fmt: skip


def test_what_no_derivative_explains_is_reported() -> None:
    """Seven nodes hold a sixth derivative, which the language has not."""
    net = written(U.diff(x), None, LINE, space="central6", dtype="float64")
    sixth = np.array([1, -6, 15, -20, 15, -6, 1]) / 64
    with torch.no_grad():
        net.block.kernels["x"].add_(torch.as_tensor(sixth))
    reading = net.to_equation()
    assert str(reading.pde) == "u_t = u_x"
    assert reading.space is None
    (left,) = reading.leftover
    assert left.kernel == "x"
    # Both kernels are rounded to float64 once.
    np.testing.assert_allclose(left.weights, sixth, rtol=0, atol=1e-15)
    largest = np.abs(net.block.kernels["x"].numpy()).max()
    assert left.relative == pytest.approx(20 / 64 / largest, rel=1e-12)
    assert "not explained of stencil x: 0." in str(reading)


def test_a_term_that_became_zero_is_gone() -> None:
    net = network("advection_diffusion")
    with torch.no_grad():
        net.block.symbols["D"].zero_()
    assert equation(net) == "u_t = -u_x - 0.5 u_y"
    with torch.no_grad():
        net.block.numbers.zero_()
    assert equation(net) == "u_t = 0"


def test_weights_that_are_not_finite_are_refused() -> None:
    net = network("heat")
    with torch.no_grad():
        net.block.kernels["xx"][0, 0] = float("nan")
    with pytest.raises(NetworkError, match="finite weights"):
        net.to_equation()


def test_division_by_a_number_that_became_zero_is_refused() -> None:
    net = network("acoustics")
    with torch.no_grad():
        net.block.symbols["rho"].zero_()
    with pytest.raises(NetworkError, match="finite coefficients"):
        net.to_equation()


def test_nothing_of_the_equation_is_kept() -> None:
    """Two equations whose networks are made equal are read as the same."""
    one = written(2 * u.diff(x) + u.diff(y), dtype="float64")
    other = written(3 * u.diff(x) + u.diff(y), dtype="float64")
    other.load_state_dict(one.state_dict())
    assert other.to_equation().pde == one.to_equation().pde
    kernel = stencils.central(2, 2, 0, 2).kernel()
    with torch.no_grad():
        one.block.kernels["x"].zero_()
        one.block.kernels["x"][1] = torch.as_tensor(kernel[0])
    # The kernel still goes with 1/h, h = 1/8: 2 [1, −2, 1]/h = 2 h ∂xx.
    assert equation(one) == "u_t = 0.25 u_xx + u_y"
