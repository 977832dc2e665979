"""Flickr's API through flickrapi: calls, errors, and results beyond its cap.

Flickr lists 4,000 results of one query and then repeats the last page. Further queries list what
was uploaded before the last photo of the previous one.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import msgspec

from gleanset.errors import (
    Changed,
    GleansetError,
    MissingComponent,
    NeedsLogin,
    RateLimited,
    Unreachable,
    UsageError,
)
from harvest.http import Client, Page, parse_retry_after
from harvest.http.throttle import RetryableError
from harvest.http.urls import get_host
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
# At level DEBUG these log the key, or whole signed requests.
_LOGGERS = ("flickrapi", "oauthlib", "requests_oauthlib")

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
    ) -> None:
        self.subject = subject
        self._client = client
        library = _import_flickrapi()
        from harvest.sources.sessions import open_session

        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        # With store_token flickrapi keeps a database in the home folder.
        self._flickr = library.FlickrAPI(*keys, format="parsed-json", store_token=False)
        self._flickr.REST_URL = self._url = endpoint.url("/services/rest/")
        self._session = open_session(client, pace, self._check)
        # The session of the package is shared by all its users in this process.
        self._flickr.flickr_oauth.session = self._session

    def search(self, params: Mapping[str, str], page: int) -> FlickrPage:
        """Return one page of `flickr.photos.search`; the first is 1."""
        answer = self._call(
            self._flickr.photos.search, **params, per_page=str(PAGE_SIZE), page=str(page)
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

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _call(self, method: Callable[..., Any], **params: str) -> Any:
        # Signed again each time, as Flickr accepts no signature twice.
        return self._client.call_with_retries(get_host(self._url), lambda: method(**params))

    def _check(self, page: Page) -> Exception | None:
        if page.status != 200:
            # A signature made with a wrong secret is a 401.
            if page.status == 401 or "oauth_problem=" in page.text:
                return self._key_error(f"it answered {page.status}")
            error = status_error(
                f"Flickr answered {page.status} to {self.subject!r} ({page.url})", page
            )
            return _as_retryable(error, parse_retry_after(page.headers))
        try:
            answer = json.loads(page.text)
        except ValueError:
            return no_data_error("Flickr", self.subject, page)
        if not isinstance(answer, dict):
            return changed_error("Flickr", self.subject, "JSON in another format")
        if answer.get("stat") == "fail":
            return self._api_error(answer.get("code"), redact_site_text(str(answer.get("message"))))
        return None

    def _api_error(self, code: object, message: str) -> Exception:
        text = f"Flickr refused {self.subject!r}: {message}"
        if code in _KEY_ERRORS:
            return self._key_error(message)
        if code in _TEMPORARY_ERRORS:
            return _as_retryable(Unreachable(text, "Flickr has problems; run it again later"))
        if code in _QUERY_ERRORS:
            return UsageError(text, "search for other or fewer words, or with other options")
        return Changed(text, "update Gleanset, or use another source until it is fixed")

    def _key_error(self, reason: str) -> NeedsLogin:
        return NeedsLogin(f"Flickr rejected the API key: {reason}", LOGIN_HELP["flickr"])


def _import_flickrapi() -> Any:
    try:
        import flickrapi
    except ModuleNotFoundError as error:
        raise MissingComponent(
            f"Flickr needs the Python package {error.name}, which is not installed",
            "pip install flickrapi",
        ) from error
    return flickrapi


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
    """Ask for the API key and its secret, verify and store them; return the command's result.

    Raises `NeedsLogin` when Flickr rejects them, `RateLimited`, `Blocked`, `Unreachable`,
    `Changed`, and `MissingComponent` without flickrapi.
    """
    question = f"Flickr API key (create one at {FLICKR_KEYS_PAGE})"
    key = check_pasted_secret(ask(question, hidden=True), "key")
    key_secret = check_pasted_secret(ask("Its secret", hidden=True), "secret")
    # An endpoint given by the user may be on this machine.
    with (
        Client(allow_private=endpoint != HOST) as client,
        closing(FlickrApi("a login", client, 0, Endpoint(endpoint), (key, key_secret))) as api,
    ):
        api.check_keys()
    return store_login("flickr", {"flickr.key": key, "flickr.secret": key_secret})
