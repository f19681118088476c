"""Structure: what a network's block is made of, as frozen data without a single weight.

The right side of each field is a sum of layers. A layer is a stack of terms of one shape, such as
A_ij (C_jk u_k) ∂x u_j and B_ij (E_jk u_k) ∂y u_j, so that it is carried out in one piece, like one
term with one more summed index. A term is

    number · scale · map · Π weights · Π factors              at the nodes, or that times
    ∂_a F, by a kernel or by differences of F at faces        in divergence form

where the number, the weights, the kernels in the factors and the arrays and symbols in scale and
map are tensors, which this structure only names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy as sp

from pdenet.discrete.fluxes import CENTRAL, FaceRule
from pdenet.equation.system import FieldInfo


@dataclass(frozen=True)
class Kernel:
    """A stencil as a convolution kernel: where it stands; its weights are a tensor.

    Attributes:
        name: the derivative, such as "xx"; unique in a network.
        derivative: the order along each axis; the kernel is multiplied by Π h^(−order).
        first: the first offset along each axis, in coordinate order.
        shape: how many nodes it covers along each axis, in coordinate order.
    """

    name: str
    derivative: tuple[int, ...]
    first: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def last(self) -> tuple[int, ...]:
        """The last offset along each axis, in coordinate order."""
        return tuple(f + n - 1 for f, n in zip(self.first, self.shape, strict=True))


@dataclass(frozen=True)
class Weight:
    """A coefficient tensor with the letters of its indices, A_ij as ("A", "ij")."""

    name: str
    indices: str


@dataclass(frozen=True)
class Factor:
    """f(K ⋆ u_j): a field, or all its components, under a kernel and a pointwise function.

    Attributes:
        field: the field's name.
        index: the letter of the component, "" for a scalar field.
        kernel: the place of the kernel in the block's list; None for the field itself.
        function: f, an expression in `pdenet.equation.system.ARGUMENT`; None for the identity.
    """

    field: str
    index: str
    kernel: int | None
    function: sp.Expr | None = None


@dataclass(frozen=True)
class LayerProduct:
    """number · scale · map · Π weights · Π factors.

    Attributes:
        number: the place of the number in the block's vector of numbers.
        scale: what is constant in space: an expression in symbols, t, dt and spacings.
        map: what varies in space: an expression in arrays, coordinates, fields and symbols, or
            None.
        weights: the coefficient tensors.
        factors: the fields under kernels.
    """

    number: int
    scale: sp.Expr
    map: sp.Expr | None
    weights: tuple[Weight, ...]
    factors: tuple[Factor, ...]

    @property
    def letters(self) -> frozenset[str]:
        """The letters of all indices."""
        texts = [w.indices for w in self.weights] + [f.index for f in self.factors]
        return frozenset("".join(texts))


@dataclass(frozen=True)
class Flux:
    """(F_{i+½} − F_{i−½})/h with F = (the nodes' product, brought to faces by the rule) · Π faces.

    Without differences at the face this is the central difference (F_{i+1} − F_{i−1})/2h of what
    stands at nodes: a kernel, like that of any other derivative.

    Attributes:
        axis: the axis, in coordinate order.
        nodes: what stands at nodes.
        faces: differences at the face.
        index: the letters of the indices that the flux has, "" for a scalar.
        kernel: without faces, the place of the kernel in the block's list; else None.
        rule: how a value at a face is made of values at nodes.
    """

    axis: int
    nodes: LayerProduct
    faces: tuple[Factor, ...]
    index: str
    kernel: int | None = None
    # Weights that were saved before there were rules have texts without one in their fingerprint.
    rule: FaceRule = field(default=CENTRAL, repr=False)


@dataclass(frozen=True)
class LayerTerm:
    """A product, or a product times the divergence of a flux."""

    product: LayerProduct
    flux: Flux | None = None


@dataclass(frozen=True)
class Layer:
    """Terms of one shape: their weights, kernels and fluxes differ by name only."""

    terms: tuple[LayerTerm, ...]


@dataclass(frozen=True)
class Structure:
    """All layers of a block.

    Attributes:
        axes: the names of the axes, in coordinate order.
        fields: the fields.
        sizes: for each field the number of its components.
        kernels: the kernels.
        layers: for each field, in order, the layers of its right side.
        spacing: the spacings, in coordinate order.
        width: how many ghost nodes each axis has, in coordinate order.
    """

    axes: tuple[str, ...]
    fields: tuple[FieldInfo, ...]
    sizes: tuple[int, ...]
    kernels: tuple[Kernel, ...]
    layers: tuple[tuple[Layer, ...], ...]
    spacing: tuple[float, ...]
    width: tuple[int, ...]

    @property
    def dimension(self) -> int:
        """The number of space dimensions."""
        return len(self.axes)

    @property
    def slices(self) -> dict[str, slice]:
        """Where each field's components stand among the channels."""
        made: dict[str, slice] = {}
        start = 0
        for info, size in zip(self.fields, self.sizes, strict=True):
            made[info.name] = slice(start, start + size)
            start += size
        return made
