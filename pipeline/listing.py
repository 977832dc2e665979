"""`gleanset list`: records of the catalogue as JSON Lines.

The order depends on content alone: two datasets with the same content give the same output.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain, islice
from typing import Any, NamedTuple

from gleanset import Dataset
from gleanset.config import did_you_mean
from gleanset.db.faces import WHOLE
from gleanset.db.images import NO_SUMMARY
from gleanset.db.proposals import iter_proposed_samples, list_clusters
from gleanset.db.regions import Quality, QualityMeasures, flags_of
from gleanset.db.reports import STATUSES
from gleanset.db.runs import LabelIssues
from gleanset.db.samples import Hints, SplitEvidence
from gleanset.db.sorting import SampleTiles
from gleanset.errors import UsageError
from webapp.report_decisions import (
    find_copies,
    get_claimed_class,
    list_disputed_reports,
)

Line = dict[str, Any]
PAGE_SIZE = 500
"""Lines whose files are looked up together."""

MARKS = {"other": "unlisted person", "later": "not sure"}
MEASURES = [name for name in Quality._fields if name != "size"]


def iter_images(dataset: Dataset) -> Iterator[Line]:
    """Yield all images with their origins."""
    for image in dataset.images.iterate():
        line = asdict(image)
        # 64 bits as 16 digits, since other programs read large numbers as floats.
        line["phash"] = f"{image.phash:016x}"
        line["origins"] = [
            _rename_field(origin, "key", "source_id") for origin in line["origins"]
        ]
        yield line


def iter_faces(dataset: Dataset) -> Iterator[Line]:
    """Yield all faces; `landmarks` is a list of [name, x, y]."""
    for row in dataset.faces.iterate():
        face = row.face
        yield {
            "image": row.image,
            "detector": face.detector,
            "box": face.box,
            "score": face.score,
            "landmarks": face.landmarks,
        }


def iter_samples(dataset: Dataset) -> Iterator[Line]:
    """Yield all samples, including duplicates.

    The weak labels of a queued sample and its copies are `disputed` if they name several classes.
    """
    disputed = {
        sample.key for sample in Hints(dataset.db).iter_waiting() if sample.hints > 1
    }
    pairs = QualityMeasures(dataset.db).join(dataset.samples.iter_by_key())
    tiles = SampleTiles(dataset.db)
    while page := list(islice(pairs, PAGE_SIZE)):
        # By pages: origins and marks of a whole page take one query each.
        samples = [sample for sample, _ in page]
        origins = dataset.images.get_origins({sample.image for sample in samples})
        ids = tiles.get_ids([sample.key for sample in samples])
        marks = tiles.get_marks(list(ids))

        for sample, quality in page:
            line = _rename_field(asdict(sample), "key", "id")
            line["mark"] = MARKS.get(marks[ids[sample.key]] or "")
            line["phash"] = f"{sample.phash:016x}"
            line["size"] = sample.size
            line["disputed"] = sample.key in disputed
            line |= origins.get(sample.image, NO_SUMMARY)._asdict()
            if quality:
                line |= quality._asdict()
                line["flags"] = flags_of(quality)
            else:
                line |= dict.fromkeys(MEASURES)
                line["flags"] = []
            yield line


def iter_groups(dataset: Dataset) -> Iterator[Line]:
    """Yield duplicate sets with their samples."""
    keys_by_set = defaultdict[str, list[str]](list)
    for sample in dataset.samples.iter_by_key():
        if sample.group is not None:
            keys_by_set[sample.group].append(sample.key)
    for name, keys in sorted(keys_by_set.items()):
        yield {
            "group": name,
            "samples": keys,
            **_list_files(dataset, keys),
        }


def iter_predictions(dataset: Dataset) -> Iterator[Line]:
    """Yield predictions of the latest prelabeling: the top class, its confidence, and `others`."""
    for row in iter_proposed_samples(dataset.db):
        line = row._asdict()
        (label, confidence), *others = line.pop("proposals")
        yield line | {
            "label": label,
            "confidence": confidence,
            "others": [other._asdict() for other in others],
        }


def iter_clusters(dataset: Dataset) -> Iterator[Line]:
    """Yield clusters of unlabelled samples of the latest prelabeling, the largest first."""
    for cluster in list_clusters(dataset.db):
        yield {
            "cluster": cluster.id,
            "size": len(cluster.pending),
            "decided": cluster.decided,
            "samples": list(cluster.pending),
            **_list_files(dataset, cluster.pending),
        }


def iter_label_issues(dataset: Dataset) -> Iterator[Line]:
    """Yield label issues of `baseline label-issues`, the largest margin first."""
    yield from _add_files(
        dataset, (issue._asdict() for issue in LabelIssues(dataset.db).iterate())
    )


def iter_confusion(dataset: Dataset) -> Iterator[Line]:
    """Yield wrong predictions of the latest run by split, the most confident first.

    Samples whose label has changed since are left out.
    """
    run = dataset.runs.get_latest("baseline")
    if run is not None:
        yield from _add_files(dataset, _list_wrong_predictions(dataset, run.id))


def _list_wrong_predictions(dataset: Dataset, run: str) -> Iterator[Line]:
    # Imported here because it is slow to load.
    from baseline.evaluation.decision_rule import decide_outputs, load_decision_rule
    from baseline.evaluation.metrics import list_mistakes, read_metrics
    from baseline.evaluation.outputs import load_outputs

    folder = dataset.runs_folder / run
    rule = load_decision_rule(folder)
    # The rule is applied with the class names of the training, mistakes are listed with present
    # names.
    former_names = read_metrics(folder).classes
    for split, outputs in load_outputs(folder).items():
        decisions = decide_outputs(outputs, former_names, rule)
        for mistake in list_mistakes(
            decisions.confidences,
            decisions.classes,
            outputs.y,
            outputs.keys,
            read_metrics(folder, dataset).classes,
        ):
            sample = dataset.samples.get(mistake.key)
            if sample and sample.label == mistake.true:
                yield {
                    "sample": mistake.key,
                    "label": mistake.true,
                    "predicted": mistake.predicted,
                    "split": split,
                    "run": run,
                    "confidence": mistake.confidence,
                }


def _add_files(dataset: Dataset, lines: Iterator[Line]) -> Iterator[Line]:
    """Add the original file and the image of the sample to each line."""
    while page := list(islice(lines, PAGE_SIZE)):
        files = _list_files(
            dataset,
            [line["sample"] for line in page],
        )
        for line, path, file in zip(page, files["paths"], files["files"], strict=True):
            yield line | {"path": path, "file": file}


def _list_files(dataset: Dataset, keys: Sequence[str]) -> dict[str, list[str | None]]:
    """Return paths of the original files, and images of the samples in the dataset."""
    images_by_key = dataset.samples.get_images(keys)
    origins = dataset.images.get_origins(
        {sha256 for sha256, _, _ in images_by_key.values()}
    )
    paths: list[str | None] = []
    files: list[str | None] = []
    for key in keys:
        if key not in images_by_key:
            paths.append(None)
            files.append(None)
            continue
        sha256, kind, detector = images_by_key[key]
        paths.append(origins.get(sha256, NO_SUMMARY).path)
        is_whole = detector == WHOLE
        file = dataset.image_path(sha256, kind) if is_whole else dataset.crop_path(key)
        files.append(str(file))

    return {"paths": paths, "files": files}


def iter_tracks(dataset: Dataset) -> Iterator[Line]:
    """Yield tracks by video and time; `label` is the class of most of their samples."""
    titles = SplitEvidence(dataset.db).list_videos()
    for row in dataset.tracks.iterate():
        yield _rename_field(row.track._asdict(), "name", "track") | {
            "video": row.video,
            "title": titles.get(row.video),
            "scene": row.scene,
            "label": row.label,
            "waiting": len(row.pending),
            "samples": list(row.samples),
        }


def iter_reports(dataset: Dataset) -> Iterator[Line]:
    """Yield reports from the page, with those they contradict and possible copies."""
    rivals_by_report = list_disputed_reports(dataset)
    for status in STATUSES:
        reports = list(dataset.reports.iterate(status))
        copies = find_copies(dataset, reports)
        for report in reports:
            claim = asdict(report.claim)
            # Left out: only the search for copies uses it.
            del claim["phash"]
            rivals = rivals_by_report.get(report.id, ())
            # A rival without a report is the sample itself.
            labels = [
                rival.name or rival.status for rival in rivals if not rival.report
            ]
            yield {
                "id": report.id,
                "at": report.at,
                "status": report.status,
                **claim,
                "class": get_claimed_class(dataset, report),
                "disputed_by": [rival.report for rival in rivals if rival.report],
                "sample_is": labels[0] if labels else None,
                "copies": [copy._asdict() for copy in copies[report.id]],
            }


def iter_images_without_face(dataset: Dataset) -> Iterator[Line]:
    """Yield searched images without a face."""
    for sha256, kind in dataset.scans.iter_faceless():
        image = dataset.images.get(sha256)
        if image is not None:
            yield {
                "image": sha256,
                "file": str(dataset.image_path(sha256, kind)),
                "width": image.width,
                "height": image.height,
            }


KINDS: dict[str, Callable[[Dataset], Iterator[Line]]] = {
    "images": iter_images,
    "faces": iter_faces,
    "samples": iter_samples,
    "decisions": lambda dataset: map(asdict, dataset.journal.iterate()),
    "groups": iter_groups,
    "rejections": lambda dataset: map(asdict, dataset.rejections.iterate()),
    "yields": lambda dataset: (row._asdict() for row in dataset.fetches.list_yields()),
    "runs": lambda dataset: map(asdict, dataset.runs.iterate()),
    "predictions": iter_predictions,
    "clusters": iter_clusters,
    "tracks": iter_tracks,
    "label-issues": iter_label_issues,
    "confusion": iter_confusion,
    "snapshots": lambda dataset: map(asdict, dataset.snapshots.iterate()),
    "reports": iter_reports,
    "missed": iter_images_without_face,
}


def list_records(
    dataset: Dataset, kind: str, conditions: tuple[str, ...]
) -> Iterator[Line]:
    """Yield records of one kind that meet all conditions `FIELD=VALUE`.

    For a field in a list, one item has to match. Raises `UsageError`.
    """
    filters = [_parse_condition(kind, text) for text in conditions]
    lines = KINDS[kind](dataset)
    first = next(lines, None)
    if first is None:
        return
    # The first line has the fields of all.
    for condition in filters:
        _check_field(kind, condition.field, first)

    for line in chain([first], lines):
        if all(condition.matches(line) for condition in filters):
            yield line


class _Condition(NamedTuple):
    """A field by name, also within others (`origins.source`), and its value as text."""

    field: str
    value: str

    def matches(self, line: Line) -> bool:
        return self.value in map(_to_text, _iter_values(line, self.field.split(".")))


def _parse_condition(kind: str, text: str) -> _Condition:
    match = re.fullmatch(r"([\w.]+)\s*=\s*(.*)", text, re.DOTALL)
    if not match:
        raise UsageError(
            f"--where is not FIELD=VALUE: {text!r}",
            f"filter with jq: gleanset list {kind} | jq -c 'select(.FIELD >= 0.8)'",
        )
    return _Condition(match[1], match[2])


def _check_field(kind: str, field: str, line: Line) -> None:
    """Check by one record that its kind has a field. Raises `UsageError`."""
    names = list(_iter_field_names(line))
    top, _, inner = field.partition(".")
    value = line.get(top)
    # Other records may have other fields there: runs differ in their settings, and an empty list
    # does not show the fields of its items.
    may_vary = bool(inner) and (value == [] or isinstance(value, dict))
    if field not in names and not may_vary:
        guess = did_you_mean(field, names, "did you mean {}? ")
        raise UsageError(
            f"--where: unknown field of {kind}: {field!r}",
            f"{guess}use one of: {', '.join(names)}",
        )


def _iter_field_names(line: Line) -> Iterator[str]:
    """Yield the fields; of a list of records those of its items."""
    for name, value in line.items():
        # A dict as an ordered set: the items may have different fields.
        inner_names: dict[str, None] = {}
        items = value if isinstance(value, list) else []
        for item in items:
            if isinstance(item, dict):
                inner_names |= dict.fromkeys(f"{name}.{key}" for key in item)
        yield from inner_names or [name]


def _iter_values(value: Any, path: list[str]) -> Iterator[Any]:
    """Yield the values of a field, given as the names from the outermost record inwards."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _iter_values(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _iter_values(value[path[0]], path[1:])


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _rename_field(line: Line, old: str, new: str) -> Line:
    return {new if name == old else name: value for name, value in line.items()}
