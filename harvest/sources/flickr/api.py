"""Flickr's API through flickrapi: calls, what their answers mean, and the way past its cap.

Flickr shows 4,000 results of one query and then repeats the last page. What is beyond them is
had by further queries, for what was uploaded before the last photo of the one before.
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
    changed,
    listed,
    no_data_error,
    pages_in_windows,
    redact_site_text,
    refusal,
)

HOST = "https://api.flickr.com"
# Invalid API Key, and what tells of a wrong signature or login. These lists:
# https://www.flickr.com/services/api/flickr.photos.search.html#errors; 201 is not in there.
_BAD_KEY = frozenset({96, 97, 98, 99, 100})
_PASSING = frozenset({10, 105, 106, 201})
# 77, "Exceeded limit of logical ORs allowed", is not in there either. 116: a bad URL.
_BAD_QUERY = frozenset({1, 3, 11, 12, 18, 77, 116})
# At their finest these write the key into the log, or whole signed requests.
_TALKATIVE = ("flickrapi", "oauthlib", "requests_oauthlib")

PAGE = 500
# Later pages repeat the last of these.
CAP = 4_000
_LAST_PAGE = CAP // PAGE
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
    """Calls about what is `asked`, in words, `pace` seconds apart.

    `keys` are the API key and its secret. Raises `MissingComponent` without flickrapi; every call
    raises `NeedsLogin`, `RateLimited`, `Blocked`, `Changed`, `Unreachable`, `UsageError`. Passing
    troubles are tried again as often as the limits say.
    """

    def __init__(
        self,
        asked: str,
        client: Client,
        pace: float,
        endpoint: Endpoint,
        keys: tuple[str, str],
    ) -> None:
        self.asked = asked
        self._client = client
        library = _library()
        from harvest.sources.sessions import open_session

        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        # store_token: or flickrapi keeps a database in the home folder.
        self._flickr = library.FlickrAPI(*keys, format="parsed-json", store_token=False)
        self._flickr.REST_URL = self._url = endpoint.url("/services/rest/")
        self._session = open_session(client, pace, self._trouble)
        # The package's own session is one for all that use it in this process.
        self._flickr.flickr_oauth.session = self._session

    def search(self, params: Mapping[str, str], page: int) -> FlickrPage:
        """Return one page of `flickr.photos.search`, from the first on."""
        answer = self._call(
            self._flickr.photos.search, **params, per_page=str(PAGE), page=str(page)
        )
        try:
            return msgspec.convert(answer, _Results, strict=False).photos
        except msgspec.ValidationError as error:
            raise changed("Flickr", self.asked, f"other JSON than photos: {error}") from error

    def check_keys(self) -> None:
        """Call `flickr.test.echo`, which says whether Flickr takes the key and its secret."""
        if self._call(self._flickr.test.echo).get("stat") != "ok":
            raise changed("Flickr", self.asked, "JSON of another shape")

    def close(self) -> None:
        """Drop kept connections."""
        self._session.close()

    def _call(self, method: Callable[..., Any], **params: str) -> Any:
        # Signed anew each time, as Flickr takes no signature twice.
        return self._client.call_with_retries(get_host(self._url), lambda: method(**params))

    def _trouble(self, page: Page) -> Exception | None:
        if page.status != 200:
            # A signature made with a wrong secret is a 401.
            if page.status == 401 or "oauth_problem=" in page.text:
                return self._bad_key(f"it answered {page.status}")
            error = refusal(f"Flickr answered {page.status} to {self.asked!r} ({page.url}).", page)
            return _passing(error, parse_retry_after(page.headers))
        try:
            answer = json.loads(page.text)
        except ValueError:
            return no_data_error("Flickr", self.asked, page)
        if not isinstance(answer, dict):
            return changed("Flickr", self.asked, "JSON of another shape")
        if answer.get("stat") == "fail":
            return self._failed(answer.get("code"), redact_site_text(str(answer.get("message"))))
        return None

    def _failed(self, code: object, message: str) -> Exception:
        what = f"Flickr refused {self.asked!r}: {message}."
        if code in _BAD_KEY:
            return self._bad_key(message)
        if code in _PASSING:
            return _passing(Unreachable(what, "Flickr has trouble; run it again later."))
        if code in _BAD_QUERY:
            return UsageError(what, "Search for other or fewer words, or with other options.")
        return Changed(what, "Update Gleanset, or use another source until it is mended.")

    def _bad_key(self, why: str) -> NeedsLogin:
        return NeedsLogin(f"Flickr does not accept the API key: {why}.", LOGIN_HELP["flickr"])


def _library() -> Any:
    try:
        import flickrapi
    except ModuleNotFoundError as error:
        raise MissingComponent(
            f"Flickr is asked through flickrapi, but {error.name} is not there.",
            "Run pip install flickrapi.",
        ) from error
    return flickrapi


def _passing(error: GleansetError, wait: float | None = None) -> Exception:
    passing = isinstance(error, RateLimited | Unreachable)
    return RetryableError(error, wait) if passing else error


def iterate_pages(
    api: FlickrApi, params: Mapping[str, str]
) -> Iterator[Sequence[Photo | Skipped | Gap]]:
    """Yield every page of results; photos may come twice.

    First the query as it is, in its own order; what is beyond the cap comes the newest first.
    """
    for page in pages_in_windows(params, partial(_shown, api), _older):
        yield page.items


def _shown(api: FlickrApi, params: Mapping[str, str]) -> Iterator[ResultPage[Photo]]:
    """Yield the pages that Flickr shows of one query, until one brings nothing new."""
    seen: set[str] = set()

    def ask(number: int) -> ResultPage[Photo]:
        page = api.search(params, number)
        if number == page.pages > 1 and not page.photo:
            # There may be fewer pages than Flickr counts, or this answer was a poor one.
            page = api.search(params, number)
        ids = {str(photo.get("id")) for photo in page.photo}
        trouble = None
        if number == 1 and page.total > 0:
            trouble = changed("Flickr", api.asked, f"{page.total} photos, of which it lists none")
        following = number + 1 if number < page.pages else None
        if ids and ids <= seen:
            following = _LAST_PAGE + 1 if page.pages > _LAST_PAGE else None
        seen.update(ids)
        return ResultPage(page.photo, following, trouble)

    return listed(ask, 1, _LAST_PAGE)


def _older(params: Mapping[str, str], last: list[Photo]) -> tuple[Mapping[str, str] | None, str]:
    """Return the query for what lies behind a page, and what it does not reach."""
    if params["sort"] != NEWEST_FIRST:
        return {**params, "sort": NEWEST_FIRST}, ""
    if not last:
        return None, "photos behind pages that stayed empty"
    before = int(params.get("max_upload_date", time.time()))
    try:
        dates = [int(photo["dateupload"]) for photo in last]
    except (KeyError, TypeError, ValueError) as error:
        raise changed("Flickr", "a search", "photos without their dates") from error
    if max(dates) > before + 1:
        raise Changed(
            f"Flickr does not keep to the dates of upload, so that what it has beyond {CAP:,} "
            "photos cannot be had.",
            "Use narrower words, or a range of days with -o flickr.uploaded=FROM..TO.",
        )
    oldest = min(dates)
    # A second with more photos than Flickr shows would be asked for ever.
    lost = f"more than {CAP:,} photos of one second" if oldest >= before else ""
    return {**params, "max_upload_date": str(min(oldest, before - 1))}, lost


def log_in_to_flickr(ask: Ask, *, endpoint: str = HOST) -> dict[str, object]:
    """Ask for the API key and its secret, try them, keep them; return the command's result.

    Raises `NeedsLogin` when Flickr refuses them, `RateLimited`, `Blocked`, `Unreachable`,
    `Changed`, and `MissingComponent` without flickrapi.
    """
    question = f"Flickr API key (one is made at {FLICKR_KEYS_PAGE})"
    key = check_pasted_secret(ask(question, hidden=True), "key")
    signing = check_pasted_secret(ask("Its secret", hidden=True), "secret")
    # An endpoint that the person wrote may well be on this machine.
    with (
        Client(allow_private=endpoint != HOST) as client,
        closing(FlickrApi("a login", client, 0, Endpoint(endpoint), (key, signing))) as api,
    ):
        api.check_keys()
    return store_login("flickr", {"flickr.key": key, "flickr.secret": signing})
