"""The gallery as a page: its facts gathered as plain values, and the template that shows them.

The page loads nothing from anywhere. A policy in it names its own script and style by their
hashes, so that nothing else would run, whatever classes and titles are called.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from gleanset import Dataset
from gleanset.credit import page_address
from gleanset.html.fill import templates
from gleanset.records import Origin
from labeler.gallery.chosen import GalleryChoice, GallerySample

SCRIPTS = ("words", "dom", "facts", "faces", "look", "main")
"""The parts of the script in `js/`, in their order: one function holds all of them."""
ACROSS = 20
SLOTS = ACROSS * ACROSS
"""Pictures of a sheet: of 96 pixels each they make 1920 x 1920, which a phone can show."""

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GalleryContent:
    """What the page's script is told, as JSON: see `js/facts.js`."""

    classes: list[Facts]
    samples: list[Facts]
    side: int
    across: int
    slots: int
    stacks: bool

    @property
    def shown(self) -> int:
        """How many samples are shown, without the copies that were set aside."""
        return sum(one["shown"] for one in self.classes)

    @property
    def total(self) -> int:
        """How many samples the classes have, without the copies that were set aside."""
        return sum(one["total"] for one in self.classes)

    @property
    def aside(self) -> int:
        """How many copies were set aside: `gleanset status` counts labels without them, too."""
        return sum(one["aside"] for one in self.classes)

    def marked(self) -> dict[str, int]:
        """Return how many of those shown have each flag, without the copies that were set aside."""
        kept = (one for one in self.samples if not one.get("aside"))
        flags = Counter(flag for one in kept for flag in one.get("flags", ()))
        return dict(sorted(flags.items()))


def gather(
    dataset: Dataset,
    choice: GalleryChoice,
    sizes: Sequence[tuple[int, int] | None],
    side: int,
) -> GalleryContent:
    """Return the facts of what is shown, whose pictures have these sizes in their slots."""
    known = list(choice.counts)
    numbers = {name: number for number, name in enumerate(known)}
    shown = Counter(entry.label for entry in choice.shown if not entry.aside)
    samples = [
        {"slot": slot, "class": numbers[entry.label]}
        | ({"size": sizes[slot]} if sizes[slot] else {})
        | _facts_of(dataset, entry)
        for slot, entry in enumerate(choice.shown)
    ]
    return GalleryContent(
        classes=[
            {
                "name": name,
                "total": tally.kept,
                "aside": tally.aside,
                "marked": tally.marked,
                "shown": shown[name],
            }
            for name, tally in choice.counts.items()
        ],
        samples=[
            {name: tally for name, tally in entry.items() if tally is not None} for entry in samples
        ],
        side=side,
        across=ACROSS,
        slots=SLOTS,
        stacks=choice.stacks,
    )


def _facts_of(dataset: Dataset, shown: GallerySample) -> Facts:
    image, sample = dataset.images.get(shown.sample.image), shown.sample
    return {
        "id": sample.key,
        "split": sample.split,
        "hint": sample.hint,
        "detector": sample.detector,
        "score": sample.score if sample.score is None else round(sample.score, 2),
        "decided": shown.decided,
        "flags": list(shown.flags) or None,
        "group": sample.group,
        "aside": shown.aside or None,
        "doubt": shown.doubt and [shown.doubt.suggested, round(shown.doubt.confidence, 2)],
        **(_origin_facts(image.origins[0]) if image and image.origins else {}),
    }


def _origin_facts(origin: Origin) -> Facts:
    """Return what is told of where a picture is from; where files lie on a disk is not."""
    return {
        "source": origin.source,
        "title": origin.title,
        "author": origin.author,
        "licence": origin.licence,
        "page": page_address(origin.page_url),
        "time": origin.time,
    }


def render(title: str, content: GalleryContent, sheets: Sequence[str]) -> str:
    """Return the page (HTML). `sheets` are the addresses of the sheets: data, or names beside it.

    Everything from outside is escaped, in text, in attributes and in the facts for the script.
    """
    page = templates("labeler.gallery")
    style = page.get_template("page.css.jinja").render()
    # The text is hashed as it stands between its tags.
    script = _script()
    return page.get_template("page.html.jinja").render(
        title=title,
        content=asdict(content),
        sheets=sheets,
        style=Markup(style),  # noqa: S704 - our own
        script=Markup(script),  # noqa: S704
        style_hash=_hash(style),
        script_hash=_hash(script),
        shown=content.shown,
        total=content.total,
        aside=content.aside,
        inside=all(sheet.startswith("data:") for sheet in sheets),
    )


def _script() -> str:
    folder = files("labeler.gallery").joinpath("js")
    parts = (folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"


def _hash(text: str) -> str:
    """Return what a content security policy calls a text by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
