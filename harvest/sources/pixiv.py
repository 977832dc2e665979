"""Pixiv by tag, through the API of its app. It needs an account: `harvest login pixiv`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from threading import Lock
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

from gleanset.errors import MissingComponent, NeedsLogin, UsageError
from gleanset.records import Candidate
from harvest.http import Client
from harvest.secrets import secret
from harvest.sources.base import Endpoint, Option, Query, Source
from harvest.sources.pixiv_errors import LOGIN
from harvest.sources.pixiv_search import Search, every_work, with_buckets
from harvest.sources.pixiv_works import Wanted, Work, candidates, frame_urls

if TYPE_CHECKING:
    from harvest.sources.pixiv_api import PixivApi
    from harvest.sources.pixiv_app import Doors

# Seconds between two calls. People were turned away after minutes of several a second.
_PAUSE = 0.5
_TARGETS = {
    "tags-partial": "partial_match_for_tags",
    "tags-exact": "exact_match_for_tags",
    "title": "title_and_caption",
}
_SORTS = {"newest": "date_desc", "oldest": "date_asc"}
_NO_YES_ONLY = {word: word for word in ("no", "yes", "only")}
_TYPES = {word: word for word in ("all", "illust", "manga", "ugoira")}


class Pixiv(Source):
    """`https://www.pixiv.net`, 30 works a page, with a refresh token."""

    name: ClassVar[str] = "pixiv"
    example: ClassVar[str] = "猫"
    options: ClassVar[tuple[Option, ...]] = (
        Option("endpoint", "address to ask instead of the API", "https://app-api.pixiv.net"),
        Option(
            "auth_endpoint",
            "address to log in at instead of Pixiv's",
            "https://oauth.secure.pixiv.net",
        ),
        Option("target", "what the words are looked for in", "tags-partial", _TARGETS),
        Option("sort", "order of the results", "newest", _SORTS),
        Option(
            "bookmarks",
            "least number of bookmarks; from 100 on also by the visitors' tags for it, "
            "which not every such work has",
        ),
        Option("since", "made on that day or later, YYYY-MM-DD"),
        Option("until", "made on that day or before, YYYY-MM-DD"),
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
        # A login for each keyword would be the quickest way to be turned away.
        self._apis: WeakKeyDictionary[Client, dict[tuple[Doors, str], PixivApi]]
        self._apis = WeakKeyDictionary()
        self._lock = Lock()

    def settings(self, query: Query) -> dict[str, str]:
        """As every source; dates and the number of bookmarks must be such."""
        settings = super().settings(query)
        days = [day for name in ("since", "until") if (day := _day(name, settings[name]))]
        if days != sorted(days):
            raise UsageError("pixiv.since is later than pixiv.until.", "Exchange the two dates.")
        if settings["bookmarks"] and not settings["bookmarks"].isdecimal():
            raise UsageError(
                f"pixiv.bookmarks cannot be {settings['bookmarks']!r}.",
                "Use a number such as 500.",
            )
        return settings

    def candidates(self, query: Query, client: Client) -> Iterator[Candidate]:
        """Every page of every wanted work, in the order asked for."""
        settings = self.settings(query)
        wanted = Wanted(
            int(settings["bookmarks"] or 0), settings["r18"], settings["ai"], settings["type"]
        )
        api = self._api(settings, client)
        for work in every_work(api, _search(query.text, settings, wanted.bookmarks)):
            if wanted.takes(work):
                yield from _pictures(api, work, query, settings)

    def _api(self, settings: Mapping[str, str], client: Client) -> PixivApi:
        try:
            from harvest.sources.pixiv_api import PixivApi
            from harvest.sources.pixiv_app import Doors
        except ImportError as error:
            raise MissingComponent(
                f"Pixiv is asked through pixivpy3, which is not there ({error}).",
                "Run pip install pixivpy3.",
            ) from error
        doors = Doors(Endpoint(settings["endpoint"]), Endpoint(settings["auth_endpoint"]))
        token = _token()
        with self._lock:
            apis = self._apis.setdefault(client, {})
            if (doors, token) not in apis:
                apis[doors, token] = PixivApi(doors, client, token, self._pause)
            return apis[doors, token]


def _token() -> str:
    token = secret("pixiv.refresh_token")
    if not token:
        raise NeedsLogin("Pixiv needs a login, and none is kept.", LOGIN)
    return token


def _day(name: str, text: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    # To Python 20240131 and 2024-W05-3 are dates as well.
    if day is None or str(day) != text:
        raise UsageError(f"pixiv.{name} cannot be {text!r}.", "Write the day as 2024-01-31.")
    return day


def _search(text: str, settings: Mapping[str, str], bookmarks: int) -> Search:
    by_tag = settings["target"] != "title"
    return Search(
        with_buckets(text, bookmarks) if by_tag else text,
        _TARGETS[settings["target"]],
        _SORTS[settings["sort"]],
        _day("since", settings["since"]),
        _day("until", settings["until"]),
    )


def _pictures(
    api: PixivApi, work: Work, query: Query, settings: Mapping[str, str]
) -> Iterator[Candidate]:
    text, hint = query.text, query.hint
    animated = work.type == "ugoira" and settings["ugoira"] == "frames"
    # What was deleted meanwhile has no frames left, but perhaps its first one.
    if animated and (count := api.frames(work.id)):
        yield from candidates(work, text, hint, frame_urls(work, count))
    else:
        shown = 1 if settings["pages"] == "first" else None
        yield from candidates(work, text, hint, work.originals[:shown])
