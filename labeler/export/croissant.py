"""`croissant.json` and the card, which go with every export: what is in it, for all readers.

The format is Croissant 1.0 (docs.mlcommons.org/croissant), with what its vocabulary for
responsible AI (RAI 1.0) has for where data came from and what was done to them. A record of
`pictures` is a file, or a row of a table, with its class, split, licence and origin. How many there
are of each class, split, licence and source are records as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gleanset import Dataset
from gleanset.files.shards import ENDINGS
from gleanset.files.store import sha256_of_file
from gleanset.records import SPLITS
from labeler.export.card import (
    CardFacts,
    annotation_lines,
    dataset_card,
    described_as,
    limit_lines,
    processing_lines,
)
from labeler.export.rows import LICENCES, write_text

CROISSANT = "croissant.json"
_PARQUET = "application/x-parquet"
_VERSIONS = ("http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0")
_ENCODINGS = {ENDINGS["webdataset"]: "application/x-tar", ENDINGS["parquet"]: _PARQUET}
_MIMES = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "tif": "image/tiff", "svg": "image/svg+xml"}
_OURS = """
    citeAs column conformsTo equivalentProperty extract field fileObject fileProperty fileSet
    format includes isLiveDataset jsonPath key md5 parentField path recordSet references regex
    repeated replace samplingRate separator source subField transform
"""
_CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    **{name: f"cr:{name}" for name in _OURS.split()},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
"""What the names in such a file stand for, as the specification has it."""
_URL_OF_SPLIT = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}
_CREDIT = ("author", "licence", "source", "page", "title", "changes", "original_path")

Node = dict[str, object]


def write_about(
    dataset: Dataset, folder: Path, facts: CardFacts, shards: Mapping[str, str] | None = None
) -> None:
    """Write what an export says of itself; `shards` are their files, each with its SHA-256."""
    write_text(folder / "README.md", dataset_card(dataset, facts))
    text = json.dumps(
        _described(dataset, folder, facts, shards or {}), ensure_ascii=False, indent=1
    )
    write_text(folder / CROISSANT, f"{text}\n")


def _described(dataset: Dataset, folder: Path, facts: CardFacts, shards: Mapping[str, str]) -> Node:
    licences = sorted(facts.known_licences)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": list(_VERSIONS),
        "name": dataset.name,
        "description": " ".join(filter(None, (dataset.settings.description, described_as(facts)))),
        **({"license": licences} if licences else {}),
        "rai:dataCollection": ", ".join(
            f"{source}: {number}" for source, number in sorted(facts.sources.items())
        ),
        "rai:dataPreprocessingProtocol": list(processing_lines(dataset, facts)),
        "rai:dataAnnotationProtocol": list(annotation_lines(dataset, facts)),
        "rai:dataLimitations": list(limit_lines(facts)),
        "distribution": list(_files(folder, facts, shards)),
        "recordSet": [*([_pictures(facts)] if _has_records(facts) else []), *_counts(facts)],
    }


def _files(folder: Path, facts: CardFacts, shards: Mapping[str, str]) -> Iterator[Node]:
    yield _file(LICENCES, "text/csv", sha256_of_file(folder / LICENCES))
    endings = sorted(facts.endings)
    pictures: Node = {
        "@type": "cr:FileSet",
        "@id": "files",
        "name": "files",
        "encodingFormat": sorted({_MIMES.get(e, f"image/{e}") for e in endings}),
        "includes": [f"*.{ending}" for ending in endings],
    }
    if _is_table(facts):
        table = {"encodingFormat": _PARQUET, "includes": ["*.parquet"]}
        yield pictures | table
        return
    encoding = _ENCODINGS.get(facts.options.form.ending, "application/octet-stream")
    yield from (_file(name, encoding, sha256) for name, sha256 in shards.items())
    if _has_records(facts):
        yield pictures | ({"containedIn": [{"@id": name} for name in shards]} if shards else {})


def _has_records(facts: CardFacts) -> bool:
    """Return whether pictures can be read out of the files: of shards, out of those of ours."""
    options = facts.options
    ours = "plugin" not in options.recorded and options.form.ending in _ENCODINGS
    return not options.sharded or ours


def _is_table(facts: CardFacts) -> bool:
    return _has_records(facts) and facts.options.form.ending == ENDINGS["parquet"]


def _file(name: str, encoding: str, sha256: str) -> Node:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": encoding,
        "sha256": sha256,
    }


def _pictures(facts: CardFacts) -> Node:
    form, split = facts.options.form, {} if facts.options.no_split else {"split": "split"}
    if _is_table(facts):
        of_row = {"label": "class", **split, **{name: name for name in _CREDIT}}
        fields = [
            _field("pictures", "file", _cell("image", {"jsonPath": "path"})),
            _field("pictures", "image", _cell("image", {"jsonPath": "bytes"}), "sc:ImageObject"),
            *(_field("pictures", name, _cell(column)) for name, column in of_row.items()),
        ]
    else:
        known = "filename" if form.pictures == "shards" else "fullpath"
        of_row = {"label": "label", **split, **{name: name for name in _CREDIT}}
        # As text: a path would equal no cell.
        file = _part_of_file(known) | {"transform": {"regex": "(.*)"}}
        fields = [
            _field("pictures", "file", file) | {"references": _licence_cell("file")},
            _field("pictures", "image", _part_of_file("content"), "sc:ImageObject"),
            *(_field("pictures", name, _licence_cell(column)) for name, column in of_row.items()),
        ]
    return _records("pictures", fields, "file")


def _counts(facts: CardFacts) -> Iterator[Node]:
    classes: list[Node] = [
        {"name": label, **{part: facts.counts[label, part] for part in facts.parts}}
        for label in facts.labels
    ]
    yield _counted("classes", classes)
    if not facts.options.no_split:
        splits: list[Node] = [
            {"name": split, "url": _URL_OF_SPLIT[split], "pictures": facts.splits[split]}
            for split in SPLITS
            if facts.splits[split]
        ]
        yield _counted("splits", splits) | {"dataType": "cr:Split"}
    for what, counts in (("licences", facts.licences), ("sources", facts.sources)):
        yield _counted(what, [{"name": n, "pictures": k} for n, k in sorted(counts.items())])


def _counted(what: str, rows: Sequence[Node]) -> Node:
    """Return records that stand in the file itself."""
    kinds = {"name": "sc:Text", "url": "sc:URL"}
    fields = [_field(what, name, None, kinds.get(name, "sc:Integer")) for name in rows[0]]
    data = [{f"{what}/{name}": value for name, value in row.items()} for row in rows]
    return _records(what, fields, "name") | {"data": data}


def _records(name: str, fields: Sequence[Node], key: str) -> Node:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "key": {"@id": f"{name}/{key}"},
        "field": fields,
    }


def _field(records: str, name: str, source: Node | None, kind: str = "sc:Text") -> Node:
    node: Node = {"@type": "cr:Field", "@id": f"{records}/{name}", "name": name, "dataType": kind}
    return node if source is None else node | {"source": source}


def _part_of_file(what: str) -> Node:
    return {"fileSet": {"@id": "files"}, "extract": {"fileProperty": what}}


def _cell(column: str, transform: Node | None = None) -> Node:
    source: Node = {"fileSet": {"@id": "files"}, "extract": {"column": column}}
    return source if transform is None else source | {"transform": transform}


def _licence_cell(column: str) -> Node:
    return {"fileObject": {"@id": LICENCES}, "extract": {"column": column}}
