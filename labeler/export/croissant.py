"""`croissant.json`, which describes every export to other tools.

The format is Croissant 1.0 (docs.mlcommons.org/croissant), with provenance in its vocabulary for
responsible AI (RAI 1.0). A record of `images` is a file, or a row of a table, with its class,
split, licence and source.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from gleanset import Dataset
from gleanset.files.shards import SHARD_EXTENSIONS
from gleanset.files.store import hash_file
from labeler.export.card import (
    UNKNOWN,
    CardFacts,
    annotation_lines,
    dataset_card,
    describe_export,
    limit_lines,
    processing_lines,
)
from labeler.export.rows import LICENCE_FILE, write_text

CROISSANT = "croissant.json"
_PARQUET = "application/x-parquet"
_VERSIONS = ("http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0")
_ENCODINGS = {
    SHARD_EXTENSIONS["webdataset"]: "application/x-tar",
    SHARD_EXTENSIONS["parquet"]: _PARQUET,
}
_MIMES = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "tif": "image/tiff", "svg": "image/svg+xml"}
_CROISSANT_TERMS = """
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
    **{name: f"cr:{name}" for name in _CROISSANT_TERMS.split()},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
"""The JSON-LD context of the specification."""
_CREDIT = ("author", "licence", "source", "page", "title", "changes", "original_path")

Node = dict[str, object]


def write_descriptions(
    dataset: Dataset, folder: Path, facts: CardFacts, shards: Mapping[str, str] | None = None
) -> None:
    """Write the card and `croissant.json`; `shards` are files with their SHA-256."""
    write_text(folder / "README.md", dataset_card(dataset, facts))
    description = _describe(dataset, folder, facts, shards or {})
    text = json.dumps(description, ensure_ascii=False, indent=1)
    write_text(folder / CROISSANT, f"{text}\n")


def _describe(dataset: Dataset, folder: Path, facts: CardFacts, shards: Mapping[str, str]) -> Node:
    licences = sorted(facts.licences.keys() - {UNKNOWN})
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": list(_VERSIONS),
        "name": dataset.name,
        "description": " ".join(
            filter(None, (dataset.settings.description, describe_export(facts)))
        ),
        **({"license": licences} if licences else {}),
        "rai:dataCollection": ", ".join(
            f"{source}: {number}" for source, number in sorted(facts.sources.items())
        ),
        "rai:dataPreprocessingProtocol": list(processing_lines(dataset, facts)),
        "rai:dataAnnotationProtocol": list(annotation_lines(dataset, facts)),
        "rai:dataLimitations": list(limit_lines(facts)),
        "distribution": list(_files(folder, facts, shards)),
        "recordSet": [_image_records(facts)] if _has_records(facts) else [],
    }


def _files(folder: Path, facts: CardFacts, shards: Mapping[str, str]) -> Iterator[Node]:
    yield _file(LICENCE_FILE, "text/csv", hash_file(folder / LICENCE_FILE))
    endings = sorted(facts.endings)
    images: Node = {
        "@type": "cr:FileSet",
        "@id": "files",
        "name": "files",
        "encodingFormat": sorted({_MIMES.get(e, f"image/{e}") for e in endings}),
        "includes": [f"*.{ending}" for ending in endings],
    }
    if _is_table(facts):
        table = {"encodingFormat": _PARQUET, "includes": ["*.parquet"]}
        yield images | table
        return
    encoding = _ENCODINGS.get(facts.options.form.ending, "application/octet-stream")
    yield from (_file(name, encoding, sha256) for name, sha256 in shards.items())
    if _has_records(facts):
        yield images | ({"containedIn": [{"@id": name} for name in shards]} if shards else {})


def _has_records(facts: CardFacts) -> bool:
    """Return whether Croissant can describe the images; of shards only in our own formats."""
    options = facts.options
    is_known = "plugin" not in options.marker_facts and options.form.ending in _ENCODINGS
    return not options.is_sharded or is_known


def _is_table(facts: CardFacts) -> bool:
    return _has_records(facts) and facts.options.form.ending == SHARD_EXTENSIONS["parquet"]


def _file(name: str, encoding: str, sha256: str) -> Node:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": encoding,
        "sha256": sha256,
    }


def _image_records(facts: CardFacts) -> Node:
    split = {} if facts.options.no_split else {"split": "split"}
    columns = {"label": "label", **split, **{name: name for name in _CREDIT}}
    files: Node = {"fileSet": {"@id": "files"}}
    if _is_table(facts):
        columns["label"] = "class"
        table, image = files, {"column": "image"}
        file = files | {"extract": image, "transform": {"jsonPath": "path"}}
        pixels = files | {"extract": image, "transform": {"jsonPath": "bytes"}}
    else:
        table = {"fileObject": {"@id": LICENCE_FILE}}
        path = {"fileProperty": "filename" if facts.options.is_sharded else "fullpath"}
        # The regex turns the path into text, which can be compared with cells.
        file = files | {"extract": path, "transform": {"regex": "(.*)"}}
        pixels = files | {"extract": {"fileProperty": "content"}}
    fields = [
        _field("file", file),
        _field("image", pixels, "sc:ImageObject"),
        *(
            _field(name, table | {"extract": {"column": column}})
            for name, column in columns.items()
        ),
    ]
    if not _is_table(facts):
        fields[0]["references"] = table | {"extract": {"column": "file"}}
    return {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "key": {"@id": "images/file"},
        "field": fields,
    }


def _field(name: str, source: Node, kind: str = "sc:Text") -> Node:
    return {
        "@type": "cr:Field",
        "@id": f"images/{name}",
        "name": name,
        "dataType": kind,
        "source": source,
    }
