"""Captions for training image generators: `name.jpg` with `name.txt`.

The text is made from a template. Crops are in class folders; the caption of a whole image names all
classes in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, groupby, zip_longest
from pathlib import Path
from string import Formatter

from gleanset.errors import UsageError
from gleanset.files.store import hash_bytes
from labeler.export.formats.base import ExportFormat
from labeler.export.item import ExportItem
from labeler.export.rows import write_text

TEMPLATE = "{class}, {tags}"
CLASS = "{class}"
FIELDS = ("class", "tags", "title", "author", "split")
_VALUE = "\0"
"""Placeholder for a value while commas are removed."""
_EMPTY = re.compile(r"(?:,\s*)+(?=,|$)|^(?:\s*,)+")


def check_template(text: str) -> str:
    """Return a caption template. Raises `UsageError` if it is not valid."""
    try:
        fields = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise UsageError(f"the caption {text!r} cannot be read: {error}", _FIX) from error
    if unknown := fields - {*FIELDS}:
        raise UsageError(f"a caption has no field {{{min(unknown)}}}: {text!r}", _FIX)
    if "\n" in text:
        raise UsageError(f"a caption has only one line: {text!r}", _FIX)
    return text


_FIX = f"for example: 'portrait of {CLASS}, {{tags}}'; fields: {', '.join(FIELDS)}"


def format_caption(items: Sequence[ExportItem], template: str) -> str:
    """Return the caption of one image, given its samples; unknown fields are left out."""
    first = items[0]
    values = {
        "class": ", ".join(dict.fromkeys(str(item.sample.label) for item in items)),
        "tags": ", ".join(dict.fromkeys(tag for o in first.image.origins for tag in o.tags)),
        "title": first.origin.title or "",
        "author": first.origin.author or "",
        "split": first.sample.split or "",
    }
    # Commas are removed around missing values, but not inside of values.
    frame, texts = "", list[str]()
    for text, name, *_ in Formatter().parse(template):
        frame += text
        if name and (value := " ".join(values[name].split())):
            frame += _VALUE
            texts.append(value)
    frame = _EMPTY.sub("", " ".join(frame.split())).strip(" ,")
    return "".join(chain(*zip_longest(frame.split(_VALUE), texts, fillvalue="")))


def write_captions(folder: Path, items: Sequence[ExportItem], template: str = TEMPLATE) -> None:
    """Write a text file next to each image."""
    ordered = sorted(items, key=lambda item: item.path)
    for path, members in groupby(ordered, lambda item: item.path):
        text = format_caption(list(members), template)
        write_text(caption_path(folder / path), f"{text}\n")


def caption_path(image: Path) -> Path:
    """Return the path of the caption of an image."""
    return image.with_suffix(".txt")


def caption_digest(text: str) -> str:
    """Return the hash of a caption, which the marker keeps to detect edits."""
    return hash_bytes(text.strip().encode())[:16]


def parse_caption_class(text: str, label: str | None, classes: Iterable[str], template: str) -> str:
    """Return the class at the start of an edited caption, given a template that starts with it.

    `label` is its previous class. Class names in `classes` may contain commas; a new name ends at
    the next text of the template, or at a comma.
    """
    after = next((t for t, *_ in Formatter().parse(template.removeprefix(CLASS))), "")
    ends = (after, ",") if after.strip(", ") == after.strip() else (",",)
    candidates = [
        name
        for name in classes
        if text == name or text.startswith(tuple(f"{name}{end}" for end in ends if end))
    ]
    if label in candidates:
        return str(label)
    first = text.partition(after if after.strip(" ,") else ",")[0].partition(",")[0].strip()
    return max(candidates, key=len, default=first)


_READING = (
    "from pathlib import Path\n\n"
    '{0} = [(file, file.read_text().strip()) for file in Path("%s{2}").rglob("*.txt")]'
)
CAPTIONS = ExportFormat(
    layout="class folders",
    about="the same with a caption next to each image",
    reading=_READING % "",
    write=write_captions,
    has_unique_stems=True,
    split_optional=True,
)
CAPTIONS_WHOLE = replace(
    CAPTIONS,
    layout="whole",
    about="whole images with captions that name all classes in them",
    reading=_READING % "images/",
)
