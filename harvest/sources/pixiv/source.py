"""Pixiv by tag, through the API of its app. It needs an account: `harvest login pixiv`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from threading import Lock
from typing import Any, ClassVar

import msgspec

from gleanset.errors import NeedsLogin, UsageError
from gleanset.records import Candidate, Origin
from harvest.http import Client
from harvest.secrets import LOGIN_HELP, secret
from harvest.sources.base import (
    Endpoint,
    Gap,
    Option,
    Pages,
    Query,
    ResultPage,
    Skipped,
    Source,
    day,
    listed,
    number,
    pages_in_windows,
)
from harvest.sources.pixiv.api import (
    AUTH_HOST,
    HOST,
    Endpoints,
    PixivApi,
    PixivSearch,
    SearchOrder,
    SearchTarget,
    changed,
)

# Seconds between two calls. People were turned away after minutes of several a second.
_PAUSE = 0.5
_TARGETS: dict[str, SearchTarget] = {
    "tags-partial": "partial_match_for_tags",
    "tags-exact": "exact_match_for_tags",
    "title": "title_and_caption",
}
_SORTS: dict[str, SearchOrder] = {"newest": "date_desc", "oldest": "date_asc"}
_NO_YES_ONLY = {word: word for word in ("no", "yes", "only")}
_TYPES = {word: word for word in ("all", "illust", "manga", "ugoira")}
# i.pximg.net answers 403 to whoever does not come from here.
REFERER = "https://app-api.pixiv.net/"
# What is shown in the place of a work that this account may not see.
_PLACEHOLDER = "/common/images/limit_"
_FIRST_FRAME = "_ugoira0."
# The site's own words for its levels of x_restrict.
_RATINGS = ("general", "R-18", "R-18G")
_AI: Mapping[int, bool] = {1: False, 2: True}
# One search reaches no result beyond this one.
_LAST_OFFSET = 5000
_DAY = timedelta(days=1)
# Well-liked works are tagged by their visitors with one of these numbers of bookmarks.
_BUCKETS = (100, 250, 300, 500, 1000, 5000, 10_000, 20_000, 30_000, 50_000, 100_000)


class Pixiv(Source):
    """`https://www.pixiv.net`, 30 works a page, with a refresh token."""

    name: ClassVar[str] = "pixiv"
    example: ClassVar[str] = "猫"
    options: ClassVar[tuple[Option, ...]] = (
        Option("endpoint", "address to ask instead of the API", HOST),
        Option("auth_endpoint", "address to log in at instead of Pixiv's", AUTH_HOST),
        Option("target", "what the words are looked for in", "tags-partial", _TARGETS),
        Option("sort", "order of the results", "newest", _SORTS),
        Option(
            "bookmarks",
            "least number of bookmarks; from 100 on also by the visitors' tags for it, "
            "which not every such work has",
            parse=number,
        ),
        Option("since", "made on that day or later, YYYY-MM-DD", parse=day),
        Option("until", "made on that day or before, YYYY-MM-DD", parse=day),
        Option("r18", "works for adults", "no", _NO_YES_ONLY),
        Option("ai", "works that their author declares as made by AI", "no", _NO_YES_ONLY),
        Option("pages", "of a work with several", "all", {"all": "all", "first": "first"}),
        Option("type", "kind of work", "all", _TYPES),
        Option(
            "ugoira",
            "of an animation every frame or only its first",
            "frames",
            {"frames": "frames", "first": "first"},
        ),
    )

    def __init__(self, pause: float = _PAUSE) -> None:
        self._pause = pause
        self._lock = Lock()

    def settings(self, query: Query) -> dict[str, str]:
        """Return what every source does; the two days must be in order."""
        settings = super().settings(query)
        days = [settings[name] for name in ("since", "until") if settings[name]]
        if days != sorted(days):
            raise UsageError("pixiv.since is later than pixiv.until.", "Exchange the two dates.")
        return settings

    def check_ready(self, settings: Mapping[str, str]) -> None:
        """Raise `NeedsLogin` without a refresh token."""
        _token()

    def pages(self, query: Query, settings: Mapping[str, str], client: Client) -> Pages:
        """Yield every page of every work that is asked for, in the order asked for."""
        selection = WorkFilter(
            int(settings["bookmarks"] or 0), settings["r18"], settings["ai"], settings["type"]
        )
        api = self._api(settings, client)
        for works in iterate_pages(api, _search(query.text, settings, selection.bookmarks)):
            for work in works:
                if isinstance(work, Skipped | Gap):
                    yield [work]
                elif selection.takes(work):
                    yield _pictures(api, work, query, settings)
                else:
                    yield [Skipped(str(work.id), "filtered")]

    def _api(self, settings: Mapping[str, str], client: Client) -> PixivApi:
        endpoints = Endpoints(Endpoint(settings["endpoint"]), Endpoint(settings["auth_endpoint"]))
        key = (endpoints, _token())
        # A login for each keyword would be the quickest way to be turned away.
        with self._lock:
            if key not in client.logins:
                client.logins[key] = PixivApi(key[0], client, key[1], self._pause)
            api: PixivApi = client.logins[key]
            return api


def _token() -> str:
    token = secret("pixiv.refresh_token")
    if not token:
        raise NeedsLogin("Pixiv needs a login, and none is kept.", LOGIN_HELP["pixiv"])
    return token


def _search(text: str, settings: Mapping[str, str], bookmarks: int) -> PixivSearch:
    by_tag = settings["target"] != "title"
    return PixivSearch(
        add_bookmark_tags(text, bookmarks) if by_tag else text,
        _TARGETS[settings["target"]],
        _SORTS[settings["sort"]],
        day(settings["since"]) if settings["since"] else None,
        day(settings["until"]) if settings["until"] else None,
    )


def _pictures(
    api: PixivApi, work: Work, query: Query, settings: Mapping[str, str]
) -> Iterator[Candidate]:
    text, hint = query.text, query.hint
    animated = work.type == "ugoira" and settings["ugoira"] == "frames"
    # What was deleted meanwhile has no frames left, but perhaps its first one.
    if animated and (count := api.frames(work.id)):
        yield from candidates(work, text, hint, ugoira_frame_urls(work, count))
    else:
        shown = 1 if settings["pages"] == "first" else None
        yield from candidates(work, text, hint, work.originals[:shown])


class _User(msgspec.Struct):
    name: str | None = None


class _Tag(msgspec.Struct):
    name: str | None = None
    translated_name: str | None = None


class _Single(msgspec.Struct):
    original_image_url: str | None = None


class _Sizes(msgspec.Struct):
    original: str


class _WorkPage(msgspec.Struct):
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
    meta_pages: list[_WorkPage] = []

    @property
    def originals(self) -> list[str]:
        """Return the address of every page's original; of a ugoira the first frame's."""
        if self.meta_pages:
            return [page.image_urls.original for page in self.meta_pages]
        single = self.meta_single_page
        return [single.original_image_url] if single and single.original_image_url else []

    @property
    def hidden(self) -> bool:
        """Return whether this account is shown a placeholder instead of the work."""
        return not self.visible or any(_PLACEHOLDER in url for url in self.originals)

    @property
    def ai(self) -> bool | None:
        """Return whether its author declared it as made by AI; None for works older than that."""
        return _AI.get(self.illust_ai_type)


def parse_work(value: Any) -> Work | None:
    """Return the work that a JSON value describes, or None when it has another shape."""
    if isinstance(value, dict):
        # What is null is not told.
        value = {name: told for name, told in value.items() if told is not None}
    try:
        work = msgspec.convert(value, Work, strict=False)
    except msgspec.ValidationError:
        return None
    return work if work.originals or not work.visible else None


@dataclass(frozen=True, slots=True)
class WorkFilter:
    """Which works a person asked for. `r18` and `ai` are no, yes or only."""

    bookmarks: int = 0
    r18: str = "no"
    ai: str = "no"
    kind: str = "all"

    def takes(self, work: Work) -> bool:
        """Return whether this work is one of them; one of unknown making is not taken for AI's."""
        return (
            (work.total_bookmarks or 0) >= self.bookmarks
            and self.kind in ("all", work.type)
            and _allowed(self.r18, work.x_restrict > 0)
            and _allowed(self.ai, work.ai is True)
        )


def _allowed(choice: str, is_so: bool) -> bool:
    return choice == "yes" or is_so == (choice == "only")


def candidates(
    work: Work, query: str, hint: str | None, urls: Sequence[str] | None = None
) -> Iterator[Candidate]:
    """Yield a candidate for each address, by default each original; all belong to one post.

    The size is told of the first page alone, but holds for every frame of a ugoira.
    """
    animated = work.type == "ugoira"
    for index, url in enumerate(work.originals if urls is None else urls):
        key = f"{work.id}_{'ugoira' if animated else 'p'}{index}"
        size = (work.width, work.height) if animated or index == 0 else (None, None)
        yield Candidate(url, _origin(work, key, url, query, hint), *size, referer=REFERER)


def ugoira_frame_urls(work: Work, count: int) -> list[str]:
    """Return the addresses of a ugoira's first `count` frames: they differ by their number only."""
    [first] = work.originals
    before, mark, after = first.rpartition(_FIRST_FRAME)
    if not mark:
        return [first]
    return [f"{before}_ugoira{number}.{after}" for number in range(count)]


def _origin(work: Work, key: str, url: str, query: str, hint: str | None) -> Origin:
    names = [tag.name for tag in work.tags if tag.name]
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


def add_bookmark_tags(text: str, bookmarks: int) -> str:
    """Return the words to search for to find works with at least that many bookmarks.

    Only the site's paying members can filter by bookmarks. The tags of the visitors
    ("500users入り") serve all: the bucket that holds the number, and every higher one.
    """
    lower = [bucket for bucket in _BUCKETS if bucket <= bookmarks]
    if not lower:
        return text
    tags = [f"{bucket}users入り" for bucket in _BUCKETS if bucket >= lower[-1]]
    words = f"({text})" if " OR " in text else text
    return f"{words} ({' OR '.join(tags)})" if len(tags) > 1 else f"{words} {tags[0]}"


def iterate_pages(api: PixivApi, search: PixivSearch) -> Iterator[Sequence[Work | Skipped | Gap]]:
    """Yield every page of works, also past the number that one search reaches."""
    for page in pages_in_windows(search, partial(_pages, api), _next_window):
        yield page.items


def _pages(api: PixivApi, search: PixivSearch) -> Iterator[ResultPage[Work]]:
    def ask(offset: int) -> ResultPage[Work] | None:
        page = api.search(search, offset)
        if page is None:
            if offset == 0:
                raise changed("a refusal of the first page of a search")
            return None
        items = [_shown(value) for value in page.works]
        if items and all(isinstance(i, Skipped) and i.reason == "unreadable" for i in items):
            raise changed("works, of which none has the shape we know")
        return ResultPage(items, page.next_offset)

    return listed(ask, 0, _LAST_OFFSET)


def _shown(value: Any) -> Work | Skipped:
    work = parse_work(value)
    if work is None:
        number = value.get("id") if isinstance(value, dict) else None
        return Skipped(str(number or value), "unreadable")
    return Skipped(str(work.id), "hidden") if work.hidden else work


def _next_window(search: PixivSearch, last: list[Work]) -> tuple[PixivSearch | None, str]:
    """Return the same search from the last work on, by its day, and what it does not reach.

    A hidden work has the time of the request as its date: the last one that is shown counts. One
    day more is asked for, because that day may have been cut in the middle and days begin in
    Japan. A window must shrink all the same, or a day with more works than one search reaches
    would be asked for ever.
    """
    if not last:
        return None, "works behind those that this account may not see"
    try:
        made = date.fromisoformat([w.create_date for w in last if w.create_date][-1][:10])
    except (ValueError, IndexError):
        raise changed("works without their dates") from None
    since, until = search.since, search.until
    if search.order == "date_asc":
        is_cut = since is not None and made <= since
        since = max(made - _DAY, since + _DAY) if since else made - _DAY
    else:
        is_cut = until is not None and made >= until
        until = min(made + _DAY, until - _DAY) if until else made + _DAY
    lost = f"works of {made}, of which one search reaches {_LAST_OFFSET:,}" if is_cut else ""
    if since and until and since > until:
        return None, lost
    return replace(search, since=since, until=until), lost
