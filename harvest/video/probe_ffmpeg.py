"""What ffmpeg tells of a file: its picture, its letterbox bars, and where it is damaged.

Only ffmpeg is asked: it alone is always there (no ffprobe).
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gleanset.errors import Unreadable
from harvest.video.run_ffmpeg import (
    CONTAINERS,
    command_words,
    ffmpeg_log,
    ffmpeg_reason,
    find_ffmpeg,
    raise_for_environment,
    started,
    video_input,
)

_PROBE_SECONDS = 60.0
# Whole lines at ffmpeg's own indent: what a file says of itself is indented further.
_INPUT = re.compile(r"^Input #0, (\S+), from", re.MULTILINE)
_DURATION = re.compile(r"^  Duration: (?:(\d+):(\d+):([\d.]+)|N/A)(?:, start: (-?[\d.]+))?", re.M)
_VIDEO = re.compile(r"^  Stream #0:(\d+)[^\n]*?: Video: ([^\n]*)((?:\n    +[^\n]*)*)", re.MULTILINE)
_SIZE = re.compile(r", (\d+)x(\d+)(?: \[SAR (\d+):(\d+))?")
_PIXELS = re.compile(r", ([a-z0-9]+)(?:\(([^)]*)\))?, \d+x\d+")
_RATE = re.compile(r", ([\d.]+k?) fps")
_TURNED = re.compile(r"displaymatrix: rotation of (-?[\d.]+) degrees")
# Codecs that are never interlaced.
_PROGRESSIVE = frozenset({"vp8", "vp9", "av1", "gif", "apng", "webp", "theora", "mjpeg", "ffv1"})
_MOST_PIXELS = 16384 * 16384 // 4


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """Sizes are of the picture as stored; `aspect` is the width of a pixel by its height.

    `seconds` and `fps` are None where the file does not tell; `start` is its first time stamp.
    """

    container: str
    codec: str
    stream: int
    width: int
    height: int
    aspect: float = 1.0
    turned: bool = False
    seconds: float | None = None
    start: float = 0.0
    fps: float | None = None
    interlaced: bool = False
    bt709: bool = False

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as shown: square pixels, turned as the file asks."""
        wide, high = max(round(self.width * self.aspect), 1), self.height
        return (high, wide) if self.turned else (wide, high)

    @property
    def skips_safely(self) -> bool:
        """Whether frames that no other frame needs may stay undecoded without losing times."""
        timed = any(kind in self.container for kind in ("mp4", "matroska"))
        return timed and self.codec in ("h264", "hevc") and (self.fps or 0) >= 20


def probe(video: Path) -> VideoFacts:
    """Return the facts of a file's first video stream. Raises `Unreadable` where there is none."""
    line = [
        find_ffmpeg(),
        "-hide_banner",
        "-nostdin",
        "-protocol_whitelist",
        "file",
        "-format_whitelist",
        CONTAINERS,
        "-i",
        f"file:{video}",
    ]
    try:
        log = ffmpeg_log(line, _PROBE_SECONDS)
    except Unreadable as error:
        raise Unreadable("not a video", "ffmpeg did not find out what it is") from error
    lines = [one.strip() for one in log.splitlines()]
    raise_for_environment(lines, video)
    container = _INPUT.search(log)
    for found in _VIDEO.finditer(log):
        if "(attached pic)" not in found.group(2):
            return _facts(container.group(1) if container else "", found, log)
    if container:
        raise Unreadable("not a video", "it has no video stream")
    raise Unreadable("not a video", ffmpeg_reason([x for x in lines if x]))


def _facts(container: str, match: re.Match[str], log: str) -> VideoFacts:
    described = match.group(2)
    codec = described.split(",")[0].split(" ")[0]
    if codec in ("none", "unknown"):
        raise Unreadable("missing codec", f"this ffmpeg has no decoder for {described[:60]}")
    size = _SIZE.search(described)
    if size is None or "0" in size.groups()[:2]:
        raise Unreadable("not a video", "its picture has no size")
    width, height = int(size.group(1)), int(size.group(2))
    if width * height > _MOST_PIXELS:
        raise Unreadable("too large", f"{width} x {height} pixels")
    turned = _TURNED.search(match.group(3))
    return VideoFacts(
        container,
        codec,
        int(match.group(1)),
        width,
        height,
        _aspect(size),
        turned is not None and round(float(turned.group(1)) / 90) % 2 == 1,
        *_lengths(log),
        _rate(described),
        codec not in _PROGRESSIVE and "progressive" not in described,
        _is_709(described, height),
    )


def _aspect(size: re.Match[str]) -> float:
    wide, high = size.group(3), size.group(4)
    aspect = int(wide) / int(high) if wide and int(wide) and int(high) else 1.0
    # Nonsense in a header must not make a picture a thread.
    return aspect if 0.2 <= aspect <= 5 else 1.0


def _lengths(log: str) -> tuple[float | None, float]:
    found = _DURATION.search(log)
    if found is None:
        return None, 0.0
    hours, minutes, seconds, start = found.groups()
    length = int(hours) * 3600 + int(minutes) * 60 + float(seconds) if hours else None
    return length, float(start or 0.0)


def _rate(described: str) -> float | None:
    """Return frames a second; ffmpeg prints two decimals, too few for NTSC's n * 1000 / 1001."""
    match = _RATE.search(described)
    if match is None:
        return None
    text = match.group(1)
    rate = float(text[:-1]) * 1000 if text.endswith("k") else float(text)
    ntsc = round(rate * 1.001) / 1.001
    return (ntsc if rate % 1 and round(ntsc, 2) == rate else rate) or None


def _is_709(described: str, height: int) -> bool:
    """Return whether YCbCr is that of HD (BT.709); where nothing is said, players go by the
    height.
    """
    pixels = _PIXELS.search(described)
    if pixels is None or not pixels.group(1).startswith("yuv"):
        return False
    said = pixels.group(2) or ""
    if "bt709" in said:
        return True
    stated = any(one in said for one in ("smpte170m", "bt470", "bt2020", "fcc", "smpte240m"))
    return not stated and height >= 720


Crop = tuple[int, int, int, int]

_FOUND = re.compile(
    r"^\[(?:Parsed_)?cropdetect[^\]]*\][^\n]* crop=(\d+):(\d+):(\d+):(\d+)\s*$", re.M
)
# Only key frames are looked at, and of a long video the first so many.
_FRAMES = 400
_BARS_SECONDS = 600.0
# Bars are no more than this part of a side, else the picture is only dark.
_MOST = 0.45


def find_bars(video: Path, facts: VideoFacts) -> Crop | None:
    """(x, y, width, height) of what lies within bars, as shown; None without bars.

    Raises `Unreadable` where ffmpeg takes too long to tell.
    """
    if facts.container == "picture":
        return None
    graph = (
        video_input(skip_frame="nokey")[str(facts.stream)]
        .filter("cropdetect", limit=24, round=2, reset=0, skip=0)
        .output("pipe:", format="null", vframes=_FRAMES)
    )
    line = command_words(graph, video, "info")
    shape = _FOUND.findall(ffmpeg_log(line, _BARS_SECONDS))
    return _sensible([int(number) for number in shape[-1]], facts) if shape else None


def _sensible(shape: list[int], facts: VideoFacts) -> Crop | None:
    width, height, x, y = shape
    wide, high = facts.upright
    if facts.aspect != 1.0:
        # Cropping comes before pixels are squared, so it is left alone there.
        return None
    least = 1 - 2 * _MOST
    inside = width >= least * wide and height >= least * high
    same = width >= wide - 4 and height >= high - 4
    return (x, y, width, height) if inside and not same else None


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

    def text(self, start: float) -> str:
        """As a person reads it, counted from the beginning of the video."""
        begin = max(self.begin - start, 0.0)
        return f"between {begin:.1f} s and " + (
            "the end" if self.open else f"{self.end - start:.1f} s"
        )


def complains(line: str, facts: VideoFacts) -> bool:
    """Return whether a line of ffmpeg's log (with levels) tells of damage in what it decodes."""
    if "corrupt decoded frame" in line or "corrupt input packet" in line:
        return True
    context = _CONTEXT.search(line)
    if context is None or not ("[error]" in line or "[fatal]" in line):
        return False
    # The parser has no name of its own; newer ones put `dec:` before that of a decoder.
    name = context.group(1).strip().removeprefix("dec:")
    return name in ("NULL", facts.codec, facts.container)


def find_damage(video: Path, facts: VideoFacts, skip: str | None) -> list[Damage]:
    """Return the damaged stretches in order, apart. `skip` is what the decoder leaves out.

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
        return merged_damage(_read(process.stderr, facts))


def merged_damage(damage: Iterable[Damage]) -> list[Damage]:
    """Stretches in order of their beginning, as ones that do not touch."""
    apart: list[Damage] = []
    for one in damage:
        if apart and one.begin <= apart[-1].end:
            apart[-1] = Damage(apart[-1].begin, max(apart[-1].end, one.end))
        else:
            apart.append(one)
    return apart


def lies_in(damage: Sequence[Damage], time: float) -> bool:
    """Return whether a frame at that time is damaged."""
    return any(one.begin < time < one.end for one in damage)


def _command(video: Path, facts: VideoFacts, skip: str | None) -> list[str]:
    more = {"skip_frame": skip} if skip else {}
    graph = (
        video_input(threads=1, copyts=None, **more)[str(facts.stream)]
        .filter("scale", 16, 16, flags="neighbor")
        .filter("showinfo")
        .output("pipe:", format="null", fps_mode="passthrough")
    )
    return command_words(graph, video, "repeat+level+info")


@dataclass
class _Stretch:
    """A stretch that is not over: `since` counts the frames after the latest complaint."""

    begin: float
    latest: float
    since: int = field(default=0)


def _read(lines: Iterable[str], facts: VideoFacts) -> Iterator[Damage]:
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
