"""ffmpeg as a program: found, started safely on a hostile path, ended with us."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from gleanset.errors import MissingComponent, Unreadable

# Text, image and playlist demuxers are not video, and could read other files for us.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,rm,m4v,"
    "h264,hevc,av1,ivf,obu,mxf,nut,dv,vob,wtv,gif,apng"
)
PATTERN = "%08d.jpg"
_SHOWN = re.compile(r"showinfo.*? n: *(\d+) .*?pts_time:(-?[\d.]+)")
_CUT = re.compile(r"lavfi\.scd\.time: *(-?[\d.]+)")
_DURATION = re.compile(r"Duration: (\d+):(\d+):([\d.]+)")


@dataclass
class Sampled:
    """Frames written to a folder in order, their times, and the scene cuts; in seconds."""

    files: list[Path] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)
    duration: float | None = None
    trouble: str = ""


def find_ffmpeg() -> str:
    """The system's ffmpeg, or the one that the package `imageio-ffmpeg` brings."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise MissingComponent(
            "there is no ffmpeg on this machine", "install it with: sudo apt-get install ffmpeg"
        ) from error


def sample_every(video: Path, seconds: float, folder: Path) -> Sampled:
    """Write one frame of every `seconds` to `folder`, the first at the very start.

    Decodes once, finding scene cuts (ffmpeg's `scdet`) on the way. Raises `Unreadable` where
    there is no frame to be had; a file damaged further on gives what came before.
    """
    binned = f"gt(floor(t/{seconds}),floor(prev_selected_t/{seconds}))"
    graph = (
        ffmpeg.input(
            f"file:{video}", format_whitelist=CONTAINERS, protocol_whitelist="file", copyts=None
        )
        .video.filter("scdet")
        .filter("select", f"isnan(prev_selected_t)+{binned}")
        .filter("showinfo", checksum=0)
        .output(str(folder / PATTERN), fps_mode="passthrough", **{"q:v": 2, "map_metadata": -1})
        .global_args("-hide_banner", "-nostdin", "-nostats", "-loglevel", "info")
    )
    found = Sampled()
    code, last = _run(ffmpeg.compile(graph, cmd=find_ffmpeg()), found)
    found.files = sorted(folder.glob("*.jpg"))
    if not found.files:
        raise Unreadable("not a video", _explained(last))
    if code != 0:
        found.trouble = _explained(last)
    return found


def _run(command: list[str], found: Sampled) -> tuple[int, list[str]]:
    """Run it, collecting what it says; ends with this process even when that is killed."""
    if guard := shutil.which("setpriv"):
        command = [guard, "--pdeathsig", "KILL", *command]
    last: list[str] = []
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, errors="replace",
    ) as process:  # fmt: skip
        try:
            for line in process.stderr or ():
                if not _understood(line, found):
                    last = [*last[-19:], line.strip()]
        except BaseException:
            process.kill()
            raise
    return process.returncode, last


def _understood(line: str, found: Sampled) -> bool:
    """Take a time, a cut or the duration out of one line of ffmpeg's log."""
    if shown := _SHOWN.search(line):
        found.times.append(float(shown.group(2)))
    elif cut := _CUT.search(line):
        found.cuts.append(float(cut.group(1)))
    elif length := _DURATION.search(line):
        hours, minutes, seconds = length.groups()
        found.duration = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    else:
        return "showinfo" in line
    return True


def _explained(lines: list[str]) -> str:
    """The one line of ffmpeg's that says what is wrong."""
    if any("whitelist" in line for line in lines):
        return "its content is no video container"
    for word in ("Invalid data", "does not contain any stream", "not found",
                 "matches no streams", "moov atom", "Error", "error"):  # fmt: skip
        for line in lines:
            if word in line:
                return line.split("] ")[-1][:200]
    return lines[-1][:200] if lines else "ffmpeg gave no frame"


def scene_numbers(times: list[float], cuts: list[float]) -> Iterator[int]:
    """The scene, from 0, in which each time lies."""
    ordered = sorted(cuts)
    for time in times:
        yield sum(cut <= time for cut in ordered)
