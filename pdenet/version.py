"""Which release of pdenet this is."""

from __future__ import annotations


def release() -> str:
    """Return the version that is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pdenet")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"
