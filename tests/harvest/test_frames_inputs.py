"""The inputs of `harvest frames`: files, folders, patterns, and files that are not videos."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tools_for_tests import picture

from gleanset.errors import InputUnusable
from harvest.video.inputs import VideoFile, VideoInput, find_inputs

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
