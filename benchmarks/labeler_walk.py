"""Thousands of random gestures in the labeler's real window: does anything not hold?

    python benchmarks/labeler_walk.py [--gestures 5000] [--seed 1] [--faces 120] [--json]

Drawn faces, with proposals that are right in eight of ten and in half of the walks without any, so
that overviews come as well, and reports from the web page; windows of 1280x720, 1920x1080 and
2560x1440, and of 1280x720 at scale 2, each in a process of its own, without a display. After each
gesture: what was filed was painted with its picture, a key acted or the status bar said why not,
nothing failed. The last line is one JSON object; `faults` must be 0.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
PATHS = [str(HERE.parent), str(TESTS), str(TESTS / "labeler"), str(TESTS / "labeler" / "qt")]
sys.path[:0] = PATHS
SCREENS = (("1280x720", "1"), ("1920x1080", "1"), ("2560x1440", "1"), ("1280x720", "2"))
REPORTS = 60
"""Reports from the web page, which wait at the beginning of each walk."""

LEG = 250
"""Gestures of one walk: afterwards another begins, with everything unsorted again."""


def one_walk(made: Path, number: int, seed: int, gestures: int) -> dict[str, Any]:
    """Walk through a copy of the dataset; half of the walks without proposals and classes."""
    screen, scale = SCREENS[number % len(SCREENS)]
    source = made / ("bare" if number // len(SCREENS) % 2 else "named")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "d"
        shutil.copytree(source, root)
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join(PATHS),
            "QT_QPA_PLATFORM": "offscreen",
            "QT_SCALE_FACTOR": scale,
            "XDG_CONFIG_HOME": name,
        }
        words = (root, seed + number, gestures, screen, made / "truth.json")
        ran = subprocess.run(
            [sys.executable, str(TESTS / "labeler" / "qt" / "walk_child.py"), *map(str, words)],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
    if ran.returncode or not ran.stdout.strip():
        return {"seed": seed + number, "gestures": gestures, "faults": [[ran.stderr[-2000:]]]}
    found: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return found | {"proposals": source.name == "named"}


def make(folder: Path, faces: int) -> None:
    """Draw the faces once, with classes and proposals and without."""
    from drawn_faces import FaceSet, add_classes, draw_set, propose
    from web_claims import Told, add_reports

    drawn = draw_set(folder / "bare", faces, classes=5)
    claims = [drawn.names[number % len(drawn.names)] for number in range(REPORTS)]
    add_reports(drawn.root, [Told(name) for name in claims])
    shutil.copytree(folder / "bare", folder / "named")
    named = FaceSet(folder / "named", drawn.truth)
    add_classes(named.root, named.names)
    propose(named, 0.8)
    (folder / "truth.json").write_text(json.dumps(drawn.truth))


def main() -> None:
    """Walk, and say what did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--gestures", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faces", type=int, default=120)
    parser.add_argument("--json", action="store_true", help="print nothing but the last line")
    given = parser.parse_args()
    walks: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), given.faces)
        left = given.gestures
        while left > 0:
            walks.append(one_walk(Path(name), len(walks), given.seed, min(LEG, left)))
            left -= LEG
            if not given.json:
                sys.stdout.write(json.dumps(walks[-1]) + "\n")
                sys.stdout.flush()
    faults = [fault for walk in walks for fault in walk["faults"]]
    told = {
        "gestures": sum(walk["gestures"] for walk in walks),
        "sorted": sum(walk.get("sorted", 0) for walk in walks),
        "faults": len(faults),
        "first": faults[:10],
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
