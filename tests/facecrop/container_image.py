"""Build the container image of animeface without an image registry.

The base is a Debian made by mmdebstrap with the two Python packages, so that the Dockerfile
builds unchanged and offline.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock
from tools_for_tests import ROOT, run_cli

from facecrop.detectors.animeface_docker import IMAGE_SETTING
from facecrop.run_docker import ENGINE_SETTING, ContainerEngine, choose_engine
from gleanset.errors import MissingComponent

BASE = "gleanset-test-base:bookworm-1"
"""Kept in the engine between runs: building it takes half a minute."""

IMAGE = "gleanset-animeface-2009:test"
CONTEXT = ROOT / "docker" / "animeface-2009"
# The Python of Debian bookworm.
DOWNLOAD = """-m pip download --quiet --no-deps --require-hashes --only-binary=:all:
--python-version=3.11 --platform=manylinux_2_28_x86_64 --platform=manylinux_2_17_x86_64"""


@functools.cache
def build_image() -> ContainerEngine:
    """Return a working engine that has the image, or skip the test."""
    try:
        engine = choose_engine(BASE, "", to_build=True)
    except MissingComponent as error:
        pytest.skip(f"needs a container engine: {error.what}")
    # Several test processes may build at once.
    with FileLock(
        Path(tempfile.gettempdir()) / f"gleanset-test-{engine.name}-{os.getuid()}.lock"
    ):
        if engine.find_trouble(BASE) is not None:
            _import_base(engine)
        try_out = [
            engine.program,
            "run",
            "--rm",
            "--network=none",
            BASE,
            "python3",
            "--version",
        ]
        _run(try_out, f"run a container with {engine.name}")
        setting = {ENGINE_SETTING: engine.program, IMAGE_SETTING: IMAGE}
        done = run_cli(
            "facecrop.cli", "docker", "build", "--base", BASE, timeout=600, **setting
        )
    assert done.code == 0, done.stderr
    return engine


def _import_base(engine: ContainerEngine) -> None:
    if not shutil.which("mmdebstrap"):
        pytest.skip(
            "needs mmdebstrap, to make a base image where no registry is in reach"
        )
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "files"
        place = [
            "--dest",
            str(files / "wheels"),
            "-r",
            str(CONTEXT / "requirements.txt"),
        ]
        _run([sys.executable, *DOWNLOAD.split(), *place], "download two packages")
        base = Path(folder) / "base.tar"
        packages = "--include=python3,python3-venv"
        _run(
            ["mmdebstrap", "--variant=minbase", packages, "bookworm", str(base)],
            "make a Debian",
        )
        _run(
            ["tar", "-rf", str(base), "-C", str(files), "./wheels"], "add the packages"
        )
        changes = [
            "--change",
            "ENV PIP_NO_INDEX=1",
            "--change",
            "ENV PIP_FIND_LINKS=/wheels",
        ]
        _run([engine.program, "import", *changes, str(base), BASE], "import the base")


def _run(command: list[str], task: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        pytest.skip(f"could not {task}: {done.stderr[-300:]}")
