"""Letterbox bars: which part of a video's picture is ever shown, asked of ffmpeg's `cropdetect`."""

from __future__ import annotations

import re
from pathlib import Path

import ffmpeg

from harvest.video.probe_ffmpeg import Facts
from harvest.video.run_ffmpeg import CONTAINERS, find_ffmpeg, log_of

Crop = tuple[int, int, int, int]

_FOUND = re.compile(
    r"^\[(?:Parsed_)?cropdetect[^\]]*\][^\n]* crop=(\d+):(\d+):(\d+):(\d+)\s*$", re.M
)
# Only key frames are looked at, and of a long video the first so many.
_FRAMES = 400
_PATIENCE = 600.0
# Bars are no more than this part of a side, else the picture is only dark.
_MOST = 0.45


def find_bars(video: Path, facts: Facts) -> Crop | None:
    """(x, y, width, height) of what lies within bars, as shown; None without bars.

    Raises `Unreadable` where ffmpeg takes too long to tell.
    """
    if facts.container == "picture":
        return None
    graph = (
        ffmpeg.input(
            "file:INPUT", format_whitelist=CONTAINERS, protocol_whitelist="file", skip_frame="nokey"
        )[str(facts.stream)]
        .filter("cropdetect", limit=24, round=2, reset=0, skip=0)
        .output("pipe:", format="null", vframes=_FRAMES)
        .global_args("-hide_banner", "-nostdin", "-nostats", "-loglevel", "info")
    )
    words = ffmpeg.compile(graph, cmd=find_ffmpeg())
    line = [f"file:{video}" if word == "file:INPUT" else word for word in words]
    told = _FOUND.findall(log_of(line, _PATIENCE))
    return _sensible([int(number) for number in told[-1]], facts) if told else None


def _sensible(told: list[int], facts: Facts) -> Crop | None:
    width, height, x, y = told
    wide, high = facts.upright
    if facts.aspect != 1.0:
        # Cropping comes before pixels are squared, so it is left alone there.
        return None
    least = 1 - 2 * _MOST
    inside = width >= least * wide and height >= least * high
    same = width >= wide - 4 and height >= high - 4
    return (x, y, width, height) if inside and not same else None
