"""Which release of pdenet this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """Return the version that is installed."""
    try:
        return version("pdenet")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"
