"""What a Gleanset program may do that a library may not: Ctrl-C, and process-wide settings.

Until `restore_interrupts`, Ctrl-C ends the command with one line and no traceback. Imports little.
"""

import os
import signal
import sys

from gleanset import __version__

INTERRUPTED_EXIT_CODE = 130
owns_process = False
"""Whether this process is a Gleanset program, which may change process-wide settings."""


def begin(name: str) -> None:
    """Handle `--version`; until `restore_interrupts`, end on Ctrl-C unless it is ignored.

    SIGTERM acts as Ctrl-C.
    """
    global owns_process
    owns_process = True
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{name}, version {__version__}\n")
        sys.exit(0)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
        # By default it would end the process at once. `docker stop`, `timeout` and the schedulers
        # of clusters send it.
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def restore_interrupts() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` again; the caller must catch it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    os.write(2, b"\ninterrupted; nothing was done\n")
    # Not an exception: an unfinished import would convert it to another one.
    os._exit(INTERRUPTED_EXIT_CODE)
