"""Videos of the web: yt-dlp downloads each into the cache, and it is removed after sampling.

What is unfinished at the end of a run stays, and the next run resumes it. yt-dlp makes connections
of its own: only the address that it is given is checked for a private one.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gleanset import Dataset
from gleanset.errors import DiskFull, MissingComponent, Unreachable
from gleanset.files.store import sha256_of, sha256_of_file
from gleanset.installation import install_command
from gleanset.records import Origin
from harvest.http import Client
from harvest.http.ssrf import resolves_private
from harvest.http.urls import host_of, tidy
from harvest.video.inputs import (
    InputResult,
    SampledBefore,
    UnusableInput,
    VideoAtHand,
    VideoInput,
    find_inputs,
)

_log = logging.getLogger(__name__)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_HINT = "run it again: a download is resumed; update what knows the site: pip install -U yt-dlp"


def remove_downloads(dataset: Dataset) -> None:
    """Remove all downloads but what another run could resume."""
    for folder in (dataset.cache / "downloads").glob("*"):
        if not any(folder.rglob("*.part*")):
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class VideoAddress:
    """A page or file of the web, and every video of a playlist there.

    `known` returns the SHA-256 of a video that was sampled with these settings. Downloads are in
    `keep`, where the next run finds them.
    """

    shown: str
    open_client: Callable[[], Client]
    known: Callable[[str], str | None] = lambda address: None
    keep: Path | None = None

    def videos(self, folder: Path) -> Iterator[InputResult]:
        """Yield its videos, a page at a time. Raises `MissingComponent` and `DiskFull`."""
        with self.open_client() as client:
            settings = _settings(client)
            private = not client.allow_private and resolves_private(host_of(tidy(self.shown)))
        if private:
            yield UnusableInput(self.shown, "private address", "needs --allow-private")
            return
        place, pages = self.keep or folder, [self.shown]
        if self.known(self.shown) is None:
            listed = _extracted(self.shown, settings | {"extract_flat": True}, place, False)
            if isinstance(listed, UnusableInput):
                yield listed
                return
            found = [one.get("webpage_url") or one.get("url") or self.shown for one in listed]
            pages = list(dict.fromkeys(found))
        for page in pages:
            own = place / sha256_of(page.encode())[:16]
            if (sha256 := self.known(page)) is not None:
                yield SampledBefore(page, sha256)
            elif isinstance(infos := _extracted(page, settings, own, True), UnusableInput):
                yield infos
            else:
                # A page with several videos is not the address of each.
                yield from (_video(page, info, len(infos) == 1) for info in infos)
                shutil.rmtree(own, ignore_errors=True)


def all_inputs(
    places: Iterable[str | Path],
    dataset: Dataset | None,
    own: Path,
    settings: str,
    open_client: Callable[[], Client],
) -> list[VideoInput]:
    """Return every input; addresses sampled with these settings need no request."""

    def known(address: str) -> str | None:
        return dataset.videos.sampled_at(address, settings) if dataset else None

    keep = dataset.cache / "downloads" if dataset else None
    return find_inputs(places, own, lambda url: VideoAddress(url, open_client, known, keep))


def _settings(client: Client) -> dict[str, Any]:
    return {
        # Images are wanted, no sound; more lines than these are for screens.
        "format": "bv/bv*",
        "format_sort": ["res:1080"],
        "fixup": "never",
        "outtmpl": "%(autonumber)s.%(format_id)s.%(ext)s",
        "quiet": True,
        "noprogress": True,
        "logger": SimpleNamespace(debug=_log.debug, warning=_log.debug, error=_log.debug),
        "cachedir": False,
        "noplaylist": True,
        "match_filter": lambda info, **_: "it is live" if info.get("is_live") else None,
        "http_headers": {"User-Agent": client.user_agent},
        "retries": client.limits.retries,
        "socket_timeout": client.limits.read,
        "sleep_interval_requests": client.limits.delay,
    }


def _extracted(
    page: str, settings: dict[str, Any], folder: Path, download: bool
) -> list[dict[str, Any]] | UnusableInput:
    """Return what yt-dlp says of each video of a page, or what it could not do."""
    os.environ.setdefault("YTDLP_NO_PLUGINS", "1")
    try:
        from yt_dlp import YoutubeDL
        from yt_dlp.utils import YoutubeDLError
    except ImportError as error:
        hint = install_command("video")
        raise MissingComponent("videos of the web need the package yt-dlp", hint) from error
    folder.mkdir(parents=True, exist_ok=True)
    # yt-dlp sets the level of urllib3's log for the whole process.
    urllib3_log = logging.getLogger("urllib3")
    level = urllib3_log.level
    try:
        with YoutubeDL(settings | {"paths": {"home": str(folder)}}) as loader:
            infos = list(_single_videos(loader.extract_info(page, download=download) or {}))
    except YoutubeDLError as error:
        text = " ".join(_COLOURS.sub("", str(error)).removeprefix("ERROR: ").split())
        if "No space left" in text:
            raise DiskFull(f"no space left for {page}", "free some space") from error
        return UnusableInput(page, "not downloaded", text, Unreachable(f"{page}: {text}", _HINT))
    finally:
        urllib3_log.setLevel(level)
    if not infos or (download and not all(info.get("requested_downloads") for info in infos)):
        return UnusableInput(page, "not downloaded", "no video there, or one without an end")
    return infos


def _single_videos(info: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the single videos of what yt-dlp found, however deep its lists are."""
    for entry in info.get("entries", [info]):
        if entry and "entries" in entry:
            yield from _single_videos(entry)
        elif entry:
            yield entry


def _video(page: str, info: dict[str, Any], alone: bool) -> VideoAtHand:
    path = Path(info["requested_downloads"][0]["filepath"])
    sha256, address = sha256_of_file(path), page if alone else str(info.get("url") or page)
    origin = Origin(
        "video",
        "",
        url=address,
        page_url=page,
        video=sha256,
        title=info.get("title") or page,
        author=info.get("uploader") or None,
        licence=info.get("license") or None,
    )
    return VideoAtHand(path, sha256, origin)
