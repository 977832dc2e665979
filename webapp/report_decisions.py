"""Reports from the web page: stored separately until a person accepts or refuses them.

Their images are in `web/reports/`, laid out as in `images/`, where no face search finds them. An
accepted report labels the sample of its face. If the dataset has no such sample, the report becomes
one, with its image.
"""

from __future__ import annotations

import io
import math
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from curation.split_groups import load_split_groups
from gleanset import Dataset
from gleanset.class_names import fold_name
from gleanset.config import did_you_mean
from gleanset.db.classes import list_aliases
from gleanset.db.faces import WHOLE, are_whole_images
from gleanset.db.journal import PAGE_USER, Choice, find_blocking_step
from gleanset.db.reports import (
    ACCEPTED,
    PENDING,
    REFUSED,
    REMOVAL,
    Report,
    SimilarImage,
)
from gleanset.db.samples import GroupSplit
from gleanset.db.sorting import SampleTiles
from gleanset.decisions import UNLISTED_MARK, set_mark
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.files.store import Store
from gleanset.images.cropping import (
    FaceCropper,
    expand_box_within,
    make_sample_key,
)
from gleanset.images.decode import decode, read_image_size
from gleanset.images.staging import StageBytes
from gleanset.operations import make_operation
from gleanset.records import (
    HAND,
    REPORT_SOURCE,
    Box,
    Face,
    FaceCrop,
    Measured,
    Origin,
    are_nested,
    overlap,
)

if TYPE_CHECKING:
    from PIL import Image

MIN_SAME_FACE_OVERLAP = 0.5
"""Minimum intersection over union of two boxes of the same face."""
PADDING = 0.3
"""Padding on every side of a shown face, as a share of its box."""

UNLISTED_PERSON = ""
"""Claimed class of a face of none of the classes."""
NOT_A_FACE = "<not a face>"
"""Claimed class of a box without a face."""
NO_CLASS = (UNLISTED_PERSON, NOT_A_FACE)
REMOVAL_REQUEST = "<removal>"
"""Stands for the class in a report that asks to remove an image."""
NONE = "none of the classes"


class Obstacle(Enum):
    """Why a report should not be accepted without a look; the value is printed."""

    CONTRADICTORY = "contradictory"
    NO_CLASS = "of none of the classes"
    NEW_CLASS = "of new classes"
    SIMILAR = "similar to images of the dataset, which labeler dedup compares"
    MISFIT = "of whole images in a dataset of faces, or of parts in one of whole images"
    NO_IMAGE = "without an image"


Claims = Mapping[int, str | None]
"""The true class by report number, or None for the class that the user claimed."""


class SettledReports(NamedTuple):
    """A journal step that accepted or refused reports.

    `classes` are those of the accepted reports by number, `new_classes` the new ones of these.
    `waiting_for_split` samples got no split.
    """

    step: int
    classes: Mapping[int, str] = MappingProxyType({})
    new_classes: Sequence[str] = ()
    waiting_for_split: int = 0


class Rival(NamedTuple):
    """Another class for the face of a report: claimed by a `report`, or (None) of its sample."""

    report: int | None
    name: str
    status: str


def accept_reports(
    dataset: Dataset, claims: Claims, *, unseen: bool = False
) -> SettledReports:
    """Label the faces of reports in one undoable step; import images the dataset does not have.

    `unseen` means that no person checked them one by one. Raises `UsageError` for a report that is
    not pending, or that other reports or the sample of the same face contradict, and
    `InputUnusable` if an image cannot be read.
    """
    reports = dataset.reports.get_pending(claims)
    for report in reports:
        if report.claim.kind == REMOVAL:
            raise _removal_error(dataset, report.id)

    keys, new_reports = _find_samples(dataset, reports)
    names = _resolve_names(dataset, reports, claims, keys)
    classes_before = set(dataset.classes.list_names())
    with dataset.stage("web-reports") as scratch:
        originals = dataset.originals(scratch)
        crops = [_read_and_crop(dataset, report, originals) for report in new_reports]
        with dataset.publishing(originals):
            for report, (measures, crop) in zip(new_reports, crops, strict=True):
                if not dataset.images.get_id(measures.sha256):
                    dataset.take_original(
                        originals,
                        measures,
                        Origin(
                            REPORT_SOURCE,
                            f"report-{report.id}",
                            title=f"report {report.id}",
                        ),
                    )
                dataset.faces.add_manual(measures.sha256, crop)
            step = _label(dataset, names, len(reports), unseen=unseen)
            dataset.reports.settle(
                step,
                [report.id for report in reports],
                ACCEPTED,
            )

        # Another pending report may be about the same image.
        store = dataset.report_images()
        for report in reports:
            claim = report.claim
            if not dataset.reports.has_pending(claim.sha256):
                store.path(claim.sha256, claim.format).unlink(missing_ok=True)

    return SettledReports(
        step,
        classes={number: names[key] for number, key in keys.items()},
        new_classes=sorted(set(dataset.classes.list_names()) - classes_before),
        waiting_for_split=_assign_splits(dataset, set(keys.values()), unseen=unseen),
    )


def _find_samples(
    dataset: Dataset, reports: Sequence[Report]
) -> tuple[dict[int, str], list[Report]]:
    """Return the sample (key) of each report, and the reports that need a new sample."""
    keys: dict[int, str] = {}
    new_reports: list[Report] = []
    for report in reports:
        claim = report.claim
        key = _find_same_face(dataset, report)
        if key is None:
            # Several users may report one face, each with a box of their own.
            for other in new_reports:
                is_same_image = other.claim.sha256 == claim.sha256
                if is_same_image and are_nested(other.claim.box, claim.box):
                    key = keys[other.id]
        if key is None:
            key = make_sample_key(claim.sha256, claim.box)
            new_reports.append(report)
        keys[report.id] = key
    return keys, new_reports


def _find_same_face(dataset: Dataset, report: Report) -> str | None:
    """Return the key of a report's face (if it is a duplicate, of the kept copy), or None.

    Users draw boxes of other sizes than detectors: a box may be nested in the other one.
    """
    claim = report.claim
    image = dataset.images.get(claim.sha256)
    if image is None:
        return None

    whole_box = Box(0, 0, image.width, image.height)
    overlaps = {}
    nested_samples = []
    for row in dataset.faces.list_in_image(claim.sha256):
        box = row.face.box
        key = make_sample_key(claim.sha256, box)
        sample = dataset.samples.get(key)
        if not sample or sample.status == "retired":
            continue
        overlaps[key] = overlap(box, claim.box)
        # The box of a whole image would contain every face.
        if are_nested(box, claim.box) and box != whole_box:
            nested_samples.append(key)

    if not overlaps:
        return None
    best = max(overlaps, key=lambda key: overlaps[key])
    if overlaps[best] < MIN_SAME_FACE_OVERLAP:
        # With several nested boxes it is not clear which face the user means.
        if len(nested_samples) != 1:
            return None
        best = nested_samples[0]
    return dataset.samples.find_kept_copy(best)


def _label(
    dataset: Dataset, names: Mapping[str, str], count: int, *, unseen: bool
) -> int:
    """Label samples by key in a step, or reject them; return the step."""
    if unseen:
        # A label that a person gave must not become an unseen one.
        new_names = {}
        for key, name in names.items():
            sample = dataset.samples.get(key)
            if not sample or sample.label != name:
                new_names[key] = name
        names = new_names

    provenance = PAGE_USER if unseen else "web report"
    choices = []
    for key, name in names.items():
        if name in NO_CLASS:
            choices.append(Choice(key, "reject", None, provenance))
        else:
            choices.append(Choice(key, "label", name, provenance))

    step = dataset.journal.apply(
        make_operation("accept-reports", count=count),
        choices,
    )

    # None removes the mark of a sample that had it before.
    for key, name in names.items():
        set_mark(
            dataset.db, step, [key], UNLISTED_MARK if name == UNLISTED_PERSON else None
        )
    return step


def _assign_splits(dataset: Dataset, keys: Collection[str], *, unseen: bool) -> int:
    """Assign accepted samples to splits; return how many got none.

    A sample without a split gets that of its group, or train. It is left to `labeler split` if
    train lacks its class, if its group is in several splits, or in val or test with another class,
    or if the split is not by ratio.
    Labels that no person has seen must not be in val or test.
    """
    samples = dataset.samples
    if not samples.has_splits():
        return 0

    settings = samples.get_split_settings()
    is_by_ratio = settings is not None and not settings.hold_out
    train_classes = {
        label for label, split in samples.count_by("label", "split") if split == "train"
    }

    plan = {}
    skipped_count = 0
    for group in load_split_groups(dataset.db):
        members = (*group.members, *group.copies)
        splits = {member.split or member.last_split for member in members} - {None}
        # With several splits, `is_clear` below is False and this one is not used.
        split = next(iter(splits), "train")
        # The group keeps the name it got when it was split: its present key may be another.
        names = (member.split_group for member in members if member.split_group)
        name = next(names, group.key)

        for member in group.members:
            # A sample with a group but without a split was left out by the user's last split.
            if member.key not in keys or member.split or member.split_group:
                continue

            is_disputed = split != "train" and any(
                other.split and other.label != member.label for other in members
            )
            is_clear = is_by_ratio and len(splits) <= 1 and not is_disputed
            if not is_clear or member.label not in train_classes:
                skipped_count += 1
            else:
                # With its group but no split, the sample is recorded as left out.
                is_left_out = unseen and split != "train"
                plan[member.key] = GroupSplit(
                    name,
                    None if is_left_out else split,
                )

    samples.add_to_splits(plan)
    return skipped_count


def refuse_reports(dataset: Dataset, numbers: Sequence[int]) -> SettledReports:
    """Refuse pending reports in one undoable step. Raises `UsageError`."""
    reports = dataset.reports.get_pending(numbers)
    with dataset.db.transaction():
        step = dataset.journal.apply(
            make_operation("refuse-reports", count=len(reports)), []
        )
        dataset.reports.settle(
            step,
            [report.id for report in reports],
            REFUSED,
        )
    return SettledReports(step)


def undo_decision(dataset: Dataset, step: int) -> None:
    """Undo a step that settled reports. Raises `UsageError` if a label changed since."""
    with dataset.db.transaction():
        if dataset.journal.undo(step).changed_since:
            fix = "label it again instead"
            later_step = find_blocking_step(
                dataset.db, step, SampleTiles(dataset.db).find_undoing_step(step)
            )
            if later_step is not None:
                fix = f"undo this first: {later_step.text()}"
            # Raised within the transaction, which is rolled back.
            raise UsageError("a label changed since", fix)


def find_copies(
    dataset: Dataset, reports: Sequence[Report]
) -> dict[int, list[SimilarImage]]:
    """Return possible copies of the images of reports, by number, the most similar first.

    For a removal, the image itself is one of them if the dataset has it.
    """
    phashes = {
        report.claim.phash for report in reports if report.claim.phash is not None
    }
    similar = dataset.reports.similar_images(phashes)
    copies = {}
    for report in reports:
        claim = report.claim
        images = [] if claim.phash is None else similar[claim.phash]
        others = [image for image in images if image.sha256 != claim.sha256]
        if claim.kind == REMOVAL and dataset.images.get_id(claim.sha256):
            others.insert(0, SimilarImage(claim.sha256, bits=0))
        copies[report.id] = others
    return copies


def read_report_image(dataset: Dataset, report: Report) -> bytes:
    """Return the bytes of a report's image, pending or accepted. Raises `InputUnusable`."""
    with _image_errors(dataset, report):
        return _find_image(dataset, report).read_bytes()


def _find_image(dataset: Dataset, report: Report) -> Path:
    claim = report.claim
    pending_file = dataset.report_images().path(claim.sha256, claim.format)
    if pending_file.is_file():
        return pending_file
    return dataset.originals().path(claim.sha256, claim.format)


@contextmanager
def _image_errors(dataset: Dataset, report: Report) -> Iterator[None]:
    try:
        yield
    except (OSError, Unreadable) as error:
        raise InputUnusable(
            f"the image of report {report.id} cannot be read: {error}",
            f"webapp reports refuse {report.id} {dataset.option}",
        ) from error


def crop_report_face(dataset: Dataset, report: Report, side: int) -> Image.Image:
    """Return a padded face whose longer side has `side` pixels.

    Raises `InputUnusable`, `Unreadable`.
    """
    data = read_report_image(dataset, report)
    box = report.claim.box
    # The image is decoded large enough to show the face with `side` pixels. For a face of less than
    # 1 % of the image's side, the limit is 100 times `side`, and the face is enlarged below.
    longer_side = max(read_image_size(io.BytesIO(data)))
    face_share = max(box.width, box.height) / max(longer_side, 1)
    image = decode(
        data,
        min_side=math.ceil(side / max(face_share, 0.01)),
    )

    # A JPEG may be decoded at a reduced size; boxes refer to the full one.
    scale = image.pixels.width / image.width
    x, y, width, height = expand_box_within(
        box,
        PADDING,
        image.width,
        image.height,
    )
    left = math.floor(x * scale)
    top = math.floor(y * scale)
    right = max(math.ceil((x + width) * scale), left + 1)
    bottom = max(math.ceil((y + height) * scale), top + 1)
    face = image.pixels.crop((left, top, right, bottom))

    factor = side / max(face.size)
    return face.resize([max(1, round(length * factor)) for length in face.size])


def _resolve_names(
    dataset: Dataset,
    reports: Sequence[Report],
    claims: Claims,
    keys: Mapping[int, str],
) -> dict[str, str]:
    """Return the names of samples by key. Raises `UsageError` for contradictions.

    `keys` has the sample of each report, by its number. Reports that are accepted together must not
    contradict each other; a claim that is accepted unchanged must not contradict any other report.
    """
    # Names by report number; the result has them by sample key.
    names = {
        report.id: get_accepted_class(dataset, report, claims[report.id])
        for report in reports
    }
    for report in reports:
        name = names[report.id]
        opinions = _list_opinions(dataset, report)
        numbers_about_face = {opinion.report for opinion in opinions}
        rivals: list[Rival] = []

        # A person who accepts another class than the claimed one has decided against the others.
        # Reports that are accepted together are compared by the classes that they get, below.
        if claims[report.id] is None:
            rivals += [rival for rival in opinions if rival.report not in keys]
        for other, key in keys.items():
            if other in numbers_about_face or key == keys[report.id]:
                rivals.append(Rival(other, names[other], PENDING))

        for rival in rivals:
            if rival.name != name:
                raise _contradiction_error(dataset, report, name, rival)
    return {keys[number]: name for number, name in names.items()}


def _contradiction_error(
    dataset: Dataset, report: Report, name: str, rival: Rival
) -> UsageError:
    if rival.name == REMOVAL_REQUEST:
        return _removal_error(dataset, rival.report)
    option = dataset.option
    # No name means that the face is in no class.
    correct = "NAME" if name else '""'
    accept = f"webapp reports accept {report.id} --class {correct} {option}"
    says = f"report {report.id} says {name or NONE!r}"
    if rival.report is None:
        state = rival.status if rival.name in NO_CLASS else f"labelled {rival.name!r}"
        return UsageError(
            f"{says}, but in the dataset it is {state}",
            f"to change it: {accept}; to keep it: webapp reports refuse {report.id} {option}",
        )

    # An accepted report is not pending, and so cannot be refused.
    refusal_number = rival.report if rival.status == PENDING else report.id
    return UsageError(
        f"reports disagree: {says}, report {rival.report} ({rival.status}) {rival.name or NONE!r}",
        f"{accept} decides; webapp reports refuse {refusal_number} {option}",
    )


def _removal_error(dataset: Dataset, number: int | None) -> UsageError:
    option = dataset.option
    return UsageError(
        f"report {number} asks for the image to be removed",
        f"gleanset forget --report {number} {option}, or webapp reports refuse {number} {option}",
    )


def find_unclear_reports(
    dataset: Dataset, numbers: Collection[int]
) -> dict[Obstacle, set[int]]:
    """Return the pending reports that should not be accepted without a look, by reason."""
    reports = dataset.reports.get_pending(numbers)
    names = {*NO_CLASS, *dataset.classes.list_names()}
    unclear: dict[Obstacle, set[int]] = {obstacle: set() for obstacle in Obstacle}
    disputed_reports = list_disputed_reports(dataset)
    unclear[Obstacle.CONTRADICTORY] = disputed_reports.keys() & set(numbers)
    unclear[Obstacle.MISFIT] = find_misfits(dataset, reports)
    copies = find_copies(dataset, reports)
    for report in reports:
        if report.claim.claimed in NO_CLASS:
            unclear[Obstacle.NO_CLASS].add(report.id)
        if get_claimed_class(dataset, report) not in names:
            unclear[Obstacle.NEW_CLASS].add(report.id)
        if copies[report.id]:
            unclear[Obstacle.SIMILAR].add(report.id)
        if not _find_image(dataset, report).is_file():
            unclear[Obstacle.NO_IMAGE].add(report.id)
    return unclear


def refuse_similar_names(dataset: Dataset, claims: Claims) -> None:
    """Raise `UsageError` for a new class whose name is similar to a known one."""
    classes = dataset.classes.list_names()
    for report in dataset.reports.get_pending(claims):
        name = get_accepted_class(dataset, report, claims[report.id])
        if name in NO_CLASS or name in classes:
            continue
        hint = did_you_mean(name, classes)
        if hint:
            raise UsageError(
                f"report {report.id}: no class is called {name!r}",
                f"{hint}--class decides. To create it: labeler classes add {shlex.quote(name)}",
            )


def find_misfits(dataset: Dataset, reports: Sequence[Report]) -> set[int]:
    """Return reports of parts in a dataset of whole images, and of whole images in other ones."""
    misfits = set[int]()
    # A dataset without samples is of neither kind.
    if not dataset.samples.count():
        return misfits
    are_whole = are_whole_images(dataset.db)
    for report in reports:
        if report.claim.kind == REMOVAL:
            continue
        box = report.claim.box
        with suppress(OSError, Unreadable):
            # The stored size is not turned upright: width and height may be swapped.
            size = set(read_image_size(_find_image(dataset, report)))
            is_whole = (box.x, box.y) == (0, 0) and {box.width, box.height} == size
            if is_whole != are_whole:
                misfits.add(report.id)
    return misfits


def list_disputed_reports(dataset: Dataset) -> dict[int, list[Rival]]:
    """Return what contradicts each disputed pending report, by number."""
    rivals = {
        report.id: find_rivals(dataset, report) for report in dataset.reports.iterate()
    }
    return {number: others for number, others in rivals.items() if others}


def find_rivals(dataset: Dataset, report: Report) -> list[Rival]:
    """Return the other classes for the face of a report: of reports, and of its sample."""
    name = get_claimed_class(dataset, report)
    opinions = _list_opinions(dataset, report)
    # Without a claimed class there is nothing to contradict.
    return [other for other in opinions if name not in (None, other.name)]


def _list_opinions(dataset: Dataset, report: Report) -> list[Rival]:
    """Return what other pending or accepted reports say of a face, and how it is labelled."""
    opinions = []
    for other in dataset.reports.find_about_face(report):
        name = get_claimed_class(dataset, other)
        if name is not None:
            opinions.append(Rival(other.id, name, other.status))

    # The present label counts as one more opinion, unless an accepted report already says the same.
    decision = _find_decision(dataset, report)
    if decision is not None and not any(
        opinion.name == decision.name and opinion.status == ACCEPTED
        for opinion in opinions
    ):
        opinions.append(decision)
    return opinions


def _find_decision(dataset: Dataset, report: Report) -> Rival | None:
    """Return how the sample of a report's face is labelled or rejected, or None."""
    if report.claim.kind == REMOVAL:
        return None
    key = _find_same_face(dataset, report)
    sample = None if key is None else dataset.samples.get(key)
    if not sample or sample.status not in ("labelled", "rejected"):
        return None
    marks = SampleTiles(dataset.db).get_marks([sample.key]).values()
    no_class = UNLISTED_PERSON if UNLISTED_MARK in marks else NOT_A_FACE
    # A rival without a report is the sample itself.
    return Rival(None, sample.label or no_class, sample.status)


def find_class(dataset: Dataset, name: str) -> str:
    """Return the class that a name or an alias means, however it is written; else the name."""
    name = dataset.classes.resolve_alias(name)
    classes = dataset.classes.list_names()
    if name in classes:
        return name

    names_by_fold = {}
    for label, aliases in list_aliases(dataset.db).items():
        for alias in aliases:
            names_by_fold[fold_name(alias)] = label

    names_by_fold |= {fold_name(label): label for label in classes}
    # A name of symbols alone becomes "", which would match all other such names.
    names_by_fold.pop("", None)
    return names_by_fold.get(fold_name(name), name)


def get_claimed_class(dataset: Dataset, report: Report) -> str | None:
    """Return the claimed class, or `REMOVAL_REQUEST`.

    Of an accepted report, the present label of its sample; None if that is gone.
    """
    if report.claim.kind == REMOVAL:
        return REMOVAL_REQUEST
    if report.status == ACCEPTED:
        decision = _find_decision(dataset, report)
        return None if decision is None else decision.name
    return get_accepted_class(dataset, report, correct=None)


def get_accepted_class(dataset: Dataset, report: Report, correct: str | None) -> str:
    """Return the class of an accepted report: the correct one, or if None the claimed one."""
    name = report.claim.claimed if correct is None else correct
    return find_class(dataset, name) if name else UNLISTED_PERSON


def _read_and_crop(
    dataset: Dataset, report: Report, originals: Store
) -> tuple[Measured, FaceCrop]:
    """Write the image of a report and the crop of its face for the store; return what was written.

    Both are in its scratch folder, from which it takes them when the decision is recorded.
    """
    import numpy as np

    data = read_report_image(dataset, report)
    with _image_errors(dataset, report):
        # Measures the image, and writes it where the store takes it from.
        measures = StageBytes(originals)(data)
        pixels = np.asarray(decode(data).pixels)

    cropper = FaceCropper(
        dataset.settings.crop,
        dataset.crops(originals.scratch),
    )
    box = report.claim.box
    is_whole = box == Box(0, 0, measures.width, measures.height)
    face = Face(WHOLE if is_whole else HAND, box, score=1.0)
    return measures, cropper.crop(measures.sha256, pixels, face)
