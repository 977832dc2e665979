"""`gleanset doctor` tells what is there, what is not, and what mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-nobody-may-see"


def doctor(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command, away from the user's settings and keys."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FLICKR_", "PIXIV_", "DISPLAY", "WAYLAND", "QT_"))
    }
    own = {
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(folder),
        "XDG_CACHE_HOME": str(folder),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    return subprocess.run(
        [sys.executable, "-c", "from pipeline.cli import main; main()", "doctor", *words],
        env=kept | own | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def parts(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in json.loads(done.stdout.splitlines()[-1])["parts"]}


@pytest.mark.slow
def test_what_is_there_and_what_mends_the_rest(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    found = parts(done)
    assert found["ffmpeg"]["ok"]
    assert found["animeface"]["there"] == "finds a drawn face"
    assert "fetched when it is first used" in found["cascade"]["there"]
    assert found["flickr"]["mend"] == "harvest login flickr"
    assert not found["window"]["ok"]
    assert all(part["mend"] for part in found.values() if not part["ok"])
    assert list(tmp_path.iterdir()) == [], "it changes nothing"


@pytest.mark.slow
def test_keys_and_a_display_are_seen_and_not_shown(tmp_path: Path) -> None:
    done = doctor(tmp_path, PIXIV_REFRESH_TOKEN=TOKEN, DISPLAY=":7")
    lines = done.stdout.splitlines()
    assert any(line.split()[:2] == ["ok", "pixiv"] for line in lines)
    assert any(line.split()[:2] == ["ok", "window"] for line in lines)
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.slow
def test_without_what_is_needed_the_exit_code_says_so(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--json", PATH=str(tmp_path), IMAGEIO_FFMPEG_EXE="/nowhere/ffmpeg")
    assert done.returncode == 6
    assert parts(done)["ffmpeg"]["needed"]
    assert "apt-get install ffmpeg" in parts(done)["ffmpeg"]["mend"]
    assert "apt-get install ffmpeg" in done.stderr


@pytest.mark.slow
def test_a_disk_without_space_is_told(tmp_path: Path) -> None:
    found = parts(doctor(tmp_path, "--json", "-d", "/proc/nobody/here"))
    assert not found["disk"]["ok"]
    assert "-d" in found["disk"]["mend"]
