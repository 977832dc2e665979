"""What is counted of an export: for its card, and for whoever runs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from gleanset.db.connection import Connection
from gleanset.db.faces import CropMethod, crop_methods
from gleanset.html.words import count
from labeler.export.options import ExportOptions
from labeler.export.plan import ExportItem

UNKNOWN = "unknown"
MOST_COMPARED = 50_000
"""Of an export with more samples, a card does not look for moments again."""


class CardFacts:
    """What a card counts. Items may be added some at a time, none is kept.

    `snapshot` is what `made_from` told as the export began, `undecided` how many pictures have a
    sample that nobody has decided on, where an export has boxes. `row` is one of its tables, where
    these are for `datasets`.
    """

    def __init__(
        self,
        options: ExportOptions,
        snapshot: Mapping[str, object] | None = None,
        undecided: int = 0,
    ) -> None:
        self.options, self.snapshot, self.undecided = options, dict(snapshot or {}), undecided
        self.items = self.pictures = self.copies = self.unknown = self.made = 0
        self.say_where = self.turned = 0
        self.changes: Counter[str] = Counter()
        self.row: Mapping[str, object] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.splits: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.licences: Counter[str] = Counter()
        self.methods: Counter[CropMethod] = Counter()
        self.split_of: dict[str, str] = {}

    def add(self, db: Connection, items: Sequence[ExportItem]) -> None:
        """Count items whose files no other call tells of."""
        self.items += len(items)
        self._add_pictures({item.path: item for item in items}.values())
        for item in items:
            split, origin = str(item.sample.split), item.origin
            self.counts[str(item.sample.label), split] += 1
            self.splits[split] += 1
            self.sources[origin.source] += 1
            self.licences[origin.licence or UNKNOWN] += 1
            self.copies += item.copy > 0
            self.unknown += not origin.licence
            self.made += any(one.ai for one in item.image.origins)
        for method in crop_methods(db, [item.sample.key for item in items]):
            self.methods[replace(method, samples=0)] += method.samples
        if self.items <= MOST_COMPARED:
            self.split_of |= {item.sample.key: str(item.sample.split) for item in items}

    def _add_pictures(self, items: Collection[ExportItem]) -> None:
        self.pictures += len(items)
        for item in items:
            self.changes[item.changes] += 1
            self.say_where += item.says_where
            self.turned += item.turned

    def result(self, failed: Mapping[str, str]) -> dict[str, object]:
        """Return what a command says; `failed` are pictures that could not be read, and why."""
        missing = [
            f"{label}: nothing in {split}"
            for split in sorted(self.splits)
            for label in self.labels
            if (label, split) not in self.counts
        ]
        counts = {
            "exported": self.items,
            **({"pictures": self.pictures} if self.options.boxed else {}),
            "splits": dict(sorted(self.splits.items())),
            "changes": dict(sorted(self.changes.items())),
        }
        more = {"notes": self.notes, "short": sorted(missing), "failed": dict(failed)}
        return counts | {name: value for name, value in more.items() if value}

    @property
    def notes(self) -> list[str]:
        """What a person has to know before using the export, as sentences."""
        return [*_of_metadata(self), *_of_undecided(self), *_of_yolo(self)]

    @property
    def labels(self) -> list[str]:
        """The classes, by name."""
        return sorted({label for label, _ in self.counts})


def _of_metadata(facts: CardFacts) -> Iterator[str]:
    if number := facts.say_where:
        says = "says where it was" if number == 1 else "say where they were"
        yield (
            f"{count(number, 'picture')} {says} taken (GPS); --strip-metadata leaves that out "
            "and no pixel changes"
        )
    if number := facts.turned:
        stands = "stands" if number == 1 else "stand"
        yield (
            f"{count(number, 'picture')} {stands} upright by EXIF alone, which torchvision does "
            "not look at; --file jpeg writes all of them upright"
        )


def _of_undecided(facts: CardFacts) -> Iterator[str]:
    if number := facts.undecided:
        has = "has" if number == 1 else "have"
        what = (
            "there it lacks a box, which a detector takes for nothing"
            if facts.options.undecided
            else "left out, for a detector would learn that nothing is there (--undecided takes it)"
        )
        yield f"{count(number, 'picture')} {has} a face that nobody has decided on: {what}"


def _of_yolo(facts: CardFacts) -> Iterator[str]:
    if facts.options.format.startswith("yolo"):
        for split in ("train", "val"):
            if not facts.splits[split]:
                yield f"nothing is in {split}, without which Ultralytics does not train"
