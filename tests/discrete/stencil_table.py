"""Every stencil there is, by name, so that the laws of stencils are run over all of them."""

from fractions import Fraction

from pdenet.discrete.stencils import (
    Stencil,
    central,
    compact_mixed,
    identity,
    laplacian5,
    laplacian9,
    mixed,
    neighbour_mean,
    one_sided,
    staggered,
    upwind,
)

ORDERS = (1, 2, 3, 4)
EVEN = (2, 4, 6)
ALL = (1, 2, 3, 4, 5, 6)

# Every stencil along one axis, by name, with the point at which it approximates.
LINES: dict[str, tuple[Stencil, Fraction]] = {
    **{f"central{m},{p}": (central(m, p), Fraction(0)) for m in ORDERS for p in EVEN},
    **{
        f"{make.__name__}{m},{p},{side}": (make(m, p, side), Fraction(0))
        for make in (one_sided, upwind)
        for m in ORDERS
        for p in ALL
        for side in (-1, 1)
    },
    **{
        f"staggered{m},{p},{side}": (staggered(m, p, side), Fraction(side, 2))
        for m in (0, *ORDERS)
        for p in EVEN
        for side in (-1, 1)
    },
}
PLANES: dict[str, Stencil] = {
    "laplacian5": laplacian5(),
    "laplacian9": laplacian9(),
    "neighbour_mean": neighbour_mean(2),
    "identity": identity(2),
    "cross": compact_mixed("cross"),
    "diagonal": compact_mixed("diagonal"),
    "antidiagonal": compact_mixed("antidiagonal"),
    **{f"central{m},{p} 2-D": central(m, p, 0, 2) for m in ORDERS for p in EVEN},
    **{
        f"mixed{m}{n},{p}": mixed((m, n), p)
        for m, n in ((1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (4, 4))
        for p in EVEN
    },
    "upwind @ central": upwind(1, 3, -1, 0, 2) @ central(1, 4, 1, 2),
    "staggered @ average": staggered(1, 4, 1, 0, 2) @ staggered(0, 4, 1, 1, 2),
}
SPACES: dict[str, Stencil] = {
    "laplacian7": laplacian5(3),
    "neighbour_mean 3-D": neighbour_mean(3),
    "mixed111": mixed((1, 1, 1), 4),
    "mixed211": mixed((2, 1, 1), 2),
    "mixed222": mixed((2, 2, 2), 4),
    "mixed012": mixed((0, 1, 2), 4),
    "diagonal 3-D": compact_mixed("diagonal", (0, 2), 3),
}
EVERY: dict[str, Stencil] = {name: line for name, (line, _) in LINES.items()} | PLANES | SPACES
