"""Writing a gallery as one self-contained HTML file.

The page loads no other files. Its content security policy allows only its own script and style, by
their hashes, so that names of classes and titles cannot inject code.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from PIL import Image

from gleanset import Dataset
from gleanset.credit import clean_page_url
from gleanset.db.duplicates import ImageHashes, Pairs
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.html.fill import encode_page, get_templates
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from labeler.gallery.request import GalleryRequest
from labeler.gallery.selection import (
    GalleryEntry,
    GallerySelection,
    group_samples,
    select_samples,
)
from labeler.quality.assessment import assess_quality
from labeler.sample_pixels import SampleFile, read_pixels, sample_file

SCRIPT_PARTS = ("words", "dom", "facts", "faces", "look", "main")
"""Parts of the script in `js/`, in order; they are concatenated inside one function."""
COLUMNS = 20
IMAGES_PER_SHEET = COLUMNS * COLUMNS
"""Thumbnails of 96 pixels make sheets of 1920 x 1920 pixels, which phones can show."""

HTML_SUFFIXES = (".html", ".htm")
GENERATOR_TAG = b'<meta name="generator" content="Gleanset gallery">'
HEAD_BYTES = 4096
THUMBNAIL_SIDE = 96
"""Pixels of the longer side of a thumbnail."""
WEBP_QUALITY = 72

Facts = dict[str, Any]


def write_gallery(
    dataset: Dataset, out: Path, request: GalleryRequest, progress: Progress
) -> dict[str, Any]:
    """Write a gallery to `out` atomically; return the counts.

    New samples are measured first. Raises as `group_samples`, `UsageError` if the name does not end
    in .html, `InputUnusable` if `out` is a file other than a gallery, and `NotWritable` or
    `DiskFull`.
    """
    _check_target(out)
    sections = group_samples(dataset, request)
    assess_quality(dataset, progress=progress)
    selection = select_samples(dataset, sections, request)
    sheets = list(_make_sheets(dataset, selection.entries, progress))
    sizes = [size for sheet in sheets for size in sheet.sizes]
    content = _page_data(dataset, selection, sizes) | {"clusters": request.clusters}
    page = encode_page(_render(dataset.name, content, sheets))
    _check_target(out)  # again, because a file may have appeared meanwhile
    write_atomic(out.absolute(), page)
    flags = Counter(flag for entry in selection.entries for flag in entry.flags)
    private = len(dataset.images.list_report_only())
    return {
        "gallery": str(out.absolute()),
        "megabytes": round(len(page) / 1e6, 2),
        ("clusters" if request.clusters else "classes"): len(selection.counts),
        "shown": len(selection.entries),
        "of": content["total"],
        "unreadable": sizes.count(None),
        "marked": dict(sorted(flags.items())),
    } | ({"images_from_reports_left_out": private} if private else {})


def _check_target(out: Path) -> None:
    if out.suffix.lower() not in HTML_SUFFIXES:
        raise UsageError(f"a gallery is an HTML file: {out}", f"name it {out}.html")
    if out.exists() and not (out.is_file() and GENERATOR_TAG in out.read_bytes()[:HEAD_BYTES]):
        raise InputUnusable(
            f"{out} exists and is not a gallery", "choose another name, or move it away"
        )


def _page_data(
    dataset: Dataset, selection: GallerySelection, sizes: Sequence[tuple[int, int] | None]
) -> Facts:
    """Return the data for the page's script, see `js/facts.js`."""
    numbers = {name: number for number, name in enumerate(selection.counts)}
    shown_counts = Counter(entry.label for entry in selection.entries)
    samples = [
        {"slot": slot, "class": numbers[entry.label], "size": size} | _sample_data(dataset, entry)
        for slot, (entry, size) in enumerate(zip(selection.entries, sizes, strict=True))
    ]
    return {
        "classes": [
            tally._asdict() | {"name": name, "shown": shown_counts[name]}
            for name, tally in selection.counts.items()
        ],
        "samples": [
            {name: fact for name, fact in entry.items() if fact is not None} for entry in samples
        ],
        "total": sum(tally.total for tally in selection.counts.values()),
        "side": THUMBNAIL_SIDE,
        "across": COLUMNS,
        "slots": IMAGES_PER_SHEET,
    }


def _sample_data(dataset: Dataset, entry: GalleryEntry) -> Facts:
    """Return the data of a sample, without local paths."""
    image, sample = dataset.images.get(entry.sample.image), entry.sample
    facts: Facts = {
        "id": sample.key,
        "split": sample.split,
        "hint": sample.hint,
        "detector": sample.detector,
        "score": sample.score if sample.score is None else round(sample.score, 2),
        "decided": "weak label" if entry.provenance == "hint" else entry.provenance,
        "flags": list(entry.flags) or None,
        "issue": entry.issue and [entry.issue.suggested, round(entry.issue.confidence, 2)],
    }
    if image and image.origins:
        origin = image.origins[0]
        facts |= {
            "source": origin.source,
            "title": origin.title,
            "author": origin.author,
            "licence": origin.licence,
            "page": clean_page_url(origin.page_url),
            "time": origin.time,
        }
    return facts


def _render(title: str, content: Facts, sheets: Sequence[ThumbnailSheet]) -> str:
    """Return the HTML; text from outside is escaped in elements, attributes and script data."""
    page = get_templates("labeler.gallery")
    style = page.get_template("page.css.jinja").render()
    folder = files("labeler.gallery").joinpath("js")
    parts = [folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in SCRIPT_PARTS]
    # The hash covers the exact text between the script tags.
    script = '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"
    data = (base64.b64encode(sheet.data).decode("ascii") for sheet in sheets)
    return page.get_template("page.html.jinja").render(
        title=title,
        content=content,
        sheets=[f"data:image/webp;base64,{sheet}" for sheet in data],
        style=Markup(style),  # noqa: S704 - our own
        script=Markup(script),  # noqa: S704
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
        shown=len(content["samples"]),
        total=content["total"],
    )


def _csp_hash(text: str) -> str:
    """Return the source expression of a text for a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class ThumbnailSheet(NamedTuple):
    """A sheet (WebP), and the size of the thumbnail in each slot; None if it is unreadable."""

    data: bytes
    sizes: list[tuple[int, int] | None]


def _make_sheets(
    dataset: Dataset, entries: Sequence[GalleryEntry], progress: Progress
) -> Iterator[ThumbnailSheet]:
    originals = dataset.originals(dataset.cache)
    rows = Pairs(dataset.db).get_ids([entry.sample.key for entry in entries])
    regions = ImageHashes(dataset.db).get_regions(rows)
    files = [sample_file(regions[row], originals) for row in rows]
    with (
        progress.meter("thumbnails", len(files), " images") as meter,
        Processes().keep(__name__) as workers,
    ):
        for start in range(0, len(files), IMAGES_PER_SHEET):
            batch = files[start : start + IMAGES_PER_SHEET]
            yield _make_sheet(batch, workers)
            meter.advance(len(batch))


def _make_sheet(files: Sequence[SampleFile], workers: Processes) -> ThumbnailSheet:
    side, rows = THUMBNAIL_SIDE, math.ceil(len(files) / COLUMNS)
    sheet = Image.new("RGB", (min(len(files), COLUMNS) * side, rows * side))
    sizes: list[tuple[int, int] | None] = [None] * len(files)
    for outcome in run_over(make_thumbnail, enumerate(files), workers):
        if (thumbnail := outcome.result) is not None:
            slot, _ = outcome.item
            sizes[slot] = thumbnail.size
            sheet.paste(thumbnail, (slot % COLUMNS * side, slot // COLUMNS * side))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=WEBP_QUALITY, method=4)
    return ThumbnailSheet(buffer.getvalue(), sizes)


def make_thumbnail(item: tuple[int, SampleFile]) -> Image.Image:
    """Return the thumbnail of a sample, given a slot and a file. Raises `Unreadable`."""
    pixels = read_pixels(item[1], THUMBNAIL_SIDE, "RGB")
    scale = THUMBNAIL_SIDE / max(pixels.size)
    width, height = (max(round(length * scale), 1) for length in pixels.size)
    resampling = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return pixels.resize((width, height), resampling).convert("RGB")
