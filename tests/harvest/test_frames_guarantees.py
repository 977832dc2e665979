"""Guarantees of `harvest frames`, checked from outside on generated clips with known truth."""

import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pytest
from tools_for_tests import ROOT, python, run_here

from gleanset import Dataset, Origin
from harvest.video.sampler import make_plan, read_facts
from harvest.video.sampling import Sampling

sys.path.insert(0, str(ROOT / "benchmarks"))
import unusual_clips
from generated_films import (
    EPISODE_INTRO_SECONDS,
    Film,
    FrameEvaluator,
    TimedFrame,
    write_episodes,
    write_short_clip,
)

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
ALL = ("--skip-similar", "off", "--keep-bad")


@dataclass(frozen=True)
class Frame:
    """An origin of an image of a dataset, with its file."""

    path: Path
    sha256: str
    size: tuple[int, int]
    origin: Origin

    @property
    def time(self) -> float:
        assert self.origin.time is not None
        return self.origin.time


Sample = Callable[..., list[Frame]]


def load_frames(folder: Path) -> list[Frame]:
    with Dataset.open(folder) as dataset:
        result = [
            Frame(
                dataset.image_path(image.sha256, image.format),
                image.sha256,
                (image.width, image.height),
                origin,
            )
            for image in dataset.images.iterate()
            for origin in image.origins
        ]
    return sorted(result, key=lambda frame: (frame.origin.title or "", frame.time))


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """Return `sample(video, ..., options)`: the frames in a new dataset, by video and time."""
    numbers = count()

    def run(*arguments: str | Path, folder: Path | None = None) -> list[Frame]:
        into = folder or tmp_path / f"dataset{next(numbers)}"
        run_here("harvest.cli", "frames", *arguments, "-d", into).checked()
        return load_frames(into)

    return run


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def film(clips: Path) -> tuple[Path, Film]:
    path = clips / "short.mp4"
    return path, write_short_clip(path)


@pytest.fixture(scope="module")
def steady(clips: Path) -> Path:
    return unusual_clips.write_numbered(clips / "steady.mp4", 240)


@pytest.fixture(scope="module")
def uneven(clips: Path) -> Path:
    return unusual_clips.write_variable_rate(clips / "uneven.mkv")


def to_timed(frames: list[Frame]) -> list[TimedFrame]:
    return [TimedFrame(frame.path, frame.time) for frame in frames]


def test_every_shot_is_sampled_once(sample: Sample, film: tuple[Path, Film]) -> None:
    video, truth = film
    result = FrameEvaluator(truth).evaluate(to_timed(sample(video)))
    assert result["missed"] == []
    assert result["near %"] <= 10
    assert (result["second intro"], result["useless"]) == (0, {})
    right, of = map(int, result["times that agree"].split("/"))
    assert right == of > 0


def test_frame_content_matches_time(sample: Sample, steady: Path, uneven: Path) -> None:
    for video in (steady, uneven):
        times = unusual_clips.probe_times(video)
        frames = sample(video, "--every", "0.7s", *ALL)
        assert len(frames) > 12
        for frame in frames:
            number = unusual_clips.read_number(frame.path)
            assert abs(frame.time - times[number]) <= half_a_frame(times, number)
            if video == steady:
                assert frame.origin.frame == number
            assert len(frame.origin.video or "") == 64


def test_long_intervals_take_reference_frames(sample: Sample, steady: Path) -> None:
    times = unusual_clips.probe_times(steady)
    frames = sample(steady, "--every", "1s", "--skip-similar", "off")
    assert len(frames) == math.ceil(times[-1])
    for second, frame in enumerate(frames):
        assert second <= frame.time < second + 0.5
        assert unusual_clips.read_number(frame.path) == frame.origin.frame

    facts = read_facts(steady)
    assert facts.skips_safely
    plans = [make_plan(Sampling("every", every), facts) for every in (1.0, 0.9)]
    plain = Sampling("every", skip_similar=None, drop_bad=False)
    plans.append(make_plan(plain, facts))
    assert [plan.skip for plan in plans] == ["noref", None, None]


def half_a_frame(times: list[float], number: int) -> float:
    near = np.diff(times[max(0, number - 1) : number + 2])
    return float(near.min()) / 2


def test_scenes_have_exact_times(sample: Sample, uneven: Path) -> None:
    times = unusual_clips.probe_times(uneven)
    frames = sample(uneven, "--scenes", "1", *ALL)
    assert frames
    for frame in frames:
        number = unusual_clips.read_number(frame.path)
        assert abs(frame.time - times[number]) <= half_a_frame(times, number)


def test_from_to_and_limit(sample: Sample, steady: Path) -> None:
    part = sample(steady, "--from", "2s", "--to", "5s", "--every", "1s", *ALL)
    assert [round(frame.time) for frame in part] in ([2, 3, 4], [2, 3, 4, 5])
    assert all(2 - 0.03 <= frame.time <= 5 + 0.03 for frame in part)
    assert len(sample(steady, "--every", "1s", "--limit", "4", *ALL)) == 4


def test_scenes_change_at_cuts_not_flashes(
    sample: Sample, film: tuple[Path, Film]
) -> None:
    video, truth = film
    frames = sample(video, "--every", "0.25s", *ALL)
    cuts = truth.cuts()
    results = true = correct = 0
    for before, after in pairwise(frames):
        within = [
            cut for cut in cuts if before.time < cut["time"] + 0.01 <= after.time + 0.02
        ]
        hard = any(cut["kind"] == "hard" for cut in within)
        gradual = any(
            cut["kind"] != "hard" and abs(cut["time"] - after.time) < 1 for cut in cuts
        )
        result = before.origin.scene != after.origin.scene
        if gradual and not hard:
            continue  # any position in a gradual cut is right
        results = results + result
        true = true + hard
        correct = correct + (result and hard)
        flashes = [
            n for n in truth.flashes if before.time <= n / truth.fps <= after.time
        ]
        assert hard or not (flashes and result), (
            f"the flash at {before.time} was taken for a cut"
        )
    assert correct / true >= 0.9
    assert correct / results >= 0.9


@pytest.mark.long
def test_shared_opening_is_sampled_once(sample: Sample, clips: Path) -> None:
    first = clips / "a.mp4"
    second = clips / "b.mp4"
    films = dict(zip(("a.mp4", "b.mp4"), write_episodes(first, second), strict=True))
    frames = sample(first, second, "--skip-openings")
    within: dict[str, int] = {}
    for name, film in films.items():
        [(start, end)] = film.intros()
        own = [frame for frame in frames if frame.origin.title == name]
        within[name] = sum(start + 0.5 <= frame.time < end - 0.5 for frame in own)
        story = FrameEvaluator(film).evaluate(to_timed(own))
        story_images = {shot.image for shot in film.shots if shot.part == "story"} - {
            None
        }
        assert not story_images & set(story["missed"])
    assert sorted(within.values())[0] == 0
    assert max(within.values()) >= len(EPISODE_INTRO_SECONDS)


def test_short_clip_gives_one_frame(sample: Sample, clips: Path) -> None:
    video = unusual_clips.write_numbered(clips / "brief.mp4", 12)
    assert len(sample(video, "--every", "60s")) == 1


def test_image_sizes(sample: Sample, clips: Path, steady: Path) -> None:
    turned = unusual_clips.write_rotated(clips / "turned.mp4")
    squared = unusual_clips.write_anamorphic(clips / "dvd.mp4")
    frames = sample(squared, turned, "--every", "5s")
    assert {frame.size for frame in frames} == {(1024, 576), (180, 320)}
    assert unusual_clips.read_number(frames[0].path) == 0
    fitted = ("--size", "400x400", "--format", "png", "--every", "20s")
    inside, smaller = sample(squared, steady, *fitted)
    assert inside.size[0] == 400
    assert abs(inside.size[1] - 225) <= 1
    assert smaller.size == (320, 180)
    assert smaller.path.read_bytes().startswith(b"\x89PNG")


def test_interlaced_video_is_deinterlaced(sample: Sample, clips: Path) -> None:
    frames = sample(
        unusual_clips.write_interlaced(clips / "fields.mpg"), "--every", "0.5s", *ALL
    )
    assert len(frames) >= 3
    assert max(unusual_clips.measure_combing(frame.path) for frame in frames) < 0.5


def test_renamed_video_adds_nothing(
    sample: Sample, tmp_path: Path, steady: Path
) -> None:
    into = tmp_path / "dataset"
    first = sample(steady, "--every", "2s", folder=into)
    copy = Path(shutil.copy(steady, tmp_path / "other name.mp4"))
    repeated = sample(copy, "--every", "2s", folder=into)
    assert repeated == first
    assert len(first) > 2


# Samples a video, but waits forever at the eighth frame that it stages.
SAMPLE_IN_PART = """
import sys, threading
from gleanset.files.store import Store
from gleanset.start import harvest
stage, count = Store.stage, 0
def stage_some(*args):
    global count
    count += 1
    if count == 8:
        print("ready", flush=True)
        threading.Event().wait()
    return stage(*args)
Store.stage = stage_some
harvest()
"""


@pytest.mark.slow
def test_killed_run_is_repeated_without_duplicates(
    sample: Sample, tmp_path: Path, steady: Path
) -> None:
    line = (steady, "--every", "0.5s", *ALL, "--workers", "1")
    undisturbed = sample(*line)
    assert len(undisturbed) > 16
    with python(SAMPLE_IN_PART, "frames", *line, "-d", tmp_path / "killed") as process:
        assert process.stdout.readline() == "ready\n"
        process.kill()
    repeated = sample(*line, folder=tmp_path / "killed")
    assert [(f.time, f.sha256, f.origin.scene, f.origin.frame) for f in repeated] == [
        (f.time, f.sha256, f.origin.scene, f.origin.frame) for f in undisturbed
    ]
