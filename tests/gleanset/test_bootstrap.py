"""The extras that `bootstrap.py` installs, and when it skips the installation."""

import runpy
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
    pending = BOOTSTRAP["EXTRAS"][command].strip(".[]").split(",")
    while pending:
        extra = pending.pop()
        result.add(extra)
        for needed in EXTRAS[extra]:
            if needed.startswith("gleanset["):
                pending += needed.removeprefix("gleanset[").strip("]").split(",")
    return result


def test_installed_extras_are_reused_if_sufficient() -> None:
    for command in BOOTSTRAP["EXTRAS"]:
        for other in BOOTSTRAP["EXTRAS"]:
            sufficient = installed_by(command) <= installed_by(other)
            assert (other in BOOTSTRAP["including"](command)) == sufficient, (command, other)


def test_tests_install_all_compatible_extras() -> None:
    assert installed_by("test") == set(EXTRAS) - {"litert"}


def test_download_size_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    BOOTSTRAP["say_how_much"]()
    output = capsys.readouterr().out
    assert "GB to fetch" in output
    assert (BOOTSTRAP["PYTORCH"] in output) == (sys.platform == "linux")
