"""`labeler import`: what is found becomes images, samples and decisions."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from curation.moments import moments_of
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.file_groups import FileGroups, GroupBy
from gleanset.files.names import VIDEOS, printable
from gleanset.files.store import Store
from gleanset.images.cut import CutSettings, Cutter, within
from gleanset.images.decode import DecodedImage, decode
from gleanset.images.staging import StageBytes, StageFile
from gleanset.named_files import few_files, first_lines, rejections_of, short_name
from gleanset.operations import operation
from gleanset.records import HAND, Box, Face, FaceCrop, Measured, Origin, Rectangle, Rejection
from gleanset.source_table import SourceTables, unmatched_summary
from gleanset.tree import ignored_summary
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from labeler.export.tree import marked
from labeler.importing.labelled import (
    FRACTIONS,
    Frame,
    ImportTree,
    LabelledFiles,
    LabelledPicture,
    PictureSource,
)
from labeler.importing.reading import not_by_folders, read_labelled
from labeler.importing.request import SOURCE, ImportRequest
from labeler.importing.round_trip import find_moves, is_of
from labeler.sorting.names import folded


def place_box(box: Rectangle, frame: Frame | None, image: DecodedImage) -> Box:
    """Return a box of an image whose size was `frame`, in whole pixels of the upright image.

    Raises `Unreadable` for a box outside, and for a frame that the image was not scaled from.
    """
    size: Frame = (image.width, image.height)
    stored: Frame = size if image.orientation < 5 else (image.height, image.width)
    if frame is None or frame == size:
        placed = box
    elif frame == stored:
        placed = _upright(box, frame, image.orientation)
    elif frame == FRACTIONS or _same_shape(frame, size):
        placed = _scaled(box, frame, size)
    elif _same_shape(frame, stored):
        placed = _upright(_scaled(box, frame, stored), stored, image.orientation)
    else:
        raise Unreadable(
            "another size than annotated",
            f"{image.width} x {image.height}, annotated at {frame[0]:g} x {frame[1]:g}",
        )
    x, y, width, height = map(round, placed)
    part = within(Box(x, y, width, height), image.width, image.height)
    if part is None:
        raise Unreadable(
            "box outside", f"{(x, y, width, height)} in {image.width} x {image.height} pixels"
        )
    return part


def _same_shape(frame: Frame, size: Frame) -> bool:
    """Return whether an image may be scaled from a frame, its sides rounded to whole pixels."""
    return abs(frame[0] * size[1] - frame[1] * size[0]) <= frame[0] + frame[1]


def _scaled(box: Rectangle, frame: Frame, size: Frame) -> Rectangle:
    across, down = size[0] / frame[0], size[1] / frame[1]
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def _upright(box: Rectangle, frame: Frame, orientation: int) -> Rectangle:
    """Turn a box of the stored pixels as EXIF orientations 5 to 8 turn these."""
    x, y, width, height = box
    right, bottom = frame[0] - x - width, frame[1] - y - height
    left = {5: y, 6: bottom, 7: bottom, 8: y}[orientation]
    top = {5: x, 6: x, 7: right, 8: right}[orientation]
    return left, top, height, width


STAGE = "import"


class Intake(NamedTuple):
    """What is taken in: from which folder or file, with how many processes, and who is told."""

    path: Path
    workers: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class ImportedPicture:
    """What a worker gives back: the image, and a sample with its label for each box.

    `dropped` has the reasons of boxes that were left out.
    """

    measured: Measured
    cuts: tuple[tuple[FaceCrop, str], ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PictureImport:
    """Stores a picture and cuts its boxes; picklable."""

    keep: StageFile
    cutter: Cutter

    def __call__(self, item: LabelledPicture) -> ImportedPicture:
        """Raises `Unreadable` for what is not an image, or has no box that can be used."""
        measured = self.keep(item.path)
        whole = Box(0, 0, measured.width, measured.height)
        data = self.keep.keep.store.read(measured.sha256, measured.format)
        image = decode(data)
        pixels = np.asarray(image.pixels)
        cuts, dropped = [], list[Unreadable]()
        for box, label in item.labels:
            try:
                place = place_box(box, item.frame, image) if box else whole
            except Unreadable as error:
                dropped.append(error)
                continue
            face = Face("whole" if place == whole else HAND, place, 1.0)
            cuts.append((self.cutter.cut(measured.sha256, pixels, face), label))
        if dropped and not cuts:
            raise dropped[0]
        return ImportedPicture(measured, tuple(cuts), tuple(error.reason for error in dropped))


def import_labelled(
    dataset: Dataset,
    request: ImportRequest,
    *,
    simulate: bool = False,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Take labelled pictures in as one step that can be undone; the counts.

    An export of this dataset is read back, anything else is added. A sample that has a decision
    keeps it, and one in several classes goes into the queue: both are `disputed` where the labels
    differ. Raises `InputUnusable` for what holds no labelled pictures, `UsageError` for a level
    where no folder names a class, and for names in which no group is found.
    """
    path, progress = Path(request.path).absolute(), progress or Progress()
    class_level = request.class_level
    group_by = None if request.group_by is None else GroupBy.parse(request.group_by)
    intake = Intake(path, request.workers or 0, progress)
    if is_of(dataset, marked(path)):
        return _read_back(dataset, request, intake, simulate=simulate)
    files = read_labelled(path, class_level)
    groups = FileGroups(group_by, (picture.path.name for picture in files.pictures))
    level = (class_level or 1) if files.kind in ("tree", "export") else None
    tables = SourceTables(files.tree.root)
    tables.read(files.tree.root)
    labelled = list(_with_sources(files, tables, level, groups))
    ours = bool(marked(files.tree.root))
    _check_names(dataset, files.classes(), told_apart=ours)
    result: dict[str, object] = {"kind": files.kind, "files": files.tree.count()}
    result |= unmatched_summary(tables.unmatched())
    if files.note:
        result["check_classes"] = files.note
    takes_splits = ours and next(dataset.samples.in_splits(), None) is None
    outermost = [picture.path.relative_to(files.tree.root).parts[0] for picture in labelled]
    folders = Counter(name for name in outermost if name in files.splits)
    if folders and not takes_splits:
        result["split_folders_not_taken_over"] = dict(sorted(folders.items()))
    if simulate:
        for picture in labelled:
            groups.note(_origin(picture))
        result["would_import"] = len(labelled)
        result |= {"rejected": len(files.refused)} if files.refused else {}
        result["labels"] = dict(sorted(files.classes().items()))
    else:
        _note_unreadable(dataset, files.tree)
        taken = _take_in(dataset, files, labelled, intake, groups)
        result |= {**taken, "labels": dict(sorted(taken["labels"].items()))}
        if takes_splits and (splits := _take_splits(dataset, files)):
            result["splits"] = splits
    result |= _left_out(files)
    return result | groups.summary()


def _note_unreadable(dataset: Dataset, tree: ImportTree) -> None:
    for error in tree.unreadable:
        path = printable(Path(str(error.filename)))
        dataset.rejections.add(Rejection(STAGE, path, "cannot be read", str(error.strerror)))


def _left_out(files: LabelledFiles) -> dict[str, object]:
    summary = ignored_summary(files.ignored_counts())
    if files.tree.unreadable:
        summary["unreadable_folders"] = len(files.tree.unreadable)
    if files.missing:
        summary["missing"] = len(files.missing)
        summary["missing_files"] = first_lines([short_name(name) for name in files.missing])
    if files.dropped:
        counts = Counter(reason for _, reason in files.dropped)
        summary["ignored_annotations"] = dict(counts.most_common())
        summary["annotations_of"] = first_lines([f"{of}: {why}" for of, why in files.dropped])
    return summary


def _take_splits(dataset: Dataset, files: LabelledFiles) -> dict[str, int]:
    """Give samples the split that they had in an export; return how many each has."""
    split_of = {str(path): source.split for path, source in files.sources.items() if source.split}
    by_image = {
        image.sha256: split_of[str(origin.path)]
        for image in (dataset.images.each() if split_of else ())
        for origin in image.origins
        if str(origin.path) in split_of
    }
    samples = (s for s in dataset.samples.by_key() if s.status == "labelled" and s.kept)
    splits = {sample.key: by_image[sample.image] for sample in samples if sample.image in by_image}
    if splits:
        moments = moments_of(dataset.db, splits)
        plan = {key: (moments[key], split) for key, split in splits.items()}
        dataset.samples.set_splits(plan, "as imported")
    return dict(sorted(Counter(splits.values()).items()))


def _with_sources(
    files: LabelledFiles, tables: SourceTables, level: int | None, groups: FileGroups
) -> Iterator[LabelledPicture]:
    for picture in files.pictures:
        known = files.sources.get(picture.path, PictureSource())
        source = tables.of(picture.path)
        inside = picture.path.parent.relative_to(tables.top).parts
        group = source.group or groups.of(
            picture.path.name,
            str(picture.path.parent),
            inside,
            level,
            None if level is None else files.splits,
        )
        # The title of a frame is that of its video.
        is_video = PurePath(known.title or "").suffix.lower() in VIDEOS
        yield replace(
            picture,
            credit=source.credit.completed(known.credit),
            group=group,
            title=picture.path.name if is_video else known.title or picture.path.name,
            original_path=known.original_path or PurePath(*inside, picture.path.name).as_posix(),
        )


def _check_names(dataset: Dataset, labels: Iterable[str], *, told_apart: bool = False) -> None:
    """Refuse what is not a class name, or nearly that of another class: nothing is imported yet.

    Names that another dataset has `told_apart` are only compared with the classes that are here.
    """
    there = set(dataset.classes.names())
    known = set(there)
    for label in sorted(set(map(dataset.classes.resolved, labels)) - there):
        if twins := [name for name in sorted(known) if folded(name) == folded(label) != ""]:
            twin, other = shlex.quote(twins[0]), shlex.quote(label)
            make = [] if twins[0] in there else [f"labeler classes add {twin}"]
            one = [f"labeler classes add {twin} --alias {other}"]
            two = [*make, f"labeler classes add {other}"]
            raise UsageError(
                f"{label!r} and {twins[0]!r} are nearly the same name",
                f"one class: {' && '.join(one)}; two classes: {' && '.join(two)}; then import "
                "again",
            )
        known |= set() if told_apart else {label}


def _read_back(
    dataset: Dataset,
    request: ImportRequest,
    intake: Intake,
    *,
    simulate: bool,
) -> dict[str, object]:
    if request.class_level is not None:
        raise not_by_folders(intake.path)
    if request.group_by is not None:
        raise UsageError(
            f"{intake.path} is an export of this dataset, which knows what belongs together",
            "leave --group-by out",
        )
    moves = find_moves(dataset, intake.path)
    result = moves.result() | ignored_summary(moves.ignored)
    labels = [*moves.relabelled.values(), *(n for f in moves.added for _, n in f.labels)]
    _check_names(dataset, labels)
    if simulate:
        return result
    for name, said in moves.disputed.items():
        dataset.rejections.add(Rejection(STAGE, str(intake.path / name), "disputed", said))
    if moves.disputed:
        lines = [f"{short_name(name)}: {said}" for name, said in moves.disputed.items()]
        result["disputed_files"] = few_files(lines, rejections_of(dataset, STAGE))
    moved = [
        Choice(key, "label", dataset.classes.resolved(label), SOURCE)
        for key, label in moves.relabelled.items()
    ]
    if not moves.added:
        if moved:
            did = operation("import-moves", count=len(moved), folder=intake.path.name)
            dataset.journal.step(did, moved)
    else:
        files = LabelledFiles("our export", ImportTree(intake.path), "")
        taken = _take_in(dataset, files, moves.added, intake, FileGroups(), moved)
        labels = Counter(moves.relabelled.values()) + taken.pop("labels")
        taken["disputed"] += len(moves.disputed)
        result |= {"labels": dict(sorted(labels.items())), **taken}
    return result


def _take_in(
    dataset: Dataset,
    files: LabelledFiles,
    pictures: Sequence[LabelledPicture],
    intake: Intake,
    groups: FileGroups,
    moved: Sequence[Choice] = (),
) -> dict[str, Any]:
    """Add images with labelled samples, in one step with what was `moved`; return the counts."""
    tally: Counter[str] = Counter(added=0, duplicate=0)
    wanted: dict[str, dict[str, str]] = {}
    refused = dict(files.refused)
    with dataset.stage(STAGE) as scratch:
        cutter = Cutter(CutSettings.of(dataset.settings.crop), dataset.crops(scratch))
        store = dataset.originals(scratch)
        take = PictureImport(StageFile(StageBytes(store)), cutter)
        outcomes = run_over(take, pictures, Processes(intake.workers))
        for outcome in intake.progress.over(outcomes, "import", total=len(pictures)):
            path = outcome.item.path
            try:
                picture = outcome.unwrap()
                new = _publish(dataset, store, picture, _origin(outcome.item), wanted)
            except Unreadable as error:
                refused[path] = (error.reason, error.detail)
                continue
            tally["added" if new else "duplicate"] += 1
            for reason in picture.dropped:
                files.drop(path, reason)
            groups.note(_origin(outcome.item))
        for path, why in refused.items():
            dataset.rejections.add(Rejection(STAGE, printable(path), *why))
        disputed = _decide(dataset, wanted, intake.path, moved)
    lines = [f"{short_name(str(path))}: {reason}" for path, (reason, _) in refused.items()]
    if refused and not (tally.total() or moved):
        raise InputUnusable(
            f"none of the {len(refused)} images could be read, such as {lines[0]}",
            f"see why: {rejections_of(dataset, STAGE)}",
        )
    labels = Counter(label for said in wanted.values() if len(said) == 1 for label in said)
    told = {**tally, "rejected": len(refused), "labels": labels, "disputed": len(disputed)}
    see = rejections_of(dataset, STAGE)
    if disputed:
        told["disputed_files"] = few_files(disputed, see)
    return told | ({"rejected_files": few_files(lines, see)} if lines else {})


def _origin(picture: LabelledPicture) -> Origin:
    path, credit = str(picture.path), picture.credit
    return Origin(
        SOURCE,
        path,
        path=path,
        title=picture.title or picture.path.name,
        author=credit.author,
        licence=credit.licence,
        page_url=credit.page,
        post=picture.group,
        original_path=picture.original_path,
    )


def _publish(
    dataset: Dataset,
    store: Store,
    taken: ImportedPicture,
    origin: Origin,
    wanted: dict[str, dict[str, str]],
) -> bool:
    """Store a picture with its samples; True when it is new. Raises `Unreadable`."""
    with dataset.db.write():
        try:
            new = dataset.take_original(store, taken.measured, origin)
        except Unreadable as refused:
            if refused.reason == "forgotten":
                # It leaves no crop either: what was taken down has no sample.
                for cut, _ in taken.cuts:
                    dataset.crop_path(cut.key).unlink(missing_ok=True)
            raise
        if not new:
            dataset.images.note_said(taken.measured.sha256, origin)
        for cut, label in taken.cuts:
            dataset.faces.add_by_hand(taken.measured.sha256, cut)
            wanted.setdefault(cut.key, {})[dataset.classes.resolved(label)] = origin.key
        dataset.rejections.clear(STAGE, origin.key)
    return new


def _decide(
    dataset: Dataset, wanted: dict[str, dict[str, str]], path: Path, moved: Sequence[Choice]
) -> list[str]:
    """Label what nobody has decided on and has one class; return what is said of the others.

    These are in dispute, and their files are rejections, with what is said of each.
    """
    choices, disputed = list(moved), list[str]()
    for key, paths in wanted.items():
        sample = dataset.samples.get(key)
        undecided = sample is None or sample.status in ("queue", "retired")
        if undecided and len(paths) == 1:
            choices.append(Choice(key, "label", min(paths), SOURCE))
        elif undecided:
            # Who decides sees in the journal what was said.
            choices.append(Choice(key, "add", provenance=" or ".join(sorted(paths))))
            disputed.append(_dispute(dataset, paths, None))
        elif sample is not None and paths.keys() != {sample.label}:
            disputed.append(_dispute(dataset, paths, sample.label or sample.status))
    if choices:
        did = operation("import", count=len(choices), folder=path.name)
        dataset.journal.step(did, choices)
    return disputed


def _dispute(dataset: Dataset, paths: dict[str, str], decided: str | None) -> str:
    """Note the files that say of a sample what others do not; return what is said, in a line."""
    others = {label: short_name(path) for label, path in paths.items() if label != decided}
    for label in others:
        rest = [f"{also} says {what}" for what, also in others.items() if what != label]
        detail = f"it says {label}, " + (f"decided is {decided}" if decided else ", ".join(rest))
        dataset.rejections.add(Rejection(STAGE, paths[label], "disputed", detail))
    told = ", ".join(f"{file} says {label}" for label, file in sorted(others.items()))
    return f"{told}, decided is {decided}" if decided else told
