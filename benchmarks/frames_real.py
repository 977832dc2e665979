"""Frames and cuts of the real clips in `../shared/data/videos`, beside fps=1/5 and PySceneDetect.

    python benchmarks/frames_real.py [--videos FOLDER] [--sheet SHEET.png] [-- OPTIONS OF OURS]

For each clip: the frames that `harvest frames` keeps and those of
`ffmpeg -s 960x540 -vf fps=1/5`, how many of them are near-duplicates of an earlier one (the
labeler's own duplicate finder and, for comparison, imagehash's pHash within 6), how many
distinct moments that leaves, and how many of the reference shots of `videos.json` are seen.
Then the F1 of cuts over the clips with reference cuts. `--sheet` draws a contact sheet: for
every clip ours above and fps=1/5 below, with times; near-duplicates are framed in red.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frames_copies import later_copies
from frames_judge import NEAR, Kept, hashes, match
from frames_tools import (
    Tool,
    bare,
    detector,
    fifth,
    measured,
    our_cuts,
    ours,
)
from PIL import Image, ImageDraw

VIDEOS = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "videos"
FIFTH = bare("fps=1/5", "-s", "960x540", "-vf", "fps=1/5", times=fifth)
DETECTORS = ("ContentDetector", "AdaptiveDetector")
TOLERANCE = 0.085  # seconds: two frames
THUMB = (192, 108)
SHEET_COLUMNS = 9


@dataclass(frozen=True)
class Figures:
    """What one tool kept of one clip."""

    kept: list[Kept]
    twins: list[bool]  # pHash within 6 of an earlier one
    copies: list[bool]  # of an earlier one, by the labeler's duplicate finder
    shots: int
    shots_of: int

    @property
    def near(self) -> int:
        """Frames that show what another kept one shows, by the labeler's finder."""
        return sum(self.copies)

    @property
    def moments(self) -> int:
        """Frames that show something of their own."""
        return len(self.kept) - self.near


def look(clip: dict[str, Any], kept: list[Kept], folder: Path) -> Figures:
    """Count moments, near-duplicates and reference shots."""
    ordered = sorted(kept, key=lambda one: one.time or 0)
    codes = hashes([one.path for one in ordered])
    twins = [
        any((code ^ other).bit_count() <= NEAR for other in codes[:n])
        for n, code in enumerate(codes)
    ]
    cuts = clip.get("true_cut_times_s", [])
    shots = {bisect_right(cuts, (one.time or 0) + 0.001) for one in ordered}
    copies = later_copies([one.path for one in ordered], folder)
    return Figures(ordered, twins, copies, len(shots), len(cuts) + 1)


def sample(tool: Tool, video: Path, folder: Path) -> list[Kept]:
    """What a tool keeps of a clip; nothing where it refuses it."""
    folder.mkdir(parents=True)
    try:
        measured(tool.command(video, folder))
    except SystemExit as refused:
        print("   ", str(refused).strip().splitlines()[-1][:150])
        return []
    return tool.collect(video, folder)


def table(
    clips: Sequence[dict[str, Any]], videos: Path, folder: Path, tools: Sequence[Tool]
) -> dict[str, dict[str, Figures]]:
    """Print a line for each clip and tool, then the sums."""
    found: dict[str, dict[str, Figures]] = {}
    for clip in clips:
        name = clip["file"]
        found[name] = {}
        print(name)
        for tool in tools:
            kept = sample(tool, videos / name, folder / tool.name / name)
            figures = look(clip, kept, folder / f"finder of {tool.name}" / name)
            found[name][tool.name] = figures
            print(f"    {_line(tool.name, [figures])}")
    for tool in tools:
        print(f"all {_line(tool.name, [one[tool.name] for one in found.values()])}")
    return found


def _line(name: str, figures: Sequence[Figures]) -> str:
    kept, moments, near, twins, shots, of = (
        sum(values)
        for values in zip(
            *(
                (len(f.kept), f.moments, f.near, sum(f.twins), f.shots * bool(f.kept), f.shots_of)
                for f in figures
            ),
            strict=True,
        )
    )
    return (
        f"{name:10} {kept:4} frames, {moments:4} distinct, {near:3} near-duplicates "
        f"(pHash within 6: {twins}), {shots} of {of} reference shots"
    )


def cuts(clips: Sequence[dict[str, Any]], videos: Path, folder: Path) -> None:
    """F1 over all clips with reference cuts."""
    finders: dict[str, Callable[[Path], list[float]]] = {
        "ours": lambda video: our_cuts(video, folder),
    } | {name: lambda video, n=name: _peer(n, video) for name in DETECTORS}
    for name, find in finders.items():
        good = found = true = 0
        for clip in clips:
            if "true_cut_frames" not in clip:
                continue
            reference = clip.get("true_cut_times_s", [])
            times = find(videos / clip["file"])
            spans = [
                (round((t - TOLERANCE) * 1000), round((t + TOLERANCE) * 1000)) for t in reference
            ]
            hit = sum(x is not None for x in match([round(t * 1000) for t in times], spans))
            good, found, true = good + hit, found + len(times), true + len(reference)
            if hit < max(len(times), len(reference)):
                print(f"    {name}: {clip['file']}: found {times}, true {reference}")
        f1 = 2 * good / (found + true)
        print(f"{name:18} F1 {f1:.3f}: {good} right of {found} found, {true} true")


def _peer(name: str, video: Path) -> list[float]:
    told: list[float] = json.loads(
        measured(detector(name).command(video, video)).said.splitlines()[-1]
    )
    return told


def sheet(found: dict[str, dict[str, Figures]], path: Path) -> None:
    """All kept frames of all clips in rows."""
    rows: list[tuple[str, list[tuple[Kept, bool]]]] = []
    for clip, tools in found.items():
        for name, figures in tools.items():
            marked = list(zip(figures.kept, figures.copies, strict=True))
            rows += [
                (f"{name}: {clip}", marked[start : start + SHEET_COLUMNS])
                for start in range(0, max(1, len(marked)), SHEET_COLUMNS)
            ]
    width, height = THUMB
    paper = Image.new("RGB", (width * SHEET_COLUMNS, (height + 16) * len(rows)), "white")
    draw = ImageDraw.Draw(paper)
    for row, (title, marked) in enumerate(rows):
        top = row * (height + 16)
        times = "  ".join(f"{one.time:.2f}" if one.time is not None else "?" for one, _ in marked)
        draw.text((2, top + 2), f"{title}: {times}", "black")
        for column, (one, twin) in enumerate(marked):
            with Image.open(one.path) as opened:
                small = opened.convert("RGB")
            small.thumbnail(THUMB)
            paper.paste(small, (column * width, top + 16))
            if twin:
                box = (column * width, top + 16, (column + 1) * width - 1, top + 15 + height)
                draw.rectangle(box, outline="red", width=4)
    paper.save(path)


def main() -> None:
    """Both tables, and the sheet when asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=Path, default=VIDEOS)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("options", nargs="*", help="options of `harvest frames`")
    given = parser.parse_args()
    clips = json.loads((given.videos / "videos.json").read_text(encoding="utf-8"))
    tools = [ours("ours", *given.options), FIFTH]
    with tempfile.TemporaryDirectory() as name:
        found = table(clips, given.videos, Path(name), tools)
        if given.sheet:
            sheet(found, given.sheet)
        cuts(clips, given.videos, Path(name))


if __name__ == "__main__":
    main()
