"""PDEBlock: one time step of an equation, relaxed into a block of a ConvNet."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any  # values of maps are numbers or tensors

import torch
from torch import nn

from pdenet.checks import check_count
from pdenet.discrete.structure import Flux, Layer, LayerProduct
from pdenet.discrete.terms import DT, SPACING
from pdenet.equation.pde import PDE
from pdenet.equation.system import FREE_INDEX
from pdenet.errors import NetworkError
from pdenet.network.contraction import Replacement
from pdenet.network.convnet.coefficients import Coefficients
from pdenet.network.convnet.convolutions import Projection
from pdenet.network.convnet.directions import continued
from pdenet.network.convnet.divergence import DirectionDivergence
from pdenet.network.convnet.drawing import draw_block
from pdenet.network.convnet.explanation import explain_block
from pdenet.network.convnet.features import DirectionBanks, DirectionFeatures, bank_name
from pdenet.network.convnet.form import Form, form_of
from pdenet.network.convnet.norms import (
    Closing,
    Opening,
    closing_of,
    normalised,
    openings_of,
)
from pdenet.network.convnet.relaxation import Relaxation
from pdenet.network.convnet.slots import LayerSlots, slots_of
from pdenet.network.convnet.widening import carries_free_index, sized, widen
from pdenet.network.expression import Expression
from pdenet.network.features import Window
from pdenet.network.layers import StackedTerms
from pdenet.network.options import check_pictures
from pdenet.network.products import (
    STACK,
    Context,
    Divergence,
    FieldValues,
    StackedProduct,
    Tensors,
    WeightStack,
)

if TYPE_CHECKING:  # loading Matplotlib takes a second; a model does not wait for it
    from matplotlib.figure import Figure


class PDEBlock(nn.Module, Context):
    """u + F(u): one forward Euler step of an equation with trainable coefficients and directions.

    Its layers follow from the equation's terms. In Eq. (3), C_jk u_k is a 1×1 convolution, ∂_a u_j
    a depthwise 3×3 convolution, their product is element-wise, A_ij is the closing 1×1 convolution,
    and u the skip connection. The unit of length is a pixel, that of time a block.

    Args:
        pde: an equation whose fields are vector fields of one symbolic size.
        in_channels: the number of channels of u, over all fields.
        out_channels: of the result; by default as many. With another number, or with a stride, the
            skip connection is a 1×1 convolution.
        stride: the step between pixels of the result.
        relaxation: the relaxations; by default those of the published block.
        drop_path: the probability with which F is left out for a picture in training.

    Attributes:
        structure: which tensors are combined how.
        coefficients: the equation's coefficients, in stacks.
        symbols: the equation's scalar parameters, 0-d.
        functions: its coefficient functions, as coefficients of polynomials in x and y.
        banks: the depthwise convolutions.
        norms: the closing batch norms.
        opening_norms: those behind the opening 1×1 convolutions.
        projection: the skip connection's convolution, or an identity.

    Raises:
        NetworkError: the equation has no block, or a number makes no sense.

    Example:
        >>> import pdenet as pn
        >>> block = PDEBlock(pn.catalogue["eq3"], 64)
        >>> block(torch.zeros(1, 64, 8, 8)).shape
        torch.Size([1, 64, 8, 8])
    """

    numbers: torch.Tensor

    def __init__(
        self,
        pde: PDE | Form,
        in_channels: int,
        out_channels: int | None = None,
        *,
        stride: int = 1,
        relaxation: Relaxation | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.form = form = pde if isinstance(pde, Form) else form_of(pde)
        self.relaxation = relaxation = Relaxation() if relaxation is None else relaxation
        self.in_channels = check_count("in_channels", in_channels, 1, NetworkError)
        out_channels = in_channels if out_channels is None else out_channels
        self.out_channels = check_count("out_channels", out_channels, 1, NetworkError)
        self.stride = check_count("stride", stride, 1, NetworkError)
        self.drop_path = drop_path
        width, out_width = (self._width(c) for c in (in_channels, out_channels))
        widened = widen(form, relaxation)
        self.structure, shapes = sized(form, widened.structure, width, out_width)
        self.symbols = nn.ParameterDict(
            {n: nn.Parameter(torch.tensor(v)) for n, v in form.symbols.items()}
        )
        self.functions = nn.ParameterDict({n: _polynomial(relaxation) for n in form.functions})
        self.register_buffer("numbers", torch.tensor(form.numbers, dtype=torch.float32))
        self.window = Window.nodes(2)
        self.banks = DirectionBanks(self.structure, widened.directions, stride, relaxation)
        self.coefficients = Coefficients(shapes)
        self.products: list[StackedProduct] = []
        self.layers: list[list[StackedTerms]] = []
        self.closings: dict[int, Closing] = {}
        self.norms = nn.ModuleDict()
        self.openings: dict[int, list[Opening]] = {}
        self.opening_norms = nn.ModuleDict()
        self.unit_steps: dict[str, tuple[int, int]] = {}
        for layers in self.structure.layers:
            self.layers.append([self._layer(layer, out_width) for layer in layers])
        self.banks.build()
        self.projection: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            convolution = Projection(in_channels, out_channels, stride)
            norm = nn.BatchNorm2d(out_channels) if relaxation.norm else nn.Identity()
            self.projection = nn.Sequential(convolution, norm)
        self.initialise()

    def _width(self, channels: int) -> int:
        fields = self.form.structure.fields
        if channels % len(fields):
            raise NetworkError(
                f"channels are shared by {len(fields)} fields "
                f"({', '.join(f.name for f in fields)}); got {channels}; give a multiple"
            )
        return channels // len(fields)

    def _layer(self, layer: Layer, out_width: int) -> StackedTerms:
        key = sum(map(len, self.layers)) + len(self.closings) + len(self.products)
        width = self.structure.sizes[0]
        is_grouped = carries_free_index(layer) and out_width != width and len(layer.terms) > 1
        output = FREE_INDEX + (STACK if is_grouped else "")
        before = len(self.products)
        made = StackedTerms(layer, key, output, self)
        if self.relaxation.opening_norm:
            for product in self.products[before:]:
                self.openings[product.key] = openings_of(product, product is made.product)
                for opening in self.openings[product.key]:
                    self.opening_norms[opening.norm] = nn.BatchNorm2d(math.prod(opening.shape))
        if is_grouped and len(layer.terms) * width % out_width:
            multiple = out_width // math.gcd(out_width, width)
            raise NetworkError(
                f"{len(layer.terms)} directions of {width} channels are summed in groups to "
                f"{out_width} channels; give directions= a multiple of {multiple}"
            )
        if carries_free_index(layer) and len(layer.terms) == 1 and out_width % width:
            raise NetworkError(
                f"a term whose free index a field carries makes {width} channels, which are "
                f"repeated to make more; got {out_width}; give a multiple of {width}"
            )
        closing = closing_of(layer, made)
        if closing is not None:
            self.closings[made.product.key] = closing
            if self.relaxation.norm:
                self.norms[str(made.product.key)] = nn.BatchNorm2d(out_width)
        return made

    # -- weights -----------------------------------------------------------------------------------

    @torch.no_grad()
    def initialise(self) -> None:
        """Draw the coefficients, Kaiming normal; where that is possible the block becomes u ↦ u.

        The scale of the last batch norm of each layer starts at 0; without norms a coefficient
        that carries the free index does. A layer with neither, such as a term tanh(u_i), acts from
        the beginning.
        """
        self.coefficients.initialise(self.products)
        for row in self.layers:
            for layer in row:
                self._close(layer)
        for module in self.projection.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="linear")

    def _close(self, layer: StackedTerms) -> None:
        product = layer.product
        closing = self.closings.get(product.key)
        if not self.relaxation.norm or not product.is_spatial:
            free = [k for k, w in enumerate(product.weights) if FREE_INDEX in w.indices]
            labels = [self.coefficients.labels_of(w) for w in product.weights]
            for place in free if closing is None else closing.places:
                # One alone, and once: where two factors are 0, neither has a gradient.
                if labels.count(labels[place]) == 1:
                    for label in labels[place]:
                        self.coefficients.tensors[label].zero_()
                    break
        elif closing is not None:
            norm = self.norms[str(product.key)]
            assert isinstance(norm, nn.BatchNorm2d)
            norm.weight.zero_()
        else:
            for divergence in layer.divergences:
                assert isinstance(divergence, DirectionDivergence)
                self.banks.of(divergence.name).zero(range(divergence.rows))
                return
            for factor in product.factors:
                places = [p for p in factor.places if p is not None]
                if places:
                    rows = [place for _, place in places]
                    self.banks.of(bank_name(places[0][0])).zero(rows)
                    return

    def share(self, other: PDEBlock) -> None:
        """Use the coefficients, the symbols and the kernels of another block; norms stay its own.

        Raises:
            NetworkError: the other block has other shapes.
        """
        if (other.in_channels, other.out_channels) != (self.in_channels, self.out_channels):
            raise NetworkError(
                f"blocks of one width share their weights; got {other.in_channels} → "
                f"{other.out_channels} and {self.in_channels} → {self.out_channels} channels"
            )
        self.coefficients.share(other.coefficients)
        for mine, theirs in ((self.symbols, other.symbols), (self.functions, other.functions)):
            for name in list(mine):
                mine[name] = theirs[name]
        for name in self.banks.convolutions:
            self.banks.of(name).share(other.banks.of(name))

    # -- what it computes --------------------------------------------------------------------------

    def tensors(self) -> Tensors:
        """Return the weights of all layers as the contractions want them."""
        environment: dict[str, Any] = {SPACING[a].name: 1.0 for a in self.structure.axes}
        environment |= {DT.name: 1.0, **dict(self.symbols.items())}
        made = Tensors(environment, self.numbers, {}, (), stacks=self.coefficients.stacks())
        made.prepared = {product.key: product.prepare(made) for product in self.products}
        return made

    def rate(self, u: torch.Tensor, tensors: Tensors | None = None) -> torch.Tensor:
        """Return F(u).

        Args:
            u: shape `(batch, in_channels, y, x)`.
            tensors: what `tensors()` gave, where it is known already.

        Returns:
            Shape `(batch, out_channels, y/stride, x/stride)`, rounded up.
        """
        tensors = self.tensors() if tensors is None else tensors
        features = DirectionFeatures(self.banks, u)
        width = self.out_channels // len(self.structure.fields)
        made = []
        for layers in self.layers:
            total = u.new_zeros(u.shape[0], width, *features.points[::-1]) if not layers else None
            for layer in layers:
                rate = self._summed(layer, layer(features, tensors, 0.0), width)
                total = rate if total is None else total + rate
            assert total is not None
            made.append(total.expand(u.shape[0], width, *features.points[::-1]))
        return made[0] if len(made) == 1 else torch.cat(made, dim=1)

    def _summed(self, layer: StackedTerms, rate: torch.Tensor, width: int) -> torch.Tensor:
        """Bring a layer's result to the block's width, and normalise it where it is the place."""
        key = layer.product.key
        if rate.ndim == 5:  # (batch, n, direction, y, x): sums over groups of directions
            rate = rate.flatten(1, 2).unflatten(1, (width, -1)).sum(dim=2)
        elif rate.shape[1] != width:
            rate = rate.repeat_interleave(width // rate.shape[1], dim=1)
        closing = self.closings.get(key)
        if closing is not None and closing.step is None and str(key) in self.norms:
            rate = self.norms[str(key)](rate)
        return rate

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        """Return u + F(u); see `rate` for the shapes."""
        check_pictures("u", u, self.in_channels)
        return self.projection(u) + self.dropped(self.rate(u))

    def dropped(self, change: torch.Tensor) -> torch.Tensor:
        """Return what a block adds to u, left out for some pictures in training: `drop_path`."""
        if not (self.training and self.drop_path):
            return change
        kept = 1.0 - self.drop_path
        shape = (change.shape[0], 1, 1, 1)
        return change * change.new_empty(shape).bernoulli_(kept).div_(kept)

    @property
    def keeps_shape(self) -> bool:
        """Tell whether the result has the shape of u, and the skip connection is the identity."""
        return self.stride == 1 and self.in_channels == self.out_channels

    def explain(self) -> str:
        """Return which part of the equation each layer is, one operation a line."""
        return explain_block(self)

    def draw(self, path: str | Path | None = None) -> Figure:
        """Draw the operations from left to right; see `drawing.draw_block`."""
        return draw_block(self, path)

    def slots(self) -> tuple[LayerSlots, ...]:
        """Return what the indices of each layer stand on, as data; see `slots.LayerSlots`."""
        return slots_of(self)

    # -- what layers ask for; see `products.Context` -----------------------------------------------

    folds_linear = False

    def letters(self, weights: WeightStack, stack: str, derived: str) -> str:
        """Return the letters of a stack of coefficients in the order of its parameter."""
        return self.coefficients.ask(weights, stack, derived)

    def is_one(self, product: LayerProduct) -> bool:
        """Tell whether number · scale of a product is 1."""
        return bool(self.form.numbers[product.number] == 1) and product.scale == 1

    def map_changes(self, names: Collection[str]) -> bool:
        """Tell whether what varies in space has to be evaluated for each picture: it has."""
        return bool(names)

    def after(
        self, product: StackedProduct
    ) -> Mapping[int, Callable[[torch.Tensor], torch.Tensor]]:
        """Return the opening norms and the closing norm, by the steps that they follow."""
        made: dict[int, Callable[[torch.Tensor], torch.Tensor]] = {}
        for opening in self.openings.get(product.key, ()):
            made[opening.step] = partial(normalised, self.opening_norms[opening.norm])
        closing = self.closings.get(product.key)
        if closing is not None and closing.step is not None and str(product.key) in self.norms:
            made[closing.step] = self.norms[str(product.key)]
        return made

    def instead(self, product: StackedProduct) -> Mapping[int, Replacement]:
        """Return the opening convolutions whose unit rows are left out, by their steps."""
        return {
            step: partial(self._opened, label)
            for label, (key, step) in self.unit_steps.items()
            if key == product.key
        }

    def _opened(self, label: str, weights: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return what an opening convolution makes: copies of u between the other rows' results.

        Args:
            label: the name of its parameter.
            weights: the other rows, shape `(rows, n)`.
            u: shape `(batch, n, y, x)`.
        """
        made = u
        if len(weights):
            made = torch.cat((u, nn.functional.conv2d(u, weights[:, :, None, None])), dim=1)
        made = made.index_select(1, self.coefficients.order(label))  # (batch, all rows, y, x)
        return made.unflatten(1, self.coefficients.unit_rows[label][:-1])

    def leave_out(self, label: str, rows: Sequence[int], product: int, step: int) -> None:
        """Leave unit rows out of an opening convolution; see `unit_rows.leave_out`."""
        self.coefficients.leave_out(label, rows)
        self.unit_steps[label] = (product, step)

    def write_out(self, label: str) -> None:
        """Make the unit rows of an opening convolution parameters again."""
        self.coefficients.write_out(label)
        del self.unit_steps[label]

    def divergences(self, fluxes: Sequence[Flux], stack: str) -> tuple[list[Divergence], str]:
        """Return what computes the divergences of a layer, and the letters of their stack."""
        return [DirectionDivergence(fluxes, stack, self, self.banks)], fluxes[0].index + stack

    def sizes_of(self, name: str) -> tuple[int, ...]:
        """Return the lengths of a coefficient's indices."""
        return self.coefficients.shapes[name]

    def map(
        self,
        expression: Expression,
        features: FieldValues | None,
        tensors: Tensors,
        t: Any,
        window: Window,
    ) -> torch.Tensor:
        """Return what varies in space, shape `(1, y, x)`, axes of length 1 allowed."""
        assert isinstance(features, DirectionFeatures)
        x, y = features.coordinates(window)
        places: dict[str, Any] = {**tensors.environment, "x": x, "y": y}
        for name, polynomial in self.functions.items():
            places[name] = _evaluated(polynomial, x, y)
        made = torch.as_tensor(expression(places), dtype=x.dtype, device=x.device)
        made = made.reshape((1,) * (3 - made.ndim) + made.shape)
        if not features.margin:
            return made
        paddings = self.relaxation.padding
        return continued(made, paddings, features.margin, (len(y), len(x)))


def _polynomial(relaxation: Relaxation) -> nn.Parameter:
    """Return the coefficients of a function c(x, y) by degrees, at first the constant 1."""
    degree = max(relaxation.position, 2)
    start = torch.zeros(degree + 1, degree + 1)
    start[0, 0] = 1.0
    return nn.Parameter(start)


def _evaluated(polynomial: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    powers = range(polynomial.shape[0])
    rows = torch.stack([y**b for b in powers])  # (degree + 1, y, 1)
    columns = torch.stack([x**a for a in powers])  # (degree + 1, x)
    return torch.einsum("ba,byz,ax->yx", polynomial.to(x.dtype), rows, columns)
