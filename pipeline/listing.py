"""`gleanset list`: every field the catalogue has, one JSON object a line.

The stable way to look inside. Lines come in an order that depends on content alone, so two
datasets with the same content print the same.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from curation.manual_boxes import iter_faceless_images
from curation.web_reports import find_copies, list_disputed_reports
from gleanset import Dataset
from gleanset.config import did_you_mean
from gleanset.db.faces import Tracks
from gleanset.db.images import NOWHERE, OriginSummary
from gleanset.db.proposals import PresortedSample, Proposal, iter_proposed_samples
from gleanset.db.proposals import list_clusters as stacks_that_wait
from gleanset.db.regions import Quality, QualityMeasures
from gleanset.db.reports import REMOVAL, STATUSES, Claim, Reports, SimilarImage
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.db.samples import SplitGroups
from gleanset.db.snapshots import Snapshots
from gleanset.errors import UsageError
from gleanset.files.atomic import whole_file
from gleanset.files.parquet import Column, parquet_file
from gleanset.records import (
    Box,
    Decision,
    Face,
    FaceTrack,
    Image,
    Origin,
    Rejection,
    Run,
    Sample,
    Snapshot,
)
from labeler.quality.flags import flags_of

Line = dict[str, Any]

PRESORTED = ("place", "cluster", "outlier")
VISIT: dict[str, Column] = {"id": "int64", "at": "string", "status": "string"}

GROUP = 5_000
"""So many rows are a row group of Parquet, and in memory at a time."""

_JSON = "json"
_PLAIN = {str: "string", int: "int64", float: "double", bool: "bool"}
MEASURES = [name for name in Quality._fields if name != "size"]


def images(dataset: Dataset) -> Iterator[Line]:
    """Yield all images with their origins."""
    for image in dataset.images.iterate():
        line = _plain(image)
        line["phash"] = f"{image.phash:016x}"
        line["origins"] = [_renamed(origin, "key", "source_id") for origin in line["origins"]]
        yield line


def faces(dataset: Dataset) -> Iterator[Line]:
    """Yield all faces; `landmarks` is a list of [name, x, y]."""
    for found in dataset.faces.iterate():
        yield {"image": found.image, **_face(found.face)}


def _face(face: Face) -> Line:
    return {
        "detector": face.detector,
        "box": list(face.box),
        "score": face.score,
        "landmarks": [list(mark) for mark in face.landmarks],
    }


def samples(dataset: Dataset) -> Iterator[Line]:
    """Yield all samples, those set aside included."""
    yield from _samples(dataset, dataset.samples.iter_by_key())


def _samples(dataset: Dataset, samples: Iterable[Sample]) -> Iterator[Line]:
    pairs = QualityMeasures(dataset.db).join(samples)
    while page := list(islice(pairs, 500)):
        places = dataset.images.get_origins({sample.image for sample, _ in page})
        for sample, quality in page:
            line = _renamed(_plain(sample), "key", "id")
            line |= {"box": list(sample.box), "phash": f"{sample.phash:016x}", "size": sample.size}
            line |= places.get(sample.image, NOWHERE)._asdict()
            line |= quality._asdict() if quality else dict.fromkeys(MEASURES)
            yield line | {"flags": flags_of(quality) if quality else []}


def groups(dataset: Dataset) -> Iterator[Line]:
    """Duplicate groups with the samples in them."""
    found: dict[str, list[str]] = {}
    for sample in dataset.samples.iter_by_key():
        if sample.group is not None:
            found.setdefault(sample.group, []).append(sample.key)
    for group, members in sorted(found.items()):
        yield {"group": group, "samples": members, **_files(dataset, members)}


def yields(dataset: Dataset) -> Iterator[Line]:
    """What each source gave for each keyword, hint or video, and why it gave no more."""
    for row in dataset.fetches.list_yields():
        line = {"source": row.source, "asked": row.asked or None, "added": row.added}
        yield line | {
            "duplicate": row.duplicate,
            "rejected": row.rejected,
            "reasons": row.reasons,
        }


def proposals(dataset: Dataset) -> Iterator[Line]:
    """What the newest presort proposes: the first class with its confidence, and `others`."""
    for found in iter_proposed_samples(dataset.db):
        (label, confidence), *others = found.proposals
        line = {"sample": found.sample, "status": found.status, "waits": found.waits}
        line |= {"label": label, "confidence": confidence}
        line["others"] = [other._asdict() for other in others]
        yield line | {name: getattr(found, name) for name in PRESORTED}


def list_clusters(dataset: Dataset) -> Iterator[Line]:
    """Look-alikes that wait, as the newest presort put them together, the largest stack first."""
    for stack in stacks_that_wait(dataset.db):
        line = {"stack": stack.id, "size": len(stack.waiting), "decided": stack.decided}
        line |= {"samples": list(stack.waiting), **_files(dataset, stack.waiting)}
        yield line


def doubts(dataset: Dataset) -> Iterator[Line]:
    """Labels that are likely wrong, as `baseline doubts` found them, the clearest first."""
    yield from _with_file(dataset, (doubt._asdict() for doubt in LabelIssues(dataset.db).iterate()))


def confusion(dataset: Dataset) -> Iterator[Line]:
    """Pictures that the newest run takes for another class, of each split the surest first.

    Those whose label was changed since, or taken back, are left out.
    """
    run = dataset.runs.get_latest("baseline")
    if run is not None:
        yield from _with_file(dataset, _wrong_answers(dataset, run.id))


def _wrong_answers(dataset: Dataset, run: str) -> Iterator[Line]:
    # What judges is loaded for this alone.
    from baseline.evaluation.metrics import list_mistakes
    from baseline.evaluation.outputs import load_outputs, log_softmax
    from baseline.evaluation.run_metrics import read_metrics

    folder = dataset.runs_folder / run
    for split, said in load_outputs(folder).items():
        figures = read_metrics(folder)
        scores = figures.calibration.apply(said.logits) if figures.calibration else said.logits
        for slip in list_mistakes(log_softmax(scores), said.y, said.keys, figures.classes):
            sample = dataset.samples.get(slip.key)
            if sample is not None and sample.label == slip.true:
                line = {"sample": slip.key, "label": slip.true, "predicted": slip.predicted}
                yield line | {"confidence": slip.confidence, "split": split, "run": run}


def _with_file(dataset: Dataset, lines: Iterator[Line]) -> Iterator[Line]:
    """Add to lines about a sample the file that it came from, and the picture of it itself."""
    while page := list(islice(lines, 500)):
        files = _files(dataset, [line["sample"] for line in page])
        for line, path, picture in zip(page, files["paths"], files["pictures"], strict=True):
            yield line | {"path": path, "picture": picture}


def _files(dataset: Dataset, keys: Sequence[str]) -> dict[str, list[str | None]]:
    known = dataset.samples.get_images(keys)
    places = dataset.images.get_origins({sha256 for sha256, _, _ in known.values()})
    paths: list[str | None] = []
    pictures: list[str | None] = []
    for key in keys:
        sha256, kind, detector = known.get(key, ("", "", ""))
        paths.append(places.get(sha256, NOWHERE).path)
        whole = detector == "whole"
        picture = dataset.image_path(sha256, kind) if whole else dataset.crop_path(key)
        pictures.append(str(picture) if sha256 else None)
    return {"paths": paths, "pictures": pictures}


def tracks(dataset: Dataset) -> Iterator[Line]:
    """Yield the faces that were followed through a scene, by video and time; `label` is what most
    of a track are labelled.
    """
    titles = SplitGroups(dataset.db).list_videos()
    for stored in Tracks(dataset.db).iterate():
        line = _renamed(_plain(stored.track), "name", "track")
        line |= {"video": stored.video, "title": titles.get(stored.video), "scene": stored.scene}
        line |= {"label": stored.label, "waiting": len(stored.waiting)}
        yield line | {"samples": list(stored.samples)}


def reports(dataset: Dataset) -> Iterator[Line]:
    """Yield what visitors said of answers, with the reports that claim another class of a face, and
    what they want removed, with possible copies of that in the dataset.
    """
    rivals = list_disputed_reports(dataset)
    for status in STATUSES:
        for report in Reports(dataset.db).iterate(status):
            line = {"id": report.id, "at": report.at, "status": report.status}
            line |= report.claim._asdict() | {"box": list(report.claim.box)}
            del line["phash"]
            line |= {"disputed_by": [rival.id for rival in rivals.get(report.id, ())]}
            copies = find_copies(dataset, report) if report.claim.kind == REMOVAL else []
            yield line | {"copies": [copy._asdict() for copy in copies]}


KINDS: dict[str, Callable[[Dataset], Iterator[Line]]] = {
    "images": images,
    "faces": faces,
    "samples": samples,
    "decisions": lambda dataset: map(_plain, dataset.journal.iterate()),
    "groups": groups,
    "rejections": lambda dataset: map(_plain, dataset.rejections.iterate()),
    "yields": yields,
    "runs": lambda dataset: map(_plain, dataset.runs.iterate()),
    "proposals": proposals,
    "stacks": list_clusters,
    "tracks": tracks,
    "doubts": doubts,
    "confusion": confusion,
    "snapshots": lambda dataset: map(_plain, Snapshots(dataset.root).iterate()),
    "reports": reports,
    "missed": iter_faceless_images,
}


def _column(hint: Any) -> Column:
    """Return what a column of values of that type holds."""
    if get_origin(hint) is UnionType:
        (hint,) = (one for one in get_args(hint) if one is not NoneType)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if hint is Box:
        return ["int64"]
    inner = get_args(hint)
    if get_origin(hint) is tuple and (inner[0] in _PLAIN or dataclasses.is_dataclass(inner[0])):
        return [_column(inner[0])]
    return _columns(hint) if dataclasses.is_dataclass(hint) else _JSON


def _columns(record: Any, **renamed: str) -> dict[str, Column]:
    hints = get_type_hints(record)
    return {renamed.get(name, name): _column(hint) for name, hint in hints.items()}


_HASH: dict[str, Column] = {"phash": "string"}
_FILE: dict[str, Column] = {"path": "string", "picture": "string"}
_FILES: dict[str, Column] = {"paths": ["string"], "pictures": ["string"]}
_PROPOSED: dict[str, Column] = {"sample": "string", "status": "string", "waits": "bool"}
_PROPOSED |= _columns(Proposal) | {"others": [_columns(Proposal)]}
_PROPOSED |= {name: _columns(PresortedSample)[name] for name in PRESORTED}
_YIELDS: dict[str, Column] = {"source": "string", "asked": "string", "added": "int64"}
_YIELDS |= {"duplicate": "int64", "rejected": "int64", "reasons": _JSON}
COLUMNS: dict[str, dict[str, Column]] = {
    "images": _columns(Image) | _HASH | {"origins": [_columns(Origin, key="source_id")]},
    "faces": {"image": "string"}
    | {name: column for name, column in _columns(Face).items() if name != "evidence"},
    "samples": _columns(Sample, key="id")
    | _HASH
    | _columns(OriginSummary)
    | _columns(Quality)
    | {"flags": ["string"]},
    "decisions": _columns(Decision),
    "groups": {"group": "string", "samples": ["string"], **_FILES},
    "rejections": _columns(Rejection),
    "yields": _YIELDS,
    "runs": _columns(Run),
    "proposals": _PROPOSED,
    "stacks": {
        "stack": "string",
        "size": "int64",
        "decided": "int64",
        "samples": ["string"],
        **_FILES,
    },
    "tracks": _columns(FaceTrack, name="track")
    | dict.fromkeys(("video", "title"), "string")
    | {"scene": "int64", "label": "string", "waiting": "int64", "samples": ["string"]},
    "doubts": _columns(LabelIssue) | _FILE,
    "confusion": {
        **dict.fromkeys(("sample", "label", "predicted", "split", "run"), "string"),
        "confidence": "double",
        **_FILE,
    },
    "snapshots": _columns(Snapshot),
    "reports": VISIT
    | {name: column for name, column in _columns(Claim).items() if name != "phash"}
    | {"disputed_by": ["int64"], "copies": [_columns(SimilarImage)]},
    "missed": {"image": "string", "file": "string", "width": "int64", "height": "int64"},
}


def _fields(columns: Mapping[str, Column]) -> Iterator[str]:
    for name, column in columns.items():
        parts = column[0] if isinstance(column, list) else ()
        yield from (f"{name}.{part}" for part in parts) if isinstance(parts, dict) else (name,)


FIELDS = {kind: list(_fields(columns)) for kind, columns in COLUMNS.items()}
"""Below `settings` and `result` of a run also anything."""


def listing(dataset: Dataset, kind: str, conditions: tuple[str, ...]) -> Iterator[Line]:
    """Yield the lines of one kind for which every condition `FIELD=VALUE` holds.

    A field inside a list holds when it holds for one of its members. Raises `UsageError`.
    """
    wanted = [_condition(kind, text) for text in conditions]
    for line in KINDS[kind](dataset):
        if all(value in map(_text, _values(line, path)) for path, value in wanted):
            yield line


def _condition(kind: str, text: str) -> tuple[list[str], str]:
    match = re.fullmatch(r"([\w.]+)\s*=\s*(.*)", text, re.DOTALL)
    if match is None:
        raise UsageError(
            f"--where {text!r} is not FIELD=VALUE",
            f"compare with jq: gleanset list {kind} | jq -c 'select(.FIELD >= 0.8)'",
        )
    field, value = match.groups()
    known = FIELDS[kind]
    if field not in known and not (kind == "runs" and field.startswith(("settings.", "result."))):
        hint = did_you_mean(field, known, "did you mean {}? ")
        raise UsageError(
            f"--where: {kind} have no field {field!r}", f"{hint}there are: {', '.join(known)}"
        )
    return field.split("."), value


def _values(value: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _values(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _values(value[path[0]], path[1:])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def write_lines(lines: Iterable[Line], out: Path) -> int:
    """Write one JSON object a line; return how many."""
    with whole_file(out) as partial, partial.open("w", encoding="utf-8") as file:
        texts = (json.dumps(line, ensure_ascii=False) for line in lines)
        return sum(bool(file.write(f"{text}\n")) for text in texts)


def write_table(lines: Iterable[Line], kind: str, out: Path) -> int:
    """Write a Parquet file, with the same columns whatever the lines hold; return how many.

    What has no type of its own (landmarks, settings and results of runs) is text in JSON.
    Raises `MissingComponent`.
    """
    columns = COLUMNS[kind]
    packed = [name for name, column in columns.items() if column == _JSON]
    types = {name: "string" if name in packed else column for name, column in columns.items()}
    number = 0
    with whole_file(out) as partial, parquet_file(partial, types) as write:
        rest = iter(lines)
        while rows := list(islice(rest, GROUP)):
            write([_packed(row, packed) for row in rows])
            number += len(rows)
    return number


def _packed(line: Line, names: Sequence[str]) -> Mapping[str, object]:
    return line | {name: json.dumps(line[name], ensure_ascii=False) for name in names}


def _renamed(line: Line, old: str, new: str) -> Line:
    return {new if name == old else name: value for name, value in line.items()}


def _plain(record: Any) -> Line:
    return dataclasses.asdict(record)
