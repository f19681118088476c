"""Files that a command reads: equations in TOML, initial states in pictures, arrays and results.

equation = "u_t = D*(u_xx + u_yy) + u*(1 - u)"      or a list; or catalogue = "heat"
coordinates = "t x y"                               optional, as are name and description
[grid]        x = [-1, 1, 128]                      low, high, points; texts such as "2*pi" too
[boundary]    x = "periodic"                        or ["dirichlet:0", "neumann:1"], or per field
[parameters]  D = 0.1                               numbers, texts, rows, or a .npy file
[initial]     u = "exp(-40*(x^2 + y^2))"            or a file: .png, .jpg, .npy, .zarr, .nc
[time]        until = 0.5                           and start, every
[solver]      stepper = "rk4"                       and space, dt, stability, backend, dtype
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any  # a TOML document is a tree of anything

import numpy as np

from pdenet.cli.texts import load_array
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.equation.parse import parse
from pdenet.equation.pde import PDE
from pdenet.errors import CommandError, suggest

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
STATES = (*PICTURES, ".npy", ".zarr", ".nc")

TIMES = ("until", "every", "start")
SOLVER = ("stepper", "space", "dt", "stability", "backend", "dtype", "device")
_TABLES: Mapping[str, tuple[str, ...] | None] = {
    "grid": None,
    "boundary": None,
    "parameters": None,
    "initial": None,
    "options": None,
    "time": TIMES,
    "solver": SOLVER,
}
_TEXTS = ("name", "description", "source", "coordinates", "fields", "catalogue")
_LARGEST = 10_000_000  # bytes of a TOML file; coefficients beyond that belong into .npy files


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file and check that it holds known keys only.

    Raises:
        CommandError: it is missing, no TOML, or holds an unknown key.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise CommandError(
                f"a TOML file of at most {_LARGEST:,} bytes was expected; got "
                f"{path.stat().st_size:,} in {str(path)!r}; put arrays into .npy files"
            )
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CommandError(f"a TOML file was expected; there is no {str(path)!r}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"a TOML file was expected in {str(path)!r}; got: {error}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CommandError(
            f"{str(path)!r} is no TOML: {error}; texts stand in quotes, tables in [brackets]"
        ) from error
    _check_keys(found, ("equation", *_TEXTS, *_TABLES), f"{path.name}")
    for name, keys in _TABLES.items():
        table = found.get(name, {})
        if name == "initial" and isinstance(table, str | int | float):
            continue
        if not isinstance(table, dict):
            raise CommandError(
                f"[{name}] of {path.name} is a table; got {table!r}; write [{name}] on a line of "
                "its own and one key = value on each line below"
            )
        if keys is not None:
            _check_keys(table, keys, f"[{name}] of {path.name}")
    for name in _TEXTS:
        if not isinstance(found.get(name, ""), str):
            raise CommandError(f"{name} of {path.name} is a text; got {found[name]!r}; quote it")
    return found


def _check_keys(table: Iterable[str], known: Iterable[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise CommandError(
                f"{where} may hold {', '.join(known)}; got {key!r}.{suggest(key, known)}"
            )


def equation_of(document: Mapping[str, Any], path: Path) -> PDE:
    """Return the equation of a TOML document.

    Raises:
        CommandError: there is none, or two.
        PdenetError: it is not of the language, or the catalogue does not hold it.
    """
    if ("equation" in document) == ("catalogue" in document):
        got = "both" if "equation" in document else "neither"
        raise CommandError(
            f'{path.name} says equation = "u_t = …" or catalogue = "heat"; got {got}; keep one'
        )
    if "catalogue" in document:
        return catalogue.build(document["catalogue"], **document.get("options", {}))
    if "options" in document:
        raise CommandError(
            f"[options] of {path.name} belong to an equation of the catalogue; got them beside "
            "equation = …; remove them"
        )
    text = document["equation"]
    lines = text if isinstance(text, list) else [text]
    if not all(isinstance(line, str) for line in lines):
        raise CommandError(f"equation of {path.name} is a text or a list of them; got {text!r}")
    return parse(
        text,
        coordinates=document.get("coordinates"),
        fields=document.get("fields"),
        name=document.get("name", path.stem),
        description=document.get("description", ""),
        source=document.get("source", ""),
    )


def read_state(path: Path, grid: Grid) -> np.ndarray:
    """Read an initial state: a picture, an array, or the last frame of a result.

    Args:
        path: ends in one of `STATES`.
        grid: the grid; pictures are resampled to it.

    Returns:
        A picture's grey levels from 0 to 1, shape `(y, x)` with its top row last, since y grows
        with the row; the array of a .npy file as it is; the last state `(component, *space)`.

    Raises:
        CommandError: the file is missing or cannot be read.
    """
    if path.suffix.lower() in PICTURES:
        return _picture(path, grid)
    if path.suffix == ".npy":
        return load_array(path)
    from pdenet.simulate.result import Result

    return Result.open(path, frames=slice(-1, None)).final


def _picture(path: Path, grid: Grid) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    if grid.dimension != 2:
        raise CommandError(
            f"a picture is an initial state in two dimensions; got {str(path)!r} for {grid}; give "
            "an expression, or choose --option dimension=2"
        )
    try:
        with Image.open(path) as image:
            # Sixteen-bit greys would be cut off at 255 by "L".
            top = 65535.0 if image.mode.startswith("I") else 255.0
            grey = image.convert("F" if image.mode.startswith(("I", "F")) else "L").convert("F")
            resized = grey.resize((grid.points[0], grid.points[1]), Image.Resampling.LANCZOS)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise CommandError(f"a picture was expected in {str(path)!r}; got: {error}") from error
    return np.clip(np.asarray(resized, dtype=np.float64)[::-1] / top, 0.0, 1.0)
