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
from pathlib import Path
from typing import IO, NamedTuple

from gleanset.errors import InputUnusable, UsageError
from gleanset.files.legacy_names import guess_name_encoding, guess_zip_encoding
from gleanset.work import progress

# The marks of UTF-16 begin those of UTF-32.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE_ENCODINGS = ("cp932", "gb18030", "cp949", "big5hkscs", "euc_jis_2004", "euc_jp")
# What Windows calls ANSI, and what Unix used before UTF-8. DOS code pages occur in zips only.
_CANDIDATES = (
    *("cp932", "gb18030", "cp949", "big5hkscs", "euc_jis_2004"),
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "koi8-r"),
)
# In short texts chardet takes é and ñ for letters of other languages as easily.
_WESTERN, _WESTERN_WEIGHT = "cp1252", 2.0
_SAMPLE_BYTES = 50_000
_MAX_LINE_BYTES = 4_000_000
# A cell with a letter beyond ASCII. No encoding uses these separators in its characters.
_CELL = re.compile(rb'[^\s,;"/:]*[\x80-\xff][^\n\r\t,;"/:]*')
_MAX_EXAMPLE_CHARACTERS = 40
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
            f"unknown encoding: {name}", "name one of Python's, such as cp1252, cp932 or gb18030"
        ) from error
    return name


def find_encoding(file: IO[bytes], source: str, named: str | None = None) -> TextEncoding:
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
    if scan.has_nul and named is None:
        raise InputUnusable(
            f"{source} is not a text file: it has NUL bytes",
            "unpack it, save it as UTF-8, or name a Parquet file .parquet",
        )
    if named is not None and (scan.other_lines or not scan.utf8_lines):
        return TextEncoding(named)
    if not scan.other_lines:
        return TextEncoding("utf-8")
    guess = _guess_encoding(scan.cells)
    # Two characters of a wide encoding may look like one of UTF-8, but hardly in most lines.
    is_wide = guess.name in _WIDE_ENCODINGS
    if scan.utf8_lines > (scan.other_lines if is_wide else 0):
        raise InputUnusable(
            f"line {scan.first_other_line} of {source} is not UTF-8, but others are",
            "save all of it as UTF-8, or name the encoding of all of it: --encoding NAME",
        )
    return guess


def decode_text(data: bytes, source: str, named: str | None = None) -> tuple[str, TextEncoding]:
    """Return a text and its encoding, as `find_encoding`, which also raises `InputUnusable`."""
    encoding = find_encoding(io.BytesIO(data), source, named)
    try:
        return data.decode(encoding.name), encoding
    except UnicodeError as error:
        raise wrong_encoding_error(source, encoding.name) from error


def wrong_encoding_error(source: str, encoding: str) -> InputUnusable:
    """Return the error for a text that is not in an encoding."""
    return InputUnusable(
        f"{source} is not text in {encoding}", "name its encoding, such as --encoding cp1252"
    )


def decode_names(
    names: Iterable[bytes], source: str, named: str | None = None, *, is_zip: bool = False
) -> dict[bytes, str]:
    """Decode names as UTF-8 if valid, others as `named` or in a guessed encoding.

    Where some names are not UTF-8, others that look like it may be two letters of DOS, or one of a
    wide encoding. Raises `InputUnusable`.
    """
    texts: dict[bytes, str] = {}
    for name in dict.fromkeys(names):
        texts[name] = name.decode("utf-8", "surrogateescape")
    others = [name for name, text in texts.items() if text.encode("utf-8", "replace") != name]
    # Of sequences of two bytes only.
    short = [name for name in texts.keys() - others if _has_only_short_sequences(name)]
    if not (others or (is_zip and short)):
        return texts
    encoding = _choose_encoding(others, short, named, is_zip=is_zip)
    if is_zip or named or encoding.name in _WIDE_ENCODINGS:
        others += short
    try:
        texts |= {name: name.decode(encoding.name) for name in others}
    except UnicodeError as error:
        raise wrong_encoding_error(f"a name in {source}", encoding.name) from error
    if encoding.name != "utf-8":
        encoding.report(f"a name in {source}")
    return texts


def _choose_encoding(
    others: list[bytes], short: list[bytes], named: str | None, *, is_zip: bool
) -> TextEncoding:
    if named is not None:
        return TextEncoding(named)
    if is_zip:
        names = others + short
        return _with_example(guess_zip_encoding(b"\n".join(names)), names[0])
    name = guess_name_encoding(b"\n".join(others))
    if name in _WIDE_ENCODINGS:
        return _with_example(name, others[0])
    return _guess_encoding([cell for name in others for cell in _CELL.findall(name)])


def _has_only_short_sequences(name: bytes) -> bool:
    return not (name.isascii() or _LONG_UTF8.search(name))


class FolderNames:
    """Names of folders below `root` as text: those of an unpacked zip may be in an old encoding."""

    def __init__(self, root: Path, encoding: str | None) -> None:
        self._root = root
        self._encoding = encoding
        self._texts: dict[bytes, str] = {}

    def decode(self, name: str) -> str:
        """Return a name as text. Raises `InputUnusable` if it is not in the named encoding."""
        with suppress(UnicodeEncodeError):
            return name.encode().decode()
        raw = os.fsencode(name)
        if raw not in self._texts:
            # All names together tell the encoding better than one.
            folders = (folder for _, names, _ in os.walk(self._root) for folder in names)
            source = os.fsencode(self._root).decode("utf-8", "backslashreplace")
            self._texts = decode_names([raw, *map(os.fsencode, folders)], source, self._encoding)
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
    cells: dict[bytes, None] = {}
    for number, line in enumerate(iter(partial(file.readline, _MAX_LINE_BYTES), b""), start=1):
        has_nul = has_nul or b"\0" in line
        if line.isascii():
            continue
        if len(line) == _MAX_LINE_BYTES:
            # It may end within a character; whether all of it is UTF-8 is seen when it is read.
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


def _guess_encoding(cells: list[bytes]) -> TextEncoding:
    import chardet  # most texts are UTF-8

    sample = b"\n".join(cells)
    matches = chardet.detect_all(
        sample,
        ignore_threshold=True,
        prefer_superset=True,
        compat_names=False,
        include_encodings=_CANDIDATES,
    )
    confidences = {str(match["encoding"]): match["confidence"] for match in matches}
    if _WESTERN in confidences:
        confidences[_WESTERN] *= _WESTERN_WEIGHT
    for name in sorted(confidences, key=lambda name: -confidences[name]):
        with suppress(LookupError, UnicodeDecodeError):
            sample.decode(name)
            return _with_example(name, cells[0])
    return _with_example("latin-1", cells[0])


def _with_example(name: str, text: bytes) -> TextEncoding:
    return TextEncoding(name, text.decode(name, "replace").strip()[:_MAX_EXAMPLE_CHARACTERS])
