"""Detection of the encoding of file names in archives that do not declare one."""

import unicodedata
from itertools import pairwise, repeat

# Lead bytes of the common characters of an encoding, and the cost of such a character in bits.
_WIDE_ENCODINGS = {
    "cp932": (0x88, 0x98, 10.0),
    "gb18030": (0xB0, 0xD7, 10.0),
    "big5hkscs": (0xA4, 0xC6, 10.5),
    "cp949": (0xB0, 0xC8, 9.0),
    "euc_jp": (0xB0, 0xCF, 10.5),
}
_ENCODINGS = ("utf-8", "cp437", "cp850", *_WIDE_ENCODINGS, "cp866", "cp1251", "cp1252", "cp852")
_DOS_CODE_PAGES = ("cp437", "cp850", "cp852", "cp866")
_KANA = {"cp932": 6.0, "euc_jp": 6.5}
_ALPHABETS = {"LATIN": ("À", "ÿ"), "CYRILLIC": ("А", "я"), "GREEK": ("Ά", "ώ")}
_SAMPLE_CHARACTERS = 20_000


def guess_zip_encoding(sample: bytes) -> str:
    """Return the likeliest encoding of names in a zip, which may be a DOS code page.

    The likeliest encoding has the lowest cost in bits: adjacent common characters of one script
    cost little; rare characters, symbols and mixed scripts cost much. Unzip and browsers guess
    in a similar way.
    """
    return min(_ENCODINGS, key=lambda encoding: _bits(sample, encoding))


def guess_name_encoding(sample: bytes) -> str:
    """Return the likeliest encoding of other names, which is not a DOS code page."""
    encodings = [name for name in _ENCODINGS if name not in _DOS_CODE_PAGES]
    return min(encodings, key=lambda encoding: _bits(sample, encoding))


def _bits(sample: bytes, encoding: str) -> float:
    try:
        text = sample.decode(encoding)[:_SAMPLE_CHARACTERS]
    except UnicodeDecodeError:
        return float("inf")
    scripts = ["", *map(_script, text), ""]
    neighbors = zip(scripts, scripts[2:], strict=False)
    # MiXed case is a sign of a wrong encoding.
    mixed = sum(a.islower() and b.isupper() and not b.isascii() for a, b in pairwise(text))
    return 5.0 * mixed + sum(map(_cost, text, scripts[1:], neighbors, repeat(encoding)))


def _cost(character: str, script: str, neighbors: tuple[str, str], encoding: str) -> float:
    if character.isascii():
        return 4.0
    if script in _ALPHABETS:
        first, last = _ALPHABETS[script]
        return (6.0 if script in neighbors else 13.0) + (0.0 if first <= character <= last else 3.0)
    if script not in ("HIRAGANA", "KATAKANA", "CJK", "HANGUL"):
        return 16.0
    foreign = 8.0 if "LATIN" in neighbors else 0.0
    if script in ("HIRAGANA", "KATAKANA"):
        return _KANA.get(encoding, 12.0) + foreign
    begin, end, bits = _WIDE_ENCODINGS.get(encoding, (0, 0xFF, 10.0))
    raw = character.encode(encoding)
    # Trail bytes below 0xA1 are extensions of GBK and code page 949 to the smaller standard.
    extended = encoding in ("gb18030", "cp949") and raw[1] < 0xA1
    return bits + foreign + (0.0 if begin <= raw[0] <= end else 5.0) + (9.0 if extended else 0.0)


def _script(character: str) -> str:
    name = unicodedata.name(character, "").split() if character.isalpha() else []
    return "" if not name or name[0] in ("FULLWIDTH", "HALFWIDTH") else name[0]
