"""Logging in to Flickr: an API key and its secret, tried with one signed call."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from gleanset.errors import Blocked, Changed, NeedsLogin, RateLimited, Unreachable
from harvest.http import Client, Page, retry_after
from harvest.login import Ask, checked_answer, keep_login
from harvest.secrets import FLICKR_KEYS_PAGE
from harvest.sources.base import Endpoint
from harvest.sources.flickr.api import BAD_KEY, HOST, open_flickr
from harvest.sources.throttle import SiteThrottle


def login_flickr(ask: Ask, *, endpoint: str = HOST) -> dict[str, object]:
    """Ask for the API key and its secret, try them, keep them; return the command's result.

    Raises `NeedsLogin` when Flickr refuses them, `RateLimited`, `Blocked`, `Unreachable`,
    `Changed`, and `MissingComponent` without flickrapi.
    """
    question = f"Flickr API key (one is made at {FLICKR_KEYS_PAGE})"
    key = checked_answer(ask(question, hidden=True), "key")
    signing = checked_answer(ask("Its secret", hidden=True), "secret")
    _check_keys((key, signing), Endpoint(endpoint))
    return keep_login("flickr", {"flickr.key": key, "flickr.secret": signing})


def _check_keys(keys: tuple[str, str], endpoint: Endpoint) -> None:
    """Call `flickr.test.echo`, which says whether Flickr takes the key and its secret."""
    # An endpoint that the person wrote may well be on this machine.
    with Client(allow_private=endpoint.base != HOST) as client:
        flickr = open_flickr(keys, endpoint, client, SiteThrottle(0))
        with closing(flickr.flickr_oauth.session):
            answer = _echo(flickr, flickr.REST_URL)
    if not isinstance(answer, dict) or answer.get("stat") != "ok":
        raise _not_flickr(flickr.REST_URL)


def _echo(flickr: Any, url: str) -> object:
    from flickrapi import FlickrError
    from requests import HTTPError, RequestException

    from harvest.sources.sessions import page_of

    try:
        return flickr.test.echo()
    except FlickrError as error:
        raise _failed(error.code, url) from None
    except HTTPError as error:
        raise _refused(page_of(error), url) from None
    except RequestException as error:
        raise Unreachable(
            f"{url} could not be asked: {type(error).__name__}.",
            "Check the network and HTTP_PROXY/HTTPS_PROXY, or try again later.",
        ) from None
    except (ValueError, AttributeError):
        # No JSON, or not the object whose `stat` flickrapi looks at.
        raise _not_flickr(url) from None


def _failed(code: int | None, url: str) -> Exception:
    if code in BAD_KEY:
        return _bad_key()
    # Its words may repeat the key.
    return Unreachable(
        f"Flickr did not take the call, with its error {code} ({url}).",
        "Try again in some minutes.",
    )


def _refused(page: Page, url: str) -> Exception:
    # A signature made with a wrong secret is a 401.
    if page.status in (400, 401):
        return _bad_key()
    if page.status == 429:
        wait = retry_after(page.headers)
        what = f"Flickr says that it was asked too often ({url})."
        return RateLimited(what, "Try again in an hour.", wait)
    if page.status == 403:
        return Blocked(f"Flickr answered 403 ({url}).", "Wait some hours or use another network.")
    if page.status >= 500:
        return Unreachable(f"Flickr answered {page.status} ({url}).", "Try again later.")
    return _not_flickr(url)


def _bad_key() -> NeedsLogin:
    return NeedsLogin(
        "Flickr refused this key or its secret.",
        f"Copy both from {FLICKR_KEYS_PAGE} and run harvest login flickr again.",
    )


def _not_flickr(url: str) -> Changed:
    return Changed(
        f"{url} answered, but not as Flickr does.",
        "Check HTTP_PROXY/HTTPS_PROXY and the endpoint; if they are right, update Gleanset.",
    )
