"""Containers that crash or hang, and engines that are missing, stopped or without the image.

A container is a process of fake_engine.py; other engines are scripts that print the messages of
docker and podman. No engine is needed.
"""

import json
import os
import re
import signal
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import fake_engine
import numpy as np
import pytest
from facecrop_scenes import put, scene
from tools_for_tests import ROOT, Ran, eventually, is_running, python, run_here

from facecrop import run_docker
from facecrop.cli_docker import find_build_context, states
from facecrop.detectors import DetectorSpec, animeface_docker
from facecrop.detectors.animeface_docker import AnimeFaceContainer, AnimeFaceDocker
from facecrop.run_docker import (
    ENGINE_SETTING,
    ImageNotBuilt,
    choose_engine,
    find_engines,
)
from facecrop.search import find_faces
from gleanset import Dataset
from gleanset.errors import MissingComponent, Unreadable
from gleanset.settings import CropGeometry

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
    assert not any(map(is_running, starts(program)))


@pytest.mark.parametrize("answer", fake_engine.INVALID)
def test_invalid_response_is_rejected(answer: str) -> None:
    message = fake_engine.INVALID[answer]
    line = json.dumps(
        {"id": 2} | message if isinstance(message, dict) else message
    ).encode()
    with pytest.raises(ValueError, match=r"\w"):
        animeface_docker._parse_answer(line, 2, 420, 300)


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
    assert not any(map(is_running, starts(program)))


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        ('greets "hello"', "is not one of ours"),
        (
            'greets {"protocol": 2, "animeface": "2.0.3", "pillow": "9"}',
            "is of another Gleanset",
        ),
        (
            'greets {"protocol": 1, "animeface": "2.0.3", "pillow": "9"}',
            "does not work",
        ),
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
    program.write_text(
        f'#!/bin/sh\n[ "$1" = run ] || exit 0\nexec "{sys.executable}" "{server}"\n'
    )
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
    assert (tally.images, tally.faces, tally.rejected) == (2, 1, 1)
    rejected = list(dataset.rejections.iterate())
    assert [(rejection.item, rejection.reason) for rejection in rejected] == [
        (bad, "crashed")
    ]
    # The container that tested the settings ends with this process.
    assert eventually(lambda: sum(map(is_running, starts(program))) <= 1)


def test_container_stops_with_killed_process(engine: FakeEngine) -> None:
    program = engine("dies once")
    code = (
        "import sys, time; from facecrop.detectors.animeface_docker import AnimeFaceContainer\n"
        "container = AnimeFaceContainer(sys.argv[1], 'image')\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    with python(code, program) as process:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGKILL)
    assert eventually(lambda: not is_running(starts(program)[0]))


NOT_RUNNING = {
    "docker 20": "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. "
    "Is the docker daemon running?",
    "docker 29": "failed to connect to the docker API at unix:///var/run/docker.sock; check if "
    "the path is correct and if the daemon is running: dial unix /var/run/docker.sock: "
    "connect: no such file or directory",
    "podman": "Cannot connect to Podman. Please verify your connection to the Linux system",
}
NOT_PERMITTED = {
    "docker 20": "Got permission denied while trying to connect to the Docker daemon socket at "
    "unix:///var/run/docker.sock: Get http://…: dial unix: connect: permission denied",
    "docker 28": "permission denied while trying to connect to the Docker daemon socket at "
    "unix:///var/run/docker.sock: dial unix /var/run/docker.sock: connect: permission denied",
}
NO_IMAGE = {
    "docker 20": "Error: No such image: i",
    "docker 28": "Error response from daemon: no such image: i: No such image: i:latest",
    "podman": "Error: inspecting object: i: image not known",
}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder as the only one on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def add_engine(path: Path, name: str, message: str = "", code: int = 1) -> Path:
    """Add an engine that prints `message` and exits with `code`."""
    return script(path, name, f"cat >&2 <<'END'\n{message}\nEND\nexit {code}")


def script(path: Path, name: str, lines: str) -> Path:
    program = path / name
    program.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{lines}\n")
    program.chmod(0o755)
    return program


def choose_engine_error(image: str = "i", requested: str = "") -> MissingComponent:
    with pytest.raises(MissingComponent) as caught:
        choose_engine(image, requested)
    assert caught.value.exit_code == 6
    assert caught.value.fix
    return caught.value


def facecrop(*args: str) -> Ran:
    return run_here("facecrop.cli", "docker", *args)


@pytest.mark.parametrize(
    ("version", "error", "what", "fix"),
    [
        *(
            (key, NOT_RUNNING[key], "{} is installed but is not running", "start")
            for key in NOT_RUNNING
        ),
        *(
            (
                key,
                NOT_PERMITTED[key],
                "you are not permitted to use {}",
                "usermod -aG docker",
            )
            for key in NOT_PERMITTED
        ),
        *(
            (key, NO_IMAGE[key], "{} has no image i", "facecrop docker build")
            for key in NO_IMAGE
        ),
    ],
)
def test_engine_error_has_hint(
    path: Path, version: str, error: str, what: str, fix: str
) -> None:
    name = version.split()[0]
    add_engine(path, name, error)
    raised = choose_engine_error()
    assert raised.what.startswith(what.format(name))
    assert fix in raised.fix
    assert isinstance(raised, ImageNotBuilt) == (error in NO_IMAGE.values())


def test_engine_with_unknown_error(path: Path) -> None:
    add_engine(path, "docker", "something\n\x1b[31mthe disk is on fire\x07\n", code=125)
    error = choose_engine_error()
    assert error.what == "docker does not work here: [31mthe disk is on fire"
    assert "docker info" in error.fix


def test_engine_timeout(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_docker, "ENGINE_TIMEOUT_SECONDS", 0.5)
    script(path, "docker", "exec sleep 60")
    assert choose_engine_error().what == "docker did not respond in 0.5 seconds"


def test_running_engine_with_image_is_preferred(path: Path) -> None:
    add_engine(path, "podman", code=0)
    for message, builder in (
        (NOT_RUNNING["docker 20"], "podman"),
        (NO_IMAGE["docker 28"], "docker"),
    ):
        add_engine(path, "docker", message)
        assert choose_engine("i", "").name == "podman"
        assert choose_engine("i", "", to_build=True).name == builder


def test_environment_selects_engine(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_engine(path, "docker", code=0)
    other = add_engine(path, "my-podman", code=0)
    monkeypatch.setenv(ENGINE_SETTING, str(other))
    assert [result.name for result in find_engines("")] == ["my-podman"]
    assert [result.name for result in find_engines("docker")] == ["docker"], (
        "the requested engine wins"
    )


def test_missing_engine_exits_with_hint(path: Path) -> None:
    done = facecrop("check")
    assert (done.code, done.stdout) == (6, "")
    assert "there is no docker and no podman on this machine" in done.stderr
    assert re.search(r"\nhint: install one.*apt-get install podman", done.stderr)


def test_states_of_engines(path: Path) -> None:
    add_engine(path, "docker", NO_IMAGE["docker 28"])
    result = states()
    assert result["docker"]["hint"] == "build it with: facecrop docker build"
    assert result["podman"]["state"] == "there is no podman on this machine"


def test_failed_build_shows_output(path: Path) -> None:
    fails = f"""case "$1" in
      build) echo "args: $*"; echo "no such host" >&2; exit 1;;
      *) echo "{NO_IMAGE["docker 28"]}" >&2; exit 1;;
    esac"""
    script(path, "docker", fails)
    facecrop("build", "--base", "my base", "-q").refused(
        6,
        "docker could not build the image gleanset-animeface-2009",
        f"--build-arg=BASE=my base -- {ROOT}/docker/animeface-2009",
        "no such host",
        "--base IMAGE",
    )
    assert facecrop("build").stderr.count("no such host") == 2, (
        "as output, and in the error"
    )


def test_build_context_is_packaged() -> None:
    folder = find_build_context()
    assert folder == ROOT / "docker" / "animeface-2009"
    dockerfile_words = (folder / "Dockerfile").read_text().split()
    assert all((folder / name).is_file() for name in ("requirements.txt", "server.py"))
    assert {"requirements.txt", "server.py"} <= set(dockerfile_words)
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"][
        "build"
    ]
    assert hatch["targets"]["wheel"]["force-include"]["docker/animeface-2009"] == (
        "facecrop/animeface-2009"
    )
    assert os.fspath("/docker") in hatch["targets"]["sdist"]["include"]
