"""The classical equations of the catalogue: diffusion, waves, transport, flow, light, solitons.

Every builder takes its options by keyword and returns a `PDE` whose parameters have a default, a
unit and a description. Units are written in length, time and, where a field has a dimension of its
own, that of the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sympy as sp

from pdenet.equation.pde import PDE
from pdenet.equation.symbols import SPACE, D, canonical_symbol, coordinates, equation
from pdenet.errors import EquationError

# A row of a parameter table: name -> (default, unit, description).
Parameters = Mapping[str, tuple[float, str, str]]

_LIU = "Liu, Shao & Bai (2023), arXiv 2308.01621"
_SPEED: tuple[float, str, str] = (1.0, "length/time", "speed of the waves")
_DIFFUSIVITY: tuple[float, str, str] = (0.1, "length²/time", "diffusivity")


def check_choice(option: str, value: object, allowed: Sequence[object], name: str) -> None:
    """Check an option of a catalogue entry.

    Raises:
        EquationError: `value` is none of `allowed`.
    """
    if isinstance(value, bool) or value not in allowed:
        shown = ", ".join(repr(a) for a in allowed)
        raise EquationError(f"{name!r} takes {option}= {shown}; got {value!r}; use one of these")


def space(dimension: object, name: str) -> tuple[sp.Symbol, tuple[sp.Symbol, ...]]:
    """Return t and the space coordinates for `dimension` 1, 2 or 3."""
    check_choice("dimension", dimension, (1, 2, 3), name)
    assert isinstance(dimension, int)
    t, *axes = coordinates(" ".join(("t", *SPACE[:dimension])))
    return t, tuple(axes)


def _laplacian(u: sp.Expr, axes: Sequence[sp.Symbol]) -> sp.Expr:
    return sp.Add(*(u.diff(a, 2) for a in axes))


def _velocity(letter: str, axes: Sequence[sp.Symbol]) -> tuple[sp.Symbol, ...]:
    """Return c in one dimension, else cx, cy, cz."""
    if len(axes) == 1:
        return (canonical_symbol(letter),)
    return tuple(canonical_symbol(f"{letter}{a}") for a in axes)


def _made(
    name: str, equations: Sequence[sp.Eq], parameters: Parameters, description: str, source: str
) -> PDE:
    return PDE(
        *equations,
        name=name,
        defaults={k: default for k, (default, _, _) in parameters.items()},
        units={k: unit for k, (_, unit, _) in parameters.items()},
        descriptions={k: text for k, (_, _, text) in parameters.items()},
        description=description,
        source=source,
    )


def _heat(dimension: int = 2) -> PDE:
    t, axes = space(dimension, "heat")
    u, diffusivity = sp.Function("u")(t, *axes), canonical_symbol("D")
    return _made(
        "heat",
        [equation(u.diff(t), diffusivity * _laplacian(u, axes))],
        {"D": _DIFFUSIVITY},
        "Heat flow, or diffusion, of a density u.",
        f"{_LIU}, appendix A.1 [paper]; Eq. (8) is its discrete form [derived]",
    )


def _wave(dimension: int = 2) -> PDE:
    t, axes = space(dimension, "wave")
    u, c = sp.Function("u")(t, *axes), canonical_symbol("c")
    return _made(
        "wave",
        [equation(u.diff(t, 2), c**2 * _laplacian(u, axes))],
        {"c": _SPEED},
        "Waves of small amplitude u, of second order in time.",
        f"{_LIU}, appendix A.3, with c = 1 [paper]",
    )


def _wave_system(dimension: int = 2) -> PDE:
    t, axes = space(dimension, "wave_system")
    u, v = (sp.Function(name)(t, *axes) for name in "uv")
    c = canonical_symbol("c")
    return _made(
        "wave_system",
        [equation(u.diff(t), v), equation(v.diff(t), c**2 * _laplacian(u, axes))],
        {"c": _SPEED},
        "The wave equation as a system for u and its time derivative v.",
        f"{_LIU}, appendix A.3, with c = 1 [paper]",
    )


def _wave_first_order(dimension: int = 2) -> PDE:
    t, axes = space(dimension, "wave_first_order")
    p, *slopes = (sp.Function(name)(t, *axes) for name in "pqrs"[: dimension + 1])
    c = canonical_symbol("c")
    divergence = sp.Add(*(s.diff(a) for s, a in zip(slopes, axes, strict=True)))
    return _made(
        "wave_first_order",
        [
            equation(p.diff(t), c**2 * divergence),
            *(equation(s.diff(t), p.diff(a)) for s, a in zip(slopes, axes, strict=True)),
        ],
        {"c": _SPEED},
        "The wave equation as a system of first order for (p, q, r) = (u_t, u_x, u_y).",
        f"{_LIU}, appendix A.3, with c = 1; a case of its Eq. (9) [paper]; the matrices [derived]",
    )


def _rotation() -> PDE:
    t, x, y = coordinates("t x y")
    u, omega = sp.Function("u")(t, x, y), canonical_symbol("omega")
    return _made(
        "rotation",
        [equation(u.diff(t), omega * (x * u.diff(y) - y * u.diff(x)))],
        {"omega": (1.0, "radian/time", "angular velocity; the picture turns clockwise, y upwards")},
        "A picture turned about the origin: u = u₀(x cos ωt − y sin ωt, x sin ωt + y cos ωt).",
        f"{_LIU}, section 3, with ω = 1 [paper, in words]; the formula [derived]",
    )


def _dilation() -> PDE:
    t, x, y = coordinates("t x y")
    u = sp.Function("u")(t, x, y)
    return _made(
        "dilation",
        [equation(u.diff(t), x * u.diff(x) + y * u.diff(y))],
        {},
        "A picture shrinking towards the origin: u = u₀(eᵗ x, eᵗ y).",
        f"{_LIU}, section 3, names dilations [paper]; the formula [derived]",
    )


def _velocity_rows(letters: Sequence[sp.Symbol]) -> dict[str, tuple[float, str, str]]:
    # Unequal speeds, so that a mistaken axis shows.
    return {
        c.name: (value, "length/time", f"velocity along {axis}")
        for c, value, axis in zip(letters, (1.0, 0.5, 0.25), SPACE, strict=False)
    }


def _advection(dimension: int = 2) -> PDE:
    t, axes = space(dimension, "advection")
    u, velocity = sp.Function("u")(t, *axes), _velocity("c", axes)
    return _made(
        "advection",
        [
            equation(
                u.diff(t), -sp.Add(*(c * u.diff(a) for c, a in zip(velocity, axes, strict=True)))
            )
        ],
        _velocity_rows(velocity),
        "Transport of u with a constant velocity: u = u₀(x − c t).",
        "LeVeque (2002), Finite Volume Methods for Hyperbolic Problems, ch. 2",
    )


def _advection_diffusion(dimension: int = 2) -> PDE:
    t, axes = space(dimension, "advection_diffusion")
    u, velocity = sp.Function("u")(t, *axes), _velocity("c", axes)
    transport = sp.Add(*(c * u.diff(a) for c, a in zip(velocity, axes, strict=True)))
    return _made(
        "advection_diffusion",
        [equation(u.diff(t), canonical_symbol("D") * _laplacian(u, axes) - transport)],
        {"D": _DIFFUSIVITY, **_velocity_rows(velocity)},
        "Transport of u with a constant velocity while it diffuses.",
        "Hundsdorfer & Verwer (2003), Numerical Solution of Time-Dependent "
        "Advection–Diffusion–Reaction Equations, ch. I",
    )


def _gray_scott(dimension: int = 2) -> PDE:
    t, axes = space(dimension, "gray_scott")
    u, v = (sp.Function(name)(t, *axes) for name in "uv")
    du, dv, feed, kill = (canonical_symbol(name) for name in ("Du", "Dv", "F", "k"))
    return _made(
        "gray_scott",
        [
            equation(u.diff(t), du * _laplacian(u, axes) - u * v**2 + feed * (1 - u)),
            equation(v.diff(t), dv * _laplacian(v, axes) + u * v**2 - (feed + kill) * v),
        ],
        {
            "Du": (2e-5, "length²/time", "diffusivity of u"),
            "Dv": (1e-5, "length²/time", "diffusivity of v"),
            "F": (0.04, "1/time", "rate at which u is fed and both are drained"),
            "k": (0.06, "1/time", "rate at which v decays"),
        },
        "Two chemicals with u + 2v → 3v: spots and stripes, in a square of side 2.5.",
        "Pearson (1993), Science 261:189, Eqs. (1)–(2)",
    )


def _forms(form: object, name: str) -> bool:
    check_choice("form", form, ("advective", "divergence"), name)
    return form == "divergence"


def _burgers_1d(form: str = "advective") -> PDE:
    t, x = coordinates("t x")
    u, nu = sp.Function("u")(t, x), canonical_symbol("nu")
    transport = D(u**2 / 2, x) if _forms(form, "burgers_1d") else u * u.diff(x)
    return _made(
        "burgers_1d",
        [equation(u.diff(t), nu * u.diff(x, 2) - transport)],
        {"nu": (0.01, "length²/time", "viscosity")},
        "A velocity u that carries itself: fronts steepen until viscosity holds them.",
        "Burgers (1948), Adv. Appl. Mech. 1:171; solved by Hopf (1950) and Cole (1951)",
    )


def _burgers_2d() -> PDE:
    t, x, y = coordinates("t x y")
    u, v = (sp.Function(name)(t, x, y) for name in "uv")
    nu = canonical_symbol("nu")
    return _made(
        "burgers_2d",
        [
            equation(w.diff(t), nu * _laplacian(w, (x, y)) - u * w.diff(x) - v * w.diff(y))
            for w in (u, v)
        ],
        {"nu": (0.01, "length²/time", "viscosity")},
        "A velocity (u, v) in the plane that carries itself, with viscosity.",
        "Fletcher (1983), Int. J. Numer. Methods Fluids 3:213",
    )


def _acoustics(dimension: int = 2) -> PDE:
    t, axes = space(dimension, "acoustics")
    p, *velocity = (sp.Function(name)(t, *axes) for name in "puvw"[: dimension + 1])
    bulk, rho = canonical_symbol("K"), canonical_symbol("rho")
    divergence = sp.Add(*(u.diff(a) for u, a in zip(velocity, axes, strict=True)))
    return _made(
        "acoustics",
        [
            equation(p.diff(t), -bulk * divergence),
            *(equation(u.diff(t), -p.diff(a) / rho) for u, a in zip(velocity, axes, strict=True)),
        ],
        {
            "K": (1.0, "pressure", "bulk modulus; the speed of sound is √(K/ρ)"),
            "rho": (1.0, "mass/length³", "density at rest"),
        },
        "Sound: a pressure p and a velocity (u, v) of small amplitude.",
        "LeVeque (2002), Finite Volume Methods for Hyperbolic Problems, §§ 2.7 and 18.2",
    )


def _shallow_water(dimension: int = 2, form: str = "advective") -> PDE:
    """Primitive form in (h, u, v), h above the level at rest; divergence form in (h, m, n)."""
    check_choice("dimension", dimension, (1, 2), "shallow_water")
    t, axes = space(dimension, "shallow_water")
    g, rest = canonical_symbol("g"), canonical_symbol("H")
    is_divergence = _forms(form, "shallow_water")
    names = ("h", "m", "n") if is_divergence else ("h", "u", "v")
    h, *flow = (sp.Function(name)(t, *axes) for name in names[: dimension + 1])
    pairs = list(zip(flow, axes, strict=True))
    depth = rest + h
    if is_divergence:
        # (m, n) is the discharge, depth times velocity.
        equations = [equation(h.diff(t), -sp.Add(*(D(m, a) for m, a in pairs)))]
        for own, axis in pairs:
            fluxes = sp.Add(*(D(own * m / depth, a) for m, a in pairs))
            equations.append(equation(own.diff(t), -fluxes - D(g * depth**2 / 2, axis)))
    else:
        carried = sp.Add(*(u * h.diff(a) for u, a in pairs))
        divergence = sp.Add(*(u.diff(a) for u, a in pairs))
        equations = [equation(h.diff(t), -carried - depth * divergence)]
        for own, axis in pairs:
            transport = sp.Add(*(u * own.diff(a) for u, a in pairs))
            equations.append(equation(own.diff(t), -transport - g * h.diff(axis)))
    what = "discharge (m, n), depth times velocity" if is_divergence else "velocity (u, v)"
    return _made(
        "shallow_water",
        equations,
        {
            "g": (1.0, "length/time²", "acceleration of gravity"),
            "H": (1.0, "length", "depth at rest; with H = 0, h is the whole depth"),
        },
        f"Water of depth H + h over a flat bed, with {what}.",
        "LeVeque (2002), Finite Volume Methods for Hyperbolic Problems, §§ 13.1 and 18.6",
    )


def _maxwell_tm() -> PDE:
    t, x, y = coordinates("t x y")
    ez, hx, hy = (sp.Function(name)(t, x, y) for name in ("Ez", "Hx", "Hy"))
    eps, mu = canonical_symbol("eps"), canonical_symbol("mu")
    return _made(
        "maxwell_tm",
        [
            equation(ez.diff(t), (hy.diff(x) - hx.diff(y)) / eps),
            equation(hx.diff(t), -ez.diff(y) / mu),
            equation(hy.diff(t), ez.diff(x) / mu),
        ],
        {
            "eps": (1.0, "charge/(voltage·length)", "permittivity; the speed of light is 1/√(εμ)"),
            "mu": (1.0, "voltage·time²/(charge·length)", "permeability"),
        },
        "Light in the plane with the electric field across it (transverse magnetic).",
        "Yee (1966), IEEE Trans. Antennas Propag. 14:302; Taflove & Hagness (2005), § 3.3",
    )


def _kdv(form: str = "advective") -> PDE:
    t, x = coordinates("t x")
    u = sp.Function("u")(t, x)
    transport = D(3 * u**2, x) if _forms(form, "kdv") else 6 * u * u.diff(x)
    return _made(
        "kdv",
        [equation(u.diff(t), -transport - u.diff(x, 3))],
        {},
        "Long waves u on shallow water, among them solitons; all quantities dimensionless.",
        "Korteweg & de Vries (1895); in these units Gardner, Greene, Kruskal & Miura (1967), "
        "Phys. Rev. Lett. 19:1095, with u → −u",
    )


CLASSICAL: Mapping[str, Callable[..., PDE]] = {
    "heat": _heat,
    "wave": _wave,
    "wave_system": _wave_system,
    "wave_first_order": _wave_first_order,
    "rotation": _rotation,
    "dilation": _dilation,
    "advection": _advection,
    "advection_diffusion": _advection_diffusion,
    "gray_scott": _gray_scott,
    "burgers_1d": _burgers_1d,
    "burgers_2d": _burgers_2d,
    "acoustics": _acoustics,
    "shallow_water": _shallow_water,
    "maxwell_tm": _maxwell_tm,
    "kdv": _kdv,
}
"""Name -> builder; the builder's keyword arguments are the options of `catalogue.build`."""
