"""Searching a dataset: crops, labels after another search, crops made again, crashes."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crashing_detector import ALWAYS, ONCE, CrashingSpec
from facecrop_scenes import SIZE, crop, face_at, near, paste, put, samples, scene
from PIL import Image
from tools_for_tests import Ran, run_here

from facecrop.detectors import DetectorSpec
from facecrop.request import suggest_whole_images
from facecrop.search import STAGE, DatasetSearch, find_faces
from gleanset import Box, Dataset, Face, Sample
from gleanset.db.journal import Choice
from gleanset.images.cropping import (
    estimate_tilt,
    expand_box_within,
    make_sample_key,
)
from gleanset.settings import CropGeometry
from gleanset.work.pool import run_batches
from pipeline.listing import list_records
from pipeline.maintenance.removals import RemovalPlan, remove_images

SPEC = DetectorSpec.create("animeface")
WHOLE = DetectorSpec.create("whole")
STRICT = DetectorSpec.create("animeface", threshold=1)
PLAIN = CropGeometry(0.3)


def search(
    dataset: Dataset, geometry: CropGeometry = PLAIN, spec: DetectorSpec = SPEC
) -> dict[str, Any]:
    return find_faces(dataset, spec, geometry, workers=1).to_json()


def counts(**expected: object) -> dict[str, object]:
    """Return the counts of a run; those not given are 0."""
    return {
        "images": 0,
        "faces": 0,
        "without_face": 0,
        "recut": 0,
        "rejected": 0,
        **expected,
    }


def test_crops_have_sample_name_and_margin(dataset: Dataset) -> None:
    pasted = scene(10, 230)
    image = put(dataset, pasted)
    empty_image = put(dataset, scene())
    assert search(dataset) == counts(images=2, faces=2, without_face=1)

    result = sorted(dataset.faces.iterate(), key=lambda f: f.face.box)
    assert [f.image for f in result] == [image, image]
    assert all(
        near(f.face.box, face_at(left))
        for f, left in zip(result, (10, 230), strict=True)
    )
    assert dataset.db.fetch_int("SELECT count(DISTINCT image) FROM scan") == 2
    assert empty_image not in {f.image for f in result}

    cuts = samples(dataset)
    assert len(cuts) == 2
    for sample, stored_face in zip(cuts, result, strict=True):
        assert sample.key == make_sample_key(image, stored_face.face.box)
        assert sample.box == expand_box_within(stored_face.face.box, 0.3, *SIZE)
        assert (sample.detector, sample.score) == ("animeface", stored_face.face.score)
        assert (sample.status, sample.label) == ("queue", None)
        box = sample.box
        exact = pasted.crop((box.x, box.y, box.x + box.width, box.y + box.height))
        assert np.abs(crop(dataset, sample) - np.asarray(exact).astype(int)).mean() < 2
    assert len(list((dataset.root / "crops").rglob("*.jpg"))) == 2
    assert not list((dataset.cache / "scratch").iterdir())


def test_new_option_searches_unseen_images_only(dataset: Dataset) -> None:
    """A new search would replace whole-image samples by faces."""
    searched, imported, undone = (put(dataset, scene(left)) for left in (10, 100, 200))
    search(dataset, spec=WHOLE)
    for image in (imported, undone):
        (sample,) = (
            candidate for candidate in samples(dataset) if candidate.image == image
        )
        dataset.db.execute(
            "DELETE FROM scan WHERE image=(SELECT id FROM image WHERE sha256=?)",
            (image,),
        )
        if image == undone:
            dataset.db.execute(
                "UPDATE sample SET status='retired' WHERE key=?", (sample.key,)
            )
    fresh = put(dataset, scene(50))
    assert (
        DatasetSearch(
            dataset, SPEC, CropGeometry(), finished_searches=None
        ).count_to_search()
        == 2
    )
    result = find_faces(
        dataset, SPEC, CropGeometry(), finished_searches=None, workers=1
    ).to_json()
    assert result == counts(images=2, faces=2)
    of = {
        sample.image: sample.detector
        for sample in samples(dataset)
        if sample.status == "queue"
    }
    assert of == {
        searched: "whole",
        imported: "whole",
        undone: "animeface",
        fresh: "animeface",
    }
    again = find_faces(dataset, SPEC, CropGeometry(), finished_searches=None)
    assert again.to_json() == counts()


def test_image_removed_during_search_leaves_no_crop(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = put(dataset, scene(10))
    other = put(dataset, scene(100))

    def batches(*arguments: Any) -> Iterator[Any]:
        for number, batch in enumerate(run_batches(*arguments)):
            if number == 0:
                remove_images(dataset, RemovalPlan((image,), 0, 0, ()), "asked to")
            yield batch

    monkeypatch.setattr("facecrop.search.run_batches", batches)
    assert search(dataset) == counts(images=1, faces=1)
    (sample,) = samples(dataset)
    assert sample.image == other
    assert [path.stem for path in (dataset.root / "crops").rglob("*.jpg")] == [
        sample.key
    ]


def test_margin_to_borders_removes_old_crop(dataset: Dataset) -> None:
    """Readers prefer a crop file, so an outdated one must not exist."""
    put(dataset, scene(10, size=(180, 220)))
    search(dataset, CropGeometry(0.1))
    (small,) = samples(dataset)
    assert dataset.crop_path(small.key).is_file()
    search(dataset, CropGeometry(3.0))
    (large,) = samples(dataset)
    assert (large.key, large.box) == (small.key, Box(0, 0, 180, 220))
    assert not dataset.crop_path(large.key).exists()


def test_lost_face_is_retired_unless_decided(dataset: Dataset) -> None:
    put(dataset, scene(10, 230))
    search(dataset)
    labelled, other = samples(dataset)
    dataset.journal.apply("Label", [Choice(labelled.key, "label", "hana")])
    assert search(dataset, spec=STRICT) == counts(images=1, without_face=1, retired=1)
    assert [(s.key, s.status, s.label) for s in samples(dataset)] == [
        (labelled.key, "labelled", "hana"),
        (other.key, "retired", None),
    ]
    search(dataset)
    assert [(s.key, s.status) for s in samples(dataset)] == [
        (labelled.key, "labelled"),
        (other.key, "queue"),
    ]


def test_missing_original_is_a_rejection(dataset: Dataset) -> None:
    lost = put(dataset, scene(10))
    put(dataset, scene(100))
    path = dataset.image_path(lost, "PNG")
    data = path.read_bytes()
    path.unlink()
    assert search(dataset) == counts(
        images=2, faces=1, rejected=1, reasons={"file is gone": 1}
    )
    (rejection,) = dataset.rejections.iterate()
    assert (rejection.stage, rejection.item, rejection.reason) == (
        STAGE,
        lost,
        "file is gone",
    )
    path.mkdir()
    assert search(dataset)["reasons"] == {"cannot be read": 1}
    path.rmdir()
    path.write_bytes(data)
    assert search(dataset) == counts(images=1, faces=1)
    assert list(dataset.rejections.iterate()) == []


def test_damaged_original_is_tried_once(dataset: Dataset) -> None:
    damaged = put(dataset, scene(10))
    dataset.image_path(damaged, "PNG").write_bytes(b"nothing like a picture")
    assert search(dataset)["rejected"] == 1
    assert [(r.item, r.reason) for r in dataset.rejections.iterate()] == [
        (damaged, "not an image")
    ]
    assert search(dataset)["images"] == 0


def test_face_crops_suggest_whole_detector(dataset: Dataset) -> None:
    for number in range(9):
        put(dataset, scene(30, size=(240, 240 + number)))
    search(dataset)
    assert suggest_whole_images(dataset) is None, "each image has a face"
    put(dataset, scene(size=(200, 200)))
    ran = run_here(
        "facecrop.cli", "run", "--detector", "animeface", "-d", dataset.root, "-j"
    )
    assert ran.json["next"] == f"facecrop run --detector whole -d {dataset.root}"
    assert "no confident face in 1 of 10 images" in ran.stderr
    assert "face crops already" in ran.stderr
    result = run_here("pipeline.cli", "status", "-d", dataset.root, "-j")
    assert result.json["next"] == ran.json["next"], "status suggests the same"
    for _ in range(2):  # scenes: a small face in a large image
        put(dataset, scene(10, size=(1000, 700 + dataset.images.count())))
    search(dataset)
    assert suggest_whole_images(dataset) is None


def test_unconfident_faces_still_suggest_whole_detector(dataset: Dataset) -> None:
    """drawnface finds unconfident faces in a third of pet photos."""
    image = put(dataset, scene(size=(600, 600)))
    for score, hint in ((0.38, True), (0.5, False)):
        face = Face("drawnface", Box(10, 10, 90, 90), score)
        dataset.faces.replace(image, "drawnface", "", [], small=[face])
        assert (suggest_whole_images(dataset) is not None) == hint


@pytest.mark.parametrize("orientation", [3, 6])
def test_boxes_are_in_upright_image(dataset: Dataset, orientation: int) -> None:
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    upright = scene(100)
    image = put(dataset, upright.transpose(turn), orientation=orientation)
    stored = dataset.images.get(image)
    assert (stored.width, stored.height, stored.orientation) == (*SIZE, orientation)
    search(dataset)
    (result,) = dataset.faces.iterate()
    assert near(result.face.box, face_at(100))
    (sample,) = samples(dataset)
    box = sample.box
    exact = upright.crop((box.x, box.y, box.x + box.width, box.y + box.height))
    assert np.abs(crop(dataset, sample) - np.asarray(exact).astype(int)).mean() < 2


@pytest.mark.slow
def test_command_defaults_to_dataset_settings(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(dataset, scene(100))
    (dataset.root / "dataset.toml").write_text(
        '[crop]\nmargin = 0.0\ndetector = "whole"\n'
    )

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def run(*words: str) -> Ran:
        line = ("run", "--workers", "1", "--json", "-d", dataset.root, *words)
        return run_here("facecrop.cli", *line)

    assert json.loads(run("--simulate").stdout) == {"would_search": 1, "would_recut": 0}
    assert dataset.db.fetch_int("SELECT count(DISTINCT image) FROM scan") == 0
    results = json.loads(run("--detector", "animeface").stdout)
    assert results == counts(images=1, faces=1)
    (face,) = dataset.faces.iterate()
    assert samples(dataset)[0].box == face.face.box
    assert json.loads(run().stdout)["images"] == 1
    assert {s.detector for s in samples(dataset)} == {"animeface", "whole"}
    assert json.loads(run("-s").stdout) == {"would_search": 0, "would_recut": 0}
    assert json.loads(run("-s", "--square").stdout) == {
        "would_search": 0,
        "would_recut": 1,
    }
    (dataset.root / "dataset.toml").write_text(
        '[crop]\ndetector = "animeface"\nthreshold = 1.0\nmargin = 0.0\n'
    )
    assert json.loads(run("--detector", "whole", "-s").stdout)["would_search"] == 0
    assert json.loads(run().stdout)["without_face"] == 1
    results = json.loads(run().stdout)
    result = run().stderr
    assert results["next"].startswith("facecrop run --detector whole -d ")
    assert "confident faces in 0 of 1 images" in result
    put(dataset, scene(101))
    whole = ("run", "--detector", "whole", "-d", dataset.root)
    assert run_here("facecrop.cli", *whole).stdout == "images: 2, whole images: 2\n"
    assert "next" not in json.loads(run("--detector", "whole").stdout)
    run("--detector", "animefaec").refused(2, "did you mean 'animeface'")


@pytest.mark.slow
def test_huge_images_are_cropped_in_full_resolution(dataset: Dataset) -> None:
    """They are searched at a smaller scale or in tiles."""
    places = {(3000, 4000): ((1700, 900),), (4500, 1000): ((300, 400), (3900, 500))}
    for size, faces in places.items():
        put(dataset, paste(size, *((left, 50, side) for left, side in faces)))
    assert search(dataset) == counts(images=2, faces=3)
    expected = sorted(
        face_at(left, side) for faces in places.values() for left, side in faces
    )
    result = sorted(result.face.box for result in dataset.faces.iterate())
    assert all(
        near(box, expected_box)
        for box, expected_box in zip(result, expected, strict=True)
    )
    for sample in samples(dataset):
        assert crop(dataset, sample).shape[:2] == (sample.box.height, sample.box.width)


def crops(dataset: Dataset) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in (dataset.root / "crops").rglob("*.jpg")
    }


def pending_counts(
    dataset: Dataset, geometry: CropGeometry, spec: DetectorSpec = SPEC
) -> tuple[int, int]:
    result = DatasetSearch(dataset, spec, geometry)
    return result.count_to_search(), result.count_to_crop()


@pytest.mark.slow
def test_missing_crops_are_recreated_identically(dataset: Dataset) -> None:
    """Also those of decided samples that the detector no longer finds."""
    for lefts in ((10, 230), (60,), ()):
        put(dataset, scene(*lefts))
    search(dataset)
    decided, *_ = samples(dataset)
    dataset.journal.apply("Label", [Choice(decided.key, "label", "hana")])
    search(dataset, spec=STRICT)
    assert sorted(s.status for s in samples(dataset)) == [
        "labelled",
        "retired",
        "retired",
    ]
    before = crops(dataset)
    rows = samples(dataset)
    assert (len(before), pending_counts(dataset, PLAIN, STRICT)) == (3, (0, 0))
    shutil.rmtree(dataset.root / "crops")
    assert pending_counts(dataset, PLAIN, STRICT) == (0, 2)
    result = find_faces(dataset, STRICT, PLAIN, workers=1)
    assert (result.images, result.recut) == (0, 2)
    assert result.lines() == ["images: 0, cropped again: 2"]
    assert (crops(dataset), samples(dataset)) == (before, rows)
    dataset.crop_path(decided.key).unlink()
    assert (search(dataset, spec=STRICT)["recut"], crops(dataset)) == (1, before)


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
    assert {(s.key, s.label) for s in after} == {
        (decided.key, "hana"),
        (other.key, None),
    }
    for sample in after:
        assert sample.box.width == sample.box.height > 390
        assert crop(dataset, sample).shape[:2] == (sample.box.height, sample.box.width)
        assert min(sample.box) < 0
    # A decided face that is no longer found is cropped like all others.
    search(dataset, wide, STRICT)
    search(dataset, PLAIN, STRICT)
    (labelled,) = (s for s in samples(dataset) if s.status == "labelled")
    assert (labelled.box, dataset.faces.count()) == (decided.box, 0)
    assert list(dataset.faces.iterate()) == []
    assert [face.kind for face in dataset.faces.list_in_image(labelled.image)] == [
        "gone"
    ]
    assert pending_counts(dataset, PLAIN, STRICT) == (0, 0)
    search(dataset)
    assert {face.kind for face in dataset.faces.list_in_image(labelled.image)} == {
        "found"
    }


def test_tilted_face_is_levelled(dataset: Dataset) -> None:
    put(
        dataset,
        scene(100).rotate(-20, Image.Resampling.BICUBIC, fillcolor=(128, 150, 170)),
    )
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
    assert (result["too_small"], dataset.faces.count()) == (2, 2)
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
    result = find_faces(dataset, spec, CropGeometry(0.3), workers=2).to_json()
    assert result == counts(images=5, faces=4, rejected=1, reasons={"crashed": 1})
    assert {s.image for s in samples(dataset)} == {*images} - {images[3]}
    assert [(r.item, r.reason) for r in dataset.rejections.iterate()] == [
        (images[3], "crashed")
    ]
    again = find_faces(dataset, spec, CropGeometry(0.3), workers=1)
    assert (again.images, again.rejected) == (1, 1), (
        "a rejected image is retried by the next run"
    )
