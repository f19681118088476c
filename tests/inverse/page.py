"""The page docs/inverse_problems.md and its pictures, made from the cases.

`python -m tests.inverse.page` solves every case and writes the page.
"""

from __future__ import annotations

import re
import textwrap
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import pdenet as pn
from pdenet.training.fitting.estimate import Fit
from tests.inverse.cases import CASES, product
from tests.inverse.experiment import Map, Number, Outcome
from tests.inverse.kernel import CONSTRAINTS, SETTINGS
from tests.inverse.pictures import speed_picture, velocity_picture

DOCS = Path(__file__).parents[2] / "docs"

_HEAD = """\
# Inverse problems

Seven problems in which something of an equation is unknown and is found by
`pdenet.fit` from noisy observations of its solutions. The data never come from the
network that is fitted: they are made on a finer grid with another scheme, or exactly by Fourier
series, are restricted to the nodes of the network's grid, and noise is added. Each search starts
well away from the truth.

This page is written by `python -m tests.inverse.page`, all its numbers by that run. The tests solve
every case anew and compare.

```python
import numpy as np
import sympy as sp
import pdenet as pn

heat, x, y = pn.catalogue["heat"], sp.Symbol("x"), sp.Symbol("y")
ring = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
fine, coarse = (pn.Grid(x=(0, 1, n), y=(0, 1, n)) for n in (80, 20))
times = [0.0, 0.1, 0.2]
first = sp.sin(2 * sp.pi * x) + sp.cos(2 * sp.pi * (x + y))
frames = pn.exact_periodic(heat, fine, first, times, values={"D": 0.03})[:, :, ::4, ::4]
frames[1:] += np.random.default_rng(0).normal(0, 0.02, frames[1:].shape)
net = heat.to_network(
    coarse, ring, values={"D": 0.006}, trainable=("D",), dt=0.01, space="central4",
    stepper="rk4", dtype="float64",
)
found = pn.fit(net, frames, times=times)
print(found)  # D = 0.03 within 1 %, with its standard error
```

## How to read the tables

Noise
: normal, independent, with a standard deviation that is the given part of the amplitude, half of
  the largest minus the smallest value.

Standard error, interval
: those of the fit, at 95 %. They know of the noise, and not of the error of the discretisation.
  Where that is not small against the noise, the interval misses the truth although it is narrow.

Model error
: the root mean square of (the network's solution at the true values − data without noise), in units
  of the noise. It moves an estimate from N values by at most √N times that many standard errors, to
  first order (Cauchy–Schwarz), and by less where it does not look like a change of the parameters.
  This bound stands beside it. Many values make intervals so narrow that a small model error
  counts.

Bias
: the error of the same fit to data without noise, which is that of the discretisation (and of the
  penalty, where there is one), also in standard errors (s.e.). What an error has beside its bias
  comes from the noise. With a bias of 2 s.e. an interval of 95 % holds the truth in every second
  experiment only.

Iterations
: of the search. Up to eight unknown numbers are sought by least squares
  (`scipy.optimize.least_squares`), maps by L-BFGS. Standard errors are one simulation for each
  unknown, and for maps and unknown initial states they take half of the time or more.

Where the states of all unknowns have a few thousand numbers together, the derivatives come from the
solver's own steps, recorded once. A fit of one scalar then takes about half of the time of
`scipy.optimize.curve_fit` on `net.advance`, and two numbers on a line about that of
`scipy.optimize.least_squares` on a right side that was written by hand in NumPy:
`python -m benchmarks.fit_few_unknowns` measures it.

## All numbers
"""


@dataclass(frozen=True)
class About:
    """What the page says of a case.

    Attributes:
        title: of its section.
        equation: as text.
        data: grid and scheme of the data.
        fitted: grid and scheme of the network.
        noise: its size, and what is observed.
    """

    title: str
    equation: str
    data: str
    fitted: str
    noise: str


def _text(name: str) -> str:
    return "; ".join(str(pn.catalogue[name]).splitlines())


ABOUT = {
    "heat": About(
        "The diffusivity of heat flow",
        _text("heat"),
        "80×80, exact in space and time (Fourier series)",
        "20×20, central4, RK4, dt = 0.01",
        "2 %, on all of 9 frames, t ≤ 0.4; the first is the initial state, unknown too",
    ),
    "rotation": About(
        "An angular velocity",
        _text("rotation"),
        "161×161, central6, RK4, dt = 0.00625",
        "41×41, central4 (and central2), RK4, dt = 0.025; Dirichlet(0) at the walls",
        "2 %, on 6 frames, t ≤ 1.5; the initial state is known",
    ),
    "advection_diffusion": About(
        "A velocity field, and a diffusivity",
        "u_t = D (u_xx + u_yy) - cx(x, y) u_x - cy(x, y) u_y",
        "48×48, central6, RK4",
        "16×16, central4, RK4, dt = 0.025",
        "1 %, on 6 frames of each of six experiments, t ≤ 0.3; initial states are known",
    ),
    "wave_speed": About(
        "A map of the speed of waves, from the walls",
        "u_tt = c(x, y)² (u_xx + u_yy)",
        "49×49, central4, RK4",
        "17×17, central4, leapfrog, dt = 0.02; Neumann(0), reflecting walls",
        "2 %, at the 64 nodes of the walls, of u alone, 25 times, t ≤ 1.5; six pulses start at "
        "known places of the walls",
    ),
    "burgers": About(
        "A viscosity, from fronts",
        _text("burgers_1d"),
        "384 points, central6, RK4, dt = 0.000125",
        "96 points, central4 (and central2), Heun, dt = 0.002",
        "1 %, on all of 21 frames, t ≤ 0.4; the first is the initial state, unknown too",
    ),
    "gray_scott": About(
        "Four numbers of a reaction with diffusion",
        _text("gray_scott"),
        "96×96, central4, RK4",
        "24×24, central6, RK4, dt = 1.6",
        "2 %, on 10 frames of both components, t ≤ 64; the initial state is known",
    ),
    "kernel": About(
        "A kernel that turns out to be the Laplacian",
        "u_t = K ∗ u; the data are those of u_t = 0.05 (u_xx + u_yy)",
        "96×96, exact in space and time (Fourier series)",
        "24×24, one kernel of 3×3 nodes, forward Euler, dt = 0.005 (smooth) and 0.0025 (rough)",
        "1 %, on 8 frames of each of eight experiments, every second step; initial states are "
        "known, random waves of up to 4 periods (smooth) and 5 periods (rough)",
    ),
}


def page(outcomes: Mapping[str, Outcome], undetermined: Fit) -> str:
    """Return docs/inverse_problems.md.

    Args:
        outcomes: of all cases, by name.
        undetermined: the fit of both factors of a product.
    """
    lines = [
        _HEAD,
        "| problem | sought | truth | start | found | 95 % interval | error | bias |",
        "|---" * 8 + "|",
        *(row for name in ABOUT for row in overview_rows(name, outcomes[name])),
        "",
        *(_section(name, outcomes[name]) for name in ABOUT),
        "## What no data determine\n",
        _paragraph(
            "u_t = a·b (u_xx + u_yy) holds a product of two numbers. Asked for both, the fit finds "
            f"a·b = {_product(undetermined):.4f} (truth 0.03) and warns:"
        ),
        *(f"> {note}\n" for note in undetermined.notes),
        _paragraph(
            "So it is with D and a free kernel, of which one has to be fixed. A moment constraint "
            "fixes the kernel's scale, so that D can be sought beside it."
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def overview_rows(name: str, outcome: Outcome) -> list[str]:
    """Return the rows of the first table for one case."""
    title = ABOUT[name].title
    rows = []
    for one in outcome.numbers:
        if one.group.startswith("rough"):
            continue  # its own section has it
        sought = one.name + (f" ({one.group})" if one.group else "")
        start = "–" if np.isnan(one.start) else f"{one.start:g}"
        rows.append(
            f"| {title} | {sought} | {one.truth:g} | {start} | {_found(one)} | {_interval(one)} | "
            f"{_error(one)} | {_bias(one)} |"
        )
    for field in outcome.maps:
        sought = field.name + (f" ({field.group})" if field.group else "")
        what = "‖error‖/‖c − 1‖" if field.background else "‖error‖/‖truth‖"
        rows.append(
            f"| {title} | {sought}, {field.truth.size} numbers | map | {field.background:g} | map, "
            f"± {_two(_rms(field.error))} | holds the truth at {100 * field.inside:.0f} % of the "
            f"nodes | {100 * field.relative:.1f} % ({what}) | – |"
        )
    return rows


def _section(name: str, outcome: Outcome) -> str:
    about = ABOUT[name]
    most = outcome.model_error * np.sqrt(next(iter(outcome.fits.values())).num_values)
    lines = [
        f"## {about.title}\n",
        f"    {about.equation}\n",
        "| | |",
        "|---|---|",
        f"| data | {about.data} |",
        f"| network | {about.fitted} |",
        f"| noise | {about.noise} |",
        f"| model error | {outcome.model_error:.2g} of the noise: ≤ {most:.2g} standard errors |",
        "",
        "| fit | values | iterations | converged |",
        "|---|---|---|---|",
    ]
    for group, made in outcome.fits.items():
        lines.append(
            f"| {group or 'all'} | {made.num_values:,} | {made.iterations} | "
            f"{'yes' if made.converged else 'no'} |"
        )
    return "\n".join([*lines, "", *_REMARKS[name](outcome)])


def _heat(outcome: Outcome) -> list[str]:
    (found,) = outcome.numbers
    rows = [f"| {grid} | {_signed(100 * bias)} % |" for grid, bias in outcome.remarks.items()]
    return [
        _paragraph(
            "How much of an error is that of the discretisation, a fit to data without noise, with "
            "exact initial values, shows. Second-order differences lose a part (kh)²/12 of the "
            "second derivative of a wave of wave number k, and D makes up for it. The noise alone "
            f"leaves D uncertain by {100 * found.error / found.truth:.1g} %: with central2 on this "
            "grid the interval would miss the truth, with central4 it does not."
        ),
        "| network | bias of D |",
        "|---|---|",
        *rows,
        "",
    ]


def _two_spaces(outcome: Outcome, why: str) -> list[str]:
    _, second = outcome.numbers
    residuals = [outcome.fits[space].noise["u"] for space in ("central4", "central2")]
    return [
        _paragraph(
            "With central2 on the same grid the model error is "
            f"{outcome.remarks['model error of central2']:.2g} of the noise. {why} The fit gives "
            f"{second.name} = {_found(second)}, off by {_error(second)} or "
            f"{abs(second.found - second.truth) / second.error:.0f} standard errors. Its residual "
            f"is {residuals[1] / residuals[0]:.2f} times that of central4: it hardly tells."
        )
    ]


def _rotation(outcome: Outcome) -> list[str]:
    return _two_spaces(
        outcome, "Central differences carry short waves too slowly, and ω makes up for it."
    )


def _burgers(outcome: Outcome) -> list[str]:
    return _two_spaces(
        outcome, "A front is 4ν/Δu = 0.04 wide, four spacings, which is too few for second order."
    )


def _advection_diffusion(outcome: Outcome) -> list[str]:
    rows = [
        f"| {m.name} | {100 * m.relative:.1f} % | {_two(_rms(m.error))} | "
        f"{_two(_rms(m.found - m.truth))} | {100 * m.inside:.0f} % |"
        for m in outcome.maps
    ]
    return [
        _paragraph(
            "Both components are sought at all 256 nodes, from zero. A penalty expects neighbours "
            f"to differ by about 0.15 (in truth by up to {_steepest(outcome.maps[0]):.2f}); its "
            "weight is 1/(N·0.15²) for N values. Where u is flat in all six experiments nothing is "
            "carried, and the penalty alone speaks."
        ),
        "| field | L2 error | standard error, rms | error, rms | inside the interval |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "![Both components of the velocity: truth, found, error](images/inverse_velocity.png)",
        "",
    ]


def _wave_speed(outcome: Outcome) -> list[str]:
    rows = []
    for m in outcome.maps:
        determined = outcome.remarks[f"determined: {m.group}"]
        rows.append(
            f"| {m.group} | {100 * m.relative:.0f} % | {_two(_rms(m.error))} | "
            f"{_two(_rms(m.found - m.truth))} | {100 * m.inside:.0f} % | "
            f"{determined:.0f} of {m.truth.size} |"
        )
    heads = (
        "experiment", "‖error‖/‖c − 1‖", "standard error, rms", "error, rms",
        "inside the interval", "determined",
    )  # fmt: skip
    return [
        _paragraph(
            "The search starts from c = 1, and a penalty expects neighbours to differ by about "
            f"0.05 (in truth by up to {_steepest(outcome.maps[0]):.2f})."
        ),
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
        *rows,
        "",
        _paragraph(
            "The last column is the effective number of parameters, tr(H⁺ JᵀJ/w²): how many "
            "combinations of the 289 speeds the data determine, and not the penalty. With six "
            "sources it is half of them; the rest, the roughest part of the map, is the penalty's. "
            "With one source and sensors on its own wall there are hardly more observed values "
            "than speeds. The fit finds that it is faster near that wall, half as much as it is, "
            "and not the slow inclusion behind. Most of the map is the penalty's, and so are its "
            "intervals: they take the penalty for knowledge, and the problem for linear."
        ),
        "![The map of the speed: truth, found, error](images/inverse_speed.png)",
        "",
    ]


def _gray_scott(outcome: Outcome) -> list[str]:
    worst = max(outcome.numbers, key=lambda one: abs(one.bias) / one.error)
    return [
        _paragraph(
            "All four are positive by `bounds=`, which makes the steps of the search relative. The "
            "observations are of young spots, seven spacings wide at first. Their later splitting "
            "magnifies the error of the discretisation as it magnifies a change of the numbers, "
            "and asks for a finer grid. On this one the bias is below 1 % and, with that of "
            f"{worst.name}, {abs(worst.bias) / worst.error:.1f} standard errors: intervals are "
            "too narrow, even where one holds the truth by chance."
        )
    ]


def _kernel(outcome: Outcome) -> list[str]:
    tables = []
    for setting in SETTINGS:
        tables += [
            f"| {setting}: kernel | coefficient of u_xx, u_yy | at t = 0.08 | at t = 0.16 |",
            "|---|---|---|---|",
        ]
        for c in CONSTRAINTS:
            errors = [outcome.remarks[f"{setting}, {c}: error at t = {t}"] for t in (0.08, 0.16)]
            shown = " | ".join(f"{100 * error:.2f} %" for error in errors)
            tables.append(f"| {c} | {_coefficient(outcome, f'{setting}, {c}')} | {shown} |")
        tables.append("")
    rows = [
        f"| {n.name} | {n.truth:g} | {_found(n)} | {_interval(n)} | {'yes' if n.holds else 'no'} | "
        f"{_bias(n)} |"
        for n in outcome.numbers
        if n.group == "smooth, free"
    ]
    matrices = [_matrix(outcome, f"smooth, {c}") for c in CONSTRAINTS]
    return [
        _paragraph(
            "PDE-Net's experiment (Long, Lu, Ma & Dong 2018, arXiv 1710.09668), on the nine-point "
            "Laplacian. The free kernel starts at noise of size 0.001; with fixed moments what is "
            "free in it starts at noise of size 0.3; frozen, D alone is sought. The kernels that "
            "were found with smooth data, times D/h² — free, with fixed moments, and frozen, which "
            "is the nine-point Laplacian itself:"
        ),
        *(f"    {a}   {b}   {c}" for a, b, c in zip(*matrices, strict=True)),
        "",
        _paragraph(
            "`net.to_equation()` says, rounded to three digits (u_xxyy and the like are what a "
            "kernel of 3×3 nodes holds beside):"
        ),
        *(f"    {c + ':':8}{_rounded(outcome.texts[f'smooth, {c}'])}" for c in CONSTRAINTS),
        "",
        _paragraph(
            "The six moments of the free kernel up to order 2, with the standard errors that "
            "follow from the fit's covariance:"
        ),
        "| coefficient of | truth | found | 95 % interval | holds the truth | bias |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        _paragraph(
            "The diffusivity is right to 1 %, and the intervals, of 0.3 %, miss: 36,864 values "
            "feel a model error of a twentieth of the noise. The term in u is that of a fit of "
            "waves, none of which is constant: a little more diffusion and a little growth cancel "
            "within what was observed. Relative L2 error of a prediction from an unseen initial "
            "state, to later times than those of the data:"
        ),
        *tables,
        _paragraph(
            "With rough data and half the time step the scheme's own error is "
            f"{outcome.remarks['rough: model error']:.1g} of the noise. A frozen kernel can absorb "
            "it in D only, the others in their weights: they predict better, the free one nearly "
            "twice as well. All coefficients are then 3 to 5 % off. What predicts best on a grid "
            "is not the equation's stencil, and what is read from it is not quite the equation."
        ),
    ]


_REMARKS: Mapping[str, Callable[[Outcome], list[str]]] = {
    "heat": _heat,
    "rotation": _rotation,
    "advection_diffusion": _advection_diffusion,
    "wave_speed": _wave_speed,
    "burgers": _burgers,
    "gray_scott": _gray_scott,
    "kernel": _kernel,
}


# Numbers as text ----------------------------------------------------------------------------------


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False) + "\n"


def _found(one: Number) -> str:
    return f"{_digits(one.found, one.error)} ± {_two(one.error)}"


def _interval(one: Number) -> str:
    return f"{_digits(one.low, one.error)} … {_digits(one.high, one.error)}"


def _error(one: Number) -> str:
    return f"{_signed(100 * one.relative)} %" if one.truth else "–"


def _bias(one: Number) -> str:
    share = f"{_signed(100 * one.bias / one.truth)} %, " if one.truth else ""
    return f"{share}{one.bias / one.error:+.1f} s.e.".replace("-", "−")


def _signed(number: float) -> str:
    return f"{number:+.2f}".replace("-", "−")


def _digits(number: float, error: float) -> str:
    """Return a number to the second digit of its error."""
    last = 1 - int(np.floor(np.log10(error)))
    if last < 8:
        return f"{number:.{max(last, 0)}f}".replace("-", "−")
    return f"{number:.{last + int(np.floor(np.log10(abs(number))))}e}"


def _two(number: float) -> str:
    return f"{number:.2g}"


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _steepest(field: Map) -> float:
    """Return the largest difference of neighbours in the truth."""
    return max(float(np.abs(np.diff(field.truth, axis=axis)).max()) for axis in (0, 1))


def _rounded(text: str) -> str:
    """Return an equation with its decimals to three digits."""
    return re.sub(r"\d+\.\d+(e-?\d+)?", lambda m: f"{float(m[0]):.3g}", text)


def _coefficient(outcome: Outcome, group: str) -> str:
    found = [n for n in outcome.numbers if n.group == group and n.name in ("D", "u_xx", "u_yy")]
    return ", ".join(f"{_found(n)} ({_error(n)})" for n in found)


def _matrix(outcome: Outcome, group: str) -> list[str]:
    return [
        " ".join(f"{outcome.remarks[f'{group}: weight {r} {c}']:7.2f}" for c in range(3))
        for r in range(3)
    ]


def _product(made: Fit) -> float:
    a, b = (float(value) for value in made.values.values())
    return a * b


def main() -> None:
    """Solve every case; write the page and its pictures."""
    torch.set_num_threads(1)  # sums do not depend on how many there are
    outcomes = {name: solve() for name, solve in tqdm(CASES.items())}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is printed
        undetermined = product()
    for name, figure in (
        ("velocity", velocity_picture(outcomes["advection_diffusion"])),
        ("speed", speed_picture(outcomes["wave_speed"])),
    ):
        # Without the version of the library that drew it.
        figure.savefig(DOCS / "images" / f"inverse_{name}.png", metadata={"Software": None})
    text = page(outcomes, undetermined)
    (DOCS / "inverse_problems.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
