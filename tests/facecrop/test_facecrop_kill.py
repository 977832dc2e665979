"""Crashed workers and killed runs: nothing is lost or done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from crashing_detector import ALWAYS, ONCE, CrashingSpec
from facecrop_scenes import put, samples, scene
from tools_for_tests import command, python_path, run_here

from facecrop.search import find_faces
from gleanset import Dataset
from gleanset.images.cropping import CropGeometry
from pipeline.listing import list_records

IMAGES = 12


@pytest.mark.slow
def test_crashing_detector_rejects_one_image(dataset: Dataset, tmp_path: Path) -> None:
    """An image is retried once after a crash, then rejected."""
    crashes = tmp_path / "crashes"
    crashes.mkdir()
    marks = [ONCE, None, None, ALWAYS, None]
    images = []
    for number, mark in enumerate(marks):
        image = scene(number, size=(200, 150))
        image.putpixel((0, 0), mark or (9, 9, 9))
        images.append(put(dataset, image))
    spec: Any = CrashingSpec(crashes)
    result = find_faces(dataset, spec, CropGeometry(0.3), workers=2)
    assert result == {
        "images": 5,
        "faces": 4,
        "without_face": 0,
        "recut": 0,
        "rejected": 1,
        "reasons": {"crashed": 1},
    }
    assert {s.image for s in samples(dataset)} == {*images} - {images[3]}
    assert [(r.item, r.reason) for r in dataset.rejections.iterate()] == [(images[3], "crashed")]
    again = find_faces(dataset, spec, CropGeometry(0.3), workers=1)
    assert (again["images"], again["rejected"]) == (1, 1), (
        "a rejected image is retried by the next run"
    )


@pytest.mark.slow
def test_killed_search_resumes_with_same_result(tmp_path: Path) -> None:
    roots = tmp_path / "undisturbed", tmp_path / "killed"
    for root in roots:
        with Dataset.create(root) as dataset:
            for number in range(IMAGES):
                lefts = (10 + number, 330)[: 1 + number % 2]
                put(dataset, scene(*lefts, size=(640, 360), side=240))
    assert run_here("facecrop.cli", "run", "--workers", "1", "-d", roots[0]).code == 0
    done = _kill_in_the_middle(roots[1])
    left = run_here("facecrop.cli", "run", "-s", "--json", "-d", roots[1]).json
    # Some images may be recorded between the count and the kill.
    assert IMAGES - done - 4 <= left["would_search"] <= IMAGES - done
    result = run_here("facecrop.cli", "run", "--workers", "2", "--json", "-d", roots[1]).json
    assert (result["images"], result["rejected"]) == (left["would_search"], 0)
    assert not list((roots[1] / "cache" / "scratch").iterdir())
    with Dataset.open(roots[0]) as undisturbed, Dataset.open(roots[1]) as killed:
        for kind in ("faces", "samples", "rejections"):
            assert list(list_records(killed, kind, ())) == list(list_records(undisturbed, kind, ()))
    assert _crops(roots[1]) == _crops(roots[0])


def _kill_in_the_middle(root: Path) -> int:
    """Kill the command after some images; return how many were recorded."""
    process = subprocess.Popen(
        command("facecrop.cli", "run", "--workers", "2", "-q", "-d", root),
        env={**os.environ, "PYTHONPATH": python_path()},
    )
    try:
        with Dataset.open(root) as dataset:
            until = time.monotonic() + 60
            while (done := dataset.db.fetch_int("SELECT count(DISTINCT image) FROM scan")) < 3:
                assert process.poll() is None, "it ended before the kill"
                assert time.monotonic() < until
                time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert done < IMAGES - 4, "the kill came too late"
    return done


def _crops(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "crops").rglob("*.jpg")}
