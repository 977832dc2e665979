"""`baseline predict` on files, folders, patterns and whatever else people point it at."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import baseline
from baseline.cli import commands
from baseline.use.picture_parts import NO_FACE, ReadParts, files_of
from facecrop.detectors import DetectorSpec
from gleanset.errors import GleansetError, InputUnusable, Unreadable, UsageError
from gleanset.images.cut import CutSettings

SAMPLE = Path(__file__).parents[3] / "datasets" / "sample" / "pictures"


def run(*words: object) -> dict[str, Any]:
    """What the command says as JSON; its errors as they are."""
    ran = CliRunner().invoke(commands, [*map(str, words), "--json"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return told


def test_files_folders_patterns_and_rejections(
    patterns_root: Path, pictures: list[Path], tmp_path: Path
) -> None:
    place = tmp_path / "odd [names]"
    (place / "deep").mkdir(parents=True)
    shutil.copy(pictures[0], place / "-dash.png")
    shutil.copy(pictures[1], place / "two\nlines.png")
    shutil.copy(pictures[2], place / "deep" / "x.jpg")
    shutil.copy(pictures[3], place / ".hidden.png")
    (place / "text.png").write_text("no picture")
    (place / "cut.png").write_bytes(pictures[0].read_bytes()[:200])
    os.mkfifo(place / "pipe.png")
    told = run("predict", place, pictures[4], tmp_path / "gone.png", "-d", patterns_root)
    assert (told["pictures"], told["rejected"], told["ignored"]) == (4, 4, 1)
    paths = [one["path"] for one in told["predicted"]]
    assert paths == [
        str(place / "-dash.png"),
        str(place / "two\nlines.png"),
        str(place / "deep" / "x.jpg"),
        str(pictures[4]),
    ]
    reasons = {Path(one["path"]).name: one["reason"] for one in told["rejections"]}
    assert set(reasons) == {"text.png", "cut.png", "pipe.png", "gone.png"}
    assert (reasons["text.png"], reasons["gone.png"]) == ("not an image", "file is gone")
    model = baseline.load(patterns_root / "runs" / told["run"])
    for one in told["predicted"]:
        answer = model.answer(one["path"])
        assert one["parts"][0]["answer"] == answer.label
        assert one["parts"][0]["predictions"][0]["confidence"] == pytest.approx(
            answer.predictions[0].confidence, abs=1e-6
        )


def test_lines_come_in_order_and_name_unknown(patterns_root: Path, pictures: list[Path]) -> None:
    words = ["predict", *map(str, pictures), "--top", "1", "-d", str(patterns_root)]
    ran = CliRunner().invoke(commands, words, catch_exceptions=False)
    lines = ran.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines[: len(pictures)]] == [str(p) for p in pictures]
    model = baseline.load(patterns_root / "runs" / next((patterns_root / "runs").iterdir()).name)
    unknown = [answer.label is None for answer in model.answers(pictures)]
    assert ["unknown" in line for line in lines[: len(pictures)]] == unknown


def test_patterns_are_expanded_here_too(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.txt"):
        (tmp_path / name).touch()
    ignored: Counter[str] = Counter()
    both = [f"{tmp_path}/a.png", f"{tmp_path}/b.png"]
    assert list(files_of([f"{tmp_path}/*.png"], ignored)) == both
    assert list(files_of([f"{tmp_path}/z*.png"], ignored)) == [f"{tmp_path}/z*.png"]
    assert not ignored


@pytest.mark.posix("links")
def test_of_a_folder_every_file_is_read_or_counted(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("a.png", "c.txt", "film.mp4", "@eaDir/a.png", ".hidden/a.png", "Thumbs.db"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/b.png").touch()
    (tree / "linked").symlink_to(tmp_path / "elsewhere")
    (tree / "loop").symlink_to(tree)
    ignored: Counter[str] = Counter()
    found = list(files_of([str(tree)], ignored))
    assert found == [f"{tree}/a.png", f"{tree}/linked/b.png"]
    assert (ignored.total(), len(ignored)) == (6, 5)


def test_faces_are_found_and_cut_as_the_dataset_does() -> None:
    detector = DetectorSpec.of("animeface")
    picture = next(path for path in sorted(SAMPLE.glob("*")) if _faces(detector, path))
    [box] = _faces(detector, picture)[:1]
    parts = ReadParts(32, detector, CutSettings(0.3))(str(picture))
    assert parts[0].box == box
    x, y = box.x - round(0.3 * box.width), box.y - round(0.3 * box.height)
    around = (
        max(x, 0),
        max(y, 0),
        x + box.width + 2 * round(0.3 * box.width),
        y + box.height + 2 * round(0.3 * box.height),
    )
    with Image.open(picture) as image:
        whole = image.convert("RGB")
        part = whole.crop((*around[:2], min(around[2], whole.width), min(around[3], whole.height)))
        wanted = part.resize((32, 32), Image.Resampling.BILINEAR, reducing_gap=2.0)
    assert np.array_equal(parts[0].pixels, np.asarray(wanted))


def _faces(detector: DetectorSpec, path: Path) -> list[Any]:
    try:
        return [part.box for part in ReadParts(8, detector)(str(path))]
    except Unreadable:
        return []


def test_no_face_is_a_rejection(patterns_root: Path, pictures: list[Path]) -> None:
    told = run("predict", "--detector", "animeface", pictures[0], "-d", patterns_root)
    assert told["predicted"] == []
    assert told["rejections"][0]["reason"] == NO_FACE


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--run", "nobody"], InputUnusable),
        (["--run", "gone.onnx"], InputUnusable),
        (["--detector", "nosuch"], UsageError),
    ],
)
def test_what_makes_no_sense_is_said(
    patterns_root: Path, pictures: list[Path], words: list[str], error: type[GleansetError]
) -> None:
    with pytest.raises(error):
        run("predict", pictures[0], *words, "-d", patterns_root)


def test_nothing_there_is_an_error(patterns_root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputUnusable, match="none of these files is there"):
        run("predict", tmp_path / "gone.png", "-d", patterns_root)
