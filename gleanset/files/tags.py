"""Tags of images in text files of the same name, as trainers of image generators read them."""

import re
from contextlib import suppress
from pathlib import Path

from gleanset.errors import InputUnusable
from gleanset.files.encodings import decode_text

TAG_SUFFIXES = (".txt", ".caption")
MAX_TAG_BYTES = 100_000
_OTHER_DATA = re.compile(r"\0|(?:(?<!\S)[-+]?[\d.]+\s+){4}")
"""Four numbers are part of a box, such as a line of YOLO."""


def parse_tags(
    data: bytes, source: str, encoding: str | None = None
) -> tuple[str, ...]:
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
    if _OTHER_DATA.search(text):
        return ()
    parts = (" ".join(part.split()) for part in re.split(r"[,\n]", text))
    return tuple(dict.fromkeys(filter(None, parts)))


def read_tags(image: Path, encoding: str | None = None) -> tuple[str, ...]:
    """Return the tags in the text file of an image; none without one."""
    for suffix in TAG_SUFFIXES:
        path = image.with_suffix(suffix)
        # Without a file there are no tags; a named pipe would never end.
        with suppress(OSError):
            if path.is_file():
                with path.open("rb") as file:
                    data = file.read(MAX_TAG_BYTES + 1)
                if tags := parse_tags(data, str(path), encoding):
                    return tags
    return ()
