"""What the frames of a run look like: components, axes, nodes, dtype, attributes; checked once."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pdenet.errors import ResultError, UnknownNameError, suggest

FORMAT = "pdenet_format"
FORMAT_VERSION = 1
# xarray reads a global attribute of this name as a list of coordinate variables.
_RESERVED_ATTRIBUTES = (FORMAT, "coordinates")
_LARGEST_INTEGER = 2**63 - 1  # netCDF has no wider integer attribute

Attribute = str | int | float


@dataclass(frozen=True, eq=False)
class Layout:
    """The description that all frames of one run share.

    A state is an array of shape `(component, *space)` with `space` in array order: `(y, x)` for
    `axes == ("x", "y")`. Nodes carry the unit of the user's coordinates.

    Args:
        components: names of the state's components, such as `("u", "u_t")`.
        axes: names of the coordinates, in coordinate order.
        nodes: one increasing float64 array of shape `(points,)` per axis, in coordinate order.
        dtype: floating point type of the states.
        attributes: facts to store beside the frames; texts, 64-bit integers and finite numbers,
            which come back from every file exactly as they went in.

    Raises:
        ResultError: names that clash, nodes that do not fit the axes, a dtype that is not real
            floating point, or an attribute that no file could give back unchanged.
    """

    components: tuple[str, ...]
    axes: tuple[str, ...]
    nodes: tuple[np.ndarray, ...]
    dtype: np.dtype
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the dataclass is frozen; normalise once, here
        set_field(self, "components", _names(self.components, "components"))
        set_field(self, "axes", _names(self.axes, "axes"))
        set_field(self, "nodes", tuple(_nodes(n, a) for n, a in zip_axes(self.nodes, self.axes)))
        set_field(self, "dtype", np.dtype(self.dtype).newbyteorder("="))
        set_field(self, "attributes", checked_attributes(self.attributes))
        if self.dtype.kind != "f":
            raise ResultError(
                f"States are real floating point numbers; the dtype is {self.dtype}. "
                f"Convert the states to float64 or float32."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape `(component, *space)` of one state."""
        return (len(self.components), *(len(n) for n in reversed(self.nodes)))

    def component_index(self, name: str) -> int:
        """Return the place of the component called `name`.

        Raises:
            UnknownNameError: there is none; the message suggests the nearest.
        """
        if name not in self.components:
            raise UnknownNameError(
                f"Expected one of the components {', '.join(self.components)}; "
                f"got {name!r}.{suggest(name, self.components)}"
            )
        return self.components.index(name)

    def check_state(self, state: np.ndarray) -> None:
        """Refuse a state of another type, shape or dtype: nothing is cast silently.

        Raises:
            ResultError: with what was expected and what arrived.
        """
        if not isinstance(state, np.ndarray):
            raise ResultError(
                f"A frame is a NumPy array of shape {self.shape}; got a "
                f"{type(state).__name__}. Convert it first."
            )
        if state.shape != self.shape or state.dtype != self.dtype:
            raise ResultError(
                f"A frame of this run has shape {self.shape} and dtype {self.dtype}; "
                f"got shape {state.shape} and dtype {state.dtype}. Pass the whole state, "
                f"(component, *space), in the dtype that the run was started with."
            )

    def check_names_for_files(self) -> None:
        """Refuse component names that a file could not tell from its coordinates.

        Raises:
            ResultError: a component called "time" or like an axis, or a name that is no file name.
        """
        taken = ("time", *self.axes)
        for name in self.components:
            if name in taken or "/" in name or name.startswith((".", "_")):
                raise ResultError(
                    f"In a file each component is a variable beside the coordinates "
                    f"{', '.join(taken)}; the component {name!r} cannot be one. Rename the field."
                )


def check_times(times: np.ndarray) -> None:
    """Refuse times that are not finite and strictly increasing.

    Raises:
        ResultError: with the first offending frame.
    """
    bad = ~np.isfinite(times)
    bad[1:] |= ~(np.diff(times) > 0)
    if bad.any():
        k = int(np.argmax(bad))
        before = f" after {float(times[k - 1])!r}" if k else ""
        raise ResultError(
            f"The times of frames are finite and increase; frame {k} has "
            f"t = {float(times[k])!r}{before}. Leave that frame out."
        )


def checked_attributes(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """Return the attributes as plain Python values that every file format keeps exactly.

    Raises:
        ResultError: a name or a value that zarr or netCDF could not give back unchanged.
    """
    checked: dict[str, Attribute] = {}
    for name, value in attributes.items():
        if isinstance(value, np.generic):
            value = value.item()
        if (
            not isinstance(name, str)
            or not name
            or name.startswith("_")
            or any(c in name for c in "/\0")
            or name in _RESERVED_ATTRIBUTES
        ):
            raise ResultError(
                f"An attribute's name is a text without '/' that does not start with '_' and is "
                f"none of {', '.join(_RESERVED_ATTRIBUTES)}; got {name!r}. Choose another name."
            )
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            problem = f"a {type(value).__name__}"
        elif isinstance(value, float) and not math.isfinite(value):
            problem = f"{value!r}"
        elif isinstance(value, int) and not -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER:
            problem = "an integer of more than 64 bits"
        elif isinstance(value, str) and "\0" in value:
            problem = "a text with a NUL character"
        else:
            checked[name] = value
            continue
        raise ResultError(
            f"An attribute is a text, a 64-bit integer or a finite number; {name!r} is {problem}. "
            f"Write it as a text."
        )
    return checked


def zip_axes(nodes: Sequence[np.ndarray], axes: Sequence[str]) -> Iterator[tuple[np.ndarray, str]]:
    """Pair nodes with the names of their axes.

    Raises:
        ResultError: there are more of one than of the other.
    """
    if len(nodes) != len(axes):
        raise ResultError(
            f"Every axis has its nodes; got {len(axes)} axes {tuple(axes)} and {len(nodes)} arrays "
            f"of nodes. Pass one array per axis, x first."
        )
    return zip(nodes, axes, strict=True)


def _names(names: Sequence[str], what: str) -> tuple[str, ...]:
    result = tuple(names)
    if (
        isinstance(names, str)
        or not result
        or len(set(result)) != len(result)
        or not all(isinstance(n, str) and n for n in result)
    ):
        raise ResultError(
            f"The {what} are a sequence of different names; got {names!r}. "
            f'Write them as in ("u", "u_t").'
        )
    return result


def _nodes(nodes: np.ndarray, axis: str) -> np.ndarray:
    array = np.asarray(nodes)
    if (
        array.dtype != np.float64
        or array.ndim != 1
        or not np.isfinite(array).all()
        or not (np.diff(array) > 0).all()
    ):
        raise ResultError(
            f"The nodes of {axis} are finite, increasing float64 numbers of shape (points,); got "
            f"shape {array.shape} and dtype {array.dtype}. Use grid.nodes(boundary)."
        )
    return array


def as_path(path: object) -> Path:
    """Return a path as a `Path`.

    Raises:
        ResultError: it is neither a text nor a path.
    """
    if isinstance(path, str | os.PathLike):
        return Path(path)
    raise ResultError(
        f"A result is saved to a path that ends in .zarr or .nc; got {path!r} "
        f"({type(path).__name__}). Give a text or a pathlib.Path."
    )
