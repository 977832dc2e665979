"""What a file says of its picture, asked of ffmpeg: it alone is always there (no ffprobe)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gleanset.errors import Unreadable
from harvest.video.run_ffmpeg import CONTAINERS, explained, find_ffmpeg, log_of, raise_for_us

_PATIENCE = 60.0
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
class Facts:
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


def probe(video: Path) -> Facts:
    """The facts of a file's first video stream. Raises `Unreadable` where there is none."""
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
        log = log_of(line, _PATIENCE)
    except Unreadable as error:
        raise Unreadable("not a video", "ffmpeg did not find out what it is") from error
    lines = [one.strip() for one in log.splitlines()]
    raise_for_us(lines, video)
    container = _INPUT.search(log)
    for found in _VIDEO.finditer(log):
        if "(attached pic)" not in found.group(2):
            return _facts(container.group(1) if container else "", found, log)
    if container:
        raise Unreadable("not a video", "it has no video stream")
    raise Unreadable("not a video", explained([x for x in lines if x]))


def _facts(container: str, found: re.Match[str], said: str) -> Facts:
    told = found.group(2)
    codec = told.split(",")[0].split(" ")[0]
    if codec in ("none", "unknown"):
        raise Unreadable("missing codec", f"this ffmpeg has no decoder for {told[:60]}")
    size = _SIZE.search(told)
    if size is None or "0" in size.groups()[:2]:
        raise Unreadable("not a video", "its picture has no size")
    width, height = int(size.group(1)), int(size.group(2))
    if width * height > _MOST_PIXELS:
        raise Unreadable("too large", f"{width} x {height} pixels")
    turned = _TURNED.search(found.group(3))
    return Facts(
        container,
        codec,
        int(found.group(1)),
        width,
        height,
        _aspect(size),
        turned is not None and round(float(turned.group(1)) / 90) % 2 == 1,
        *_lengths(said),
        _rate(told),
        codec not in _PROGRESSIVE and "progressive" not in told,
        _is_709(told, height),
    )


def _aspect(size: re.Match[str]) -> float:
    wide, high = size.group(3), size.group(4)
    aspect = int(wide) / int(high) if wide and int(wide) and int(high) else 1.0
    # Nonsense in a header must not make a picture a thread.
    return aspect if 0.2 <= aspect <= 5 else 1.0


def _lengths(said: str) -> tuple[float | None, float]:
    found = _DURATION.search(said)
    if found is None:
        return None, 0.0
    hours, minutes, seconds, start = found.groups()
    length = int(hours) * 3600 + int(minutes) * 60 + float(seconds) if hours else None
    return length, float(start or 0.0)


def _rate(told: str) -> float | None:
    found = _RATE.search(told)
    if found is None:
        return None
    text = found.group(1)
    return (float(text[:-1]) * 1000 if text.endswith("k") else float(text)) or None


def _is_709(told: str, height: int) -> bool:
    """Whether YCbCr is that of HD (BT.709); where nothing is said, players go by the height."""
    pixels = _PIXELS.search(told)
    if pixels is None or not pixels.group(1).startswith("yuv"):
        return False
    said = pixels.group(2) or ""
    if "bt709" in said:
        return True
    stated = any(one in said for one in ("smpte170m", "bt470", "bt2020", "fcc", "smpte240m"))
    return not stated and height >= 720
