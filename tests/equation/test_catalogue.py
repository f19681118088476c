"""The catalogue: every entry is complete, and solved by a solution known from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any  # the options of an entry

import numpy as np
import pytest
import sympy as sp

from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import D, coordinates
from pdenet.errors import EquationError, UnknownNameError

NAMES = (
    *("heat", "wave", "wave_system", "wave_first_order", "rotation", "dilation", "advection"),
    *("advection_diffusion", "gray_scott", "burgers_1d", "burgers_2d", "acoustics"),
    *("shallow_water", "maxwell_tm", "kdv"),
    *("eq1", "eq2", "eq3", "eq4", "eq5", "eq6", "eq7", "eq9"),
)
VECTORS = ("eq2", "eq3", "eq4", "eq5", "eq6", "eq7", "eq9")
Options = dict[str, Any]
VARIANTS: tuple[tuple[str, Options], ...] = (
    *((n, {}) for n in NAMES),
    *(
        (n, {"dimension": d})
        for n in ("heat", "wave", "wave_system", "wave_first_order", "advection")
        for d in (1, 2, 3)
    ),
    *(
        (n, {"dimension": d})
        for n in ("advection_diffusion", "acoustics", "gray_scott", "eq4", "eq5", "eq6", "eq7")
        for d in (1, 2, 3)
    ),
    *((n, {"dimension": d}) for n in ("eq2", "eq3", "eq9", "shallow_water") for d in (1, 2)),
    *((n, {"form": "divergence"}) for n in ("burgers_1d", "shallow_water", "kdv")),
    ("shallow_water", {"dimension": 1, "form": "divergence"}),
    *((n, {"n": 4}) for n in VECTORS),
)
IDS = [f"{n}-{'-'.join(f'{k}={v}' for k, v in o.items())}" for n, o in VARIANTS]

t, x, y, z = coordinates("t x y z")
SYMBOLS = {
    name: sp.Symbol(name, real=True)
    for name in ("c", "cx", "cy", "D", "nu", "omega", "g", "H", "K", "rho", "eps", "mu", "F")
}
p = SYMBOLS  # short, for the formulas below


# Completeness --------------------------------------------------------------------------------


def test_catalogue_holds_exactly_the_promised_names() -> None:
    assert tuple(catalogue) == NAMES
    assert len(catalogue) == len(NAMES)
    assert "heat" in catalogue
    assert "heet" not in catalogue


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
def test_every_entry_reads_prints_and_describes_itself(name: str, options: Options) -> None:
    pde = catalogue.build(name, **options)
    assert pde.name == name
    assert pde.description
    assert pde.source
    text = catalogue.describe(name, **options)
    for line in str(pde).splitlines():
        assert " = " in line
        assert line in text
    assert "=" in pde.latex()
    assert pde.source in text
    for parameter in pde.parameters:
        assert parameter.unit, f"{parameter.name} has no unit"
        assert parameter.description, f"{parameter.name} is not described"
        assert f"  {parameter.name}" in text
        if parameter.kind == "scalar":
            assert isinstance(parameter.default, float), f"{parameter.name} has no default"
    if "dimension" in options:
        assert len(pde.axes) == options["dimension"]


@pytest.mark.parametrize("name", NAMES)
def test_lookup_gives_one_object_and_build_without_options_the_same(name: str) -> None:
    assert catalogue[name] is catalogue[name]
    assert catalogue.build(name) is catalogue[name]


@pytest.mark.parametrize("name", ["eq2", "eq3", "eq4", "eq5", "eq6", "eq7", "eq1", "eq9"])
def test_sources_of_the_paper_carry_their_number_and_their_mark(name: str) -> None:
    source = catalogue[name].source
    assert f"Eq. ({name[2:]})" in source
    mark = {"eq3": "[figure]", "eq1": "[paper", "eq2": "[paper]", "eq9": "[paper]"}
    assert mark.get(name, "[derived]") in source


def test_catalogue_is_read_only() -> None:
    with pytest.raises(TypeError):
        catalogue["heat"] = catalogue["wave"]  # type: ignore[index]


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'heat'"):
        catalogue["heet"]
    with pytest.raises(KeyError):
        catalogue.describe("nothing like it")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("heat", {"dimenson": 1}, "Did you mean 'dimension'"),
        ("heat", {"dimension": 4}, "got 4"),
        ("heat", {"dimension": True}, "got True"),
        ("heat", {"form": "divergence"}, "options dimension"),
        ("burgers_1d", {"form": "conservative"}, "'divergence'"),
        ("eq3", {"dimension": 3}, "1, 2"),
        ("eq3", {"n": 2.5}, "n is a positive integer"),
        ("eq3", {"n": 0}, "at least 1"),
        ("eq1", {"A": [[1]]}, "one matrix an axis"),
        ("eq1", {"A": [[1]], "B": [[1]]}, r"shape \(2, 2\)"),
        ("eq1", {"A": 3, "B": 4}, "rows of expressions"),
        ("eq1", {"fields": "u v w"}, "give matrices"),
        ("eq1", {"fields": [x, y]}, "pn.fields"),
    ],
)
def test_bad_option_is_refused_with_what_would_do(name: str, options: Options, words: str) -> None:
    with pytest.raises(EquationError, match=words):
        catalogue.build(name, **options)


# Kinds ---------------------------------------------------------------------------------------

KINDS = {  # name -> (kind, order in space, order in time, coefficients), as the field has it
    "heat": ("linear", 2, 1, "constant"),
    "wave": ("linear", 2, 2, "constant"),
    "wave_system": ("linear", 2, 1, "constant"),
    "wave_first_order": ("linear", 1, 1, "constant"),
    "rotation": ("linear", 1, 1, "variable"),
    "dilation": ("linear", 1, 1, "variable"),
    "advection": ("linear", 1, 1, "constant"),
    "advection_diffusion": ("linear", 2, 1, "constant"),
    "gray_scott": ("quasi-linear", 2, 1, "constant"),
    "burgers_1d": ("quasi-linear", 2, 1, "constant"),
    "burgers_2d": ("quasi-linear", 2, 1, "constant"),
    "acoustics": ("linear", 1, 1, "constant"),
    "shallow_water": ("quasi-linear", 1, 1, "constant"),
    "maxwell_tm": ("linear", 1, 1, "constant"),
    "kdv": ("quasi-linear", 3, 1, "constant"),
    "eq9": ("linear", 1, 1, "constant"),
    **{f"eq{k}": ("quasi-linear", 1, 1, "constant") for k in range(1, 8)},
}


@pytest.mark.parametrize("name", NAMES)
def test_kind_is_the_one_known_to_the_field(name: str) -> None:
    found = catalogue[name].analysis
    assert (found.kind, found.order, found.time_order, found.coefficients) == KINDS[name]


# Exact solutions -----------------------------------------------------------------------------


def residuals(pde: PDE, solution: dict[str, sp.Expr]) -> list[sp.Expr]:
    """Put expressions for the scalar fields into the equations; left minus right."""
    table = {pde.system.symbol(name): value for name, value in solution.items()}
    made = []
    for equation in pde.equations:
        difference = equation.lhs - equation.rhs
        fluxes = {d: sp.Derivative(d.argument, d.coordinate) for d in difference.atoms(D)}
        made.append(difference.xreplace(fluxes).subs(table).doit())
    return made


def _wave(direction: tuple[int, int]) -> sp.Expr:
    """d'Alembert's wave F(k·x − c|k|t) for any F, with |(3, 4)| = 5."""
    return sp.Function("F_")(direction[0] * x + direction[1] * y - 5 * p["c"] * t)


def _cole_hopf() -> sp.Expr:
    heat = 2 + sp.exp(-p["nu"] * t) * sp.cos(x)
    return -2 * p["nu"] * sp.diff(heat, x) / heat


def _fletcher() -> dict[str, sp.Expr]:
    front = 1 / (4 * (1 + sp.exp((4 * y - 4 * x - t) / (32 * p["nu"]))))
    return {"u": sp.Rational(3, 4) - front, "v": sp.Rational(3, 4) + front}


def _ritter(*, discharge: bool) -> dict[str, sp.Expr]:
    """Ritter's dam break, where the water is neither at rest nor gone."""
    celerity = sp.sqrt(p["g"] * p["H"])
    depth = (2 * celerity - x / t) ** 2 / (9 * p["g"])
    speed = sp.Rational(2, 3) * (x / t + celerity)
    second = {"m": depth * speed} if discharge else {"u": speed}
    return {"h": depth - p["H"], **second}


def _spreading(*, discharge: bool) -> dict[str, sp.Expr]:
    """A flat layer thinning out: velocity (x, y)/t, depth 1/t²."""
    factor = 1 / t**2 if discharge else sp.S.One
    names = ("m", "n") if discharge else ("u", "v")
    velocity = {n: factor * a / t for n, a in zip(names, (x, y), strict=True)}
    return {"h": 1 / t**2 - p["H"], **velocity}


_ADVECTED = sp.Function("F_")
_PHASE = 3 * x + 4 * y
SOLUTIONS: list[tuple[str, Options, dict[str, sp.Expr]]] = [
    ("heat", {}, {"u": sp.exp(-(x**2 + y**2) / (4 * p["D"] * t)) / t}),
    ("heat", {"dimension": 1}, {"u": sp.exp(-(x**2) / (4 * p["D"] * t)) / sp.sqrt(t)}),
    (
        "heat",
        {"dimension": 3},
        {"u": sp.exp(-14 * p["D"] * t) * sp.sin(x) * sp.cos(2 * y) * sp.sin(3 * z)},
    ),
    ("wave", {}, {"u": _wave((3, 4))}),
    ("wave", {"dimension": 1}, {"u": sp.Function("F_")(x - p["c"] * t)}),
    ("wave_system", {}, {"u": _wave((3, 4)), "v": _wave((3, 4)).diff(t)}),
    (
        "wave_first_order",
        {},
        {"p": _wave((3, 4)).diff(t), "q": _wave((3, 4)).diff(x), "r": _wave((3, 4)).diff(y)},
    ),
    (
        "rotation",
        {},
        {
            "u": _ADVECTED(
                x * sp.cos(p["omega"] * t) - y * sp.sin(p["omega"] * t),
                x * sp.sin(p["omega"] * t) + y * sp.cos(p["omega"] * t),
            )
        },
    ),
    ("dilation", {}, {"u": _ADVECTED(sp.exp(t) * x, sp.exp(t) * y)}),
    ("advection", {}, {"u": _ADVECTED(x - p["cx"] * t, y - p["cy"] * t)}),
    ("advection", {"dimension": 1}, {"u": _ADVECTED(x - p["c"] * t)}),
    (
        "advection_diffusion",
        {},
        {
            "u": sp.exp(-((x - p["cx"] * t) ** 2 + (y - p["cy"] * t) ** 2) / (4 * p["D"] * t)) / t,
        },
    ),
    # Without v the feed is a relaxation to 1: known in closed form, diffusion included.
    (
        "gray_scott",
        {},
        {"u": 1 - sp.exp(-(p["F"] + 2 * sp.Symbol("Du", real=True)) * t) * sp.sin(x + y), "v": 0},
    ),
    ("burgers_1d", {}, {"u": _cole_hopf()}),
    ("burgers_1d", {"form": "divergence"}, {"u": _cole_hopf()}),
    ("burgers_2d", {}, _fletcher()),
    (
        "acoustics",
        {},
        {
            n: a * sp.Function("F_")(_PHASE - 5 * sp.sqrt(p["K"] / p["rho"]) * t)
            for n, a in (("p", 5 * sp.sqrt(p["K"] * p["rho"])), ("u", 3), ("v", 4))
        },
    ),
    ("shallow_water", {"dimension": 1}, _ritter(discharge=False)),
    ("shallow_water", {"dimension": 1, "form": "divergence"}, _ritter(discharge=True)),
    ("shallow_water", {}, _spreading(discharge=False)),
    ("shallow_water", {"form": "divergence"}, _spreading(discharge=True)),
    (
        "maxwell_tm",
        {},
        {
            n: a * sp.Function("F_")(_PHASE - 5 * t / sp.sqrt(p["eps"] * p["mu"]))
            for n, a in (("Ez", 5 * sp.sqrt(p["mu"] / p["eps"])), ("Hx", 4), ("Hy", -3))
        },
    ),
    ("kdv", {}, {"u": 2 / sp.cosh(x - 4 * t) ** 2}),
    ("kdv", {"form": "divergence"}, {"u": 2 / sp.cosh(x - 4 * t) ** 2}),
    # u + v = −(x + y + 3t)/t steepens and is carried along y by u − v = 3, which stays.
    ("eq1", {}, {"u": (3 - (x + y + 3 * t) / t) / 2, "v": -(3 + (x + y + 3 * t) / t) / 2}),
]


@pytest.mark.parametrize(
    ("name", "options", "solution"),
    SOLUTIONS,
    ids=[f"{n}-{'-'.join(map(str, o.values()))}-{k}" for k, (n, o, _) in enumerate(SOLUTIONS)],
)
def test_equation_is_solved_by_its_known_solution(
    name: str, options: Options, solution: dict[str, sp.Expr]
) -> None:
    # Roots of products come apart when the constants are positive, as they are.
    positive = {s: sp.Symbol(s.name, positive=True) for s in SYMBOLS.values()}
    for residual in residuals(catalogue.build(name, **options), solution):
        assert sp.simplify(residual.subs(positive)) == 0


def test_every_scalar_entry_has_a_known_solution() -> None:
    assert {name for name, _, _ in SOLUTIONS} == set(NAMES) - set(VECTORS)


# Relations among entries ---------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_three_forms_of_the_wave_equation_are_equal_by_elimination(dimension: int) -> None:
    wave, pair, first = (
        catalogue.build(n, dimension=dimension) for n in ("wave", "wave_system", "wave_first_order")
    )
    u = wave.system.symbol("u")
    (written,) = wave.equations
    # Put v = u_t into v_t = …, and (p, q, …) = (u_t, u_x, …) into p_t = …
    second = residuals(pair, {"u": u, "v": u.diff(t)})
    slopes = {n: u.diff(a) for n, a in zip("qrs", (x, y, z), strict=False) if n in first.fields}
    third = residuals(first, {"p": u.diff(t), **slopes})
    expected = sp.expand(written.lhs - written.rhs)
    assert sp.expand(second[1] - expected) == 0
    assert sp.expand(third[0] - expected) == 0
    # The other equations only say what v, q, r, … are.
    assert [second[0], *third[1:]] == [0] * (1 + dimension)


@pytest.mark.parametrize("name", ["burgers_1d", "kdv"])
def test_divergence_form_carried_out_is_the_advective_form(name: str) -> None:
    def right(form: str) -> sp.Expr:
        (equation,) = catalogue.build(name, form=form).equations
        return equation.rhs.doit()

    assert sp.expand(right("divergence") - right("advective")) == 0


@pytest.mark.parametrize("name", ["burgers_1d", "kdv", "shallow_water"])
def test_divergence_forms_conserve_and_advective_forms_need_not(name: str) -> None:
    assert catalogue.build(name, form="divergence").analysis.is_conservative
    assert not catalogue[name].analysis.is_conservative


def test_entries_of_eq1_are_never_evaluated_as_text(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    hostile = f"open({str(marker)!r}, 'w').close() or 1"
    for given in ([[hostile, 0], [0, 1]], [hostile, 0], hostile, sp.Matrix([[0, 1]]).tolist()):
        with pytest.raises(EquationError, match=r"of 'eq1'|an entry of A"):
            catalogue.build("eq1", A=given, B=[[1, 0], [0, 1]])
    assert not marker.exists()


def test_eq1_takes_rows_numbers_and_arrays() -> None:
    rows = [[1, 0], [0, 1]]
    made = {catalogue.build("eq1", A=a, B=rows) for a in (rows, sp.Matrix(rows), np.array(rows))}
    assert len(made) == 1
