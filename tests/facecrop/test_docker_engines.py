"""Engines that are missing, not running, not permitted or without the image.

The engines are shell scripts that print the messages of docker and podman.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from tools_for_tests import ROOT, Ran, run_here

from facecrop import run_docker
from facecrop.cli_docker import build_context, states
from facecrop.run_docker import ENGINE_SETTING, ImageNotBuilt, choose_engine, find_engines
from gleanset.errors import MissingComponent

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


def engine(path: Path, name: str, message: str = "", code: int = 1) -> Path:
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


def test_no_engine_installed(path: Path) -> None:
    error = choose_engine_error()
    assert error.what == "there is no docker and no podman on this machine"
    assert "apt-get install podman" in error.fix


@pytest.mark.parametrize(
    ("version", "error", "what", "fix"),
    [
        *(
            (key, NOT_RUNNING[key], "{} is installed but is not running", "start")
            for key in NOT_RUNNING
        ),
        *(
            (key, NOT_PERMITTED[key], "you are not permitted to use {}", "usermod -aG docker")
            for key in NOT_PERMITTED
        ),
        *((key, NO_IMAGE[key], "{} has no image i", "facecrop docker build") for key in NO_IMAGE),
    ],
)
def test_engine_error_has_hint(path: Path, version: str, error: str, what: str, fix: str) -> None:
    name = version.split()[0]
    engine(path, name, error)
    raised = choose_engine_error()
    assert raised.what.startswith(what.format(name))
    assert fix in raised.fix
    assert isinstance(raised, ImageNotBuilt) == (error in NO_IMAGE.values())


def test_engine_with_unknown_error(path: Path) -> None:
    engine(path, "docker", "something\n\x1b[31mthe disk is on fire\x07\n", code=125)
    error = choose_engine_error()
    assert error.what == "docker does not work here: [31mthe disk is on fire"
    assert "docker info" in error.fix


def test_engine_timeout(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_docker, "ENGINE_TIMEOUT_SECONDS", 0.5)
    script(path, "docker", "exec sleep 60")
    assert choose_engine_error().what == "docker did not respond in 0.5 seconds"


def test_podman_replaces_stopped_docker(path: Path) -> None:
    engine(path, "docker", NOT_RUNNING["docker 20"])
    engine(path, "podman", code=0)
    assert choose_engine("i").name == "podman"


def test_engine_with_image_is_preferred(path: Path) -> None:
    engine(path, "docker", NO_IMAGE["docker 28"])
    engine(path, "podman", code=0)
    assert choose_engine("i").name == "podman"
    assert choose_engine("i", to_build=True).name == "docker"


def test_environment_selects_engine(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(path, "docker", code=0)
    other = engine(path, "my-podman", code=0)
    monkeypatch.setenv(ENGINE_SETTING, str(other))
    assert [result.name for result in find_engines()] == ["my-podman"]
    assert [result.name for result in find_engines("docker")] == ["docker"], (
        "the requested engine wins"
    )


def test_missing_engine_exits_with_hint(path: Path) -> None:
    done = facecrop("check")
    assert (done.code, done.stdout) == (6, "")
    assert "there is no docker and no podman" in done.stderr
    assert "\nhint: install one" in done.stderr


def test_states_of_engines(path: Path) -> None:
    engine(path, "docker", NO_IMAGE["docker 28"])
    result = states()
    assert result["docker"]["hint"] == "build it with: facecrop docker build"
    assert result["podman"]["state"] == "there is no podman on this machine"


def test_failed_build_shows_output(path: Path) -> None:
    fails = f"""case "$1" in
      build) echo "args: $*"; echo "no such host" >&2; exit 1;;
      *) echo "{NO_IMAGE["docker 28"]}" >&2; exit 1;;
    esac"""
    script(path, "docker", fails)
    done = facecrop("build", "--base", "my base", "-q")
    assert done.code == 6
    assert "docker could not build the image gleanset-animeface-2009" in done.stderr
    assert f"--build-arg=BASE=my base -- {ROOT}/docker/animeface-2009" in done.stderr
    assert "no such host" in done.stderr
    assert "--base IMAGE" in done.stderr
    assert facecrop("build").stderr.count("no such host") == 2, "as output, and in the error"


def test_build_context_is_packaged() -> None:
    folder = build_context()
    assert folder == ROOT / "docker" / "animeface-2009"
    dockerfile_words = (folder / "Dockerfile").read_text().split()
    assert all((folder / name).is_file() for name in ("requirements.txt", "server.py"))
    assert {"requirements.txt", "server.py"} <= set(dockerfile_words)
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert hatch["targets"]["wheel"]["force-include"]["docker/animeface-2009"] == (
        "facecrop/animeface-2009"
    )
    assert os.fspath("/docker") in hatch["targets"]["sdist"]["include"]
