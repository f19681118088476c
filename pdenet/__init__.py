"""pdenet: a PDE and a ConvNet are the same object.

A quasi-linear PDE system, written in SymPy, compiles into an explicit finite-difference simulator
and into a trainable PyTorch network. Importing this package loads nothing: each name is loaded when
it is first asked for.

Example:
    >>> import sympy as sp
    >>> import pdenet as pn
    >>> t, x, y = pn.coordinates("t x y")
    >>> u, D = pn.fields("u", (t, x, y)), sp.Symbol("D", positive=True)
    >>> heat = pn.PDE(sp.Eq(u.diff(t), D * (u.diff(x, 2) + u.diff(y, 2))))
    >>> grid = pn.Grid(x=(-1, 1, 33), y=(-1, 1, 32))
    >>> walls = pn.Boundary(x=pn.Dirichlet(0), y=pn.Periodic())
    >>> solver = heat.to_solver(grid, walls, values={D: 0.1})
    >>> solver.run(sp.exp(-40 * (x**2 + y**2)), until=0.1, every=0.02)
    Result(6 frames, t = 0 to 0.1, components u, grid x=33, y=32, float64)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pdenet.discrete.boundary import (
        Boundary,
        Dirichlet,
        Free,
        Neumann,
        Periodic,
        Robin,
        ZeroPadding,
    )
    from pdenet.discrete.grid import Grid
    from pdenet.equation.catalogue import catalogue
    from pdenet.equation.parse import parse, parse_expression
    from pdenet.equation.pde import PDE
    from pdenet.equation.symbols import Coefficient, D, VectorField, coordinates, fields, indices
    from pdenet.errors import (
        BlowUpError,
        BoundaryWarning,
        FitWarning,
        PdenetError,
        StabilityError,
        StabilityWarning,
        SymmetryError,
        SymmetryWarning,
    )
    from pdenet.network.convnet.block import PDEBlock
    from pdenet.network.convnet.classifier import Classifier
    from pdenet.network.convnet.conversion import convert_authors_checkpoint
    from pdenet.network.convnet.layout import Layout
    from pdenet.network.convnet.models import (
        classifier_from_config,
        create_model,
        list_models,
        load_classifier,
    )
    from pdenet.network.convnet.penalties import Symmetrizers, depth_variation, hyperbolicity
    from pdenet.network.convnet.relaxation import Relaxation
    from pdenet.network.convnet.weights import load_weights, save_weights
    from pdenet.network.network import Network
    from pdenet.simulate.exact import exact_periodic
    from pdenet.simulate.result import Result
    from pdenet.simulate.solver import Solver
    from pdenet.training.fitting.estimate import Fit
    from pdenet.training.fitting.fit import fit
    from pdenet.training.fitting.penalties import smoothness
    from pdenet.training.fitting.trajectories import Trajectory

__version__ = "0.1.0"

# Where each name lives, loaded when first asked for: `pdenet --help` waits for no SymPy, and an
# equation alone for no SciPy, tqdm or PyTorch.
_HOMES = {
    "PDE": "pdenet.equation.pde",
    "BlowUpError": "pdenet.errors",
    "Boundary": "pdenet.discrete.boundary",
    "BoundaryWarning": "pdenet.errors",
    "Classifier": "pdenet.network.convnet.classifier",
    "Coefficient": "pdenet.equation.symbols",
    "D": "pdenet.equation.symbols",
    "Dirichlet": "pdenet.discrete.boundary",
    "Fit": "pdenet.training.fitting.estimate",
    "FitWarning": "pdenet.errors",
    "Free": "pdenet.discrete.boundary",
    "Grid": "pdenet.discrete.grid",
    "Layout": "pdenet.network.convnet.layout",
    "Network": "pdenet.network.network",
    "Neumann": "pdenet.discrete.boundary",
    "PDEBlock": "pdenet.network.convnet.block",
    "PdenetError": "pdenet.errors",
    "Periodic": "pdenet.discrete.boundary",
    "Relaxation": "pdenet.network.convnet.relaxation",
    "Result": "pdenet.simulate.result",
    "Robin": "pdenet.discrete.boundary",
    "Solver": "pdenet.simulate.solver",
    "StabilityError": "pdenet.errors",
    "StabilityWarning": "pdenet.errors",
    "SymmetryError": "pdenet.errors",
    "SymmetryWarning": "pdenet.errors",
    "Symmetrizers": "pdenet.network.convnet.penalties",
    "Trajectory": "pdenet.training.fitting.trajectories",
    "VectorField": "pdenet.equation.symbols",
    "ZeroPadding": "pdenet.discrete.boundary",
    "catalogue": "pdenet.equation.catalogue",
    "classifier_from_config": "pdenet.network.convnet.models",
    "convert_authors_checkpoint": "pdenet.network.convnet.conversion",
    "coordinates": "pdenet.equation.symbols",
    "create_model": "pdenet.network.convnet.models",
    "depth_variation": "pdenet.network.convnet.penalties",
    "exact_periodic": "pdenet.simulate.exact",
    "fields": "pdenet.equation.symbols",
    "fit": "pdenet.training.fitting.fit",
    "hyperbolicity": "pdenet.network.convnet.penalties",
    "indices": "pdenet.equation.symbols",
    "list_models": "pdenet.network.convnet.models",
    "load_classifier": "pdenet.network.convnet.models",
    "load_weights": "pdenet.network.convnet.weights",
    "parse": "pdenet.equation.parse",
    "parse_expression": "pdenet.equation.parse",
    "save_weights": "pdenet.network.convnet.weights",
    "smoothness": "pdenet.training.fitting.penalties",
}

__all__ = [
    "PDE",
    "BlowUpError",
    "Boundary",
    "BoundaryWarning",
    "Classifier",
    "Coefficient",
    "D",
    "Dirichlet",
    "Fit",
    "FitWarning",
    "Free",
    "Grid",
    "Layout",
    "Network",
    "Neumann",
    "PDEBlock",
    "PdenetError",
    "Periodic",
    "Relaxation",
    "Result",
    "Robin",
    "Solver",
    "StabilityError",
    "StabilityWarning",
    "SymmetryError",
    "SymmetryWarning",
    "Symmetrizers",
    "Trajectory",
    "VectorField",
    "ZeroPadding",
    "catalogue",
    "classifier_from_config",
    "convert_authors_checkpoint",
    "coordinates",
    "create_model",
    "depth_variation",
    "exact_periodic",
    "fields",
    "fit",
    "hyperbolicity",
    "indices",
    "list_models",
    "load_classifier",
    "load_weights",
    "parse",
    "parse_expression",
    "save_weights",
    "smoothness",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    if name == "symmetry":
        return import_module("pdenet.symmetry")
    if name not in _HOMES:
        raise AttributeError(f"module 'pdenet' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found
