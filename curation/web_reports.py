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
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from curation.decisions import UNLISTED_MARK
from curation.split_groups import load_split_groups
from gleanset import Dataset
from gleanset.class_names import fold_name
from gleanset.config import did_you_mean
from gleanset.db.classes import Change, Changes, list_aliases
from gleanset.db.faces import are_whole_images
from gleanset.db.journal import PAGE_USER, Choice, find_blocking_step
from gleanset.db.maintenance import Maintenance
from gleanset.db.reports import (
    ACCEPTED,
    PENDING,
    REFUSED,
    REMOVAL,
    Report,
    Reports,
    SimilarImage,
)
from gleanset.db.sorting import SampleTiles
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.files.store import Store
from gleanset.images.cropping import (
    CropGeometry,
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
LIKE_OTHERS = "similar to images of the dataset, which labeler dedup compares"
UNLIKE_OTHERS = (
    "of whole images in a dataset of faces, or of parts in one of whole images"
)
MARGIN = 0.3
"""Padding on every side of a face, as a share of its box."""
NO_CLASS = UNLISTED, NOT_A_FACE = "", "<not a face>"
REMOVED = "<removal>"
"""Claims: a face of none of the classes, a box without a face, an image to be removed."""
NONE = "none of the classes"


def open_report_store(root: Path, scratch: Path) -> Store:
    """Return the store of images in reports that are not accepted yet."""
    return Store(root / "web" / "reports", scratch)


class SettledReports(NamedTuple):
    """A journal step that accepted or refused reports.

    `classes` are those of the accepted reports by number, `created` the new ones of these.
    `waiting_for_split` samples got no split.
    """

    step: int
    reports: int
    classes: Mapping[int, str] = MappingProxyType({})
    created: Sequence[str] = ()
    waiting_for_split: int = 0


class Rival(NamedTuple):
    """Another class for the face of a report: claimed by a `report`, or (None) of its sample."""

    report: int | None
    name: str
    status: str


def accept_reports(
    dataset: Dataset, claims: Mapping[int, str | None], *, unseen: bool = False
) -> SettledReports:
    """Label the faces of reports in one undoable step; import images the dataset does not have.

    `claims` maps report numbers to the true class, or to None for the class that the user claimed.
    `unseen` means that no person checked them one by one. Raises `UsageError` for a report that is
    not pending, or that other reports or the sample of the same face contradict, and
    `InputUnusable` if an image cannot be read.
    """
    reports = Reports(dataset.db).get_pending(claims)
    for report in reports:
        if report.claim.kind == REMOVAL:
            raise _asks_for_removal(dataset, report.id)
    keys, new = _find_samples(dataset, reports)
    names = _refuse_disputed(dataset, reports, claims, keys)
    known = dataset.classes.list_names()
    with dataset.stage("web-reports") as scratch:
        originals = dataset.originals(scratch)
        cuts = [_read_and_crop(dataset, report, originals) for report in new]
        with dataset.publishing(originals):
            for report, (measured, cut) in zip(new, cuts, strict=True):
                if not dataset.images.get_id(measured.sha256):
                    title = f"report {report.id}"
                    origin = Origin(REPORT_SOURCE, f"report-{report.id}", title=title)
                    dataset.take_original(originals, measured, origin)
                dataset.faces.add_manual(measured.sha256, cut)
            step = _label(dataset, names, len(reports), unseen=unseen)
            Reports(dataset.db).settle(
                step, [report.id for report in reports], ACCEPTED
            )
        store = open_report_store(dataset.root, dataset.cache)
        for claim in (report.claim for report in reports):
            if not Reports(dataset.db).has_pending(claim.sha256):
                store.path(claim.sha256, claim.format).unlink(missing_ok=True)
    pending = _assign_splits(dataset, {*keys.values()}, unseen=unseen)
    classes = {number: names[key] for number, key in keys.items()}
    created = sorted({*dataset.classes.list_names()}.difference(known))
    return SettledReports(step, len(reports), classes, created, pending)


def _find_samples(
    dataset: Dataset, reports: Sequence[Report]
) -> tuple[dict[int, str], list[Report]]:
    """Return the sample (key) of each report, and the reports that need a new sample."""
    keys = dict[int, str]()
    new = list[Report]()
    for report in reports:
        claim = report.claim
        key = _find_same_face(dataset, report)
        for other in new if key is None else ():
            if other.claim.sha256 == claim.sha256 and are_nested(
                other.claim.box, claim.box
            ):
                key = keys[other.id]
        if key is None:
            key = make_sample_key(claim.sha256, claim.box)
            new.append(report)
        keys[report.id] = key
    return keys, new


def _find_same_face(dataset: Dataset, report: Report) -> str | None:
    """Return the key of a report's face (if it is a duplicate, of the kept copy), or None.

    Users draw boxes of other sizes than detectors: a box may be nested in the other one.
    """
    claim = report.claim
    if (image := dataset.images.get(claim.sha256)) is None:
        return None
    shares = dict[str, float]()
    nested = list[str]()
    for box in (
        stored.face.box for stored in dataset.faces.list_in_image(claim.sha256)
    ):
        sample = dataset.samples.get(key := make_sample_key(claim.sha256, box))
        if sample is None or sample.status == "retired":
            continue
        shares[key] = overlap(box, claim.box)
        if are_nested(box, claim.box) and box != Box(0, 0, image.width, image.height):
            nested.append(key)
    best = max(shares, key=lambda key: shares[key], default=None)
    if best is not None and shares[best] < MIN_SAME_FACE_OVERLAP:
        best = nested[0] if len(nested) == 1 else None
    return best and dataset.samples.find_kept_copy(best)


def _label(
    dataset: Dataset, names: Mapping[str, str], count: int, *, unseen: bool
) -> int:
    """Label samples by key in a step, or reject them; return the step."""
    if (
        unseen
    ):  # what a person decided is not decided again by somebody who has not seen it
        present = {
            key: sample.label for key in names if (sample := dataset.samples.get(key))
        }
        names = {key: name for key, name in names.items() if present.get(key) != name}
    provenance = PAGE_USER if unseen else "web report"
    labels = {key: None if name in NO_CLASS else name for key, name in names.items()}
    choices = [
        Choice(key, "label" if label else "reject", label, provenance)
        for key, label in labels.items()
    ]
    step = dataset.journal.apply(make_operation("accept-reports", count=count), choices)
    for key, name in names.items():
        mark = UNLISTED_MARK if name == UNLISTED else None
        marks = SampleTiles(dataset.db).get_marks([key])
        changes = [
            Change("mark", row, mark) for row, old in marks.items() if old != mark
        ]
        Changes(dataset.db).apply(step, changes)
    return step


def _assign_splits(dataset: Dataset, keys: Collection[str], *, unseen: bool) -> int:
    """Assign accepted samples to splits; return how many got none.

    A sample without a split gets that of its group, or train. It is left to `labeler split` if
    train lacks its class, if its group is in several splits, or in val or test with another class,
    or if the split is not by ratio.
    Labels that no person has seen must not be in val or test.
    """
    samples = dataset.samples
    if not (settings := samples.get_split_settings()):
        return 0
    is_by_ratio = settings.startswith("ratio=") and "hold-out=" not in settings
    trained = {
        label for label, split in samples.count_by("label", "split") if split == "train"
    }
    plan: dict[str, tuple[str, str | None]] = {}
    unassigned = 0
    for group in load_split_groups(dataset.db):
        members = (*group.members, *group.copies)
        splits = {split for m in members if (split := m.split or m.last_split)}
        name = next(
            (member.split_group for member in members if member.split_group), group.key
        )
        split = next(iter(splits), "train")
        for member in group.members:
            if member.key not in keys or member.split or member.split_group:
                continue
            differs = split != "train" and any(
                m.split and m.label != member.label for m in members
            )
            if (
                len(splits) > 1
                or differs
                or member.label not in trained
                or not is_by_ratio
            ):
                unassigned += 1
            else:
                plan[member.key] = name, None if unseen and split != "train" else split
    samples.add_to_splits(plan)
    return unassigned


def refuse_reports(dataset: Dataset, numbers: Sequence[int]) -> SettledReports:
    """Refuse pending reports in one undoable step. Raises `UsageError`."""
    reports = Reports(dataset.db).get_pending(numbers)
    with dataset.db.transaction():
        step = dataset.journal.apply(
            make_operation("refuse-reports", count=len(reports)), []
        )
        Reports(dataset.db).settle(step, [report.id for report in reports], REFUSED)
    return SettledReports(step, len(reports))


def undo_decision(dataset: Dataset, step: int) -> None:
    """Undo a step that settled reports. Raises `UsageError` if a label changed since."""
    with dataset.db.transaction():
        undone = dataset.journal.undo(step)
        new = SampleTiles(dataset.db).find_undoing_step(step)
        if undone.changed_since:
            later = find_blocking_step(dataset.db, step, new)
            fix = (
                f"undo this first: {later.text()}"
                if later
                else "label it again instead"
            )
            raise UsageError("a label changed since", fix)


def find_copies(
    dataset: Dataset, reports: Sequence[Report]
) -> dict[int, list[SimilarImage]]:
    """Return possible copies of the images of reports, by number, the most similar first.

    For a removal, the image itself is one of them if the dataset has it.
    """
    claims = {report.id: report.claim for report in reports}
    phashes = {claim.phash for claim in claims.values() if claim.phash is not None}
    similar = Reports(dataset.db).similar_images(phashes)
    copies = dict[int, list[SimilarImage]]()
    for number, claim in claims.items():
        others = [] if claim.phash is None else similar[claim.phash]
        copies[number] = [image for image in others if image.sha256 != claim.sha256]
        if claim.kind == REMOVAL and dataset.images.get_id(claim.sha256):
            copies[number].insert(0, SimilarImage(claim.sha256, 0))
    return copies


def is_in_test(dataset: Dataset, sha256: str) -> bool:
    """Return whether an image has a sample in the test split."""
    samples = map(dataset.samples.get, Maintenance(dataset.db).list_sample_keys(sha256))
    return any(sample is not None and sample.split == "test" for sample in samples)


def read_report_image(dataset: Dataset, report: Report) -> bytes:
    """Return the bytes of a report's image, pending or accepted. Raises `InputUnusable`."""
    with _image_errors(dataset, report):
        return _find_image(dataset, report).read_bytes()


def _find_image(dataset: Dataset, report: Report) -> Path:
    stores = (
        open_report_store(dataset.root, dataset.cache),
        dataset.originals(dataset.cache),
    )
    pending, accepted = (
        store.path(report.claim.sha256, report.claim.format) for store in stores
    )
    return pending if pending.is_file() else accepted


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
    """Return a padded face with `side` pixels. Raises `InputUnusable`, `Unreadable`."""
    data = read_report_image(dataset, report)
    box = report.claim.box
    part = max(box.width, box.height) / max(*read_image_size(io.BytesIO(data)), 1)
    image = decode(data, min_side=math.ceil(side / max(part, 0.01)))
    scale = image.pixels.width / image.width
    x, y, width, height = expand_box_within(box, MARGIN, image.width, image.height)
    left, top = math.floor(x * scale), math.floor(y * scale)
    right, bottom = math.ceil((x + width) * scale), math.ceil((y + height) * scale)
    face = image.pixels.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    times = side / max(face.size)
    return face.resize([max(1, round(length * times)) for length in face.size])


def _refuse_disputed(
    dataset: Dataset,
    reports: Sequence[Report],
    claims: Mapping[int, str | None],
    keys: Mapping[int, str],
) -> dict[str, str]:
    """Return the names of samples by key. Raises `UsageError` for contradictions.

    `reports` must not contradict each other; unchanged claims must not contradict anything.
    """
    names = {r.id: get_accepted_class(dataset, r, claims[r.id]) for r in reports}
    for report in reports:
        opinions = _list_opinions(dataset, report)
        about_face = {rival.report for rival in opinions}
        others = [rival for rival in opinions if rival.report not in keys]
        rivals = others if claims[report.id] is None else []
        rivals += [
            Rival(other, names[other], PENDING)
            for other, key in keys.items()
            if other in about_face or key == keys[report.id]
        ]
        for rival in rivals:
            if rival.name != names[report.id]:
                raise _contradiction(dataset, report, names[report.id], rival)
    return {keys[number]: name for number, name in names.items()}


def _contradiction(
    dataset: Dataset, report: Report, name: str, rival: Rival
) -> UsageError:
    option = dataset.option
    correct = "NAME" if name else '""'
    accept = f"webapp reports accept {report.id} --class {correct} {option}"
    if rival.name == REMOVED:
        return _asks_for_removal(dataset, rival.report)
    says = f"report {report.id} says {name or NONE!r}"
    if rival.report is None:
        state = rival.status if rival.name in NO_CLASS else f"labelled {rival.name!r}"
        return UsageError(
            f"{says}, but in the dataset it is {state}",
            f"to change it: {accept}; to keep it: webapp reports refuse {report.id} {option}",
        )
    refused = rival.report if rival.status == PENDING else report.id
    return UsageError(
        f"reports disagree: {says}, report {rival.report} ({rival.status}) {rival.name or NONE!r}",
        f"{accept} decides; webapp reports refuse {refused} {option}",
    )


def _asks_for_removal(dataset: Dataset, number: int | None) -> UsageError:
    numbered = f"{number} {dataset.option}"
    fix = f"gleanset forget --report {numbered}, or webapp reports refuse {numbered}"
    return UsageError(f"report {number} asks for the image to be removed", fix)


def find_unclear_reports(
    dataset: Dataset, numbers: Collection[int]
) -> dict[str, set[int]]:
    """Return, by reason, the pending reports that should not be accepted without a look."""
    reports = Reports(dataset.db).get_pending(numbers)
    known = *NO_CLASS, *dataset.classes.list_names()
    return {
        "contradictory": list_disputed_reports(dataset).keys() & set(numbers),
        "of none of the classes": {
            r.id for r in reports if r.claim.claimed in NO_CLASS
        },
        "of new classes": {
            r.id for r in reports if get_claimed_class(dataset, r) not in known
        },
        LIKE_OTHERS: {
            n for n, copies in find_copies(dataset, reports).items() if copies
        },
        UNLIKE_OTHERS: find_misfits(dataset, reports),
        "without an image": {
            r.id for r in reports if not _find_image(dataset, r).is_file()
        },
    }


def refuse_similar_names(dataset: Dataset, claims: Mapping[int, str | None]) -> None:
    """Raise `UsageError` for a new class whose name is similar to a known one."""
    known = dataset.classes.list_names()
    for report in Reports(dataset.db).get_pending(claims):
        name = get_accepted_class(dataset, report, claims[report.id])
        if name not in (*NO_CLASS, *known) and (hint := did_you_mean(name, known)):
            fix = f"{hint}--class decides. To create it: labeler classes add {shlex.quote(name)}"
            raise UsageError(f"report {report.id}: no class is called {name!r}", fix)


def find_misfits(dataset: Dataset, reports: Sequence[Report]) -> set[int]:
    """Return reports of parts in a dataset of whole images, and of whole images in other ones."""
    misfits = set[int]()
    are_whole = are_whole_images(dataset.db)
    for report in reports if dataset.samples.count_by("detector") else ():
        box = report.claim.box
        with suppress(OSError, Unreadable):
            size = read_image_size(_find_image(dataset, report))  # not turned upright
            is_whole = not (box.x or box.y) and {box.width, box.height} == {*size}
            if report.claim.kind != REMOVAL and is_whole != are_whole:
                misfits.add(report.id)
    return misfits


def list_disputed_reports(dataset: Dataset) -> dict[int, list[Rival]]:
    """Return what contradicts each disputed pending report, by number."""
    rivals = {
        report.id: find_rivals(dataset, report)
        for report in Reports(dataset.db).iterate()
    }
    return {number: others for number, others in rivals.items() if others}


def find_rivals(dataset: Dataset, report: Report) -> list[Rival]:
    """Return the other classes for the face of a report: of reports, and of its sample."""
    name = get_claimed_class(dataset, report)
    opinions = _list_opinions(dataset, report)
    return [other for other in opinions if name not in (None, other.name)]


def _list_opinions(dataset: Dataset, report: Report) -> list[Rival]:
    """Return what other pending or accepted reports say of a face, and how it is labelled."""
    opinions = [
        Rival(other.id, name, other.status)
        for other in Reports(dataset.db).find_about_face(report)
        if (name := get_claimed_class(dataset, other)) is not None
    ]
    decision = _find_decision(dataset, report)
    if decision and not any(
        other[1:] == (decision.name, ACCEPTED) for other in opinions
    ):
        opinions.append(decision)
    return opinions


def _find_decision(dataset: Dataset, report: Report) -> Rival | None:
    """Return how the sample of a report's face is labelled or rejected, or None."""
    key = None if report.claim.kind == REMOVAL else _find_same_face(dataset, report)
    sample = None if key is None else dataset.samples.get(key)
    if sample is None or sample.status not in ("labelled", "rejected"):
        return None
    marks = SampleTiles(dataset.db).get_marks([sample.key]).values()
    no_class = UNLISTED if UNLISTED_MARK in marks else NOT_A_FACE
    return Rival(None, sample.label or no_class, sample.status)


def find_class(dataset: Dataset, name: str) -> str:
    """Return the class that a name or an alias means, however it is written; else the name."""
    known = dataset.classes.resolve_alias(name)
    classes = dataset.classes.list_names()
    if known in classes:
        return known
    others = {
        fold_name(a): n for n, names in list_aliases(dataset.db).items() for a in names
    }
    others |= {fold_name(label): label for label in classes}
    folded = fold_name(known)
    return others.get(folded, known) if folded else known


def get_claimed_class(dataset: Dataset, report: Report) -> str | None:
    """Return the claimed class or `REMOVED`; of accepted ones the label now, None if it is gone."""
    if report.claim.kind == REMOVAL:
        return REMOVED
    if report.status == ACCEPTED:
        decision = _find_decision(dataset, report)
        return decision and decision.name
    return get_accepted_class(dataset, report, None)


def get_accepted_class(dataset: Dataset, report: Report, correct: str | None) -> str:
    """Return the class of an accepted report: the correct one, or if None the claimed one."""
    name = report.claim.claimed if correct is None else correct
    return name and find_class(dataset, name)


def _read_and_crop(
    dataset: Dataset, report: Report, originals: Store
) -> tuple[Measured, FaceCrop]:
    import numpy as np

    data = read_report_image(dataset, report)
    with _image_errors(dataset, report):
        measured = StageBytes(originals)(data)
        pixels = np.asarray(decode(data).pixels)
    geometry = CropGeometry.from_settings(dataset.settings.crop)
    cutter = FaceCropper(geometry, dataset.crops(originals.scratch))
    is_whole = report.claim.box == Box(0, 0, measured.width, measured.height)
    face = Face("whole" if is_whole else HAND, report.claim.box, 1.0)
    return measured, cutter.crop(measured.sha256, pixels, face)
