"""Credit of an image: author, licence and page."""

from __future__ import annotations

from typing import NamedTuple

from gleanset.errors import UsageError
from gleanset.terminal import replace_controls

MAX_CREDIT_CHARACTERS = 500
"""Maximum number of characters of each text."""
_PAGES = ("http://", "https://")


class Credit(NamedTuple):
    """Author of an image, its licence or copyright notice, and the page that states them."""

    author: str | None = None
    licence: str | None = None
    page: str | None = None

    def fill_from(self, other: Credit) -> Credit:
        """Return this credit with missing fields taken from `other`."""
        return Credit(
            author=self.author or other.author,
            licence=self.licence or other.licence,
            page=self.page or other.page,
        )


NO_CREDIT = Credit()


def validate_page_url(text: str) -> str:
    """Return the normalized URL of a page. Raises `UsageError` if invalid."""
    url = clean_page_url(text)
    if url is None:
        raise UsageError(f"{text!r} is not a page address", "it begins with https://")
    return url


def clean_credit_text(text: str | None) -> str | None:
    """Normalize text to one line of `MAX_CREDIT_CHARACTERS`; None if empty."""
    if not text:
        return None
    return " ".join(replace_controls(text, " ").split())[:MAX_CREDIT_CHARACTERS] or None


def clean_page_url(text: str | None) -> str | None:
    """Return the normalized URL of a page; None if invalid."""
    url = clean_credit_text(text)
    is_url = url and url.lower().startswith(_PAGES) and " " not in url
    return url if is_url else None
