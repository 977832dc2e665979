"""Who made a picture, and what may be done with it, as somebody says."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from gleanset.errors import UsageError

LONGEST = 500
"""Characters that are kept of each text."""
_PAGES = ("http://", "https://")


class Credit(NamedTuple):
    """Who made a picture, under which licence or notice, and the page that says so, if any."""

    author: str | None = None
    licence: str | None = None
    page: str | None = None

    def completed(self, other: Credit) -> Credit:
        """Return it with what `other` says where this one says nothing."""
        return Credit(*(mine or theirs for mine, theirs in zip(self, other, strict=True)))


NOTHING = Credit()


def given_credit(author: str | None, licence: str | None, page: str | None) -> Credit:
    """Return what a person says. Raises `UsageError` for a page that is no address."""
    if page is not None and page_address(page) is None:
        raise UsageError(f"{page!r} is no address of a page", "it begins with https://")
    return Credit(credit_text(author), credit_text(licence), page_address(page))


def credit_text(text: str | None) -> str | None:
    """Return a text as it is kept: one line, at most 500 characters; None for an empty one."""
    if text is None:
        return None
    plain = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join(plain.split())[:LONGEST] or None


def page_address(text: str | None) -> str | None:
    """Return the address of a page; None for what is none."""
    plain = credit_text(text)
    return plain if plain and plain.lower().startswith(_PAGES) and " " not in plain else None
