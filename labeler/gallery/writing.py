"""Writing a gallery: one HTML file with everything in it.

The page loads nothing from anywhere. A policy in it names its own script and style by their
hashes, so that nothing else would run, whatever classes and titles are called.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from PIL import Image

from gleanset import Dataset
from gleanset.credit import page_address
from gleanset.db.duplicates import ImageHashes, Pairs
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.html.fill import as_bytes, templates
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from labeler.gallery.chosen import (
    GalleryChoice,
    GallerySample,
    choose,
    private_images,
    sections_of,
)
from labeler.gallery.request import GalleryRequest
from labeler.quality.assessment import assess_quality
from labeler.sample_pixels import SampleFile, read_pixels, sample_file

SCRIPTS = ("words", "dom", "facts", "faces", "look", "main")
"""The parts of the script in `js/`, in their order: one function holds all of them."""
ACROSS = 20
SLOTS = ACROSS * ACROSS
"""Pictures of a sheet: of 96 pixels each they make 1920 x 1920, which a phone can show."""

ENDINGS = (".html", ".htm")
OURS = b'<meta name="generator" content="Gleanset gallery">'
HEAD = 4096
SIDE = 96
"""Pixels of the longer side of a small picture."""
QUALITY = 72

Facts = dict[str, Any]


def write_gallery(
    dataset: Dataset, out: Path, request: GalleryRequest, progress: Progress
) -> dict[str, Any]:
    """Write the gallery to `out`, whole or not at all; return the counts.

    Samples that are new are measured first. Raises what `sections_of` raises, `UsageError` for a
    name that does not end in .html, `InputUnusable` where something else than a gallery is there,
    and `NotWritable` or `DiskFull`.
    """
    _refuse_others(out)
    sections = sections_of(dataset, request)
    assess_quality(dataset, progress=progress)
    choice = choose(dataset, sections, request)
    sheets = list(_make_sheets(dataset, choice.shown, progress))
    sizes = [size for sheet in sheets for size in sheet.sizes]
    content = _gather(dataset, choice, sizes) | {"stacks": request.stacks}
    page = as_bytes(_render(dataset.name, content, sheets))
    _refuse_others(out)  # again: it took a while, and somebody may have put a file there
    write_atomic(out.absolute(), page)
    flags = Counter(flag for one in choice.shown for flag in one.flags)
    private = len(private_images(dataset, request))
    return {
        "gallery": str(out.absolute()),
        "megabytes": round(len(page) / 1e6, 2),
        ("stacks" if request.stacks else "classes"): len(choice.counts),
        "shown": len(choice.shown),
        "of": content["total"],
        "unreadable": sizes.count(None),
        "marked": dict(sorted(flags.items())),
    } | ({"images_from_reports_left_out": private} if private else {})


def _refuse_others(out: Path) -> None:
    if out.suffix.lower() not in ENDINGS:
        raise UsageError(f"a gallery is one HTML file, not {out}", f"name it {out}.html")
    if out.exists() and not (out.is_file() and OURS in out.read_bytes()[:HEAD]):
        raise InputUnusable(
            f"{out} is there and is not a gallery", "choose another name, or move it away"
        )


def _gather(
    dataset: Dataset, choice: GalleryChoice, sizes: Sequence[tuple[int, int] | None]
) -> Facts:
    """Return what the page's script is told, as JSON: see `js/facts.js`."""
    numbers = {name: number for number, name in enumerate(choice.counts)}
    shown = Counter(entry.label for entry in choice.shown)
    samples = [
        {"slot": slot, "class": numbers[entry.label], "size": size} | _facts_of(dataset, entry)
        for slot, (entry, size) in enumerate(zip(choice.shown, sizes, strict=True))
    ]
    return {
        "classes": [
            {"name": name, "total": tally.kept, "marked": tally.marked, "shown": shown[name]}
            for name, tally in choice.counts.items()
        ],
        "samples": [
            {name: fact for name, fact in entry.items() if fact is not None} for entry in samples
        ],
        "total": sum(tally.kept for tally in choice.counts.values()),
        "side": SIDE,
        "across": ACROSS,
        "slots": SLOTS,
    }


def _facts_of(dataset: Dataset, shown: GallerySample) -> Facts:
    """Return what is told of a sample; where files are on a disk is not."""
    image, sample = dataset.images.get(shown.sample.image), shown.sample
    facts: Facts = {
        "id": sample.key,
        "split": sample.split,
        "hint": sample.hint,
        "detector": sample.detector,
        "score": sample.score if sample.score is None else round(sample.score, 2),
        "decided": shown.decided,
        "flags": list(shown.flags) or None,
        "doubt": shown.doubt and [shown.doubt.suggested, round(shown.doubt.confidence, 2)],
    }
    if image and image.origins:
        origin = image.origins[0]
        facts |= {
            "source": origin.source,
            "title": origin.title,
            "author": origin.author,
            "licence": origin.licence,
            "page": page_address(origin.page_url),
            "time": origin.time,
        }
    return facts


def _render(title: str, content: Facts, sheets: Sequence[PictureSheet]) -> str:
    """Return the page (HTML).

    Everything from outside is escaped, in text, in attributes and in the facts for the script.
    """
    page = templates("labeler.gallery")
    style = page.get_template("page.css.jinja").render()
    folder = files("labeler.gallery").joinpath("js")
    parts = [folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    # The text is hashed as it stands between its tags.
    script = '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"
    data = (base64.b64encode(sheet.data).decode("ascii") for sheet in sheets)
    return page.get_template("page.html.jinja").render(
        title=title,
        content=content,
        sheets=[f"data:image/webp;base64,{sheet}" for sheet in data],
        style=Markup(style),  # noqa: S704 - our own
        script=Markup(script),  # noqa: S704
        style_hash=_policy_hash(style),
        script_hash=_policy_hash(script),
        shown=len(content["samples"]),
        total=content["total"],
    )


def _policy_hash(text: str) -> str:
    """Return what a content security policy calls a text by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class SheetItem(NamedTuple):
    """A picture for a slot of a sheet."""

    slot: int
    file: SampleFile


class PictureSheet(NamedTuple):
    """A sheet (WebP), and for each slot how large its picture is; None: it cannot be shown."""

    data: bytes
    sizes: list[tuple[int, int] | None]


def _make_sheets(
    dataset: Dataset, shown: Sequence[GallerySample], progress: Progress
) -> Iterator[PictureSheet]:
    originals = dataset.originals(dataset.cache)
    rows = Pairs(dataset.db).numbers([one.sample.key for one in shown])
    seen = ImageHashes(dataset.db).seen(rows)
    pictures = [sample_file(seen[row], originals) for row in rows]
    with (
        progress.meter("small pictures", len(pictures), " pictures") as meter,
        Processes().keep(__name__) as workers,
    ):
        for start in range(0, len(pictures), SLOTS):
            some = pictures[start : start + SLOTS]
            yield _sheet(some, workers)
            meter.advance(len(some))


def _sheet(pictures: Sequence[SampleFile], workers: Processes) -> PictureSheet:
    rows = -(-len(pictures) // ACROSS)
    paper = Image.new("RGB", (min(len(pictures), ACROSS) * SIDE, rows * SIDE))
    sizes: list[tuple[int, int] | None] = [None] * len(pictures)
    items = [SheetItem(slot, file) for slot, file in enumerate(pictures)]
    for outcome in run_over(partial(small_picture, side=SIDE), items, workers):
        if (small := outcome.result) is None:
            continue
        slot = outcome.item.slot
        sizes[slot] = small.size
        paper.paste(small, (slot % ACROSS * SIDE, slot // ACROSS * SIDE))
    buffer = io.BytesIO()
    paper.save(buffer, "WEBP", quality=QUALITY, method=4)
    return PictureSheet(buffer.getvalue(), sizes)


def small_picture(item: SheetItem, side: int) -> Image.Image:
    """Return a sample's picture, its longer side of `side` pixels. Raises `Unreadable`."""
    pixels = read_pixels(item.file, side, "RGB")
    scale = side / max(pixels.size)
    width, height = (max(round(length * scale), 1) for length in pixels.size)
    kind = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return pixels.resize((width, height), kind).convert("RGB")
