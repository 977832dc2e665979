"""The first groups from nothing: made of nearly all that wait, or of a fair sample, or not yet."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from drawn_faces import FaceSet, drawn_once
from many_faces import copy_of_many

from curation.likeness import grouping
from gleanset import Dataset, Origin
from gleanset.db.journal import Choice
from gleanset.db.quality import QualityMeasures
from gleanset.db.sorting import SortingQueue
from gleanset.db.tracks import Tracks
from gleanset.records import FaceTrack
from labeler.quality.due import VERSION
from labeler.sorting.groups import FEWEST_LATER
from labeler.sorting.measuring import POOL, measured_by_parts
from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.pages import Pages
from labeler.sorting.session import NO_STEP, SortingSession


@pytest.fixture
def unmeasured(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> FaceSet:
    """Seventy faces of five characters, as `facecrop run` leaves them."""
    drawn = drawn_once(tmp_path_factory, 70, classes=5)
    shutil.copytree(drawn.root, tmp_path / "d")
    with Dataset.open(tmp_path / "d") as dataset:
        dataset.db.run("DELETE FROM quality")
    return FaceSet(tmp_path / "d", drawn.truth)


def only(page: ClassPage | None) -> ClassPage:
    assert page is not None
    return page


def people(dataset: Dataset, page: ClassPage, faces: FaceSet) -> list[set[str]]:
    """Who is in each group of an overview."""
    tiles = SortingSession(dataset).tiles.of(page.rows)
    who = [faces.truth[tiles[tile.rows[0]].key] for tile in page.tiles]
    ends = [sum(group.size for group in page.groups[: n + 1]) for n in range(len(page.groups))]
    return [set(who[end - group.size : end]) for end, group in zip(ends, page.groups, strict=True)]


def test_there_are_no_groups_before_nearly_all_are_measured(unmeasured: FaceSet) -> None:
    with Dataset.open(unmeasured.root) as dataset:
        pages = Pages(SortingSession(dataset))
        parts = measured_by_parts(dataset)
        page = only(pages.next())
        for measured in (16, 32, 48):
            assert next(parts) == 16
            assert (page.kind, len(page.tiles), page.groups) == (PageKind.PLAIN, 70, ()), measured
            assert pages.anew(page) is None
            page = only(pages.next())
        assert pages.file(page) == NO_STEP
        sum(parts)
        better = only(pages.anew(page))
        assert better.kind is PageKind.GROUPS
        found = people(dataset, better, unmeasured)
        assert sum(len(group) == 1 for group in found) >= 0.8 * len(found)


def test_what_cannot_be_read_holds_nobody_up(unmeasured: FaceSet) -> None:
    with Dataset.open(unmeasured.root) as dataset:
        pages = Pages(SortingSession(dataset))
        away = sorted((dataset.root / "images").rglob("*.png"))[:20]
        for path in away:
            path.rename(path.with_suffix(".away"))
        shutil.rmtree(dataset.root / "crops")
        sum(measured_by_parts(dataset))
        assert only(pages.next()).kind is PageKind.PLAIN
        pages.all_measured()
        assert only(pages.next()).kind is PageKind.GROUPS
        # Once everybody else is named, they are still there, and no group.
        session = SortingSession(dataset)
        waiting = SortingQueue(dataset.db).of(SortingQueue(dataset.db).waiting(POOL))
        session.file([like.id for like in waiting if like.descriptor], "Miku")
        last = only(pages.next())
        assert (last.kind, len(last.tiles)) == (PageKind.PLAIN, 20)
        for path in away:
            path.with_suffix(".away").rename(path)


def test_of_a_big_set_a_fair_sample_is_measured_first_and_looked_at(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    copy_of_many(tmp_path_factory, 4000, tmp_path / "d")  # in the order of their classes, mostly
    with Dataset.open(tmp_path / "d") as dataset:
        pages = list(QualityMeasures(dataset.db).missing(VERSION, 1000))
        assert sorted(row for page in pages for row in page) == list(range(1, 4001))
        for part in (pages[0], pages[0][:300], SortingQueue(dataset.db).waiting(1000)):
            assert len(part) in (300, 1000)
            quarters = [sum((row - 1) // 1000 == n for row in part) for n in range(4)]
            assert min(quarters) > 0.6 * len(part) / 4, quarters
            together = sum(row + 1 in set(part) for row in part)
            assert together > 0.9 * len(part)


def test_tracks_of_somebody_new_are_asked_about_as_such(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too few for a group of their own among all others; each is like nobody who has a name."""
    monkeypatch.setattr(grouping, "ENOUGH_KNOWN", 20)
    monkeypatch.setattr("labeler.sorting.pages.SURELY", 1.0)  # whatever is proposed
    drawn = drawn_once(tmp_path_factory, 70, classes=5)
    shutil.copytree(drawn.root, tmp_path / "d")
    rarest = min(drawn.names, key=[*drawn.truth.values()].count)
    waits = {key for key, who in drawn.truth.items() if who == rarest}
    with Dataset.open(tmp_path / "d") as dataset:
        with dataset.db.write():
            for number, key in enumerate(drawn.truth):
                scene = Origin("video", key, video="film", scene=number, time=60.0 * number)
                Tracks(dataset.db).add(FaceTrack(f"t{number}", number, number + 1, 3), scene, key)
        choices = [Choice(key, "label", drawn.truth[key]) for key in {*drawn.truth} - waits]
        dataset.journal.step("Label", choices)
        session = SortingSession(dataset)
        page = only(Pages(session).next())
        assert page.kind is PageKind.GROUPS
        assert {tile.key for tile in session.tiles.of(page.rows).values()} <= waits
        assert 3 <= len(page.tiles) < FEWEST_LATER
        monkeypatch.setattr(grouping, "ENOUGH_KNOWN", 70)
        assert only(Pages(session).next()).kind is not PageKind.GROUPS
