"""The dataset card (`README.md`) and `LICENSES.csv` that go with every export."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gleanset import Dataset
from gleanset.db.connection import Connection
from gleanset.db.faces import CropMethod, crop_methods
from gleanset.db.samples import Balances
from gleanset.html.words import count
from gleanset.moments import moments_of
from gleanset.snapshots import snapshot_words
from labeler.export.options import ExportOptions
from labeler.export.plan import ExportItem
from labeler.export.shard_files import ENDINGS

SPLITS = ("train", "val", "test")
UNKNOWN = "unknown"
MOST_COMPARED = 50_000
"""Of an export with more samples, a card does not look for moments again."""


def licence_table(items: Sequence[ExportItem]) -> str:
    """`LICENSES.csv`: one row a file, with who made it, on what terms, and where it was found."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("file", "author", "licence", "source", "page", "title"))
    for path, item in sorted({item.path: item for item in items}.items()):
        origin = item.origin
        page = origin.page_url or origin.url
        told = (path, origin.author, origin.licence, origin.source, page, origin.title)
        rows.writerow([no_formula(cell) for cell in told])
    return out.getvalue()


def no_formula(text: str | None) -> str:
    """Text from the net that a spreadsheet does not take for a formula."""
    return f"'{text}" if text and text[0] in "=+-@\t\r" else text or ""


class CardFacts:
    """What a card counts. Items may be added some at a time, none is kept.

    `snapshot` is what `made_from` told as the export began.
    """

    def __init__(
        self,
        db: Connection | None = None,
        items: Sequence[ExportItem] = (),
        snapshot: Mapping[str, object] | None = None,
    ) -> None:
        self.snapshot = dict(snapshot or {})
        self.items = self.pictures = self.copies = self.unknown = self.made = 0
        self.counts: Counter[tuple[str, str]] = Counter()
        self.splits: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.licences: Counter[str] = Counter()
        self.methods: Counter[CropMethod] = Counter()
        self.split_of: dict[str, str] = {}
        if db is not None:
            self.add(db, items)

    def add(self, db: Connection, items: Sequence[ExportItem]) -> None:
        """Count items whose files no other call tells of."""
        self.items += len(items)
        self.pictures += len({item.path for item in items})
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

    @property
    def labels(self) -> list[str]:
        """The classes, by name."""
        return sorted({label for label, _ in self.counts})


def dataset_card(dataset: Dataset, facts: CardFacts, options: ExportOptions) -> str:
    """Return the card in Markdown, with the front matter that the Hugging Face hub reads."""
    name, settings = dataset.name, dataset.settings
    parts = [
        _front(name, facts, options),
        f"# {_plain(name)}",
        *([_plain(settings.description)] if settings.description else []),
        f"{_what(facts, options)} of {len(facts.labels)} classes, collected and split with "
        f"Gleanset. {_moments(dataset, facts)}",
        "## Classes and splits\n\n" + _class_table(facts),
        "## Sources\n\n" + _counted(facts.sources, "source"),
        "## Licences\n\n"
        + _counted(facts.licences, "licence")
        + "\n\nAuthor, licence and page of every file: `LICENSES.csv`.",
        "## How it was made\n\n" + _made(dataset, facts, options),
        "## Known limits\n\n" + _limits(facts),
        *([f"## Contact\n\n{_plain(settings.contact)}"] if settings.contact else []),
    ]
    return "\n\n".join(parts) + "\n"


def _front(name: str, facts: CardFacts, options: ExportOptions) -> str:
    bounds = (1_000, 10_000, 100_000, 1_000_000)
    words = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "n>1M")
    size = words[sum(facts.items >= bound for bound in bounds)]
    quoted = name.replace("\\", "").replace('"', "'")
    lines = [
        f'pretty_name: "{quoted}"',
        "task_categories:\n- image-classification",
        f"size_categories:\n- {size}",
    ]
    if options.sharded:
        lines += ["configs:\n- config_name: default\n  data_files:"]
        ending = ENDINGS[options.format]
        for split in filter(facts.splits.__contains__, SPLITS):
            known_as = "validation" if split == "val" else split
            lines += [f'  - split: {known_as}\n    path: "{split}-*{ending}"']
    return "---\n" + "\n".join(lines) + "\n---"


def _class_table(facts: CardFacts) -> str:
    rows = [
        f"| {_plain(label)} | "
        + " | ".join(str(facts.counts[label, split]) for split in SPLITS)
        + " |"
        for label in facts.labels
    ]
    return "\n".join([f"| class | {' | '.join(SPLITS)} |", "|---" * 4 + "|", *rows])


def _counted(values: Counter[str], what: str) -> str:
    rows = [
        f"| {_plain(value)} | {number} | {100 * number / values.total():.0f} % |"
        for value, number in sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    return "\n".join([f"| {what} | pictures | share |", "|---|---|---|", *rows])


def _what(facts: CardFacts, options: ExportOptions) -> str:
    pictures = count(facts.pictures, "picture")
    if options.format == "coco":
        return f"{count(facts.items, 'sample')} in {pictures}"
    copies = facts.copies
    return pictures + (f" ({count(copies, 'copy', 'copies')} to balance train)" if copies else "")


def _moments(dataset: Dataset, facts: CardFacts) -> str:
    """Return what is known of pictures that belong together."""
    if facts.items > MOST_COMPARED:
        return "Whether moments (one scene, one post) lie in two splits was not looked at again."
    moments = moments_of(dataset.db, facts.split_of)
    found: dict[str, set[str]] = defaultdict(set)
    for key, split in facts.split_of.items():
        found[moments[key]].add(split)
    if not (torn := sum(len(splits) > 1 for splits in found.values())):
        return (
            "No moment (one scene, one post, one picture found twice) that was found lies in two "
            "splits."
        )
    what = "(one scene, one post, one picture found twice)"
    return f"{count(torn, 'moment')} {what} {'lies' if torn == 1 else 'lie'} in several splits."


def _made(dataset: Dataset, facts: CardFacts, options: ExportOptions) -> str:
    size = "x".join(map(str, options.size or ())) or "as large as they are"
    methods = [replace(method, samples=samples) for method, samples in facts.methods.items()]
    methods.sort(key=lambda one: (-one.samples, one.detector, one.settings, one.cut))
    lines = [
        *(f"- {method.words}" for method in methods),
        f"- split: {dataset.samples.split_settings() or 'by hand'}",
        f"- export: {options.format}, pictures {size}" + (", grey" if options.grayscale else ""),
    ]
    balanced = Balances(dataset.db).settings()
    if options.balances and balanced and not balanced.startswith("method=off"):
        lines.append(f"- train is balanced: {balanced}")
    if facts.snapshot:
        lines.append(f"- snapshot: {_plain(snapshot_words(facts.snapshot))}")
    if options.licences:
        lines.append(f"- only pictures with a licence like {', '.join(options.licences)}")
    return "\n".join(lines)


def _limits(facts: CardFacts) -> str:
    counts: Counter[str] = Counter()
    for (label, _), number in facts.counts.items():
        counts[label] += number
    lines = [
        f"- {facts.unknown} of {facts.items} pictures have no known licence.",
        f"- Classes have from {min(counts.values())} to {max(counts.values())} pictures.",
    ]
    if facts.made:
        lines.append(f"- {facts.made} pictures are said by their source to be made by a model.")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text on one line that means nothing to Markdown or HTML."""
    tidy = " ".join(text.split()).replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|#" else c for c in tidy)
