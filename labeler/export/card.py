"""What is counted of an export, and the dataset card (`README.md`) that goes with every one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from curation.moments import moments_of
from gleanset import Dataset
from gleanset.db.connection import Connection
from gleanset.db.duplicates import Pairs
from gleanset.db.faces import CropMethod, crop_methods
from gleanset.db.journal import MODEL, PERSON, VISITOR, giver_of, label_provenances
from gleanset.db.samples import Balances
from gleanset.html.words import count
from gleanset.records import SPLITS
from labeler.export.item import ExportItem
from labeler.export.options import ALL, ExportOptions
from labeler.export.plan import UNCHANGED
from labeler.export.rows import feature_lines

UNKNOWN = "unknown"
MOST_COMPARED = 50_000
"""Of an export with more samples, a card does not look for moments again."""
_GIVEN = {
    PERSON: "given or looked at by a person",
    "hint": "taken over from a search or the name of a folder",
    "import": "that came with imported pictures",
    MODEL: "proposed by a model and accepted without a look",
    VISITOR: "claimed by visitors of a page and accepted without a look",
}
_SUCH = "(one scene, one post or group, one picture found twice)"
"""What a moment is."""


class CardFacts:
    """What a card counts. Items may be added some at a time, none is kept.

    `undecided` is how many pictures have a sample that nobody has decided on, where an export has
    boxes, `reports` how many samples from reports are left out. `row` is one of its tables, where
    these are for `datasets`.
    """

    def __init__(
        self,
        options: ExportOptions,
        undecided: int = 0,
        reports: int = 0,
    ) -> None:
        self.options, self.undecided, self.reports = options, undecided, reports
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
        self.endings: set[str] = set()

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
            self.endings.add(item.path.rpartition(".")[2])

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
            **({} if self.options.no_split else {"splits": dict(sorted(self.splits.items()))}),
            "changes": dict(sorted(self.changes.items())),
        }
        more = {"notes": self.notes, "short": sorted(missing), "failed": dict(failed)}
        return counts | {name: value for name, value in more.items() if value}

    @property
    def notes(self) -> list[str]:
        """What a person has to know before using the export, as sentences."""
        return list(_notes(self))

    @property
    def known_licences(self) -> set[str]:
        """The licences that some picture has."""
        return self.licences.keys() - {UNKNOWN}

    @property
    def parts(self) -> tuple[str, ...]:
        """The splits, or the one part of an export that has none."""
        return (ALL,) if self.options.no_split else SPLITS

    @property
    def labels(self) -> list[str]:
        """The classes, by name."""
        return sorted({label for label, _ in self.counts})


def _notes(facts: CardFacts) -> Iterator[str]:
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
    if number := facts.undecided:
        has = "has" if number == 1 else "have"
        what = (
            "there it lacks a box, which a detector takes for nothing"
            if facts.options.undecided
            else "left out, for a detector would learn that nothing is there (--undecided takes it)"
        )
        yield f"{count(number, 'picture')} {has} a face that nobody has decided on: {what}"
    if facts.reports:
        yield f"{count(facts.reports, 'sample')} from reports left out (--with-reports adds them)"
    for split in facts.options.form.cannot_do_without:
        if not facts.splits[split]:
            yield f"nothing is in {split}, and what reads {facts.options.format} needs it"


def dataset_card(dataset: Dataset, facts: CardFacts) -> str:
    """Return the card in Markdown, with the front matter that the Hugging Face hub reads."""
    name, settings = dataset.name, dataset.settings
    parts = [
        front_matter(name, facts),
        f"# {_plain(name)}",
        *([_plain(settings.description)] if settings.description else []),
        "## General information",
        f"{described_as(facts)} {_moments(dataset, facts)}",
        f"- Made by: {_plain(settings.contact or 'not said')}\n"
        f"- Task: {_task(facts).replace('-', ' ')}\n"
        f"- Licences: {_plain(', '.join(sorted(facts.licences)))} (each picture has its own)\n"
        "- For programs: `croissant.json` ([Croissant](https://mlcommons.org/croissant) 1.0)",
        "## Structure",
        _class_table(facts),
        _read_back(facts),
        "## Sources",
        _counted(facts.sources, "source"),
        _counted(facts.licences, "licence"),
        "Author, licence and page of every file, and what was changed of it: `LICENSES.csv`.",
        "## Processing",
        _listed(processing_lines(dataset, facts)),
        "## Annotations",
        _listed(annotation_lines(dataset, facts)),
        "## Personal information and known limits",
        _listed(limit_lines(facts)),
        *(["## Contact", _plain(settings.contact)] if settings.contact else []),
    ]
    return "\n\n".join(parts) + "\n"


def described_as(facts: CardFacts) -> str:
    """Return what an export is, in a sentence."""
    split = "" if facts.options.no_split else "and split "
    return f"{_what(facts)} of {len(facts.labels)} classes, collected {split}with Gleanset."


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(line)}" for line in lines)


def _task(facts: CardFacts) -> str:
    return "object-detection" if facts.options.boxed else "image-classification"


def _read_back(facts: CardFacts) -> str:
    options = facts.options
    split = next((split for split in facts.parts if facts.splits[split]), SPLITS[0])
    name = "validation" if split == "val" else split
    lines = options.form.reading.format(split, name, "." if options.no_split else split)
    table = f" and {there}" if (there := options.form.says_paths) else ""
    return (
        f"In this folder:\n\n```python\n{lines}\n```\n\n"
        f"`original_path` in `LICENSES.csv`{table} is the path that a picture's file came with, "
        "below the folder or inside the archive that was imported."
    )


def _class_table(facts: CardFacts) -> str:
    rows = [
        f"| {_plain(label)} | "
        + " | ".join(str(facts.counts[label, split]) for split in facts.parts)
        + " |"
        for label in facts.labels
    ]
    ruled = "|---" * (1 + len(facts.parts)) + "|"
    return "\n".join([f"| class | {' | '.join(facts.parts)} |", ruled, *rows])


def _counted(values: Counter[str], what: str) -> str:
    rows = [
        f"| {_plain(value)} | {number} | {100 * number / values.total():.0f} % |"
        for value, number in sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    return "\n".join([f"| {what} | pictures | share |", "|---|---|---|", *rows])


def _what(facts: CardFacts) -> str:
    pictures = count(facts.pictures, "picture")
    if facts.options.boxed:
        return f"{count(facts.items, 'sample')} in {pictures}"
    copies = facts.copies
    return pictures + (f" ({count(copies, 'copy', 'copies')} to balance train)" if copies else "")


def _moments(dataset: Dataset, facts: CardFacts) -> str:
    if facts.items > MOST_COMPARED:
        return f"Whether moments {_SUCH} lie in two splits was not looked at again."
    copies = _copies(Pairs(dataset.db).count_searched(facts.split_of), len(facts.split_of))
    if facts.options.no_split:
        return f"It is not split. {copies}"
    moments = moments_of(dataset.db, facts.split_of)
    found: dict[str, set[str]] = defaultdict(set)
    for key, split in facts.split_of.items():
        found[moments[key]].add(split)
    if not (torn := sum(len(splits) > 1 for splits in found.values())):
        return f"No moment {_SUCH} that was found lies in two splits. {copies}"
    lie = "lies" if torn == 1 else "lie"
    return f"{count(torn, 'moment')} {_SUCH} {lie} in several splits. {copies}"


def _copies(searched: int, samples: int) -> str:
    if searched == samples:
        return "Near copies were looked for in all of it."
    if not searched:
        return "Nobody looked for near copies."
    return f"Near copies were looked for in {searched:,} of {count(samples, 'sample')} only."


def annotation_lines(dataset: Dataset, facts: CardFacts) -> Iterator[str]:
    """Yield who gave how many of the labels."""
    if facts.items > MOST_COMPARED:
        yield "who gave the labels was not counted"
        return
    provenances = label_provenances(dataset.db)
    givers = Counter(giver_of(provenances.get(key, "")) for key in facts.split_of)
    for giver, number in sorted(givers.items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"{count(number, 'label')} {_GIVEN[giver]}"


def processing_lines(dataset: Dataset, facts: CardFacts) -> Iterator[str]:
    """Yield what was done to the pictures."""
    options = facts.options
    size = options.size or "as large as they are"
    methods = [replace(method, samples=samples) for method, samples in facts.methods.items()]
    methods.sort(key=lambda one: (-one.samples, one.detector, one.settings, one.cut))
    yield from (method.words for method in methods)
    split = "none" if options.no_split else dataset.samples.split_settings() or "by hand"
    yield f"split: {split}"
    yield f"export: {options.made_as}, pictures {size}" + (", grey" if options.grayscale else "")
    for what, number in sorted(facts.changes.items()):
        came = "byte for byte as it came" if number == 1 else "byte for byte as they came"
        yield f"files: {count(number, 'picture')}, {came if what == UNCHANGED else what}"
    balanced = Balances(dataset.db).settings()
    if options.balances and balanced and not balanced.startswith("method=off"):
        yield f"train is balanced: {balanced}"
    if options.licences:
        yield f"only pictures with a licence like {', '.join(options.licences)}"


def limit_lines(facts: CardFacts) -> Iterator[str]:
    """Yield what a user of an export should know, in sentences."""
    counts: Counter[str] = Counter()
    for (label, _), number in facts.counts.items():
        counts[label] += number
    yield f"{facts.unknown} of {facts.items} pictures have no known licence."
    yield f"Classes have from {min(counts.values())} to {max(counts.values())} pictures."
    yield from (f"{note}." for note in facts.notes)
    if facts.made:
        yield f"{facts.made} pictures are said by their source to be made by a model."
    yield "Whether pictures show people, and whether these agreed to it, was not looked at."


def _plain(text: str) -> str:
    """Text on one line that means nothing to Markdown or HTML."""
    tidy = " ".join(text.split()).replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|#" else c for c in tidy)


HUB_LICENCES = frozenset(
    {
        "cc0-1.0",
        *(f"cc-by-{v}" for v in ("2.0", "2.5", "3.0", "4.0")),
        *(f"cc-by-sa-{v}" for v in ("3.0", "4.0")),
        *(f"cc-by-nc-{v}" for v in ("2.0", "3.0", "4.0")),
        *(f"cc-by-nc-sa-{v}" for v in ("2.0", "3.0", "4.0")),
        *(f"cc-by-nc-nd-{v}" for v in ("3.0", "4.0")),
        "cc-by-nd-4.0",
    }
)
"""Licences of pictures that the hub of Hugging Face has a name for."""


def front_matter(name: str, facts: CardFacts) -> str:
    """Return it: name, licence, task, which files are which split, what columns they have."""
    bounds = (1_000, 10_000, 100_000, 1_000_000)
    words = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "n>1M")
    size = words[sum(facts.items >= bound for bound in bounds)]
    quoted = name.replace("\\", "").replace('"', "'")
    lines = [
        f'pretty_name: "{quoted}"',
        *_front_licence(facts.licences),
        f"task_categories:\n- {_task(facts)}",
        f"size_categories:\n- {size}",
    ]
    if files := facts.options.form.data_files:
        lines += ["configs:\n- config_name: default\n  data_files:"]
        for split in filter(facts.splits.__contains__, SPLITS):
            name = "validation" if split == "val" else split
            lines.append(f'  - split: {name}\n    path: "{files.format(split)}"')
        lines += feature_lines(facts.row, facts.labels)
    return "---\n" + "\n".join(lines) + "\n---"


def _front_licence(licences: Counter[str]) -> list[str]:
    (only, *more) = licences
    if not more and only.lower() in HUB_LICENCES:
        return [f"license: {only.lower()}"]
    if not more and only == UNKNOWN:
        return ["license: unknown"]
    return ["license: other", "license_name: of-each-picture", "license_link: LICENSES.csv"]
