"""Crashed workers and killed runs: nothing is lost or done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from crashing_detector import ALWAYS, ONCE, CrashingSpec
from facecrop_scenes import put, samples, scene

from facecrop.search import find_faces
from gleanset import Dataset
from gleanset.images.cropping import CropGeometry


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
