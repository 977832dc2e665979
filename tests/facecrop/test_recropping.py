"""Crops are derived: recreated identically, and changed without a search."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from facecrop_scenes import crop, put, samples, scene
from PIL import Image

from facecrop.detectors import DetectorSpec
from facecrop.search import DatasetSearch, find_faces
from gleanset import Dataset, Sample
from gleanset.db.journal import Choice
from gleanset.images.cropping import CropGeometry, estimate_tilt
from pipeline.listing import list_records

SPEC = DetectorSpec.create("animeface")
STRICT = DetectorSpec.create("animeface", threshold=1)
PLAIN = CropGeometry(0.3)


def search(
    dataset: Dataset, geometry: CropGeometry = PLAIN, spec: DetectorSpec = SPEC
) -> dict[str, Any]:
    return find_faces(dataset, spec, geometry, workers=1)


def crops(dataset: Dataset) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (dataset.root / "crops").rglob("*.jpg")}


def pending_counts(
    dataset: Dataset, geometry: CropGeometry, spec: DetectorSpec = SPEC
) -> tuple[int, int]:
    result = DatasetSearch(dataset, spec, geometry)
    return result.to_search(), result.to_cut()


@pytest.mark.slow
def test_missing_crops_are_recreated_identically(dataset: Dataset) -> None:
    """Also those of decided samples that the detector no longer finds."""
    for lefts in ((10, 230), (60,), ()):
        put(dataset, scene(*lefts))
    search(dataset)
    decided, *_ = samples(dataset)
    dataset.journal.apply("Label", [Choice(decided.key, "label", "hana")])
    search(dataset, spec=STRICT)
    assert sorted(s.status for s in samples(dataset)) == ["labelled", "retired", "retired"]
    before, rows = crops(dataset), samples(dataset)
    assert len(before) == 3
    assert pending_counts(dataset, PLAIN, STRICT) == (0, 0)
    shutil.rmtree(dataset.root / "crops")
    assert pending_counts(dataset, PLAIN, STRICT) == (0, 2)
    result = search(dataset, spec=STRICT)
    assert (result["images"], result["recut"]) == (0, 2)
    assert crops(dataset) == before
    assert samples(dataset) == rows
    dataset.crop_path(decided.key).unlink()
    assert search(dataset, spec=STRICT)["recut"] == 1
    assert crops(dataset) == before


@pytest.mark.slow
def test_new_crop_settings_need_no_search(dataset: Dataset) -> None:
    put(dataset, scene(10, 230))
    put(dataset, scene())
    search(dataset)
    decided, other = samples(dataset)
    dataset.journal.apply("Label", [Choice(decided.key, "label", "hana")])
    for geometry in (
        CropGeometry(0.1),
        CropGeometry(0.3, square=True),
        CropGeometry(0.3, pad=True),
        CropGeometry(0.3, level=True),
        CropGeometry(0.3, min_size=30),
    ):
        assert pending_counts(dataset, geometry) == (0, 1), (
            "an image without a face has nothing to cut"
        )
    assert pending_counts(dataset, PLAIN, STRICT) == (2, 0)
    wide = CropGeometry(2.0, square=True, pad=True)
    result = search(dataset, wide)
    assert (result["images"], result["recut"], result["faces"]) == (0, 1, 0)
    after = samples(dataset)
    assert {(s.key, s.label) for s in after} == {(decided.key, "hana"), (other.key, None)}
    for sample in after:
        assert sample.box.width == sample.box.height > 390
        assert crop(dataset, sample).shape[:2] == (sample.box.height, sample.box.width)
        assert min(sample.box) < 0
    # A decided face that is no longer found is cropped like all others.
    search(dataset, wide, STRICT)
    search(dataset, PLAIN, STRICT)
    (labelled,) = (s for s in samples(dataset) if s.status == "labelled")
    assert labelled.box == decided.box
    assert dataset.faces.count() == 0
    assert list(dataset.faces.iterate()) == []
    assert [face.kind for face in dataset.faces.list_in_image(labelled.image)] == ["gone"]
    assert pending_counts(dataset, PLAIN, STRICT) == (0, 0)
    search(dataset)
    assert {face.kind for face in dataset.faces.list_in_image(labelled.image)} == {"found"}


def test_tilted_face_is_levelled(dataset: Dataset) -> None:
    grey = (128, 150, 170)
    put(dataset, scene(100).rotate(-20, Image.Resampling.BICUBIC, fillcolor=grey))
    search(dataset)
    (plain,) = samples(dataset)
    tilted = _tilt(dataset, plain)
    search(dataset, CropGeometry(0.3, level=True))
    (level,) = samples(dataset)
    assert (plain.angle, level.key) == (0, plain.key)
    assert 12 < level.angle < 28
    assert tilted > 12
    assert abs(_tilt(dataset, level)) < tilted / 2
    (line,) = list_records(dataset, "samples", ())
    assert (line["angle"], line["size"]) == (level.angle, min(level.box[2:]))


def _tilt(dataset: Dataset, sample: Sample) -> float:
    """Return the tilt of the face on a crop."""
    (result,) = SPEC.build().detect(crop(dataset, sample).astype(np.uint8))
    return estimate_tilt(result)


def test_small_faces_get_no_sample(dataset: Dataset) -> None:
    image = put(dataset, scene(10, 230))
    search(dataset)
    result = search(dataset, CropGeometry(0.3, min_size=150))
    assert result["too_small"] == 2
    assert dataset.faces.count() == 2
    assert {s.status for s in samples(dataset)} == {"retired"}
    assert search(dataset)["recut"] == 1
    assert {s.status for s in samples(dataset)} == {"queue"}
    assert len(dataset.faces.list_in_image(image)) == 2


def test_killed_recrop_is_repaired(dataset: Dataset) -> None:
    """Returning to the previous settings must not keep crops of the new ones."""
    put(dataset, scene(10))
    search(dataset)
    before = crops(dataset)
    # As after a kill: the crop is overwritten, its row is not.
    DatasetSearch(dataset, SPEC, CropGeometry(1.0))
    dataset.scans.mark_outdated_crops("margin=1")
    for name in before:
        dataset.crop_path(Path(name).stem).write_bytes(b"another cut")
    assert pending_counts(dataset, PLAIN) == (0, 1)
    search(dataset)
    assert crops(dataset) == before
