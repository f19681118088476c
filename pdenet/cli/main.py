"""The command `pdenet`: its arguments, its exit status, and how errors are shown.

Exit status: 0 done, 1 a run failed (blow-up, a missed tolerance, a file that cannot be written),
2 bad input, 130 interrupted, 143 terminated. Whatever happens, the user sees a sentence and no
traceback.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FrameType, ModuleType
from typing import NoReturn, TextIO

from pdenet.cli import demo, evaluate, export, info, kernels, solve, train
from pdenet.errors import (
    BlowUpError,
    BoundaryWarning,
    CheckpointError,
    CheckpointWarning,
    CommandError,
    DataWarning,
    DivergedError,
    MissingExtraError,
    PdenetError,
    ResultError,
    StabilityWarning,
    suggest,
)
from pdenet.training.loop.interruption import handling
from pdenet.version import release

DONE, FAILED, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

# Errors of a run, not of what was asked for.
_RUNTIME = (BlowUpError, CheckpointError, DivergedError, MissingExtraError, ResultError)

# A command's module has `add_arguments(parser)` and `run(arguments) -> int`. It imports NumPy's
# company inside `run` only, so that --help is immediate.
_COMMANDS: dict[str, tuple[ModuleType, str]] = {
    "solve": (
        solve,
        "simulate an equation of the catalogue or of a TOML file; write data and a movie",
    ),
    "train": (
        train,
        "train a classifier made from an equation; without arguments, on handwritten digits",
    ),
    "evaluate": (
        evaluate,
        "measure a trained classifier; write one page with its curves and mistakes",
    ),
    "export": (
        export,
        "write a trained classifier for other programs: ONNX, torch.export, safetensors",
    ),
    "kernels": (
        kernels,
        "measure how symmetric the kernels of a model are; write one page about it",
    ),
    "info": (
        info,
        "show an equation: kind, parameters, source, stable steps; without a name, all of them",
    ),
    "demo": (
        demo,
        "simulate a photograph and waves, measure the errors, write one page with pictures",
    ),
}

_EXAMPLES = """\
examples:
  pdenet solve heat
  pdenet solve wave --points 256 --boundary x=dirichlet:0 --boundary y=neumann:0 --until 3
  pdenet solve advection --option dimension=1 --set c=0.5 --initial "exp(-40*x**2)"
  pdenet solve my_equation.toml --output results
  pdenet train
  pdenet train path/to/images --recipe liu2023 --model eq3 --workers 8
  pdenet evaluate out/train/eq7_nows_x6_small-digits
  pdenet kernels out/train/eq7_nows_x6_small-digits
  pdenet info rotation
  pdenet demo
"""


class _Terminated(BaseException):
    """SIGTERM came; like KeyboardInterrupt nothing that handles errors handles it."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if "expected one argument" in message:
            message += "; a value that begins with '-' is written --option=VALUE"
        see = " See" if message.endswith("?") else "; see"
        raise CommandError(f"{message}{see} `{self.prog} --help`")


class _Version(argparse.Action):
    # Not argparse's own: asking which release is installed takes as long as all the help.
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"pdenet {release()}")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `pdenet`.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit status, see the head of this module.

    Example:
        >>> main(["info", "haet"])
        2
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with warnings.catch_warnings(), handling(_terminate, signal.SIGTERM):
            # NumPy's: what ceases to be finite ends in an error of ours, which says where.
            warnings.simplefilter("ignore", RuntimeWarning)
            for shown in (StabilityWarning, BoundaryWarning, CheckpointWarning, DataWarning):
                warnings.simplefilter("always", shown)
            warnings.showwarning = _show_warning
            return _dispatch(arguments)
    except _Terminated:
        return _fail("terminated", TERMINATED, label="")
    except SystemExit as end:  # argparse, after --help and --version
        return end.code if isinstance(end.code, int) else DONE
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED, label="")
    except BrokenPipeError:  # `pdenet info | head`
        # Python flushes stdout at exit, and would report the broken pipe once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except PdenetError as error:
        return _fail(str(error), FAILED if isinstance(error, _RUNTIME) else BAD_INPUT)
    except MemoryError:
        return _fail("this machine's memory is exhausted; use fewer points or --dtype float32")
    except OSError as error:
        return _fail(f"{error.strerror or error}: {error.filename or 'no file'}; check the path")
    except Exception as error:  # the last resort: a sentence, not a traceback
        if os.environ.get("PDENET_TRACEBACK"):
            raise
        return _fail(
            f"{type(error).__name__}: {error}. This is a fault of pdenet, not of the input; set "
            "PDENET_TRACEBACK=1 to see where it happened, and report it"
        )


def _dispatch(arguments: list[str]) -> int:
    parser = _Parser(
        prog="pdenet",
        description="Partial differential equations, simulated from their written form.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    name = next((a for a in arguments if not a.startswith("-")), None)
    if name is not None and name not in _COMMANDS:
        raise CommandError(
            f"the commands are {', '.join(_COMMANDS)}; got {name!r}.{suggest(name, _COMMANDS)}"
        )
    known: list[str] = []
    for command, (module, text) in _COMMANDS.items():
        made = commands.add_parser(
            command, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
        )
        if command == name:
            module.add_arguments(made)
            known = [o for action in made._actions for o in action.option_strings]
    found, unknown = parser.parse_known_args(arguments)
    if name is None:
        parser.print_help()
        return DONE
    if unknown:
        option = unknown[0].partition("=")[0]
        raise CommandError(
            f"`pdenet {name}` has no argument {unknown[0]!r}.{suggest(option, known)} "
            f"See `pdenet {name} --help`"
        )
    status: int = _COMMANDS[name][0].run(found)
    return status


def _terminate(number: int, frame: FrameType | None) -> None:
    """End a command at SIGTERM as Ctrl-C does: files are closed, half-written ones removed."""
    raise _Terminated


def _fail(message: str, status: int = FAILED, label: str = "error: ") -> int:
    print(f"pdenet: {label}{message}", file=sys.stderr)
    return status


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"pdenet: warning: {message}", file=sys.stderr)
