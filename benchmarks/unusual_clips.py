"""Small clips, each unusual in one way, for tests of `harvest frames`.

Frames show their number as a strip of black and white blocks at the top (`read_number` reads it
from a sampled image of any size), over an image that changes every second.
"""

import subprocess
from functools import cache
from pathlib import Path

import numpy as np
from clip_images import DistinctImages, Pixels
from generated_films import X264, encode, round_even
from PIL import Image

FPS = 24  # the image changes every second
BITS = 12
STRIP_SHARE = 0.1  # of the height
# Two seconds at 24 fps, three at 10, two at 48, then a gap of four seconds.
VARIABLE_RATE_FILTER = (
    "settb=1/1000,setpts='if(lt(N,48),N/24,if(lt(N,78),2+(N-48)/10,"
    "if(lt(N,174),5+(N-78)/48,11+(N-174)/12)))/TB'"
)
VARIABLE_RATE_FRAMES = 174 + 24


@cache
def get_images() -> DistinctImages:
    """Return the images of all these clips, generated on first use."""
    return DistinctImages(16, 5)


def write_numbered(path: Path, frames: int, *options: str, height: int = 180) -> Path:
    """Write a clip of numbered frames; `options` are ffmpeg's output options."""
    width = round_even(height * 16 / 9)
    drawings = (_draw_frame(n, width, height) for n in range(frames))
    encode(path, drawings, (width, height), FPS, "bgr24", [*X264, *options])
    return path


def _draw_frame(number: int, width: int, height: int) -> Pixels:
    frame = get_images().canvas(number // FPS % 16, height)[:height, :width].copy()
    # White, black, the bits (highest first), black, white.
    bits = [1, 0, *(number >> n & 1 for n in reversed(range(BITS))), 0, 1]
    strip = np.array(bits, np.uint8)[np.arange(width) * len(bits) // width] * 255
    frame[: round(height * STRIP_SHARE)] = strip[None, :, None]
    return frame


def read_number(image: Path) -> int:
    """Read a frame's number. Raises ValueError if its strip is damaged."""
    with Image.open(image) as opened:
        grey = np.asarray(opened.convert("L"), dtype=np.float32)
    rows, columns = grey.shape
    strip = grey[
        round(rows * STRIP_SHARE * 0.3) : max(1, round(rows * STRIP_SHARE * 0.7))
    ].mean(axis=0)
    count = BITS + 4
    middles = [round((n + 0.5) * columns / count) for n in range(count)]
    levels = [float(strip[max(0, m - 1) : m + 2].mean()) for m in middles]
    bits = [int(level > 128) for level in levels]
    if (
        bits[:2] != [1, 0]
        or bits[-2:] != [0, 1]
        or any(60 < level < 195 for level in levels)
    ):
        raise ValueError(
            f"{image}: no number to read: {[round(level) for level in levels]}"
        )
    return int("".join(map(str, bits[2:-2])), 2)


def probe_times(path: Path) -> list[float]:
    """Return presentation times of all frames in order, in seconds, by ffprobe."""
    options = "-v error -select_streams v:0 -of csv=p=0 -show_entries"
    command = [
        "ffprobe",
        *options.split(),
        "frame=best_effort_timestamp_time",
        f"file:{path}",
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(line.strip(",")) for line in output.split()]


def write_variable_rate(path: Path) -> Path:
    """Write a Matroska file of variable frame rate, with a gap."""
    options = [
        "-vf",
        VARIABLE_RATE_FILTER,
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1/1000",
    ]
    return write_numbered(path, VARIABLE_RATE_FRAMES, *options)


def write_rotated(path: Path, degrees: int = 90) -> Path:
    """Write an MP4 with rotation metadata in the container."""
    plain = write_numbered(path.with_suffix(".plain.mp4"), 24)
    line = ["ffmpeg", "-v", "error", "-y", "-i", str(plain), "-c", "copy"]
    line += ["-metadata:s:v", f"rotate={degrees}", f"file:{path}"]
    subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
    return path


def write_anamorphic(path: Path) -> Path:
    """Write a DVD's 720x576 with pixels of 64:45 (1024x576 when displayed)."""
    return write_numbered(path, 24, "-vf", "scale=720:576,setsar=64/45", height=576)


def write_interlaced(path: Path) -> Path:
    """Write interlaced video with a fast bar, flagged top field first."""
    source = (
        "nullsrc=s=320x240:r=50:d=2,"
        "geq=lum='235*between(mod(X-6*N\\,320)\\,0\\,60)':cb=128:cr=128"
    )
    fields = "-vf interlace=scan=tff:lowpass=0 -c:v mpeg2video -q:v 2 -flags +ildct+ilme -top 1"
    options = f"-v error -y -f lavfi -i {source} {fields}"
    line = ["ffmpeg", *options.split(), f"file:{path}"]
    subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
    return path


def measure_combing(image: Path) -> float:
    """Measure interlacing: adjacent rows differ more than rows two apart."""
    with Image.open(image) as opened:
        grey = np.asarray(opened.convert("L"), dtype=np.float32)
    near = np.abs(grey[1:-1] - grey[:-2]).mean()
    far = np.abs(grey[2:] - grey[:-2]).mean()
    return float(max(0.0, near - far))
