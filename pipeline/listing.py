"""`gleanset list`: records of the catalogue as JSON Lines.

The order depends on content alone: two datasets with the same content give the same output.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from curation.manual_boxes import iter_faceless_images
from curation.web_reports import find_copies, list_disputed_reports
from gleanset import Dataset
from gleanset.config import did_you_mean
from gleanset.db.faces import Tracks
from gleanset.db.images import NO_SUMMARY, OriginSummary
from gleanset.db.proposals import Proposal, iter_proposed_samples
from gleanset.db.proposals import list_clusters as list_pending_clusters
from gleanset.db.regions import Quality, QualityMeasures
from gleanset.db.reports import REMOVAL, STATUSES, Claim, Reports, SimilarImage
from gleanset.db.rows import field_names
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.db.samples import SplitEvidence
from gleanset.db.snapshots import Snapshots
from gleanset.errors import UsageError
from gleanset.files.atomic import atomic_file
from gleanset.records import (
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

PRELABELLED = ("position", "cluster", "outlier")
MEASURES = [name for name in Quality._fields if name != "size"]


def images(dataset: Dataset) -> Iterator[Line]:
    """Yield all images with their origins."""
    for image in dataset.images.iterate():
        line = asdict(image)
        line["phash"] = f"{image.phash:016x}"
        line["origins"] = [_renamed(origin, "key", "source_id") for origin in line["origins"]]
        yield line


def faces(dataset: Dataset) -> Iterator[Line]:
    """Yield all faces; `landmarks` is a list of [name, x, y]."""
    for stored in dataset.faces.iterate():
        yield {"image": stored.image, **_face(stored.face)}


def _face(face: Face) -> Line:
    return {
        "detector": face.detector,
        "box": list(face.box),
        "score": face.score,
        "landmarks": [list(landmark) for landmark in face.landmarks],
    }


def samples(dataset: Dataset) -> Iterator[Line]:
    """Yield all samples, including duplicates."""
    yield from _samples(dataset, dataset.samples.iter_by_key())


def _samples(dataset: Dataset, samples: Iterable[Sample]) -> Iterator[Line]:
    pairs = QualityMeasures(dataset.db).join(samples)
    while page := list(islice(pairs, 500)):
        places = dataset.images.get_origins({sample.image for sample, _ in page})
        for sample, quality in page:
            line = _renamed(asdict(sample), "key", "id")
            line |= {"box": list(sample.box), "phash": f"{sample.phash:016x}", "size": sample.size}
            line |= places.get(sample.image, NO_SUMMARY)._asdict()
            line |= quality._asdict() if quality else dict.fromkeys(MEASURES)
            yield line | {"flags": flags_of(quality) if quality else []}


def groups(dataset: Dataset) -> Iterator[Line]:
    """Yield duplicate sets with their samples."""
    keys_by_set: dict[str, list[str]] = {}
    for sample in dataset.samples.iter_by_key():
        if sample.group is not None:
            keys_by_set.setdefault(sample.group, []).append(sample.key)
    for name, keys in sorted(keys_by_set.items()):
        yield {"group": name, "samples": keys, **_files(dataset, keys)}


def yields(dataset: Dataset) -> Iterator[Line]:
    """Yield the results of each source for each keyword, weak label or video."""
    for row in dataset.fetches.list_yields():
        line = {"source": row.source, "asked": row.asked or None, "added": row.added}
        yield line | {
            "duplicate": row.duplicate,
            "rejected": row.rejected,
            "reasons": row.reasons,
        }


def predictions(dataset: Dataset) -> Iterator[Line]:
    """Yield predictions of the latest prelabeling: the top class, its confidence, and `others`."""
    for row in iter_proposed_samples(dataset.db):
        (label, confidence), *others = row.proposals
        line = {"sample": row.sample, "status": row.status, "waits": row.waits}
        line |= {"label": label, "confidence": confidence}
        line["others"] = [other._asdict() for other in others]
        yield line | {name: getattr(row, name) for name in PRELABELLED}


def clusters(dataset: Dataset) -> Iterator[Line]:
    """Yield clusters of unlabelled samples of the latest prelabeling, the largest first."""
    for cluster in list_pending_clusters(dataset.db):
        line = {"cluster": cluster.id, "size": len(cluster.pending), "decided": cluster.decided}
        line |= {"samples": list(cluster.pending), **_files(dataset, cluster.pending)}
        yield line


def label_issues(dataset: Dataset) -> Iterator[Line]:
    """Yield label issues of `baseline label-issues`, the largest margin first."""
    yield from _with_file(dataset, (issue._asdict() for issue in LabelIssues(dataset.db).iterate()))


def confusion(dataset: Dataset) -> Iterator[Line]:
    """Yield wrong predictions of the latest run by split, the most confident first.

    Samples whose label has changed since are left out.
    """
    run = dataset.runs.get_latest("baseline")
    if run is not None:
        yield from _with_file(dataset, _wrong_predictions(dataset, run.id))


def _wrong_predictions(dataset: Dataset, run: str) -> Iterator[Line]:
    # Imported here because it is slow to load.
    from baseline.evaluation.metrics import list_mistakes
    from baseline.evaluation.outputs import load_outputs, log_softmax
    from baseline.evaluation.run_metrics import read_metrics

    folder = dataset.runs_folder / run
    for split, outputs in load_outputs(folder).items():
        figures = read_metrics(folder)
        logits = outputs.logits
        scores = log_softmax(figures.calibration.apply(logits) if figures.calibration else logits)
        predicted = scores.argmax(1)
        mistakes = list_mistakes(scores, predicted, outputs.y, outputs.keys, figures.classes)
        for mistake in mistakes:
            sample = dataset.samples.get(mistake.key)
            if sample is not None and sample.label == mistake.true:
                line = {"sample": mistake.key, "label": mistake.true}
                line |= {"predicted": mistake.predicted, "split": split, "run": run}
                yield line | {"confidence": mistake.confidence}


def _with_file(dataset: Dataset, lines: Iterator[Line]) -> Iterator[Line]:
    """Add the original file and the image of the sample to each line."""
    while page := list(islice(lines, 500)):
        files = _files(dataset, [line["sample"] for line in page])
        for line, path, original in zip(page, files["paths"], files["files"], strict=True):
            yield line | {"path": path, "file": original}


def _files(dataset: Dataset, keys: Sequence[str]) -> dict[str, list[str | None]]:
    images_by_key = dataset.samples.get_images(keys)
    places = dataset.images.get_origins({sha256 for sha256, _, _ in images_by_key.values()})
    paths: list[str | None] = []
    files: list[str | None] = []
    for key in keys:
        sha256, kind, detector = images_by_key.get(key, ("", "", ""))
        paths.append(places.get(sha256, NO_SUMMARY).path)
        is_whole = detector == "whole"
        file = dataset.image_path(sha256, kind) if is_whole else dataset.crop_path(key)
        files.append(str(file) if sha256 else None)
    return {"paths": paths, "files": files}


def tracks(dataset: Dataset) -> Iterator[Line]:
    """Yield tracks by video and time; `label` is the class of most of their samples."""
    titles = SplitEvidence(dataset.db).list_videos()
    for stored in Tracks(dataset.db).iterate():
        line = _renamed(asdict(stored.track), "name", "track")
        line |= {"video": stored.video, "title": titles.get(stored.video), "scene": stored.scene}
        line |= {"label": stored.label, "waiting": len(stored.pending)}
        yield line | {"samples": list(stored.samples)}


def reports(dataset: Dataset) -> Iterator[Line]:
    """Yield reports from the page, with those they contradict and, for removals, the copies."""
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
    "decisions": lambda dataset: map(asdict, dataset.journal.iterate()),
    "groups": groups,
    "rejections": lambda dataset: map(asdict, dataset.rejections.iterate()),
    "yields": yields,
    "runs": lambda dataset: map(asdict, dataset.runs.iterate()),
    "predictions": predictions,
    "clusters": clusters,
    "tracks": tracks,
    "label-issues": label_issues,
    "confusion": confusion,
    "snapshots": lambda dataset: map(asdict, Snapshots(dataset.root).iterate()),
    "reports": reports,
    "missed": iter_faceless_images,
}


def _fields(record: type, /, below: str = "", **renamed: str) -> list[str]:
    """Return the field names of a record, or of those in a list of the field `below`."""
    names = [renamed.get(name, name) for name in field_names(record)]
    return [f"{below}.{name}" for name in names] if below else names


_FILE, _FILES = ["path", "file"], ["paths", "files"]
FIELDS: dict[str, list[str]] = {
    "images": [
        *(name for name in _fields(Image) if name != "origins"),
        *_fields(Origin, below="origins", key="source_id"),
    ],
    "faces": ["image", *(name for name in _fields(Face) if name != "evidence")],
    "samples": [*_fields(Sample, key="id"), *_fields(OriginSummary), *Quality._fields, "flags"],
    "decisions": _fields(Decision),
    "groups": ["group", "samples", *_FILES],
    "rejections": _fields(Rejection),
    "yields": ["source", "asked", "added", "duplicate", "rejected", "reasons"],
    "runs": _fields(Run),
    "predictions": [
        *("sample", "status", "waits", *_fields(Proposal), *PRELABELLED),
        *_fields(Proposal, below="others"),
    ],
    "clusters": ["cluster", "size", "decided", "samples", *_FILES],
    "tracks": [
        *_fields(FaceTrack, name="track"),
        *("video", "title", "scene", "label", "waiting", "samples"),
    ],
    "label-issues": [*_fields(LabelIssue), *_FILE],
    "confusion": ["sample", "label", "predicted", "split", "run", "confidence", *_FILE],
    "snapshots": _fields(Snapshot),
    "reports": [
        *("id", "at", "status", *(name for name in _fields(Claim) if name != "phash")),
        *("disputed_by", *_fields(SimilarImage, below="copies")),
    ],
    "missed": ["image", "file", "width", "height"],
}
"""Field names by kind; runs also have any name below `settings` and `result`."""


def list_records(dataset: Dataset, kind: str, conditions: tuple[str, ...]) -> Iterator[Line]:
    """Yield records of one kind that meet all conditions `FIELD=VALUE`.

    For a field in a list, one item has to match. Raises `UsageError`.
    """
    parsed = [_parse_condition(kind, text) for text in conditions]
    for line in KINDS[kind](dataset):
        if all(value in map(_text, _values(line, path)) for path, value in parsed):
            yield line


def _parse_condition(kind: str, text: str) -> tuple[list[str], str]:
    match = re.fullmatch(r"([\w.]+)\s*=\s*(.*)", text, re.DOTALL)
    if match is None:
        raise UsageError(
            f"--where is not FIELD=VALUE: {text!r}",
            f"filter with jq: gleanset list {kind} | jq -c 'select(.FIELD >= 0.8)'",
        )
    field, value = match.groups()
    fields = FIELDS[kind]
    if field not in fields and not (kind == "runs" and field.startswith(("settings.", "result."))):
        guess = did_you_mean(field, fields, "did you mean {}? ")
        raise UsageError(
            f"--where: unknown field of {kind}: {field!r}",
            f"{guess}use one of: {', '.join(fields)}",
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
    """Write JSON Lines; return the number of lines."""
    with atomic_file(out) as partial, partial.open("w", encoding="utf-8") as file:
        texts = (json.dumps(line, ensure_ascii=False) for line in lines)
        return sum(bool(file.write(f"{text}\n")) for text in texts)


def _renamed(line: Line, old: str, new: str) -> Line:
    return {new if name == old else name: value for name, value in line.items()}
