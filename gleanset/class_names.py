"""Names of classes that people take for the same."""

import unicodedata

KATAKANA = range(ord("ァ"), ord("ヶ") + 1)
TO_HIRAGANA = ord("ぁ") - ord("ァ")
_KANA = {letter: letter + TO_HIRAGANA for letter in KATAKANA}


def fold_name(text: str) -> str:
    """Return a text without case, width, accents, kind of kana and separators.

    Marks are accents only on Latin, Greek and Cyrillic letters. In other scripts they make a
    different letter: タイキ is not ダイキ.
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
    accented = unicodedata.name(letter[0], "").startswith(
        ("LATIN", "GREEK", "CYRILLIC", "DIGIT")
    )
    return accented or "VARIATION SELECTOR" in unicodedata.name(mark, "")
