"""Tags and captions of images, as trainers of image generators read them.

They are in a text of the same name as the image, or in a `metadata.jsonl` (diffusers, kohya).
"""

import json
import re
from collections.abc import Iterable, Iterator

from gleanset.errors import InputUnusable
from gleanset.files.encodings import decode_text

Tags = tuple[str, ...]
TAG_SUFFIXES = (".txt", ".caption")
MAX_TAG_BYTES = 100_000
_OTHER_DATA = re.compile(r"\0|(?:(?<!\S)[-+]?[\d.]+\s+){4}")
"""Four numbers are part of a box, such as a line of YOLO."""
_TAG_COLUMNS = ("text", "caption", "tags")


def parse_tags(data: bytes, source: str, encoding: str | None) -> Tags:
    """Return the parts of a text between commas and line ends; none of other data.

    A sentence with commas is restored when its parts are joined. `encoding` is that of texts that
    are not UTF-8, None to guess and report it.
    """
    if len(data) > MAX_TAG_BYTES:
        return ()
    try:
        text, guess = decode_text(data, source, encoding)
    except InputUnusable:  # other data
        return ()

    guess.report(source)
    return split_tags(text)


def split_tags(text: str) -> Tags:
    """Return the parts of a text between commas and line ends; none of other data."""
    if _OTHER_DATA.search(text):
        return ()
    parts = (" ".join(part.split()) for part in re.split(r"[,\n]", text))
    return tuple(dict.fromkeys(filter(None, parts)))


def parse_tag_rows(lines: Iterable[str]) -> Iterator[tuple[str, Tags]]:
    """Yield the file name and the tags of each row of a `metadata.jsonl` that has both.

    A line that is not JSON is yielded as a name without tags.
    """
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            if line.strip():
                yield f"line {number} is not JSON", ()
            continue
        # A table of labels or boxes has no tags.
        if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
            continue

        values: list[object] = []
        for column in _TAG_COLUMNS:
            value = row.get(column)
            values += value if isinstance(value, list) else [value]
        texts = [value for value in values if isinstance(value, str)]
        if tags := split_tags(", ".join(texts)):
            yield row["file_name"], tags
