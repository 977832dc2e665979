"""Flickr's API through flickrapi: calls, what their troubles mean, and the way past its cap.

Flickr shows 4,000 results of one query and then repeats the last page. What is beyond them is
had by further queries, each for a window of upload dates small enough to be shown whole.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any, TypeVar

from gleanset.errors import (
    Blocked,
    Changed,
    MissingComponent,
    NeedsLogin,
    RateLimited,
    Unreachable,
    UsageError,
)
from harvest.http import Client, Page, retry_after
from harvest.secrets import LOGIN_HELP, redacted
from harvest.sources.base import Endpoint, refusal
from harvest.sources.throttle import PassingTrouble, SiteThrottle

HOST = "https://api.flickr.com"
# Invalid API Key, and what tells of a wrong signature or login. These lists:
# https://www.flickr.com/services/api/flickr.photos.search.html#errors; 201 is not in there.
_BAD_KEY = frozenset({96, 97, 98, 99, 100})
_PASSING = frozenset({10, 105, 106, 201})
_BAD_QUERY = frozenset({1, 3, 11, 12, 18})
_WALL = ("captcha", "access denied", "request blocked", "verify you are", "unusual traffic")
# At their finest these write the key into the log, or whole signed requests.
_TALKATIVE = ("flickrapi", "oauthlib", "requests_oauthlib")

PAGE = 500
# Later pages repeat the last of these.
CAP = 4_000
# 2004-01-01; Flickr began in February.
_BEGINNING = 1_072_915_200

T = TypeVar("T")
Photo = Mapping[str, Any]


def open_flickr(
    keys: tuple[str, str], endpoint: Endpoint, client: Client, throttle: SiteThrottle
) -> Any:
    """Return flickrapi for this API key and its secret, asking the endpoint as the client may.

    An answer other than 200 is raised as `requests.HTTPError`, because flickrapi throws its
    headers away. Raises `MissingComponent` without flickrapi.
    """
    library = _library()
    from harvest.sources.sessions import open_session, raise_unless_ok

    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # store_token: or flickrapi keeps a database in the home folder.
    flickr = library.FlickrAPI(*keys, format="parsed-json", store_token=False)
    flickr.REST_URL = endpoint.url("/services/rest/")
    # The package's own session is one for all that use it in this process.
    flickr.flickr_oauth.session = session = open_session(client, throttle)
    session.hooks["response"].append(raise_unless_ok)
    return flickr


def _library() -> Any:
    try:
        import flickrapi
    except ModuleNotFoundError as error:
        raise MissingComponent(
            f"Flickr is asked through flickrapi, but {error.name} is not there.",
            "Run pip install flickrapi.",
        ) from error
    return flickrapi


@dataclass(frozen=True, slots=True)
class FlickrPage:
    """One page of results. Flickr's `total` and `pages` are estimates, and often too high."""

    photos: list[Photo]
    total: int
    pages: int


class FlickrApi:
    """Calls about what is `asked`, in words, at the throttle's pace.

    `keys` are the API key and its secret. Raises `MissingComponent` without flickrapi; every call
    raises `NeedsLogin`, `RateLimited`, `Blocked`, `Changed`, `Unreachable`, `UsageError`. Passing
    troubles are tried again as often as the limits say.
    """

    def __init__(
        self,
        asked: str,
        client: Client,
        throttle: SiteThrottle,
        endpoint: Endpoint,
        keys: tuple[str, str],
    ) -> None:
        self._asked = asked
        self._limits = client.limits
        self._throttle = throttle
        self._flickr = open_flickr(keys, endpoint, client, throttle)
        self._url: str = self._flickr.REST_URL

    def search(self, params: Mapping[str, str]) -> FlickrPage:
        """Return one page of `flickr.photos.search`."""
        return self._retried(lambda: self._page(self._call(self._flickr.photos.search, params)))

    def check_keys(self) -> None:
        """Call `flickr.test.echo`, which says whether Flickr takes the key and its secret."""
        answer = self._retried(lambda: self._call(self._flickr.test.echo, {}))
        if not isinstance(answer, dict) or answer.get("stat") != "ok":
            raise self._changed("JSON of another shape")

    def close(self) -> None:
        """Drop kept connections."""
        self._flickr.flickr_oauth.session.close()

    def _retried(self, call: Callable[[], T]) -> T:
        return self._throttle.retrying(self._url, self._limits, call)

    def _call(self, method: Callable[..., object], params: Mapping[str, str]) -> object:
        from flickrapi import FlickrError
        from requests import HTTPError, RequestException

        from harvest.sources.sessions import page_of

        try:
            return method(**params)
        except HTTPError as error:
            raise self._refused(page_of(error)) from None
        except FlickrError as error:
            # Flickr may repeat the key in its text: not chained.
            raise self._failed(error.code, str(error)) from None
        except RequestException as error:
            raise self._unreached(error) from None
        except JSONDecodeError as error:
            raise self._no_json(error.doc) from error
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # What flickrapi stumbles over when the JSON is no object, or a failure has no code.
            raise self._changed("JSON of another shape") from error

    def _page(self, answer: object) -> FlickrPage:
        photos = answer.get("photos") if isinstance(answer, dict) else None
        if not isinstance(photos, dict) or not isinstance(photos.get("photo"), list):
            raise self._changed("JSON without photos")
        listed: list[Photo] = [photo for photo in photos["photo"] if isinstance(photo, dict)]
        try:
            return FlickrPage(listed, int(photos["total"]), int(photos["pages"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._changed("photos without their number") from error

    def _refused(self, page: Page) -> Exception:
        # A signature made with a wrong secret is a 401.
        if page.status == 401 or "oauth_problem=" in page.text:
            return self._bad_key(f"it answered {page.status}")
        error = refusal(f"flickr answered {page.status} to {self._asked!r} ({page.url}).", page)
        if isinstance(error, RateLimited | Unreachable):
            return PassingTrouble(error, retry_after(page.headers))
        return error

    def _failed(self, code: int | None, message: str) -> Exception:
        said = redacted(message.removeprefix("Error: "))
        what = f"Flickr refused {self._asked!r}: {said}."
        if code in _BAD_KEY:
            return self._bad_key(said)
        if code in _PASSING:
            return PassingTrouble(Unreachable(what, "Flickr has trouble; run it again later."))
        if code in _BAD_QUERY:
            return UsageError(what, "Search for other words, or with other options.")
        return Changed(what, "Update Gleanset, or use another source until it is mended.")

    def _bad_key(self, why: str) -> NeedsLogin:
        return NeedsLogin(f"Flickr does not accept the API key: {why}.", LOGIN_HELP["flickr"])

    def _unreached(self, error: Exception) -> Exception:
        from requests.exceptions import SSLError

        unreachable = Unreachable(
            f"{self._url} could not be asked: {redacted(str(error))}.",
            "Check the network and HTTP_PROXY/HTTPS_PROXY, or try again later.",
        )
        # A certificate or an address that is wrong will be wrong in two seconds as well.
        final = isinstance(error, SSLError | ValueError)
        return unreachable if final else PassingTrouble(unreachable)

    def _no_json(self, text: str) -> Exception:
        if any(mark in text.casefold() for mark in _WALL):
            return Blocked(
                f"A page in front of Flickr's API turned {self._asked!r} away ({self._url}).",
                "Wait some hours, use another network or another source.",
            )
        return self._changed("an empty page" if not text.strip() else "a text that is no JSON")

    def _changed(self, got: str) -> Changed:
        return Changed(
            f"Flickr answered {self._asked!r} with {got} ({self._url}).",
            "Try again later; if it stays so, update Gleanset or use another source.",
        )


@dataclass(frozen=True, slots=True)
class UploadWindow:
    """Upload dates from `first` to `last`, both included, in seconds since 1970."""

    first: int
    last: int

    def halves(self) -> tuple[UploadWindow, UploadWindow]:
        """Return the older and the newer half."""
        middle = (self.first + self.last) // 2
        return UploadWindow(self.first, middle), UploadWindow(middle + 1, self.last)

    def params(self) -> dict[str, str]:
        """Return the window as Flickr is asked for it."""
        return {"min_upload_date": str(self.first), "max_upload_date": str(self.last)}

    def holds(self, photo: Photo) -> bool:
        """Return whether the photo says that it was uploaded in this window."""
        date = str(photo.get("dateupload", ""))
        return date.isdecimal() and self.first - 1 <= int(date) <= self.last + 1


def every_page(api: FlickrApi, params: Mapping[str, str]) -> Iterator[list[Photo]]:
    """Yield every page of results; photos may come twice.

    First the query as it is, in its own order. Where there is more than Flickr shows of one
    query, windows follow, the newest first, split until each has few enough.
    """
    params = {**params, "per_page": str(PAGE)}
    first = api.search({**params, "page": "1"})
    if not first.photos and first.total > 0:
        raise Changed(
            f"Flickr says that it has {first.total} photos, but lists none.",
            "Try again later, with other words, or use another source.",
        )
    yield from _shown(api, params, first)
    if first.total > CAP:
        yield from _by_window(api, params)


def _by_window(api: FlickrApi, params: Mapping[str, str]) -> Iterator[list[Photo]]:
    windows = [_widest(params)]
    while windows:
        window = windows.pop()
        narrowed = {**params, **window.params()}
        first = api.search({**narrowed, "page": "1"})
        _check_dates(first, window)
        if first.total > CAP and window.first < window.last:
            windows += window.halves()
        else:
            yield from _shown(api, narrowed, first)


def _widest(params: Mapping[str, str]) -> UploadWindow:
    first = int(params.get("min_upload_date", _BEGINNING))
    return UploadWindow(first, int(params.get("max_upload_date", max(first, int(time.time())))))


def _shown(
    api: FlickrApi, params: Mapping[str, str], first: FlickrPage
) -> Generator[list[Photo], None, None]:
    """Yield the pages that Flickr shows of one query, until one brings nothing new."""
    seen: set[str] = set()
    page = first
    for number in range(1, CAP // PAGE + 1):
        if number > 1:
            page = api.search({**params, "page": str(number)})
        ids = {str(photo.get("id")) for photo in page.photos}
        if ids <= seen:
            return
        seen |= ids
        yield page.photos
        if number >= page.pages:
            return


def _check_dates(page: FlickrPage, window: UploadWindow) -> None:
    # A site that does not care for the dates would be split for ever.
    outside = sum(not window.holds(photo) for photo in page.photos)
    if outside * 2 > len(page.photos):
        raise Changed(
            f"Flickr does not keep to the dates of upload, so that what it has beyond {CAP:,} "
            "photos cannot be had.",
            "Use narrower words, or a range of days with -o flickr.uploaded=FROM..TO.",
        )
