"""The first instant of every command: it hears Ctrl-C and says its version before it imports more.

Ctrl-C ends it with one line then, as later, and no traceback. Imports little else.
"""

from __future__ import annotations

import os
import signal
import sys

from gleanset import __version__

INTERRUPTED = 130
owns_process = False
"""Whether this process is one of our programs, whose process-wide settings are ours to change."""


def begin(name: str) -> None:
    """End the program on Ctrl-C, if not ignored, until `take_over`; answer `--version`."""
    global owns_process
    owns_process = True
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{name}, version {__version__}\n")
        sys.exit(0)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def take_over() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` again: whoever calls this catches it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    os.write(2, b"\ninterrupted; nothing was done\n")
    # No exception: an import that is half done would turn it into another one.
    os._exit(INTERRUPTED)
