"""Tools that the frame benchmarks compare, each run as a whole process.

`measured(command)` returns CPU seconds of the process and all its children, wall seconds, and their
peak total memory (proportional set size, sampled 5 times a second).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from frames_judge import Kept

ROOT = Path(__file__).resolve().parent.parent
HARVEST = [sys.executable, "-c", "from harvest.cli import main; main()"]
LIST = [sys.executable, "-c", "from pipeline.cli import main; main()", "list"]
DETECT = """
import json, sys
import scenedetect
video = scenedetect.open_video(sys.argv[2])
manager = scenedetect.SceneManager()
manager.add_detector(getattr(scenedetect, sys.argv[1])())
manager.detect_scenes(video)
print(json.dumps([start.seconds for start, _ in manager.get_scene_list()[1:]]))
"""


@dataclass(frozen=True)
class Cost:
    """Cost of a process: CPU and wall seconds, peak MB; and its stdout."""

    cpu: float
    wall: float
    memory: float
    said: str


def measured(command: Sequence[str | Path], **environment: str) -> Cost:
    """Run a command. Raises SystemExit with its stderr if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    peak: list[float] = [0.0]
    over = threading.Event()
    texts: dict[str, str] = {}
    assert process.stdout is not None
    assert process.stderr is not None
    pipes = {"out": process.stdout, "err": process.stderr}
    threads = [
        threading.Thread(target=lambda n=name, p=pipe: texts.update({n: p.read()}))
        for name, pipe in pipes.items()
    ]
    threads.append(threading.Thread(target=_watch, args=(process.pid, peak, over)))
    for thread in threads:
        thread.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    over.set()
    for thread in threads:
        thread.join()
    if process.returncode:
        raise SystemExit(f"{command}: {process.returncode}: {texts['err'][-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, peak[0], texts["out"])


def _watch(pid: int, peak: list[float], over: threading.Event) -> None:
    while not over.wait(0.2):
        peak[0] = max(peak[0], sum(_memory(one) for one in _family(pid)))


def _family(pid: int) -> list[int]:
    try:
        told = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return [pid]
    return [pid, *(one for child in told.split() for one in _family(int(child)))]


def _memory(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@dataclass(frozen=True)
class Tool:
    """Sampling tool: its command for a video and a folder, and how to read the results."""

    name: str
    command: Callable[[Path, Path], list[str | Path]]
    collect: Callable[[Path, Path], list[Kept]]


def ours(name: str, *options: str) -> Tool:
    """Return `harvest frames` into a new dataset, with these options."""

    def command(video: Path, out: Path) -> list[str | Path]:
        return [*HARVEST, "frames", video, "-d", out / "dataset", "--json", "-q", *options]

    return Tool(name, command, lambda _, out: stored(out / "dataset"))


def stored(dataset: Path) -> list[Kept]:
    """Return each frame of a dataset at each of its times."""
    return [
        Kept(file_of(dataset, image), origin["time"])
        for image in images(dataset)
        for origin in image["origins"]
    ]


def images(dataset: Path) -> list[dict[str, Any]]:
    """Return the dataset's images as `gleanset list images` prints them."""
    return [one for one in listed(dataset, "images") if "sha256" in one]


def listed(dataset: Path, what: str) -> list[dict[str, Any]]:
    """Return the output of `gleanset list`."""
    told = subprocess.run(
        [*LIST, what, "-d", str(dataset)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return [json.loads(line) for line in told.stdout.splitlines()]


def file_of(dataset: Path, image: dict[str, Any]) -> Path:
    """Return the path of an image's file."""
    sha256 = str(image["sha256"])
    [path] = (dataset / "images" / sha256[:2]).glob(f"{sha256}.*")
    return path


def bare(
    name: str,
    *options: str,
    before: Sequence[str] = (),
    times: Callable[[Path, int], float] | None = None,
) -> Tool:
    """Return ffmpeg as a tool; `before` has its input options."""

    def command(video: Path, out: Path) -> list[str | Path]:
        head = ["ffmpeg", "-v", "error", "-nostdin", *before, "-i", str(video)]
        return [*head, *options, out / "out%d.jpg"]

    def collect(video: Path, out: Path) -> list[Kept]:
        found = sorted(out.glob("out*.jpg"), key=lambda path: int(path.stem[3:]))
        return [Kept(path, times(video, n) if times else None) for n, path in enumerate(found)]

    return Tool(name, command, collect)


def fifth(_: Path, number: int) -> float:
    """Return a frame's time: `fps=1/5` takes the last before mid-interval."""
    return 5 * number + 2.45


@cache
def keyframe_times(video: Path) -> list[float]:
    """Return the times of all key frames, by ffprobe."""
    told = subprocess.run(
        [
            "ffprobe",
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-skip_frame",
            "nokey",
            "-show_entries",
            "frame=best_effort_timestamp_time",
            "-of",
            "csv=p=0",
            str(video),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return [float(line.strip(",")) for line in told.stdout.split()]


def detector(name: str) -> Tool:
    """Return PySceneDetect's `name` with its defaults; it prints cut times as JSON."""
    return Tool(
        f"PySceneDetect {name}",
        lambda video, _: [sys.executable, "-c", DETECT, name, video],
        lambda _, __: [],
    )


def reporting(folder: Path) -> Path:
    """Write a wrapper named `ffmpeg` into a folder, which leaves reports there."""
    program = folder / "ffmpeg"
    program.write_text(
        f"#!/bin/sh\nexport FFREPORT=file={folder}/$$.log:level=40\n"
        f'exec {shutil.which("ffmpeg")} "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    return folder


@dataclass(frozen=True)
class Work:
    """Video packets read and frames decoded by the reported ffmpeg processes."""

    packets: int
    decoded: int


def work_done(folder: Path) -> Work:
    """Add up a folder's reports. Raises ValueError if one is incomplete."""
    pattern = r"Input stream .* \(video\): (\d+) packets read .*; (\d+) frames decoded"
    packets = frames = 0
    for log in folder.glob("*.log"):
        text = log.read_text(encoding="utf-8", errors="replace")
        counts = re.findall(pattern, text)
        if "Stream mapping:" in text and not counts:
            raise ValueError(f"{log} has no end: ffmpeg was killed")
        packets += sum(int(count) for count, _ in counts)
        frames += sum(int(count) for _, count in counts)
    return Work(packets, frames)


def our_cuts(video: Path, folder: Path) -> list[float]:
    """Return our cuts in seconds, from the scene numbers of all frames."""
    into = folder / f"every-frame-of-{video.name}"
    every = ours("", "--every", "1ms", "--size", "64x36", "--skip-similar", "off", "--keep-bad")
    measured(every.command(video, into))
    frames = sorted(
        (origin["time"], origin["scene"])
        for image in images(into / "dataset")
        for origin in image["origins"]
    )
    shutil.rmtree(into)
    return [time for (_, before), (time, scene) in pairwise(frames) if scene != before]
