"""Features of some systems only, and what replaces them on the others."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tools_for_tests import ROOT, python_path

from gleanset import platform


def modules(room: str) -> list[str]:
    """Return the full names of a package's modules."""
    files = (path.relative_to(ROOT) for path in sorted((ROOT / room).rglob("*.py")))
    names = (path.with_suffix("").as_posix().replace("/", ".") for path in files)
    return [name.removesuffix(".__init__") for name in names]


def without_posix(code: str) -> str:
    """Return the stderr of Python code run with tests/without_posix."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "without_posix")}
    line = [sys.executable, "-c", code]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True).stderr


def test_the_rooms_can_be_imported_where_the_posix_modules_are_missing() -> None:
    # The window needs Qt, which may be missing; `__main__` starts a program.
    names = [
        name for room in ("gleanset", "curation", "harvest", "labeler") for name in modules(room)
    ]
    names = [name for name in names if not name.startswith("labeler.qt") and "__main__" not in name]
    names += ["facecrop", "baseline", "webapp", "pipeline"]
    code = f"from importlib import import_module\nfor name in {names!r}: import_module(name)"
    assert without_posix(code) == ""


def test_a_missing_module_is_noticed() -> None:
    code = "import gleanset.platform as p; p.__builtins__['__import__']('resource')"
    assert "No module named 'resource'" in without_posix(code)


@pytest.mark.parametrize("error", [ImportError, KeyError, OSError])
def test_without_a_login_name_somebody_decides(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def nobody() -> str:
        raise error("no name")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert platform.get_user_name() == "someone"


def test_without_folders_to_open_a_rename_is_not_synced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "O_DIRECTORY", raising=False)
    platform.sync_folder(tmp_path / "is not even looked at")


DEAF = """
import multiprocessing, signal
from gleanset.platform import block_interrupts

def tell(answer):
    answer.send(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    answer, child = context.Pipe()
    with block_interrupts():
        context.Process(target=tell, args=(child,)).start()
    print(answer.recv(), signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


@pytest.mark.posix("elsewhere signals have no mask")
def test_the_first_process_is_deaf_to_an_interrupt_and_its_parent_is_not(tmp_path: Path) -> None:
    script = tmp_path / "deaf.py"
    script.write_text(DEAF)
    ran = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["True", "False"]


def test_two_paths_change_places_or_stay(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    other.write_text("2")
    swapped = platform.exchange_paths(one, other)
    assert (one.read_text(), other.read_text()) == (("2", "1") if swapped else ("1", "2"))
    assert not platform.exchange_paths(one, tmp_path / "missing")
