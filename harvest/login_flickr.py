"""Flickr's key and its secret, tried with one signed call."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Any

from gleanset.errors import (
    Blocked,
    Changed,
    MissingComponent,
    NeedsLogin,
    RateLimited,
    Unreachable,
)
from harvest.http import Client, Page, retry_after
from harvest.sources.base import Endpoint

FLICKR = "https://api.flickr.com"
KEYS_PAGE = "https://www.flickr.com/services/apps/create/"
# Invalid API Key, and the two that tell of a wrong signature.
_BAD_KEY = frozenset({96, 97, 100})


def check_flickr(key: str, signing: str, endpoint: Endpoint) -> None:
    """One call of `flickr.test.echo`, which says whether Flickr takes the key and its secret.

    Raises `NeedsLogin` when it does not, `RateLimited`, `Blocked`, `Unreachable`, `Changed`,
    and `MissingComponent` without flickrapi.
    """
    where = endpoint.url("/services/rest/")
    # An endpoint that the person wrote may well be on this machine.
    answer = _echo(_flickr(key, signing), where, allow_private=endpoint.base != FLICKR)
    if not isinstance(answer, dict) or answer.get("stat") != "ok":
        raise _not_flickr(where)


def _flickr(key: str, signing: str) -> Any:
    try:
        import flickrapi
    except ImportError as error:
        raise MissingComponent(
            f"Flickr is asked through flickrapi, which is not there ({error}).",
            "Run pip install flickrapi.",
        ) from error
    # They log what they sign, with the key in it.
    for name in ("flickrapi", "oauthlib", "requests_oauthlib"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return flickrapi.FlickrAPI(key, signing, format="parsed-json", store_token=False)


def _echo(flickr: Any, where: str, *, allow_private: bool) -> Any:
    from flickrapi import FlickrError
    from requests import RequestException

    from harvest.sources.pacing import Pace, Refused

    flickr.REST_URL = where
    with (
        Client(allow_private=allow_private) as client,
        closing(Pace(0).session(client)) as session,
    ):
        # The package's own session is shared by all of its users, without any bounds.
        flickr.flickr_oauth.session = session
        try:
            return flickr.test.echo(timeout=(client.limits.connect, client.limits.read))
        except FlickrError as error:
            raise _failed(error.code, where) from None
        except Refused as refused:
            raise _refused(refused.page, where) from None
        except RequestException as error:
            raise Unreachable(
                f"{where} could not be asked: {type(error).__name__}.",
                "Check the network and HTTP_PROXY/HTTPS_PROXY, or try again later.",
            ) from None
        except (ValueError, AttributeError):
            # No JSON, or not the object whose `stat` flickrapi looks at.
            raise _not_flickr(where) from None


def _failed(code: int | None, where: str) -> Exception:
    if code in _BAD_KEY:
        return _bad_key()
    # Its words may repeat the key.
    return Unreachable(
        f"Flickr did not take the call, with its error {code} ({where}).",
        "Try again in some minutes.",
    )


def _refused(page: Page, where: str) -> Exception:
    # A signature made with a wrong secret is a 401.
    if page.status in (400, 401):
        return _bad_key()
    if page.status == 429:
        wait = retry_after(page.headers)
        told = f"Flickr says that it was asked too often ({where})."
        return RateLimited(told, "Try again in an hour.", wait)
    if page.status == 403:
        told = f"Flickr answered 403 ({where})."
        return Blocked(told, "Wait some hours or use another network.")
    if page.status >= 500:
        return Unreachable(f"Flickr answered {page.status} ({where}).", "Try again later.")
    return _not_flickr(where)


def _bad_key() -> NeedsLogin:
    return NeedsLogin(
        "Flickr refused this key or its secret.",
        f"Copy both from {KEYS_PAGE} and run harvest login flickr again.",
    )


def _not_flickr(where: str) -> Changed:
    return Changed(
        f"{where} answered, but not as Flickr does.",
        "Check HTTP_PROXY/HTTPS_PROXY and the endpoint; if they are right, update Gleanset.",
    )
