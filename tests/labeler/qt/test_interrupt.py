"""Ctrl-C in the terminal of the window."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tools_for_tests import python_path

from gleanset import Dataset

WINDOW = """
from PySide6.QtCore import QTimer
from labeler.qt.app import make_application
application = make_application()
QTimer.singleShot(0, lambda: print("shown", flush=True))
from labeler.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent to whole consoles there")
@pytest.mark.parametrize("folder", ["dataset", "empty"])
def test_ctrl_c_closes_the_window_in_good_order(
    dataset: Dataset, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "window.py").write_text(WINDOW)
    window = subprocess.Popen(
        [sys.executable, tmp_path / "window.py", "-d", tmp_path / folder],
        env={**os.environ, "PYTHONPATH": python_path(), "QT_QPA_PLATFORM": "offscreen"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with window:
        assert window.stdout is not None
        assert window.stdout.readline() == "shown\n"
        window.send_signal(signal.SIGINT)
        _, said = window.communicate(timeout=60)
    assert (window.returncode, "Traceback" in said) == (130, False), said
    assert "what was done is kept" in said
