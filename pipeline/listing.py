"""`gleanset list`: records of the catalogue as JSON Lines.

The order depends on content alone: two datasets with the same content give the same output.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain, islice
from typing import Any

from gleanset import Dataset
from gleanset.config import did_you_mean
from gleanset.db.faces import Tracks
from gleanset.db.images import NO_SUMMARY
from gleanset.db.proposals import iter_proposed_samples
from gleanset.db.proposals import list_clusters as list_pending_clusters
from gleanset.db.regions import Quality, QualityMeasures, flags_of
from gleanset.db.reports import STATUSES, Reports
from gleanset.db.runs import LabelIssues
from gleanset.db.samples import SplitEvidence
from gleanset.db.snapshots import Snapshots
from gleanset.db.sorting import SampleTiles
from gleanset.errors import UsageError
from gleanset.records import Face
from webapp.report_decisions import (
    find_copies,
    get_claimed_class,
    list_disputed_reports,
)

Line = dict[str, Any]

MARKS = {"other": "unlisted person", "later": "skipped"}
MEASURES = [name for name in Quality._fields if name != "size"]


def images(dataset: Dataset) -> Iterator[Line]:
    """Yield all images with their origins."""
    for image in dataset.images.iterate():
        line = asdict(image)
        line["phash"] = f"{image.phash:016x}"
        line["origins"] = [
            _renamed(origin, "key", "source_id") for origin in line["origins"]
        ]
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
    pairs = QualityMeasures(dataset.db).join(dataset.samples.iter_by_key())
    tiles = SampleTiles(dataset.db)
    while page := list(islice(pairs, 500)):
        places = dataset.images.get_origins({sample.image for sample, _ in page})
        ids = tiles.get_ids([sample.key for sample, _ in page])
        marks = tiles.get_marks(list(ids))
        for sample, quality in page:
            line = _renamed(asdict(sample), "key", "id")
            line["mark"] = MARKS.get(marks[ids[sample.key]] or "")
            line |= {
                "box": list(sample.box),
                "phash": f"{sample.phash:016x}",
                "size": sample.size,
            }
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
        yield {
            "source": row.source,
            "asked": row.asked or None,
            "added": row.added,
            "duplicate": row.duplicate,
            "known": row.known,
            "rejected": row.rejected,
            "reasons": row.reasons,
        }


def predictions(dataset: Dataset) -> Iterator[Line]:
    """Yield predictions of the latest prelabeling: the top class, its confidence, and `others`."""
    for row in iter_proposed_samples(dataset.db):
        (label, confidence), *others = row.proposals
        yield {
            "sample": row.sample,
            "status": row.status,
            "waits": row.waits,
            "label": label,
            "confidence": confidence,
            "others": [other._asdict() for other in others],
            "position": row.position,
            "cluster": row.cluster,
            "outlier": row.outlier,
        }


def clusters(dataset: Dataset) -> Iterator[Line]:
    """Yield clusters of unlabelled samples of the latest prelabeling, the largest first."""
    for cluster in list_pending_clusters(dataset.db):
        yield {
            "cluster": cluster.id,
            "size": len(cluster.pending),
            "decided": cluster.decided,
            "samples": list(cluster.pending),
            **_files(dataset, cluster.pending),
        }


def label_issues(dataset: Dataset) -> Iterator[Line]:
    """Yield label issues of `baseline label-issues`, the largest margin first."""
    yield from _with_file(
        dataset, (issue._asdict() for issue in LabelIssues(dataset.db).iterate())
    )


def confusion(dataset: Dataset) -> Iterator[Line]:
    """Yield wrong predictions of the latest run by split, the most confident first.

    Samples whose label has changed since are left out.
    """
    run = dataset.runs.get_latest("baseline")
    if run is not None:
        yield from _with_file(dataset, _wrong_predictions(dataset, run.id))


def _wrong_predictions(dataset: Dataset, run: str) -> Iterator[Line]:
    # Imported here because it is slow to load.
    from baseline.evaluation.metrics import list_mistakes, read_current_metrics
    from baseline.evaluation.outputs import load_outputs, log_softmax

    folder = dataset.runs_folder / run
    for split, outputs in load_outputs(folder).items():
        figures = read_current_metrics(dataset, folder)
        logits = outputs.logits
        scores = log_softmax(
            figures.calibration.apply(logits) if figures.calibration else logits
        )
        predicted = scores.argmax(1)
        mistakes = list_mistakes(
            scores, predicted, outputs.y, outputs.keys, figures.classes
        )
        for mistake in mistakes:
            sample = dataset.samples.get(mistake.key)
            if sample is not None and sample.label == mistake.true:
                yield {
                    "sample": mistake.key,
                    "label": mistake.true,
                    "predicted": mistake.predicted,
                    "split": split,
                    "run": run,
                    "confidence": mistake.confidence,
                }


def _with_file(dataset: Dataset, lines: Iterator[Line]) -> Iterator[Line]:
    """Add the original file and the image of the sample to each line."""
    while page := list(islice(lines, 500)):
        files = _files(dataset, [line["sample"] for line in page])
        for line, path, original in zip(
            page, files["paths"], files["files"], strict=True
        ):
            yield line | {"path": path, "file": original}


def _files(dataset: Dataset, keys: Sequence[str]) -> dict[str, list[str | None]]:
    images_by_key = dataset.samples.get_images(keys)
    places = dataset.images.get_origins(
        {sha256 for sha256, _, _ in images_by_key.values()}
    )
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
        yield _renamed(stored.track._asdict(), "name", "track") | {
            "video": stored.video,
            "title": titles.get(stored.video),
            "scene": stored.scene,
            "label": stored.label,
            "waiting": len(stored.pending),
            "samples": list(stored.samples),
        }


def reports(dataset: Dataset) -> Iterator[Line]:
    """Yield reports from the page, with those they contradict and possible copies."""
    rivals = list_disputed_reports(dataset)
    for status in STATUSES:
        reports = list(Reports(dataset.db).iterate(status))
        copies = find_copies(dataset, reports)
        for report in reports:
            claim = asdict(report.claim)
            del claim["phash"]
            others = rivals.get(report.id, ())
            yield {
                "id": report.id,
                "at": report.at,
                "status": report.status,
                **claim,
                "box": list(report.claim.box),
                "class": get_claimed_class(dataset, report),
                "disputed_by": [rival.report for rival in others if rival.report],
                "sample_is": next(
                    (r.name or r.status for r in others if not r.report), None
                ),
                "copies": [copy._asdict() for copy in copies[report.id]],
            }


def missed(dataset: Dataset) -> Iterator[Line]:
    """Yield searched images without a face."""
    for sha256, kind in dataset.scans.iter_faceless():
        image = dataset.images.get(sha256)
        if image is not None:
            file = dataset.image_path(sha256, kind)
            yield {
                "image": sha256,
                "file": str(file),
                "width": image.width,
                "height": image.height,
            }


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
    "missed": missed,
}


def list_records(
    dataset: Dataset, kind: str, conditions: tuple[str, ...]
) -> Iterator[Line]:
    """Yield records of one kind that meet all conditions `FIELD=VALUE`.

    For a field in a list, one item has to match. Raises `UsageError`.
    """
    parsed = [_parse_condition(kind, text) for text in conditions]
    lines = KINDS[kind](dataset)
    first = next(lines, None)
    if first is None:
        return
    for field, _ in parsed:
        _check_field(kind, field, first)
    for line in chain([first], lines):
        if all(
            value in map(_text, _values(line, field.split(".")))
            for field, value in parsed
        ):
            yield line


def _parse_condition(kind: str, text: str) -> tuple[str, str]:
    match = re.fullmatch(r"([\w.]+)\s*=\s*(.*)", text, re.DOTALL)
    if match is None:
        raise UsageError(
            f"--where is not FIELD=VALUE: {text!r}",
            f"filter with jq: gleanset list {kind} | jq -c 'select(.FIELD >= 0.8)'",
        )
    return match[1], match[2]


def _check_field(kind: str, field: str, line: Line) -> None:
    """Check that a record has a field. Raises `UsageError`."""
    names = list(_field_names(line))
    top, _, below = field.partition(".")
    # Other records may have other fields there: settings of a run, the items of a list.
    may_vary = bool(below) and (line.get(top) == [] or isinstance(line.get(top), dict))
    if field not in names and not may_vary:
        guess = did_you_mean(field, names, "did you mean {}? ")
        raise UsageError(
            f"--where: unknown field of {kind}: {field!r}",
            f"{guess}use one of: {', '.join(names)}",
        )


def _field_names(line: Line) -> Iterator[str]:
    for name, value in line.items():
        items = value if isinstance(value, list) else []
        below = [
            f"{name}.{key}" for item in items if isinstance(item, dict) for key in item
        ]
        yield from dict.fromkeys(below) or [name]


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


def _renamed(line: Line, old: str, new: str) -> Line:
    return {new if name == old else name: value for name, value in line.items()}
