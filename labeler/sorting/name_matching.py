"""Matching and completing class names, regardless of case, width, accents and kana."""

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from gleanset import Dataset
from gleanset.class_names import fold_name
from gleanset.db import classes
from gleanset.errors import UsageError

_MIN_TYPO_SIMILARITY = 0.85
"""Similarity of names that differ by one extra letter, or by one wrong letter of seven."""


class KnownName(NamedTuple):
    """A name, and the class that it refers to."""

    text: str
    label: str


def list_known_names(dataset: Dataset) -> list[KnownName]:
    """Return the names that may be typed and are valid for a class, the most likely first."""
    names = []
    meanings = classes.list_class_names(dataset.db)
    for label, others in classes.list_aliases(
        dataset.db, with_former_names=True
    ).items():
        meanings |= {name: label for name in others if name not in meanings}

    for text, label in meanings.items():
        with suppress(UsageError):
            alias = classes.normalize_alias(text)
            names.append(KnownName(alias, classes.normalize_class_name(label)))

    return names


def find_similar_name(name: str, others: Iterable[str]) -> str | None:
    """Return the other name that `name` equals except for a typo or for what `fold_name` drops."""
    by_folded = {fold_name(other): other for other in others}
    close = difflib.get_close_matches(
        fold_name(name), list(by_folded), n=1, cutoff=_MIN_TYPO_SIMILARITY
    )
    return by_folded[close[0]] if close else None


def complete_name(typed: str, names: Iterable[KnownName]) -> Sequence[KnownName]:
    """Return the names that begin with a text, then those in which a later word does."""
    prefix = fold_name(typed)
    if not prefix:
        return []
    matches = []
    later_matches = []
    for name in names:
        if fold_name(name.text).startswith(prefix):
            matches.append(name)
        elif any(fold_name(word).startswith(prefix) for word in _words(name.text)[1:]):
            later_matches.append(name)

    return [*matches, *later_matches]


def match_exact_name(typed: str, names: Iterable[KnownName]) -> KnownName | None:
    """Return the known name that equals the text after folding; None for a new name."""
    folded = fold_name(typed)
    matches = (
        [name for name in names if fold_name(name.text) == folded] if folded else []
    )
    # Prefer the name that is equal without folding.
    return max(matches, key=lambda name: name.text == typed, default=None)


def _words(text: str) -> list[str]:
    # Marks, such as vowels of Hindi, belong to words.
    return "".join(
        c if c.isalnum() or unicodedata.category(c).startswith("M") else " "
        for c in text
    ).split()
