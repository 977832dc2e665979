"""`baseline predict`: predictions, rejections, tables and sorted copies."""

import csv
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from tools_for_tests import run_here

import baseline
from baseline.cli import commands, format_prediction
from baseline.use.crops import NO_FACE, ImagePart, PartReader, expand_paths
from baseline.use.model import ImagePrediction, Prediction
from baseline.use.predict import ClassFolders, FilePrediction, open_prediction_table
from facecrop.detectors import DetectorSpec
from gleanset.errors import (
    DoneInPart,
    GleansetError,
    InputUnusable,
    Unreadable,
    UsageError,
)
from gleanset.records import Rejection
from gleanset.settings import CropGeometry

SAMPLE = Path(__file__).parents[3] / "datasets" / "sample" / "pictures"


def run_json(*words: object) -> dict[str, Any]:
    """Run a command and return its JSON; raise its errors."""
    ran = CliRunner().invoke(
        commands, [*map(str, words), "--json"], catch_exceptions=False
    )
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout.splitlines()[-1])


def test_predict_files_and_folders(
    patterns_root: Path, pictures: list[Path], tmp_path: Path
) -> None:
    place = tmp_path / "odd [names]"
    (place / "deep").mkdir(parents=True)
    shutil.copy(pictures[0], place / "-dash.png")
    shutil.copy(pictures[1], place / "two\nlines.png")
    shutil.copy(pictures[2], place / "deep" / "x.jpg")
    shutil.copy(pictures[3], place / ".hidden.png")
    (place / "text.png").write_text("no image")
    (place / "cut.png").write_bytes(pictures[0].read_bytes()[:200])
    os.mkfifo(place / "pipe.png")
    result = run_json(
        "predict", place, pictures[4], tmp_path / "gone.png", "-d", patterns_root
    )
    assert (result["images"], result["rejected"], result["ignored"]) == (4, 4, 1)
    paths = [prediction["path"] for prediction in result["predicted"]]
    assert paths == [
        str(place / "-dash.png"),
        str(place / "two\nlines.png"),
        str(place / "deep" / "x.jpg"),
        str(pictures[4]),
    ]
    reasons = {
        Path(prediction["path"]).name: prediction["reason"]
        for prediction in result["rejections"]
    }
    assert set(reasons) == {"text.png", "cut.png", "pipe.png", "gone.png"}
    assert (reasons["text.png"], reasons["gone.png"]) == (
        "not an image",
        "file is gone",
    )
    model = baseline.load(patterns_root / "runs" / result["run"])
    for prediction in result["predicted"]:
        answer = model.predict_image(prediction["path"])
        assert prediction["parts"][0]["answer"] == answer.label
        assert prediction["parts"][0]["predictions"][0]["confidence"] == pytest.approx(
            answer.predictions[0].confidence, abs=1e-6
        )


def test_output_lines_follow_input_order(
    patterns_root: Path, pictures: list[Path]
) -> None:
    words = ["predict", *map(str, pictures), "--top", "1", "-d", str(patterns_root)]
    ran = CliRunner().invoke(commands, words, catch_exceptions=False)
    lines = ran.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines[: len(pictures)]] == [
        str(p) for p in pictures
    ]
    model = baseline.load(
        patterns_root / "runs" / next((patterns_root / "runs").iterdir()).name
    )
    unknown = [answer.label is None for answer in model.predict_images(pictures)]
    assert ["unknown" in line for line in lines[: len(pictures)]] == unknown


@pytest.mark.posix("links")
def test_folder_files_are_read_or_counted(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in (
        "a.png",
        "c.txt",
        "film.mp4",
        "@eaDir/a.png",
        ".hidden/a.png",
        "Thumbs.db",
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/b.png").touch()
    (tree / "linked").symlink_to(tmp_path / "elsewhere")
    (tree / "loop").symlink_to(tree)
    ignored: Counter[str] = Counter()
    result = list(expand_paths([str(tree)], ignored))
    assert result == [f"{tree}/a.png", f"{tree}/linked/b.png"]
    assert (ignored.total(), len(ignored)) == (6, 5)


def test_face_crop_matches_dataset() -> None:
    detector = DetectorSpec.create("animeface")
    picture = next(
        path for path in sorted(SAMPLE.glob("*")) if detect_boxes(detector, path)
    )
    [box] = detect_boxes(detector, picture)[:1]
    parts = PartReader(32, detector, CropGeometry(0.3))(str(picture))
    assert parts[0].box == box
    x, y = box.x - round(0.3 * box.width), box.y - round(0.3 * box.height)
    around = (
        max(x, 0),
        max(y, 0),
        x + box.width + 2 * round(0.3 * box.width),
        y + box.height + 2 * round(0.3 * box.height),
    )
    with Image.open(picture) as image:
        original = image.convert("RGB")
        part = original.crop(
            (
                *around[:2],
                min(around[2], original.width),
                min(around[3], original.height),
            )
        )
        expected = part.resize((32, 32), Image.Resampling.BILINEAR, reducing_gap=2.0)
    assert np.array_equal(parts[0].pixels, np.asarray(expected))


def detect_boxes(detector: DetectorSpec, path: Path) -> list[Any]:
    try:
        return [part.box for part in PartReader(8, detector)(str(path))]
    except Unreadable:
        return []


def test_missing_face_is_rejection(patterns_root: Path, pictures: list[Path]) -> None:
    result = run_json(
        "predict", "--detector", "animeface", pictures[0], "-d", patterns_root
    )
    assert (result["predicted"], result["rejections"][0]["reason"]) == ([], NO_FACE)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--run", "nobody"], InputUnusable),
        (["--run", "gone.onnx"], InputUnusable),
        (["--detector", "nosuch"], UsageError),
    ],
)
def test_invalid_options_raise_error(
    patterns_root: Path,
    pictures: list[Path],
    words: list[str],
    error: type[GleansetError],
) -> None:
    with pytest.raises(error):
        run_json("predict", pictures[0], *words, "-d", patterns_root)


def test_missing_files_raise_error(patterns_root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputUnusable, match="none of these files exists"):
        run_json("predict", tmp_path / "gone.png", "-d", patterns_root)


@pytest.mark.posix("names are bytes there")
def test_missing_file_with_any_name_is_a_row(
    patterns_root: Path, pictures: list[Path], tmp_path: Path
) -> None:
    # A link to nothing is a missing file as well.
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link\udcff.png").symlink_to(tmp_path / "nowhere")
    names = [tmp_path / "in", tmp_path / "gone\udcfe\n.png", pictures[0]]
    out = tmp_path / "t.csv"
    ran = run_here("baseline.cli", "predict", *names, "--csv", out, "-d", patterns_root)
    lines = ran.checked().stdout.splitlines()
    assert sum("not predicted: file is gone" in line for line in lines) == 2
    assert not any(line.startswith(".png") for line in lines)
    first, second, picture = read_table(out)
    assert first["path"] == str(tmp_path / "in" / r"link\xff.png")
    assert first["rejected"] == f"file is gone: {first['path']}"
    assert second["rejected"].endswith("gone\\xfe\n.png")
    assert picture["label_1"]


PART = ImagePart(np.zeros((0, 0, 3), np.uint8), None, None)


def make_prediction(path: Path, *labels: str | None) -> FilePrediction:
    """Return a prediction with a part for each label."""
    answers = (
        ImagePrediction(
            label, (Prediction(label or "x", 0.75), Prediction("other", 0.125))
        )
        for label in labels
    )
    return FilePrediction(str(path), tuple((PART, answer) for answer in answers))


def test_unsure_prediction_has_null_answer(tmp_path: Path) -> None:
    (file := tmp_path / "x.png").write_text("1")
    scores = (Prediction("bae", 0.4), Prediction("mei", 0.1))
    predicted = FilePrediction(
        str(file), ((PART, ImagePrediction("bae", scores, confidence=0.4)),)
    )
    [part] = predicted.to_json()["parts"]
    assert (part["answer"], part["unsure"], part["best"], part["confidence"]) == (
        *(None, True),
        *("bae", 0.4),
    )
    assert format_prediction(predicted) == [
        f"{file}: unsure: bae 0.400, mei 0.100, other 0.500"
    ]
    with open_prediction_table(tmp_path / "t.csv", 2) as table:
        table.add(predicted)
    [row] = read_table(tmp_path / "t.csv")
    assert (row["answer"], row["best"], row["confidence"]) == ("", "bae", "0.4")
    folders = ClassFolders(tmp_path / "out", ["bae", "mei"])
    folders.put(predicted)
    assert folders.counts == {"unsure": 1}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["unsure"]


def predict(*words: object, **rest: Any) -> Result:
    return CliRunner().invoke(commands, ["predict", *map(str, words)], **rest)


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def folder(pictures: list[Path], tmp_path: Path) -> Path:
    """Folder of three images and a broken one."""
    place = tmp_path / "holiday"
    place.mkdir()
    for name, picture in zip(("a.png", "b.png", "ü, c.png"), pictures, strict=False):
        shutil.copy(picture, place / name)
    (place / "broken.png").write_text("no image")
    return place


def test_csv_matches_json(patterns_root: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    ran = predict(folder, "--csv", out, "--top", 2, "--json", "-d", patterns_root)
    assert ran.exit_code == 0, ran.output
    result = json.loads(ran.stdout.splitlines()[-1])
    rows = {Path(row["path"]).name: row for row in read_table(out)}
    assert set(rows) == {"a.png", "b.png", "ü, c.png", "broken.png"}
    assert rows["broken.png"]["rejected"].startswith("not an image")
    for prediction in result["predicted"]:
        row = rows[Path(prediction["path"]).name]
        part = prediction["parts"][0]
        assert row["answer"] == (part["answer"] or "")
        assert float(row["confidence_1"]) == part["predictions"][0]["confidence"]
        assert row["label_2"] == part["predictions"][1]["label"]
        assert "label_3" not in row
    assert result["table"] == str(out)


def test_copy_to_sorts_images_by_class(
    patterns_root: Path, folder: Path, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    words = (folder, "--copy-to", folder / "sorted", "--json", "-d", patterns_root)
    for _ in range(2):  # the second run changes nothing
        result = json.loads(predict(*words).stdout.splitlines()[-1])
        assert (result["images"], result["rejected"]) == (3, 1)
        assert sum(result["copied"].values()) == 3
        names = {
            Path(prediction["path"]).name: prediction["parts"][0]["answer"]
            for prediction in result["predicted"]
        }
        sorted_into = {
            p.name: p.parent.name for p in (folder / "sorted").rglob("*") if p.is_file()
        }
        assert sorted_into == {
            name: label or "unknown" for name, label in names.items()
        }
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


def test_fail_option_exits_3_on_rejection(patterns_root: Path, folder: Path) -> None:
    ran = predict(folder, "--fail", "-d", patterns_root)
    assert isinstance(ran.exception, DoneInPart)
    assert (ran.exception.exit_code, ran.exception.what) == (3, "1 file rejected")
    assert ran.exception.result.rejected == 1
    assert predict(folder / "a.png", "--fail", "-d", patterns_root).exit_code == 0


def test_clashing_names_keep_both_images(tmp_path: Path) -> None:
    for place, text in (("one", "1"), ("two", "2"), ("three", "1")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "x.png").write_text(text)
    folders = ClassFolders(tmp_path / "out", ["hana", "unknown", "Hana"])
    for place in ("one", "two", "three"):
        folders.put(make_prediction(tmp_path / place / "x.png", "hana", "Hana", None))
    folders.put(make_prediction(tmp_path / "two" / "x.png", None))
    files = {
        p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("out/*/*")
    }
    assert len(files) == 5, files
    by_folder = sorted(name.split("/")[0].split("-")[0] for name in files)
    assert by_folder == ["Hana", "Hana", "_unknown", "hana", "hana"]
    assert folders.counts == {"hana": 3, "Hana": 3, "_unknown": 1}


@pytest.mark.parametrize("label", ["../x", "a/b", "..", "CON", "a\x00b"])
def test_hostile_class_name_stays_in_folder(tmp_path: Path, label: str) -> None:
    (tmp_path / "x.png").write_text("1")
    ClassFolders(tmp_path / "deep" / "out", []).put(
        make_prediction(tmp_path / "x.png", label)
    )
    files = [path for path in tmp_path.rglob("*.png") if path != tmp_path / "x.png"]
    assert [path.parent.parent for path in files] == [tmp_path / "deep" / "out"]


def test_csv_cells_of_unknown_and_rejected(tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    with open_prediction_table(out, 3) as table:
        table.add(make_prediction(tmp_path / "=1+1\n.png", None))
        table.add(
            FilePrediction(
                "b.png", rejection=Rejection("predict", "b.png", "no face", "")
            )
        )
    unknown, rejected = read_table(out)
    assert (unknown["answer"], unknown["confidence"], unknown["label_1"]) == (
        "",
        "",
        "x",
    )
    assert unknown["path"].endswith("=1+1\n.png")
    assert unknown["label_3"] == ""
    assert (rejected["path"], rejected["rejected"]) == ("b.png", "no face")


@pytest.mark.parametrize(
    ("confidences", "scores"),
    [
        ((0.4, 0.0, 0.0), "a 0.400, other 0.600"),
        ((0.0001, 0.0, 0.0), "a 0.000, other 1.000"),
        ((0.7, 0.25, 0.002), "a 0.700, b 0.250, c 0.002, other 0.048"),
        ((0.9, 0.09, 0.01), "a 0.900, b 0.090, c 0.010"),
    ],
)
def test_rest_of_confidence_is_printed(
    confidences: tuple[float, ...], scores: str
) -> None:
    pairs = zip("abc", confidences, strict=True)
    answer = ImagePrediction(None, tuple(Prediction(*pair) for pair in pairs))
    predicted = FilePrediction("x.png", ((PART, answer),))
    (line,) = format_prediction(predicted)
    assert line.endswith(f": {scores}")
