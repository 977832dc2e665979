"""`baseline predict` for scripts: a table, folders of classes, files that come later."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tools_for_tests import eventually, python_path

from baseline.cli import commands
from baseline.use.answers_on_disk import ClassFolders, answer_table
from baseline.use.model import PictureAnswer, Prediction
from baseline.use.picture_parts import PicturePart
from baseline.use.predict import Predicted
from baseline.use.watched_files import watched_files
from gleanset.errors import DoneInPart, UsageError
from gleanset.records import Rejection

PART = PicturePart(np.zeros((0, 0, 3), np.uint8), None, None)


def answered(path: Path, *labels: str | None) -> Predicted:
    """A picture with a part for each label."""
    said = (
        PictureAnswer(label, (Prediction(label or "x", 0.75), Prediction("other", 0.125)))
        for label in labels
    )
    return Predicted(str(path), tuple((PART, one) for one in said))


def predict(*words: object, **rest: Any) -> Result:
    return CliRunner().invoke(commands, ["predict", *map(str, words)], **rest)


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def folder(pictures: list[Path], tmp_path: Path) -> Path:
    """Three pictures, and one that is none."""
    place = tmp_path / "holiday"
    place.mkdir()
    for name, picture in zip(("a.png", "b.png", "ü, c.png"), pictures, strict=False):
        shutil.copy(picture, place / name)
    (place / "broken.png").write_text("no picture")
    return place


def test_a_table_says_what_json_says(patterns_root: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    ran = predict(folder, "--csv", out, "--top", 2, "--json", "-d", patterns_root)
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout.splitlines()[-1])
    rows = {Path(row["path"]).name: row for row in table_of(out)}
    assert set(rows) == {"a.png", "b.png", "ü, c.png", "broken.png"}
    assert rows["broken.png"]["rejected"].startswith("not an image")
    for one in told["predicted"]:
        row, part = rows[Path(one["path"]).name], one["parts"][0]
        assert row["answer"] == (part["answer"] or "")
        assert float(row["confidence_1"]) == part["predictions"][0]["confidence"]
        assert row["label_2"] == part["predictions"][1]["label"]
        assert "label_3" not in row
    assert told["table"] == str(out)


def test_pictures_are_copied_to_their_classes_and_stay_where_they_are(
    patterns_root: Path, folder: Path, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    words = (folder, "--copy-to", folder / "sorted", "--json", "-d", patterns_root)
    for _ in range(2):  # the second time nothing is new, and what was sorted is not sorted again
        told = json.loads(predict(*words).stdout.splitlines()[-1])
        assert (told["pictures"], told["rejected"]) == (3, 1)
        assert sum(told["copied"].values()) == 3
        names = {Path(one["path"]).name: one["parts"][0]["answer"] for one in told["predicted"]}
        there = {p.name: p.parent.name for p in (folder / "sorted").rglob("*") if p.is_file()}
        assert there == {name: label or "unknown" for name, label in names.items()}
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


def test_your_own_files_are_never_moved(patterns_root: Path, folder: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    refused = predict(folder, "--copy-to", tmp_path / "out", "--move", "-d", patterns_root)
    assert isinstance(refused.exception, UsageError)
    assert "there is no --move any more" in str(refused.exception)
    assert "--copy-to DIR" in refused.exception.mend
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_script_is_told_of_rejections_by_the_exit_code(patterns_root: Path, folder: Path) -> None:
    ran = predict(folder, "--fail", "-d", patterns_root)
    assert isinstance(ran.exception, DoneInPart)
    assert ran.exception.exit_code == 3
    assert ran.exception.what == "1 files could not be used"
    assert ran.exception.result["rejected"] == 1
    assert predict(folder / "a.png", "--fail", "-d", patterns_root).exit_code == 0


def test_names_that_clash_keep_both_pictures(tmp_path: Path) -> None:
    for place, text in (("one", "1"), ("two", "2"), ("three", "1")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "x.png").write_text(text)
    folders = ClassFolders(tmp_path / "out", ["hana", "unknown", "Hana"])
    for place in ("one", "two", "three"):
        folders.put(answered(tmp_path / place / "x.png", "hana", "Hana", None))
    folders.put(answered(tmp_path / "two" / "x.png", None))
    files = {p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("out/*/*")}
    assert len(files) == 5, files
    by_folder = sorted(name.split("/")[0].split("-")[0] for name in files)
    assert by_folder == ["Hana", "Hana", "_unknown", "hana", "hana"]
    assert folders.counts == {"hana": 3, "Hana": 3, "_unknown": 1}


@pytest.mark.parametrize("label", ["../x", "a/b", "..", "CON", "a\x00b"])
def test_a_class_of_a_model_from_elsewhere_is_no_path(tmp_path: Path, label: str) -> None:
    (tmp_path / "x.png").write_text("1")
    ClassFolders(tmp_path / "deep" / "out", []).put(answered(tmp_path / "x.png", label))
    files = [path for path in tmp_path.rglob("*.png") if path != tmp_path / "x.png"]
    assert [path.parent.parent for path in files] == [tmp_path / "deep" / "out"]


def test_a_table_has_empty_cells_for_what_is_not_known(tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    with answer_table(out, 3) as table:
        table.add(answered(tmp_path / "=1+1\n.png", None))
        table.add(Predicted("b.png", rejection=Rejection("predict", "b.png", "no face", "")))
    unknown, rejected = table_of(out)
    assert (unknown["answer"], unknown["confidence"], unknown["label_1"]) == ("", "", "x")
    assert unknown["path"].endswith("=1+1\n.png")
    assert unknown["label_3"] == ""
    assert (rejected["path"], rejected["rejected"]) == ("b.png", "no face")


def test_a_file_is_given_when_it_keeps_still_and_again_when_it_changes(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")

    def then(*lines: str) -> Iterator[None]:
        for line in lines:
            b.write_text(line)
            yield

    grows = then("1", "12")
    files = watched_files(lambda: map(str, sorted(tmp_path.iterdir())), lambda _: next(grows, None))
    assert [next(files) for _ in range(4)] == [[str(a)], [], [str(b)], []]
    b.write_text("123")
    assert [next(files) for _ in range(2)] == [[], [str(b)]]
    b.unlink()
    assert next(files) == []


@pytest.mark.long
def test_watching_goes_on_until_ctrl_c_and_then_keeps_the_table(
    patterns_root: Path, folder: Path, pictures: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "answers.csv"
    words = ["predict", folder, "--watch", "--csv", out, "--copy-to", tmp_path / "out"]
    with subprocess.Popen(
        [sys.executable, "-m", "baseline", *words, "-d", patterns_root],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": python_path()},
    ) as process:
        sorted_ = tmp_path / "out"
        assert eventually(lambda: len(list(sorted_.rglob("*.png"))) == 3, 90)
        shutil.copy(pictures[3], folder / "later.png")
        assert eventually(lambda: len(list(sorted_.rglob("*.png"))) == 4, 60)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[0]
    assert process.returncode == 0, told
    assert "pictures: 4" in told
    assert {Path(row["path"]).name for row in table_of(out)} >= {"later.png", "broken.png"}
