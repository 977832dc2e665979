"""What gallery-dl hands out, as our records: dictionaries of many shapes, and its exceptions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from gleanset.errors import Blocked, Changed, GleansetError, InputUnusable, NeedsLogin, UsageError
from gleanset.records import Candidate, Origin
from harvest.http import Page, unreachable
from harvest.sources.base import Query
from harvest.sources.base import refusal as site_refusal

# An unknown or missing ending is tried: content decides what a file is.
_VIDEO = "mp4 m4v webm mkv mov avi wmv flv swf mpg mpeg ogv gifv ts m3u8 mpd 3gp"
_SOUND = "mp3 m4a ogg oga opus wav flac aac"
_OTHER = "zip rar 7z gz tar cbz cbr pdf epub txt html htm json xml csv doc docx psd clip sai blend"
_NO_PICTURES = frozenset(f"{_VIDEO} {_SOUND} {_OTHER}".split())
_POSTS = ("tweet_id", "post_id", "gallery_id", "album_id", "chapter_id", "id")
_AUTHORS = ("tags_artist", "artist", "artists", "author", "creator", "user", "username", "owner")
_LICENCES = ("license", "licence", "license_name", "license_url")
_PAGES = ("post_url", "page_url", "permalink", "permalink_url", "webpage_url", "web_url")
_NAMES = ("name", "nick", "username", "title", "tag", "url")
_QUESTION = re.compile(r"\?[^\s'\"]*")

_LOG_IN = (
    "Put the login into your gallery-dl settings (see its documentation), "
    "and add -o gallery_dl.config=yes."
)


def candidate(
    extractor: Any, url: str, metadata: Mapping[str, Any], query: Query
) -> Candidate | None:
    """Return one file as a candidate, None for what is no picture or not on the web."""
    if not url.startswith(("http://", "https://")) or _ending(url, metadata) in _NO_PICTURES:
        return None
    origin = Origin(
        "gallery_dl",
        _key(extractor.category, url, metadata),
        url=url,
        page_url=_page(metadata) or extractor.url,
        post=_post(extractor.category, metadata),
        query=query.text,
        hint=query.hint,
        author=_text(metadata, _AUTHORS),
        licence=_text(metadata, _LICENCES),
        title=_text(metadata, ("title",)),
        tags=tuple(dict.fromkeys(_words(metadata.get("tags")))),
        rating=_text(metadata, ("rating",)),
    )
    return Candidate(
        url,
        origin,
        _pixels(metadata, "width"),
        _pixels(metadata, "height"),
        _referer(extractor, metadata),
    )


def refusal(errors: Any, error: Exception, query: Query) -> GleansetError:
    """Return what an exception of gallery-dl means; `errors` is its module of them."""
    address = repr(query.text)
    if isinstance(error, errors.HttpError):
        return _of_status(error, address, challenge=isinstance(error, errors.ChallengeError))
    if isinstance(error, errors.AuthorizationError | errors.AuthenticationError):
        return NeedsLogin(f"{address} needs a login: {_plain(error)}.", _LOG_IN)
    if isinstance(error, errors.AbortExtraction) and "input required" in str(error).lower():
        return NeedsLogin(f"{address} needs a login: {_plain(error)}.", _LOG_IN)
    if isinstance(error, errors.NotFoundError):
        return _nothing_there(address)
    if isinstance(error, errors.InputError):
        return UsageError(f"gallery-dl cannot use {address}: {_plain(error)}.", "Mend the address.")
    # An answer that is no JSON is an OSError for `requests`, and a ValueError as well.
    if isinstance(error, OSError) and not isinstance(error, ValueError):
        return unreachable(f"The site of {address}", _plain(error))
    return Changed(
        f"gallery-dl could not read what the site answered to {address}: "
        f"{type(error).__name__}: {_plain(error)}.",
        "pip install -U gallery-dl; if it stays so, use another source.",
    )


def _of_status(error: Any, address: str, *, challenge: bool) -> GleansetError:
    status = int(error.status)
    if challenge or status == 403:
        return Blocked(
            f"The site turned {address} away ({_plain(error)}).",
            "Wait some hours, use another network, or your login with -o gallery_dl.config=yes.",
        )
    if status == 401:
        return NeedsLogin(f"{address} needs a login.", _LOG_IN)
    if status in (404, 410):
        return _nothing_there(address)
    if status == 0:
        return unreachable(f"The site of {address}", _plain(error))
    page = Page(status, "", address, error.response.headers)
    return site_refusal(f"The site answered {status} to {address}.", page)


def _nothing_there(address: str) -> GleansetError:
    return InputUnusable(f"There is nothing at {address}.", "Open the address in a browser.")


def without_keys(text: str) -> str:
    """Return a text without the query of any address in it, which may hold a key."""
    return _QUESTION.sub("?…", text)


def _plain(error: Exception) -> str:
    return without_keys(str(getattr(error, "message", "") or error)).rstrip(".")


def _ending(url: str, metadata: Mapping[str, Any]) -> str:
    named = urlsplit(url).path.rpartition("/")[2].rpartition(".")[2]
    return str(metadata.get("extension") or named).lower()


def _key(site: str, url: str, metadata: Mapping[str, Any]) -> str:
    """Return the site's number of the post and the name of the file in it, else the URL.

    Addresses may be signed anew each time, and one post may hold many files.
    """
    number, name = metadata.get("id"), metadata.get("filename")
    if not number or not name:
        return url
    page = metadata.get("num")
    return f"{site}:{number}:{page}:{name}" if page else f"{site}:{number}:{name}"


def _post(site: str, metadata: Mapping[str, Any]) -> str | None:
    number = next((metadata[name] for name in _POSTS if metadata.get(name)), None)
    return f"{site}:{number}" if isinstance(number, str | int) else None


def _page(metadata: Mapping[str, Any]) -> str | None:
    pages = (metadata.get(name) for name in _PAGES)
    return next((p for p in pages if isinstance(p, str) and p.startswith("http")), None)


def _referer(extractor: Any, metadata: Mapping[str, Any]) -> str | None:
    session = getattr(extractor, "session", None)
    sent = {**(session.headers if session else {}), **(metadata.get("_http_headers") or {})}
    referer = sent.get("Referer")
    return referer.decode("latin-1") if isinstance(referer, bytes) else referer or None


def _pixels(metadata: Mapping[str, Any], side: str) -> int | None:
    for name in (side, f"image_{side}"):
        text = str(metadata.get(name, ""))
        if text.isdecimal() and int(text):
            return int(text)
    return None


def _text(metadata: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Return the first of these that says something, several people joined by commas."""
    for name in names:
        value = metadata.get(name)
        text = value.strip() if isinstance(value, str) else ", ".join(_words(value))
        if text:
            return text
    return None


def _words(value: Any) -> list[str]:
    """Return names out of a text, a list, a dictionary with a name, or one of lists."""
    if isinstance(value, str):
        parts = value.split(",") if "," in value else value.split()
        return [word for part in parts if (word := part.strip())]
    if isinstance(value, Mapping):
        name = next((value[n] for n in _NAMES if isinstance(value.get(n), str)), None)
        if name is not None:
            return [name]
        return [word for inner in value.values() for word in _words(inner)]
    if isinstance(value, list | tuple | set | frozenset):
        return [w for i in value for w in ([i] if isinstance(i, str) else _words(i)) if w]
    return []
