"""The sheet of class portraits: right rows, best portraits, readable names."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from labelled_pictures import encoded, put
from PIL import Image
from test_quality import face, soft

from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from labeler.class_sheet import GAP, PAPER, make_sheet, portrait_order
from labeler.fonts import font_for
from labeler.quality.assessment import QualityAssessment

Labeler = Callable[..., subprocess.CompletedProcess[str]]
SIZE = 64


def pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def classes(empty: Dataset) -> Dataset:
    """Two classes: six red pictures, one of them blurred and one tiny, and two blue ones."""
    for number in range(4):
        put(empty, encoded(face(1, 100 + number)), f"r{number}", label="red hana")
    put(empty, encoded(soft(face(1, 104), 5)), "blurred", label="red hana")
    put(empty, encoded(face(1, 40)), "tiny", label="red hana")
    for number in range(2):
        put(empty, encoded(face(2, 100 + number)), f"b{number}", label="青葉")
    return empty


def test_each_class_has_a_row_with_the_best_in_front(classes: Dataset, tmp_path: Path) -> None:
    QualityAssessment(classes, workers=1).run()
    order = [sample.box.width for sample in portrait_order(classes, "red hana", SIZE)]
    assert set(order[:4]) == {100, 101, 102, 103}
    made = make_sheet(classes, tmp_path / "a.png", each=4, size=SIZE)
    assert (made.classes, made.portraits) == ({"red hana": 6, "青葉": 2}, 6)
    drawn = pixels(tmp_path / "a.png")
    assert drawn.shape == (2 * (SIZE + GAP) + GAP, 6 * (SIZE + GAP) + GAP, 3)
    # The second row ends after two portraits; beyond is paper.
    row = drawn[2 * GAP + SIZE : 2 * (SIZE + GAP)]
    assert (row[:, GAP + 4 * (SIZE + GAP) :] == PAPER).all()
    assert row[:, GAP + 3 * (SIZE + GAP) : 4 * (SIZE + GAP)].std() > 20
    make_sheet(classes, tmp_path / "b.png", each=4, size=SIZE)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_command_measures_first_and_shows_the_classes_asked_for(
    classes: Dataset, labeler: Labeler, labeler_process: Labeler, tmp_path: Path
) -> None:
    words = ("sheet", tmp_path / "one.jpg", "-d", classes.root, "--json")
    told = json.loads(labeler_process(*words, "--class", "青葉", "--each", "1").stdout)
    assert told["classes"] == {"青葉": 2}
    assert told["portraits"] == 1
    with Image.open(told["sheet"]) as drawn:
        assert drawn.format == "JPEG"
    assert QualityAssessment(classes, workers=1).run().measured == 0
    done = labeler("sheet", tmp_path / "one.exe", "-d", classes.root)
    assert (done.returncode, (tmp_path / "one.exe").exists()) == (2, False)


def test_names_are_drawn_or_what_is_lacking_is_said() -> None:
    _, lacking = font_for("Hana é", 20)
    assert lacking == ""
    # Private letters are in no font.
    font, lacking = font_for("a\ue000", 20)
    assert lacking in ("", "\ue000")
    assert bytes(font.getmask("a"))
    japanese, lacking = font_for("涼風青葉", 20)
    if lacking:
        pytest.skip(f"no font on this machine has {lacking}")
    assert len({bytes(japanese.getmask(letter)) for letter in "涼風青葉"}) == 4


def test_sheets_that_cannot_be(classes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no class 'yuki'"):
        make_sheet(classes, tmp_path / "a.png", names=["yuki"])
    with pytest.raises(UsageError, match="too large"):
        make_sheet(classes, tmp_path / "a.png", each=20_000, size=1000)
    with (
        Dataset.create(tmp_path / "new") as new,
        pytest.raises(InputUnusable, match="nothing has a label"),
    ):
        make_sheet(new, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


@pytest.mark.damages("a picture is removed")
def test_what_cannot_be_read_leaves_room_for_the_next(classes: Dataset, tmp_path: Path) -> None:
    first = portrait_order(classes, "青葉")[0]
    classes.image_path(first.image, "JPEG").unlink()
    made = make_sheet(classes, tmp_path / "a.png", names=["青葉"], each=1, size=SIZE)
    assert (made.portraits, made.unreadable) == (1, 1)
