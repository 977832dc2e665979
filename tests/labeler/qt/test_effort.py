"""The scripted person of `benchmarks/labeler_effort.py` sorts PNG faces from nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tools_for_tests import python_path

from tools.sample.character import CAST
from tools.sample.scene import paint_scene, plan_scene

ROOT = Path(__file__).parents[3]


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool") and find_spec("torch")),
    reason="needs Xvfb, xdotool and the extra [train]",
)
def test_a_person_sorts_png_faces_from_nothing_and_every_gesture_counts(tmp_path: Path) -> None:
    for who in CAST[:3]:
        (tmp_path / "faces" / who.name).mkdir(parents=True)
        for shot in range(14):
            picture = paint_scene(plan_scene([who], shot, (112, 96)))
            picture.save(tmp_path / "faces" / who.name / f"{shot}.png")
    ran = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "labeler_effort.py", tmp_path / "faces", "--json"],
        env=os.environ | {"PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert (found["faces"], found["classes"], found["wrong_share"]) == (42, 3, 0)
    counted = found["counted"]
    assert counted["enter of a name"] == 3
    assert counted["letters"] == sum(len(who.name) for who in CAST[:3])
