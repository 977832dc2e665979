"""Logging in, as a conversation: the core asks, the front end answers.

Every secret is tried on the site once before it is kept, and where it is kept is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gleanset.errors import NeedsLogin
from harvest.login_flickr import FLICKR, KEYS_PAGE, check_flickr
from harvest.login_pixiv import PIXIV, PIXIV_AUTH, PixivLogin, catch_in_browser
from harvest.secrets import keep_secret, secret
from harvest.sources.base import Endpoint


class Ask(Protocol):
    """Puts a question to the person; `hidden` answers are not shown while typed.

    A front end that cannot get an answer raises what ends its program.
    """

    def __call__(self, question: str, *, hidden: bool = False) -> str:
        """The answer."""


def login_flickr(ask: Ask, *, endpoint: str = FLICKR) -> dict[str, object]:
    """Ask for the API key and its secret, try them, keep them.

    Raises `NeedsLogin` when Flickr refuses them, `RateLimited`, `Blocked`, `Unreachable`,
    `Changed`, and `MissingComponent` without flickrapi.
    """
    key = _answer(ask(f"Flickr API key (one is made at {KEYS_PAGE})", hidden=True), "key")
    signing = _answer(ask("Its secret", hidden=True), "secret")
    check_flickr(key, signing, Endpoint(endpoint))
    kept = keep_secret("flickr.key", key)
    kept_too = keep_secret("flickr.secret", signing)
    return _told("flickr", kept if kept == kept_too else f"{kept} and {kept_too}") | _overruled(
        {"flickr.key": key, "flickr.secret": signing}
    )


def login_pixiv(
    ask: Ask,
    open_browser: Callable[[str], bool],
    token: str | None = None,
    *,
    endpoint: str = PIXIV,
    auth_endpoint: str = PIXIV_AUTH,
    catch_code: Callable[[str], str | None] = catch_in_browser,
) -> dict[str, object]:
    """Log in to Pixiv once, and keep the refresh token that stands for it from then on.

    `token` is an existing refresh token: nothing is asked then. Otherwise `catch_code` opens
    the login page in a browser of its own and watches for the code; where it cannot, the
    page is opened by `open_browser`, and the person is told how to copy the code. Raises
    `NeedsLogin`, `RateLimited`, `Blocked`, `Unreachable`, `Changed`, `MissingComponent`.
    """
    login = PixivLogin(Endpoint(endpoint), Endpoint(auth_endpoint))
    if token is None:
        token = login.token_from_browser(ask, open_browser, catch_code)
    fresh, account = login.verified(_answer(token, "refresh token"))
    kept = keep_secret("pixiv.refresh_token", fresh)
    overruled = _overruled({"pixiv.refresh_token": fresh})
    return _told("pixiv", kept) | {"account": account} | overruled


def _told(site: str, kept: str) -> dict[str, object]:
    return {"logged_in": site, "kept_in": kept}


def _overruled(kept: dict[str, str]) -> dict[str, object]:
    # The environment goes before what is kept: an old value there would be used on.
    if all(secret(name) == value for name, value in kept.items()):
        return {}
    return {"note": "another value is set in the environment and goes before the kept one"}


def _answer(given: str, what: str) -> str:
    text = given.strip()
    if not text or not text.isascii() or not text.isprintable():
        raise NeedsLogin(
            f"That is no {what}: it is empty or has characters that no {what} has.",
            "Run the same command again and paste it whole.",
        )
    return text


__all__ = ["FLICKR", "PIXIV", "PIXIV_AUTH", "Ask", "login_flickr", "login_pixiv"]
