"""Videos of the web, through yt-dlp: found, downloaded one at a time, removed after use.

Only yt-dlp's extractors and downloaders run. No configuration, cache, cookie, plug-in or other
program of it has a say; nothing is printed, its log goes to ours; files are written into
the folder given and nowhere else. Every request goes through our guarded connections, so
private addresses are refused here as everywhere.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from gleanset import Dataset
from gleanset.errors import DiskFull, GleansetError, MissingComponent, Unreachable, Unreadable
from gleanset.files.store import sha256_of, sha256_of_file
from gleanset.records import Origin
from harvest.http import Client
from harvest.http.guard import spelled_private
from harvest.http.urls import host_of, tidy
from harvest.video.downloads import downloads
from harvest.video.inputs import Found, Input, Known, Unusable, Video, find_inputs
from harvest.video.remote_errors import explained
from harvest.video.remote_guard import guarded

log = logging.getLogger(__name__)
# What yt-dlp fetches itself; for everything else it would start another program.
_OURS = "[protocol~='^(https?|m3u8(_native)?|http_dash_segments)$']"
# A picture is wanted, no sound; more lines than these are for screens.
_CHOICE, _ORDER = f"bv{_OURS}/bv*{_OURS}", ["res:1080"]
# What must stay free while a download grows.
_SPARE_BYTES = 20_000_000

Looked = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Address:
    """A page or file of the web, and every video of a playlist there.

    `known` tells the SHA-256 of a video whose address was sampled before as is wanted now.
    `keep` is where downloads lie, so that one that was stopped goes on in the next run.
    """

    shown: str
    open_client: Callable[[], Client]
    known: Looked = lambda address: None
    keep: Path | None = None

    def videos(self, folder: Path) -> Iterator[Found]:
        """Raises `MissingComponent` without yt-dlp, and `DiskFull`."""
        library = _library()
        with self.open_client() as client:
            try:
                pages = self._pages(library, client, folder)
            except (Unreadable, GleansetError) as error:
                yield _unusable(self.shown, error)
                return
            for page in pages:
                if (sha256 := self.known(page)) is not None:
                    yield Known(page, sha256)
                else:
                    yield from _downloaded(library, client, page, self.keep or folder)

    def _pages(self, library: Any, client: Client, folder: Path) -> list[str]:
        """The addresses of the single videos. Raises what `explained` gives."""
        address = _checked(self.shown, client)
        if self.known(address) is not None:
            return [address]
        told = _asked(library, client, address, folder, download=False)
        pages = [one.get("webpage_url") or one.get("url") for one in _singles(told)]
        if not any(pages):
            raise Unreadable("no video there", address)
        return list(dict.fromkeys(str(page) for page in pages if page))


def all_inputs(
    given: Iterable[str | Path],
    dataset: Dataset | None,
    own: Path,
    settings: str,
    open_client: Callable[[], Client],
) -> list[Input]:
    """Every input, addresses among them; one that was sampled with these settings is not asked.

    Raises as `find_inputs`.
    """

    def known(address: str) -> str | None:
        return dataset.videos.sampled_at(address, settings) if dataset else None

    keep = downloads(dataset) if dataset else None
    return find_inputs(given, own, lambda url: Address(url, open_client, known, keep))


def _singles(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The single videos of what yt-dlp found, however deep its lists are."""
    for entry in told.get("entries", [told]):
        if entry and "entries" in entry:
            yield from _singles(entry)
        elif entry:
            yield entry


def _downloaded(library: Any, client: Client, page: str, folder: Path) -> Iterator[Found]:
    own = folder / sha256_of(page.encode())[:16]
    try:
        told = _asked(library, client, _checked(page, client), own, download=True)
        found = list(_videos(page, list(_singles(told))))
    except (Unreadable, GleansetError) as error:
        if not isinstance(error, Unreachable):
            shutil.rmtree(own, ignore_errors=True)
        yield _unusable(page, error)
        return
    # Where it is stopped here, what was downloaded stays for the next run.
    yield from found
    shutil.rmtree(own, ignore_errors=True)


def _videos(page: str, singles: list[dict[str, Any]]) -> Iterator[Video]:
    for told in singles:
        # A page with several is not the address of each.
        address = page if len(singles) == 1 else told.get("url") or page
        if not (saved := told.get("requested_downloads")):
            why = "it is live and has no end yet" if told.get("is_live") else "nothing was saved"
            raise Unreadable("not downloaded", f"{page}: {why}")
        yield _video(Path(saved[0]["filepath"]), str(address), page, told)


def _video(path: Path, address: str, page: str, told: dict[str, Any]) -> Video:
    sha256 = sha256_of_file(path)
    origin = Origin(
        "video",
        "",
        url=address,
        page_url=page,
        video=sha256,
        title=_text(told.get("title")) or page,
        author=_text(told.get("uploader")),
        licence=_text(told.get("license")),
    )
    return Video(path, sha256, origin)


def _text(value: object) -> str | None:
    return str(value) if value else None


def _checked(address: str, client: Client) -> str:
    """The address itself: sites may care for what `tidy` leaves out, such as the fragment."""
    if not client.allow_private and spelled_private(host_of(tidy(address))):
        raise Unreadable("private address", f"{address}: fetched only with --allow-private")
    return address


def _asked(
    library: Any, client: Client, address: str, folder: Path, *, download: bool
) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    params = _settings(client, folder) | ({} if download else {"extract_flat": True})
    try:
        with closing(guarded(library, params, client)) as loader:
            told = loader.extract_info(address, download=download)
    except library.utils.YoutubeDLError as error:
        raise explained(library, error, address) from error
    if not told:
        raise Unreadable("no video there", address)
    return dict(told)


def _settings(client: Client, folder: Path) -> dict[str, Any]:
    place = os.fspath(folder)
    return {
        "format": _CHOICE,
        "format_sort": _ORDER,
        "outtmpl": "%(autonumber)s.%(format_id)s.%(ext)s",
        "paths": {"home": place, "temp": place},
        "logger": _Log(),
        "quiet": True,
        "noprogress": True,
        "no_warnings": True,
        "cachedir": False,
        "allow_unplayable_formats": False,
        "fixup": "never",
        # No ffmpeg lies there: left to yt-dlp, it would fetch past our guard.
        "ffmpeg_location": place,
        "hls_prefer_native": True,
        "external_downloader": {},
        "noplaylist": True,
        "updatetime": False,
        "xff": "never",
        "match_filter": _not_endless,
        "progress_hooks": [_Room(folder)],
        "http_headers": {"User-Agent": client.user_agent},
        "socket_timeout": client.limits.read,
        "sleep_interval_requests": client.limits.delay,
        "retries": client.limits.retries,
        "fragment_retries": client.limits.retries,
    }


def _not_endless(told: dict[str, Any], *, incomplete: bool = False) -> str | None:
    return "it is live and has no end yet" if told.get("is_live") else None


class _Room:
    """Ends a download before it fills the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, state: dict[str, Any]) -> None:
        size = state.get("total_bytes") or state.get("total_bytes_estimate") or 0
        missing = max(size - (state.get("downloaded_bytes") or 0), 0)
        if state.get("status") == "downloading" and missing + _SPARE_BYTES > self._free():
            raise DiskFull(
                f"a video of {size / 1e9:.1f} GB does not fit on the disk of {self._folder}",
                "free some space and run the command again",
            )

    def _free(self) -> int:
        return shutil.disk_usage(self._folder).free


class _Log:
    """Takes what yt-dlp has to say: for `-vv`, never for stdout."""

    def debug(self, text: str) -> None:
        log.debug("%s", text)

    info = warning = error = debug


def _unusable(shown: str, error: Unreadable | GleansetError) -> Unusable:
    if isinstance(error, Unreadable):
        return Unusable(shown, error.reason, error.detail)
    if isinstance(error, (DiskFull, MissingComponent)):
        raise error
    return Unusable(shown, type(error).__name__.lower(), error.what, error)


def _library() -> Any:
    # It has no types: everything of it is Any, and ends in the modules `remote*`.
    os.environ.setdefault("YTDLP_NO_PLUGINS", "1")
    try:
        import_module("yt_dlp.networking._requests")
        return import_module("yt_dlp")
    except ImportError as error:
        raise MissingComponent(
            "Videos of the web need the package yt-dlp, which is not installed.",
            "pip install 'gleanset[video]'",
        ) from error
