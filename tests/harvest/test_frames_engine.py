"""Frame selection without videos: cuts, schedules, frame numbers, choices."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import tools_for_tests

from gleanset import Dataset
from harvest.frames import harvest_frames
from harvest.video.cuts import CutFinder, SceneCut
from harvest.video.inputs import VideoFile
from harvest.video.sampling import Sampling

RATE = 24


def thumb(seed: int) -> np.ndarray:
    small = tools_for_tests.pixels(seed, (64, 36)).convert("YCbCr")
    return np.asarray(small).transpose(2, 0, 1)


def film(*shots: tuple[int, int]) -> np.ndarray:
    """Make a film of (image, frames) in sequence; image -1 is black."""
    black = np.full((3, 36, 64), 128, dtype=np.uint8)
    black[0] = 16
    return np.stack([black if n < 0 else thumb(n) for n, count in shots for _ in range(count)])


def dissolve(first: int, second: int, frames: int) -> np.ndarray:
    a, b = (film((seed, 1))[0].astype(float) for seed in (first, second))
    parts = [(n + 1) / (frames + 1) for n in range(frames)]
    return np.stack([(a + (b - a) * part).astype(np.uint8) for part in parts])


def cuts(thumbs: np.ndarray, block: int = 24, since: float = -math.inf) -> list[SceneCut]:
    times = np.arange(len(thumbs)) / RATE
    results = CutFinder(since)
    result: list[SceneCut] = []
    for at in range(0, len(thumbs), block):
        result += results.feed(times[at : at + block], thumbs[at : at + block])
    return [*result, *results.finish()]


@pytest.mark.parametrize("frames", [8, 30])
def test_dissolve_is_one_cut(frames: int) -> None:
    thumbs = np.concatenate([film((1, 50)), dissolve(1, 2, frames), film((2, 50))])
    [cut] = cuts(thumbs)
    assert cut.time * RATE == pytest.approx(50 + frames / 2, abs=frames / 2)
    assert cut.begin < cut.time < cut.end


def test_fade_in_counts_only_after_scene() -> None:
    black = film((-1, 20))
    fade = dissolve(-1, 1, 20)
    begins = cuts(np.concatenate([black, fade, film((1, 50))]))
    assert [cut for cut in begins if cut.starts_scene] == []
    assert begins, "frames of the fade are marked"
    other = cuts(np.concatenate([film((2, 50)), black, fade, film((1, 50))]))
    assert [cut.time * RATE for cut in other if cut.starts_scene] == [50]
    slow = np.concatenate([film((2, 50)), dissolve(2, -1, 20), black, fade, film((1, 50))])
    assert len([cut for cut in cuts(slow) if cut.starts_scene]) == 1


def test_cuts_are_independent_of_block_size() -> None:
    thumbs = np.concatenate(
        [
            film((1, 30), (2, 9), (3, 1), (2, 30)),
            dissolve(2, 4, 16),
            film((4, 60), (5, 70), (-1, 9)),
        ]
    )
    all_cuts = cuts(thumbs)
    assert len([cut for cut in all_cuts if cut.starts_scene]) >= 3
    for block in (1, 7, 1000):
        assert cuts(thumbs, block) == all_cuts
    done = all_cuts[0].time
    later = cuts(thumbs, since=done)
    assert later == [cut for cut in all_cuts if cut.time > done]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animated_images_are_sampled(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    frames = [tools_for_tests.pixels(n, (96, 64)) for n in range(4)]
    path = tmp_path / "sticker.bin"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], duration=250)
    plain = Sampling(mode="every", every=0.25, skip_similar=None, drop_bad=False)
    assert harvest_frames(dataset, [VideoFile(path)], plain)["added"] == 4
    times = sorted(image.origins[0].time or 0.0 for image in dataset.images.iterate())
    assert times == pytest.approx([0, 0.25, 0.5, 0.75])


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_crop_bars_option(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "bars.mp4"
    barred = "testsrc2=s=320x180:d=2:r=10,crop=320:136,pad=320:180:0:22"
    tools_for_tests.drawn_video(path, barred, "-c:v", "mpeg4")
    harvest_frames(dataset, [VideoFile(path)], Sampling(crop_bars=True, limit=1))
    [image] = dataset.images.iterate()
    assert (image.width, image.height) == (320, 136)
