"""Relaxation: in which ways a block is freer than one time step of its equation."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any  # what a user may have given

from pdenet.checks import check_choice, check_count
from pdenet.discrete.boundary import Boundary, Neumann, Periodic, ZeroPadding
from pdenet.errors import NetworkError
from pdenet.network.kernels import CONSTRAINTS

PADDINGS = ("zeros", "circular", "reflect", "replicate")
"""The names of paddings, as torch.nn.Conv2d's padding_mode: ZeroPadding(), Periodic(), Neumann(0)
with a node on the wall, and Neumann(0) with the wall half a pixel outside the last node."""


@dataclass(frozen=True)
class Relaxation:
    """The named steps from a time step of an equation to a block of a ConvNet.

    Each can be taken alone. `Relaxation.none()` takes none of them: then a block is u + F(u), one
    forward Euler step with unit spacing and unit time step.

    Attributes:
        directions: by how many trainable 3×3 kernels the derivatives in terms of one shape are
            replaced, {∂x, ∂y} → m of them; term d of the wider stack is a copy of term d mod T of
            the T terms, with weights of its own where the T terms have different ones. None keeps
            the equation's derivatives, whose kernels start at its stencils.
        share_kernels: whether all channels share the kernels, or each has its own ("no ws").
        stencils: what kernels may become: "free", or, with directions=None, "moment" or "frozen",
            as in `pdenet.Network`.
        norm: whether batch norms follow the derivatives and the closing 1×1 convolution, where
            there is one, and the convolution of a skip that changes width or stride.
        padding: the boundary condition: a name of `PADDINGS`, ZeroPadding(), Periodic() or
            Neumann(0) (mirrored at the last node, "reflect"), a pair of those for x and y, or a
            Boundary with the same condition at both sides of an axis.
        position: the degree p of polynomials in x and y that each direction is multiplied by,
            Σ_{a+b≤p} x^a y^b, with x and y from −1 to 1 over the picture and y growing with the
            row; 0 for constant coefficients. With 1 a block can rotate and dilate.
        opening_norm: whether batch norms follow the opening 1×1 convolutions too, such as C_jk u_k
            and D_jl u_l of Eq. (7), as in the authors' published code.
    """

    directions: int | None = 4
    share_kernels: bool = True
    stencils: str = "free"
    norm: bool = True
    padding: Any = "zeros"
    position: int = 0
    opening_norm: bool = False

    def __post_init__(self) -> None:
        if self.directions is not None:
            check_count("directions", self.directions, 1, NetworkError)
        check_count("position", self.position, 0, NetworkError)
        for name in ("share_kernels", "norm", "opening_norm"):
            if not isinstance(getattr(self, name), bool):
                raise NetworkError(f"{name} is True or False; got {getattr(self, name)!r}")
        check_choice("stencils", self.stencils, CONSTRAINTS, NetworkError)
        if self.stencils != "free" and self.directions is not None:
            raise NetworkError(
                f"stencils={self.stencils!r} keeps kernels approximations of the equation's own "
                f"derivatives; got directions={self.directions}; write directions=None"
            )
        if self.stencils != "free" and not self.share_kernels:
            raise NetworkError(
                f"channels with kernels of their own have free ones; got stencils="
                f"{self.stencils!r} and share_kernels=False; write share_kernels=True"
            )
        object.__setattr__(self, "padding", paddings(self.padding))

    @classmethod
    def none(cls, padding: Any = "zeros") -> Relaxation:
        """Return no relaxation at all: the equation's own derivatives, no norm."""
        return cls(directions=None, stencils="frozen", norm=False, padding=padding)

    @property
    def monomials(self) -> tuple[tuple[int, int], ...]:
        """The exponents (a, b) of x^a y^b, by total degree; (0, 0) first."""
        degrees = range(self.position + 1)
        return tuple((d - b, b) for d in degrees for b in range(d + 1))


def paddings(given: Any) -> tuple[str, str]:
    """Return the padding along x and along y by name.

    Raises:
        NetworkError: it is none that a ConvNet has.
    """
    if isinstance(given, Boundary):
        sides = [given.sides.get(axis) or (None,) for axis in ("x", "y")]
        pairs = [{_padding(side) for side in pair} for pair in sides]
        if any(len(pair) > 1 for pair in pairs):
            raise NetworkError(
                f"a ConvNet pads both sides of an axis alike; got {given!r}; give one condition "
                "for each axis"
            )
        given = tuple(name for pair in pairs for name in pair)
    both = given if isinstance(given, tuple | list) else (given, given)
    if len(both) != 2:
        raise NetworkError(
            f"padding is one condition or a pair for x and y; got {given!r}; write "
            'padding=("circular", "zeros")'
        )
    return _padding(both[0]), _padding(both[1])


def _padding(given: Any) -> str:
    if isinstance(given, str):
        check_choice("padding", given, PADDINGS, NetworkError)
        return given
    if given in (ZeroPadding(), Periodic()):
        return "zeros" if given == ZeroPadding() else "circular"
    if isinstance(given, Neumann) and isinstance(given.value, numbers.Real) and not given.value:
        return "reflect"
    raise NetworkError(
        f"padding is one of {', '.join(PADDINGS)}, ZeroPadding(), Periodic() or Neumann(0); got "
        f"{given!r}; a prescribed value or slope other than 0 is no padding of a ConvNet"
    )
