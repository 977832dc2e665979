"""Boxes drawn by hand: they become samples, survive detectors, and can be undone."""

import os
from pathlib import Path
from typing import Any

import pytest
from facecrop_scenes import face_at, put, samples, scene

from facecrop.detectors import DetectorSpec
from facecrop.search import find_faces
from gleanset import Box, Dataset
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, UsageError
from gleanset.records import Rejection
from gleanset.settings import CropGeometry
from labeler.cropping import put_box, remove_box
from pipeline.listing import list_records

WHOLE = DetectorSpec.create("whole")
ANIMEFACE = DetectorSpec.create("animeface")
BOX = Box(20, 30, 60, 50)


def search(
    dataset: Dataset, spec: DetectorSpec = WHOLE, margin: float = 0.5
) -> dict[str, Any]:
    return find_faces(dataset, spec, CropGeometry(margin), workers=1).to_json()


def states(dataset: Dataset) -> dict[str, tuple[str, str | None]]:
    return {s.key: (s.status, s.label) for s in dataset.samples.iter_by_key()}


def test_box_becomes_face_and_sample(dataset: Dataset) -> None:
    image = put(dataset, scene())
    search(dataset)
    first = put_box(dataset, image, BOX).key
    put_box(dataset, image, Box(350, 250, 100, 100))
    sample = dataset.samples.get(first)
    assert (sample.detector, sample.status, sample.box) == (
        "hand",
        "queue",
        Box(0, 5, 110, 100),
    )
    assert dataset.crop_path(first).is_file()
    by_hand = [f.face for f in dataset.faces.iterate() if f.face.detector == "hand"]
    assert [f.box for f in by_hand] == [BOX, Box(350, 250, 70, 50)], (
        "clamped to the image"
    )
    assert [d.action for d in dataset.journal.iterate()] == ["add", "add"]


def test_box_survives_later_detection(dataset: Dataset) -> None:
    image = put(dataset, scene(10, 230))
    over_a_face = face_at(12)._replace(width=80)
    boxes = (over_a_face, Box(150, 220, 50, 50))
    mine, other = (put_box(dataset, image, box).key for box in boxes)
    result = search(dataset, ANIMEFACE)
    assert result["faces"] == 1, "the left face has a box already"
    assert dataset.faces.count() == 3
    dataset.journal.apply("Label", [Choice(mine, "label", "hana")])
    search(dataset)
    search(dataset, margin=0.1)
    assert {key: states(dataset)[key] for key in (mine, other)} == {
        mine: ("labelled", "hana"),
        other: ("queue", None),
    }
    assert dataset.samples.get(other).box == Box(145, 215, 60, 60), (
        "the new margin applies"
    )


def test_box_is_removed_undone_and_restored(dataset: Dataset) -> None:
    image = put(dataset, scene())
    search(dataset, ANIMEFACE)
    key = put_box(dataset, image, BOX).key
    assert list(list_records(dataset, "missed", ())) == []
    dataset.journal.undo()
    assert (states(dataset), dataset.faces.count()) == ({key: ("retired", None)}, 0)
    assert [line["image"] for line in list_records(dataset, "missed", ())] == [image]
    dataset.journal.undo(dataset.db.fetch_int("SELECT max(id) FROM step"))
    assert states(dataset) == {key: ("queue", None)}
    dataset.journal.apply("Label", [Choice(key, "label", "hana")])
    remove_box(dataset, key)
    assert states(dataset) == {key: ("retired", None)}
    dataset.journal.undo()
    assert states(dataset) == {key: ("labelled", "hana")}
    remove_box(dataset, key)
    search(dataset, ANIMEFACE, margin=0.2)
    assert states(dataset) == {key: ("retired", None)}, (
        "a detection does not restore it"
    )
    put_box(dataset, image, BOX)
    assert states(dataset) == {key: ("queue", None)}
    assert next(list_records(dataset, "faces", ()))["box"] == BOX


def test_removed_detection_is_rejected(dataset: Dataset) -> None:
    put(dataset, scene())
    search(dataset)
    (sample,) = samples(dataset)
    remove_box(dataset, sample.key)
    assert states(dataset) == {sample.key: ("rejected", None)}
    with pytest.raises(UsageError, match="was deleted"):
        remove_box(dataset, "nothing")


def test_faceless_images_exclude_unreadable_ones(dataset: Dataset) -> None:
    images = [put(dataset, scene(size=(100 + n, 80))) for n in range(4)]
    unsearched = put(dataset, scene(size=(90, 80)))
    for image in images:
        dataset.faces.replace(image, "test", "", [])
    dataset.faces.record_failure(
        images[1], "test", "", Rejection("facecrop", images[1], "truncated")
    )
    put_box(dataset, images[2], BOX)
    result = list(list_records(dataset, "missed", ()))
    assert [line["image"] for line in result] == sorted((images[0], images[3]))
    assert unsearched not in {line["image"] for line in result}
    for line in result:
        assert Path(str(line["file"])).is_file()


def test_box_outside_image_is_rejected(dataset: Dataset) -> None:
    image = put(dataset, scene(size=(100, 80)))
    with pytest.raises(UsageError, match=r"outside the image\n.*100 x 80"):
        put_box(dataset, image, Box(100, 0, 5, 5))
    assert dataset.samples.count() == 0
    dataset.image_path(image, "PNG").write_bytes(b"broken")
    with pytest.raises(InputUnusable, match="cannot be read"):
        put_box(dataset, image, BOX)
    assert dataset.samples.count() == 0


@pytest.mark.damages("an image row has no file")
def test_image_is_resolved_by_hash_prefix_or_file(
    dataset: Dataset, tmp_path: Path
) -> None:
    image = put(dataset, scene(size=(100, 80)))
    other = put(dataset, scene(size=(101, 80)))
    stored = dataset.image_path(image, "PNG")
    copy = tmp_path / "-a copy\n.png"
    copy.write_bytes(stored.read_bytes())
    for text in (
        image,
        image[:12],
        image[:12].upper(),
        str(stored),
        str(copy),
        os.path.relpath(stored),
    ):
        assert dataset.images.resolve(text).sha256 == image
    recorded_path = str(tmp_path / "was" / "here.jpg")
    with dataset.db.transaction():
        dataset.db.execute(
            "UPDATE origin SET path=? WHERE key=?", (recorded_path, other)
        )
    assert dataset.images.resolve(recorded_path).sha256 == other
    stored.unlink()
    assert dataset.images.resolve(str(stored)).sha256 == image, (
        "its file is missing, not its row"
    )
    for text in ("", "zz", "0" * 64, str(tmp_path), "no/such.png", "a\0b", image[:3]):
        with pytest.raises(UsageError, match="there is no image"):
            dataset.images.resolve(text)
    with dataset.db.transaction():
        dataset.db.execute(
            "UPDATE image SET sha256=? WHERE sha256=?", (image[:20] + "0" * 44, other)
        )
    with pytest.raises(UsageError, match="several images"):
        dataset.images.resolve(image[:20])
