"""`labeler import`: what is found becomes images, samples and decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gleanset import Dataset
from gleanset.db.journal import Choice, class_name
from gleanset.errors import InputUnusable
from gleanset.images.crops import Cutter
from gleanset.images.cut import CutSettings
from gleanset.images.keep import KeepBytes, KeepFile
from gleanset.records import Origin, Rejection
from gleanset.work.pool import Outcome, Processes, run_over
from gleanset.work.progress import Progress
from labeler.export.tree import marked
from labeler.importing.reading import Labelled, read_labelled
from labeler.importing.round_trip import Moves, find_moves
from labeler.importing.take import Take, Taken

STAGE = "import"
SOURCE = "import"


def import_labelled(
    dataset: Dataset, path: Path, *, simulate: bool = False, workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, object]:  # fmt: skip
    """Take labelled pictures in as one step that can be undone; the counts.

    An export of this dataset is read back: a picture that was moved into another class folder
    is relabelled, and pictures that were put in are added. Anything else is added as it is. A
    sample that has a decision already keeps it, and is counted as `disputed` where the labels
    differ. Raises `InputUnusable` for what holds no labelled pictures.
    """
    path = path.absolute()
    if marked(path):
        moves = find_moves(dataset, path)
        return _read_back(dataset, moves, path, simulate, workers, progress or Progress())
    kind, found = read_labelled(path)
    result: dict[str, object] = {"kind": kind}
    if simulate:
        return result | {"would_import": len(found)}
    return result | _take_in(dataset, found, path, workers, progress or Progress())


def _read_back(
    dataset: Dataset, moves: Moves, path: Path, simulate: bool, workers: int, progress: Progress
) -> dict[str, object]:
    result = moves.result()
    if simulate:
        return result
    if moves.relabelled:
        name = f"Import: {len(moves.relabelled)} moved in {path.name}"
        dataset.journal.step(
            name, [Choice(key, "label", label, SOURCE) for key, label in moves.relabelled.items()]
        )
    if moves.added:
        result |= _take_in(dataset, moves.added, path, workers, progress)
    return result


def _take_in(
    dataset: Dataset, found: Sequence[Labelled], path: Path, workers: int, progress: Progress
) -> dict[str, object]:
    for item in found:
        for _, label in item.labels:
            class_name(label)  # refused before anything is taken in
    tally: Counter[str] = Counter(added=0, duplicate=0, rejected=0)
    wanted: dict[str, str] = {}
    with dataset.stage(STAGE) as scratch:
        cutter = Cutter(CutSettings.of(dataset.settings.crop), dataset.crops(scratch))
        take = Take(KeepFile(KeepBytes(dataset.originals(scratch))), cutter)
        outcomes = run_over(take, found, Processes(workers))
        for outcome in progress.over(outcomes, "import", total=len(found)):
            _record(dataset, outcome, tally, wanted)
        disputed = _decide(dataset, wanted, path)
    if tally["rejected"] == len(found):
        raise InputUnusable(
            f"none of the {len(found)} pictures could be read",
            "see why: gleanset list rejections --where stage=import",
        )
    labels = Counter(class_name(label) for label in wanted.values())
    return {**tally, "labels": dict(sorted(labels.items())), "disputed": disputed}


def _record(
    dataset: Dataset, outcome: Outcome[Labelled, Taken], tally: Counter[str], wanted: dict[str, str]
) -> None:
    path, taken = str(outcome.item.path), outcome.result
    if taken is None:
        why = Rejection(STAGE, path, outcome.reason or "?", outcome.detail)
        dataset.rejections.add(why)
        tally["rejected"] += 1
        return
    if (reason := dataset.images.buried(taken.measured.sha256)) is not None:
        measured = taken.measured
        dataset.image_path(measured.sha256, measured.format).unlink(missing_ok=True)
        dataset.rejections.add(Rejection(STAGE, path, "forgotten", reason))
        tally["rejected"] += 1
        return
    with dataset.db.write():
        origin = Origin(SOURCE, path, path=path, title=outcome.item.path.name)
        new = dataset.images.add(taken.measured, origin)
        for cut, label in taken.cuts:
            dataset.faces.add_by_hand(taken.measured.sha256, cut)
            wanted[cut.key] = label
        dataset.rejections.clear(STAGE, path)
    tally["added" if new else "duplicate"] += 1


def _decide(dataset: Dataset, wanted: dict[str, str], path: Path) -> int:
    """Label what nobody has decided on; how many were decided otherwise."""
    choices, disputed = [], 0
    for key, label in wanted.items():
        sample = dataset.samples.get(key)
        if sample is None or sample.status in ("queue", "retired"):
            choices.append(Choice(key, "label", label, SOURCE))
        elif sample.label != class_name(label):
            disputed += 1
    if choices:
        dataset.journal.step(f"Import {len(choices)} from {path.name}", choices)
    return disputed
