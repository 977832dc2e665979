"""What yt-dlp has to complain about, in our words: who is to blame, and what mends it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gleanset.errors import (
    Blocked,
    Changed,
    DiskFull,
    GleansetError,
    NeedsLogin,
    RateLimited,
    Unreachable,
    Unreadable,
)

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
