"""Encodings of texts and names: UTF-8, the one that is named, or a guess.

A list that is read in a wrong encoding labels images with classes that are not in it. So a guess is
always printed with an example, and a text of which only some lines are UTF-8 is refused.
"""

import codecs
import io
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO, NamedTuple

from gleanset.errors import InputUnusable, UsageError
from gleanset.work import progress

# The marks of UTF-16 begin those of UTF-32.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_JAPANESE = ("cp932", "euc_jis_2004")
_WIDE_ENCODINGS = (*_JAPANESE, "gb18030", "cp949", "big5hkscs")
# What Windows calls ANSI, and what Unix used before UTF-8.
_SINGLE_BYTE_ENCODINGS = (
    "cp1250",
    "cp1251",
    "cp1252",
    "cp1253",
    "cp1254",
    "cp1257",
    "koi8-r",
)
# Of names in a zip, which may be in a DOS code page.
_ZIP_ENCODINGS = ("cp437", "cp850", "cp852", "cp866", "cp1250", "cp1251", "cp1252")
# chardet knows languages by pairs of letters, of which few words have not enough. These factors of
# its confidence were fitted to 918 lists and zips of one to three names in 15 encodings.
_FREQUENCIES = {"cp1252": 1.8, "cp850": 1.8, "cp437": 1.9}
_SYMBOL_FACTOR = 0.3
_FOREIGN_KANA_FACTOR = 0.75
_MIN_CONFIDENCE = 1e-4
_SAMPLE_BYTES = 50_000
_MAX_LINE_BYTES = 4_000_000
# A cell with a letter beyond ASCII. No encoding uses these separators in its characters.
_CELL = re.compile(rb'[^\s,;"/:]*[\x80-\xff][^\n\r\t,;"/:]*')
# Among the digits of numbered names chardet no longer sees an encoding with two bytes a character.
_DIGITS = re.compile(rb"\d+")
_MAX_EXAMPLE_CHARACTERS = 40
# A Latin letter beside a Greek or Cyrillic one: no word has both.
_MIXED_SCRIPTS = re.compile("(?=[A-Za-z][\u0370-\u052f]|[\u0370-\u052f][A-Za-z])")
_LONG_UTF8 = re.compile(rb"[\xe0-\xf4][\x80-\xbf]{2}")


class TextEncoding(NamedTuple):
    """An encoding; `example` is a text read in it, if it was guessed."""

    name: str
    example: str = ""

    def report(self, source: str) -> None:
        """Print a guess with its example, even if quiet."""
        if self.example:
            progress.current.warn(
                f"{source} is not UTF-8, read as {self.name}: {self.example!r}\n"
                "hint: if that is wrong, name its encoding: --encoding NAME"
            )


def check_encoding(name: str) -> str:
    """Return the name of an encoding. Raises `UsageError` for an unknown one."""
    try:
        "a,b".encode(name)
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"unknown encoding: {name}",
            "name one of Python's, such as cp1252, cp932 or gb18030",
        ) from error
    return name


def find_encoding(file: IO[bytes], source: str, named: str | None) -> TextEncoding:
    """Return the encoding of a text, which is then read from its beginning.

    It is that of its byte order mark, UTF-8 if all lines are valid, else `named` or a guess.
    Raises `InputUnusable` if only some lines are UTF-8.
    """
    beginning = file.read(4)
    file.seek(0)
    for mark, name in _BYTE_ORDER_MARKS:
        if beginning.startswith(mark):
            return TextEncoding(name)

    scan = _scan_lines(file)
    file.seek(0)
    if scan.has_nul and not named:
        raise InputUnusable(
            f"{source} is not a text file: it has NUL bytes",
            "unpack it, save it as UTF-8, or name a Parquet file .parquet",
        )
    # Valid UTF-8 beyond ASCII is hardly anything else. ASCII bytes may be another encoding, such as
    # UTF-16 or ISO-2022-JP.
    if named and (scan.other_lines or not scan.utf8_lines):
        return TextEncoding(named)
    if not scan.other_lines:
        return TextEncoding("utf-8")

    guess = _guess_encoding(scan.cells)
    # Two characters of a wide encoding may look like one of UTF-8, but hardly in most lines.
    max_utf8_lines = scan.other_lines if guess.name in _WIDE_ENCODINGS else 0
    if scan.utf8_lines > max_utf8_lines:
        raise InputUnusable(
            f"line {scan.first_other_line} of {source} is not UTF-8, but others are",
            "save all of it as UTF-8, or name the encoding of all of it: --encoding NAME",
        )
    return guess


def decode_text(
    data: bytes, source: str, named: str | None
) -> tuple[str, TextEncoding]:
    """Return a text and its encoding, as `find_encoding`, which also raises `InputUnusable`."""
    encoding = find_encoding(io.BytesIO(data), source, named)
    try:
        return data.decode(encoding.name), encoding
    except UnicodeError as error:
        raise wrong_encoding_error(source, encoding.name) from error


def wrong_encoding_error(source: str, encoding: str) -> InputUnusable:
    """Return the error for a text that is not in an encoding."""
    return InputUnusable(
        f"{source} is not text in {encoding}",
        "name its encoding, such as --encoding cp1252",
    )


def decode_names(
    names: Iterable[bytes],
    source: str,
    named: str | None = None,
    *,
    is_zip: bool = False,
) -> dict[bytes, str]:
    """Decode names as UTF-8 if valid, others as `named` or in a guessed encoding.

    Where some names are not UTF-8, short ones that look like it may be two letters of DOS, or one
    character of a wide encoding. Raises `InputUnusable`.
    """
    texts = {}
    for name in dict.fromkeys(names):
        texts[name] = name.decode("utf-8", "surrogateescape")
    others = [
        name for name, text in texts.items() if text.encode("utf-8", "replace") != name
    ]
    if not others:
        return texts

    encoding = TextEncoding(named or "")
    if not named:
        cells: list[bytes] = []
        for name in others:
            cells += _CELL.findall(name)
        encoding = _guess_encoding(
            cells, _ZIP_ENCODINGS if is_zip else _SINGLE_BYTE_ENCODINGS
        )

    if is_zip or named or encoding.name in _WIDE_ENCODINGS:
        # Those whose UTF-8 sequences beyond ASCII all have two bytes.
        others += [
            name
            for name in texts.keys() - others
            if not (name.isascii() or _LONG_UTF8.search(name))
        ]
    try:
        for name in others:
            texts[name] = name.decode(encoding.name)
    except UnicodeError as error:
        raise wrong_encoding_error(f"a name in {source}", encoding.name) from error
    encoding.report(f"a name in {source}")
    return texts


class FolderNames:
    """Names of folders below `root` as text: those of an unpacked zip may be in an old encoding."""

    def __init__(self, root: Path, encoding: str | None):
        self._root = root
        self._encoding = encoding
        self._texts: dict[bytes, str] = {}

    def decode(self, name: str) -> str:
        """Return a name as text. Raises `InputUnusable` if it is not in the named encoding."""
        # Bytes that are not UTF-8 are surrogate escapes, which cannot be encoded.
        with suppress(UnicodeEncodeError):
            name.encode()
            return name
        raw = os.fsencode(name)
        if raw not in self._texts:
            # All names together tell the encoding better than one.
            names = [raw]
            for _, folders, _ in os.walk(self._root):
                names += map(os.fsencode, folders)
            source = os.fsencode(self._root).decode("utf-8", "backslashreplace")
            self._texts = decode_names(names, source, self._encoding)
        return self._texts[raw]


class _LineScan(NamedTuple):
    """Numbers of lines beyond ASCII, and some cells of those that are not UTF-8."""

    has_nul: bool
    utf8_lines: int
    other_lines: int
    first_other_line: int
    cells: list[bytes]


def _scan_lines(file: IO[bytes]) -> _LineScan:
    has_nul = False
    utf8_lines = other_lines = first_other_line = sample_bytes = 0
    cells: dict[bytes, None] = {}  # in the order of the file
    # A line of more than `_MAX_LINE_BYTES` comes in pieces of that length.
    lines = iter(partial(file.readline, _MAX_LINE_BYTES), b"")
    for number, line in enumerate(lines, start=1):
        has_nul = has_nul or b"\0" in line
        if line.isascii():
            continue
        if len(line) == _MAX_LINE_BYTES:
            # A piece may end within a character, so neither it nor what follows is counted:
            # reading the file finds bytes that are not UTF-8.
            break
        try:
            line.decode()
            utf8_lines += 1
        except UnicodeDecodeError:
            other_lines += 1
            first_other_line = first_other_line or number
            if sample_bytes < _SAMPLE_BYTES:
                cells |= dict.fromkeys(_CELL.findall(line))
                sample_bytes += len(line)
    return _LineScan(has_nul, utf8_lines, other_lines, first_other_line, list(cells))


def _guess_encoding(
    cells: list[bytes], single_byte_encodings: tuple[str, ...] = _SINGLE_BYTE_ENCODINGS
) -> TextEncoding:
    import chardet  # most texts are UTF-8

    # Numbered names count once: their digits say nothing about the encoding.
    sample = b"\n".join({_DIGITS.sub(b"", cell): None for cell in cells})
    matches = chardet.detect_all(
        sample,
        ignore_threshold=True,
        prefer_superset=True,
        compat_names=False,
        include_encodings=(*single_byte_encodings, *_WIDE_ENCODINGS),
    )
    # Latin-1 is the last resort, because it has a character for every byte.
    scores = {"latin-1": 0.0}
    for match in matches:
        name = str(match["encoding"])
        with suppress(LookupError, UnicodeDecodeError):
            rating = _rate_text(sample.decode(name), name)
            scores[name] = (match["confidence"] + _MIN_CONFIDENCE) * rating

    best = max(scores, key=lambda name: scores[name])
    example = cells[0].decode(best, "replace").strip()
    return TextEncoding(best, example[:_MAX_EXAMPLE_CHARACTERS])


def _rate_text(text: str, encoding: str) -> float:
    """Return a factor for a text, below 1.0 for what words of its languages do not have."""
    oddities = sum(
        not (character.isascii() or character.isalpha()) for character in text
    )
    # A capital within a word.
    oddities += sum(
        before.islower() and letter.isupper() and not letter.isascii()
        for before, letter in pairwise(text)
    )
    oddities += len(_MIXED_SCRIPTS.findall(text))
    rating: float = _SYMBOL_FACTOR**oddities

    if encoding not in _JAPANESE:
        kana = sum("\u3040" <= character <= "\u30ff" for character in text)
        rating *= _FOREIGN_KANA_FACTOR**kana
    return rating * _FREQUENCIES.get(encoding, 1.0)
