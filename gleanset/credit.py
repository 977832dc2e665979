"""Who made a picture, and what may be done with it, as somebody says."""

from __future__ import annotations

from typing import NamedTuple

from gleanset.errors import UsageError
from gleanset.terminal import replace_controls

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


def checked_page(text: str) -> str | None:
    """Return the address of a page. Raises `UsageError` for what is none."""
    if page_address(text) is None:
        raise UsageError(f"{text!r} is no address of a page", "it begins with https://")
    return page_address(text)


def credit_text(text: str | None) -> str | None:
    """Return a text as it is kept: one line, at most 500 characters; None for an empty one."""
    if text is None:
        return None
    return " ".join(replace_controls(text, " ").split())[:LONGEST] or None


def page_address(text: str | None) -> str | None:
    """Return the address of a page; None for what is none."""
    plain = credit_text(text)
    return plain if plain and plain.lower().startswith(_PAGES) and " " not in plain else None
