"""What can be named to be taken down: images, and pictures that only a report is about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curation.removals import plan_removal, remove_images
from curation.web_reports import open_report_store
from gleanset import Box, Dataset, Origin
from gleanset.db.reports import Claim, Reports
from gleanset.errors import UsageError
from gleanset.images.staging import StageBytes

Picture = Callable[..., bytes]
BOX = Box(0, 0, 10, 10)


def reported(dataset: Dataset, data: bytes) -> str:
    """Keep a report about a picture as the server does; the picture's hash."""
    with dataset.stage("reports-in") as scratch:
        store = open_report_store(dataset.root, scratch)
        measured = StageBytes(store)(data)
        with dataset.db.transaction():
            store.publish(measured.sha256, measured.format, measured.bytes)
            Reports(dataset.db).add(Claim(measured.sha256, measured.format, BOX, "mei", "a-run"))
    return measured.sha256


def named(dataset: Dataset, text: str) -> tuple[str, ...]:
    return plan_removal(dataset, [text], [], []).images


def test_a_picture_that_is_only_in_a_report_is_taken_down(
    dataset: Dataset, picture: Picture, tmp_path: Path
) -> None:
    sha256 = reported(dataset, picture(1))
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(picture(1))
    kept = open_report_store(dataset.root, dataset.cache).path(sha256, "JPEG")
    for text in (sha256, sha256.upper(), sha256[:8], str(copy), str(kept)):
        assert named(dataset, text) == (sha256,)
    remove_images(dataset, plan_removal(dataset, [sha256[:8]], [], []), "asked to")
    assert not kept.exists()
    assert Reports(dataset.db).count() == 0
    assert dataset.images.get_tombstone(sha256) == "asked to"
    assert named(dataset, sha256) == (sha256,), "once more does no harm"


def test_what_may_be_two_pictures_is_refused(dataset: Dataset) -> None:
    reports = Reports(dataset.db)
    for end in "12":
        reports.add(Claim("ab12" + end * 60, "JPEG", BOX, "mei", "a-run"))
    for text, message in (
        ("ab12", "several images"),
        ("cd34", "no image"),
        ("nothing", "no image"),
    ):
        with pytest.raises(UsageError, match=message):
            named(dataset, text)
    assert named(dataset, "ab121") == ("ab12" + "1" * 60,)


def test_an_image_with_a_report_is_one_picture(dataset: Dataset, picture: Picture) -> None:
    sha256 = reported(dataset, picture(2))
    with dataset.stage("in") as scratch:
        store = dataset.originals(scratch)
        dataset.take_original(store, StageBytes(store)(picture(2)), Origin("web", "1"))
    assert named(dataset, sha256[:10]) == (sha256,)
