"""Statistics of an export, its dataset card (`README.md`) and `croissant.json`.

The latter is in Croissant 1.0 (docs.mlcommons.org/croissant), with provenance in its vocabulary for
responsible AI (RAI 1.0). A record of `images` is a file, or a row of a table, with its class,
split, licence and source.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

import yaml
from markupsafe import Markup

from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.db.connection import Connection
from gleanset.db.duplicates import Pairs
from gleanset.db.faces import CropMethod, list_crop_methods
from gleanset.db.journal import (
    MODEL,
    PAGE_USER,
    PERSON,
    classify_provenance,
    get_label_provenances,
)
from gleanset.files.shards import SHARD_EXTENSIONS
from gleanset.files.store import hash_file
from gleanset.html.fill import get_templates
from gleanset.html.words import count
from gleanset.records import SPLITS
from labeler.export.item import ALL_SAMPLES, ExportItem
from labeler.export.options import ExportOptions
from labeler.export.plan import UNCHANGED
from labeler.export.result import ExportResult
from labeler.export.rows import (
    CREDIT_COLUMNS,
    LICENCE_FILE,
    describe_features,
    write_text,
)

UNKNOWN = "unknown"
SOURCE_LICENCES_FILE = "SOURCE_LICENSES.txt"
MAX_COMPARED_SAMPLES = 50_000
"""The card of a larger export does not check for groups in several splits."""
_LABEL_SOURCES = {
    PERSON: "given or confirmed by a person",
    "hint": "from a search query or folder name",
    "import": "imported with the images",
    MODEL: "predicted by a model and accepted without review",
    PAGE_USER: "submitted by users of the page and accepted without review",
}
_GROUP_KINDS = "images of one scene, post or user-defined group, and duplicates"


class CardFacts:
    """Counts for the card and the result; items are added in batches and not stored.

    `undecided` counts images with an undecided sample (exports with boxes). `example_row` is a row
    of the tables for `datasets`.
    """

    def __init__(self, options: ExportOptions, undecided: int = 0):
        self.options = options
        self.undecided = undecided
        self.example_row: Mapping[str, object] = {}

        # Of files, which several samples may share.
        self.changes = Counter[str]()
        self.with_gps = 0
        self.with_exif_rotation = 0
        self.endings = set[str]()

        # Of samples; `counts` by class and split, `copies` by class.
        self.items = 0
        self.counts = Counter[tuple[str, str]]()
        self.copies = Counter[str]()
        self.splits = Counter[str]()
        self.sources = Counter[str]()
        self.collections = Counter[str]()
        self.licences = Counter[str]()
        self.methods = Counter[CropMethod]()
        self.ai_generated = 0
        self.without_half_body = 0
        self.split_of: dict[str, str] = {}  # by key

    def add(self, db: Connection, items: Sequence[ExportItem]) -> None:
        """Count items; all samples of one file must be in the same call."""
        self.items += len(items)
        # Of each file, whatever the number of its samples.
        file_items = {item.path: item for item in items}
        for item in file_items.values():
            self.changes[item.changes] += 1
            self.with_gps += item.has_gps
            self.with_exif_rotation += item.needs_exif_rotation
            self.endings.add(item.path.rpartition(".")[2])

        for item in items:
            origin = item.origin
            self.counts[item.label, item.split] += 1
            self.copies[item.label] += item.copy > 0
            self.splits[item.split] += 1
            self.sources[item.source] += 1
            self.collections[origin.collection or ""] += 1
            self.licences[origin.licence or UNKNOWN] += 1
            is_whole = item.sample.detector == "whole"
            self.without_half_body += is_whole and self.options.crop == "half-body"
            self.ai_generated += any(origin.ai for origin in item.image.origins)

        for method in list_crop_methods(db, [item.sample.key for item in items]):
            # Equal methods of several batches are one key, so their counts are not part of it.
            self.methods[replace(method, samples=0)] += method.samples
        # Larger exports are not checked for groups in several splits.
        if self.items <= MAX_COMPARED_SAMPLES:
            self.split_of |= {item.sample.key: item.split for item in items}

    def result(self, failed: Mapping[str, str]) -> ExportResult:
        """Return the result of the command; `failed` has the reason by unreadable image."""
        missing_classes = [
            f"{label}: nothing in {split}"
            for label in self.labels
            for split in self.splits
            if (label, split) not in self.counts
        ]
        words = {UNCHANGED: "originals, byte for byte"}
        changes = {
            words.get(change, change): number
            for change, number in sorted(self.changes.items())
        }

        return ExportResult(
            exported=self.items,
            images=self.changes.total() if self.options.has_boxes else 0,
            splits={
                split: self.splits[split] for split in SPLITS if self.splits[split]
            },
            changes=changes,
            notes=list(self.iter_notes()),
            short=sorted(missing_classes),
            failed=dict(failed),
        )

    def iter_notes(self) -> Iterator[str]:
        """Yield warnings for the users of the export."""
        if self.with_gps:
            yield (
                f"{count(self.with_gps, 'image')} with a GPS position; --file jpeg and --file png "
                "write images without metadata"
            )
        if self.with_exif_rotation:
            yield (
                f"{count(self.with_exif_rotation, 'image')} with an EXIF orientation, which "
                "torchvision ignores; --file jpeg writes upright images"
            )
        if self.without_half_body:
            yield (
                f"{count(self.without_half_body, 'image')} without a face exported whole, not as a "
                "half body"
            )
        if self.undecided:
            yield (
                f"{count(self.undecided, 'image')} with an undecided face left out, because a "
                "detector would learn it as background"
            )

        for split in self.options.form.required_splits:
            if not self.splits[split]:
                yield f"no samples in {split}, which {self.options.format} needs"

    @property
    def parts(self) -> tuple[str, ...]:
        """The splits, or `ALL_SAMPLES` for an export without splits."""
        return (ALL_SAMPLES,) if self.options.no_split else SPLITS

    @property
    def labels(self) -> list[str]:
        """The sorted class names."""
        return sorted({label for label, _ in self.counts})


def format_card(dataset: Dataset, facts: CardFacts) -> str:
    """Return the card as Markdown with front matter for the Hugging Face hub."""
    templates = get_templates("labeler.export")
    templates.filters["markdown"] = _escape_markdown
    card = templates.get_template("card.md.jinja").render(
        front_matter=format_front_matter(get_title(dataset), facts),
        title=get_title(dataset),
        settings=dataset.settings,
        authors=list_authors(dataset),
        facts=facts,
        extent=describe_export(facts),
        groups=_describe_groups(dataset, facts),
        task=_task(facts),
        reading=_format_reading(facts),
        sources=_sort_by_count(facts.sources),
        licences=_sort_by_count(facts.licences),
        licence_texts=_select_licence_texts(dataset, facts),
        licence_file=SOURCE_LICENCES_FILE,
        sections={
            "Processing": iter_processing_lines(dataset, facts),
            "Annotations": iter_annotation_lines(dataset, facts),
            "Personal information and known limits": iter_limit_lines(facts),
        },
        bibtex=make_bibtex(dataset),
    )
    return card.rstrip() + "\n"


def _select_licence_texts(dataset: Dataset, facts: CardFacts) -> dict[str, str]:
    """Return the licence texts of the imported sets that an export has images of."""
    return {
        name: text
        for name, text in dataset.images.get_collection_licences().items()
        if name in facts.collections
    }


def describe_export(facts: CardFacts) -> str:
    """Return a sentence with the size and origin of an export."""
    images = count(facts.changes.total(), facts.options.noun)
    if facts.options.has_boxes:
        images = f"{count(facts.items, 'sample')} in {images}"
    contents = f"{images} of {len(facts.labels)} classes"
    return f"{contents}, collected {'' if facts.options.no_split else 'and split '}with Gleanset."


def _task(facts: CardFacts) -> str:
    if facts.options.has_boxes:
        return "object-detection"
    return "video-classification" if facts.options.is_clips else "image-classification"


def _format_reading(facts: CardFacts) -> str:
    """Return lines of Python that read the first split with samples."""
    splits = (split for split in facts.parts if facts.splits[split])
    split = next(splits, SPLITS[0])
    folder = "." if facts.options.no_split else split
    return facts.options.form.reading.format(
        split,
        _hub_name(split),
        folder,
    )


def _hub_name(split: str) -> str:
    """Return the name of a split on the Hugging Face hub."""
    return "validation" if split == "val" else split


def _sort_by_count(values: Counter[str]) -> list[tuple[str, int]]:
    """Return values with their numbers, the most frequent first, then by name."""
    # `most_common` keeps the order of values with equal counts.
    return Counter(dict(sorted(values.items()))).most_common()


def _describe_groups(dataset: Dataset, facts: CardFacts) -> str:
    """Return whether groups are in several splits, and whether copies were searched."""
    if facts.items > MAX_COMPARED_SAMPLES:
        return (
            f"Groups ({_GROUP_KINDS}) were not checked again: the dataset is too large."
        )

    number = Pairs(dataset.db).count_searched(facts.split_of)
    samples = len(facts.split_of)
    extent = "All samples"
    if not number:
        extent = "No samples"
    elif number < samples:
        extent = f"Only {number:,} of {count(samples, 'sample')}"

    copies = f"{extent} were searched for near-duplicates."
    if facts.options.no_split:
        return f"Not split. {copies}"

    # Checked again, because duplicates and labels may have changed since the split.
    groups = assign_split_groups(dataset.db, facts.split_of)
    splits_of: dict[str, set[str]] = defaultdict(set)
    for key, split in facts.split_of.items():
        splits_of[groups[key]].add(split)
    leak_count = sum(len(splits) > 1 for splits in splits_of.values())
    if not leak_count:
        return f"No group ({_GROUP_KINDS}) is in two splits. {copies}"
    leaks = count(leak_count, "group is", "groups are")
    return f"{leaks} in more than one split ({_GROUP_KINDS}). {copies}"


def iter_annotation_lines(dataset: Dataset, facts: CardFacts) -> Iterator[str]:
    """Yield the number of labels by provenance."""
    if facts.items > MAX_COMPARED_SAMPLES:
        yield "label sources were not counted"
        return
    provenances = get_label_provenances(dataset.db)
    label_sources = Counter(
        classify_provenance(provenances.get(key, "")) for key in facts.split_of
    )
    for source, number in _sort_by_count(label_sources):
        yield f"{count(number, 'label')} {_LABEL_SOURCES[source]}"


def iter_processing_lines(dataset: Dataset, facts: CardFacts) -> Iterator[str]:
    """Yield how the images were processed."""
    options = facts.options
    methods = [
        replace(method, samples=number) for method, number in facts.methods.items()
    ]
    # The most frequent first; the other fields make the order the same each time.
    methods.sort(key=lambda m: (-m.samples, m.detector, m.settings, m.cut))
    for method in methods:
        yield method.description

    settings = dataset.samples.get_split_settings()
    split = "none"
    if not options.no_split:
        split = settings.describe() if settings else "by hand"
    yield f"split: {split}"

    grey = ", grey" if options.grayscale else ""
    yield f"export: {options.format_label}, size {options.size or 'unchanged'}{grey}"
    if options.balance is not None:
        yield f"balance of train: {_describe_balance(facts)}"
    for changes, number in sorted(facts.changes.items()):
        exactly = " (byte for byte)" if changes == UNCHANGED else ""
        yield f"files: {count(number, options.noun)}, {changes}{exactly}"

    if options.licences:
        yield f"only images with a licence like {', '.join(options.licences)}"


def _describe_balance(facts: CardFacts) -> str:
    """Return how train was balanced, with the number of copies of each class."""
    options = facts.options
    if options.balance == "down":
        return "images of larger classes were left out"
    kind = "augmented copies" if options.balance == "augment" else "copies"
    copies = [f"{label} {n}" for label, n in sorted(facts.copies.items()) if n]
    return f"{kind} were added: {', '.join(copies) or 'none'}"


def iter_limit_lines(facts: CardFacts) -> Iterator[str]:
    """Yield the known limits of an export, as sentences."""
    sizes = Counter[str]()
    for (label, _), number in facts.counts.items():
        sizes[label] += number

    # An image with boxes has several samples, which are what is counted.
    noun = "sample" if facts.options.has_boxes else facts.options.noun
    yield f"{facts.licences[UNKNOWN]} of {facts.items} {noun}s have no known licence."
    yield f"{noun.title()}s per class: {min(sizes.values())} to {max(sizes.values())}."
    yield from (f"{note}." for note in facts.iter_notes())
    if facts.ai_generated:
        total = f"{facts.ai_generated} of {facts.items} {noun}s"
        yield f"{total} are AI-generated according to their source."
    yield "It was not checked whether images show people, or whether they consented."


def _escape_markdown(text: str) -> Markup:
    # Texts of others must not become markup of the card.
    line = " ".join(text.split()).replace("<", "&lt;").replace(">", "&gt;")
    return Markup(re.sub(r"([\\`*_\[\]|#])", r"\\\1", line))  # noqa: S704 - escaped here


def format_front_matter(name: str, facts: CardFacts) -> str:
    """Return the YAML front matter: name, licence, task, files by split, columns."""
    content: dict[str, object] = {
        "pretty_name": name,
        "license": "other",
        "license_name": "per-image",
        "license_link": LICENCE_FILE,
        "task_categories": [_task(facts)],
    }
    files = facts.options.form.data_files
    if files:
        paths = [
            {"split": _hub_name(split), "path": files.format(split)}
            for split in SPLITS
            if facts.splits[split]
        ]
        content["configs"] = [{"config_name": "default", "data_files": paths}]
        content["dataset_info"] = {
            "features": describe_features(facts.example_row, facts.labels)
        }
    # Without a width YAML would fold long names.
    return f"---\n{yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=inf)}---"


CROISSANT = "croissant.json"
Node = dict[str, object]
"""A JSON-LD node."""

_PARQUET = "application/x-parquet"
_ENCODINGS = {
    SHARD_EXTENSIONS["webdataset"]: "application/x-tar",
    SHARD_EXTENSIONS["parquet"]: _PARQUET,
}
_MIMES = {"jpg": "image/jpeg", "tif": "image/tiff", "mp4": "video/mp4"}
"""Types of endings that are not their own names."""
_CONTEXT = json.loads(
    Path(__file__).with_name("croissant_context.json").read_text(encoding="utf-8")
)
"""The JSON-LD context of the specification."""

_OPTIONAL = ("alternateName", "creator", "citeAs", "license")
"""Left out of `croissant.json` where nothing is known."""


def write_descriptions(
    dataset: Dataset,
    folder: Path,
    facts: CardFacts,
    shards: Mapping[str, str] | None = None,
) -> None:
    """Write the card and `croissant.json`; `shards` are files with their SHA-256."""
    write_text(folder / "README.md", format_card(dataset, facts))
    texts = _select_licence_texts(dataset, facts)
    if texts:
        sections = [f"==== {name} ====\n\n{text}\n" for name, text in texts.items()]
        write_text(folder / SOURCE_LICENCES_FILE, "\n".join(sections))

    bibtex = make_bibtex(dataset)
    if bibtex:
        write_text(folder / CITATION_FILE, bibtex)

    settings = dataset.settings
    description = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.0",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": dataset.name,
        "alternateName": settings.title,
        "creator": [
            {"@type": "sc:Person", "name": author} for author in list_authors(dataset)
        ],
        "citeAs": bibtex,
        "description": " ".join(
            filter(None, (settings.description, describe_export(facts)))
        ),
        "license": sorted(facts.licences.keys() - {UNKNOWN}),
        "rai:dataCollection": ", ".join(
            [f"{source}: {n}" for source, n in sorted(facts.sources.items())]
        ),
        "rai:dataPreprocessingProtocol": list(iter_processing_lines(dataset, facts)),
        "rai:dataAnnotationProtocol": list(iter_annotation_lines(dataset, facts)),
        "rai:dataLimitations": list(iter_limit_lines(facts)),
        "distribution": list(_files(folder, facts, shards or {})),
        "recordSet": [_image_records(facts)] if _has_records(facts) else [],
    }
    # The specification requires the other fields, also where they are empty.
    present_facts = {
        name: value
        for name, value in description.items()
        if value or name not in _OPTIONAL
    }
    text = json.dumps(present_facts, ensure_ascii=False, indent=1)
    write_text(folder / CROISSANT, f"{text}\n")


def _files(folder: Path, facts: CardFacts, shards: Mapping[str, str]) -> Iterator[Node]:
    """Yield the files and sets of files of Croissant's `distribution`."""
    yield _file(
        LICENCE_FILE,
        "text/csv",
        hash_file(folder / LICENCE_FILE),
    )
    endings = sorted(facts.endings)
    images = _node("FileSet", "files") | {
        "encodingFormat": sorted({_MIMES.get(e, f"image/{e}") for e in endings}),
        "includes": [f"*.{ending}" for ending in endings],
    }
    # Tables have their images in a column, so their shards are the files.
    if _is_table(facts):
        yield images | {"encodingFormat": _PARQUET, "includes": ["*.parquet"]}
        return

    # The type of shards of a plugin is not known.
    encoding = _ENCODINGS.get(facts.options.form.ending, "application/octet-stream")
    for name, sha256 in shards.items():
        yield _file(name, encoding, sha256)
    # In shards of a plugin the images may have other names, so they are not listed.
    if _has_records(facts) or facts.options.is_clips:
        if shards:
            images["containedIn"] = [{"@id": name} for name in shards]
        yield images


def _has_records(facts: CardFacts) -> bool:
    """Return whether Croissant can describe the images; of shards only in our own formats."""
    options = facts.options
    # mlcroissant reads no videos.
    if not options.is_sharded:
        return not options.is_clips
    return "plugin" not in options.marker_facts and options.form.ending in _ENCODINGS


def _is_table(facts: CardFacts) -> bool:
    """Return whether the records are rows of Parquet files."""
    return (
        _has_records(facts) and facts.options.form.ending == SHARD_EXTENSIONS["parquet"]
    )


def _file(name: str, encoding: str, sha256: str) -> Node:
    return _node("FileObject", name) | {
        "contentUrl": name,
        "encodingFormat": encoding,
        "sha256": sha256,
    }


def _node(kind: str, key: str) -> Node:
    return {
        "@type": f"cr:{kind}",
        "@id": key,
        "name": key.removeprefix("images/"),
    }


def _image_records(facts: CardFacts) -> Node:
    """Return the record set of the images; other fields come from a table with a row for each.

    That is a Parquet file, or `LICENSES.csv`, whose rows are found by their file.
    """
    columns = {"label": "label"}
    if not facts.options.no_split:
        columns["split"] = "split"
    columns |= {name: name for name in CREDIT_COLUMNS}

    files: Node = {"fileSet": {"@id": "files"}}
    if _is_table(facts):
        columns["label"] = "class"
        table = files
        image = files | {"extract": {"column": "image"}}
        file = image | {"transform": {"jsonPath": "path"}}
        pixels = image | {"transform": {"jsonPath": "bytes"}}
    else:
        table = {"fileObject": {"@id": LICENCE_FILE}}
        path = {"fileProperty": "filename" if facts.options.is_sharded else "fullpath"}
        # The regex turns the path into text, which can be compared with cells.
        file = files | {"extract": path, "transform": {"regex": "(.*)"}}
        pixels = files | {"extract": {"fileProperty": "content"}}

    fields = [_field("file", file), _field("image", pixels, "sc:ImageObject")]
    fields += (
        _field(name, table | {"extract": {"column": column}})
        for name, column in columns.items()
    )
    # In Parquet each row holds its image. Else a file finds its row by its name.
    if not _is_table(facts):
        fields[0]["references"] = table | {"extract": {"column": "file"}}
    return _node("RecordSet", "images") | {
        "key": {"@id": "images/file"},
        "field": fields,
    }


def _field(name: str, source: Node, kind: str = "sc:Text") -> Node:
    return _node("Field", f"images/{name}") | {"dataType": kind, "source": source}


CITATION_FILE = "CITATION.bib"
_TEX_ESCAPES = {ord(character): f"\\{character}" for character in "&%$#_{}"} | {
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
}


def get_title(dataset: Dataset) -> str:
    """Return the full title of a dataset, or else its name."""
    return dataset.settings.title or dataset.name


def list_authors(dataset: Dataset) -> list[str]:
    """Return the authors; `author` separates them by "and", as BibTeX does."""
    text = " ".join((dataset.settings.author or "").split())
    return [author for author in re.split(r"\s+and\s+", text) if author]


def make_bibtex(dataset: Dataset) -> str:
    """Return an entry of BibTeX; empty if the settings do not say how to cite the dataset."""
    settings = dataset.settings
    citation = (settings.citation or "").strip()
    # An entry of BibTeX is used as it is.
    if citation.startswith("@"):
        return f"{citation}\n"
    if not (settings.title or settings.author or citation):
        return ""

    fields = {
        "title": f"{{{_escape_tex(get_title(dataset))}}}",  # doubled braces keep capital letters
        "author": _escape_tex(" and ".join(list_authors(dataset))),
        "note": _escape_tex(citation),
    }
    key = re.sub(r"[^a-z0-9]+", "-", dataset.name.casefold()).strip("-") or "dataset"
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}"]) + "\n"


def _escape_tex(text: str) -> str:
    """Return a text on one line, with the special characters of TeX escaped."""
    return " ".join(text.split()).translate(_TEX_ESCAPES)
