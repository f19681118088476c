"""The command `pdenet`; see `pdenet --help`."""

from pdenet.cli.main import main

__all__ = ["main"]
