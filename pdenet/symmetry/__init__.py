"""Symmetry: which groups an equation has, how they act on a network's weights, and kernels' own.

Nothing is loaded before it is asked for: the symmetries of an equation need no PyTorch.
"""

from importlib import import_module

# The public names, and the module of each.
_LATER: dict[str, str] = {}

__all__ = sorted(_LATER)


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    if name == "kernels":
        return import_module("pdenet.symmetry.kernels")
    raise AttributeError(f"module 'pdenet.symmetry' has no attribute {name!r}")
