"""`--progress json`: an object a line on stderr, the result on stdout, for another program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools_for_tests import picture, run_here

from baseline.train.callbacks import StepReport
from baseline.train.run_logger import RunLogger
from gleanset.work.progress import Progress


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_command_tells_its_stages_and_its_result(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(3):
        (photos / f"{seed}.jpg").write_bytes(picture(seed))
    words = ("folder", str(photos), "-d", str(tmp_path / "set"), "--progress", "json", "--json")
    ran = run_here("harvest.cli", *words)
    assert ran.code == 0, ran.stderr
    assert ran.json["added"] == 3
    told = [line for line in lines(ran.stderr) if line.get("stage") == "files"]
    assert told[0]["done"] == 0
    assert "ended" not in told[0]
    assert (told[-1]["done"], told[-1]["unit"], told[-1]["ended"]) == (3, "files", True)


def test_rate_and_time_left_are_told_where_they_are_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(quiet=False, as_json=True)
    for _ in progress.over(range(4), "counting", total=4, unit=" steps"):
        pass
    with progress.meter("going on", 10, done=4) as meter:
        meter.advance(3, "note")
    first, last, begun, end = lines(capsys.readouterr().err)
    assert first == {"stage": "counting", "done": 0, "unit": "steps", "total": 4}
    assert last["done"] == 4
    assert last["eta"] == 0
    assert (begun["done"], begun["total"]) == (4, 10)
    # Only what was done now tells the rate.
    assert isinstance(end["rate"], float)
    assert isinstance(end["eta"], float)
    assert end["eta"] == pytest.approx(3 / end["rate"], abs=0.1)
    assert (end["done"], end["note"], end["ended"]) == (7, "note", True)


def test_many_steps_are_few_lines_and_quiet_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(quiet=False, as_json=True).video_time("frames", None) as advance:
        for _ in range(5000):
            advance(0.5)
    told = lines(capsys.readouterr().err)
    assert 2 <= len(told) < 20
    assert (told[-1]["done"], told[-1]["unit"]) == (2500, "s of video")
    assert "total" not in told[-1]
    silent = Progress(quiet=True, as_json=True)
    silent.say("nothing")
    assert list(silent.over([1], "nothing")) == [1]
    assert capsys.readouterr().err == ""


def test_messages_are_objects_too(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(quiet=False, as_json=True).say('a "word" of 顔')
    assert lines(capsys.readouterr().err) == [{"message": 'a "word" of 顔'}]


def test_a_training_tells_its_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunLogger(tmp_path, Progress(quiet=False, as_json=True)) as logger:
        logger.begin(images=10, epochs=2, done=5)
        logger.tick(StepReport(step=1, epoch=1, images=9, loss=0.5, accuracy=1.0, learning_rate=1))
    told = [line for line in lines(capsys.readouterr().err) if line.get("stage") == "train"]
    assert (told[0]["done"], told[0]["total"]) == (5, 20)
    assert (told[-1]["done"], told[-1]["ended"]) == (9, True)
    assert "loss 0.5" in str(told[-1]["note"])
