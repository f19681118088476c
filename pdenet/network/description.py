"""Description: in words, what a network computes, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import sympy as sp

from pdenet.discrete.boundary import Boundary
from pdenet.discrete.steppers import RungeKutta, Stepper
from pdenet.equation.symbols import canonical_symbol
from pdenet.equation.system import ARGUMENT
from pdenet.network.block import Block
from pdenet.network.contraction import Operand, Step
from pdenet.network.features import Support
from pdenet.network.layers import FaceDivergence, KernelDivergence, StackedTerms
from pdenet.network.products import STACK, Divergence, FactorStack, StackedProduct
from pdenet.network.readback.polynomials import fit_polynomial

# More names than this are counted instead.
_MAX_NAMES = 6


def describe(block: Block, boundary: Boundary, stepper: Stepper, steps: int) -> list[str]:
    """Return what one forward pass does, one operation a line.

    Args:
        block: the right side.
        boundary: the boundary conditions.
        stepper: the stepper.
        steps: how many steps a forward pass takes.
    """
    return _Description(block).lines(boundary, stepper, steps)


class _Description:
    """The block, with what its arrays hold and letters for what is made on the way."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.structure = block.structure
        self.letters = iter("abcefghlmopqrsvw")  # not those of coordinates, indices and the stack
        nodes = [block.nodes[axis].detach().cpu().numpy().ravel() for axis in self.structure.axes]
        dtype = str(block.numbers.dtype).removeprefix("torch.")
        self.maps: dict[sp.Symbol, sp.Expr] = {}
        for k, (name, tensor) in enumerate(block.maps.items()):
            found = fit_polynomial(tensor.detach().cpu().numpy(), self.structure.axes, nodes, dtype)
            symbol = canonical_symbol(name)
            self.maps[symbol] = canonical_symbol(f"array{k}") if found is None else found

    def lines(self, boundary: Boundary, stepper: Stepper, steps: int) -> list[str]:
        lines = [f"padding {self._padding(boundary)}"]
        for support, rows in self.block.banks.rows.items():
            lines.append(self._bank(support, len(rows)))
        fields = self.structure.fields
        for info, layers in zip(fields, self.block.layers, strict=True):
            lines.append(f"∂{info.name}/∂t" + ("" if layers else " = 0"))
            for layer in layers:
                lines += [f"  {line}" for line in self._layer(layer)]
        stages = f"{stepper.stages} evaluations" if stepper.stages > 1 else "u + dt ∂u/∂t, a skip"
        if not isinstance(stepper, RungeKutta):
            stages = "u and u_t by turns"
        lines.append(f"{stepper.name}: {stages}; {steps} step{'s' if steps > 1 else ''}")
        weights = sum(p.numel() for p in self.block.parameters())
        lines.append(
            f"{weights:,} trainable number{'s' if weights > 1 else ''}"
            if weights
            else "nothing is trainable"
        )
        return lines

    def _padding(self, boundary: Boundary) -> str:
        axes = zip(self.structure.axes, self.structure.width, strict=True)
        return f"{', '.join(f'{w} along {a}' for a, w in axes if w) or 'none'}, by {boundary!r}"

    def _bank(self, support: Support, count: int) -> str:
        size = self.structure.slices[support.field]
        components = size.stop - size.start
        shape = "×".join(str(n) for n in reversed(support.shape))
        shared = f", shared by {components} components" if components > 1 else ""
        where = ""
        if support.window.axes:
            at_faces = support.window.before != support.window.after
            along = ", ".join(self.structure.axes[axis] for axis in support.window.axes)
            where = f" at the {'faces' if at_faces else 'nodes and one more'} along {along}"
        kernels = "kernel" if count == 1 else "kernels"
        text = f"convolution {shape} of {support.field}, 1 → {count} {kernels}"
        return f"{text} ({self._kernel_names(support)}){shared}{where}"

    def _kernel_names(self, support: Support) -> str:
        made = []
        for row in self.block.banks.rows[support]:
            names = list(dict.fromkeys(self.structure.kernels[k].name for k in row.kernels))
            made.append(" + ".join(names) + (" in one" if len(names) > 1 else ""))
        return _listed(made)

    # -- layers -----------------------------------------------------------------------------------

    def _layer(self, layer: StackedTerms) -> list[str]:
        if layer.folded is not None:
            support, place = layer.folded
            row = self.block.banks.rows[support][place]
            names = dict.fromkeys(self.structure.kernels[k].name for k in row.kernels)
            return [f"+ {support.field} under {' + '.join(names)}, coefficients in the kernel"]
        lines: list[str] = []
        others = []
        for divergence in layer.divergences:
            made, name = self._divergence(divergence)
            lines += made
            others.append(name)
        flux = [", ".join(others)] if others else []
        return lines + self._product(layer.product, flux, "+ ")[0]

    def _divergence(self, divergence: Divergence) -> tuple[list[str], str]:
        """Return the operations of a flux, and the name of its divergence."""
        assert isinstance(divergence, FaceDivergence | KernelDivergence)
        lines, made = self._product(divergence.nodes, [], "")
        if isinstance(divergence, KernelDivergence):
            kernel = self.structure.kernels[divergence.kernels[0]]
            names = [self.structure.kernels[k].name for k in divergence.kernels]
            shape = "×".join(str(n) for n in reversed(kernel.shape))
            count = f"{len(names)} kernel{'s' if len(names) > 1 else ''}"
            lines.append(f"convolution {shape} of {made}, 1 → {count} ({_listed(names)})")
            return lines, _listed([f"{made}_{name}" for name in names])
        axis = self.structure.axes[divergence.flux.axis]
        faces = "".join(f" · {self._factor(f)}" for f in divergence.faces)
        letter = next(self.letters, "the flux")
        lines.append(f"{letter} = difference along {axis} of mean({made}) over faces{faces}")
        return lines, letter

    def _product(
        self, product: StackedProduct, others: Sequence[str], sign: str
    ) -> tuple[list[str], str]:
        """Return the operations of a contraction, one a line, and the name of its result."""
        names = ["number" if len(product.products) == 1 else "numbers"]
        if product.maps:
            names.append(_listed([str(m.expr.xreplace(self.maps)) for m in product.maps]))
        names += [_listed(w.names) for w in product.weights]
        names += [self._factor(factor) for factor in product.factors]
        names += others
        contraction = product.contraction
        # Products of numbers with weights are made once and not worth a line of their own.
        shown = [step for step in contraction.steps if step.kind != "weights"]
        lines = []
        for step in contraction.steps:
            left, right = names[step.first], names[step.second]
            if step.kind == "weights":
                names.append(right if left.startswith("number") else left)
                continue
            text = _step(contraction.operands, contraction.sizes, step, left, right)
            is_last = step is shown[-1]
            names.append(text if is_last and sign else next(self.letters, "it"))
            lines.append(f"{sign}{text}" if is_last and sign else f"{names[-1]} = {text}")
        return lines or ([f"{sign}{names[-1]}"] if sign else []), names[-1]

    def _factor(self, factor: FactorStack) -> str:
        if factor.kernels == (None,):
            made = factor.field
        else:
            names = [self.structure.kernels[k].name for k in factor.kernels if k is not None]
            made = _listed([f"{factor.field}_{name}" for name in names])
        if factor.function is None:
            return made
        return str(factor.function.expr).replace(ARGUMENT.name, made)


def _step(
    operands: Sequence[Operand], sizes: dict[str, int], step: Step, left: str, right: str
) -> str:
    first, second = operands[step.first], operands[step.second]

    def channels(letters: str) -> int:
        return math.prod([sizes[c] for c in letters])

    if step.kind == "convolution":
        weight, values = (left, right) if second.is_spatial else (right, left)
        operand = second if second.is_spatial else first
        taken, given = channels(operand.letters), channels(step.result.letters)
        return f"1×1 convolution {taken} → {given} ({weight}) of {values}"
    summed = set(first.letters + second.letters) - set(step.result.letters)
    tail = f", summed over {'terms' if summed == {STACK} else 'components'}" if summed else ""
    count = channels(step.result.letters + "".join(summed))
    channel = "channel" if count == 1 else "channels"
    return f"{_grouped(left)} · {_grouped(right)}, {count} {channel}{tail}"


def _grouped(name: str) -> str:
    return f"({name})" if " " in name else name


def _listed(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    if len(unique) > _MAX_NAMES:
        return f"{len(unique)} of them"
    return ", ".join(unique)
