"""Description: in words, what a network computes, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pdenet.discrete.boundary import Boundary
from pdenet.discrete.steppers import RungeKutta, Stepper
from pdenet.network.block import Block
from pdenet.network.contraction import Operand, Step
from pdenet.network.features import Support
from pdenet.network.layers import FaceDivergence, KernelDivergence, StackedTerms
from pdenet.network.products import STACK, FactorStack, StackedProduct
from pdenet.network.structure import Structure

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
    lines = [f"padding {_padding(block.structure, boundary)}"]
    for support, rows in block.banks.rows.items():
        lines.append(_bank(block, support, len(rows)))
    for info, layers in zip(block.structure.fields, block.layers, strict=True):
        lines.append(f"∂{info.name}/∂t" + ("" if layers else " = 0"))
        for layer in layers:
            lines += [f"  {line}" for line in _layer(block.structure, layer)]
    stages = f"{stepper.stages} evaluations" if stepper.stages > 1 else "skip connection u + dt F"
    if not isinstance(stepper, RungeKutta):
        stages = "u and u_t by turns"
    lines.append(f"{stepper.name}: {stages}; {steps} step{'s' if steps > 1 else ''}")
    weights = sum(p.numel() for p in block.parameters())
    lines.append(f"{weights:,} trainable numbers" if weights else "nothing is trainable")
    return lines


def _padding(structure: Structure, boundary: Boundary) -> str:
    widths = (f"{w} along {a}" for a, w in zip(structure.axes, structure.width, strict=True) if w)
    return f"{', '.join(widths) or 'none'}, by {boundary!r}"


def _bank(block: Block, support: Support, count: int) -> str:
    size = block.structure.slices[support.field]
    components = size.stop - size.start
    shape = "×".join(str(n) for n in reversed(support.shape))
    shared = f", shared by {components} components" if components > 1 else ""
    where = ""
    if support.window.axes:
        at_faces = support.window.before != support.window.after
        along = ", ".join(block.structure.axes[axis] for axis in support.window.axes)
        where = f" at the {'faces' if at_faces else 'nodes and one more'} along {along}"
    names = _kernel_names(block, support)
    kernels = "kernel" if count == 1 else "kernels"
    text = f"convolution {shape} of {support.field}, 1 → {count} {kernels}"
    return f"{text} ({names}){shared}{where}"


def _kernel_names(block: Block, support: Support) -> str:
    made = []
    for row in block.banks.rows[support]:
        names = list(dict.fromkeys(block.structure.kernels[k].name for k in row.kernels))
        made.append(" + ".join(names) + (" in one" if len(names) > 1 else ""))
    return _listed(made)


def _layer(structure: Structure, layer: StackedTerms) -> list[str]:
    if layer.folded is not None:
        return ["+ that convolution, coefficients in its kernel"]
    lines: list[str] = []
    others = []
    for divergence in layer.divergences:
        made, name = _divergence(structure, divergence)
        lines += made
        others.append(name)
    return lines + _product(structure, layer.product, [", ".join(others)] if others else [], "+ ")


def _divergence(
    structure: Structure, divergence: FaceDivergence | KernelDivergence
) -> tuple[list[str], str]:
    """Return the operations of a flux, and the name of its divergence."""
    lines = [f"  {line}" for line in _product(structure, divergence.nodes, [], "")]
    if isinstance(divergence, KernelDivergence):
        names = [structure.kernels[k].name for k in divergence.kernels]
        kernel = structure.kernels[divergence.kernels[0]]
        shape = "×".join(str(n) for n in reversed(kernel.shape))
        lines.append(f"  convolution {shape} of that, 1 → {len(names)} kernels ({_listed(names)})")
        return ["flux", *lines], f"the flux's derivatives {_listed(names)}"
    axis = structure.axes[divergence.flux.axis]
    faces = "".join(f" · {_factor(structure, f)}" for f in divergence.faces)
    lines.append(f"  mean over the faces{faces}, then difference / h")
    return [f"flux along {axis}", *lines], f"the flux along {axis}"


def _product(
    structure: Structure, product: StackedProduct, others: Sequence[str], sign: str
) -> list[str]:
    """Return the operations of a contraction, one a line, by the names of what is contracted."""
    names = ["number" if len(product.products) == 1 else "numbers"]
    names += [_listed([str(m.expr) for m in product.maps])] if product.maps else []
    names += [_listed(w.names) for w in product.weights]
    names += [_factor(structure, factor) for factor in product.factors]
    names += others
    contraction = product.contraction
    lines = []
    for step in contraction.steps:
        left, right = names[step.first], names[step.second]
        text, made = _step(contraction.operands, contraction.sizes, step, left, right)
        names.append(made)
        lines.append(text)
    if not lines:
        lines = [names[0]]
    # Products of numbers with weights are made once and not worth a line of their own.
    lines = [line for line in lines if line]
    if lines:
        lines[-1] = sign + lines[-1]
    return lines or [f"{sign}{names[-1]}"]


def _step(
    operands: Sequence[Operand], sizes: dict[str, int], step: Step, left: str, right: str
) -> tuple[str, str]:
    first, second = operands[step.first], operands[step.second]

    def channels(letters: str) -> int:
        return math.prod(sizes[c] for c in letters)

    if step.kind == "weights":
        return "", right if left.startswith("number") else left
    if step.kind == "convolution":
        weight, values = (left, right) if second.is_spatial else (right, left)
        operand = second if second.is_spatial else first
        taken, given = channels(operand.letters), channels(step.result.letters)
        what = f"1×1 convolution {taken} → {given} ({weight})"
        return f"{what} of {values}", "the result"
    summed = set(first.letters + second.letters) - set(step.result.letters)
    tail = f", summed over {'terms' if summed == {STACK} else 'components'}" if summed else ""
    count = channels(step.result.letters + "".join(summed))
    channel = "channel" if count == 1 else "channels"
    return f"product of {left} and {right}, {count} {channel}{tail}", "the product"


def _factor(structure: Structure, factor: FactorStack) -> str:
    if factor.kernels == (None,):
        made = factor.field
    else:
        names = [structure.kernels[k].name for k in factor.kernels if k is not None]
        made = _listed([f"{factor.field}_{name}" for name in names])
    return f"{factor.function.expr}({made})" if factor.function is not None else made


def _listed(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    if len(unique) > _MAX_NAMES:
        return f"{len(unique)} of them"
    return ", ".join(unique)
