"""Captions, as those who train generators of pictures have them: `picture.jpg`, `picture.txt`.

The text of a picture is made of a template. Cut faces lie in class folders; of whole pictures one
text names all who are in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, groupby, zip_longest
from pathlib import Path
from string import Formatter

from gleanset.errors import UsageError
from gleanset.files.store import sha256_of
from labeler.export.formats.base import ExportFormat
from labeler.export.item import ExportItem
from labeler.export.rows import write_text

TEMPLATE = "{class}, {tags}"
CLASS = "{class}"
FIELDS = ("class", "tags", "title", "author", "split")
_VALUE = "\0"
"""Stands for a value while commas are removed."""
_EMPTY = re.compile(r"(?:,\s*)+(?=,|$)|^(?:\s*,)+")


def checked_template(text: str) -> str:
    """Return a template as it was written. Raises `UsageError` for what is none."""
    try:
        named = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise UsageError(f"the caption {text!r} cannot be read: {error}", _FIX) from error
    if (unknown := named - {*FIELDS}) or "\n" in text:
        what = f"has no {{{min(unknown)}}}" if unknown else "has more than one line"
        raise UsageError(f"the caption {text!r} {what}", _FIX)
    return text


_FIX = f"write for instance 'portrait of {CLASS}, {{tags}}'; there are: {', '.join(FIELDS)}"


def caption(items: Sequence[ExportItem], template: str) -> str:
    """Return the caption of one image, with the samples in it; what is not known is left out."""
    first = items[0]
    values = {
        "class": ", ".join(_distinct(str(item.sample.label) for item in items)),
        "tags": ", ".join(_distinct(tag for o in first.image.origins for tag in o.tags)),
        "title": first.origin.title or "",
        "author": first.origin.author or "",
        "split": first.sample.split or "",
    }
    # Commas are removed around missing values, never inside of one.
    frame, texts = "", list[str]()
    for text, name, *_ in Formatter().parse(template):
        frame += text
        if name and (value := " ".join(values[name].split())):
            frame += _VALUE
            texts.append(value)
    frame = _EMPTY.sub("", " ".join(frame.split())).strip(" ,")
    return "".join(chain(*zip_longest(frame.split(_VALUE), texts, fillvalue="")))


def _distinct(words: Iterable[str]) -> list[str]:
    return [*dict.fromkeys(words)]


def write_captions(folder: Path, items: Sequence[ExportItem], template: str = TEMPLATE) -> None:
    """Captions: a text beside each picture."""
    for path, some in groupby(sorted(items, key=lambda item: item.path), lambda item: item.path):
        text = caption(list(some), template)
        write_text(caption_file(folder / path), f"{text}\n")


def caption_file(image: Path) -> Path:
    """Return where the caption of an image is."""
    return image.with_suffix(".txt")


def caption_digest(text: str) -> str:
    """Return what the marker keeps of a caption, to know whether it was edited."""
    return sha256_of(text.strip().encode())[:16]


def caption_class(text: str, label: str | None, classes: Iterable[str], template: str) -> str:
    """Return the class that an edited caption begins with, where its template does.

    `label` is the class that it had. A class name may have commas in it: those in `classes` are
    recognised, anything else ends at the text that follows in the template, or at a comma.
    """
    after = next((t for t, *_ in Formatter().parse(template.removeprefix(CLASS))), "")
    ends = (after, ",") if after.strip(", ") == after.strip() else (",",)
    known = [
        name
        for name in classes
        if text == name or text.startswith(tuple(f"{name}{end}" for end in ends if end))
    ]
    if label in known:
        return str(label)
    first = text.partition(after if after.strip(" ,") else ",")[0].partition(",")[0].strip()
    return max(known, key=len, default=first)


_READING = (
    "from pathlib import Path\n\n"
    '{0} = [(file, file.read_text().strip()) for file in Path("%s{2}").rglob("*.txt")]'
)
CAPTIONS = ExportFormat(
    pictures="class folders",
    about="the same with a text beside each picture",
    reading=_READING % "",
    write=write_captions,
    names_by_stem=True,
    may_have_no_split=True,
)
CAPTIONS_WHOLE = replace(
    CAPTIONS,
    pictures="whole",
    about="whole pictures with texts that name all who are in them",
    reading=_READING % "images/",
)
