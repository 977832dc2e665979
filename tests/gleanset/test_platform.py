"""Features of some operating systems, and their replacements elsewhere."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tools_for_tests import python_path

from gleanset import platform


@pytest.mark.parametrize("error", [ImportError, KeyError, OSError])
def test_user_name_falls_back_to_someone(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def raise_error() -> str:
        raise error("no name")

    monkeypatch.setattr(getpass, "getuser", raise_error)
    assert platform.get_user_name() == "someone"


BLOCKING = """
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
def test_block_interrupts_affects_child_only(tmp_path: Path) -> None:
    script = tmp_path / "deaf.py"
    script.write_text(BLOCKING)
    ran = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["True", "False"]


def test_exchange_paths_swaps_or_keeps(tmp_path: Path) -> None:
    file, other = tmp_path / "one", tmp_path / "other"
    file.write_text("1")
    other.write_text("2")
    swapped = platform.exchange_paths(file, other)
    assert (file.read_text(), other.read_text()) == (("2", "1") if swapped else ("1", "2"))
    assert not platform.exchange_paths(file, tmp_path / "missing")
