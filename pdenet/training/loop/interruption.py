"""Interruption: Ctrl-C and SIGTERM ask a run to save and stop, at the next place where it can."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType


class Interruption:
    """Notes the first of these signals while it is entered.

    A second Ctrl-C stops at once, without saving. Not under torchrun, where the terminal's Ctrl-C
    arrives twice: from the terminal, and passed on.

    Attributes:
        signal: which one has come; None so far.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        # Python allows handlers in the main thread only; elsewhere a run cannot be asked.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            # None: it was installed by something other than Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        is_second = self.signal is not None and number == signal.SIGINT
        if is_second and "TORCHELASTIC_RUN_ID" not in os.environ:
            raise KeyboardInterrupt
        self.signal = number if self.signal is None else self.signal
