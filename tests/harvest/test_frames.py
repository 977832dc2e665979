"""`harvest frames` on real clips: exact times, odd files and names, exit codes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tools_for_tests import drawn_video, picture, run_here

from gleanset import Dataset, Origin
from gleanset.errors import DiskFull, InputUnusable
from harvest.frames import harvest_frames
from harvest.video.inputs import VideoFile
from harvest.video.sampling import Sampling

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
ALL = ("--skip-similar", "off", "--keep-bad")
NONE = {"added": 0, "duplicate": 0, "known": 0, "rejected": 0}
# Frame N has brightness 30 + 3 N, so its brightness identifies it.
COUNTING = "nullsrc=s=64x48:r={rate}:d={seconds},geq=lum='30+3*N':cb=128:cr=128"


def clip(path: Path, source: str = "", *options: str, rate: float = 10, seconds: float = 6) -> Path:
    source = source or COUNTING.format(rate=rate, seconds=seconds)
    return drawn_video(path, source, "-c:v", "mpeg4", "-q:v", "1", "-g", "5", *options)


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clip") / "counting.mp4")


def harvest(
    dataset: Dataset, *videos: Path, every: float = 1, label: str | None = None
) -> dict[str, object]:
    plain = Sampling(mode="every", every=every, skip_similar=None, drop_bad=False)
    return harvest_frames(dataset, map(VideoFile, videos), plain, label=label, workers=1)


def origins(dataset: Dataset) -> list[Origin]:
    result = [origin for image in dataset.images.iterate() for origin in image.origins]
    return sorted(result, key=lambda origin: (origin.title or "", origin.time or 0))


def times(dataset: Dataset) -> list[float]:
    return [origin.time or 0.0 for origin in origins(dataset)]


def test_frame_times_are_exact(dataset: Dataset, counting: Path) -> None:
    assert harvest(dataset, counting, label="cat") == NONE | {"added": 6}
    assert times(dataset) == pytest.approx([0, 1, 2, 3, 4, 5])
    levels = []
    for image in sorted(dataset.images.iterate(), key=lambda i: i.origins[0].time or 0):
        with Image.open(dataset.image_path(image.sha256, "JPEG")) as pixels:
            levels.append(float(np.asarray(pixels.convert("L")).mean()))
    # Ten frames are 30 steps of brightness, half a frame is 1.5 (1.164 times that in full range).
    steps = np.diff(levels)
    assert steps == pytest.approx([30 * 255 / 219] * 5, abs=1.7)
    assert levels[0] == pytest.approx((30 - 16) * 255 / 219, abs=1.7)
    [first] = [origin for origin in origins(dataset) if origin.time == 0]
    assert (first.source, first.hint, first.title) == ("video", "cat", "counting.mp4")
    assert (first.path, first.scene) == (str(counting), 0)
    assert first.video is not None
    assert len(first.video) == 64


def test_containers_are_read_to_the_end(dataset: Dataset, tmp_path: Path) -> None:
    codecs = {"mpg": "mpeg2video", "h264": "libx264"}
    videos = [
        clip(tmp_path / f"v.{suffix}", "", "-c:v", codec, "-q:v", "2", rate=25, seconds=3)
        for suffix, codec in codecs.items()
    ]
    harvest(dataset, *videos)
    for video in videos:
        own = [origin.time or 0.0 for origin in origins(dataset) if origin.title == video.name]
        assert len(own) in (3, 4)
        # Some containers start at a fraction of a second.
        assert np.diff(own)[1:] == pytest.approx([1] * (len(own) - 2), abs=0.05)


def _text(path: Path) -> None:
    path.write_text("no video at all\n" * 100)


def _empty(path: Path) -> None:
    path.touch()


def _playlist(path: Path) -> None:
    path.write_text(f"#EXTM3U\n#EXTINF:1\nfile:{path.parent}/secret.mp4\n")


def _picture(path: Path) -> None:
    path.write_bytes(picture(1))


def _sound(path: Path) -> None:
    drawn_video(path, "sine=d=1", "-f", "ogg")


def _half(path: Path) -> None:
    # An mp4 without its end has no index, so nothing can be decoded.
    path.write_bytes(path.with_name("secret.mp4").read_bytes()[:3000])


NO_VIDEOS = [_text, _empty, _playlist, _picture, _sound, _half]


def test_non_video_files_are_rejected(dataset: Dataset, tmp_path: Path, counting: Path) -> None:
    shutil.copy(counting, tmp_path / "secret.mp4")
    paths = [tmp_path / f"{make.__name__}.mkv" for make in NO_VIDEOS]
    for make, path in zip(NO_VIDEOS, paths, strict=True):
        make(path)
    with pytest.raises(InputUnusable) as caught:
        harvest(dataset, *paths)
    for path in paths:
        assert re.search(rf"{path.name}: not a video: .+", str(caught.value))
    assert dataset.images.count() == 0
    rejected = {rejection.item: rejection for rejection in dataset.rejections.iterate()}
    assert rejected.keys() == set(map(str, paths))
    assert {rejection.reason for rejection in rejected.values()} == {"not a video"}
    assert all(rejection.detail for rejection in rejected.values())


ODD = [
    b"-y quote'\"[in];,= new\nline.mp4",
    b"pipe:%08d back\\slash*?# latin\xe9.mp4",
    "日本".encode(),
]


def test_unusual_paths_are_sampled(tmp_path: Path, counting: Path) -> None:
    for name in ODD:
        # A few bytes more at the end make it a different file.
        (tmp_path / os.fsdecode(name)).write_bytes(counting.read_bytes() + b"\0" * ODD.index(name))
    line = ("frames", "--every", "3s", *ALL, "-d", "d", "--json", "--")
    done = run_here("harvest.cli", *line, *ODD, cwd=tmp_path)
    assert (done.code, done.stderr) == (0, "")
    # The same frames from other files are the same images with other origins.
    assert done.json == NONE | {"added": 2, "duplicate": 2 * len(ODD) - 2}
    with Dataset.open(tmp_path / "d") as dataset:
        titles = {str(origin.title) for origin in origins(dataset)}
        assert titles == {name.decode(errors="backslashreplace") for name in ODD}


@pytest.fixture
def episodes(tmp_path: Path, counting: Path) -> Path:
    """Make a folder of two videos, one of them in a subfolder, and another file."""
    folder = tmp_path / "in"
    (folder / "extra").mkdir(parents=True)
    for number, name in enumerate(("1.mkv", "extra/2.avi")):
        (folder / name).write_bytes(counting.read_bytes() + b"\0" * number)
    (folder / "notes.txt").write_text("no video")
    return folder


def test_bad_file_does_not_affect_others(episodes: Path, tmp_path: Path) -> None:
    (episodes / "broken.mkv").write_bytes(b"\x1aE\xdf\xa3 cut off")
    line = ("frames", "--every", "3s", *ALL, "-d", tmp_path / "d", "--json")
    done = run_here("harvest.cli", *line, episodes)
    assert done.code == 0
    counts = {name: done.json[name] for name in ("added", "duplicate", "rejected")}
    assert counts == {"added": 2, "duplicate": 2, "rejected": 1}
    broken = run_here("harvest.cli", *line, episodes / "broken.mkv")
    assert broken.code == 3
    assert "broken.mkv: " in broken.stderr
    assert "Traceback" not in broken.stderr


def test_simulation_lists_videos(episodes: Path, tmp_path: Path) -> None:
    line = ("frames", "--every", "3s", "-d", tmp_path / "d", "--json")
    done = run_here("harvest.cli", *line, "--simulate", episodes)
    assert done.code == 0, done.stderr
    videos = [str(episodes / name) for name in ("1.mkv", "extra/2.avi")]
    assert done.stdout.splitlines()[:-1] == videos
    assert done.json["videos"] == 2
    assert not (tmp_path / "d").exists()
    assert run_here("harvest.cli", *line, videos[0]).code == 0
    second = run_here("harvest.cli", *line, "--simulate", episodes)
    assert (second.json["videos"], second.json["known"]) == (1, 1)


def test_full_disk_leaves_video_unfinished(
    tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("size=1500k")
    video = clip(tmp_path / "v.mp4", "nullsrc=s=320x240:r=10:d=3,geq=random(1)*255:128:128")
    with Dataset.create(disk / "d") as dataset:
        with pytest.raises(DiskFull):
            harvest(dataset, video, every=0.1)
        assert list(dataset.rejections.iterate()) == []
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        result = harvest(dataset, video, every=0.1)
        assert len(times(dataset)) == 30
        assert result["rejected"] == 0
