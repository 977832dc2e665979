"""Lists of addresses as other programs write them, read as streams: lines, tables, Parquet.

The end of a name says what is in a file: `.csv` and `.tsv` are tables whose first line names
their columns, `.parquet` is one, all else is lines. `.gz` behind it says that it is compressed.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from gleanset.config import did_you_mean
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.parquet import read_texts, single_columns

LONGEST = 1_000_000
"""No line and no cell of a list has so many characters: what is longer is no list."""

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_ADDRESS = re.compile(r"\s*https?://", re.IGNORECASE)


Columns = Mapping[str, str]
"""The names of the columns that say what a `Row` has; they are also found in other case (`URL`)."""
PLAIN: Columns = {}


class Row(NamedTuple):
    """What a list says of one picture, as it stands there."""

    url: str
    label: str | None = None
    caption: str | None = None
    licence: str | None = None
    author: str | None = None
    page: str | None = None


def check_columns(columns: Columns) -> dict[str, str]:
    """Return the columns without what goes without saying. Raises `UsageError` for others."""
    for what in columns:
        if what not in Row._fields:
            raise UsageError(
                f"a list has no column that says {what!r}",
                f"{did_you_mean(what, Row._fields)}there are: {', '.join(Row._fields)}",
            )
    return {what: name for what, name in columns.items() if (what, name) != ("url", "url")}


def check_file_exists(file: Path) -> Path:
    """Return the file itself. Raises `InputUnusable` where there is none."""
    if not file.is_file():
        raise InputUnusable(f"there is no file {file}", "check its name")
    return file


def check_list(file: Path, columns: Columns = PLAIN) -> None:
    """Look at the beginning of a list.

    Raises `InputUnusable` where it is not there, cannot be read or lacks a column,
    `MissingComponent` without what reads it, `UsageError` for columns of a list of lines.
    """
    check_file_exists(file)
    next(read_rows(file, columns), None)


def read_rows(file: Path, columns: Columns = PLAIN) -> Iterator[Row]:
    """Yield the rows of a list, read lazily; raises as `check_list`.

    Rows without an address are passed over. A row of a table that ends before its address is
    one with all its text for an address: it is rejected by name, and not lost.
    """
    kind = list_suffix(file)
    if kind == ".parquet":
        yield from _parquet_rows(file, columns)
    elif kind in _DIALECTS:
        yield from _table_rows(file, columns, kind)
    elif columns != PLAIN:
        raise UsageError(
            f"{file} is a list of lines, which has no columns",
            "leave --column out, or name it .csv, .tsv or .parquet if it is a table",
        )
    else:
        yield from (Row(url, label) for url, label in read_lines(file))


def read_lines(file: Path) -> Iterator[tuple[str, str | None]]:
    """Yield what stands on each line, with what stands behind its tab.

    `#` begins a comment. Raises `InputUnusable` for what cannot be read as lines of text.
    """
    yield from _split(_lines(file))


def list_suffix(file: Path) -> str:
    """Return what the end of a list's name says of it, `.gz` left out."""
    return Path(file.name.lower().removesuffix(".gz")).suffix


def _split(lines: Iterator[str]) -> Iterator[tuple[str, str | None]]:
    for line in lines:
        text, _, label = line.strip().partition("\t")
        if text and not text.startswith("#"):
            yield text.strip(), label.strip() or None


def _parquet_rows(file: Path, columns: Columns) -> Iterator[Row]:
    there = single_columns(file)
    found = _found(file, columns, [name for name, _ in there])
    if lists := [there[index][0] for index in found.values() if not there[index][1]]:
        raise InputUnusable(f"column {lists[0]!r} of {file} holds no single values")
    wanted = sorted({there[index][0] for index in found.values()})
    place = {what: wanted.index(there[index][0]) for what, index in found.items()}
    for number, cells in enumerate(read_texts(file, wanted), start=1):
        if any(cell is not None and len(cell) >= LONGEST for cell in cells):
            raise _too_long(file, f"a cell of row {number}")
        if row := _row(place, cells):
            yield row


class _Csv(csv.excel):
    """Commas, and quotes around a cell that has some."""


class _Tsv(csv.excel_tab):
    """Tabs, and no quotes (IANA, text/tab-separated-values): one may begin a caption."""

    quoting = csv.QUOTE_NONE


_DIALECTS: dict[str, type[csv.Dialect]] = {".csv": _Csv, ".tsv": _Tsv}


def _table_rows(file: Path, columns: Columns, kind: str) -> Iterator[Row]:
    lines = _lines(file)
    first = next(lines, "")
    if columns == PLAIN and _ADDRESS.match(first):
        if kind == ".csv" and len(next(csv.reader([first]))) > 1:
            raise InputUnusable(
                f"the first line of {file} does not name its columns",
                "write a line such as url,caption before it",
            )
        yield from (Row(url, label) for url, label in _split(chain([first], lines)))
        return
    rows = _cells(file, chain([first], lines), kind)
    names = [name.strip() for name in next(rows, [])]
    if not any(names):
        return
    place = _found(file, columns, names)
    for cells in rows:
        if row := _row(place, cells):
            yield row


def _cells(file: Path, lines: Iterator[str], kind: str) -> Iterator[list[str]]:
    rows = csv.reader(lines, _DIALECTS[kind])
    csv.field_size_limit(LONGEST)
    try:
        yield from rows
    except csv.Error as error:
        raise InputUnusable(
            f"line {rows.line_num} of {file}: {error}", "fix it, or look for a quote never closed"
        ) from error


def _row(place: Mapping[str, int], cells: Sequence[str | None]) -> Row | None:
    if place["url"] >= len(cells):
        text = " ".join(cell for cell in cells if cell).strip()
        return Row(text) if text else None
    told = {
        what: (cells[index] or "").strip() or None
        for what, index in place.items()
        if index < len(cells)
    }
    return Row(url, **told) if (url := told.pop("url")) else None


def _found(file: Path, columns: Columns, names: Sequence[str]) -> dict[str, int]:
    wanted = {"url": "url", **columns}
    return {what: _index(file, what, name, names) for what, name in wanted.items()}


def _index(file: Path, what: str, wanted: str, names: Sequence[str]) -> int:
    same = [index for index, name in enumerate(names) if name == wanted] or [
        index for index, name in enumerate(names) if name.casefold() == wanted.casefold()
    ]
    if len(same) == 1:
        return same[0]
    there = ", ".join(name[:80] for name in names[:50])
    if same:
        raise InputUnusable(f"{file} has several columns {wanted!r}; there are: {there}")
    guess = did_you_mean(wanted, list(names), "did you mean {}? ")
    raise InputUnusable(
        f"{file} has no column {wanted!r}; there are: {there}",
        f"{guess}name another one: --column {what}=NAME",
    )


def _lines(file: Path) -> Iterator[str]:
    with open_list(file) as stream:
        number = 0
        while line := stream.readline(LONGEST):
            number += 1
            if len(line) == LONGEST:
                raise _too_long(file, f"line {number}")
            yield line


def _too_long(file: Path, what: str) -> InputUnusable:
    return InputUnusable(
        f"{what} of {file} has more than {LONGEST:,} characters", "check that it is a list"
    )


@contextmanager
def open_list(file: Path) -> Iterator[io.TextIOWrapper]:
    """The text of a list, uncompressed as it is read."""
    try:
        with file.open("rb") as raw:
            stream = _uncompressed(file, raw)
            if b"\0" in stream.peek(1):
                raise InputUnusable(f"{file} is no text: it holds NUL bytes", "save it as UTF-8")
            # Some Windows programs begin a file with a mark; `utf-8-sig` reads over it.
            yield io.TextIOWrapper(stream, encoding="utf-8-sig", errors="backslashreplace")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputUnusable(
            f"{file} is damaged or cut off: {error}", "fetch it again; what was read is kept"
        ) from error
    except OSError as error:
        raise InputUnusable(f"cannot read {file}: {error.strerror}", "chmod u+r it") from error


def _uncompressed(file: Path, raw: io.BufferedReader) -> io.BufferedReader | gzip.GzipFile:
    """Return what is in a list, which must be what its name says."""
    head = raw.peek(len(_PARQUET))
    if file.suffix.lower() == ".gz":
        if not head.startswith(_GZIP):
            raise InputUnusable(f"{file} is not compressed by gzip", "name it without .gz")
        return gzip.GzipFile(fileobj=raw)
    for magic, ending in ((_GZIP, ".gz"), (_PARQUET, ".parquet")):
        if head.startswith(magic):
            raise InputUnusable(
                f"{file} is no text, but what {ending} stands for", f"name it {file.name}{ending}"
            )
    return raw
