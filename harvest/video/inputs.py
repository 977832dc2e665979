"""Inputs of `harvest frames`: files, folders, glob patterns and URLs.

Each input is opened only in its turn and yields its videos.
"""

from __future__ import annotations

import glob
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from gleanset import Dataset
from gleanset.errors import (
    DiskFull,
    InputUnusable,
    Unreachable,
    Unreadable,
)
from gleanset.files.names import VIDEO_EXTENSIONS, format_path
from gleanset.files.store import hash_bytes, hash_file
from gleanset.installation import require_extra
from gleanset.records import Origin
from gleanset.tree import walk_tree

if TYPE_CHECKING:
    from harvest.http import Client

_log = logging.getLogger(__name__)
_URL = re.compile(r"https?://", re.IGNORECASE)
_WILDCARD = re.compile(r"[*?\[]")
# With extensions that are not only of videos: TypeScript has one of them.
_EXTENSIONS = VIDEO_EXTENSIONS | {".ts", ".mts", ".vob", ".rm"}
_UPDATE_HINT = (
    "run it again to resume the download, or update yt-dlp: pip install -U yt-dlp"
)


class LocalVideo(NamedTuple):
    """Video that is available as a local file; `sha256` is the hash of its bytes.

    `origin` holds what all its frames have in common: where the video was found, its title,
    URL and author. Key, time, frame and scene are set for each frame. If `downloaded`, the file
    is removed after sampling.
    """

    path: Path
    sha256: str
    origin: Origin
    downloaded: bool = False

    @property
    def display_name(self) -> str:
        """Name for users: a URL or a path."""
        return self.origin.url or self.origin.path or str(self.path)


class VideoFile(NamedTuple):
    """Video file on disk."""

    path: Path

    @property
    def display_name(self) -> str:
        """Printable path."""
        return format_path(self.path)

    def iter_videos(self) -> Iterator[LocalVideo]:
        """Yield the file, identified by its content. Raises `Unreadable`."""
        try:
            sha256 = hash_file(self.path)
        except OSError as error:
            raise Unreadable("cannot be read", error.strerror or str(error)) from error
        title = format_path(Path(self.path.name))
        origin = Origin("video", "", path=self.display_name, video=sha256, title=title)
        yield LocalVideo(self.path, sha256, origin)


class VideoUrl(NamedTuple):
    """URL of a page or video, which yt-dlp downloads into its own folder in `downloads`.

    `sampled` is the SHA-256 of its video if that was sampled before with the same settings. The
    next run resumes an unfinished download. yt-dlp opens its own connections, so that the SSRF
    guard checks only this URL.
    """

    display_name: str
    open_client: Callable[[], Client]
    downloads: Path
    sampled: str | None = None

    def iter_videos(self) -> Iterator[LocalVideo]:
        """Yield the videos of the page; one that was sampled before is not downloaded.

        Raises `Unreadable`, `MissingComponent` and `DiskFull`.
        """
        # Imported here, because the HTTP modules double the loading time.
        from harvest.http.connections import resolves_to_private
        from harvest.http.urls import get_host, normalize_url

        page = self.display_name
        if self.sampled is not None:
            yield LocalVideo(Path(), self.sampled, Origin("video", "", url=page))
            return
        with self.open_client() as client:
            host = get_host(normalize_url(page))
            if not client.allow_private and resolves_to_private(host):
                raise Unreadable("private address", "needs --allow-private")
            infos = _download(
                page, client, self.downloads / hash_bytes(page.encode())[:16]
            )
        for info in infos:
            path = Path(info["requested_downloads"][0]["filepath"])
            sha256 = hash_file(path)
            origin = Origin(
                "video",
                "",
                # The URL of a page with several videos does not identify one of them.
                url=page if len(infos) == 1 else str(info.get("url") or page),
                page_url=page,
                video=sha256,
                title=info.get("title") or page,
                author=info.get("uploader") or None,
                licence=info.get("license") or None,
            )
            yield LocalVideo(path, sha256, origin, downloaded=True)


VideoInput: TypeAlias = VideoFile | VideoUrl
"""An input, which may hold several videos."""


def _download(page: str, client: Client, folder: Path) -> list[dict[str, Any]]:
    """Download the videos of a page; return yt-dlp's info dicts. Raises `Unreadable`."""
    os.environ.setdefault("YTDLP_NO_PLUGINS", "1")
    require_yt_dlp()
    from yt_dlp import YoutubeDL
    from yt_dlp.utils import YoutubeDLError

    settings = {
        # Video without sound; higher resolutions are not needed.
        "format": "bv/bv*",
        "format_sort": ["res:1080"],
        "fixup": "never",
        "paths": {"home": str(folder)},
        "outtmpl": "%(autonumber)s.%(format_id)s.%(ext)s",
        "quiet": True,
        "noprogress": True,
        "color": {"stderr": "no_color"},
        "logger": SimpleNamespace(
            debug=_log.debug, warning=_log.debug, error=_log.debug
        ),
        "cachedir": False,
        "noplaylist": True,
        "match_filter": lambda info, **_: "it is live" if info.get("is_live") else None,
        "http_headers": {"User-Agent": client.user_agent},
        "retries": client.limits.retries,
        "socket_timeout": client.limits.read_timeout,
        "sleep_interval_requests": client.limits.delay,
    }
    # yt-dlp changes the level of urllib3's logger for the whole process.
    urllib3_log = logging.getLogger("urllib3")
    level = urllib3_log.level
    try:
        with YoutubeDL(settings) as loader:
            answer = loader.extract_info(page) or {}
    except YoutubeDLError as error:
        text = " ".join(str(error).removeprefix("ERROR: ").split())
        if "No space left" in text:
            raise DiskFull(f"no space left for {page}", "free some space") from error
        raise Unreadable("not downloaded", text) from Unreachable(
            f"{page}: {text}", _UPDATE_HINT
        )
    finally:
        urllib3_log.setLevel(level)
    infos = [info for info in answer.get("entries", [answer]) if info]
    if not infos or not all(info.get("requested_downloads") for info in infos):
        raise Unreadable("not downloaded", "no video there, or one without an end")
    return infos


def require_yt_dlp() -> None:
    """Raise `MissingComponent` if yt-dlp is not installed."""
    require_extra("downloading videos", ("yt_dlp",), "video")


def remove_downloads(dataset: Dataset) -> None:
    """Remove all downloads except those that another run can resume."""
    for folder in (dataset.cache / "downloads").glob("*"):
        if not any(folder.rglob("*.part*")):
            shutil.rmtree(folder, ignore_errors=True)


def is_url(name: str | Path) -> bool:
    """Return whether an input is a URL (never a `Path`)."""
    return isinstance(name, str) and bool(_URL.match(name))


def find_inputs(
    paths: Iterable[str | Path], open_url: Callable[[str], VideoUrl] | None = None
) -> list[VideoInput]:
    """Return the inputs in the order given, without repeats.

    Files of a folder or pattern are in natural order; datasets in folders are skipped. `open_url`
    creates the input for a URL; without it, all are paths. Raises `InputUnusable` for a
    path that does not exist, and for a folder or pattern without videos.
    """
    inputs: dict[str | Path, VideoInput] = {}
    for name in paths:
        if open_url is not None and is_url(name):
            inputs.setdefault(str(name), open_url(str(name)))
        else:
            for file in _files(Path(name)):
                inputs.setdefault(file.resolve(), VideoFile(file))
    return list(inputs.values())


def _files(path: Path) -> Iterator[Path]:
    # Unlike `Path.exists`, this is False for a name that is too long.
    for file in [path] if os.path.exists(path) else _expand_pattern(path):  # noqa: PTH110
        if file.is_dir():
            yield from _find_videos(file)
        elif file.is_file():
            yield _normalize(file)
        else:
            raise InputUnusable(
                f"{format_path(file)} is not a file", "name a file or a folder"
            )


def _normalize(path: Path) -> Path:
    # The path must be the same in every run, and readable; so links are kept if possible.
    return path.resolve() if ".." in path.parts else path.absolute()


def _expand_pattern(path: Path) -> list[Path]:
    if not _WILDCARD.search(os.fspath(path)):
        raise InputUnusable(f"there is no file {format_path(path)}", "check its name")
    # A quoted pattern reaches us with ~ unexpanded.
    paths = [Path(p) for p in glob.glob(str(path.expanduser()), recursive=True)]  # noqa: PTH207
    if not paths:
        raise InputUnusable(f"nothing matches {format_path(path)}", "check the pattern")
    # videos/* is meant to match the videos, not every file next to them.
    videos = [path for path in paths if path.is_dir() or _is_video(path)]
    return sorted(videos or paths, key=_natural_order)


def _find_videos(folder: Path) -> Iterator[Path]:
    errors: list[OSError] = []
    tree = walk_tree(_normalize(folder), Counter(), errors.append)
    videos = [
        parent / name
        for parent, _, files in tree
        for name in files
        if _is_video(parent / name)
    ]
    # Unreadable folders are included, so that they are reported in their turn.
    videos += [Path(os.fsdecode(error.filename)) for error in errors]
    if not videos:
        raise InputUnusable(
            f"there is no video in {format_path(folder)}",
            "name the folder that holds them",
        )
    return iter(sorted(videos, key=_natural_order))


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in _EXTENSIONS


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", os.fspath(path).casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
