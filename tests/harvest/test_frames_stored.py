"""Stored frames: those in the catalogue are never removed, missing ones are sampled again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tools_for_tests import drawn_video

from gleanset import Dataset
from gleanset.work.progress import Progress
from harvest.frames import harvest_frames
from harvest.video.inputs import VideoFile
from harvest.video.sampling import Sampling
from pipeline.maintenance.verify import verify

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
ALL = Sampling("every", every=1.0, skip_similar=None, drop_bad=False, skip_openings=True)


def ffmpeg(*words: str | Path) -> None:
    line = ["ffmpeg", "-v", "error", "-y", *map(str, words)]
    subprocess.run(line, check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Make two episodes that share an intro of 20 identical seconds."""
    folder = tmp_path_factory.mktemp("episodes")
    cellauto = "cellauto=s=192x108:r=10:rule={}:seed=3"
    for name, source, seconds in (
        ("opening", cellauto.format(110), 20),
        ("a", "testsrc2=s=192x108:r=10", 6),
        ("b", "testsrc=s=192x108:r=10", 6),
    ):
        options = ("-t", str(seconds), "-pix_fmt", "yuv420p", "-preset", "ultrafast")
        drawn_video(folder / f"{name}.ts", source, *options)
    for name in "ab":
        (folder / f"{name}.txt").write_text(f"file 'opening.ts'\nfile '{name}.ts'\n")
        ffmpeg("-f", "concat", "-i", folder / f"{name}.txt", "-c", "copy", folder / f"{name}.mp4")
    return [folder / "a.mp4", folder / "b.mp4"]


def check(dataset: Dataset, *, repair: bool = False) -> dict[str, object]:
    return verify(dataset, repair=repair, progress=Progress())


def states(dataset: Dataset) -> set[str]:
    return {image.state for image in dataset.images.iterate()}


@pytest.mark.parametrize("skip_openings", [pytest.param(False, marks=pytest.mark.long), True])
def test_missing_frame_is_sampled_again(
    dataset: Dataset, episodes: list[Path], skip_openings: bool
) -> None:
    wanted = Sampling("every", every=1.0, skip_similar=None, skip_openings=skip_openings)
    harvest_frames(dataset, map(VideoFile, episodes), wanted)
    images = dataset.images.count()
    for path in sorted((dataset.root / "images").rglob("*.jpg"))[::4]:
        path.unlink()
    assert check(dataset, repair=True)["repaired"] == 0
    assert states(dataset) == {"ok", "missing"}
    harvest_frames(dataset, map(VideoFile, episodes), wanted)
    assert states(dataset) == {"ok"}
    assert check(dataset)["sound"] == dataset.images.count() == images
    assert not list(dataset.rejections.iterate())
    assert harvest_frames(dataset, map(VideoFile, episodes), wanted)["added"] == 0
