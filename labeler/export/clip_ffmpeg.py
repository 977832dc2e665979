"""Cutting the clip of a track out of its video with ffmpeg."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import ffmpeg

from gleanset.errors import Unreadable
from gleanset.files.names import format_path
from gleanset.files.store import FILE_GONE, hash_file
from gleanset.video.filter_graph import (
    DecodePlan,
    Schedule,
    decode_frames,
    make_full_frames,
)
from gleanset.video.probe_ffmpeg import VideoFacts, find_field_order, probe
from gleanset.video.run_ffmpeg import build_command, iter_output_lines
from labeler.export.item import Clip, ExportItem
from labeler.export.plan import CUT_TOLERANCE_SECONDS

CRF = 14
"""Constant rate factor of H.264: as good as the source to the eye, which was compressed before."""
MAX_KEY_FRAMES = 500
"""Boxes that the crop follows, because the length of a command line is limited."""
_OUTPUT = "OUT"


@cache
def _open_video(path: Path) -> tuple[str, VideoFacts]:
    """Return SHA-256 and facts of a video, once in each worker: a film has many tracks."""
    return hash_file(path), find_field_order(path, probe(path))


def cut_clip(item: ExportItem, clip: Clip, target: Path) -> None:
    """Write the clip of an item as MP4 without sound.

    Raises `Unreadable` if the video is missing, is not the one whose faces were tracked, or cannot
    be decoded.
    """
    video = item.original
    try:
        digest, facts = _open_video(video)
    except OSError as error:
        raise Unreadable(FILE_GONE, format_path(video)) from error
    if digest != item.origin.video:
        raise Unreadable("not the video whose faces were tracked", format_path(video))

    size = (item.image.width, item.image.height)
    output = ffmpeg.output(
        _make_frames(facts, size, clip),
        _OUTPUT,
        vcodec="libx264",
        crf=CRF,
        pix_fmt="yuv420p",
        # Equal bytes on machines with another number of cores.
        threads=1,
        fflags="+bitexact",
        progress="pipe:1",
        **{"frames:v": clip.frames},
    )
    command = build_command(output, video, "error")
    words = [f"file:{target}" if word == _OUTPUT else word for word in command]
    # The last lines say how many frames were written.
    if f"frame={clip.frames}" not in list(iter_output_lines(words)):
        raise Unreadable(
            "ffmpeg cannot decode the video, or not write H.264", str(video)
        )


def _make_frames(facts: VideoFacts, size: tuple[int, int], clip: Clip) -> Any:
    """Return the frames of a clip as a stream of ffmpeg-python; `size` is that of the video."""
    plan = DecodePlan(
        facts,
        Schedule(CUT_TOLERANCE_SECONDS),  # all frames
        size,
        skip=None,
        rgb=False,
        since=clip.started,
    )
    frames = make_full_frames(decode_frames(plan), plan)

    # With `round="up"` each time of the clip shows the last frame up to it, so never a later one.
    # Frames are moved 1 ms earlier: times are rounded to milliseconds, and a first frame after
    # time 0 would be shown only at the second time.
    start = clip.started + CUT_TOLERANCE_SECONDS
    frames = frames.filter("settb", "1/1000000").filter(
        "setpts",
        f"PTS-{start}/TB",
    )
    frames = frames.filter("fps", clip.fps, start_time=0, round="up")

    # Even sides, because colors have half the size. Boxes are left out evenly where there are more
    # than `MAX_KEY_FRAMES`. The filter keeps the crop within the frame.
    boxes = clip.boxes[:: 1 + len(clip.boxes) // MAX_KEY_FRAMES]
    width = min(max(box.width for box in boxes), size[0]) // 2 * 2
    height = min(max(box.height for box in boxes), size[1]) // 2 * 2
    times = [box.time - clip.started for box in boxes]
    x = _follow(
        times,
        [box.x + (box.width - width) / 2 for box in boxes],
    )
    y = _follow(
        times,
        [box.y + (box.height - height) / 2 for box in boxes],
    )
    return frames.filter("crop", width, height, x, y)


def _follow(times: Sequence[float], positions: Sequence[float]) -> str:
    """Return ffmpeg's expression of a position that moves steadily from each time to the next."""
    terms = [f"{positions[0]:g}"]
    points = pairwise(zip(times, positions, strict=True))
    for (start, position), (end, next_position) in points:
        share = f"clip((t-{start:g})/{end - start:g},0,1)"
        terms.append(f"({next_position - position:g})*{share}")
    return "+".join(terms)
