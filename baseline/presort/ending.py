"""When a command that follows another program is to end: with that program, or when told so.

Whoever started it holds the other end of its stdin, which the operating system closes when that
program dies, however it does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

REST = 0.5
"""Seconds in which one that waits ends by itself; one that works is interrupted then."""
SOON = 0.1
"""Seconds within which the end of stdin is noticed, where SIGTERM came with it."""
GRACE = 3.0
"""Seconds after which one that computes on and on is ended all the same: nothing is lost by it."""


class FollowedProgram:
    """The program that this one ends with."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long for its end; return whether it is gone."""
        return self._ended.wait(seconds)

    def listen(self) -> None:
        """Wait for the end of stdin, and see to it that this program ends too: a thread's work."""
        with suppress(OSError, ValueError):
            while os.read(sys.stdin.fileno(), 4096):
                pass
        self._ended.set()
        time.sleep(REST)
        signal.raise_signal(signal.SIGINT)
        time.sleep(GRACE)
        os._exit(0)


@contextmanager
def following() -> Iterator[FollowedProgram]:
    """Follow until the block ends; an interrupt by the end of the other program ends it quietly.

    SIGTERM ends it as Ctrl-C does. Used in the main thread. Where the other program has ended, so
    does this one, at the end of the block: there is nobody left to tell anything, and to put away
    what was loaded takes longer than a window waits.
    """
    program = FollowedProgram()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=program.listen, name="stdin", daemon=True).start()
    try:
        yield program
    except KeyboardInterrupt:
        if not program.wait(SOON):
            raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if program.ended:
        os._exit(0)
