"""The floors of the house: who may import whom, and which names never appear.

The imports are read from the source by `ast`, those inside functions and under TYPE_CHECKING too.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

import pdenet as pn

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "pdenet"

FLOORS = {
    "errors": -1,  # what floor 0 stands on
    "checks": 0,
    "files": 0,
    "version": 0,
    "pages": 0,  # how a page looks; what stands on it is said on the floors above
    "equation": 1,
    "discrete": 2,
    "backends": 3,
    "simulate": 4,
    "network": 5,
    "symmetry": 6,
    "equivariant": 6,
    "timm": 6,
    "training": 7,
    "cli": 8,
}
# The roof sees every floor, and no floor sees it: the public names, those of the symmetries, and
# `python -m pdenet`.
ROOF = {PACKAGE, f"{PACKAGE}.__main__", f"{PACKAGE}.symmetry"}

# Lower, and forbidden all the same: simulator and network share what lies below both, no more.
NEVER = {("network", "simulate")}

# The doors of PDE: methods of two lines that import inside, and the types in their signatures.
# importing module -> the folders above it that its doors open into.
DOORS = {
    "pdenet.equation.pde": {"discrete", "simulate", "network", "symmetry"},
}

# The libraries that the two floors of mathematics may use besides the standard library.
LIBRARIES = {
    "errors": {"numpy"},
    "checks": set[str](),
    "files": set[str](),
    "version": set[str](),
    "pages": {"PIL", "matplotlib", "numpy"},
    "equation": {"numpy", "sympy"},
    "discrete": {"numpy", "opt_einsum", "scipy", "sympy", "threadpoolctl"},
}

# Libraries that an extra brings, and the modules that may ask for them: no other needs them.
EXTRAS = {
    "timm": {"pdenet.timm"},
    "torchvision": set[str](),
}

# What `import_module(name)` imports can be read only where the name is a literal.
UNKNOWN = "<a name computed at run time>"

# They run a string as code, or load a file that can.
EXECUTES_TEXT = {
    *("eval", "exec", "execfile", "compile", "lambdify", "sympify", "parse_expr", "parse_latex"),
    *("pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "autowrap"),
    *("allow_pickle", "os.system", "__import__"),
}
# (module, name) -> why it is harmless there.
ALLOWED: dict[tuple[str, str], str] = {
    ("pdenet.equation.functions", "lambdify"): (
        "compiles expressions, never text: every function is in its table, and every symbol is "
        "replaced by a generated one before code is made"
    ),
}


@dataclass(frozen=True)
class Import:
    """One import: the full name of what is imported, and where it stands."""

    target: str
    line: int
    inside: bool  # in a function, or under `if TYPE_CHECKING`
    star: bool = False


@dataclass(frozen=True)
class Module:
    """One source file with its dotted name."""

    name: str
    tree: ast.Module
    is_package: bool = False

    @property
    def folder(self) -> str:
        """The first part below the package: "equation" for pdenet.equation.pde."""
        return (self.name.split(".") + [""])[1]


def read_modules(root: Path) -> dict[str, Module]:
    """Parse every source file of the package that lies in `root`."""
    modules = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        modules[name] = Module(name, tree, is_package)
    return modules


def imports(module: Module, modules: dict[str, Module]) -> Iterator[Import]:
    """List what a module imports, by full name; `import_module("...")` counts as well."""

    def resolve(base: str, name: str) -> str:
        # `from pdenet.discrete import grid` names a file, `... import Grid` what is in one.
        return f"{base}.{name}" if f"{base}.{name}" in modules else base

    def walk(node: ast.AST, inside: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, inside)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative: climb from the package that holds this file
                up = node.level - module.is_package
                anchor = module.name.split(".")
                base = ".".join(anchor[: len(anchor) - up] + ([base] if base else []))
            for alias in node.names:
                if alias.name == "*":
                    yield Import(base, node.lineno, inside, star=True)
                else:
                    yield Import(resolve(base, alias.name), node.lineno, inside)
        elif isinstance(node, ast.Call) and node.args:
            name = ast.unparse(node.func).rsplit(".", 1)[-1]
            first = node.args[0]
            if name == "import_module":
                target = str(first.value) if isinstance(first, ast.Constant) else UNKNOWN
                yield Import(target, node.lineno, inside)
        deeper = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            deeper = True
        for child in ast.iter_child_nodes(node):
            yield from walk(child, deeper)

    yield from walk(module.tree, False)


def faults_of_floors(modules: dict[str, Module]) -> list[str]:
    """Say every import that goes up, sideways, to the roof, or to a library not meant there."""
    faults = []
    for module in modules.values():
        if module.name not in ROOF and module.folder not in FLOORS:
            faults.append(f"{module.name} lies on no floor; FLOORS must name {module.folder!r}")
            continue
        for found in imports(module, modules):
            where = f"{module.name}:{found.line} imports {found.target}"
            top, _, rest = found.target.partition(".")
            folder = rest.split(".")[0]
            if found.star:
                faults.append(f"{where} by a star")
            if top == "solvers":
                faults.append(f"{where}: the scripts use the package, never the reverse")
            if module.name in ROOF:
                continue
            if found.target == UNKNOWN:
                faults.append(f"{where}: write the name out")
            elif module.name not in EXTRAS.get(top, {module.name}):
                faults.append(f"{where}: only {sorted(EXTRAS[top])} may")
            elif top != PACKAGE:
                allowed = LIBRARIES.get(module.folder)
                if allowed is not None and top not in allowed | sys.stdlib_module_names:
                    faults.append(f"{where}: {module.folder} may use {sorted(allowed)} only")
            elif found.target in ROOF:
                faults.append(f"{where}: the roof; import from the file that defines the name")
            elif found.inside and folder in DOORS.get(module.name, ()):
                continue
            elif (module.folder, folder) in NEVER:
                faults.append(f"{where}: {module.folder} never sees {folder}")
            elif folder != module.folder and FLOORS.get(folder, 99) >= FLOORS[module.folder]:
                faults.append(f"{where}: not a lower floor")
    return faults


def find_cycle(modules: dict[str, Module]) -> list[str]:
    """Return the modules of one import cycle, or nothing; the doors of PDE do not count."""
    graph = {}
    for module in modules.values():
        doors = DOORS.get(module.name, ())
        graph[module.name] = {
            found.target
            for found in imports(module, modules)
            if found.target in modules
            and not (found.inside and modules[found.target].folder in doors)
        }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def faults_of_names(module: Module) -> list[str]:
    """Say every name of `EXECUTES_TEXT` in a module, however it is reached."""

    def names(node: ast.AST) -> list[str]:
        match node:
            case ast.Name(id=name) | ast.alias(name=name):
                return [name, *name.split(".")]
            case ast.Attribute(attr="compile" | "eval"):
                # re.compile, torch.compile and Module.eval are others of the same name.
                owner = ast.unparse(node.value)
                return [node.attr] if owner in {"builtins", "pd", "pandas", "ne", "numexpr"} else []
            case ast.Attribute(attr=name):
                return [name, ast.unparse(node)]
            case ast.ImportFrom(module=str(name)):
                return name.split(".")
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=False)):
                return []
            case ast.keyword(arg="weights_only", value=value):
                # torch.load reads a pickle unless it is told otherwise.
                is_true = isinstance(value, ast.Constant) and value.value is True
                return [] if is_true else ["pickle"]
            case ast.keyword(arg=str(name)):
                return [name]
            case ast.Call(func=ast.Attribute(attr="S") | ast.Name(id="S"), args=[argument]):
                # SymPy's S(...) is sympify; on a number it is a number.
                is_number = isinstance(argument, ast.Constant) and not isinstance(
                    argument.value, str
                )
                return [] if is_number else ["sympify"]
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="load")):
                safe = any(keyword.arg == "weights_only" for keyword in node.keywords)
                return [] if safe else ["pickle"]
        return []

    # `sympify(value, strict=True)` refuses strings, so it evaluates none.
    strict = {
        id(node.func)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and any(k.arg == "strict" and ast.unparse(k.value) == "True" for k in node.keywords)
        and ast.unparse(node.func).endswith("sympify")
    }
    return [
        f"{module.name}:{getattr(node, 'lineno', '?')} uses {name}"
        for node in ast.walk(module.tree)
        if id(node) not in strict
        for name in dict.fromkeys(names(node))
        if name in EXECUTES_TEXT and (module.name, name) not in ALLOWED
    ]


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    return read_modules(ROOT)


def test_a_file_imports_only_from_lower_floors_or_its_own_folder(
    modules: dict[str, Module],
) -> None:
    assert len(modules) > 1  # the package was found
    assert faults_of_floors(modules) == []


def test_imports_have_no_cycle(modules: dict[str, Module]) -> None:
    assert find_cycle(modules) == []


def test_nothing_in_the_package_runs_text_as_code(modules: dict[str, Module]) -> None:
    assert [fault for module in modules.values() for fault in faults_of_names(module)] == []


def test_every_exception_to_these_rules_is_still_needed(modules: dict[str, Module]) -> None:
    assert DOORS.keys() <= modules.keys()
    assert set().union(*EXTRAS.values()) <= modules.keys()
    for library, names in EXTRAS.items():
        for name in names:
            targets = {found.target.split(".")[0] for found in imports(modules[name], modules)}
            assert library in targets, f"{name} no longer imports {library}"
    for name, folders in DOORS.items():
        opened = {
            found.target.split(".")[1]
            for found in imports(modules[name], modules)
            if found.inside and found.target.count(".")
        }
        assert opened & folders, f"{name} opens no door any more"
    for name, used in ALLOWED:
        assert used in ast.unparse(modules[name].tree), f"{name} no longer uses {used}"


def test_making_a_model_loads_no_library_of_an_extra() -> None:
    code = (
        "import sys, pdenet; pdenet.create_model('eq3_small');"
        f"print(*[name for name in {sorted(EXTRAS)} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_importing_the_package_loads_nothing_and_an_equation_no_torch() -> None:
    pictures = ["torch", "matplotlib", "xarray", "zarr", "pandas", "skimage", "imageio"]
    code = (
        "import sys, pdenet\n"
        f"print(*[name for name in {['numpy', 'sympy', *pictures]} if name in sys.modules])\n"
        "pdenet.catalogue['heat'], pdenet.Grid(x=(0, 1, 8)), pdenet.Boundary(x=pdenet.Free())\n"
        f"print(*[name for name in {pictures} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["", ""]


def test_every_public_name_is_the_object_of_that_name() -> None:
    assert dir(pn) == sorted(pn.__all__)
    for name in pn.__all__:
        value = getattr(pn, name)
        assert not isinstance(value, ModuleType), name
        # An object says its name, except the catalogue, which has a class of its own.
        assert name == "catalogue" or getattr(value, "__name__", None) == name
        assert value is getattr(pn, name)
    assert "heat" in pn.catalogue
    assert pn.symmetry is sys.modules["pdenet.symmetry"]
    with pytest.raises(AttributeError, match="no attribute 'catalog'"):
        _ = pn.catalog


# Each rule must be seen to fail: a small house with one fault each, and a word of the complaint.
BROKEN = {
    "up": ("discrete/grid.py", "import pdenet.simulate.solver", "not a lower floor"),
    "up from": ("discrete/grid.py", "from pdenet.simulate import solver", "not a lower floor"),
    "up in a function": (
        "discrete/grid.py",
        "def f():\n    from pdenet.simulate.solver import Solver",
        "not a lower floor",
    ),
    "up for a type": (
        "discrete/grid.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pdenet.cli",
        "not a lower floor",
    ),
    "up by import_module": (
        "discrete/grid.py",
        "import importlib\nimportlib.import_module('pdenet.cli')",
        "not a lower floor",
    ),
    "computed import": (
        "discrete/grid.py",
        "import importlib\nimportlib.import_module('pdenet.' + 'cli')",
        "write the name out",
    ),
    "up by a relative import": ("discrete/grid.py", "from ..cli import main", "not a lower floor"),
    "sideways": ("symmetry/a.py", "import pdenet.equivariant.b", "not a lower floor"),
    "up from a back end": (
        "backends/torch_arrays.py",
        "from pdenet.simulate.solver import Solver",
        "not a lower floor",
    ),
    "never": ("network/block.py", "from pdenet.simulate.solver import Solver", "never sees"),
    "a door at the top of the file": (
        "equation/pde.py",
        "from pdenet.simulate.solver import Solver",
        "not a lower floor",
    ),
    "a door into a wrong room": (
        "equation/pde.py",
        "def f():\n    import pdenet.cli",
        "not a lower floor",
    ),
    "a door in another file": (
        "equation/parse.py",
        "def f():\n    from pdenet.simulate import solver",
        "not a lower floor",
    ),
    "the roof": ("simulate/solver.py", "from pdenet import Grid", "the roof"),
    "scripts": ("cli/demo.py", "import solvers.heat", "the scripts use the package"),
    "star": ("simulate/result.py", "from math import *", "by a star"),
    "torch below": ("discrete/scheme.py", "def f():\n    import torch", "may use"),
    "an extra elsewhere": ("network/block.py", "import timm.models", "only"),
    "an extra from the floor below": (
        "network/block.py",
        "def f():\n    import pdenet.timm",
        "not a lower floor",
    ),
    "an extra that nothing needs": ("timm.py", "import torchvision", "only"),
    "no floor": ("other/a.py", "", "lies on no floor"),
    "cycle": ("discrete/grid.py", "def f():\n    from pdenet.discrete import stencils", "cycle"),
    "cycle through the folder": (
        "discrete/grid.py",
        "from pdenet.discrete import Stencil",
        "cycle",
    ),
    "eval": ("cli/demo.py", "eval('1')", "uses eval"),
    "builtins.eval": ("cli/demo.py", "import builtins\nbuiltins.eval('1')", "uses eval"),
    "exec as a value": ("cli/demo.py", "run = exec", "uses exec"),
    "compile": ("cli/demo.py", "compile('1', '', 'eval')", "uses compile"),
    "lambdify": ("backends/numpy_arrays.py", "import sympy as s\ns.lambdify", "uses lambdify"),
    "lambdify renamed": (
        "backends/numpy_arrays.py",
        "from sympy import lambdify as f",
        "uses lambdify",
    ),
    "sympify": ("equation/parse.py", "import sympy as s\ns.sympify('x')", "uses sympify"),
    "S of a name": ("equation/parse.py", "import sympy as s\ns.S(s)", "uses sympify"),
    "parse_expr": (
        "equation/parse.py",
        "from sympy.parsing.sympy_parser import parse_expr",
        "uses parse_expr",
    ),
    "pickle": ("simulate/result.py", "import pickle", "uses pickle"),
    "from pickle": ("simulate/result.py", "from pickle import loads", "uses pickle"),
    "allow_pickle": (
        "simulate/result.py",
        "import numpy as np\nnp.load('', allow_pickle=True)",
        "uses allow_pickle",
    ),
    "torch.load": ("training/checkpoint.py", "import torch\ntorch.load('')", "uses pickle"),
    "torch.load unsafe": (
        "training/checkpoint.py",
        "import torch\ntorch.load('', weights_only=False)",
        "uses pickle",
    ),
}

SOUND = {
    "__init__.py": "from pdenet.discrete.grid import Grid",
    "equation/pde.py": "def to_solver():\n    from pdenet.simulate.solver import Solver",
    "discrete/__init__.py": "from pdenet.discrete.stencils import Stencil",
    "discrete/grid.py": "import math\nimport numpy as np\nfrom pdenet.equation import pde",
    "discrete/stencils.py": "from pdenet.discrete import grid\nimport sympy as sp\nsp.S(1)",
    "backends/torch_arrays.py": "import torch\nfrom pdenet.discrete import grid",
    "simulate/solver.py": "import re\nre.compile('')\nimport sympy\nsympy.sympify(1, strict=True)",
    "network/block.py": (
        "import torch\nimport pdenet.backends.torch_arrays\n"
        "torch.load('', weights_only=True)\nmodel.eval()"
    ),
    "equivariant/b.py": "",
    "timm.py": "from timm.models import register_model\nimport pdenet.network.block",
    "cli/__init__.py": "def main():\n    import pdenet.simulate.solver",
}


def complaints(root: Path, files: dict[str, str]) -> str:
    """Write a house of these files and return everything that is wrong with it."""
    for name, text in files.items():
        path = root / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    modules = read_modules(root)
    faults = faults_of_floors(modules)
    faults += [fault for module in modules.values() for fault in faults_of_names(module)]
    cycle = find_cycle(modules)
    return "\n".join(faults + (["cycle " + " -> ".join(cycle)] if cycle else []))


def test_a_sound_house_has_no_faults(tmp_path: Path) -> None:
    assert complaints(tmp_path, SOUND) == ""


@pytest.mark.parametrize("case", BROKEN)
def test_each_rule_is_seen_to_fail(case: str, tmp_path: Path) -> None:
    name, text, complaint = BROKEN[case]
    assert complaint in complaints(tmp_path, {**SOUND, name: text})
