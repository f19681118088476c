"""Interruption: signals that are deferred to the next place where a run can save and stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def handling(handler: Callable[[int, FrameType | None], None], *numbers: int) -> Iterator[None]:
    """Let a handler have these signals, where it may: in the main thread, as Python wants it."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            # None: it was installed by something other than Python.
            signal.signal(number, signal.SIG_DFL if old is None else old)


class Interruption:
    """Notes the first Ctrl-C or SIGTERM while it is `listening`.

    A second Ctrl-C stops at once, without saving. Not under torchrun, where the terminal's Ctrl-C
    arrives twice: from the terminal, and passed on.

    Attributes:
        signal: which one has come; None so far.
    """

    signal: int | None = None

    @staticmethod
    @contextmanager
    def listening() -> Iterator[Interruption]:
        """Take both signals to the end of the block."""
        made = Interruption()
        with handling(made._note, signal.SIGINT, signal.SIGTERM):
            yield made

    def _note(self, number: int, frame: FrameType | None) -> None:
        is_second = self.signal is not None and number == signal.SIGINT
        if is_second and "TORCHELASTIC_RUN_ID" not in os.environ:
            raise KeyboardInterrupt
        self.signal = number if self.signal is None else self.signal
