"""Description: in words, what a network computes, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from pdenet.discrete.boundary import Boundary
from pdenet.discrete.steppers import RungeKutta, Stepper
from pdenet.discrete.terms import DT, SPACING
from pdenet.network.block import Block
from pdenet.network.features import Row, Support
from pdenet.network.layers import FaceDivergence, KernelDivergence, StackedTerms
from pdenet.network.operations import Flow, Value, derivative_of, index_of, listed
from pdenet.network.products import Divergence, FactorStack, WeightStack
from pdenet.network.readback.polynomials import fit_polynomial


def describe(block: Block, boundary: Boundary, stepper: Stepper, steps: int) -> list[str]:
    """Return what one forward pass does, one operation a line.

    Args:
        block: the right side.
        boundary: the boundary conditions.
        stepper: the stepper.
        steps: how many steps a forward pass takes.
    """
    widths = zip(block.structure.axes, block.structure.width, strict=True)
    padding = ", ".join(f"{w} along {a}" for a, w in widths if w) or "none"
    stages = f"{stepper.stages} evaluations" if stepper.stages > 1 else "u + dt ∂u/∂t, a skip"
    if not isinstance(stepper, RungeKutta):
        stages = "u and u_t by turns"
    weights = sum(p.numel() for p in block.parameters())
    trainable = f"{weights:,} trainable number{'s' if weights > 1 else ''}"
    return [
        f"padding {padding}, by {boundary!r}",
        *_NetworkFlow(block).lines(),
        f"{stepper.name}: {stages}; {steps} step{'s' if steps > 1 else ''}",
        trainable if weights else "nothing is trainable",
    ]


class _NetworkFlow(Flow):
    """The operations of a right side, with what its arrays hold."""

    def __init__(self, block: Block) -> None:
        structure = block.structure
        nodes = [block.nodes[axis].detach().cpu().numpy().ravel() for axis in structure.axes]
        dtype = str(block.numbers.dtype).removeprefix("torch.")
        meanings: dict[str, sp.Expr] = {DT.name: sp.Symbol("dt")}
        meanings |= {SPACING[axis].name: sp.Symbol(f"h_{axis}") for axis in structure.axes}
        for k, (name, tensor) in enumerate(block.maps.items()):
            found = fit_polynomial(tensor.detach().cpu().numpy(), structure.axes, nodes, dtype)
            meanings[name] = sp.Symbol(f"array{k}") if found is None else found
        taken = (*block.coefficients, *block.entries, *block.symbols, *structure.axes)
        super().__init__(structure, block.numbers, block.symbols, taken, meanings)
        self.block = block
        self.banks: dict[Support, int] = {}

    def lines(self) -> list[str]:
        fields = [info.name for info in self.structure.fields]
        self._add_states(dict(zip(fields, self.structure.sizes, strict=True)))
        for support, rows in self.block.banks.rows.items():
            self.banks[support] = self._bank(support, rows)
        for field, width, layers in zip(
            fields, self.structure.sizes, self.block.layers, strict=True
        ):
            parts = [self._layer(layer) for layer in layers]
            formula = " + ".join(part.text for part in parts) or "0"
            inputs = [part.operation for part in parts]
            self._add("sum", "", f"∂{field}/∂t", formula, "", inputs, width)
        return [one.line() for one in self.made if one.kind != "state"]

    def _bank(self, support: Support, rows: Sequence[Row]) -> int:
        components = self.made[self.states[support.field]].channels
        made = []
        for row in rows:
            names = self._names(row.kernels)
            made.append(" + ".join(names) + (" in one" if len(names) > 1 else ""))
        words = self._convolution(support.shape, support.field, len(rows), made)
        if components > 1:
            words += f", shared by {components} components"
        window = support.window
        if window.axes:
            where = "faces" if window.before != window.after else "nodes and one more"
            along = ", ".join(self.structure.axes[axis] for axis in window.axes)
            words += f" at the {where} along {along}"
        inputs = (self.states[support.field],)
        return self._add("depthwise", "", "", "", words, inputs, components * len(rows))

    def _convolution(self, shape: Sequence[int], of: str, count: int, names: Sequence[str]) -> str:
        size = "×".join(str(n) for n in reversed(shape))
        kernels = "kernel" if count == 1 else "kernels"
        made = ", ".join(dict.fromkeys(names))
        return f"convolution {size} of {of}, 1 → {count} {kernels} ({made})"

    def _names(self, kernels: Sequence[int | None]) -> list[str]:
        """Return the names of kernels, each once."""
        names = (self.structure.kernels[k].name for k in kernels if k is not None)
        return list(dict.fromkeys(names))

    def _layer(self, layer: StackedTerms) -> Value:
        if layer.folded is None:
            others = [self._divergence(divergence) for divergence in layer.divergences]
            if len(others) > 1:
                others = [Value(listed(one.text for one in others), others[0].operation)]
            return self._product(layer.product, others)
        support, place = layer.folded
        names = self._names(self.block.banks.rows[support][place].kernels)
        derivatives = " + ".join(map(derivative_of, names))
        derivatives = f"({derivatives})" if len(names) > 1 else derivatives
        text = f"{derivatives} {support.field}{index_of(layer.output)}"
        return Value(f"{text} with its coefficients", self.banks[support])

    def _divergence(self, divergence: Divergence) -> Value:
        assert isinstance(divergence, FaceDivergence | KernelDivergence)
        flux = self._product(divergence.nodes, [])
        index = index_of(divergence.flux.index)
        symbol = next(self.letters) + index
        if isinstance(divergence, KernelDivergence):
            names = self._names(divergence.kernels)
            formula = ", ".join(f"{derivative_of(name)} {flux.text}" for name in names)
            shape = self.structure.kernels[divergence.kernels[0]].shape
            words = self._convolution(shape, flux.text, len(names), names)
            made = self._add("depthwise", "", symbol, formula, words, (flux.operation,), len(names))
            return self._value(made)
        faces = [self._factor(face).text for face in divergence.faces]
        nodes = [] if flux.text == "1" else [f"mean({flux.text})"]
        formula = f"∂{self.structure.axes[divergence.flux.axis]} ({' · '.join([*nodes, *faces])})"
        words = "differences of fluxes at faces, where both nodes have their mean"
        return self._value(self._add("product", "", symbol, formula, words, (flux.operation,), 1))

    # -- what steps ask for -----------------------------------------------------------------------

    def _convolved(self, factor: FactorStack, index: str) -> Value:
        (support, _), *_ = (place for place in factor.places if place is not None)
        names = self._names(factor.kernels)
        made = listed(f"{derivative_of(name)} {factor.field}{index}" for name in names)
        return Value(made, self.banks[support])

    def _weight(self, weights: WeightStack) -> Value:
        name = listed(weights.names)
        return Value(f"{name}_{weights.indices}", None, (", ".join(dict.fromkeys(weights.names)),))
