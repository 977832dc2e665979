"""The way back from a picture to its moment: the command that shows it in a video player."""

from __future__ import annotations

import math
import os
import shlex
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.files.names import printable
from gleanset.files.store import sha256_of_file
from gleanset.records import Image, Origin
from gleanset.work.progress import Progress
from harvest.video.file_types import is_video
from harvest.video.inputs import VideoFile, find_inputs
from harvest.video.probe_ffmpeg import probe

# The first one there is taken. Alone mpv shows the very frame; ffplay the keyframe before it.
PLAYERS = ("mpv", "ffplay")


@dataclass(frozen=True, slots=True)
class VideoMoment:
    """A frame's place: `time` in seconds is the file's own, `place` a path or an address."""

    video: str
    time: float
    scene: int | None
    title: str | None
    place: Path | str
    player: str

    @property
    def command(self) -> str:
        """What to paste into a shell: one line, whatever the path."""
        return " ".join(quoted(word) for word in self._words())

    def _words(self) -> list[str]:
        if self.player == "ffplay":
            # ffplay counts from the file's first time stamp, which need not be zero.
            since = max(self.time - _start(Path(self.place)), 0.0)
            return ["ffplay", "-ss", _floored(since), "-i", f"file:{self.place}"]
        start = f"--start={_floored(self.time)}"
        return ["mpv", "--rebase-start-time=no", start, "--pause", "--", str(self.place)]

    def result(self) -> dict[str, object]:
        """As a plain dict, for `--json`."""
        place = printable(self.place) if isinstance(self.place, Path) else self.place
        return {
            "command": self.command,
            "video": self.video,
            "time": self.time,
            "scene": self.scene,
            "title": self.title,
            "place": place,
        }


def _start(video: Path) -> float:
    try:
        return probe(video).start
    except Unreadable:  # such as a WebP, of which ffmpeg knows nothing
        return 0.0


def find_moments(
    dataset: Dataset,
    text: str,
    places: Sequence[str | Path] = (),
    progress: Progress | None = None,
) -> list[VideoMoment]:
    """Return where the picture that `text` means was shown, the first showing first.

    `text` is a hash or its beginning, a stored file, a copy of it, or a cut of it. A video
    that was renamed or moved is found by its content, in `places` and where it was.
    Raises `UsageError` when no image is meant, `InputUnusable` when it is no frame or when
    its video is not to be found.
    """
    image = _image(dataset, text)
    frames = sorted(
        (one for one in image.origins if one.video is not None and one.time is not None),
        key=lambda one: (one.title or "", one.time or 0.0),
    )
    if not frames:
        raise InputUnusable(f"image {image.sha256} is no frame of a video", _whence(image))
    search = _Search(places, dataset.root, progress or Progress())
    moments = [moment for origin in frames if (moment := _moment(origin, search)) is not None]
    if not moments:
        raise InputUnusable(
            f"its video {frames[0].title!r} is not at {frames[0].path} any more",
            f"name the folder where it lies now: harvest frames --at {quoted(text)} FOLDER",
        )
    return list(dict.fromkeys(moments))


def _image(dataset: Dataset, text: str) -> Image:
    key = Path(text).stem
    sample = dataset.samples.get(key) or dataset.samples.get(_cut_like(dataset, Path(text)))
    return dataset.images.resolve(sample.image if sample else text)


def _cut_like(dataset: Dataset, path: Path) -> str:
    """Return the key of the cut face that has the bytes of that file; empty where none has."""
    try:
        size, content = path.stat().st_size, path.read_bytes() if path.is_file() else b""
    except (OSError, ValueError):
        return ""
    for cut, bytes_of_cut, _ in dataset.crops(dataset.cache).each() if content else ():
        if bytes_of_cut == size and cut.read_bytes() == content:
            return cut.stem
    return ""


def _whence(image: Image) -> str:
    origin = next(iter(image.origins), None)
    if origin is None:
        return "nothing is known of where it came from"
    return f"it came from {origin.source}: {origin.page_url or origin.url or origin.path}"


def _moment(origin: Origin, search: _Search) -> VideoMoment | None:
    assert origin.video is not None
    assert origin.time is not None
    path = search.path(origin.video, origin.path)
    place = path or origin.url
    if place is None:
        return None
    player = "mpv" if path is None else _player()
    return VideoMoment(origin.video, origin.time, origin.scene, origin.title, place, player)


def _player() -> str:
    return next((name for name in PLAYERS if shutil.which(name)), PLAYERS[0])


class _Search:
    """Finds videos by content, each file hashed once."""

    def __init__(self, places: Sequence[str | Path], own: Path, progress: Progress) -> None:
        self._given = _paths(places, own)
        self._progress = progress
        self._hashes: dict[Path, str] = {}

    def path(self, sha256: str, known: str | None) -> Path | None:
        """Return where that video lies: where it was, in the places given, or renamed beside it."""
        before = [] if known is None else [Path(known)]
        candidates = [*before, *self._given]
        found = (path for path in candidates if self._hash(path) == sha256)
        return next(found, None) or self._renamed(sha256, _beside(known))

    def _renamed(self, sha256: str, beside: list[Path]) -> Path | None:
        looking = self._progress.over(beside, "looking for the video", len(beside), " files")
        return next((path for path in looking if self._hash(path) == sha256), None)

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            try:
                self._hashes[path] = sha256_of_file(path)
            except (OSError, ValueError):
                self._hashes[path] = ""
        return self._hashes[path]


def _paths(places: Iterable[str | Path], own: Path) -> list[Path]:
    def refused(address: str) -> VideoFile:
        raise UsageError(f"{address} is no place to look for a file", "name a folder or a file")

    return [one.path for one in find_inputs(places, own, refused) if isinstance(one, VideoFile)]


def _beside(known: str | None) -> list[Path]:
    """Return the videos in the folder where one was; its name may hold bytes that are no text."""
    if known is None:
        return []
    try:
        return sorted(path for path in Path(known).parent.iterdir() if is_video(path))
    except (OSError, ValueError):
        return []


def _floored(seconds: float) -> str:
    """Never later than the frame, which a player would then have passed."""
    return f"{math.floor(seconds * 1000 + 1e-6) / 1000:.3f}"


def quoted(word: str) -> str:
    """One word of a shell command on one line, also with newlines and bytes that are no text."""
    if word.isprintable():
        return shlex.quote(word)
    # ANSI-C quoting, as bash, zsh and POSIX 2024 know it.
    # Octal has at most three digits, so that what follows is never taken for a part of it.
    plain = (
        chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\{b:03o}" for b in os.fsencode(word)
    )
    return "$'" + "".join(plain) + "'"
