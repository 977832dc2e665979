"""The first instant of every command: it hears Ctrl-C and says its version before it imports more.

Imports little else.
"""

from __future__ import annotations

import sys

from gleanset import __version__
from gleanset.interrupts import listen


def begin(name: str) -> None:
    """Listen for Ctrl-C; where only the version was asked for, say it and end the program."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{name}, version {__version__}\n")
        sys.exit(0)
    listen()
