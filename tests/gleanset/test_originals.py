"""Stored pictures and their rows come and go together, whoever else is at work on the dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curation.take_downs import TakeDown, take_down
from gleanset import Dataset, Origin
from gleanset.errors import Unreadable
from gleanset.files.store import Store
from gleanset.images.staging import StageBytes
from gleanset.records import Measured
from gleanset.work.progress import Progress
from pipeline.maintenance.gc import collect
from pipeline.maintenance.verify import verify


class Harvest:
    """One run of a stage with a connection of its own, as another process has it."""

    def __init__(self, root: Path, name: str) -> None:
        self.dataset = Dataset.open(root)
        self._name = name
        self._stage = self.dataset.stage(name)
        self.store: Store = self.dataset.originals(self._stage.__enter__())

    def stage(self, data: bytes) -> Measured:
        return StageBytes(self.store)(data)

    def record(self, measured: Measured) -> bool:
        return self.dataset.take_original(self.store, measured, Origin("test", self._name))

    def end(self) -> None:
        self._stage.__exit__(None, None, None)
        self.dataset.close()


@pytest.fixture
def runs(dataset: Dataset) -> Iterator[tuple[Harvest, Harvest]]:
    both = Harvest(dataset.root, "one"), Harvest(dataset.root, "other")
    yield both
    for run in both:
        run.end()


def is_sound(dataset: Dataset, images: int) -> bool:
    found = verify(dataset, repair=False, progress=Progress())
    return (found["images"], found["sound"], found["strays"]) == (images, images, 0)


def test_what_one_run_drops_another_still_records(
    dataset: Dataset, runs: tuple[Harvest, Harvest], picture: Callable[..., bytes]
) -> None:
    one, other = runs
    data = picture(1)
    measured = one.stage(data)
    other.stage(data)
    one.store.discard(measured.sha256, measured.format)
    assert collect(dataset, 0.0, simulate=False)["removed"] == 0
    assert other.record(measured)
    assert is_sound(dataset, 1)


def test_the_same_picture_of_two_runs_is_stored_once(
    dataset: Dataset, runs: tuple[Harvest, Harvest], picture: Callable[..., bytes]
) -> None:
    one, other = runs
    measured = [run.stage(picture(1)) for run in (one, other, one)]
    assert [run.record(measured[0]) for run in (one, other, one)] == [True, False, False]
    assert is_sound(dataset, 1)
    assert not any(list(run.store.scratch.iterdir()) for run in runs)


def test_a_picture_that_is_taken_down_while_it_is_fetched_leaves_no_file(
    dataset: Dataset, runs: tuple[Harvest, Harvest], picture: Callable[..., bytes]
) -> None:
    one, other = runs
    measured = one.stage(picture(1))
    one.record(measured)
    other.stage(picture(1))
    take_down(dataset, TakeDown((measured.sha256,), 0), "asked to")
    with pytest.raises(Unreadable, match="forgotten"):
        other.record(measured)
    assert is_sound(dataset, 0)
    assert not list(dataset.root.rglob(f"{measured.sha256}*"))


def test_a_stray_that_gets_its_row_while_gc_looks_is_kept(
    dataset: Dataset, runs: tuple[Harvest, Harvest], picture: Callable[..., bytes]
) -> None:
    one, _ = runs
    measured = one.stage(picture(1))
    # As a run leaves it that was killed between the file and its row.
    one.store.publish(measured.sha256, measured.format, measured.bytes)
    one.stage(picture(1))
    assert collect(dataset, 0.0, simulate=False)["removed"] == 1
    assert one.record(measured)
    assert collect(dataset, 0.0, simulate=False)["removed"] == 0
    assert is_sound(dataset, 1)


def test_a_staged_file_that_is_gone_is_a_rejection(
    dataset: Dataset, runs: tuple[Harvest, Harvest], picture: Callable[..., bytes]
) -> None:
    one, _ = runs
    measured = one.stage(picture(1))
    one.store.discard(measured.sha256, measured.format)
    with pytest.raises(Unreadable, match="cannot be read"):
        one.record(measured)
    assert dataset.images.count() == 0


def test_folders_are_synced_once_and_before_the_rows_can_be_seen(
    dataset: Dataset,
    runs: tuple[Harvest, Harvest],
    picture: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, _ = runs
    synced: list[Path] = []

    def sync(folder: Path) -> None:
        # What is renamed is there, and nobody knows of it yet.
        with Dataset.open(dataset.root) as looker:
            assert looker.images.count() == 0
        assert list(folder.iterdir())
        synced.append(folder)

    monkeypatch.setattr("gleanset.files.store.sync_folder", sync)
    measured = [one.stage(picture(number)) for number in range(12)]
    with one.dataset.publishing(one.store):
        for picture_taken in measured:
            one.record(picture_taken)
        assert synced == []
    paths = [dataset.image_path(m.sha256, m.format) for m in measured]
    assert sorted(synced) == sorted({path.parent for path in paths})
    assert all(path.is_file() for path in paths)
    assert dataset.images.count() == 12
