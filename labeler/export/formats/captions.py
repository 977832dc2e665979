"""Captions for training image generators: `name.jpg` with `name.txt`, made from a template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Formatter

from gleanset.errors import UsageError
from labeler.export.formats.base import ExportFormat
from labeler.export.item import ExportItem
from labeler.export.rows import write_text

TEMPLATE = "{class}, {tags}"
FIELDS = ("class", "tags", "title", "author", "split")


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


_FIX = f"for example: 'portrait of {TEMPLATE}'; fields: {', '.join(FIELDS)}"


def format_caption(item: ExportItem, template: str) -> str:
    """Return the caption of an image; unknown fields are left out."""
    values = {
        "class": str(item.sample.label),
        "tags": ", ".join(dict.fromkeys([*_origin_tags(item), *item.tags])),
        "title": item.origin.title or "",
        "author": item.origin.author or "",
        "split": item.sample.split or "",
    }
    for name in FIELDS:
        if not values[name]:
            template = re.sub(rf",?\s*\{{{name}\}}", "", template)
    return " ".join(template.format(**values).split()).strip(" ,")


def _origin_tags(item: ExportItem) -> Iterator[str]:
    for origin in item.image.origins:
        yield from origin.tags


def write_captions(folder: Path, items: Sequence[ExportItem], template: str = TEMPLATE) -> None:
    """Write a text file next to each image."""
    for item in items:
        text = format_caption(item, template)
        write_text((folder / item.path).with_suffix(".txt"), f"{text}\n")


CAPTIONS = ExportFormat(
    layout="class folders",
    about="the same with a caption next to each image",
    reading="from pathlib import Path\n\n"
    '{0} = [(file, file.read_text().strip()) for file in Path("{2}").rglob("*.txt")]',
    write=write_captions,
    has_unique_stems=True,
    split_optional=True,
)
