"""Symmetry: which groups an equation has, how they act on a network's weights, and kernels' own.

Nothing is loaded before it is asked for: the symmetries of an equation need no PyTorch.
"""

from importlib import import_module

# The public names, and the module of each.
_LATER: dict[str, str] = {
    "AxisMap": "pdenet.symmetry.equation.axis_maps",
    "Canonical": "pdenet.symmetry.network.canonical",
    "Check": "pdenet.symmetry.equation.runs",
    "CheckTable": "pdenet.symmetry.equation.symmetries",
    "Comparison": "pdenet.symmetry.network.same",
    "Count": "pdenet.symmetry.network.pruning",
    "FamilyGroup": "pdenet.symmetry.equation.family",
    "Generator": "pdenet.symmetry.equation.vector_fields",
    "Group": "pdenet.symmetry.groups",
    "InternalAlgebra": "pdenet.symmetry.equation.internal",
    "InternalSymmetry": "pdenet.symmetry.equation.internal",
    "LatticeSymmetry": "pdenet.symmetry.equation.lattice_action",
    "Limit": "pdenet.symmetry.network.group",
    "ModelGroup": "pdenet.symmetry.network.group",
    "Modes": "pdenet.symmetry.network.modes",
    "Pareto": "pdenet.symmetry.network.pareto",
    "Scaling": "pdenet.symmetry.equation.scalings",
    "Sparsified": "pdenet.symmetry.network.sparsify",
    "Stabiliser": "pdenet.symmetry.network.stabiliser",
    "StageGroup": "pdenet.symmetry.network.group",
    "Symmetries": "pdenet.symmetry.equation.symmetries",
    "Translation": "pdenet.symmetry.equation.translations",
    "canonical": "pdenet.symmetry.network.canonical",
    "conserved_numbers": "pdenet.symmetry.network.conserved",
    "count": "pdenet.symmetry.network.pruning",
    "family_group": "pdenet.symmetry.equation.family",
    "gram": "pdenet.symmetry.network.conserved",
    "group": "pdenet.symmetry.network.group",
    "modes": "pdenet.symmetry.network.modes",
    "momentum": "pdenet.symmetry.network.conserved",
    "pareto": "pdenet.symmetry.network.pareto",
    "same_function": "pdenet.symmetry.network.same",
    "simultaneous_diagonalisation": "pdenet.symmetry.network.modes",
    "slots": "pdenet.symmetry.network.places",
    "sparsify": "pdenet.symmetry.network.sparsify",
    "stabiliser": "pdenet.symmetry.network.stabiliser",
    "stage_momentum": "pdenet.symmetry.network.conserved",
    "symmetric_generators": "pdenet.symmetry.network.conserved",
    "transform": "pdenet.symmetry.network.transform",
    "transforms": "pdenet.symmetry.network.transform",
}

__all__ = sorted(_LATER)


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    if name == "kernels":
        return import_module("pdenet.symmetry.kernels")
    raise AttributeError(f"module 'pdenet.symmetry' has no attribute {name!r}")
