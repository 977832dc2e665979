"""ffmpeg as a program: found, started safely on a hostile path, ended with us."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from gleanset.errors import DiskFull, MissingComponent, Unreadable

# Text, image and playlist demuxers are not video, and could read other files for us.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,rm,m4v,"
    "h264,hevc,av1,ivf,obu,mxf,nut,dv,vob,wtv,gif,apng"
)
PATTERN = "%08d.jpg"
# ffmpeg-python cannot take paths that are not UTF-8: they are put in afterwards.
_INPUT, _OUTPUT = "file:INPUT", "file:OUTPUT"
# Whole lines of the filters: a video's own title may say anything.
_SHOWN = re.compile(r"\[Parsed_showinfo_\d+ @ \w+\] n: *\d+ .*?pts_time:(-?[\d.]+(?:e[-+]\d+)?)")
_CUT = re.compile(r"\[(?:Parsed_)?scdet_?\d* @ \w+\] .*?lavfi\.scd\.time: *(-?[\d.]+)")
_DURATION = re.compile(r"  Duration: (\d+):(\d+):([\d.]+)")


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
    with suppress(RuntimeError):
        # A name in IMAGEIO_FFMPEG_EXE is handed out without a look.
        if found := shutil.which(str(imageio_ffmpeg.get_ffmpeg_exe())):
            return found
    raise MissingComponent(
        "there is no ffmpeg on this machine", "install it with: sudo apt-get install ffmpeg"
    )


def sample_every(video: Path, seconds: float, folder: Path) -> Sampled:
    """Write one frame of every `seconds` to `folder`, the first at the very start.

    Decodes once, finding scene cuts (ffmpeg's `scdet`) on the way. Raises `Unreadable` where
    there is no frame to be had; a file damaged further on gives what came before.
    """
    # A millionth of a step more: 0.3 / 0.1 is a little less than 3.
    bins = "floor({}/" + f"{seconds}+0.000001)"
    binned = f"gt({bins.format('t')},{bins.format('prev_selected_t')})"
    graph = (
        ffmpeg.input(_INPUT, format_whitelist=CONTAINERS, protocol_whitelist="file", copyts=None)
        .video.filter("scdet")
        .filter("select", f"isnan(prev_selected_t)+{binned}")
        .filter("showinfo", checksum=0)
        .output(_OUTPUT, fps_mode="passthrough", **{"q:v": 2, "map_metadata": -1})
        .global_args("-hide_banner", "-nostdin", "-nostats", "-loglevel", "info")
    )
    found = Sampled()
    places = {_INPUT: f"file:{video}", _OUTPUT: str(folder / PATTERN)}
    command = [places.get(word, word) for word in ffmpeg.compile(graph, cmd=find_ffmpeg())]
    code, last = _run(command, found)
    found.files = sorted(folder.glob("*.jpg"))
    _raise_for_us(last, folder)
    if not found.files:
        raise Unreadable("not a video", _explained(last))
    if code != 0:
        found.trouble = _explained(last)
    return found


def _raise_for_us(lines: list[str], folder: Path) -> None:
    """Raise what is not the video's fault but has to be mended here."""
    if any("No space left on device" in line for line in lines):
        raise DiskFull(f"no space left for {folder}", "free some space and run the command again")
    if any("Unrecognized option" in line for line in lines):
        raise MissingComponent(
            f"{find_ffmpeg()} is too old", "install ffmpeg 5.1 or newer, and put it first in PATH"
        )


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
    if shown := _SHOWN.match(line):
        found.times.append(float(shown.group(1)))
    elif cut := _CUT.match(line):
        found.cuts.append(float(cut.group(1)))
    elif length := _DURATION.match(line):
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
