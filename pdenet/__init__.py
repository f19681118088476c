"""pdenet: a PDE and a ConvNet are the same object.

A quasi-linear PDE system, written in SymPy, compiles into an explicit finite-difference simulator
and into a trainable PyTorch network. Importing this package loads neither PyTorch nor Matplotlib.
"""

from pdenet.equation.pde import PDE
from pdenet.equation.symbols import Coefficient, D, VectorField, coordinates, fields, indices

__version__ = "0.1.0"

__all__ = [
    "PDE",
    "Coefficient",
    "D",
    "VectorField",
    "coordinates",
    "fields",
    "indices",
]
