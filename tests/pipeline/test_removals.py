"""Removal by hash, prefix or file: images, and images that only a report has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curation.web_reports import open_report_store
from gleanset import Box, Dataset, Origin
from gleanset.db.reports import Claim, Reports
from gleanset.errors import UsageError
from gleanset.images.staging import StageBytes
from pipeline.maintenance.removals import plan_removal, remove_images

Picture = Callable[..., bytes]
BOX = Box(0, 0, 10, 10)


def reported(dataset: Dataset, data: bytes) -> str:
    """Store a report about an image as the server does; return the image's hash."""
    with dataset.stage("reports-in") as scratch:
        store = open_report_store(dataset.root, scratch)
        measured = StageBytes(store)(data)
        with dataset.db.transaction():
            store.publish(measured.sha256, measured.format, measured.bytes)
            Reports(dataset.db).add(Claim(measured.sha256, measured.format, BOX, "mei", "a-run"))
    return measured.sha256


def resolve_images(dataset: Dataset, text: str) -> tuple[str, ...]:
    return plan_removal(dataset, [text], [], []).images


def test_image_only_in_report_is_removed(
    dataset: Dataset, picture: Picture, tmp_path: Path
) -> None:
    sha256 = reported(dataset, picture(1))
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(picture(1))
    stored = open_report_store(dataset.root, dataset.cache).path(sha256, "JPEG")
    for text in (sha256, sha256.upper(), sha256[:8], str(copy), str(stored)):
        assert resolve_images(dataset, text) == (sha256,)
    remove_images(dataset, plan_removal(dataset, [sha256[:8]], [], []), "asked to")
    assert not stored.exists()
    assert Reports(dataset.db).count() == 0
    assert dataset.images.get_tombstone(sha256) == "asked to"
    assert resolve_images(dataset, sha256) == (sha256,), "repeating is harmless"


def test_ambiguous_hash_prefix_raises_error(dataset: Dataset) -> None:
    reports = Reports(dataset.db)
    for end in "12":
        reports.add(Claim("ab12" + end * 60, "JPEG", BOX, "mei", "a-run"))
    for text, message in (
        ("ab12", "several images"),
        ("cd34", "no image"),
        ("nothing", "no image"),
    ):
        with pytest.raises(UsageError, match=message):
            resolve_images(dataset, text)
    assert resolve_images(dataset, "ab121") == ("ab12" + "1" * 60,)


def test_image_with_report_is_one_match(dataset: Dataset, picture: Picture) -> None:
    sha256 = reported(dataset, picture(2))
    with dataset.stage("in") as scratch:
        store = dataset.originals(scratch)
        dataset.take_original(store, StageBytes(store)(picture(2)), Origin("web", "1"))
    assert resolve_images(dataset, sha256[:10]) == (sha256,)
