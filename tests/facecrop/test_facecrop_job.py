"""The job around a detector: crops, boxes, margins, and what becomes of labels."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecrop.detectors import DetectorSpec
from facecrop.detectors.animeface_library import SELFTEST_FACE, SELFTEST_PICTURE
from facecrop.job import STAGE, find_faces
from gleanset import Box, Dataset, Origin, Sample
from gleanset.db.journal import Choice
from gleanset.images.cut import sample_key, with_margin
from gleanset.images.measure import measure

ROOT = Path(__file__).parents[2]
SIZE = (420, 300)
SPEC = DetectorSpec.of("animeface")
WHOLE = DetectorSpec.of("whole")


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Dataset]:
    with Dataset.create(tmp_path / "dataset") as made:
        yield made


def scene(*lefts: int, size: tuple[int, int] = SIZE, side: int = 160) -> Image.Image:
    """A plain canvas with the test face at these places, 50 pixels from the top."""
    canvas = Image.new("RGB", size, (128, 150, 170))
    with Image.open(SELFTEST_PICTURE) as face:
        small = face.convert("RGB").resize((side, round(side * face.height / face.width)))
    for left in lefts:
        canvas.paste(small, (left, 50))
    return canvas


def face_at(left: int, side: int = 160) -> Box:
    """Where the face is in the pasted picture."""
    with Image.open(SELFTEST_PICTURE) as picture:
        zoom = side / picture.width
    x, y, width, height = (round(n * zoom) for n in SELFTEST_FACE)
    return Box(left + x, 50 + y, width, height)


def near(one: Box, other: Box) -> bool:
    """Whether two boxes share more than 70 % of their area."""
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(across, 0) * max(down, 0)
    return shared > 0.7 * (one.width * one.height + other.width * other.height - shared)


def put(dataset: Dataset, picture: Image.Image, *, orientation: int = 1) -> str:
    """Store a picture as harvesting does; its hash."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", exif=exif)
    measured = measure(buffer.getvalue())
    dataset.originals(dataset.cache).put(measured.sha256, measured.format, buffer.getvalue())
    dataset.images.add(measured, Origin("folder", measured.sha256))
    return measured.sha256


def search(dataset: Dataset, margin: float = 0.3, spec: DetectorSpec = SPEC) -> dict[str, object]:
    return find_faces(dataset, spec, margin, workers=1)


def samples(dataset: Dataset) -> list[Sample]:
    return sorted(dataset.samples.by_key(), key=lambda sample: sample.box)


def crop(dataset: Dataset, sample: Sample) -> np.ndarray:
    with Image.open(dataset.crop_path(sample.key)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_crops_are_named_by_their_sample_and_cut_with_the_margin(empty: Dataset) -> None:
    picture = scene(10, 230)
    image = put(empty, picture)
    nobody = put(empty, scene())
    assert search(empty) == {"images": 2, "faces": 2, "without_face": 1, "rejected": 0}

    found = sorted(empty.faces.each(), key=lambda f: f.face.box)
    assert [f.image for f in found] == [image, image]
    assert all(near(f.face.box, face_at(left)) for f, left in zip(found, (10, 230), strict=True))
    assert empty.faces.scanned() == 2
    assert nobody not in {f.image for f in found}

    cuts = samples(empty)
    assert len(cuts) == 2
    for sample, known in zip(cuts, found, strict=True):
        assert sample.key == sample_key(image, known.face.box)
        assert sample.box == with_margin(known.face.box, 0.3, *SIZE)
        assert (sample.detector, sample.score) == ("animeface", known.face.score)
        assert (sample.status, sample.label) == ("queue", None)
        box = sample.box
        exact = picture.crop((box.x, box.y, box.x + box.width, box.y + box.height))
        assert np.abs(crop(empty, sample) - np.asarray(exact).astype(int)).mean() < 2
    assert len(list((empty.root / "crops").rglob("*.jpg"))) == 2
    assert not list((empty.cache / "scratch").iterdir())


def test_a_second_run_searches_nothing_and_a_new_image_alone(empty: Dataset) -> None:
    put(empty, scene(10))
    put(empty, scene())
    search(empty)
    before = samples(empty)
    assert search(empty) == {"images": 0, "faces": 0, "without_face": 0, "rejected": 0}
    put(empty, scene(100))
    assert search(empty)["images"] == 1
    assert [s for s in samples(empty) if s in before] == before


def test_another_margin_cuts_anew_and_keeps_the_label(empty: Dataset) -> None:
    put(empty, scene(100))
    search(empty)
    (before,) = samples(empty)
    empty.journal.step("Label", [Choice(before.key, "label", "hana")])
    assert search(empty, 0.0)["images"] == 1
    (after,) = samples(empty)
    assert (after.key, after.status, after.label) == (before.key, "labelled", "hana")
    (found,) = empty.faces.each()
    assert after.box == found.face.box
    assert after.phash != before.phash
    assert crop(empty, after).shape == (after.box.height, after.box.width, 3)


def test_a_margin_up_to_the_borders_leaves_no_crop_of_an_earlier_one(empty: Dataset) -> None:
    """What reads samples takes a crop when there is one, so it must not be of another box."""
    put(empty, scene(10, size=(180, 220)))
    search(empty, 0.1)
    (small,) = samples(empty)
    assert empty.crop_path(small.key).is_file()
    search(empty, 3.0)
    (large,) = samples(empty)
    assert (large.key, large.box) == (small.key, Box(0, 0, 180, 220))
    assert not empty.crop_path(large.key).exists()


def test_a_face_that_is_not_found_any_more_is_retired_unless_it_was_decided(
    empty: Dataset,
) -> None:
    put(empty, scene(10, 230))
    search(empty)
    kept, other = samples(empty)
    empty.journal.step("Label", [Choice(kept.key, "label", "hana")])
    strict = DetectorSpec.of("animeface", threshold=1)
    assert search(empty, spec=strict) == {
        "images": 1, "faces": 0, "without_face": 1, "rejected": 0,
    }  # fmt: skip
    assert [(s.key, s.status, s.label) for s in samples(empty)] == [
        (kept.key, "labelled", "hana"), (other.key, "retired", None),
    ]  # fmt: skip
    search(empty)
    assert [(s.key, s.status) for s in samples(empty)] == [
        (kept.key, "labelled"), (other.key, "queue"),
    ]  # fmt: skip


def test_a_rejected_face_stays_rejected(empty: Dataset) -> None:
    put(empty, scene(100))
    search(empty)
    (sample,) = samples(empty)
    empty.journal.step("Reject", [Choice(sample.key, "reject")])
    search(empty, 0.5)
    assert [s.status for s in samples(empty)] == ["rejected"]


def test_a_lost_original_is_a_rejection_and_the_run_goes_on(empty: Dataset) -> None:
    lost = put(empty, scene(10))
    put(empty, scene(100))
    path = empty.image_path(lost, "PNG")
    data = path.read_bytes()
    path.unlink()
    assert search(empty) == {"images": 2, "faces": 1, "without_face": 0, "rejected": 1}
    (rejection,) = empty.rejections.each()
    assert (rejection.stage, rejection.what, rejection.reason) == (STAGE, lost, "file is gone")

    path.write_bytes(data)
    assert search(empty) == {"images": 1, "faces": 1, "without_face": 0, "rejected": 0}
    assert list(empty.rejections.each()) == []


def test_a_damaged_original_is_not_tried_for_ever(empty: Dataset) -> None:
    damaged = put(empty, scene(10))
    empty.image_path(damaged, "PNG").write_bytes(b"nothing like a picture")
    assert search(empty)["rejected"] == 1
    assert [(r.what, r.reason) for r in empty.rejections.each()] == [(damaged, "not an image")]
    assert search(empty)["images"] == 0


def test_whole_takes_every_picture_as_it_is_and_copies_nothing(empty: Dataset) -> None:
    put(empty, scene(10))
    put(empty, scene(size=(50, 70)))
    assert search(empty, spec=WHOLE) == {
        "images": 2, "faces": 2, "without_face": 0, "rejected": 0,
    }  # fmt: skip
    assert [s.box for s in samples(empty)] == [Box(0, 0, 50, 70), Box(0, 0, *SIZE)]
    assert not (empty.root / "crops").exists()


def test_another_detector_takes_the_place_of_the_first(empty: Dataset) -> None:
    put(empty, scene(100))
    search(empty)
    first = {s.key for s in samples(empty)}
    search(empty, spec=WHOLE)
    assert [s.detector for s in samples(empty) if s.status == "queue"] == ["whole"]
    assert {found.face.detector for found in empty.faces.each()} == {"whole"}
    search(empty)
    assert {s.key for s in samples(empty) if s.status == "queue"} == first


def test_undoing_a_label_of_a_face_no_longer_found_retires_it(empty: Dataset) -> None:
    put(empty, scene(100))
    search(empty)
    [sample] = samples(empty)
    empty.journal.step("by hand", [Choice(sample.key, "label", "hana")])
    search(empty, spec=WHOLE)
    empty.journal.undo()
    assert {s.key: s.status for s in samples(empty)}[sample.key] == "retired"


@pytest.mark.parametrize("orientation", [3, 6])
def test_boxes_are_those_of_the_upright_picture(empty: Dataset, orientation: int) -> None:
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    upright = scene(100)
    image = put(empty, upright.transpose(turn), orientation=orientation)
    stored = empty.images.get(image)
    assert stored is not None
    assert (stored.width, stored.height, stored.orientation) == (*SIZE, orientation)
    search(empty)
    (found,) = empty.faces.each()
    assert near(found.face.box, face_at(100))
    (sample,) = samples(empty)
    box = sample.box
    exact = upright.crop((box.x, box.y, box.x + box.width, box.y + box.height))
    assert np.abs(crop(empty, sample) - np.asarray(exact).astype(int)).mean() < 2


def test_the_command_takes_what_is_not_given_from_the_dataset(
    empty: Dataset, tmp_path: Path
) -> None:
    put(empty, scene(100))
    (empty.root / "dataset.toml").write_text('[crop]\nmargin = 0.0\ndetector = "whole"\n')

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from facecrop.cli import main; main()", "run"]
        return subprocess.run(
            [*command, "--workers", "1", "--json", "-d", str(empty.root), *words],
            env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(tmp_path)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert json.loads(run("--simulate").stdout) == {"would_search": 1}
    assert empty.faces.scanned() == 0
    found = json.loads(run("--detector", "animeface").stdout)
    assert found == {"images": 1, "faces": 1, "without_face": 0, "rejected": 0}
    (face,) = empty.faces.each()
    assert samples(empty)[0].box == face.face.box
    assert json.loads(run().stdout)["images"] == 1
    assert {s.detector for s in samples(empty)} == {"animeface", "whole"}
    assert json.loads(run("-s").stdout) == {"would_search": 0}
    (empty.root / "dataset.toml").write_text("[crop]\nthreshold = 1.0\nmargin = 0.0\n")
    assert json.loads(run("--detector", "whole", "-s").stdout) == {"would_search": 0}
    assert json.loads(run().stdout)["without_face"] == 1
    wrong = run("--detector", "animefaec")
    assert wrong.returncode == 2
    assert "did you mean 'animeface'" in wrong.stderr
