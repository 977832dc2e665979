"""Reports from the web page: stored separately until a person accepts or refuses them.

Their images are in `web/reports/`, laid out as in `images/`, where no face search finds them. An
accepted report becomes an image with a sample of the claimed class.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from curation.split_groups import find_split_groups
from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import PAGE_USER, Choice
from gleanset.db.reports import ACCEPTED, PENDING, REFUSED, REMOVAL, Report, Reports, SimilarImage
from gleanset.db.samples import SplitEvidence
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.files.store import Store
from gleanset.images.cropping import CropGeometry, FaceCropper, expand_box_within, make_sample_key
from gleanset.images.decode import decode, read_image_size
from gleanset.images.staging import StageBytes
from gleanset.operations import make_operation
from gleanset.records import HAND, REPORT_SOURCE, Box, Face, FaceCrop, Measured, Origin

if TYPE_CHECKING:
    from PIL import Image

STAGE = "web-reports"
PROVENANCE = "web report"
MARGIN = 0.3
"""Padding on every side of a face, as a share of its box."""


def open_report_store(root: Path, scratch: Path) -> Store:
    """Return the store of images in reports that are not accepted yet."""
    return Store(root / "web" / "reports", scratch)


class SettledReports(NamedTuple):
    """Journal step, number of settled reports, and number of samples left without a split."""

    step: int
    reports: int
    waiting_for_split: int = 0


def accept_reports(
    dataset: Dataset, claims: Mapping[int, str | None], *, unseen: bool = False
) -> SettledReports:
    """Import and label images of reports in one undoable step.

    `claims` maps report numbers to the true class, or to None for the class that the user claimed.
    `unseen` means that no person checked them one by one. Raises `UsageError` for a report that is
    not pending or that other reports of the same face contradict, and `InputUnusable` if an image
    cannot be read.
    """
    reports = Reports(dataset.db).get_pending(claims)
    for report in reports:
        if report.claim.kind == REMOVAL:
            raise UsageError(
                f"report {report.id} asks for an image to be removed",
                f"gleanset forget --report {report.id}, or webapp reports refuse {report.id}",
            )
    _refuse_disputed(dataset, reports, claims)
    with dataset.stage(STAGE) as scratch:
        originals = dataset.originals(scratch)
        cuts = [_read_and_crop(dataset, report, originals) for report in reports]
        with dataset.publishing(originals):
            for report, (measured, cut) in zip(reports, cuts, strict=True):
                origin = Origin(REPORT_SOURCE, f"report-{report.id}", title=f"report {report.id}")
                dataset.take_original(originals, measured, origin)
                dataset.faces.add_manual(measured.sha256, cut)
            provenance = PAGE_USER if unseen else PROVENANCE
            choices = [
                Choice(cut.key, "label", claims[report.id] or report.claim.claimed, provenance)
                for report, (_, cut) in zip(reports, cuts, strict=True)
            ]
            operation = make_operation("accept-reports", count=len(reports))
            step = dataset.journal.apply(operation, choices)
            Reports(dataset.db).settle(step, [report.id for report in reports], ACCEPTED)
        store = open_report_store(dataset.root, dataset.cache)
        for claim in (report.claim for report in reports):
            if not Reports(dataset.db).has_pending(claim.sha256):
                store.path(claim.sha256, claim.format).unlink(missing_ok=True)
    pending = _assign_splits(dataset, {cut.key for _, cut in cuts}, unseen=unseen)
    return SettledReports(step, len(reports), pending)


def _assign_splits(dataset: Dataset, keys: Collection[str], *, unseen: bool) -> int:
    """Assign accepted samples to splits; return how many got none.

    A sample gets the split of its group, or train. It is left to `labeler split` if train lacks its
    class, if its group is in several splits, or if the split is not by ratio. Labels that no person
    has seen must not be in val or test.
    """
    samples = dataset.samples
    if not (settings := samples.get_split_settings()):
        return 0
    trained = {label for label, split in samples.count_by("label", "split") if split == "train"}
    verdicts = Pairs(dataset.db).get_possible_duplicates()
    groups = find_split_groups(SplitEvidence(dataset.db).iterate(), verdicts)
    plan: dict[str, tuple[str, str | None]] = {}
    unassigned = 0
    for group in groups:
        members = (*group.members, *group.copies)
        splits = {member.split for member in members if member.split}
        name = next((member.split_group for member in members if member.split_group), group.key)
        split = next(iter(splits), "train")
        for member in group.members:
            if member.key not in keys or member.split or member.split_group:
                continue
            if len(splits) > 1 or member.label not in trained or not _BY_RATIO.fullmatch(settings):
                unassigned += 1
            else:
                plan[member.key] = name, None if unseen and split != "train" else split
    samples.add_to_splits(plan)
    return unassigned


_BY_RATIO = re.compile(r"ratio=\S+ seed=\d+")


def refuse_reports(dataset: Dataset, numbers: Sequence[int]) -> SettledReports:
    """Refuse pending reports in one undoable step. Raises `UsageError`."""
    reports = Reports(dataset.db).get_pending(numbers)
    with dataset.db.transaction():
        step = dataset.journal.apply(make_operation("refuse-reports", count=len(reports)), [])
        Reports(dataset.db).settle(step, [report.id for report in reports], REFUSED)
    return SettledReports(step, len(reports))


def find_copies(dataset: Dataset, report: Report) -> list[SimilarImage]:
    """Return possible copies of a removal report's image, the most similar first."""
    claim = report.claim
    similar = [] if claim.phash is None else Reports(dataset.db).similar_images(claim.phash)
    is_listed = any(image.sha256 == claim.sha256 for image in similar)
    if dataset.images.get_id(claim.sha256) and not is_listed:
        return [SimilarImage(claim.sha256, 0), *similar]
    return similar


def read_report_image(dataset: Dataset, report: Report) -> bytes:
    """Return the bytes of a report's image, pending or accepted. Raises `InputUnusable`."""
    claim = report.claim
    stores = (open_report_store(dataset.root, dataset.cache), dataset.originals(dataset.cache))
    pending, accepted = (store.path(claim.sha256, claim.format) for store in stores)
    try:
        return (pending if pending.is_file() else accepted).read_bytes()
    except OSError as error:
        raise InputUnusable(
            f"the image of report {report.id} cannot be read: {error}",
            f"webapp reports refuse {report.id}",
        ) from error


def crop_report_face(dataset: Dataset, report: Report, side: int) -> Image.Image:
    """Return a padded face with `side` pixels. Raises `InputUnusable`, `Unreadable`."""
    data, box = read_report_image(dataset, report), report.claim.box
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
    dataset: Dataset, reports: Sequence[Report], claims: Mapping[int, str | None]
) -> None:
    """Raise `UsageError` if reports contradict each other or an unchanged claim."""
    names = {report.id: claims[report.id] or report.claim.claimed for report in reports}
    for report in reports:
        for rival in Reports(dataset.db).find_same_face(report):
            name = get_claimed_class(dataset, rival)
            together = rival.id in names and names[rival.id] != names[report.id]
            differs = name != names[report.id] and rival.id not in names
            if together or (claims[report.id] is None and differs):
                raise UsageError(
                    f"users disagree about one face: report {report.id} says "
                    f"{report.claim.claimed!r}, report {rival.id} ({rival.status}) {name!r}",
                    f"webapp reports accept {report.id} --class NAME says who it is; webapp "
                    f"reports refuse {rival.id if rival.status == PENDING else report.id}",
                )


def list_disputed_reports(dataset: Dataset) -> dict[int, list[Report]]:
    """Return the contradicting reports of each disputed pending report, by number."""
    rivals = {
        report.id: find_rival_reports(dataset, report) for report in Reports(dataset.db).iterate()
    }
    return {number: others for number, others in rivals.items() if others}


def find_rival_reports(dataset: Dataset, report: Report) -> list[Report]:
    """Return pending or accepted reports with another class for the same face."""
    name = get_claimed_class(dataset, report)
    others = Reports(dataset.db).find_same_face(report)
    return [other for other in others if get_claimed_class(dataset, other) != name]


def get_claimed_class(dataset: Dataset, report: Report) -> str:
    """Return the claimed class; for accepted reports, the face's current class."""
    claim = report.claim
    if report.status == ACCEPTED:
        sample = dataset.samples.get(make_sample_key(claim.sha256, claim.box))
        if sample is not None and sample.label is not None:
            return sample.label
    return claim.claimed


def _read_and_crop(dataset: Dataset, report: Report, originals: Store) -> tuple[Measured, FaceCrop]:
    import numpy as np

    data = read_report_image(dataset, report)
    try:
        measured = StageBytes(originals)(data)
        pixels = np.asarray(decode(data).pixels)
    except Unreadable as error:
        raise InputUnusable(
            f"the image of report {report.id} cannot be read: {error}",
            f"webapp reports refuse {report.id}",
        ) from error
    cutter = FaceCropper(
        CropGeometry.from_settings(dataset.settings.crop), dataset.crops(originals.scratch)
    )
    is_whole = report.claim.box == Box(0, 0, measured.width, measured.height)
    face = Face("whole" if is_whole else HAND, report.claim.box, 1.0)
    return measured, cutter.crop(measured.sha256, pixels, face)
