"""Flickr's API through flickrapi: photos with licence, author and tags, with the user's key.

Flickr lists 4,000 results of one query and then repeats the last page. Further queries list what
was uploaded before the last photo of the previous one.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from datetime import time as clock_time
from functools import partial
from types import SimpleNamespace
from typing import Any

import msgspec

from gleanset.errors import (
    Changed,
    NeedsLogin,
    RateLimited,
    Unreachable,
    UsageError,
)
from gleanset.records import Candidate, Origin
from harvest.http import Client, Page, parse_retry_after
from harvest.http.throttle import RetryableError
from harvest.http.urls import get_host
from harvest.results import LoginResult
from harvest.secrets import (
    FLICKR_KEYS_PAGE,
    LOGIN_HELP,
    Ask,
    check_pasted_secret,
    read_secret,
    store_login,
)
from harvest.sources.base import (
    Endpoint,
    Gap,
    Item,
    Option,
    OptionValues,
    Pages,
    Query,
    ResultPage,
    Skipped,
    Source,
    are_unreadable,
    changed_error,
    no_data_error,
    pages_in_windows,
    parse_day_range,
    parse_number,
    redact_site_text,
    require_package,
    status_error,
    walk_pages,
)

HOST = "https://api.flickr.com"
# Invalid API key, wrong signature or login. These codes:
# https://www.flickr.com/services/api/flickr.photos.search.html#errors; 201 is not in there.
_KEY_ERRORS = frozenset({96, 97, 98, 99, 100})
_TEMPORARY_ERRORS = frozenset({10, 105, 106, 201})
# 77, "Exceeded limit of logical ORs allowed", is not in there either. 116: a bad URL.
_QUERY_ERRORS = frozenset({1, 3, 11, 12, 18, 77, 116})
# At level DEBUG these log the key, or whole signed requests.
_LOGGERS = ("flickrapi", "oauthlib", "requests_oauthlib")

PAGE_SIZE = 500
# Later pages repeat the last one.
MAX_RESULTS = 4_000
_LAST_PAGE = MAX_RESULTS // PAGE_SIZE
NEWEST_FIRST = "date-posted-desc"

Photo = dict[str, Any]
Params = Mapping[str, str]


class FlickrPage(msgspec.Struct):
    """One page of results. Flickr's `total` and `pages` are estimates, and often too high."""

    photo: list[Photo]
    total: int
    pages: int


class _Results(msgspec.Struct):
    photos: FlickrPage


class FlickrApi:
    """Calls of the API, `pace` seconds apart; `subject` names the query in errors.

    `keys` are the API key and its secret. Raises `MissingComponent` without flickrapi; every call
    raises `NeedsLogin`, `RateLimited`, `Blocked`, `Changed`, `Unreachable`, `UsageError`. Temporary
    errors are retried as often as the limits allow.
    """

    def __init__(
        self,
        subject: str,
        client: Client,
        pace: float,
        endpoint: Endpoint,
        keys: tuple[str, str],
    ):
        self.subject = subject
        self._client = client
        self._pace = pace
        with require_package("Flickr", "pip install flickrapi"):
            import flickrapi
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        # With store_token flickrapi keeps a database in the home folder.
        self._flickr = flickrapi.FlickrAPI(
            *keys, format="parsed-json", store_token=False
        )
        self._url = endpoint.url("/services/rest/")
        self._flickr.REST_URL = self._url
        # Its only use of a session is `post`.
        self._flickr.flickr_oauth.session = self

    def search(self, params: Params, page: int) -> FlickrPage:
        """Return one page of `flickr.photos.search`; the first is 1."""
        answer = self._call(
            self._flickr.photos.search,
            **params,
            per_page=str(PAGE_SIZE),
            page=str(page),
        )

        try:
            return msgspec.convert(answer, _Results, strict=False).photos
        except msgspec.ValidationError as error:
            raise changed_error(
                "Flickr", self.subject, f"JSON in another format: {error}"
            ) from error

    def check_keys(self) -> None:
        """Call `flickr.test.echo`, which fails if Flickr rejects the key or its secret."""
        if self._call(self._flickr.test.echo).get("stat") != "ok":
            raise changed_error("Flickr", self.subject, "JSON in another format")

    def post(
        self, url: str, data: Mapping[str, str], auth: Any, timeout: object
    ) -> Any:
        """Sign and send a request of flickrapi through our client, whose limits apply.

        It replaces a method of flickrapi's session, hence the unused `timeout`.
        """
        from requests import Request

        request = Request("POST", url, data=data, auth=auth).prepare()
        headers = {
            name: value if isinstance(value, str) else value.decode("latin-1")
            for name, value in request.headers.items()
        }
        body = request.body if isinstance(request.body, str | bytes) else None
        # `search` retries, because each request has to be signed again.
        page = self._client.call_api(
            url, self._check, headers=headers, form=body, pace=self._pace, retry=False
        )
        return SimpleNamespace(status_code=page.status, content=page.text.encode())

    def _call(self, method: Callable[..., Any], **params: str) -> Any:
        # Signed again each time, as Flickr accepts no signature twice.
        return self._client.call_with_retries(
            get_host(self._url), lambda: method(**params)
        )

    def _check(self, page: Page) -> None:
        """Raise the error of a response, if it is one."""
        if page.status != 200:
            # A signature made with a wrong secret is a 401.
            if page.status == 401 or "oauth_problem=" in page.text:
                raise self._key_error(f"it answered {page.status}")
            error = status_error(
                f"Flickr answered {page.status} to {self.subject!r} ({page.url})", page
            )
            if isinstance(error, RateLimited | Unreachable):
                raise RetryableError(error, parse_retry_after(page.headers))
            raise error

        try:
            answer = json.loads(page.text)
        except (ValueError, RecursionError):
            raise no_data_error("Flickr", self.subject, page) from None

        if not isinstance(answer, dict):
            raise changed_error("Flickr", self.subject, "JSON in another format")
        if answer.get("stat") == "fail":
            raise self._api_error(
                answer.get("code"), redact_site_text(str(answer.get("message")))
            )

    def _api_error(self, code: object, message: str) -> Exception:
        problem = f"Flickr refused {self.subject!r}: {message}"
        if code in _KEY_ERRORS:
            return self._key_error(message)
        if code in _TEMPORARY_ERRORS:
            fix = "Flickr has problems; run it again later"
            return RetryableError(Unreachable(problem, fix))
        if code in _QUERY_ERRORS:
            fix = "search for other or fewer words, or with other options"
            return UsageError(problem, fix)
        fix = "update Gleanset, or use another source until it is fixed"
        return Changed(problem, fix)

    def _key_error(self, reason: str) -> NeedsLogin:
        return NeedsLogin(
            f"Flickr rejected the API key: {reason}", LOGIN_HELP["flickr"]
        )


def _list_pages(api: FlickrApi, params: Params) -> Iterator[ResultPage[Photo]]:
    """Yield the pages that Flickr lists for one query, until one has no new results."""
    earlier_ids = set[str]()

    def ask(number: int) -> ResultPage[Photo]:
        page = api.search(params, number)
        # The last page of several has no new photos: Flickr may count too many pages, or this
        # answer was incomplete.
        if number == page.pages > 1 and _list_ids(page) <= earlier_ids:
            page = api.search(params, number)

        ids = _list_ids(page)
        # Raised only if the page stays empty.
        error = None
        if number == 1 and page.total > 0:
            error = changed_error(
                "Flickr", api.subject, f"{page.total} photos, but lists none"
            )

        next_page = number + 1 if number < page.pages else None
        if ids <= earlier_ids:
            if ids and page.pages > _LAST_PAGE:
                # The end of what is listed, and not of the results: a next page beyond the last one
                # is not requested, but says that older photos are left.
                return ResultPage(page.photo, _LAST_PAGE + 1)
            # A page that only repeats photos is handled as an empty one: `walk_pages` requests it
            # again unless it is the last.
            page.photo.clear()
        earlier_ids.update(ids)
        return ResultPage(page.photo, next_page, error)

    return walk_pages(ask, start=1, last=_LAST_PAGE)


def _list_ids(page: FlickrPage) -> set[str]:
    return {str(photo.get("id")) for photo in page.photo}


def _older_search(params: Params, last: list[Photo]) -> tuple[Params | None, str]:
    """Return the search for older photos than a page, and what it does not reach."""
    # Only a list by upload date can be continued with older photos: in another order, begin such a
    # list with the newest photo. Photos listed twice are used once.
    if params["sort"] != NEWEST_FIRST:
        return {**params, "sort": NEWEST_FIRST}, ""

    if not last:
        return None, "photos after pages that stayed empty"

    # Unix times in seconds.
    before = int(params.get("max_upload_date", time.time()))
    try:
        dates = [int(photo["dateupload"]) for photo in last]
    except (KeyError, TypeError, ValueError) as error:
        raise changed_error(
            "Flickr", "a search", "photos without their dates"
        ) from error

    if max(dates) > before + 1:
        raise Changed(
            f"Flickr ignores upload dates, so photos beyond {MAX_RESULTS:,} cannot be listed",
            "use narrower words, or a range of days with -o flickr.uploaded=FROM..TO",
        )

    oldest = min(dates)
    unreachable = ""
    if oldest >= before:
        # A second with more photos than Flickr lists would be requested forever.
        unreachable = f"more than {MAX_RESULTS:,} photos of one second"
        oldest = before - 1
    return {**params, "max_upload_date": str(oldest)}, unreachable


# 3,600 calls an hour are one a second.
_PACE_SECONDS = 1.0
# The maximum longer side of a size in pixels, by the letter of its `url_X`; without the square
# crops `sq` and `q`.
_MAX_SIDES: dict[str, float] = {
    "t": 100,
    "s": 240,
    "n": 320,
    "w": 400,
    "m": 500,
    "z": 640,
    "c": 800,
    "l": 1024,
    "h": 1600,
    "k": 2048,
    "3k": 3072,
    "4k": 4096,
    "5k": 5120,
    "6k": 6144,
    "o": math.inf,
}
_URLS = ",".join(f"url_{letter}" for letter in _MAX_SIDES)
_EXTRAS = f"license,owner_name,date_upload,tags,media,{_URLS}"

# flickr.photos.licenses.getInfo; 11 to 16 since June 2025.
LICENCES = {
    "0": "All Rights Reserved",
    "1": "CC BY-NC-SA 2.0",
    "2": "CC BY-NC 2.0",
    "3": "CC BY-NC-ND 2.0",
    "4": "CC BY 2.0",
    "5": "CC BY-SA 2.0",
    "6": "CC BY-ND 2.0",
    "7": "No known copyright restrictions",
    "8": "United States Government Work",
    "9": "CC0 1.0",
    "10": "Public Domain Mark 1.0",
    "11": "CC BY 4.0",
    "12": "CC BY-SA 4.0",
    "13": "CC BY-ND 4.0",
    "14": "CC BY-NC 4.0",
    "15": "CC BY-NC-SA 4.0",
    "16": "CC BY-NC-ND 4.0",
}
_CC = "1,2,3,4,5,6,9,11,12,13,14,15,16"
_COMMERCIAL = "4,5,6,8,9,10,11,12,13"
_CHOICES = {
    "licence": {
        "any": "",
        "cc": _CC,
        "creative-commons": _CC,
        "commercial": _COMMERCIAL,
        "share-commercially": _COMMERCIAL,
        "modify": "1,2,4,5,8,9,10,11,12,14,15",
        "modify-commercially": "4,5,8,9,10,11,12",
        "public-domain": "8,9,10",
        "no-known-copyright": "7",
    },
    "sort": {
        "relevance": "relevance",
        "date": NEWEST_FIRST,
        "interesting": "interestingness-desc",
    },
    "safe": {"strict": "1", "moderate": "2", "off": "3"},
    "content": {"photo": "0", "screenshot": "1", "other": "2", "all": "0,1,2"},
}
_PARAMETERS = {
    "licence": "license",
    "sort": "sort",
    "safe": "safe_search",
    "content": "content_types",
}


class Flickr(Source):
    """`flickr.photos.search`, 500 results a call. `pace`: seconds between two calls."""

    name = "flickr"
    example = "owl"
    options = (
        Option("endpoint", "URL to use instead of the site", HOST),
        Option(
            "size",
            "longer side in pixels: the next larger available size",
            "1024",
            parse=parse_number,
        ),
        Option("licence", "uses that the licence allows", "any", _CHOICES["licence"]),
        Option("sort", "order of results", "relevance", _CHOICES["sort"]),
        Option("safe", "filter for adult content", "strict", _CHOICES["safe"]),
        Option("content", "kind of image", "photo", _CHOICES["content"]),
        Option(
            "uploaded",
            "days such as 2020-01-01..2020-12-31, or with one side open",
            parse=parse_day_range,
        ),
    )

    def __init__(self, pace: float = _PACE_SECONDS):
        self._pace = pace

    def check_ready(self, settings: OptionValues) -> None:
        """Raise `NeedsLogin` without a key and its secret, whatever the settings."""
        _read_keys()  # raises

    def pages(self, query: Query, settings: OptionValues, client: Client) -> Pages:
        """Yield results in the requested order; from the 4,001st on, the newest upload first."""
        endpoint = Endpoint(settings["endpoint"])
        api = FlickrApi(
            query.text,
            client,
            self._pace,
            endpoint,
            _read_keys(),
        )
        has_readable = False
        params: Params = _build_params(query.text, settings)

        for photos in pages_in_windows(
            params, partial(_list_pages, api), _older_search
        ):
            items: list[Item] = [
                photo
                if isinstance(photo, Skipped | Gap)
                else _parse_photo(photo, query, settings)
                for photo in photos
            ]
            # Unreadable photos are a new format only if there was never a readable one.
            has_readable |= any(isinstance(item, Candidate) for item in items)
            if not has_readable and are_unreadable(items):
                raise changed_error("Flickr", query.text, "photos without a URL")
            yield items


def _read_keys() -> tuple[str, str]:
    key = read_secret("flickr.key")
    key_secret = read_secret("flickr.secret")
    if not key or not key_secret:
        raise NeedsLogin(
            "Flickr needs an API key and its secret, and none is stored",
            LOGIN_HELP["flickr"],
        )
    return key, key_secret


def _build_params(text: str, settings: OptionValues) -> dict[str, str]:
    params = {
        _PARAMETERS[name]: words.get(settings[name], "")
        for name, words in _CHOICES.items()
    }
    params |= {"text": text, "media": "photos", "extras": _EXTRAS}
    days = settings["uploaded"]
    first, last = parse_day_range(days) if days else (None, None)
    if first:
        params["min_upload_date"] = _format_second(first, clock_time.min)
    if last:
        params["max_upload_date"] = _format_second(
            last,
            clock_time(23, 59, 59),
        )
    return {name: value for name, value in params.items() if value}


def _format_second(day: date, time_of_day: clock_time) -> str:
    return f"{datetime.combine(day, time_of_day, UTC).timestamp():.0f}"


def _parse_photo(
    photo: Photo, query: Query, settings: OptionValues
) -> Candidate | Skipped:
    key = photo.get("id")
    size = _choose_size(photo, int(settings["size"]))
    if photo.get("media", "photo") != "photo":
        return Skipped(str(key), "filtered")
    if not key or not size:
        return Skipped(str(key or photo), "unreadable")

    number = str(photo.get("license", ""))
    licence = LICENCES.get(number)
    if number and not licence:
        licence = f"Flickr licence {number}"
    owner = photo.get("owner")
    url: str = photo[f"url_{size}"]
    origin = Origin(
        source="flickr",
        key=str(key),
        url=url,
        page_url=f"https://www.flickr.com/photos/{owner}/{key}" if owner else None,
        query=query.text,
        hint=query.hint,
        author=str(photo.get("ownername") or owner or "") or None,
        licence=licence,
        title=str(photo.get("title") or "") or None,
        tags=tuple(str(photo.get("tags") or "").split()),
    )
    width = _read_pixels(photo, "width", size)
    height = _read_pixels(photo, "height", size)
    return Candidate(url, origin, width, height)


def _choose_size(photo: Photo, side: int) -> str | None:
    """Return the letter of the smallest size of at least `side` pixels, else of the largest."""
    sides = {}
    for letter, max_side in _MAX_SIDES.items():
        if str(photo.get(f"url_{letter}")).startswith("http"):
            width = _read_pixels(photo, "width", letter) or 0
            height = _read_pixels(photo, "height", letter) or 0
            # A size without numbers counts as its maximum.
            sides[letter] = max(width, height) or max_side

    large_enough = [letter for letter in sides if sides[letter] >= side]
    if large_enough:
        return min(large_enough, key=sides.__getitem__)
    return max(sides, key=sides.__getitem__, default=None)


def _read_pixels(photo: Photo, side: str, size: str) -> int | None:
    # Numbers may be numbers, strings or null.
    pixels = str(photo.get(f"{side}_{size}") or "")
    return int(pixels) if pixels.isdecimal() else None


def log_in_to_flickr(ask: Ask, *, endpoint: str) -> LoginResult:
    """Ask for the API key and its secret, verify and store them; return the command's result.

    Raises `NeedsLogin` when Flickr rejects them, `RateLimited`, `Blocked`, `Unreachable`,
    `Changed`, and `MissingComponent` without flickrapi.
    """
    question = f"Flickr API key (create one at {FLICKR_KEYS_PAGE})"
    key = check_pasted_secret(ask(question, hidden=True), "key")
    key_secret = check_pasted_secret(ask("Its secret", hidden=True), "secret")
    # An endpoint given by the user may be on this machine.
    with Client(allow_private=endpoint != HOST) as client:
        keys = (key, key_secret)
        api = FlickrApi(
            "a login", client, pace=0, endpoint=Endpoint(endpoint), keys=keys
        )
        api.check_keys()
    return store_login("flickr", {"flickr.key": key, "flickr.secret": key_secret})
