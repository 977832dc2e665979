"""`harvest frames` compared with ffmpeg and PySceneDetect on the generated 10-minute film.

    python benchmarks/frames.py [--film FILM.mp4] [--rounds 3] [--only frames|speed|cuts]

The film is generated first, unless `--film` names one made by `frames_clip.py` (with its truth next
to it as JSON). Each tool runs as a whole process in a folder of its own, in turns over several
rounds; CPU seconds include all child processes. The output has medians, and ratios to the plain
ffmpeg command. PySceneDetect must be importable (`pip install scenedetect-headless`).

Three tables: kept frames (images covered, near-duplicates, the repeated intro, useless frames),
speed when writing the same frames, and detected cuts against the true ones.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from frames_clip import film
from frames_judge import Judge, Kept, load
from frames_tools import (
    Cost,
    Tool,
    bare,
    detector,
    fifth,
    keyframe_times,
    measured,
    our_cuts,
    ours,
    reporting,
    work_done,
)

SIZE = ("-s", "960x540")
BARE = "ffmpeg -s 960x540 -vf fps=1/5"
WIDE = ("--size", "960x540")
EVERY = ("--every", "5s", *WIDE)
ALL = ("--skip-similar", "off", "--keep-bad")


FIFTH = bare(BARE, *SIZE, "-vf", "fps=1/5", times=fifth)
KEPT = (
    ours("ours, as it comes"),
    ours("ours --scenes", "--scenes"),
    ours("ours --every 5s", *EVERY),
    FIFTH,
    bare(
        "ffmpeg key frames",
        *SIZE,
        "-fps_mode",
        "vfr",
        before=("-skip_frame", "nokey"),
        times=lambda video, number: keyframe_times(video)[number],
    ),
    ours("ours --keyframes", "--keyframes", *WIDE),
)
SPEED = (
    FIFTH,
    ours("ours --every 5s, nothing skipped", *EVERY, *ALL),
    ours("ours --keyframes, nothing skipped", "--keyframes", *WIDE, *ALL),
    bare("ffmpeg, decoding only", "-f", "null", "-y"),
)


class Course:
    """Runner of tools on one video, each in a new folder; stores their costs."""

    def __init__(self, video: Path, folder: Path) -> None:
        self.video, self.folder = video, folder
        self.costs: dict[str, list[Cost]] = {}

    def rounds(self, tools: tuple[Tool, ...], number: int) -> Iterator[tuple[Tool, Path]]:
        """Run all tools `number` times; yield the last round's output."""
        for turn in range(number):
            for tool in tools:
                out = self.folder / "out"
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir()
                self.costs.setdefault(tool.name, []).append(measured(tool.command(self.video, out)))
                if turn == number - 1:
                    yield tool, out

    def of(self, name: str, what: str) -> float:
        """Return the median of `cpu`, `wall` or `memory`."""
        return float(median(getattr(cost, what) for cost in self.costs[name]))

    def line(self, name: str, to: str) -> str:
        """Format one tool's cost and its ratio to another's."""
        cpu, wall = (self.of(name, what) / self.of(to, what) for what in ("cpu", "wall"))
        return (
            f"{name:34} CPU {self.of(name, 'cpu'):6.1f} s = {cpu:5.2f}  wall "
            f"{self.of(name, 'wall'):6.1f} s = {wall:5.2f}  {self.of(name, 'memory'):5.0f} MB"
        )


def table_of_frames(course: Course, judge: Judge, rounds: int) -> None:
    """Print the frames that each tool keeps."""
    print("\nWhat is kept (CPU and wall as ratios to fps=1/5)")
    found: dict[str, tuple[list[Kept], dict[str, object]]] = {}
    for tool, out in course.rounds(KEPT, rounds):
        kept = tool.collect(course.video, out)
        found[tool.name] = kept, judge.judge(kept)
    for name, (_, figures) in found.items():
        print(course.line(name, BARE))
        print("   ", json.dumps(figures))
        if name.startswith("ours"):
            print("    it says", course.costs[name][-1].said.splitlines()[-1])


def table_of_speed(course: Course, rounds: int) -> None:
    """Print the speed when all tools write the same frames."""
    print("\nSpeed, nothing skipped (ratios to fps=1/5)")
    frames: dict[str, int] = {}
    for tool, out in course.rounds(SPEED, rounds):
        frames[tool.name] = len(tool.collect(course.video, out)) if "only" not in tool.name else 0
    for tool in SPEED:
        print(course.line(tool.name, BARE), f"{frames[tool.name]} frames")


def table_of_cuts(course: Course, judge: Judge, rounds: int) -> None:
    """Print our cuts and PySceneDetect's; our cost includes writing frames."""
    print("\nCuts (ratios to bare decoding); ours writes its frames, too")
    times = {"ours, as it comes": our_cuts(course.video, course.folder)}
    tools = (SPEED[-1], KEPT[0], *map(detector, ("ContentDetector", "AdaptiveDetector")))
    for tool, _ in course.rounds(tools, rounds):
        if tool.name not in times:
            said = course.costs[tool.name][-1].said.splitlines()
            if said:
                times[tool.name] = json.loads(said[-1])
    for tool in tools:
        print(course.line(tool.name, SPEED[-1].name))
        if tool.name in times:
            got = judge.cuts(times[tool.name])
            print(
                f"    F1 {got.f1:.3f}, precision {got.precision:.3f}, recall {got.recall:.3f}, "
                f"{got.found} found, {got.flashes} of the false ones are flashes"
            )
    print(f"    times that ours reads each frame: {passes(course, judge.film.frames)}")


def passes(course: Course, frames: int) -> str:
    """Return how often our run reads and decodes each frame."""
    folder = course.folder / "reports"
    folder.mkdir()
    path = f"{reporting(folder)}{os.pathsep}{os.environ['PATH']}"
    measured(KEPT[0].command(course.video, folder), PATH=path)
    done = work_done(folder)
    return f"{done.packets / frames:.2f} (decodes {done.decoded / frames:.2f} of them)"


def main() -> None:
    """Generate the film unless it is given, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["frames", "speed", "cuts"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = given.film or folder / "film.mp4"
        if given.film is None:
            film(video)
        course, judge = Course(video, folder), Judge(load(video.with_suffix(".json")))
        if given.only in (None, "frames"):
            table_of_frames(course, judge, given.rounds)
        if given.only in (None, "speed"):
            table_of_speed(course, given.rounds)
        if given.only in (None, "cuts"):
            table_of_cuts(course, judge, given.rounds)


if __name__ == "__main__":
    main()
