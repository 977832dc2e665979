"""A walk of random gestures through all views: what was filed was painted, and no key died."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from drawn_faces import FaceSet, hint
from tools_for_tests import python_path

HERE = Path(__file__).parent
PATHS = python_path(HERE.parents[1], HERE.parent, HERE)


@pytest.mark.slow  # three hundred real gestures, with everything looked at after each
@pytest.mark.parametrize(
    ("size", "scale", "named"),
    [
        ("1280x720", 1, True),
        pytest.param("1280x720", 2, True, marks=pytest.mark.long),
        pytest.param("1920x1080", 1, False, marks=pytest.mark.long),
        pytest.param("2560x1440", 1, True, marks=pytest.mark.long),
    ],
)
def test_a_walk_of_random_gestures(
    few: FaceSet, drawn_few: FaceSet, tmp_path: Path, size: str, scale: int, named: bool
) -> None:
    root = few.root
    if named:
        hint(few, 0.8)
    else:
        root = tmp_path / "bare"
        shutil.copytree(drawn_few.root, root)
    (tmp_path / "truth.json").write_text(json.dumps(few.truth))
    ran = subprocess.run(
        [sys.executable, HERE / "walk_child.py", root, "7", "75", size, tmp_path / "truth.json"],
        env=os.environ
        | {
            "PYTHONPATH": PATHS,
            "QT_QPA_PLATFORM": "offscreen",
            "QT_SCALE_FACTOR": str(scale),
            "XDG_CONFIG_HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["faults"] == []
    assert (told["ratio"], told["lost"]) == (scale, 0)
