"""Logging in, as a conversation: the core asks, the front end answers.

What a site's own login (`sources/flickr/login.py`, `sources/pixiv/login.py`) shares with the
others: every secret is tried on the site once before it is kept, and where it is kept is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gleanset.errors import NeedsLogin
from harvest.secrets import keep_secret, secret


class Ask(Protocol):
    """Puts a question to the person; `hidden` answers are not shown while typed.

    A front end that cannot get an answer raises what ends its program.
    """

    def __call__(self, question: str, *, hidden: bool = False) -> str:
        """Return the answer."""


def checked_answer(pasted: str, what: str) -> str:
    """Return what a person pasted, without spaces around it; `what` it is goes into the error.

    Raises `NeedsLogin` for a text that can be no key or token.
    """
    text = pasted.strip()
    if not text or not text.isascii() or not text.isprintable():
        raise NeedsLogin(
            f"That is no {what}: it is empty or has characters that no {what} has.",
            "Run the same command again and paste it whole.",
        )
    return text


def keep_login(site: str, secrets: Mapping[str, str], **details: object) -> dict[str, object]:
    """Store secrets that were tried, by their names; return the result of the command.

    `details` are what else it tells. Raises what `keep_secret` raises.
    """
    places = dict.fromkeys(keep_secret(name, value) for name, value in secrets.items())
    result = {"logged_in": site, "kept_in": " and ".join(places), **details}
    # The environment goes before what is kept: an old value there would be used on.
    if any(secret(name) != value for name, value in secrets.items()):
        result["note"] = "another value is set in the environment and goes before the kept one"
    return result
