"""Names that complete themselves: the first letters suffice, however they are written."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.classes import list_class_names, normalize_alias, normalize_class_name
from gleanset.errors import UsageError

KATAKANA, TO_HIRAGANA = range(ord("ァ"), ord("ヶ") + 1), ord("ぁ") - ord("ァ")
_KANA = {letter: letter + TO_HIRAGANA for letter in KATAKANA}

_SLIP = 0.85
"""So alike are two names of which one is a slip: one letter too many, or one of seven is wrong."""


class KnownName(NamedTuple):
    """A name, and the class that it means."""

    text: str
    label: str


def known_names(dataset: Dataset) -> list[KnownName]:
    """Return what may be typed as a name, the likeliest first; only what a class may be called."""
    found = []
    for text, label in list_class_names(dataset.db):
        with suppress(UsageError):
            found.append(KnownName(normalize_alias(text), normalize_class_name(label)))
    return found


def folded(text: str) -> str:
    """Return a text without case, width, accents, kind of kana and separators.

    Marks are accents only on Latin, Greek and Cyrillic letters. In other scripts they make
    another letter: タイキ is not ダイキ.
    """
    decomposed = unicodedata.normalize("NFKD", text).casefold().translate(_KANA)
    letters: list[str] = []
    for c in unicodedata.normalize("NFKD", decomposed):
        kind = unicodedata.category(c)
        if c.isalnum() or kind == "Lm":
            letters.append(c)
        elif kind in ("Mn", "Mc") and letters and not _drops_mark(letters[-1], c):
            letters[-1] = unicodedata.normalize("NFC", letters[-1] + c)
    return "".join(letters)


def _drops_mark(letter: str, mark: str) -> bool:
    accented = unicodedata.name(letter[0], "").startswith(("LATIN", "GREEK", "CYRILLIC", "DIGIT"))
    return accented or "VARIATION SELECTOR" in unicodedata.name(mark, "")


def nearly(name: str, others: Iterable[str]) -> str | None:
    """Return the one of the others that `name` is but for a slip, or for what does not matter."""
    plain = {folded(other): other for other in others}
    close = difflib.get_close_matches(folded(name), list(plain), n=1, cutoff=_SLIP)
    return plain[close[0]] if close else None


def completions(typed: str, names: Iterable[KnownName]) -> Sequence[KnownName]:
    """Return the names that begin so, or of which a word does; those that begin so come first."""
    wanted = folded(typed)
    if not wanted:
        return []
    first, others = [], []
    for name in names:
        if folded(name.text).startswith(wanted):
            first.append(name)
        elif any(folded(word).startswith(wanted) for word in _words(name.text)[1:]):
            others.append(name)
    return [*first, *others]


def exact_name(typed: str, names: Iterable[KnownName]) -> KnownName | None:
    """Return the known name that a whole text is, however it is written; None for a new one."""
    wanted = folded(typed)
    same = [name for name in names if folded(name.text) == wanted] if wanted else []
    # Of two that differ in what does not matter alone, the one that was typed.
    return next((name for name in same if name.text == typed), same[0] if same else None)


def _words(text: str) -> list[str]:
    in_word = (c.isalnum() or unicodedata.category(c).startswith("M") for c in text)
    return "".join(c if keep else " " for c, keep in zip(text, in_word, strict=True)).split()
