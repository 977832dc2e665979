"""First steps of every command: handle Ctrl-C and `--version` before the slow imports.

Imports little.
"""

import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from gleanset.own_process import begin

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


def run_program(name: str, package: str) -> NoReturn:
    """Run a command-line program of a package to its end."""
    begin(name)
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


# The console scripts. They are here because another package may replace any of the others.
gleanset = partial(run_program, "gleanset", "pipeline")
harvest = partial(run_program, "harvest", "harvest")
facecrop = partial(run_program, "facecrop", "facecrop")
labeler = partial(run_program, "labeler", "labeler")
baseline = partial(run_program, "baseline", "baseline")
webapp = partial(run_program, "webapp", "webapp")
