"""What Pixiv's answers mean when they are not what was asked for.

Pixiv says the same thing with several statuses, and pixivpy3 looks at none of them: the
words of the body decide first, the status only where the body says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gleanset.errors import Blocked, Changed, RateLimited, Unreachable
from harvest.http import retry_after
from harvest.secrets import redacted

LOGIN = "Run harvest login pixiv, or set PIXIV_REFRESH_TOKEN."

_TOKEN_TROUBLE = ("invalid_grant", "invalid refresh token", "access token", "oauth process")
_CHALLENGE = ("just a moment", "cloudflare", "cf-chl", "captcha", "attention required")
# A message may repeat a token or a code. Nothing else in it is one long word.
_SECRET_LIKE = re.compile(r"[\w-]{25,}", re.ASCII)
_LONGEST_MESSAGE = 200


class TokenRefused(Exception):
    """The access token, the refresh token or the login code is wrong or too old."""


class OffsetCap(Exception):
    """That result lies past the number that one search reaches."""


def complaint(status: int, headers: Mapping[str, str], text: str, where: str) -> Exception | None:
    """The error that an answer means, None for a good one. `where` is the address asked.

    One of `TokenRefused`, `OffsetCap`, `RateLimited`, `Blocked`, `Unreachable`, `Changed`.
    """
    body = _json(text)
    if not isinstance(body, dict):
        return _no_data(status, headers, text, where)
    if status == 200 and not body.get("error") and not body.get("has_error"):
        return None
    message = " ".join(_sentences(body))
    lower = message.casefold()
    if any(mark in lower for mark in _TOKEN_TROUBLE) or status == 401:
        return TokenRefused()
    if "offset" in lower and "no more than" in lower:
        return OffsetCap()
    if "rate limit" in lower or status == 429:
        return _rate_limited(headers, where)
    return _refused(status, message, where)


def changed(what: str) -> Changed:
    """The error for an answer that came, but not in the shape we know."""
    return Changed(
        f"Pixiv answered with {what}.",
        "Run pip install -U pixivpy3 and update Gleanset, or use another source until then.",
    )


def speakable(text: str) -> str:
    """A text of the site that may be shown: short, and nothing that looks like a token."""
    return _SECRET_LIKE.sub("***", redacted(text))[:_LONGEST_MESSAGE]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _sentences(body: Mapping[str, Any]) -> Iterator[str]:
    # {"error": {"message": …, "user_message": …}}, {"error": "invalid_grant", "errors":
    # {"system": {"message": …}}} and whatever else says something.
    for key in ("error", "errors", "system", "message", "user_message", "reason"):
        value = body.get(key)
        if isinstance(value, str) and value:
            yield value
        elif isinstance(value, dict):
            yield from _sentences(value)


def _no_data(status: int, headers: Mapping[str, str], text: str, where: str) -> Exception:
    if status == 429:
        return _rate_limited(headers, where)
    if status >= 500:
        return _down(status, where)
    if status in (401, 403) or any(mark in text.casefold() for mark in _CHALLENGE):
        return Blocked(
            f"Pixiv answered {status} with a page for a browser instead of data ({where}).",
            "Its guard (Cloudflare) turned this network away, and Gleanset does not pretend to be "
            "a browser. Wait some hours, use another network or another source.",
        )
    return Changed(
        f"Pixiv answered {status} with something that is not the data we know ({where}).",
        "Check HTTP_PROXY/HTTPS_PROXY; if it stays so, update Gleanset or use another source.",
    )


def _refused(status: int, message: str, where: str) -> Exception:
    said = f": {speakable(message)}" if message else ""
    if status >= 500:
        return _down(status, where)
    if "invalid_client" in message.casefold():
        return Changed(
            f"Pixiv no longer knows the app that pixivpy3 speaks for ({where}).",
            "Run pip install -U pixivpy3.",
        )
    if status == 403:
        return Blocked(
            f"Pixiv answered {status}{said} ({where}).",
            "Wait some hours, use another network or another source.",
        )
    return Changed(
        f"Pixiv answered {status}{said} ({where}).",
        "Check the search options; if they are right, update Gleanset or use another source.",
    )


def _rate_limited(headers: Mapping[str, str], where: str) -> RateLimited:
    wait = retry_after(headers)
    after = f"in {wait:.0f} seconds" if wait else "in five minutes or more"
    return RateLimited(
        f"Pixiv says that it was asked too often ({where}).",
        f"Run the same command again {after}: it goes on where it stopped.",
        wait,
    )


def _down(status: int, where: str) -> Unreachable:
    return Unreachable(
        f"Pixiv answered {status} ({where}).",
        "The site has trouble; run the same command again later.",
    )
