"""From a picture back to its moment: the commands are run, the frames they show compared."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tools_for_tests import drawn_video, picture, run_here

from gleanset import Dataset, Origin
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.store import sha256_of_file
from gleanset.images.measure import measure
from gleanset.records import Measured
from harvest.video.playback import find_moments

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
BASH = shutil.which("bash")


def clip(path: Path) -> Path:
    """Three seconds; frame N has brightness 30 + 6 N and comes at N / 10 seconds."""
    source = "nullsrc=s=64x48:r=10:d=3,geq=lum='30+6*N':cb=128:cr=128"
    return drawn_video(path, source, "-c:v", "mpeg4", "-q:v", "1", "-g", "5")


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clip") / "episode.mkv")


def keep(dataset: Dataset, *origins: Origin, seed: int = 0) -> Measured:
    """A stored picture with these origins."""
    data = picture(seed)
    measured = measure(data)
    dataset.originals(dataset.cache).put(measured.sha256, measured.format, data)
    for origin in origins:
        dataset.images.add(measured, origin)
    return measured


def frame(video: Path, time: float, **others: object) -> Origin:
    sha256 = sha256_of_file(video)
    told = {"path": str(video), "title": video.name, **others}
    return Origin("video", f"{sha256[:16]}@{time:.3f}", video=sha256, time=time, **told)  # type: ignore[arg-type]


def words(command: str) -> list[str]:
    """What a shell makes of a command."""
    if BASH is None:
        pytest.skip("needs bash")
    line = f"for word in {command}; do printf '%s\\0' \"$word\"; done"
    told = subprocess.run([BASH, "-c", line], check=True, capture_output=True).stdout
    return [os.fsdecode(word) for word in told.split(b"\0")[:-1]]


def players(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *names: str) -> None:
    """Only these players, and ffmpeg."""
    folder = tmp_path / "players"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    (folder / "ffmpeg").symlink_to(str(shutil.which("ffmpeg")))
    monkeypatch.setenv("PATH", str(folder))


def brightness(*seek: str) -> float:
    """Of the frame that ffmpeg shows with the very options of ffplay."""
    line = ["ffmpeg", "-v", "error", *seek, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray"]
    told = subprocess.run([*line, "-"], check=True, capture_output=True).stdout
    return float(np.frombuffer(told, dtype=np.uint8).mean())


def test_mpv_is_told_the_files_own_time(
    dataset: Dataset, episode: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = keep(dataset, frame(episode, 1.2345678, scene=3))
    players(monkeypatch, tmp_path, "mpv", "ffplay")
    [moment] = find_moments(dataset, image.sha256)
    # Never rounded up: the player would have passed the frame.
    assert moment.command == f"mpv --rebase-start-time=no --start=1.234 --pause -- {episode}"
    assert (moment.video, moment.time, moment.scene) == (sha256_of_file(episode), 1.2345678, 3)
    players_gone = tmp_path / "none"
    monkeypatch.setenv("PATH", str(players_gone))
    assert find_moments(dataset, image.sha256) == [moment], "mpv is named where there is no player"


def test_ffplay_is_told_the_time_since_the_beginning(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = clip(tmp_path / "v.ts")
    line = ["ffprobe", "-v", "error", "-show_entries", "frame=pts_time", "-of", "csv=p=0"]
    told = subprocess.run([*line, str(video)], check=True, capture_output=True, text=True).stdout
    # A transport stream begins at 1.4 seconds.
    time = [float(line.strip(",")) for line in told.split()][12]
    image = keep(dataset, frame(video, time))
    players(monkeypatch, tmp_path, "ffplay")
    [moment] = find_moments(dataset, image.sha256)
    player, *seek = words(moment.command)
    assert player == "ffplay"
    monkeypatch.undo()
    assert brightness(*seek) == pytest.approx((30 + 6 * 12 - 16) * 255 / 219, abs=2)


ODD = [
    b"with space.mkv",
    b"quote'\"$HOME`.mkv",
    b"new\nline\t1.mkv",
    b"-y.mkv",
    b"latin\xe9.mkv",
    b"back\\slash*.mkv",
    "日本 7.mkv".encode(),
]


@pytest.mark.parametrize(("player", "names"), [("mpv", ODD), ("ffplay", ODD[-3:])])
def test_any_path_is_one_word_on_one_line(
    dataset: Dataset,
    tmp_path: Path,
    episode: Path,
    player: str,
    names: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    players(monkeypatch, tmp_path, player)
    for seed, name in enumerate(names):
        video = tmp_path / os.fsdecode(name)
        shutil.copy(episode, video)
        shown = os.fsencode(video).decode("utf-8", "backslashreplace")
        image = keep(dataset, frame(video, 0.5, path=shown, title="t"), seed=seed)
        [moment] = find_moments(dataset, image.sha256)
        video.unlink()
        assert moment.place == video
        assert "\n" not in moment.command
        moment.command.encode()
        assert words(moment.command)[-1].removeprefix("file:") == str(video)


def test_a_video_is_found_by_its_content(dataset: Dataset, tmp_path: Path, episode: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there" / "deeper"
    for folder in (here, there):
        folder.mkdir(parents=True)
    old = here / "old.mkv"
    shutil.copy(episode, old)
    image = keep(dataset, frame(old, 1.0))
    old.rename(here / "new name.mkv")
    # Another episode took its name, a third lies there as well.
    old.write_bytes(episode.read_bytes() + b"\0")
    shutil.copy(old, here / "third.mkv")
    [moment] = find_moments(dataset, image.sha256)
    assert moment.place == here / "new name.mkv"
    (here / "new name.mkv").rename(there / "moved.mkv")
    with pytest.raises(InputUnusable, match=r"old\.mkv") as caught:
        find_moments(dataset, image.sha256)
    assert "--at" in caught.value.mend
    [moment] = find_moments(dataset, image.sha256, [tmp_path / "there"])
    assert moment.place == there / "moved.mkv"


def test_what_a_picture_may_be_called(dataset: Dataset, tmp_path: Path, episode: Path) -> None:
    image = keep(dataset, frame(episode, 1.0))
    keep(dataset, frame(episode, 2.0), seed=1)
    stored = dataset.image_path(image.sha256, "JPEG")
    copy = tmp_path / "exported as something.jpg"
    shutil.copy(stored, copy)
    for text in (image.sha256, image.sha256[:8], str(stored), str(copy)):
        assert [moment.time for moment in find_moments(dataset, text)] == [1.0], text
    with pytest.raises(UsageError, match="no image"):
        find_moments(dataset, "ffff" * 16)


def test_a_cut_leads_to_the_frame_it_was_cut_from(
    dataset: Dataset, tmp_path: Path, episode: Path
) -> None:
    image = keep(dataset, frame(episode, 1.0))
    ran = run_here("facecrop.cli", "run", "--detector", "whole", "-d", dataset.root)
    assert ran.code == 0, ran.stderr
    [sample] = dataset.samples.by_key()
    assert sample.image == image.sha256
    cut = dataset.crop_path(sample.key)
    cut.parent.mkdir(parents=True, exist_ok=True)
    cut.write_bytes(picture(5))
    shutil.copy(cut, tmp_path / "exported.jpg")
    for text in (sample.key, str(cut), str(tmp_path / "exported.jpg")):
        assert [moment.time for moment in find_moments(dataset, text)] == [1.0], text
