"""From a written equation to a solver: heat flow, and Eq. (3) with 64 and with 512 components.

Run: `python benchmarks/symbolic_work.py`, or with `--against PATH` of another checkout, which is
then measured by turns in the same run. Two promises: the symbolic work (PDE) does not grow with the
number of components, and compiling costs no more than in the checkout compared with. Eq. (3)
stands on 8 x 8 nodes, so that what is measured is symbolic work, and once on 32 x 32: there a good
part is arithmetic, the stepper being chosen at a state of 64 components.

Processor time of one thread, medians. Each round is a process of its own; in it every measurement
begins with cold caches, those of SymPy and all that pdenet keeps. "first" is the first measurement
of a process, modules loaded, so that what is made once a process (tables of stencils and steppers)
is in it. Writing the equation is apart: `sp.Eq(left, right)` is SymPy's and the user's.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve()
PARTS = ("sp.Eq", "PDE", "to_solver")


def heat() -> tuple[Callable[[], object], Callable[[object], object]]:
    """Return how heat flow on 256 x 256 nodes is written, and how it is compiled."""
    import sympy as sp

    import pdenet as pn

    def write() -> object:
        t, x, y = pn.coordinates("t x y")
        u, diffusivity = pn.fields("u", (t, x, y)), sp.Symbol("D", positive=True)
        return sp.Eq(u.diff(t), diffusivity * (u.diff(x, 2) + u.diff(y, 2)))

    grid = pn.Grid(x=(-1, 1, 256), y=(-1, 1, 256))
    walls = pn.Boundary(x=pn.Dirichlet(0), y=pn.Periodic())
    return write, lambda pde: pde.to_solver(grid, walls, values={"D": 0.1})  # type: ignore[attr-defined]


def eq3(size: int, points: int) -> tuple[Callable[[], object], Callable[[object], object]]:
    """Return how Eq. (3) with `size` components, on points² nodes, is written and compiled."""
    import numpy as np
    import sympy as sp

    import pdenet as pn

    def write() -> object:
        t, x, y = pn.coordinates("t x y")
        i, j, k = pn.indices("i j k")
        u = pn.VectorField("u", size, (t, x, y))
        a, b, c, e = (pn.Coefficient(name, (size, size)) for name in "ABCE")
        along_x = a[i, j] * c[j, k] * u[k] * u[j].diff(x)
        along_y = b[i, j] * e[j, k] * u[k] * u[j].diff(y)
        return sp.Eq(u[i].diff(t), along_x + along_y)

    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=(size, size)) / size for name in "ABCE"}
    grid = pn.Grid(x=(-1, 1, points), y=(-1, 1, points))
    walls = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
    return write, lambda pde: pde.to_solver(grid, walls, values=values)  # type: ignore[attr-defined]


CASES = {
    "heat 256²": heat,
    "Eq. (3), n = 64": lambda: eq3(64, 8),
    "Eq. (3), n = 512": lambda: eq3(512, 8),
    "n = 64 on 32²": lambda: eq3(64, 32),
}


def clear() -> None:
    """Empty SymPy's caches and every `lru_cache` of pdenet."""
    from sympy.core.cache import clear_cache

    clear_cache()
    for one in gc.get_objects():
        if isinstance(one, functools._lru_cache_wrapper) and one.__module__.startswith("pdenet"):
            one.cache_clear()
    gc.collect()


def worker(repeats: int) -> None:
    """Measure each case `repeats` times in this process, and print the seconds of each part."""
    import pdenet as pn

    for name in ("Solver", "PDE"):  # loads the modules, which is not measured
        getattr(pn, name)
    found: dict[str, list[list[float]]] = {}
    for name, case in CASES.items():
        write, compiled = case()
        found[name] = []
        for _ in range(repeats):
            clear()
            begin = time.process_time()
            equation = write()
            written = time.process_time()
            pde = pn.PDE(equation)
            read = time.process_time()
            compiled(pde)
            end = time.process_time()
            found[name].append([written - begin, read - written, end - read])
    print(json.dumps({"path": pn.__file__, "seconds": found}))


def measure(checkout: Path, repeats: int) -> dict[str, list[list[float]]]:
    """Measure a checkout in a fresh process."""
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    made = subprocess.run(
        [sys.executable, str(HERE), "--worker", str(repeats)],
        env={**os.environ, **single, "PYTHONPATH": str(checkout)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer = json.loads(made.stdout)
    assert Path(answer["path"]).is_relative_to(checkout), answer["path"]
    return dict(answer["seconds"])


def main() -> None:
    """Print the medians of each part and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--rounds", type=int, default=5, help="processes a checkout")
    parser.add_argument("--repeats", type=int, default=5, help="measurements a process")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker(given.worker)
        return
    checkouts = [HERE.parents[1], *([given.against.resolve()] if given.against else [])]
    found: dict[Path, dict[str, list[list[list[float]]]]] = {c: {} for c in checkouts}
    for number in range(given.rounds):
        # The first to go changes, lest the machine's mood favour one of them.
        for checkout in checkouts[:: 1 if number % 2 else -1]:
            for name, rows in measure(checkout, given.repeats).items():
                found[checkout].setdefault(name, []).append(rows)
    totals: dict[tuple[Path, str, str], float] = {}
    reading: dict[str, float] = {}
    for checkout in checkouts:
        print(checkout)
        for name, rounds in found[checkout].items():
            rows = [row for one in rounds for row in one[1:]] or [row for (row,) in rounds]
            parts = [statistics.median(column) for column in zip(*rows, strict=True)]
            if checkout == checkouts[0]:
                reading[name] = parts[PARTS.index("PDE")]
            totals[checkout, name, "cold"] = statistics.median(sum(row[1:]) for row in rows)
            totals[checkout, name, "first"] = statistics.median(sum(o[0][1:]) for o in rounds)
            shown = ", ".join(f"{p} {1e3 * s:.1f}" for p, s in zip(PARTS, parts, strict=True))
            print(
                f"  {name:18} PDE + to_solver {1e3 * totals[checkout, name, 'cold']:6.1f} ms, "
                f"first {1e3 * totals[checkout, name, 'first']:6.1f} ms   ({shown})"
            )
    if len(checkouts) > 1:
        for name in CASES:
            cold, first = (
                totals[checkouts[0], name, k] / totals[checkouts[1], name, k]
                for k in ("cold", "first")
            )
            print(f"ratio for {name:18} {cold:.2f}, first {first:.2f}")
    few, many = (reading[name] for name in list(CASES)[1:3])
    print(f"reading Eq. (3) costs {many / few:.2f} times as much with 512 components as with 64")


if __name__ == "__main__":
    main()
