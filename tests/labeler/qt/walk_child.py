"""A walk of random gestures in a process of its own: run by `test_walk` and the benchmark.

    walk_child.py FOLDER SEED GESTURES WIDTHxHEIGHT TRUTH.json

prints one line of JSON: what was done, and what did not hold.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from drawn_faces import FaceSet
from person import Person, settle
from walker import Walker, painting

from labeler.qt.app import make_application
from labeler.qt.window import LabelerWindow


def walk(faces: FaceSet, seed: int, gestures: int, size: tuple[int, int]) -> dict[str, object]:
    """Walk through a window of its own."""
    began = time.monotonic()
    make_application()
    with painting() as painted:
        window = LabelerWindow(faces.root, "pages")
        window.resize(*size)
        window.show()
        settle(window)
        walker = Walker(Person(window, faces), painted, seed)
        walker.walk(gestures)
        person = walker.person
        told = {
            "seed": seed,
            "size": "x".join(map(str, size)),
            "ratio": window.devicePixelRatioF(),
            "gestures": gestures,
            "sorted": person.sorted,
            "seconds": round(time.monotonic() - began),
            "faults": [list(fault) for fault in walker.faults],
        }
        walker.close()
        window.close()
    return told | {"lost": window.worker.lost}


def main(root: str, seed: str, gestures: str, size: str, truth: str) -> None:
    """Walk, and say what came of it."""
    width, _, height = size.partition("x")
    faces = FaceSet(Path(root), json.loads(Path(truth).read_text()))
    told = walk(faces, int(seed), int(gestures), (int(width), int(height)))
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    os._exit(0)  # Qt's own threads are of no interest here


if __name__ == "__main__":
    main(*sys.argv[1:])
