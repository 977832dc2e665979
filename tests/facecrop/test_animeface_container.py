"""Containers that crash, hang or send invalid responses.

The container is a process of fake_engine.py; no engine is needed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import fake_engine
import numpy as np
import pytest
from facecrop_scenes import put, scene
from tools_for_tests import ROOT, eventually, python

from facecrop.detectors import DetectorSpec, animeface_docker
from facecrop.detectors.animeface_docker import AnimeFaceContainer, AnimeFaceDocker
from facecrop.search import find_faces
from gleanset import Dataset
from gleanset.errors import MissingComponent, Unreadable
from gleanset.images.cropping import CropGeometry

PIXELS = np.zeros((300, 420, 3), np.uint8)
FakeEngine = Callable[[str], Path]


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    """Return a function that makes an engine whose container behaves like `mode`."""

    def make(mode: str) -> Path:
        program = tmp_path / "engine" / "docker"
        program.parent.mkdir()
        (program.parent / "mode").write_text(mode)
        code = Path(fake_engine.__file__).read_text()
        program.write_text(f"#!{sys.executable}\n{code}")
        program.chmod(0o755)
        return program

    return make


def starts(program: Path) -> list[int]:
    """Return the process ids of the containers it started."""
    return [int(line) for line in (program.parent / "starts").read_text().split()]


def has_ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_crashed_container_is_restarted(engine: FakeEngine) -> None:
    program = engine("dies once")
    container = AnimeFaceContainer(str(program), "image")
    assert [face["face_box"] for face in container.search(PIXELS)] == [(55, 66, 88, 88)]
    assert len(starts(program)) == 2
    container.stop()


def test_image_that_crashes_twice_is_rejected(engine: FakeEngine) -> None:
    program = engine("dies")
    container = AnimeFaceContainer(str(program), "image")
    with pytest.raises(Unreadable) as caught:
        container.search(PIXELS)
    assert caught.value.reason == "crashed"
    assert "exit code 3: [31mMemoryError: too much" in caught.value.detail
    assert len(starts(program)) == 3, "one is ready for the next image"
    assert len(container.search(np.zeros((200, 200, 3), np.uint8))) == 1
    container.stop()
    assert all(has_ended(pid) for pid in starts(program))


@pytest.mark.parametrize("answer", fake_engine.INVALID)
def test_invalid_response_is_rejected(answer: str) -> None:
    message = fake_engine.INVALID[answer]
    line = json.dumps({"id": 2} | message if isinstance(message, dict) else message).encode()
    with pytest.raises(ValueError, match=r"\w"):
        animeface_docker._checked(line, 2, 420, 300)


@pytest.mark.parametrize("mode", ["a box of three", "floods"])
def test_invalid_output_is_a_crash(engine: FakeEngine, mode: str) -> None:
    container = AnimeFaceContainer(str(engine(mode)), "image")
    with pytest.raises(Unreadable, match="crashed") as caught:
        container.search(PIXELS)
    assert len(caught.value.detail) < 400
    container.stop()


def test_search_times_out(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animeface_docker, "SEARCH_SECONDS", 1.0)
    program = engine("sleeps")
    container = AnimeFaceContainer(str(program), "image")
    with pytest.raises(Unreadable) as caught:
        container.search(PIXELS)
    assert "no response in 1 seconds" in caught.value.detail
    container.stop()
    assert all(has_ended(pid) for pid in starts(program))


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        ('greets "hello"', "is not one of ours"),
        ('greets {"protocol": 2, "animeface": "2.0.3", "pillow": "9"}', "is of another Gleanset"),
        ('greets {"protocol": 1, "animeface": "2.0.3", "pillow": "9"}', "does not work"),
        ("fails", "exit code 1: no such runtime"),
    ],
)
def test_wrong_image_has_hint(engine: FakeEngine, mode: str, what: str) -> None:
    with pytest.raises(MissingComponent, match=what) as caught:
        AnimeFaceDocker(engine=str(engine(mode)), image="image")
    assert "facecrop docker build" in caught.value.fix
    assert caught.value.exit_code == 6


def test_image_without_detections_is_rejected(tmp_path: Path) -> None:
    """The server runs with a Pillow whose images animeface cannot read."""
    program = tmp_path / "podman"
    server = ROOT / "docker" / "animeface-2009" / "server.py"
    program.write_text(f'#!/bin/sh\n[ "$1" = run ] || exit 0\nexec "{sys.executable}" "{server}"\n')
    program.chmod(0o755)
    with pytest.raises(MissingComponent, match="found 0 faces instead of 1") as caught:
        AnimeFaceDocker(engine=str(program), image="blind")
    assert "the image blind in podman" in caught.value.what
    assert "facecrop docker build" in caught.value.fix


@pytest.mark.slow
def test_run_continues_after_crash(dataset: Dataset, engine: FakeEngine) -> None:
    bad = put(dataset, scene(50))
    put(dataset, scene(20, size=(200, 200)))
    program = engine("dies")
    spec = DetectorSpec.create("animeface-docker", engine=str(program), image="image")
    tally = find_faces(dataset, spec, CropGeometry(margin=0.3), workers=1)
    assert (tally["images"], tally["faces"], tally["rejected"]) == (2, 1, 1)
    rejected = list(dataset.rejections.iterate())
    assert [(rejection.item, rejection.reason) for rejection in rejected] == [(bad, "crashed")]
    # The container that tested the settings ends with this process.
    assert eventually(lambda: sum(not has_ended(pid) for pid in starts(program)) <= 1)


def test_container_stops_with_killed_process(engine: FakeEngine) -> None:
    program = engine("dies once")
    code = (
        "import sys, time; from facecrop.detectors.animeface_docker import AnimeFaceContainer\n"
        "container = AnimeFaceContainer(sys.argv[1], 'image')\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    with python(code, program) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGKILL)
    assert eventually(lambda: has_ended(starts(program)[0]))
