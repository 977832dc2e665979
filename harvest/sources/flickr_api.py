"""One call of `flickr.photos.search` through flickrapi, and what each of its troubles means."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from json import JSONDecodeError
from typing import Any

import requests
from flickrapi import FlickrAPI, FlickrError

from gleanset.errors import (
    Blocked,
    Changed,
    GleansetError,
    NeedsLogin,
    RateLimited,
    Unreachable,
    UsageError,
)
from harvest.http import Client, Page, retry_after
from harvest.secrets import redacted
from harvest.sources.base import Query, Source
from harvest.sources.flickr import MEND
from harvest.sources.pacing import Pace, Refused

# https://www.flickr.com/services/api/flickr.photos.search.html#errors; 201 is not in the list.
_BAD_KEY = frozenset({96, 97, 98, 99, 100})
_PASSING = frozenset({10, 105, 106, 201})
_BAD_QUERY = frozenset({1, 3, 11, 12, 18})
_WALL = ("captcha", "access denied", "request blocked", "verify you are", "unusual traffic")
# At their finest these write the key into the log, or whole signed requests.
_TALKATIVE = ("flickrapi", "oauthlib", "requests_oauthlib")

Photo = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One page of results. Flickr's `total` and `pages` are estimates, and often too high."""

    photos: list[Photo]
    total: int
    pages: int


class _Passing(Exception):
    """A trouble that may be over soon; `error` if it is not, `wait` if the site said how long."""

    def __init__(self, error: GleansetError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


class Api:
    """Flickr's API at `url`, asked for one query at a pace; `keys`: API key and its secret."""

    def __init__(
        self,
        source: Source,
        query: Query,
        client: Client,
        pace: Pace,
        url: str,
        keys: tuple[str, str],
    ) -> None:
        self._source = source
        self._query = query
        self._limits = client.limits
        self._pace = pace
        self._url = url
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        timeout = (client.limits.connect, client.limits.read)
        # store_token: or flickrapi keeps a database in the home folder.
        self._flickr = FlickrAPI(*keys, format="parsed-json", store_token=False, timeout=timeout)
        self._flickr.REST_URL = url
        # The package's own session is one for all that use it in this process.
        self._flickr.flickr_oauth.session = pace.session(client)

    def search(self, params: Mapping[str, str]) -> Answer:
        """One page. Passing troubles are tried again as often as the limits say.

        Raises `NeedsLogin`, `RateLimited`, `Blocked`, `Changed`, `Unreachable`, `UsageError`.
        """
        for attempt in count():
            try:
                return self._answer(self._called(params))
            except _Passing as trouble:
                if not self._pace.back_off(self._url, attempt, trouble.wait, self._limits):
                    raise trouble.error from trouble.__cause__
        raise AssertionError("count() has no end")

    def _called(self, params: Mapping[str, str]) -> object:
        try:
            return self._flickr.photos.search(**params)
        except Refused as refused:
            raise self._refused(refused.page) from refused
        except FlickrError as error:
            # Flickr may repeat the key in its text: not chained.
            raise self._failed(error) from None
        except requests.RequestException as error:
            raise self._unreached(error) from error
        except JSONDecodeError as error:
            raise self._no_json(error.doc) from error
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # What flickrapi stumbles over when the JSON is no object, or a failure has no code.
            raise self._changed("JSON of another shape") from error

    def _answer(self, told: object) -> Answer:
        photos = told.get("photos") if isinstance(told, dict) else None
        if not isinstance(photos, dict) or not isinstance(photos.get("photo"), list):
            raise self._changed("JSON without photos")
        listed: list[Photo] = [photo for photo in photos["photo"] if isinstance(photo, dict)]
        try:
            answer = Answer(listed, int(photos["total"]), int(photos["pages"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._changed("photos without their number") from error
        return answer

    def _refused(self, page: Page) -> Exception:
        if page.status == 401 or "oauth_problem=" in page.text:
            return self._bad_key(f"it answered {page.status}")
        try:
            self._source.refuse(page, self._query)
        except (RateLimited, Unreachable) as error:
            return _Passing(error, retry_after(page.headers))
        except GleansetError as error:
            return error
        raise AssertionError("only refusals come here")

    def _failed(self, error: FlickrError) -> Exception:
        told = redacted(str(error).removeprefix("Error: "))
        what = f"Flickr refused {self._query.text!r}: {told}."
        if error.code in _BAD_KEY:
            return self._bad_key(told)
        if error.code in _PASSING:
            return _Passing(Unreachable(what, "Flickr has trouble; run it again later."))
        if error.code in _BAD_QUERY:
            return UsageError(what, "Search for other words, or with other options.")
        return Changed(what, "Update Gleanset, or use another source until it is mended.")

    def _bad_key(self, why: str) -> NeedsLogin:
        return NeedsLogin(f"Flickr does not accept the API key: {why}.", MEND)

    def _unreached(self, error: requests.RequestException) -> Exception:
        unreachable = Unreachable(
            f"{self._url} could not be asked: {redacted(str(error))}.",
            "Check the network and HTTP_PROXY/HTTPS_PROXY, or try again later.",
        )
        # A certificate or an address that is wrong will be wrong in two seconds as well.
        final = isinstance(error, requests.exceptions.SSLError | ValueError)
        return unreachable if final else _Passing(unreachable)

    def _no_json(self, text: str) -> Exception:
        if any(mark in text.casefold() for mark in _WALL):
            return Blocked(
                f"A page in front of Flickr's API turned {self._query.text!r} away ({self._url}).",
                "Wait some hours, use another network or another source.",
            )
        return self._changed("an empty page" if not text.strip() else "a text that is no JSON")

    def _changed(self, got: str) -> Changed:
        return Changed(
            f"Flickr answered {self._query.text!r} with {got} ({self._url}).",
            "Try again later; if it stays so, update Gleanset or use another source.",
        )
