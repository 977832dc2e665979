"""Online videos: yt-dlp downloads them into the cache, where they stay until sampled.

The next run resumes an unfinished download. yt-dlp opens its own connections, so that the SSRF
guard checks only the URL passed to it.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gleanset import Dataset
from gleanset.errors import DiskFull, MissingComponent, Unreachable, Unreadable
from gleanset.files.store import hash_bytes, hash_file
from gleanset.installation import install_command
from gleanset.records import Origin
from harvest.http import Client
from harvest.http.connections import resolves_to_private
from harvest.http.urls import get_host, normalize_url
from harvest.video.inputs import LocalVideo

_log = logging.getLogger(__name__)
_UPDATE_HINT = "run it again to resume the download, or update yt-dlp: pip install -U yt-dlp"


def require_yt_dlp() -> None:
    """Raise `MissingComponent` if yt-dlp is not installed."""
    if find_spec("yt_dlp") is None:
        hint = install_command("video")
        raise MissingComponent("online videos need the package yt-dlp", hint)


def remove_downloads(dataset: Dataset) -> None:
    """Remove all downloads except those that another run can resume."""
    for folder in (dataset.cache / "downloads").glob("*"):
        if not any(folder.rglob("*.part*")):
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class VideoUrl:
    """URL of a page or video, downloaded into its own folder in `cache`.

    `sampled` is the SHA-256 of its video if that was sampled before with the same settings.
    """

    display_name: str
    open_client: Callable[[], Client]
    sampled: str | None = None
    cache: Path | None = None

    def iter_videos(self, folder: Path) -> Iterator[LocalVideo]:
        """Yield the videos of the page; one that was sampled before is not downloaded.

        Raises `Unreadable`, `MissingComponent` and `DiskFull`.
        """
        page = self.display_name
        if self.sampled is not None:
            yield LocalVideo(Path(), self.sampled, Origin("video", "", url=page))
            return
        target = (self.cache or folder) / hash_bytes(page.encode())[:16]
        with self.open_client() as client:
            host = get_host(normalize_url(page))
            if not client.allow_private and resolves_to_private(host):
                raise Unreadable("private address", "needs --allow-private")
            infos = _download(page, client, target)
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
        "logger": SimpleNamespace(debug=_log.debug, warning=_log.debug, error=_log.debug),
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
        raise Unreadable("not downloaded", text) from Unreachable(f"{page}: {text}", _UPDATE_HINT)
    finally:
        urllib3_log.setLevel(level)
    infos = [info for info in answer.get("entries", [answer]) if info]
    if not infos or not all(info.get("requested_downloads") for info in infos):
        raise Unreadable("not downloaded", "no video there, or one without an end")
    return infos
