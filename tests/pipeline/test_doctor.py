"""`gleanset doctor`: the state of each component, and a hint for missing ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tools_for_tests import Ran, run_here

from gleanset.platform import has_display

TOKEN = "a-secret-token"
Doctor = Callable[..., Ran]


@pytest.fixture
def no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings, keys and display of the user who runs the tests."""
    for name in list(os.environ):
        if name.startswith(("FLICKR_", "PIXIV_", "DISPLAY", "WAYLAND", "QT_")):
            monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


@pytest.fixture
def doctor(no_credentials: None, tmp_path: Path) -> Doctor:
    return partial(run_here, "pipeline.cli", "doctor", cwd=tmp_path)


def parts(done: Ran) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in done.json["parts"]}


@pytest.mark.slow
def test_components_have_status_and_hint(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor("--json")
    assert done.code == 0, done.stderr
    result = parts(done)
    assert result["ffmpeg"]["ok"]
    assert result["drawnface"]["ok"]
    assert result["animeface"]["ok"] is (find_spec("animeface") is not None)
    assert "downloaded on first use" in result["cascade"]["finding"]
    assert result["flickr"]["hint"] == "harvest login flickr"
    assert result["window"]["ok"] is has_display()
    assert all(part["hint"] for part in result.values() if not part["ok"])
    assert list(tmp_path.iterdir()) == [], "nothing is written"


@pytest.mark.slow
def test_credentials_are_detected_but_not_printed(doctor: Doctor) -> None:
    done = doctor(PIXIV_REFRESH_TOKEN=TOKEN, DISPLAY=":7")
    lines = done.stdout.splitlines()
    assert any(line.split()[:2] == ["ok", "pixiv"] for line in lines)
    assert any(line.split()[:2] == ["ok", "window"] for line in lines)
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.slow
def test_missing_required_component_sets_exit_code(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor("--json", PATH=str(tmp_path), IMAGEIO_FFMPEG_EXE="/nowhere/ffmpeg")
    assert done.code == 6
    assert parts(done)["ffmpeg"]["needed"]
    assert "apt-get install ffmpeg" in parts(done)["ffmpeg"]["hint"]
    assert "apt-get install ffmpeg" in done.stderr


@pytest.mark.slow
def test_unwritable_disk_is_reported(doctor: Doctor) -> None:
    result = parts(doctor("--json", "-d", "/proc/nobody/here"))
    assert not result["disk"]["ok"]
    assert "-d" in result["disk"]["hint"]
