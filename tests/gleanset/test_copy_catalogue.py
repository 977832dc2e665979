"""A catalogue is copied as it is now, and nothing is written beside it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from catalogue_rows import add_image

from gleanset import Dataset
from gleanset.db import connection as module
from gleanset.db.connection import Connection, copy_catalogue
from gleanset.db.schema import SCHEMA
from gleanset.errors import CatalogueCorrupt, DatasetBusy, DatasetNewer


def files(folder: Path) -> dict[str, bytes]:
    """All but the index of a log, in which readers note where they read."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix != ".toml" and not path.name.endswith("-shm")
    }


def images(copy: Path) -> int:
    db = Connection(copy)
    counted = db.number("SELECT count(*) FROM image")
    db.close()
    return counted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with Dataset.create(tmp_path / "other") as other:
        add_image(other, 1)
    return tmp_path / "other"


def test_a_closed_catalogue_stays_without_a_log_beside_it(root: Path, tmp_path: Path) -> None:
    before = files(root)
    copy_catalogue(root / "catalog.sqlite", tmp_path / "copy.sqlite")
    assert images(tmp_path / "copy.sqlite") == 1
    assert files(root) == before
    assert sorted(path.name for path in root.iterdir()) == ["catalog.sqlite", "dataset.toml"]


def test_what_is_only_in_the_log_of_an_open_catalogue_is_copied(root: Path, tmp_path: Path) -> None:
    with Dataset.open(root) as writing:
        add_image(writing, 2)
        before = files(root)
        assert before["catalog.sqlite-wal"]
        copy_catalogue(root / "catalog.sqlite", tmp_path / "copy.sqlite")
        assert files(root) == before
    assert images(tmp_path / "copy.sqlite") == 2


@pytest.mark.parametrize("index", [True, False])
def test_what_a_killed_program_left_in_the_log_is_copied(
    root: Path, tmp_path: Path, index: bool
) -> None:
    with Dataset.open(root) as writing:
        add_image(writing, 2)
        killed = shutil.copytree(root, tmp_path / "killed")
    if not index:
        (killed / "catalog.sqlite-shm").unlink()
    before = {path.name for path in killed.iterdir()}, files(killed)
    copy_catalogue(killed / "catalog.sqlite", tmp_path / "copy.sqlite")
    assert images(tmp_path / "copy.sqlite") == 2
    assert ({path.name for path in killed.iterdir()}, files(killed)) == before


def test_an_older_catalogue_stays_old_and_its_copy_is_upgraded(
    oldest: Path, tmp_path: Path
) -> None:
    before = files(oldest.parent)
    copy_catalogue(oldest, tmp_path / "copy.sqlite")
    assert images(tmp_path / "copy.sqlite") == 4
    assert files(oldest.parent) == before


def test_a_newer_or_damaged_catalogue_is_named_itself_not_its_copy(tmp_path: Path) -> None:
    newer, copy = tmp_path / "newer.sqlite", tmp_path / "copy.sqlite"
    Connection(newer, create=True, schema=SCHEMA._replace(steps=(("9999-later", ""),))).close()
    with pytest.raises(DatasetNewer, match=r"newer\.sqlite was written"):
        copy_catalogue(newer, copy)
    newer.write_bytes(b"no catalogue" * 1000)
    with pytest.raises(CatalogueCorrupt, match=r"newer\.sqlite is damaged"):
        copy_catalogue(newer, copy)


@pytest.mark.parametrize("changes", [1, 100])
def test_a_copy_that_somebody_came_between_is_made_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    left = [changes]

    def copied(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())
        if left[0]:
            left[0] -= 1
            with Dataset.open(root) as dataset:
                add_image(dataset, 10 + left[0])

    monkeypatch.setattr(module.shutil, "copyfile", copied)
    if changes > 1:
        with pytest.raises(DatasetBusy, match="changes all the time"):
            copy_catalogue(root / "catalog.sqlite", tmp_path / "copy.sqlite")
    else:
        copy_catalogue(root / "catalog.sqlite", tmp_path / "copy.sqlite")
        assert images(tmp_path / "copy.sqlite") == 2


def test_a_catalogue_that_cannot_be_written_to_is_copied(
    small_disk: Callable[[str], Path], tmp_path: Path
) -> None:
    disk = small_disk("size=5m")
    with Dataset.create(disk / "other") as other:
        add_image(other, 1)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    copy_catalogue(disk / "other" / "catalog.sqlite", tmp_path / "copy.sqlite")
    assert images(tmp_path / "copy.sqlite") == 1
