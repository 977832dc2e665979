"""Ctrl-C in the first moments of every console script, while it only imports."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib

import pytest
from tools_for_tests import ROOT

SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
# Interrupts itself at the moment when this module is imported.
INTERRUPTED_IMPORT = """
import os, signal, sys

class Press:
    def find_spec(self, name, path=None, target=None):
        if name == {wanted!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Press())
sys.argv = ["command", "--help"]
from {module} import {function}
{function}()
"""


def run_interrupted(
    script: str, module_name: str, before: str = ""
) -> subprocess.CompletedProcess[str]:
    module, function = SCRIPTS[script].split(":")
    code = before + INTERRUPTED_IMPORT.format(module=module, function=function, wanted=module_name)
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_ctrl_c_during_import_prints_no_traceback(script: str) -> None:
    done = run_interrupted(script, "click")
    assert done.returncode == 130
    assert done.stderr.strip() == "interrupted; nothing was done"
    assert done.stdout == ""


def test_ignored_ctrl_c_stays_ignored() -> None:
    ignoring = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    done = run_interrupted("harvest", "click", ignoring)
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_restore_interrupts_restores_handler() -> None:
    from gleanset.start import begin, restore_interrupts

    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        begin("harvest")
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        restore_interrupts()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
