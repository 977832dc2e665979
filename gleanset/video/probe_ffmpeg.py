"""Properties of a video file from ffmpeg's log: stream facts, damage.

ffprobe is not used, because it is not always installed along with ffmpeg, and nothing else states
all of these facts. What ffmpeg can tell to programs is not read from its log: the sizes of frames
(`filter_graph.py`), their field order, the times of packets, its decoders and filters.
"""

import os
import re
import struct
from collections import Counter
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

import ffmpeg
import numpy as np

from gleanset.errors import Unreadable
from gleanset.video.run_ffmpeg import (
    CONTAINERS,
    build_command,
    find_failure_reason,
    find_ffmpeg,
    has_component,
    iter_output_lines,
    read_ffmpeg_log,
    video_input,
)

# Matched at ffmpeg's own indent: metadata from the file is indented further.
_INPUT = re.compile(r"^Input #0, (\S+), from", re.MULTILINE)
_DURATION = re.compile(
    r"^  Duration: (?:(\d+):(\d+):([\d.]+)|N/A)(?:, start: (-?[\d.]+))?", re.M
)
_START = re.compile(r"^  Duration: .*, start: ", re.MULTILINE)
_VIDEO = re.compile(
    r"^  Stream #0:(\d+)[^\n]*?: Video: ([^\n]*)((?:\n    +[^\n]*)*)", re.MULTILINE
)
_SIZE = re.compile(r", (\d+)x(\d+)(?: \[SAR (\d+):(\d+))?")
# The container's aspect ratio, printed if it contradicts the codec's; players prefer it.
_CONTAINER_SAR = re.compile(r", SAR (\d+):(\d+)")
_PIXELS = re.compile(r", ([a-z0-9]+)(?:\(([^)]*)\))?, \d+x\d+")
_RATE = re.compile(r", ([\d.]+k?) fps")
_ROTATION = re.compile(r"displaymatrix: rotation of (-?[\d.]+) degrees")
# Lines of ffmpeg's `framecrc`: the time base of a stream, and the times of a packet.
_CLOCK = re.compile(r"#tb (\d+): (\d+)/(\d+)")
_PACKET = re.compile(r"(\d+), *(-?\d+), *(-?\d+), *(\d+),")
_UNKNOWN = ("none", "unknown")
# Codecs without interlacing; only animated images are sure to have no combed frames.
_ANIMATED_IMAGES = frozenset({"gif", "apng", "webp"})
_PROGRESSIVE = _ANIMATED_IMAGES | {"vp8", "vp9", "av1", "theora"}
# Codecs that flag each frame as interlaced or not; others leave that to the container.
_FRAME_FLAGS = frozenset(
    {
        "h264",
        "hevc",
        "mpeg1video",
        "mpeg2video",
        "mpeg4",
        "vc1",
        "wmv3",
        "dvvideo",
        "ffv1",
    }
)
# Field orders in ffmpeg's words and in those of its filter `setfield`.
_FIELD_ORDERS = (("top first", "tff"), ("top coded", "tff"), ("bottom ", "bff"))
# Interlaced video has 25 or 29.97 frames a second.
_MIN_INTERLACED_RATE = 24.5
_MAX_INTERLACED_RATE = 30.1

_IDET_FRAMES = 60
# Interlaced frames of one order, at least: their number, their share (film on video has two of
# five), and how many times as many as of the other order, which moving textures resemble as much.
_MIN_COMBED_FRAMES = 8
_MIN_COMBED_SHARE = 0.25
_MIN_ORDER_RATIO = 4
# Codecs of still images: next to another stream they are a cover image, not the film.
_STILL_CODECS = frozenset(
    {"mjpeg", "png", "bmp", "tiff", "webp", "gif", "jpeg2000", "jpegls"}
)
# Pixels that ffmpeg adds to a stream flagged as default when it chooses one by size.
_DEFAULT_PIXELS = 5_000_000
_ALPHA = re.compile(r"yuva|gbrap|rgba|bgra|argb|abgr|ya\d|ayuv")
# ffmpeg's own decoders of VP8 and VP9 do not decode transparency.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_ALPHA_MODE = re.compile(r"^\s+alpha_mode\s*: 1$", re.MULTILINE)
# Containers whose time stamps may restart (as in ffmpeg).
_DISCONTINUOUS = frozenset({"mpegts", "mpeg", "flv", "ogg", "nut"})
_READ_ONCE = frozenset({"mov", "flv", "asf", "apng", "gif"})
_HEADER_BYTES = 4096
# Identifier of the file properties object in ASF (Microsoft's specification, section 3.2).
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MAX_OGG_PAGE_BYTES = 65_307
# Flag in the type of a page: it ends its stream.
_LAST_OGG_PAGE = 4
_MAX_PIXELS = 16384 * 16384 // 4


class VideoFacts(NamedTuple):
    """Facts of a video stream; sizes in stored pixels, `aspect` is a pixel's width by its height.

    `seconds` and `fps` are None if unknown; `start` is the container's first time stamp in seconds,
    which players show as 0 (0.0 if there is none: `has_start`). `decoder` is a decoder to request,
    None for ffmpeg's default. If `is_length_guessed`, `seconds` is estimated by the file's size.
    `transfer` is zscale's name of the transfer function of BT.2020 colors that are converted to
    BT.709; `is_pale` says that this ffmpeg cannot convert them. `interlaced` says that frames may
    be interlaced. `field_order` is tff or bff (top or bottom field first) where frames are not
    flagged; if `is_order_unclear`, `find_field_order` looks at the images.
    """

    container: str
    codec: str
    stream: int
    width: int
    height: int
    aspect: float
    rotated: bool
    seconds: float | None
    start: float
    fps: float | None
    interlaced: bool
    bt709: bool
    alpha: bool
    decoder: str | None
    has_start: bool
    is_length_guessed: bool
    transfer: str | None
    is_pale: bool
    field_order: str | None
    is_order_unclear: bool

    @property
    def display_size(self) -> tuple[int, int]:
        """Display width and height: square pixels, rotated as the file specifies."""
        width = max(round(self.width * self.aspect), 1)
        return (self.height, width) if self.rotated else (width, self.height)

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height in stored pixels, rotated as the file specifies."""
        return (self.height, self.width) if self.rotated else (self.width, self.height)

    @property
    def discontinuous(self) -> bool:
        """Whether time stamps may restart, as in concatenated recordings, or are missing."""
        return self.container in _DISCONTINUOUS or not self.has_start

    @property
    def skips_safely(self) -> bool:
        """Whether non-reference frames may be skipped without losing track of times."""
        has_times = "mp4" in self.container or "matroska" in self.container
        marks_references = self.codec in ("h264", "hevc")
        return has_times and marks_references and (self.fps or 0) >= 20


def probe(video: Path) -> VideoFacts:
    """Return the facts of a file's video stream. Raises `Unreadable` if there is none.

    Among several streams, it is the one that ffmpeg chooses by default, except that a still image
    is only used if there is no other stream.
    """
    command = [find_ffmpeg(), "-hide_banner", "-nostdin"]
    command += ["-protocol_whitelist", "file", "-format_whitelist", CONTAINERS]
    command += ["-i", f"file:{video}"]
    try:
        log = read_ffmpeg_log(command)
    except Unreadable as error:
        raise Unreadable("not a video", "ffmpeg did not find out what it is") from error

    container = _INPUT.search(log)
    streams = [
        match for match in _VIDEO.finditer(log) if "(attached pic)" not in match[2]
    ]
    if not streams:
        reason = "it has no video stream"
        if not container:
            lines = [line.strip() for line in log.splitlines() if line.strip()]
            reason = find_failure_reason(lines)
        raise Unreadable("not a video", reason)

    stream = max(streams, key=_rank_stream)
    facts = _parse_facts(
        container[1] if container else "",
        stream,
        log,
    )
    full_length = _read_length_of_cut_file(video, facts.container)
    if full_length is None:
        return facts
    return facts._replace(seconds=max(facts.seconds or 0.0, full_length))


def find_field_order(video: Path, facts: VideoFacts) -> VideoFacts:
    """Return the facts with the order of fields that images show where the file states none."""
    if not facts.is_order_unclear:
        return facts

    counts = _count_field_orders(video, facts)
    order = "tff"
    other = "bff"
    if counts[other] >= counts[order]:
        order, other = other, order
    total = counts[order] + counts[other] + counts["progressive"]
    is_combed = (
        counts[order] >= _MIN_COMBED_FRAMES
        and counts[order] >= _MIN_ORDER_RATIO * counts[other]
        and counts[order] >= _MIN_COMBED_SHARE * total
    )
    if not is_combed:
        return facts
    return facts._replace(field_order=order, interlaced=True)


def _count_field_orders(video: Path, facts: VideoFacts) -> Counter[str]:
    """Count frames a third into a video by what ffmpeg's filter `idet` sees in each."""
    begin = (facts.seconds or 0.0) / 3
    source = video_input(ss=f"{begin:.3f}", noaccurate_seek=None)
    key = "lavfi.idet.single.current_frame"
    frames = source[str(facts.stream)].filter("idet")
    frames = frames.filter("metadata", "print", key=key, file="-")
    output = ffmpeg.output(
        frames,
        "-",
        format="null",
        **{"frames:v": _IDET_FRAMES},
    )

    # Lines such as "lavfi.idet.single.current_frame=tff", between others.
    lines = iter_output_lines(build_command(output, video, "fatal"))
    return Counter(line.strip().removeprefix(f"{key}=") for line in lines)


def _read_length_of_cut_file(video: Path, container: str) -> float | None:
    """Return the seconds that an AVI or ASF header states if the file has fewer bytes than stated.

    ffmpeg then estimates the length from the bytes that are there.
    """
    with video.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        size = file.seek(0, os.SEEK_END)

    properties = header.find(_ASF_PROPERTIES)
    if container == "avi" and len(header) == _HEADER_BYTES:
        # The size of the chunk after these 8 bytes; microseconds per frame, number of frames.
        [chunk_size] = struct.unpack_from("<I", header, 4)
        stated_size = 8 + chunk_size
        microseconds, frames = struct.unpack_from("<I12xI", header, 32)
        seconds = microseconds * frames / 1e6
    elif container == "asf" and 0 <= properties < _HEADER_BYTES - 104:
        # The object with the file's properties has 104 bytes.
        # The size of the file; its duration in units of 100 ns, with a preroll in milliseconds.
        [stated_size] = struct.unpack_from(
            "<Q",
            header,
            properties + 40,
        )
        duration, preroll = struct.unpack_from(
            "<Q8xQ",
            header,
            properties + 64,
        )
        seconds = duration / 1e7 - preroll / 1e3
    else:
        return None
    return seconds if size < stated_size else None


def lacks_end(video: Path, container: str) -> bool:
    """Return whether an Ogg or GIF file, which state no length, lack their last page or mark."""
    if container not in ("ogg", "gif"):
        return False
    with video.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _MAX_OGG_PAGE_BYTES))
        data = file.read()
    if container == "gif":
        return not data.rstrip(b"\0\r\n").endswith(b";")

    _, mark, page = data.rpartition(b"OggS")
    # The version, then the type (RFC 3533).
    flags = page[1] if mark and len(page) > 1 else 0
    return not flags & _LAST_OGG_PAGE


def has_second_video(video: Path, container: str) -> bool:
    """Return whether a file has another one behind it, joined by `cat`, that ffmpeg may ignore."""
    # The names of a format, such as "mov,mp4,m4a".
    name, _, _ = container.partition(",")
    if name not in _READ_ONCE:
        return False
    with (
        video.open("rb") as file,
        mmap(file.fileno(), 0, access=ACCESS_READ) as data,
    ):
        # The bytes that begin each file of the format: of a GIF 6, because its width follows.
        head = data[: 6 if name == "gif" else 8]
        # An old film may begin with a box such as `wide`, which may also be inside a single file.
        return (name != "mov" or head.endswith(b"ftyp")) and data.find(head, 1) > 0


class PacketTimes(NamedTuple):
    """Times of a file's packets in seconds: last end, last image, longest gap between images."""

    end: float
    last_image: float
    max_gap: float


def measure_packets(video: Path, facts: VideoFacts) -> PacketTimes:
    """Read a file's packets to the end, without decoding them."""
    source = video_input(copyts=None)
    streams = [source[name] for name in (str(facts.stream), "a?", "s?", "d?")]
    output = ffmpeg.output(
        *streams, "pipe:1", c="copy", copy_unknown=None, f="framecrc"
    )
    command = build_command(output, video, "fatal")

    ticks = {}  # seconds per unit of time, by stream
    end = 0.0
    image_times = [0.0]  # a gap before the first image counts as well
    for line in iter_output_lines(command):
        if clock := _CLOCK.match(line):
            ticks[clock[1]] = int(clock[2]) / int(clock[3])
        elif packet := _PACKET.match(line):
            stream, dts, pts, length = packet.groups()
            # One of both may be missing: ffmpeg prints that as the smallest number.
            time = max(int(dts), int(pts)) * ticks[stream] - facts.start
            end = max(end, time + int(length) * ticks[stream])
            # The video, which is the first stream of the output.
            if stream == "0":
                image_times.append(time)

    image_times.sort()
    max_gap = float(np.diff(image_times).max(initial=0.0))
    return PacketTimes(end, image_times[-1], max_gap)


def _rank_stream(stream: re.Match[str]) -> tuple[bool, bool, int]:
    """Return a rank as in ffmpeg, but with still images behind all films."""
    description = stream[2]
    codec = _codec_name(description)
    size = _SIZE.search(description)
    pixels = int(size[1]) * int(size[2]) if size else 0
    is_still = (
        codec in _STILL_CODECS
        or "(still image)" in description
        or "(timed thumbnails)" in description
    )
    bonus = _DEFAULT_PIXELS if "(default)" in description else 0
    return codec not in _UNKNOWN and pixels > 0, not is_still, pixels + bonus


def _codec_name(description: str) -> str:
    return description.split(",")[0].split(" ")[0]


def _parse_facts(container: str, match: re.Match[str], log: str) -> VideoFacts:
    description = match[2]
    details = match[3]  # the indented lines below that of the stream
    codec = _codec_name(description)
    if codec in _UNKNOWN:
        raise Unreadable(
            "missing codec", f"this ffmpeg has no decoder for {description[:60]}"
        )
    size = _SIZE.search(description)
    if not size or "0" in size.groups()[:2]:
        raise Unreadable("not a video", "its images have no size")
    width = int(size[1])
    height = int(size[2])
    if width * height > _MAX_PIXELS:
        raise Unreadable("too large", f"{width} x {height} pixels")

    rotation = _ROTATION.search(details)
    decoder = _ALPHA_DECODERS.get(codec) if _ALPHA_MODE.search(details) else None
    if decoder and not has_component("decoders", decoder):
        decoder = None
    pixels = _PIXELS.search(description)
    alpha = bool(decoder or (pixels and _ALPHA.match(pixels[1])))
    transfer = None if alpha else _find_wide_transfer(description)
    converts = transfer is not None and all(
        has_component("filters", name) for name in ("zscale", "tonemap")
    )

    field_order = _parse_field_order(description)
    fps = _parse_frame_rate(description)
    has_tv_rate = fps is None or _MIN_INTERLACED_RATE < fps < _MAX_INTERLACED_RATE
    is_quarter_turn = rotation is not None and round(float(rotation[1]) / 90) % 2 == 1
    seconds, start = _parse_duration_and_start(log)
    return VideoFacts(
        container=container,
        codec=codec,
        stream=int(match[1]),
        width=width,
        height=height,
        aspect=_parse_pixel_aspect(description, size),
        rotated=is_quarter_turn,
        seconds=seconds,
        start=start,
        fps=fps,
        interlaced=codec not in _PROGRESSIVE and "progressive" not in description,
        # Colors that are converted become BT.709.
        bt709=converts or _is_bt709(description, height),
        alpha=alpha,
        decoder=decoder,
        has_start=bool(_START.search(log)),
        is_length_guessed="Estimating duration from bitrate" in log,
        transfer=transfer if converts else None,
        is_pale=transfer is not None and not converts,
        # What the frames say themselves is more reliable than the container.
        field_order=None if codec in _FRAME_FLAGS else field_order,
        is_order_unclear=(
            codec not in _ANIMATED_IMAGES and has_tv_rate and field_order is None
        ),
    )


def _parse_field_order(description: str) -> str | None:
    for words, order in _FIELD_ORDERS:
        if words in description:
            return order
    return None


def _find_wide_transfer(description: str) -> str | None:
    """Return zscale's name of the transfer function of BT.2020 or HDR colors; None for others."""
    pixels = _PIXELS.search(description)
    colors = (pixels[2] or "") if pixels else ""
    for transfer in ("smpte2084", "arib-std-b67"):
        if transfer in colors:
            return transfer
    return "2020_10" if "bt2020nc" in colors else None


def _parse_pixel_aspect(description: str, size: re.Match[str]) -> float:
    ratio = _CONTAINER_SAR.search(description)
    width, height = ratio.groups() if ratio else size.group(3, 4)
    if not (width and int(height)):
        return 1.0
    aspect = int(width) / int(height)
    # An absurd ratio in a header must not distort the image.
    return aspect if 0.2 <= aspect <= 5 else 1.0


def _parse_duration_and_start(log: str) -> tuple[float | None, float]:
    match = _DURATION.search(log)
    if not match:
        return None, 0.0
    hours, minutes, seconds, start = match.groups()
    length = None
    if hours:
        length = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return length, float(start or 0.0)


def _parse_frame_rate(description: str) -> float | None:
    """Return frames per second; ffmpeg rounds NTSC's n * 1000 / 1001."""
    match = _RATE.search(description)
    if not match:
        return None
    number = match[1]
    rate = float(number.removesuffix("k"))
    if number.endswith("k"):
        rate *= 1000
    # 29.97 is 30000/1001; 12.5 and 25 are what they are.
    ntsc_rate = round(rate * 1.001) / 1.001
    if rate % 1 and round(ntsc_rate, 2) == rate:
        return ntsc_rate
    return rate or None


def _is_bt709(description: str, height: int) -> bool:
    """Return whether colors are BT.709; if unspecified, by height as players do."""
    pixels = _PIXELS.search(description)
    if not pixels or not pixels[1].startswith("yuv"):
        return False
    colors = pixels[2] or ""
    if "bt709" in colors:
        return True
    others = ("smpte170m", "bt470", "bt2020", "fcc", "smpte240m")
    return height >= 720 and not any(name in colors for name in others)


_CONTEXT = re.compile(r"\[([^\[\]@]+) @ 0x")


def reports_damage(line: str, facts: VideoFacts) -> bool:
    """Return whether an ffmpeg log line (with level) reports a damaged stream."""
    if "corrupt decoded frame" in line:
        return True
    context = _CONTEXT.search(line)
    if not context or not ("[error]" in line or "[fatal]" in line):
        return False
    # The parser logs as NULL; newer versions of ffmpeg prefix decoders with `dec:`.
    name = context[1].strip().removeprefix("dec:")
    return name in ("NULL", facts.codec, facts.container)
