"""`harvest folder --group-by` with folders, names and archives; recipes and previews agree."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from tools_for_tests import picture, run_here

from gleanset import Dataset
from harvest.request import FolderRequest

NUMBERED = r"(.+)-\d+\."


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Make two sessions of three photos, and two photos outside."""
    for number in range(8):
        session = f"session {number // 3}" if number < 6 else "."
        file = tmp_path / "photos" / session / f"p{number // 2}-{number % 2}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number + 1))
    return tmp_path / "photos"


def posts(dataset: Dataset) -> dict[str, str | None]:
    return {str(o.title): o.post for image in dataset.images.iterate() for o in image.origins}


def test_group_by_folder(dataset: Dataset, photos: Path) -> None:
    done = FolderRequest(path=str(photos), group_by="folder", workers=1).run(dataset)
    assert (done["added"], done["groups"]) == (8, 3)
    assert posts(dataset)["p0-0.jpg"] == str(photos / "session 0")
    assert posts(dataset)["p3-1.jpg"] == str(photos)


def test_groups_are_added_by_second_run(dataset: Dataset, photos: Path) -> None:
    first = FolderRequest(path=str(photos), workers=1)
    message = first.run(dataset)["maybe_parts_of_one_picture"]
    assert isinstance(message, dict)
    assert message["files"] == 8
    assert message["then"] == r"run it again with --group-by '(.+)-\d+\.'"
    by_name = FolderRequest(path=str(photos), group_by=NUMBERED, workers=1)
    again = by_name.run(dataset)
    assert (again["added"], again["duplicate"], again["groups"]) == (0, 8, 4)
    assert set(posts(dataset).values()) == {"p0", "p1", "p2", "p3"}
    assert by_name.run(dataset)["known"] == 8


def test_group_by_archive_folder(dataset: Dataset, tmp_path: Path) -> None:
    for name in ("one", "two"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as made:
            for number in range(4):
                data = picture(number + (1 if name == "one" else 11))
                made.writestr(f"s{number // 2}/x-{number}.jpg", data)
    places = (tmp_path / "one.zip", tmp_path / "two.zip")
    done = FolderRequest(path=places, group_by="folder", workers=1).run(dataset)
    assert (done["added"], done["groups"]) == (8, 4), (
        "equal folder names of two archives are two groups"
    )
    done = FolderRequest(path=places, group_by=NUMBERED, workers=1).run(dataset)
    assert (done["duplicate"], done["groups"]) == (8, 1)
    assert set(posts(dataset).values()) == {"x"}


def test_group_preview_and_invalid_patterns(photos: Path, tmp_path: Path) -> None:
    line = ("folder", photos, "-d", tmp_path / "d", "--group-by")
    shown = run_here("harvest.cli", *line, NUMBERED, "--simulate", "--json")
    assert json.loads(shown.stdout.splitlines()[-1]) == {
        "candidates": 8,
        "ignored": 0,
        "groups": 4,
    }
    for bad in ("(", "x+", "(nowhere)"):
        refused = run_here("harvest.cli", *line, bad, "--simulate")
        assert refused.code == 2, refused.stderr
    assert not (tmp_path / "d").exists()
