"""Detection of the encoding of file names in archives that do not declare one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_ENCODINGS = (
    *("utf-8", "cp437", "cp850", "cp932", "gb18030", "cp950", "big5hkscs", "cp949", "euc_jp"),
    *("cp866", "cp1251", "cp1252", "cp852"),
)
# Range of lead bytes of common characters in an encoding, and the cost of one in bits.
_COMMON = {
    "cp932": (0x88, 0x98, 10.0),
    "gb18030": (0xB0, 0xD7, 10.0),
    "cp950": (0xA4, 0xC6, 10.5),
    "big5hkscs": (0xA4, 0xC6, 10.5),
    "cp949": (0xB0, 0xC8, 8.5),
    "euc_jp": (0xB0, 0xCF, 10.5),
}
# The smaller encoding that one extends, and the cost in bits of a character missing in it.
_EXTENDED = {"gb18030": ("gbk", 16.0), "big5hkscs": ("cp950", 9.0)}
_KANA = {"cp932": 6.0, "euc_jp": 6.5, "gb18030": 12.0}
_ALPHABETS = {"LATIN": ("À", "ÿ"), "CYRILLIC": ("А", "я"), "GREEK": ("Ά", "ώ")}
# Common hangul vowels a, ae, eo, e, yeo, o, u, eu, i; finals none, g, n, l, m, b, s, ng.
_VOWELS, _FINALS = (0, 1, 4, 5, 6, 8, 13, 18, 20), (0, 1, 4, 8, 16, 17, 19, 21)
_LONG_UTF8 = re.compile(rb"[\xe0-\xf4][\x80-\xbf]{2}")
_SAMPLE_BYTES = 20_000


def decode_names(names: Iterable[bytes]) -> dict[bytes, str]:
    """Decode names as UTF-8 if valid, others in the likeliest encoding.

    The likeliest encoding has the lowest cost in bits: adjacent common characters of one script
    cost little; rare characters, symbols and mixed scripts cost much. Unzip and browsers guess
    in a similar way.
    """
    texts: dict[bytes, str] = {}
    legacy: list[bytes] = []
    for name in dict.fromkeys(names):
        text = _decoded(name, "utf-8")
        if text is not None and (name.isascii() or _LONG_UTF8.search(name)):
            texts[name] = text
        else:
            legacy.append(name)
    best = min(_ENCODINGS, key=lambda encoding: _bits(legacy, encoding)) if legacy else "utf-8"
    for name in legacy:
        text = _decoded(name, best)
        texts[name] = name.decode(best, "backslashreplace") if text is None else text
    return texts


def _decoded(name: bytes, encoding: str) -> str | None:
    try:
        return name.decode(encoding)
    except UnicodeDecodeError:
        return None


def _bits(names: list[bytes], encoding: str) -> float:
    total, sampled = 0.0, 0
    for name in names:
        text = _decoded(name, encoding)
        if text is None:
            return float("inf")
        if sampled < _SAMPLE_BYTES:
            total += sum(_costs(text, encoding))
        sampled += len(name)
    return total


def _costs(text: str, encoding: str) -> Iterable[float]:
    scripts = ["", *map(_script, text), ""]
    for at, character in enumerate(text, start=1):
        script, neighbors = scripts[at], (scripts[at - 1], scripts[at + 1])
        yield _extension_cost(character, encoding)
        if character.isascii():
            yield 4.0
        elif script in _ALPHABETS:
            first, last = _ALPHABETS[script]
            rare = 0.0 if first <= character <= last else 3.0
            # MiXed case is a sign of a wrong encoding.
            mixed = 5.0 if character.isupper() and text[at - 2 : at - 1].islower() else 0.0
            yield (6.0 if script in neighbors else 13.0) + rare + mixed
        elif script in ("HIRAGANA", "KATAKANA", "CJK", "HANGUL"):
            yield _wide_cost(character, script, encoding) + (8.0 if "LATIN" in neighbors else 0.0)
        else:
            yield 16.0


def _extension_cost(character: str, encoding: str) -> float:
    if encoding not in _EXTENDED:
        return 0.0
    smaller, bits = _EXTENDED[encoding]
    return 0.0 if character.encode(smaller, "ignore") else bits


def _wide_cost(character: str, script: str, encoding: str) -> float:
    if script in ("HIRAGANA", "KATAKANA"):
        return _KANA.get(encoding, 13.0)
    first, last, bits = _COMMON.get(encoding, (0, 0xFF, 10.0))
    raw = character.encode(encoding)
    if script == "HANGUL" and encoding == "cp949":
        vowel, final = divmod((ord(character) - 0xAC00) % 588, 28)
        bits += (0.0 if vowel in _VOWELS else 1.5) + (0.0 if final in _FINALS else 3.0)
    # Trail bytes below 0xA1 are extensions of GBK and code page 949 to the smaller standard.
    extended = encoding in ("gb18030", "cp949") and raw[1] < 0xA1
    return bits + (0.0 if first <= raw[0] <= last else 5.0) + (9.0 if extended else 0.0)


def _script(character: str) -> str:
    if not character.isalpha():
        return ""
    name = unicodedata.name(character, "").split()
    return "" if not name or name[0] in ("FULLWIDTH", "HALFWIDTH") else name[0]
