"""Ctrl-C in the instant in which a command only imports: one line, as later, and no traceback.

Imports nothing of ours, and little else.
"""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130


def listen() -> None:
    """End the program on Ctrl-C until `take_over`. Where a script ignores it, it stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def take_over() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` again: whoever calls this catches it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    os.write(2, b"\ninterrupted; nothing was begun\n")
    # No exception: an import that is half done would turn it into another one.
    os._exit(INTERRUPTED)
