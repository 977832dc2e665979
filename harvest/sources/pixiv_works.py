"""One work of Pixiv: what the API tells of it, whether it is wanted, what it has to fetch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gleanset.records import Candidate, Origin

# i.pximg.net answers 403 to whoever does not come from here.
REFERER = "https://app-api.pixiv.net/"
# What is shown in the place of a work that this account may not see.
_PLACEHOLDER = "/common/images/limit_"
_FIRST_FRAME = "_ugoira0."
# The site's own words for its levels of x_restrict.
_RATINGS = ("general", "R-18", "R-18G")
_AI: Mapping[int, bool] = {1: False, 2: True}


class _User(msgspec.Struct):
    name: str | None = None


class _Tag(msgspec.Struct):
    name: str
    translated_name: str | None = None


class _Single(msgspec.Struct):
    original_image_url: str | None = None


class _Sizes(msgspec.Struct):
    original: str


class _Page(msgspec.Struct):
    image_urls: _Sizes


class Work(msgspec.Struct):
    """A work in the API's own words, of which the rest is ignored."""

    id: int
    type: str
    title: str | None = None
    user: _User | None = None
    tags: list[_Tag] = []
    create_date: str = ""
    width: int | None = None
    height: int | None = None
    x_restrict: int = 0
    illust_ai_type: int = 0
    total_bookmarks: int | None = None
    visible: bool = True
    meta_single_page: _Single | None = None
    meta_pages: list[_Page] = []

    @property
    def originals(self) -> list[str]:
        """The address of every page's original; of a ugoira the first frame's."""
        if self.meta_pages:
            return [page.image_urls.original for page in self.meta_pages]
        single = self.meta_single_page
        return [single.original_image_url] if single and single.original_image_url else []

    @property
    def hidden(self) -> bool:
        """Whether this account is shown a placeholder instead of the work."""
        return not self.visible or any(_PLACEHOLDER in url for url in self.originals)

    @property
    def ai(self) -> bool | None:
        """Whether it was made by AI, as its author declared; None for works older than that."""
        return _AI.get(self.illust_ai_type)


def read_work(told: Any) -> Work | None:
    """The work that a JSON value describes, or None when it has another shape."""
    try:
        work = msgspec.convert(told, Work, strict=False)
    except msgspec.ValidationError:
        return None
    return work if work.originals or not work.visible else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which works a person asked for. `r18` and `ai` are no, yes or only."""

    bookmarks: int = 0
    r18: str = "no"
    ai: str = "no"
    kind: str = "all"

    def takes(self, work: Work) -> bool:
        """Whether this work is one of them; one of unknown making is not taken for AI's."""
        return (
            not work.hidden
            and (work.total_bookmarks or 0) >= self.bookmarks
            and self.kind in ("all", work.type)
            and _allowed(self.r18, work.x_restrict > 0)
            and _allowed(self.ai, work.ai is True)
        )


def _allowed(choice: str, is_so: bool) -> bool:
    return choice == "yes" or is_so == (choice == "only")


def candidates(
    work: Work, query: str, hint: str | None, urls: Sequence[str] | None = None
) -> Iterator[Candidate]:
    """A candidate for each address, by default each original; all belong to one post.

    The size is told of the first page alone, but holds for every frame of a ugoira.
    """
    animated = work.type == "ugoira"
    for number, url in enumerate(work.originals if urls is None else urls):
        key = f"{work.id}_{'ugoira' if animated else 'p'}{number}"
        size = (work.width, work.height) if animated or number == 0 else (None, None)
        yield Candidate(url, _origin(work, key, url, query, hint), *size, referer=REFERER)


def frame_urls(work: Work, count: int) -> list[str]:
    """The addresses of a ugoira's first `count` frames: they differ by their number only."""
    [first] = work.originals
    before, mark, after = first.rpartition(_FIRST_FRAME)
    if not mark:
        return [first]
    return [f"{before}_ugoira{number}.{after}" for number in range(count)]


def _origin(work: Work, key: str, url: str, query: str, hint: str | None) -> Origin:
    names = [tag.name for tag in work.tags]
    translations = [tag.translated_name for tag in work.tags if tag.translated_name]
    return Origin(
        source="pixiv",
        key=key,
        url=url,
        page_url=f"https://www.pixiv.net/artworks/{work.id}",
        post=str(work.id),
        query=query,
        hint=hint,
        author=work.user.name if work.user else None,
        title=work.title or None,
        # A translation may equal the name, or that of another tag.
        tags=tuple(dict.fromkeys([*names, *translations])),
        rating=_RATINGS[min(max(work.x_restrict, 0), 2)],
        ai=work.ai,
    )
