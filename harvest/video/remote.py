"""Videos of the web, through yt-dlp: found, downloaded one at a time, removed after use.

Only yt-dlp's extractors and downloaders run. No configuration, cache, cookie, plug-in or other
program of it has a say; nothing is printed, its log goes to ours; files are written into the
folder given and nowhere else. yt-dlp asks the web through request handlers. Here it gets one
alone, its own over `requests`, with the guard of our downloads before it, so that private
addresses are refused here as everywhere; what needs another handler (an imitated browser, a web
socket) is refused. A download lies in the cache while it is sampled, in a folder for each
address: what a killed run had of it is still there for the next, which goes on with it.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from weakref import WeakSet

from gleanset import Dataset
from gleanset.errors import (
    Blocked,
    Changed,
    DiskFull,
    GleansetError,
    MissingComponent,
    NeedsLogin,
    RateLimited,
    Unreachable,
    Unreadable,
)
from gleanset.files.store import sha256_of, sha256_of_file
from gleanset.installation import install_command
from gleanset.records import Origin
from harvest.http import Client
from harvest.http.proxies import trusted_certificates
from harvest.http.ssrf import spelled_private
from harvest.http.urls import host_of, tidy
from harvest.sources.sessions import guard_session
from harvest.video.inputs import (
    InputResult,
    SampledBefore,
    UnusableInput,
    VideoAtHand,
    VideoInput,
    find_inputs,
)

# How unfinished files of a download end.
_PART = "*.part*"


def downloads(dataset: Dataset) -> Path:
    """Return the folder for all of a dataset. It need not be there."""
    return dataset.cache / "downloads"


def has_parts(folder: Path) -> bool:
    """Return whether a download there can go on."""
    return any(folder.glob(_PART))


def remove_downloads(dataset: Dataset) -> None:
    """At the end of a run: remove all but what another run could go on with."""
    place = downloads(dataset)
    if not place.is_dir():
        return
    for one in place.iterdir():
        if one.is_dir() and not has_parts(one):
            shutil.rmtree(one, ignore_errors=True)
    if not any(place.iterdir()):
        place.rmdir()


def guarded(library: Any, params: dict[str, Any], client: Client) -> Any:
    """Return a `YoutubeDL` with these settings, whose every request goes where the client may.

    It raises `Unreachable` for a private address, and what yt-dlp raises.
    """
    handler = _handler(library, client)

    class Loader(library.YoutubeDL):  # type: ignore[misc]
        def build_request_director(self, handlers: Any, preferences: Any = None) -> Any:
            return super().build_request_director([handler], preferences)

    return Loader(params, auto_init=True)


def _handler(library: Any, client: Client) -> Any:
    base: Any = library.networking._requests.RequestsRH  # noqa: SLF001
    refused: Any = library.networking.exceptions.HTTPError

    class GuardedRH(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._answers: WeakSet[Any] = WeakSet()

        def _create_instance(self, *args: Any, **options: Any) -> Any:
            session = super()._create_instance(*args, **options)
            guard_session(session, client)
            return session

        def _make_sslcontext(self, *_: Any, **__: Any) -> Any:
            return trusted_certificates()

        def _send(self, request: Any) -> Any:
            try:
                answer = super()._send(request)
            except refused as error:
                self._answers.add(error.response)
                raise
            self._answers.add(answer)
            return answer

        def close(self) -> None:
            # Extractors leave off reading where they know enough, and the socket open.
            for answer in list(self._answers):
                answer.close()
            super().close()

    return GuardedRH


log = logging.getLogger(__name__)
# What yt-dlp fetches itself; for everything else it would start another program.
_OURS = "[protocol~='^(https?|m3u8(_native)?|http_dash_segments)$']"
# A picture is wanted, no sound; more lines than these are for screens.
_CHOICE, _ORDER = f"bv{_OURS}/bv*{_OURS}", ["res:1080"]
# What must stay free while a download grows.
_SPARE_BYTES = 20_000_000

KnownAddress = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class VideoAddress:
    """A page or file of the web, and every video of a playlist there.

    `known` tells the SHA-256 of a video whose address was sampled before as is wanted now.
    `keep` is where downloads lie, so that one that was stopped goes on in the next run.
    """

    shown: str
    open_client: Callable[[], Client]
    known: KnownAddress = lambda address: None
    keep: Path | None = None

    def videos(self, folder: Path) -> Iterator[InputResult]:
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
                    yield SampledBefore(page, sha256)
                else:
                    yield from _downloaded(library, client, page, self.keep or folder)

    def _pages(self, library: Any, client: Client, folder: Path) -> list[str]:
        """Return the addresses of the single videos. Raises what `translate_error` gives."""
        address = _checked(self.shown, client)
        if self.known(address) is not None:
            return [address]
        info = _extract_info(library, client, address, folder, download=False)
        pages = [one.get("webpage_url") or one.get("url") for one in _single_videos(info)]
        if not any(pages):
            raise Unreadable("no video there", address)
        return list(dict.fromkeys(str(page) for page in pages if page))


def all_inputs(
    places: Iterable[str | Path],
    dataset: Dataset | None,
    own: Path,
    settings: str,
    open_client: Callable[[], Client],
) -> list[VideoInput]:
    """Return every input, addresses among them; one that was sampled with these settings is not
    asked.

    Raises as `find_inputs`.
    """

    def known(address: str) -> str | None:
        return dataset.videos.sampled_at(address, settings) if dataset else None

    keep = downloads(dataset) if dataset else None
    return find_inputs(places, own, lambda url: VideoAddress(url, open_client, known, keep))


def _single_videos(info: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the single videos of what yt-dlp found, however deep its lists are."""
    for entry in info.get("entries", [info]):
        if entry and "entries" in entry:
            yield from _single_videos(entry)
        elif entry:
            yield entry


def _downloaded(library: Any, client: Client, page: str, folder: Path) -> Iterator[InputResult]:
    own = folder / sha256_of(page.encode())[:16]
    try:
        info = _extract_info(library, client, _checked(page, client), own, download=True)
        videos = list(_videos(page, list(_single_videos(info))))
    except (Unreadable, GleansetError) as error:
        if not isinstance(error, Unreachable):
            shutil.rmtree(own, ignore_errors=True)
        yield _unusable(page, error)
        return
    # Where it is stopped here, what was downloaded stays for the next run.
    yield from videos
    shutil.rmtree(own, ignore_errors=True)


def _videos(page: str, singles: list[dict[str, Any]]) -> Iterator[VideoAtHand]:
    for info in singles:
        # A page with several is not the address of each.
        address = page if len(singles) == 1 else info.get("url") or page
        if not (saved := info.get("requested_downloads")):
            why = "it is live and has no end yet" if info.get("is_live") else "nothing was saved"
            raise Unreadable("not downloaded", f"{page}: {why}")
        yield _video(Path(saved[0]["filepath"]), str(address), page, info)


def _video(path: Path, address: str, page: str, info: dict[str, Any]) -> VideoAtHand:
    sha256 = sha256_of_file(path)
    origin = Origin(
        "video",
        "",
        url=address,
        page_url=page,
        video=sha256,
        title=_text(info.get("title")) or page,
        author=_text(info.get("uploader")),
        licence=_text(info.get("license")),
    )
    return VideoAtHand(path, sha256, origin)


def _text(value: object) -> str | None:
    return str(value) if value else None


def _checked(address: str, client: Client) -> str:
    """Return the address itself: sites may care for what `tidy` leaves out, such as the
    fragment.
    """
    if not client.allow_private and spelled_private(host_of(tidy(address))):
        raise Unreadable("private address", f"{address}: fetched only with --allow-private")
    return address


def _extract_info(
    library: Any, client: Client, address: str, folder: Path, *, download: bool
) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    params = _settings(client, folder) | ({} if download else {"extract_flat": True})
    try:
        with closing(guarded(library, params, client)) as loader:
            info = loader.extract_info(address, download=download)
    except library.utils.YoutubeDLError as error:
        raise translate_error(library, error, address) from error
    if not info:
        raise Unreadable("no video there", address)
    return dict(info)


def _settings(client: Client, folder: Path) -> dict[str, Any]:
    place = os.fspath(folder)
    return {
        "format": _CHOICE,
        "format_sort": _ORDER,
        "outtmpl": "%(autonumber)s.%(format_id)s.%(ext)s",
        "paths": {"home": place, "temp": place},
        "logger": _LogBridge(),
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
        "progress_hooks": [_FreeSpaceHook(folder)],
        "http_headers": {"User-Agent": client.user_agent},
        "socket_timeout": client.limits.read,
        "sleep_interval_requests": client.limits.delay,
        "retries": client.limits.retries,
        "fragment_retries": client.limits.retries,
    }


def _not_endless(info: dict[str, Any], *, incomplete: bool = False) -> str | None:
    return "it is live and has no end yet" if info.get("is_live") else None


class _FreeSpaceHook:
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


class _LogBridge:
    """Takes what yt-dlp has to say: for `-vv`, never for stdout."""

    def debug(self, text: str) -> None:
        log.debug("%s", text)

    info = warning = error = debug


def _unusable(shown: str, error: Unreadable | GleansetError) -> UnusableInput:
    if isinstance(error, Unreadable):
        return UnusableInput(shown, error.reason, error.detail)
    if isinstance(error, (DiskFull, MissingComponent)):
        raise error
    return UnusableInput(shown, type(error).__name__.lower(), error.what, error)


def _library() -> Any:
    # It has no types: everything of it is Any, and ends in the modules `remote*`.
    os.environ.setdefault("YTDLP_NO_PLUGINS", "1")
    try:
        import_module("yt_dlp.networking._requests")
        return import_module("yt_dlp")
    except ImportError as error:
        raise MissingComponent(
            "Videos of the web need the package yt-dlp, which is not installed.",
            install_command("video"),
        ) from error


_LONGEST = 300
_AGAIN = "Run the same command again later: it goes on where it stopped."
_LOGIN = re.compile(r"log.?in|sign in|cookies|password|age.restricted|members.only|private", re.I)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def translate_error(library: Any, error: BaseException, address: str) -> Unreadable | GleansetError:
    """Return the error to raise instead; to be raised `from` the one of yt-dlp."""
    causes = list(_causes(error))
    words = _said(causes)
    if "No space left" in words:
        return DiskFull(f"no space left for {address}", "free some space and run it again")
    for cause in causes:
        if isinstance(cause, Unreachable):  # our guard's
            return Unreadable("private address", cause.what)
        if isinstance(cause, GleansetError):
            return cause
        if isinstance(cause, library.networking.exceptions.HTTPError):
            return _of_status(int(cause.status), address)
    return _of_kind(library.utils, library.networking.exceptions, causes, words, address)


def _of_status(status: int, address: str) -> Unreadable | GleansetError:
    if status == 429:
        return RateLimited(f"{address} wants no more requests for now.", _AGAIN)
    if status in (401, 403):
        return Blocked(
            f"{address} is refused ({status}).", "Look at it in a browser; save the video yourself."
        )
    return Unreadable(f"http {status}", address)


def _of_kind(
    utils: Any, transport: Any, causes: list[BaseException], words: str, address: str
) -> Unreadable | GleansetError:
    def any_is(*kinds: type[BaseException]) -> bool:
        return any(isinstance(one, kinds) for one in causes)

    what = f"{address}: {words}"
    if any_is(utils.UnsupportedError):
        return Unreadable("no video there", what)
    if any_is(utils.GeoRestrictedError):
        return Blocked(what, "The site does not show it in your country.")
    if any_is(transport.TransportError, utils.ContentTooShortError):
        return Unreachable(what, "Check the address, the network and HTTP_PROXY/HTTPS_PROXY.")
    if any_is(utils.RegexNotFoundError):
        return Changed(what, "Update what knows the site: pip install -U yt-dlp")
    if "ffmpeg could not be found" in words:
        return Unreadable("not downloaded", f"{address}: a stream that is encrypted or has no end")
    if _LOGIN.search(words):
        return NeedsLogin(what, "Save the video with your own browser, and name the file.")
    return Unreadable("not downloaded", what)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that it was made from; yt-dlp keeps some of them in attributes."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            inside = (getattr(cause, "exc_info", None) or (None, None))[1]
            waiting += [
                inside,
                getattr(cause, "cause", None),
                getattr(cause, "reason", None),
                cause.__cause__,
                cause.__context__,
                *getattr(cause, "unexpected_errors", ()),
            ]


def _said(causes: list[BaseException]) -> str:
    """One line of what was said first, without colours and the advice to report bugs."""
    text = _COLOURS.sub("", str(causes[0])).removeprefix("ERROR: ")
    text = re.split(r"; please report this issue|\. Use --| \(caused by ", text)[0]
    return " ".join(text.split())[:_LONGEST]
