"""`pdenet demo`: the simulator on a photograph and on waves, measured, on one page."""

from pdenet.cli.demo.command import add_arguments, run

__all__ = ["add_arguments", "run"]
