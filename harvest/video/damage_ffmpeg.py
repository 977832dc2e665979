"""Where a video is damaged inside: the stretches that ffmpeg could only conceal.

Asked for only when ffmpeg complained while it sampled. A second pass decodes on one thread and
prints every frame's time among the complaints. Such a stretch lasts from the last good frame
to a key frame that surely came after the damage, because what lies between refers to it.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ffmpeg

from harvest.video.probe_ffmpeg import Facts
from harvest.video.run_ffmpeg import CONTAINERS, find_ffmpeg, started

_SHOWN = re.compile(r" pts_time:(-?[\d.]+) .* iskey:([01])")
_CONTEXT = re.compile(r"\[([^\[\]@]+) @ 0x")
# Frames by which what is shown may lag behind what was decoded: those in order of decoding
# (16 by H.264), and what waits between ffmpeg's own threads.
_LAG = 40
# Seconds after which a picture without key frames has healed.
_HEALED = 10.0


@dataclass(frozen=True, slots=True)
class Damage:
    """Frames at `begin` < time < `end` (seconds, the file's own) are not to be trusted."""

    begin: float
    end: float

    @property
    def open(self) -> bool:
        """Whether nothing sound came after it."""
        return math.isinf(self.end)

    def told(self, start: float) -> str:
        """As a person reads it, counted from the beginning of the video."""
        begin = max(self.begin - start, 0.0)
        return f"between {begin:.1f} s and " + (
            "the end" if self.open else f"{self.end - start:.1f} s"
        )


def complains(line: str, facts: Facts) -> bool:
    """Whether a line of ffmpeg's log (with levels) tells of damage in what it decodes."""
    if "corrupt decoded frame" in line or "corrupt input packet" in line:
        return True
    context = _CONTEXT.search(line)
    if context is None or not ("[error]" in line or "[fatal]" in line):
        return False
    # The parser has no name of its own; newer ones put `dec:` before that of a decoder.
    name = context.group(1).strip().removeprefix("dec:")
    return name in ("NULL", facts.codec, facts.container)


def find_damage(video: Path, facts: Facts, skip: str | None) -> list[Damage]:
    """The damaged stretches in order, apart. `skip` is what the decoder leaves out.

    Depends on the file alone, so that a run that was stopped leaves out the same frames.
    """
    with started(
        _command(video, facts, skip),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        assert process.stderr is not None
        return joined(_read(process.stderr, facts))


def joined(found: Iterable[Damage]) -> list[Damage]:
    """Stretches in order of their beginning, as ones that do not touch."""
    apart: list[Damage] = []
    for one in found:
        if apart and one.begin <= apart[-1].end:
            apart[-1] = Damage(apart[-1].begin, max(apart[-1].end, one.end))
        else:
            apart.append(one)
    return apart


def lies_in(damage: Sequence[Damage], time: float) -> bool:
    """Whether a frame at that time is damaged."""
    return any(one.begin < time < one.end for one in damage)


def _command(video: Path, facts: Facts, skip: str | None) -> list[str]:
    more = {"skip_frame": skip} if skip else {}
    graph = (
        ffmpeg.input(
            "file:INPUT",
            format_whitelist=CONTAINERS,
            protocol_whitelist="file",
            threads=1,
            copyts=None,
            **more,
        )[str(facts.stream)]
        .filter("scale", 16, 16, flags="neighbor")
        .filter("showinfo")
        .output("pipe:", format="null", fps_mode="passthrough")
        .global_args("-hide_banner", "-nostdin", "-nostats", "-loglevel", "repeat+level+info")
    )
    words: list[str] = ffmpeg.compile(graph, cmd=find_ffmpeg())
    return [f"file:{video}" if word == "file:INPUT" else word for word in words]


@dataclass
class _Stretch:
    """A stretch that is not over: `since` counts the frames after the latest complaint."""

    begin: float
    latest: float
    since: int = field(default=0)


def _read(lines: Iterable[str], facts: Facts) -> Iterator[Damage]:
    last = -math.inf
    stretch: _Stretch | None = None
    for line in lines:
        if shown := _SHOWN.search(line):
            last = float(shown.group(1))
            if stretch is None:
                continue
            stretch.since += 1
            key = shown.group(2) == "1" and stretch.since > _LAG
            if key or last > stretch.latest + _HEALED:
                yield Damage(stretch.begin, last)
                stretch = None
        elif complains(line, facts):
            stretch = stretch or _Stretch(last, last)
            stretch.latest, stretch.since = max(stretch.latest, last), 0
    if stretch is not None:
        yield Damage(stretch.begin, math.inf)
