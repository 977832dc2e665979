"""Frames: options, inputs, cuts, repeated openings, animated images, and processes of ffmpeg."""

import math
import os
import random
import shutil
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tools_for_tests
from click.testing import CliRunner
from tools_for_tests import drawn_video, eventually, is_running, picture, python

import harvest.cli
from gleanset import Dataset
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.video.run_ffmpeg import kill_all, read_ffmpeg_log, start_ffmpeg
from gleanset.work.progress import Progress, ProgressMeter
from harvest.cli import frames
from harvest.frames import FrameHarvest
from harvest.request import FramesRequest
from harvest.video.cuts import CutFinder, SceneCut
from harvest.video.inputs import find_inputs
from harvest.video.intros import Fingerprint, find_repeats
from harvest.video.options import parse_time
from harvest.video.sampling import SIMILAR, Sampling

RATE = 24


def thumb(seed: int) -> np.ndarray:
    small = tools_for_tests.pixels(seed, (64, 36)).convert("YCbCr")
    return np.asarray(small).transpose(2, 0, 1)


def film(*shots: tuple[int, int]) -> np.ndarray:
    """Make a film of (image, frames) in sequence; image -1 is black."""
    black = np.full((3, 36, 64), 128, dtype=np.uint8)
    black[0] = 16
    return np.stack(
        [black if n < 0 else thumb(n) for n, count in shots for _ in range(count)]
    )


def dissolve(first: int, second: int, frames: int) -> np.ndarray:
    a, b = (film((seed, 1))[0].astype(float) for seed in (first, second))
    parts = [(n + 1) / (frames + 1) for n in range(frames)]
    return np.stack([(a + (b - a) * part).astype(np.uint8) for part in parts])


def cuts(
    thumbs: np.ndarray, block: int = 24, since: float = -math.inf
) -> list[SceneCut]:
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
    slow = np.concatenate(
        [film((2, 50)), dissolve(2, -1, 20), black, fade, film((1, 50))]
    )
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
    for block in (5, 1000):
        assert cuts(thumbs, block) == all_cuts
    done = all_cuts[0].time
    later = cuts(thumbs, since=done)
    assert later == [cut for cut in all_cuts if cut.time > done]


def test_fade_in_from_pale_image_is_independent_of_block_size() -> None:
    pale = (128 + (film((2, 1))[0].astype(float) - 128) / 8).astype(np.uint8)
    sharp = film((1, 60))
    parts = [(n + 1) / 37 for n in range(36)]
    fade = [(pale + (sharp[0] - pale.astype(float)) * part) for part in parts]
    thumbs = np.concatenate(
        [np.stack([pale] * 60), np.stack(fade).astype(np.uint8), sharp]
    )
    [cut] = cuts(thumbs, 1000)
    assert not cut.starts_scene, "there was no scene to see before"
    for block in (1, 5, 9, 24):
        assert cuts(thumbs, block) == [cut]


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_animated_images_are_sampled(
    dataset: Dataset, tmp_path: Path, kind: str
) -> None:
    frames = [tools_for_tests.pixels(n, (96, 64)) for n in range(4)]
    path = tmp_path / "sticker.bin"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], duration=250)
    plain = Sampling(mode="every", every=0.25, skip_similar=None, drop_bad=False)
    assert FrameHarvest(dataset, plain).run([path]).added == 4
    times = sorted(image.origins[0].time or 0.0 for image in dataset.images.iterate())
    assert times == pytest.approx([0, 0.25, 0.5, 0.75])


Shots = list[tuple[float, int]]


class Studio:
    """A generator of hashes, the same in every test."""

    def __init__(self) -> None:
        self._rng = random.Random(1)

    def draw_hash(self) -> int:
        return self._rng.getrandbits(64)

    def shots(self, seconds: float) -> Shots:
        """Return shots of random length that fill this many seconds."""
        result: Shots = []
        while seconds > 0.001:
            length = min(self._rng.uniform(1, 5), seconds)
            result.append((length, self.draw_hash()))
            seconds -= length
        return result

    def film(self, *parts: Shots, phase: float = 0.0) -> list[Fingerprint]:
        """Return a hash per second, with up to three wrong bits."""
        result: list[Fingerprint] = []
        begin = 0.0
        time = phase
        for length, value in (shot for part in parts for shot in part):
            while time < begin + length:
                result.append((time, self._observe(value)))
                time += 1
            begin += length
        return result

    def _observe(self, value: int) -> int:
        for bit in self._rng.sample(range(64), self._rng.randint(0, 3)):
            value ^= 1 << bit
        return value


@pytest.fixture
def studio() -> Studio:
    return Studio()


def test_repeats_at_different_positions(studio: Studio) -> None:
    opening = studio.shots(90)
    ending = studio.shots(85)
    preview = studio.shots(16)
    stories = [studio.shots(400) for _ in range(3)]
    episodes = [
        studio.film(opening, stories[0], ending, preview),
        studio.film(studio.shots(40), opening, stories[1], ending, preview, phase=0.3),
        studio.film(stories[2], ending, opening, preview, phase=0.7),
    ]
    first, second, third = find_repeats(episodes)
    assert first == []
    assert sum(segment.end - segment.start for segment in second) == pytest.approx(
        191, abs=7
    )
    assert sum(segment.end - segment.start for segment in third) == pytest.approx(
        191, abs=7
    )


def test_short_difference_does_not_split_repeat(studio: Studio) -> None:
    # Four seconds with the title of the episode.
    before, after = studio.shots(30), studio.shots(30)
    first, second = (
        studio.film(
            studio.shots(50),
            before,
            [(4.0, studio.draw_hash())],
            after,
            studio.shots(50),
        )
        for _ in range(2)
    )
    _, [result] = find_repeats([first, second])
    assert (result.start, result.end) == pytest.approx((50, 114), abs=2)


STILLS: list[Sequence[int]] = [
    [0],
    [2**64 - 1],
    [5, 2**40 - 1],
    [1, 2**20 - 1, 2**50 - 2**20],
]


@pytest.mark.parametrize("hashes", STILLS)
def test_stills_are_not_repeats(hashes: Sequence[int]) -> None:
    turns = [(float(t), hashes[t // 4 % len(hashes)]) for t in range(600)]
    assert find_repeats([turns, turns]) == [[], []]


WAITING = """
from gleanset.video.run_ffmpeg import start_ffmpeg
with start_ffmpeg(["sleep", "60"]) as process:
    print(process.pid, flush=True)
    process.wait()
"""


def test_ffmpeg_ends_with_parent() -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    with python(WAITING) as parent_process:
        pid = int(parent_process.stdout.readline())
        # Once it is `sleep`, its lifetime is tied to ours.
        assert eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
        parent_process.kill()
    assert eventually(lambda: not is_running(pid))


@pytest.mark.posix("a group of processes ends together")
def test_timeout_ends_child_processes(tmp_path: Path) -> None:
    note = tmp_path / "child"
    with pytest.raises(Unreadable, match="too slow"):
        read_ffmpeg_log(["sh", "-c", f"sleep 600 & echo $! > {note}; wait"], 2.0)
    child = int(note.read_text())
    assert eventually(lambda: not is_running(child))
    assert read_ffmpeg_log(["sh", "-c", "echo said >&2"], 10.0) == "said\n"


def test_kill_all_ends_process_of_other_thread() -> None:
    result: list[int] = []
    has_started = threading.Event()

    def wait() -> None:
        with start_ffmpeg(["sleep", "60"]) as process:
            has_started.set()
            result.append(process.wait())

    thread = threading.Thread(target=wait)
    thread.start()
    assert has_started.wait(60)
    kill_all()
    thread.join(60)
    assert result == [-9]


class Interrupting(Progress, ProgressMeter):
    """A progress that interrupts the main thread at a video's first step."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def meter(self, *_: object, **__: object) -> ProgressMeter:
        return self

    def advance(self, steps: float, note: str = "") -> None:
        self.steps += 1
        if self.steps == 1:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_interrupt_stops_sampling(dataset: Dataset, tmp_path: Path) -> None:
    film = drawn_video(tmp_path / "film.mp4", "testsrc=s=64x64:r=10:d=20", "-g", "10")
    sampling = Sampling("every", 0.5, skip_similar=None, drop_bad=False)
    progress = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        FrameHarvest(dataset, sampling, progress=progress).run([film])
    assert 0 < progress.steps < 40, "a step per requested time"


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
    ({"every": "0:05"}, Sampling("every", every=5.0)),
    ({"scenes": 3}, Sampling("scenes", per_scene=3)),
    (
        {"start": "1:00", "end": "2:00", "limit": 7},
        Sampling(start=60.0, end=120.0, limit=7),
    ),
    ({"size": "960x540"}, Sampling(width=960, height=540)),
    ({"size": "x540"}, Sampling(height=540)),
    ({"format": "png"}, Sampling(format="png")),
    ({"skip_similar": True}, Sampling()),
    ({"skip_similar": 0}, Sampling(skip_similar=0)),
    ({"skip_openings": True}, Sampling(skip_openings=True)),
    (
        {"skip_similar": False, "keep_bad": True},
        Sampling(skip_similar=None, drop_bad=False),
    ),
]


@pytest.mark.parametrize(("options", "sampling"), SAMPLINGS)
def test_request_gives_sampling(options: dict[str, Any], sampling: Sampling) -> None:
    assert FramesRequest(videos=("a",), **options).sampling() == sampling


CONTRADICTIONS: list[dict[str, Any]] = [
    {"every": "1s", "scenes": 1},
    {"size": "96x54!"},
    {"size": "0x5"},
    {"size": "5x99999"},
    {"start": "2:00", "end": "1:00"},
    {"every": "0s"},
    {"every": "2fps"},
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
        patch.setattr(
            harvest.cli, "carry_out", lambda _, request: requests.append(request)
        )
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


def find_paths(*arguments: str | Path) -> list[Path]:
    return find_inputs(arguments)


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


def test_glob_patterns_are_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
