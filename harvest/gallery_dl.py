"""The output of `gallery-dl -j URL` as a list of candidates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from json import JSONDecoder
from pathlib import Path
from typing import Any

from gleanset.errors import InputUnusable
from gleanset.records import Candidate, Origin
from harvest.lists import open_list

# Message types in gallery_dl/extractor/message.py.
_ERROR, _URL, _QUEUE = -1, 3, 6
_POSTS = ("tweet_id", "post_id", "gallery_id", "album_id", "chapter_id", "id")
_AUTHORS = ("author", "artist", "artists", "tags_artist", "creator", "user", "username")
_PAGES = ("post_url", "page_url", "permalink", "permalink_url", "webpage_url", "web_url")


def is_gallery_dl(file: Path) -> bool:
    """Return whether a list was written by gallery-dl, by its suffix."""
    return file.suffix.lower() == ".json"


def read_gallery_dl(file: Path, label: str | None = None) -> Iterator[Candidate]:
    """Yield the images that gallery-dl found; `label` is their weak label.

    Raises `InputUnusable` for other JSON, and at the end if entries are not images.
    """
    pages = 0
    try:
        for kind, *fields in _messages(file):
            if kind == _ERROR:
                text = f"gallery-dl stopped: {fields[0]['error']}: {fields[0]['message']}"
                raise InputUnusable(text, "run it again; images found so far are kept")
            pages += int(kind) == _QUEUE
            if kind == _URL:
                yield _candidate(str(fields[0]), dict(fields[1]), label)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        fix = "gallery-dl -j URL > FILE.json"
        raise InputUnusable(f"{file} is not the JSON of gallery-dl", fix) from error
    if pages:
        text = f"{pages} entries of {file} are pages and not images"
        raise InputUnusable(text, "let gallery-dl follow them: gallery-dl -J URL")


def _messages(file: Path) -> Iterator[Any]:
    with open_list(file) as stream:
        text = stream.read().lstrip()
    while text:
        array, end = JSONDecoder().raw_decode(text)
        yield from array
        text = text[end:].lstrip()


def _candidate(url: str, metadata: Mapping[str, Any], label: str | None) -> Candidate:
    number = next((metadata[name] for name in _POSTS if metadata.get(name)), None)
    page = next((p for n in _PAGES if str(p := metadata.get(n)).startswith("http")), None)
    sides = [str(metadata.get(n) or metadata.get(f"image_{n}")) for n in ("width", "height")]
    width, height = (int(side) if side.isdecimal() else None for side in sides)
    origin = Origin(
        "urls",
        url,
        url=url,
        page_url=page,
        post=None if number is None else f"{metadata.get('category')}:{number}",
        hint=label,
        author=_text(metadata, _AUTHORS),
        licence=_text(metadata, ("license", "licence", "license_name", "license_url")),
        title=_text(metadata, ("title",)),
        tags=tuple(dict.fromkeys(_words(metadata.get("tags")))),
        rating=_text(metadata, ("rating",)),
    )
    return Candidate(url, origin, width, height, referer=page)


def _text(metadata: Mapping[str, Any], names: Iterable[str]) -> str | None:
    texts = (v if isinstance(v := metadata.get(n), str) else ", ".join(_words(v)) for n in names)
    return next(filter(None, (text.strip() for text in texts)), None)


def _words(value: Any) -> list[str]:
    """Return the names in a text, a list, a dictionary with a name, or a dictionary of lists."""
    if isinstance(value, str):
        return [w for part in value.split("," if "," in value else None) if (w := part.strip())]
    if isinstance(value, Mapping):
        names = [value[n] for n in ("name", "nick", "title") if isinstance(value.get(n), str)]
        return names[:1] or [word for part in value.values() for word in _words(part)]
    if isinstance(value, list):
        return [w for v in value for w in ([v] if isinstance(v, str) else _words(v)) if w]
    return []
