"""First steps of every command: handle Ctrl-C and `--version` before the slow imports.

Ctrl-C then ends the command with one line and no traceback, as it does later. Imports little.
"""

import os
import signal
import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from gleanset import __version__

INTERRUPTED_EXIT_CODE = 130
# Other packages on PyPI have some of these names, and replace ours in the same environment.
PACKAGES = (
    "curation",
    "harvest",
    "facecrop",
    "labeler",
    "baseline",
    "webapp",
    "pipeline",
)
MARK = b"# Part of Gleanset."
"""First line of the `__init__.py` of each of our packages."""
owns_process = False
"""Whether this process is a Gleanset program, which may change process-wide settings."""


def run_program(name: str, package: str) -> NoReturn:
    """Run a command-line program of a package to its end."""
    _begin(name)
    for needed in PACKAGES:
        spec = find_spec(needed)
        file = spec.origin if spec else None
        if not file or Path(file).read_bytes()[: len(MARK)] != MARK:
            # Imported only here: reading the installed packages takes 100 ms.
            from gleanset.installation import describe_replaced_package

            error = describe_replaced_package(needed, file)
            sys.stderr.write(f"{name}: {error}\n")
            sys.exit(error.exit_code)
    from gleanset.cli import main

    main(import_module(f"{package}.cli").commands)


def _begin(name: str) -> None:
    """Handle `--version`; until `restore_interrupts`, end on Ctrl-C unless it is ignored."""
    global owns_process
    owns_process = True
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{name}, version {__version__}\n")
        sys.exit(0)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def restore_interrupts() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` again; the caller must catch it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    os.write(2, b"\ninterrupted; nothing was done\n")
    # Not an exception: an unfinished import would convert it to another one.
    os._exit(INTERRUPTED_EXIT_CODE)


# The console scripts. They are here because another package may replace any of the others.
gleanset = partial(run_program, "gleanset", "pipeline")
harvest = partial(run_program, "harvest", "harvest")
facecrop = partial(run_program, "facecrop", "facecrop")
labeler = partial(run_program, "labeler", "labeler")
baseline = partial(run_program, "baseline", "baseline")
webapp = partial(run_program, "webapp", "webapp")
