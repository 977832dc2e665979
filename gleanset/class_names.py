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
    folded = unicodedata.normalize("NFKD", text).casefold().translate(_KANA)
    letters = []
    # Decomposed again: folding composes some letters.
    for character in unicodedata.normalize("NFKD", folded):
        is_mark = unicodedata.category(character) in ("Mn", "Mc")
        if character.isalnum():
            letters.append(character)
        elif is_mark and letters and not _is_accent(letters[-1], character):
            letters[-1] = unicodedata.normalize(
                "NFC",
                letters[-1] + character,
            )
    return "".join(letters)


def _is_accent(letter: str, mark: str) -> bool:
    """Return whether a mark leaves the letter the same for people."""
    script = unicodedata.name(letter[0], "").partition(" ")[0]
    is_accented_script = script in ("LATIN", "GREEK", "CYRILLIC", "DIGIT")
    return is_accented_script or "VARIATION SELECTOR" in unicodedata.name(mark, "")
