"""Flickr's API: calls, errors, and results beyond its cap.

Flickr lists 4,000 results of one query and then repeats the last page. Further queries list what
was uploaded before the last photo of the previous one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from gleanset.errors import (
    Changed,
    GleansetError,
    NeedsLogin,
    RateLimited,
    Unreachable,
    UsageError,
)
from harvest.http import Client, Page, parse_retry_after
from harvest.http.throttle import RetryableError
from harvest.secrets import FLICKR_KEYS_PAGE, LOGIN_HELP, Ask, check_pasted_secret, store_login
from harvest.sources.base import (
    Endpoint,
    Gap,
    ResultPage,
    Skipped,
    changed_error,
    no_data_error,
    pages_in_windows,
    redact_site_text,
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

PAGE_SIZE = 500
# Later pages repeat the last one.
MAX_RESULTS = 4_000
_LAST_PAGE = MAX_RESULTS // PAGE_SIZE
NEWEST_FIRST = "date-posted-desc"

Photo = dict[str, Any]


class FlickrPage(msgspec.Struct):
    """One page of results. Flickr's `total` and `pages` are estimates, and often too high."""

    photo: list[Photo]
    total: int
    pages: int


class _Results(msgspec.Struct):
    photos: FlickrPage


class FlickrApi:
    """Calls of the API with a key, `pace` seconds apart; `subject` names the query in errors.

    Every call raises `NeedsLogin`, `RateLimited`, `Blocked`, `Changed`, `Unreachable`,
    `UsageError`. Temporary errors are retried as often as the limits allow.
    """

    def __init__(
        self, subject: str, client: Client, pace: float, endpoint: Endpoint, key: str
    ) -> None:
        self.subject = subject
        self._client = client
        self._pace = pace
        self._url = endpoint.url("/services/rest/")
        self._key = key

    def search(self, params: Mapping[str, str], page: int) -> FlickrPage:
        """Return one page of `flickr.photos.search`; the first is 1."""
        answer = self._call(
            "flickr.photos.search", **params, per_page=str(PAGE_SIZE), page=str(page)
        )
        try:
            return msgspec.convert(answer, _Results, strict=False).photos
        except msgspec.ValidationError as error:
            raise changed_error(
                "Flickr", self.subject, f"JSON in another format: {error}"
            ) from error

    def check_key(self) -> None:
        """Call `flickr.test.echo`, which fails if Flickr rejects the key."""
        if self._call("flickr.test.echo").get("stat") != "ok":
            raise changed_error("Flickr", self.subject, "JSON in another format")

    def _call(self, method: str, **params: str) -> dict[str, Any]:
        form = {"method": method, "format": "json", "nojsoncallback": "1", **params}
        # In the form, because addresses are in errors and logs.
        form["api_key"] = self._key
        page = self._client.call_api(self._url, self._check, form=form, pace=self._pace)
        answer: dict[str, Any] = json.loads(page.text)
        return answer

    def _check(self, page: Page) -> None:
        """Raise the error of a response, if it is one."""
        if page.status != 200:
            message = f"Flickr answered {page.status} to {self.subject!r} ({page.url})"
            raise _as_retryable(status_error(message, page), parse_retry_after(page.headers))
        try:
            answer = json.loads(page.text)
        except ValueError:
            raise no_data_error("Flickr", self.subject, page) from None
        if not isinstance(answer, dict):
            raise changed_error("Flickr", self.subject, "JSON in another format")
        if answer.get("stat") == "fail":
            raise self._api_error(answer.get("code"), redact_site_text(str(answer.get("message"))))

    def _api_error(self, code: object, message: str) -> Exception:
        text = f"Flickr refused {self.subject!r}: {message}"
        if code in _KEY_ERRORS:
            return NeedsLogin(f"Flickr rejected the API key: {message}", LOGIN_HELP["flickr"])
        if code in _TEMPORARY_ERRORS:
            return _as_retryable(Unreachable(text, "Flickr has problems; run it again later"))
        if code in _QUERY_ERRORS:
            return UsageError(text, "search for other or fewer words, or with other options")
        return Changed(text, "update Gleanset, or use another source until it is fixed")


def _as_retryable(error: GleansetError, wait: float | None = None) -> Exception:
    is_temporary = isinstance(error, RateLimited | Unreachable)
    return RetryableError(error, wait) if is_temporary else error


def iterate_pages(
    api: FlickrApi, params: Mapping[str, str]
) -> Iterator[Sequence[Photo | Skipped | Gap]]:
    """Return every page of results; photos may occur twice.

    First the results of the query in its order, then those beyond the cap, the newest first.
    """
    return pages_in_windows(params, partial(_list_pages, api), _older_search)


def _list_pages(api: FlickrApi, params: Mapping[str, str]) -> Iterator[ResultPage[Photo]]:
    """Yield the pages that Flickr lists for one query, until one has no new results."""
    seen_ids: set[str] = set()

    def ask(number: int) -> ResultPage[Photo]:
        page = api.search(params, number)
        if number == page.pages > 1 and not page.photo:
            # Flickr may count too many pages, or this answer was incomplete.
            page = api.search(params, number)
        ids = {str(photo.get("id")) for photo in page.photo}
        error = None
        if number == 1 and page.total > 0:
            error = changed_error("Flickr", api.subject, f"{page.total} photos, but lists none")
        next_page = number + 1 if number < page.pages else None
        if ids and ids <= seen_ids:
            next_page = _LAST_PAGE + 1 if page.pages > _LAST_PAGE else None
        seen_ids.update(ids)
        return ResultPage(page.photo, next_page, error)

    return walk_pages(ask, 1, _LAST_PAGE)


def _older_search(
    params: Mapping[str, str], last: list[Photo]
) -> tuple[Mapping[str, str] | None, str]:
    """Return the search for older photos than a page, and what it does not reach."""
    if params["sort"] != NEWEST_FIRST:
        return {**params, "sort": NEWEST_FIRST}, ""
    if not last:
        return None, "photos after pages that stayed empty"
    before = int(params.get("max_upload_date", time.time()))
    try:
        dates = [int(photo["dateupload"]) for photo in last]
    except (KeyError, TypeError, ValueError) as error:
        raise changed_error("Flickr", "a search", "photos without their dates") from error
    if max(dates) > before + 1:
        raise Changed(
            f"Flickr ignores upload dates, so photos beyond {MAX_RESULTS:,} cannot be listed",
            "use narrower words, or a range of days with -o flickr.uploaded=FROM..TO",
        )
    oldest = min(dates)
    # A second with more photos than Flickr lists would be requested forever.
    lost = f"more than {MAX_RESULTS:,} photos of one second" if oldest >= before else ""
    return {**params, "max_upload_date": str(min(oldest, before - 1))}, lost


def log_in_to_flickr(ask: Ask, *, endpoint: str = HOST) -> dict[str, object]:
    """Ask for the API key, verify and store it; return the command's result.

    Raises `NeedsLogin` when Flickr rejects it, `RateLimited`, `Blocked`, `Unreachable`, `Changed`.
    """
    question = f"Flickr API key (create one at {FLICKR_KEYS_PAGE})"
    key = check_pasted_secret(ask(question, hidden=True), "key")
    # An endpoint given by the user may be on this machine.
    with Client(allow_private=endpoint != HOST) as client:
        FlickrApi("a login", client, 0, Endpoint(endpoint), key).check_key()
    return store_login("flickr", {"flickr.key": key})
