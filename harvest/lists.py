"""Lists of URLs as other programs write them, read as streams: lines, tables, Parquet.

The suffix determines the format: `.csv` and `.tsv` are tables with a header line, `.parquet` is a
table, `.json` and `.jsonl` the output of `gallery-dl -j URL`, everything else is lines.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, starmap
from json import JSONDecoder
from pathlib import Path
from typing import Any, NamedTuple

from gleanset.config import did_you_mean
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.encodings import find_encoding, wrong_encoding_error
from gleanset.files.parquet import list_columns, read_texts
from gleanset.records import Candidate, Origin
from gleanset.source_table import skip_to_header

MAX_LINE_CHARS = 1_000_000
"""Lists with longer lines or cells are rejected."""
_GALLERY_DL_SUFFIXES = (".json", ".jsonl")
# Message types in gallery_dl/extractor/message.py.
_ERROR = -1
_URL = 3
_QUEUE = 6
_POST_KEYS = ("tweet_id", "post_id", "gallery_id", "album_id", "chapter_id", "id")
_AUTHORS = ("author", "artist", "artists", "tags_artist", "creator", "user", "username")
_PAGE_KEYS = (
    "post_url",
    "page_url",
    "permalink",
    "permalink_url",
    "webpage_url",
    "web_url",
)

_URL_BEGINNING = re.compile(r'\s*"?https?://', re.IGNORECASE)
# Columns in other words than those of `Row`.
_SYNONYMS = {"license": "licence", "page_url": "page"}


Columns = Mapping[str, str]
"""Column names by field of `Row`, others than its own; they also match in another case (`URL`)."""


class ListOptions(NamedTuple):
    """Default weak label of a list, its columns, and its encoding if it is not UTF-8."""

    label: str | None = None
    columns: Columns = {}
    encoding: str | None = None


NO_OPTIONS = ListOptions()


class Row(NamedTuple):
    """One row of a list, as written there."""

    url: str
    label: str | None = None
    caption: str | None = None
    licence: str | None = None
    author: str | None = None
    page: str | None = None


def check_columns(columns: Columns) -> dict[str, str]:
    """Return the columns that differ from the default. Raises `UsageError` for unknown fields."""
    for field in columns:
        if field not in Row._fields:
            raise UsageError(
                f"unknown list field: {field}",
                f"{did_you_mean(field, Row._fields)}fields: {', '.join(Row._fields)}",
            )

    return {
        field: name
        for field, name in columns.items()
        if (field, name) != ("url", "url")
    }


def check_file_exists(file: Path) -> Path:
    """Return the file itself. Raises `InputUnusable` if it does not exist."""
    if not file.is_file():
        raise InputUnusable(f"there is no file {file}", "check its name")
    return file


def check_list(file: Path, options: ListOptions) -> None:
    """Check the beginning of a list.

    Raises `InputUnusable` if it does not exist, cannot be read or lacks a column,
    `MissingComponent` without the package that reads it, `UsageError` for columns of a list that
    is not a table.
    """
    check_file_exists(file)
    if file.suffix.lower() not in _GALLERY_DL_SUFFIXES:
        next(read_rows(file, options), None)
    elif options.columns:
        raise UsageError(
            f"{file} is a list of gallery-dl, which has no columns",
            "leave --column out",
        )


def read_list(file: Path, options: ListOptions = NO_OPTIONS) -> Iterator[Candidate]:
    """Yield the candidates of a list, read lazily; raises as `check_list`."""
    if file.suffix.lower() in _GALLERY_DL_SUFFIXES:
        yield from read_gallery_dl(file, options)
        return

    for row in read_rows(file, options):
        origin = Origin(
            "urls",
            row.url,
            url=row.url,
            page_url=row.page,
            hint=row.label or options.label,
            author=row.author,
            licence=row.licence,
            title=row.caption,
        )
        yield Candidate(row.url, origin, referer=row.page)


def read_rows(file: Path, options: ListOptions = NO_OPTIONS) -> Iterator[Row]:
    """Yield the rows of a list, read lazily; raises as `check_list`.

    Rows without a URL are skipped. A row that ends before its URL column has all its text as URL,
    so that it is rejected by name and not lost.
    """
    kind = file.suffix.lower()
    if kind == ".parquet":
        yield from _parquet_rows(file, options)
    elif kind in (".csv", ".tsv"):
        yield from _table_rows(file, options)
    elif options.columns:
        raise UsageError(
            f"{file} is a list of lines, without columns",
            "leave --column out, or rename a table to .csv, .tsv or .parquet",
        )
    else:
        yield from starmap(Row, read_lines(file, options.encoding))


def read_lines(file: Path, encoding: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield the text of each line, and the weak label after its tab, if any.

    `#` begins a comment. Raises `InputUnusable` for a file that is not text.
    """
    yield from _split(_lines(file, encoding))


def _split(lines: Iterator[str]) -> Iterator[tuple[str, str | None]]:
    for line in lines:
        text, _, label = line.strip().partition("\t")
        # Lines of `gallery-dl -G` that begin with a bar are further addresses of the image in the
        # line before.
        if text and not text.startswith(("#", "| ")):
            yield text.strip(), label.strip() or None


def _parquet_rows(file: Path, options: ListOptions) -> Iterator[Row]:
    schema = list_columns(file)
    columns_found = _find_columns(
        file,
        options.columns,
        [name for name, _ in schema],
    )
    column_names = {}
    for field, index in columns_found.items():
        name, is_single = schema[index]
        if is_single:
            column_names[field] = name
        # Needed columns must hold single values; other columns of lists are ignored.
        elif field in ("url", *options.columns):
            raise InputUnusable(
                f"column {name!r} of {file} holds lists, not single values"
            )

    names = sorted(set(column_names.values()))
    indices = {field: names.index(name) for field, name in column_names.items()}
    for number, cells in enumerate(read_texts(file, names, options.encoding), start=1):
        if any(cell is not None and len(cell) >= MAX_LINE_CHARS for cell in cells):
            raise _too_long(file, f"a cell of row {number}")
        row = _make_row(indices, cells)
        if row:
            yield row


def _table_rows(file: Path, options: ListOptions) -> Iterator[Row]:
    lines, delimiter = skip_to_header(_lines(file, options.encoding))
    first = next(lines, "")
    lines = chain([first], lines)
    is_csv = file.suffix.lower() == ".csv"
    # Without a header it is a list of URLs, as a text file.
    if not options.columns and _URL_BEGINNING.match(first):
        if is_csv and len(next(csv.reader([first]))) > 1:
            raise InputUnusable(
                f"the first line of {file} does not name its columns",
                "write a line such as url,caption before it",
            )
        unquoted = (line.replace('"', "") for line in lines)
        yield from starmap(Row, _split(unquoted))
        return

    # Tabs come without quotes (IANA, text/tab-separated-values): a quote may begin a caption.
    table = csv.reader(
        lines,
        delimiter=delimiter if is_csv else "\t",
        quoting=csv.QUOTE_MINIMAL if is_csv else csv.QUOTE_NONE,
    )
    rows = _read_cells(file, table)
    names = [name.strip() for name in next(rows, [])]
    if not names:
        return

    indices = _find_columns(file, options.columns, names)
    for cells in rows:
        row = _make_row(indices, cells)
        if row:
            yield row


def _read_cells(file: Path, rows: Any) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_LINE_CHARS)
    try:
        yield from rows
    except csv.Error as error:
        raise InputUnusable(
            f"line {rows.line_num} of {file}: {error}",
            "fix it, or look for a missing closing quote",
        ) from error


def _make_row(indices: Mapping[str, int], cells: Sequence[str | None]) -> Row | None:
    """Return the fields of a row by the indices of their columns; None for an empty row."""
    # Too few cells: the text is rejected as a bad URL, and so reported.
    if indices["url"] >= len(cells):
        text = " ".join(cell for cell in cells if cell).strip()
        return Row(text) if text else None

    fields = {
        field: (cells[index] or "").strip() or None
        for field, index in indices.items()
        if index < len(cells)
    }
    url = fields.pop("url")
    return Row(url, **fields) if url else None


def _find_columns(file: Path, columns: Columns, names: Sequence[str]) -> dict[str, int]:
    """Return the index of the column of each field; of those not in `columns`, if it is there."""
    required = {"url": "url", **columns}
    indices = {}
    for field in Row._fields:
        column = required.get(field, field)
        matches = _match_names(names, column)
        if len(matches) == 1:
            indices[field] = matches[0]
        elif field in required:
            header = ", ".join(name[:80] for name in names[:50])
            problem = "several columns" if matches else "no column"
            guess = did_you_mean(column, list(names), "did you mean {}? ")
            raise InputUnusable(
                f"{file} has {problem} {column!r}; columns: {header}",
                f"{guess}name another one: --column {field}=NAME",
            )
    return indices


def _match_names(names: Sequence[str], column: str) -> list[int]:
    """Return the indices of a column: exact ones, else those in another case or with a synonym."""
    exact = [index for index, name in enumerate(names) if name == column]
    folded = column.casefold()
    return exact or [
        index
        for index, name in enumerate(map(str.casefold, names))
        if folded in (name, _SYNONYMS.get(name))
    ]


def _lines(file: Path, encoding: str | None) -> Iterator[str]:
    with open_list(file, encoding) as stream:
        number = 0
        while line := stream.readline(MAX_LINE_CHARS):
            number += 1
            if len(line) == MAX_LINE_CHARS:
                raise _too_long(file, f"line {number}")
            yield line


def _too_long(file: Path, part: str) -> InputUnusable:
    return InputUnusable(
        f"{part} of {file} has more than {MAX_LINE_CHARS:,} characters",
        "check that it is a list",
    )


@contextmanager
def open_list(file: Path, encoding: str | None) -> Iterator[io.TextIOWrapper]:
    """Open the text of a list; `encoding` is used if it is not UTF-8."""
    name = encoding or "utf-8"
    try:
        with file.open("rb") as raw:
            text_encoding = find_encoding(raw, str(file), encoding)
            name = text_encoding.name
            text_encoding.report(str(file))
            yield io.TextIOWrapper(raw, encoding=name)
    except UnicodeError as error:
        raise wrong_encoding_error(str(file), name) from error
    except OSError as error:
        raise InputUnusable(
            f"cannot read {file}: {error.strerror}", "chmod u+r it"
        ) from error


def read_gallery_dl(
    file: Path, options: ListOptions = NO_OPTIONS
) -> Iterator[Candidate]:
    """Yield the images that gallery-dl found.

    Raises `InputUnusable` for other JSON, and at the end if entries are not images.
    """
    pages = 0
    try:
        for kind, *fields in _messages(file, options.encoding):
            if kind == _ERROR:
                text = (
                    f"gallery-dl stopped: {fields[0]['error']}: {fields[0]['message']}"
                )
                raise InputUnusable(text, "run it again; images found so far are kept")
            # In other JSON the kind may be a text: `int` raises `ValueError` for it.
            if int(kind) == _QUEUE:
                pages += 1
            elif kind == _URL:
                yield _candidate(
                    str(fields[0]),
                    dict(fields[1]),
                    options.label,
                )
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise InputUnusable(
            f"{file} is not the JSON of gallery-dl", "gallery-dl -j URL > FILE.json"
        ) from error

    if pages:
        text = f"{pages} entries of {file} are pages and not images"
        raise InputUnusable(text, "let gallery-dl follow them: gallery-dl -J URL")


def _messages(file: Path, encoding: str | None) -> Iterator[Any]:
    """Yield messages from arrays of them, or from lines (gallery-dl's option `output.jsonl`)."""
    with open_list(file, encoding) as stream:
        text = stream.read().strip()
    position = 0
    while position < len(text):
        array, position = JSONDecoder().raw_decode(text, position)
        # The last item of a message is its metadata (an object); that of an array of messages is
        # a message (an array).
        is_message = array != [] and isinstance(array[-1], dict)
        if is_message:
            yield array
        else:
            yield from array
        while text[position : position + 1].isspace():
            position += 1


def _candidate(url: str, metadata: Mapping[str, Any], label: str | None) -> Candidate:
    number = next(filter(None, map(metadata.get, _POST_KEYS)), None)
    texts = (str(metadata.get(name)) for name in _PAGE_KEYS)
    page = next((text for text in texts if text.startswith("http")), None)
    if not page and number and metadata.get("category") == "pixiv":
        page = f"https://www.pixiv.net/artworks/{number}"

    origin = Origin(
        source="urls",
        key=url,
        url=url,
        page_url=page,
        post=f"{metadata.get('category', 'post')}:{number}" if number else None,
        hint=label,
        author=_find_text(metadata, _AUTHORS),
        licence=_find_text(
            metadata, ("license", "licence", "license_name", "license_url")
        ),
        title=_find_text(metadata, ("title",)),
        tags=tuple(dict.fromkeys(_list_words(metadata.get("tags")))),
        rating=_find_text(metadata, ("rating",)),
    )
    # Sent by gallery-dl itself; in the JSON with its option `output.private`.
    headers = metadata.get("_http_headers")
    referer = headers.get("Referer") if isinstance(headers, Mapping) else None
    return Candidate(
        url,
        origin,
        width=_find_side(metadata, "width"),
        height=_find_side(metadata, "height"),
        referer=referer or page,
    )


def _find_side(metadata: Mapping[str, Any], name: str) -> int | None:
    side = str(metadata.get(name) or metadata.get(f"image_{name}"))
    return int(side) if side.isdecimal() else None


def _find_text(metadata: Mapping[str, Any], names: Iterable[str]) -> str | None:
    for name in names:
        value = metadata.get(name)
        text = value if isinstance(value, str) else ", ".join(_list_words(value))
        if text.strip():
            return text.strip()
    return None


def _list_words(value: Any) -> list[str]:
    """Return the names in a text, a list, a dictionary with a name, or a dictionary of lists."""
    if isinstance(value, str):
        parts = value.split(",") if "," in value else value.split()
        return [part.strip() for part in parts if part.strip()]

    words: list[str] = []
    if isinstance(value, Mapping):
        for name in ("name", "nick", "title"):
            if isinstance(value.get(name), str):
                return [value[name]]
        for part in value.values():
            words += _list_words(part)
    elif isinstance(value, list):
        for part in value:
            # A tag in a list may have commas and spaces.
            words += [part] if isinstance(part, str) else _list_words(part)
    return list(filter(None, words))
