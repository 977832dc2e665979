"""Command-line options of `harvest frames`, the sampling they select, and its inputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tools_for_tests import picture

import harvest.cli
from gleanset.errors import InputUnusable, UsageError
from harvest.cli import frames
from harvest.request import FramesRequest
from harvest.video.inputs import VideoFile, VideoInput, find_inputs
from harvest.video.options import parse_time
from harvest.video.sampling import SIMILAR, Sampling


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12:34", 754),
        ("1:02:03.5", 3723.5),
        ("0:00", 0),
        ("90s", 90),
        ("1.5m", 90),
        ("500ms", 0.5),
        ("0", 0),
        ("1h", 3600),
        (" 1:05 ", 65),
    ],
)
def test_parse_time(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds)


SAMPLINGS: list[tuple[dict[str, Any], Sampling]] = [
    ({}, Sampling()),
    ({"every": "5s"}, Sampling("every", every=5.0)),
    ({"every": "1/5fps"}, Sampling("every", every=5.0)),
    ({"keyframes": True}, Sampling("keyframes")),
    ({"scenes": 3}, Sampling("scenes", per_scene=3)),
    ({"start": "1:00", "end": "2:00", "limit": 7}, Sampling(start=60.0, end=120.0, limit=7)),
    ({"size": "960x540"}, Sampling(width=960, height=540)),
    ({"size": "x540"}, Sampling(height=540)),
    ({"format": "jpg:80"}, Sampling(format="jpeg", quality=80)),
    ({"format": "png"}, Sampling(format="png")),
    ({"skip_similar": True}, Sampling()),
    ({"skip_similar": 0}, Sampling(skip_similar=0)),
    ({"skip_openings": True}, Sampling(skip_openings=True)),
    ({"skip_similar": False, "keep_bad": True}, Sampling(skip_similar=None, drop_bad=False)),
]


@pytest.mark.parametrize(("options", "sampling"), SAMPLINGS)
def test_request_gives_sampling(options: dict[str, Any], sampling: Sampling) -> None:
    assert FramesRequest(videos=("a",), **options).sampling() == sampling


CONTRADICTIONS: list[dict[str, Any]] = [
    {"keyframes": True, "scenes": 1},
    {"every": "1s", "scenes": 1},
    {"format": "png:90"},
    {"format": "jpeg:0"},
    {"size": "96x54!"},
    {"size": "0x5"},
    {"size": "5x99999"},
    {"start": "2:00", "end": "1:00"},
    {"format": "webp"},
    {"every": "0s"},
    {"end": "0"},
    {"every": ""},
    {"size": ""},
]


@pytest.mark.parametrize("options", CONTRADICTIONS)
def test_contradictory_options_raise_error(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        FramesRequest(videos=("a",), **options).sampling()
    assert caught.value.fix


def parse_arguments(*args: str) -> FramesRequest:
    """Return the request that the real command makes of its arguments."""
    requests: list[FramesRequest] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harvest.cli, "carry_out", lambda _, request: requests.append(request))
        frames.main(["-q", *args], standalone_mode=False)
    return requests[0]


def test_skip_similar_option() -> None:
    assert parse_arguments("a").skip_similar == SIMILAR
    assert parse_arguments("--skip-similar", "3", "a").skip_similar == 3
    assert parse_arguments("--skip-similar", "off", "a").sampling().skip_similar is None
    with pytest.raises(UsageError, match="99"):
        parse_arguments("--skip-similar", "99", "a")
    assert CliRunner().invoke(frames, ["--scenes", "0", "a"]).exit_code == 2


MKV = b"\x1aE\xdf\xa3" + bytes(60)


def fail_on_url(url: str) -> VideoInput:
    raise AssertionError(f"not an address: {url}")


def find_paths(*arguments: str | Path) -> list[Path]:
    inputs = find_inputs(arguments, fail_on_url)
    assert all(isinstance(video, VideoFile) for video in inputs)
    return [video.path for video in inputs if isinstance(video, VideoFile)]


def names(*arguments: str | Path) -> list[str]:
    return [path.name for path in find_paths(*arguments)]


def test_folders_are_searched_recursively_in_natural_order(tmp_path: Path) -> None:
    for name in ("10.mkv", "2.mkv", "1.MKV", "sub/3.mp4", "sub/deep/4.ts"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(MKV)
    for name, content in {
        "1.srt": b"1\n00:00",
        "cover.jpg": picture(),
        "sound.mka": MKV,
        "2.mkv.part": MKV,
        ".hidden.mkv": MKV,
        "readme.md": b"x",
        "empty": b"",
    }.items():
        (tmp_path / "in" / name).write_bytes(content)
    assert names(tmp_path / "in") == ["1.MKV", "2.mkv", "10.mkv", "3.mp4", "4.ts"]


def test_glob_patterns_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ep10.mkv", "ep2.mkv", "ep2.srt", "deep/ep3.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(MKV if name.endswith("mkv") else b"1\n")
    assert names("ep*") == ["ep2.mkv", "ep10.mkv"]
    assert names("**/*.mkv") == ["ep3.mkv", "ep2.mkv", "ep10.mkv"]
    assert names("ep?.mkv") == ["ep2.mkv"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names("~/ep2.*") == ["ep2.mkv"]
    # Nothing else matches, so the file is passed on and reported as not a video.
    assert names("*.srt") == ["ep2.srt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("gone.mkv", "there is no file"),
        ("gone*.mkv", "nothing matches"),
        ("empty", "no video in"),
        ("x" * 300, "there is no file"),
        ("pipe", "is not a file"),
    ],
)
def test_missing_input_raises_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no video")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputUnusable, match=message) as caught:
        find_paths(arguments)
    assert caught.value.fix
