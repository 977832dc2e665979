"""The extras that `bootstrap.py` installs, and when it skips the installation."""

import os
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tools_for_tests import ROOT

BOOTSTRAP = runpy.run_path(str(ROOT / "bootstrap.py"))
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def installed_by(command: str) -> set[str]:
    """Return the extras that a command installs, including nested ones."""
    result: set[str] = set()
    waiting = BOOTSTRAP["EXTRAS"][command].strip(".[]").split(",")
    while waiting:
        extra = waiting.pop()
        result.add(extra)
        for needed in EXTRAS[extra]:
            if needed.startswith("gleanset["):
                waiting += needed.removeprefix("gleanset[").strip("]").split(",")
    return result


def test_a_command_takes_what_another_installed_only_where_that_is_enough() -> None:
    for command in BOOTSTRAP["EXTRAS"]:
        for other in BOOTSTRAP["EXTRAS"]:
            enough = installed_by(command) <= installed_by(other)
            assert (other in BOOTSTRAP["including"](command)) == enough, (command, other)


def test_the_tests_have_every_extra_that_can_stand_beside_the_others() -> None:
    assert installed_by("test") == set(EXTRAS) - {"litert"}


SAY = "import runpy, sys; boot = runpy.run_path(sys.argv[1]); boot['say_how_much']()"
needs_shell = pytest.mark.skipif(os.name == "nt", reason="programs here are shell scripts")


def bootstrapped(folder: Path, code: str, uv: str = "") -> str:
    """Return the output with `uv` as this shell code, if any."""
    (folder / "bin").mkdir()
    if uv:
        program = folder / "bin" / "uv"
        program.write_text(f'#!/bin/sh\necho "$@" > {folder}/asked\n{uv}\n')
        program.chmod(0o755)
    places = os.pathsep.join([str(folder / "bin"), "/usr/bin", "/bin"])
    return subprocess.run(
        [sys.executable, "-c", code, ROOT / "bootstrap.py", folder],
        env={"PATH": places, "GLEANSET_VENV": str(folder / "venv")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@needs_shell
@pytest.mark.parametrize("uv", ["", "exit 0"])
def test_it_is_said_how_much_comes_and_what_makes_it_less(tmp_path: Path, uv: str) -> None:
    result = bootstrapped(tmp_path, SAY, uv)
    assert "GB to fetch" in result
    assert (BOOTSTRAP["PYTORCH"] in result) == (not uv and sys.platform == "linux")
