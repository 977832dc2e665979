"""Which images an export contains, their names, and how each file is made.

Many licences require a note of what was changed, so every file method has a description, which
tables, `LICENSES.csv`, manifests and the card contain.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.faces import StoredTrack
from gleanset.db.journal import count_unseen_in_evaluation
from gleanset.errors import InputUnusable
from gleanset.files.names import (
    assign_folder_names,
    make_portable_name,
    make_safe_name,
    parse_path,
)
from gleanset.files.store import EXTENSIONS
from gleanset.images.cropping import (
    JPEG_QUALITY,
    clip_box,
    compute_region,
    make_sample_key,
)
from gleanset.records import Box, Face, FaceTrack, Image, Origin, Sample, TrackBox
from labeler.export.balance import Balance, plan_balance
from labeler.export.item import ALL_SAMPLES, Clip, ExportItem, FileMethod
from labeler.export.options import ExportOptions

PORTABLE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""Formats that Pillow, OpenCV and torchvision all read; some reader silently skips the others."""

HAIR_HEIGHT = 0.8
"""Space above a face in a half-body crop, in face sizes."""
FRAME_STEP = 4
"""Models that generate videos read a frame and then groups of four (docs/image-generators.md)."""
CUT_TOLERANCE_SECONDS = 0.001
"""Containers store times of frames in milliseconds."""
UNCHANGED = "unchanged"
_EXTENSION = re.compile(r"\.(jpe?g|png|gif|webp|bmp|tiff?|avif)$", re.IGNORECASE)
_JPEG = f"JPEG, quality {JPEG_QUALITY}, full colour"


class FilePlan(NamedTuple):
    """How a file is made, its extension, and a description of what is changed in the image."""

    method: FileMethod
    extension: str
    changes: str


def plan_file(
    sample: Sample, image: Image, options: ExportOptions, copy: int = 0
) -> FilePlan:
    """Return how the file of a sample is made (with boxes: the file of its whole image).

    `copy` is the number of a copy in a balanced export. The extension is that of the encoding,
    whatever the original was called.
    """
    has_whole_box = sample.box == Box(0, 0, image.width, image.height)
    is_whole = options.has_boxes or (has_whole_box and not sample.angle)
    is_augmented = options.is_augmented(copy)

    # As it is stored (a crop is stored as JPEG), if that is possible: encoding again loses quality.
    # An original that other programs cannot read is encoded below.
    if not (is_augmented or options.must_reencode(whole_images=is_whole)):
        if not is_whole:
            return FilePlan("crop", "jpg", f"cropped, {_JPEG}")
        if image.format in PORTABLE_FORMATS:
            return FilePlan("original", EXTENSIONS[image.format], UNCHANGED)

    # JPEG artifacts are visible in the flat colors of a GIF.
    is_flat = image.format == "GIF" and options.file != "jpeg"
    is_png = options.file == "png" or is_flat
    encoding = "PNG" if is_png else _JPEG

    if is_whole:
        changes = [f"re-encoded from {image.format} to {encoding}"]
    else:
        changes = [f"cropped, {encoding}"]
    if options.size:
        changes.append(f"{options.fit} to {options.size}")
    if options.grayscale:
        changes.append("grey")
    if is_augmented:
        changes.append(f"augmented ({options.augmentation})")
    return FilePlan(
        "made",
        "png" if is_png else "jpg",
        ", ".join(changes),
    )


WITHOUT_SPLIT = "labelled, without a split"
OTHER_LICENCE = "of another licence"
FROM_REPORTS = "from web reports (--with-reports adds them)"
TOO_SHORT = "too short for five frames"
DUPLICATES = "duplicates"
UNDECIDED = "with an undecided face"
_STATUS_REASONS = {
    "queue": "unlabelled",
    "labelled": WITHOUT_SPLIT,
    "rejected": "rejected",
}
_REASONS = [
    "",
    FROM_REPORTS,
    OTHER_LICENCE,
    TOO_SHORT,
    *_STATUS_REASONS.values(),
    DUPLICATES,
]
"""Reasons for an image or track whose samples have several, the first one first."""
RESERVED_NAMES = (
    "README.md",
    "LICENSES.csv",
    "SOURCE_LICENSES.txt",
    "CITATION.bib",
    "croissant.json",
    "samples.csv",
    "metadata.parquet",
)
"""Files next to class folders; no class folder gets such a name."""


def make_export_item(
    dataset: Dataset,
    sample: Sample,
    image: Image,
    path: str,
    plan: FilePlan,
    face: Box | None = None,
) -> ExportItem:
    """Return the item that exports a sample to `path`; `face` is its box if that is another one."""
    return ExportItem(
        sample,
        image,
        face=face or sample.box,
        original=dataset.image_path(image.sha256, image.format),
        crop=dataset.crop_path(sample.key),
        path=path,
        method=plan.method,
        changes=plan.changes,
    )


def make_copy_suffix(copy: int, options: ExportOptions) -> str:
    """Return what names a copy in a balanced export."""
    kind = "augmented" if options.is_augmented(copy) else "copy"
    return f"-{kind}-{copy}" if copy else ""


def plan_export(dataset: Dataset, options: ExportOptions) -> list[ExportItem]:
    """Return an item for each labelled sample that has a split and an allowed licence.

    With `no_split`, for each labelled sample that is not a duplicate. Raises `InputUnusable` if
    there are none.
    """
    allowed_samples = list(_iter_allowed(dataset, options))
    if not allowed_samples:
        raise nothing_to_export_error(dataset, options)

    samples = [sample for sample, _ in allowed_samples]
    labels = (str(sample.label) for sample in samples)
    folders = assign_folder_names(labels, RESERVED_NAMES)
    suffixes = _number_faces(samples)
    # Images of other licences do not count for it.
    balance = plan_balance(samples, options)

    paths = UniquePaths(options.form.has_unique_stems)
    items = []
    for sample, image, copy in _iter_balanced(allowed_samples, balance):
        folder = folders[str(sample.label)]
        if options.repeats:
            folder = f"{options.repeats}_{folder}"
        if not options.no_split:
            folder = f"{sample.split}/{folder}"
        name = choose_file_stem(image.origins) + suffixes.get(sample.key, "")
        stem = f"{folder}/{name}{make_copy_suffix(copy, options)}"
        plan = plan_file(sample, image, options, copy)
        path = paths.add(sample, stem, plan.extension)
        items.append(
            make_export_item(dataset, sample, image, path, plan)._replace(copy=copy)
        )
    return items


def plan_clips(dataset: Dataset, options: ExportOptions) -> list[ExportItem]:
    """Return an item for each track that has a class and samples to export.

    Raises `InputUnusable` if there are none.
    """
    tracks = _select_tracks(dataset, options)
    if not tracks:
        raise nothing_to_export_error(dataset, options)
    return [
        _make_clip_item(dataset, item, tracks[item.sample.key], options)
        for item in plan_export(dataset, options)
        if item.sample.key in tracks
    ]


def _select_tracks(dataset: Dataset, options: ExportOptions) -> dict[str, StoredTrack]:
    """Return the tracks of an export by the key of a sample that stands for each."""
    # The class of a track is that of most of its samples, and only one of these stands for it.
    rows = {(row.track.name, row.label): row for row in dataset.tracks.iterate()}
    tracks = {}
    for sample, _ in _iter_allowed(dataset, options):
        # Removed from the rows: only the first sample of a track stands for it.
        row = rows.pop((str(sample.track), sample.label), None)
        if row is not None and count_clip_frames(row.track, options) > 1:
            tracks[sample.key] = row
    return tracks


def count_clip_frames(track: FaceTrack, options: ExportOptions) -> int:
    """Return the 4n+1 frames of a track's clip; 1 or less if it is too short."""
    # Without the frame at the track's end, which may be the first of the next shot.
    seconds = track.ended - track.started - CUT_TOLERANCE_SECONDS
    # The last of 4n+1 frames is 4n / fps after the first: before the end, and within the length
    # that was asked for.
    steps = min(
        math.ceil(seconds * options.fps / FRAME_STEP) - 1,
        int((options.length or seconds) * options.fps / FRAME_STEP),
    )
    return FRAME_STEP * steps + 1


def _make_clip_item(
    dataset: Dataset, item: ExportItem, row: StoredTrack, options: ExportOptions
) -> ExportItem:
    """Return the item of a face as one that is cut out of the video of its track."""
    image = item.image
    crops = []
    for time, *box in row.track.boxes:
        crop = Box(*box)
        if options.crop == "face":
            face = Face("", crop, score=0.0)
            settings = dataset.settings.crop
            crop = compute_region(face, settings, image.width, image.height).box
        else:
            crop = _choose_crop(crop, image, options)
        crops.append(TrackBox(time, *crop))

    frame = next(origin for origin in image.origins if origin.video == row.video)
    origin = replace(frame, time=row.track.started)
    folder, _, _ = item.path.rpartition("/")
    return item._replace(
        image=replace(image, origins=(origin,)),
        original=parse_path(str(origin.path)),
        # Several tracks may begin with a shot.
        path=f"{folder}/{choose_file_stem([origin])}-{row.track.name}.mp4",
        changes="clip, H.264, without sound",
        clip=Clip(
            row.track.started,
            count_clip_frames(row.track, options),
            options.fps,
            tuple(crops),
        ),
    )


def _iter_balanced(
    allowed_samples: Iterable[tuple[Sample, Image]], balance: Balance
) -> Iterator[tuple[Sample, Image, int]]:
    """Yield samples with the number of the copy: 0 for themselves, then 1, 2 …"""
    for sample, image in allowed_samples:
        if sample.key not in balance.left_out:
            for copy in range(1 + balance.copies.get(sample.key, 0)):
                yield sample, image, copy


def get_balance(dataset: Dataset, options: ExportOptions) -> Balance:
    """Return what an export repeats or leaves out so that classes in train are balanced."""
    samples = (sample for sample, _ in _iter_allowed(dataset, options))
    return plan_balance(samples, options)


def _iter_samples(dataset: Dataset, options: ExportOptions) -> Iterator[Sample]:
    """Yield labelled samples with a split, or with `no_split` all except duplicates."""
    if not options.no_split:
        yield from dataset.samples.iter_in_splits()
        return
    for sample in dataset.samples.iter_by_key():
        if sample.status == "labelled" and sample.kept:
            yield replace(sample, split=ALL_SAMPLES)


def _iter_allowed(
    dataset: Dataset, options: ExportOptions
) -> Iterator[tuple[Sample, Image]]:
    """Yield the samples that may be exported, with their images."""
    private = _list_private_images(dataset, options)
    for sample in _iter_samples(dataset, options):
        if _explain_sample(dataset, sample, private, options):
            continue
        image = _load_image(dataset, sample)
        if options.crop != "face":
            sample = _crop_otherwise(dataset, sample, image, options)
        yield sample, image


def _crop_otherwise(
    dataset: Dataset, sample: Sample, image: Image, options: ExportOptions
) -> Sample:
    """Return a face's sample with another crop than that of the dataset."""
    faces = list(_iter_face_boxes(dataset, [sample], image))
    if sample.detector == "whole" or not faces:
        return sample

    _, face = faces[0]
    # The crop is upright, also of a face that is not.
    return replace(sample, box=_choose_crop(face, image, options), angle=0.0)


def _choose_crop(face: Box, image: Image, options: ExportOptions) -> Box:
    """Return the half body of a face, within the image, or the whole image."""
    if options.crop == "whole":
        return Box(0, 0, image.width, image.height)
    # Four faces wide and five high; the face is in the middle of its width, near the top.
    side = max(face.width, face.height)
    x = face.x + face.width // 2 - 2 * side
    y = face.y - round(HAIR_HEIGHT * side)
    return clip_box(Box(x, y, 4 * side, 5 * side), image.width, image.height) or face


def count_left_out(dataset: Dataset, options: ExportOptions) -> dict[str, int]:
    """Return what stays out of an export, by reason.

    It counts samples, images for an export with boxes, and tracks for one of clips. With what is
    exported they are all samples, images or tracks of the dataset.
    """
    if not (options.has_boxes or options.is_clips):
        counts = Counter(reason for _, reason in _iter_reasons(dataset, options))
        counts["left out by --balance down"] = len(
            get_balance(dataset, options).left_out
        )
        # Labels that no person has seen do not evaluate: in val or test they count as without a
        # split. They are named separately, because a person can review them.
        if not options.no_split:
            unseen = count_unseen_in_evaluation(dataset.db)
            counts["in val or test with an unreviewed label"] = unseen
            counts[WITHOUT_SPLIT] -= unseen
    else:
        counts = _count_units_left_out(dataset, options)
    return {reason: n for reason, n in sorted(counts.items()) if reason and n}


def _count_units_left_out(dataset: Dataset, options: ExportOptions) -> Counter[str]:
    """Count images, or tracks for clips, by reason; those that are exported have the reason ""."""
    reasons: dict[str, str] = {}
    for sample, reason in _iter_reasons(dataset, options):
        unit = sample.track if options.is_clips else sample.image
        if unit is not None:
            reasons[unit] = min(reasons.get(unit, reason), reason, key=_REASONS.index)

    counts = Counter(reasons.values())
    if options.is_clips:
        # Tracks with samples to export that are too short for a clip.
        counts[TOO_SHORT] = counts[""] - len(_select_tracks(dataset, options))
        counts["without a face in use"] = dataset.tracks.count() - len(reasons)
        return counts

    images = {unit for unit, reason in reasons.items() if not reason}
    for samples in _group_by_image(dataset, options, images).values():
        is_decided = all(sample.label for sample in samples)
        counts[UNDECIDED] += options.form.needs_all_faces and not is_decided
    counts["without a face, or not searched for faces"] = (
        dataset.images.count_without_sample()
    )
    return counts


def _iter_reasons(
    dataset: Dataset, options: ExportOptions
) -> Iterator[tuple[Sample, str]]:
    """Yield all samples with the reason why they are not exported; "" for those that are."""
    private = _list_private_images(dataset, options)
    for sample in dataset.samples.iter_by_key():
        is_labelled = sample.kept and sample.status == "labelled"
        if sample.split or (options.no_split and is_labelled):
            yield sample, _explain_sample(dataset, sample, private, options)
        elif sample.status != "retired":
            yield sample, _STATUS_REASONS[sample.status] if sample.kept else DUPLICATES


def _explain_sample(
    dataset: Dataset, sample: Sample, private: Collection[str], options: ExportOptions
) -> str:
    """Return why a labelled sample that has a split is not exported; "" if it is."""
    if sample.image in private:
        return FROM_REPORTS
    # Images are only loaded for their licences.
    if options.licences and not has_allowed_licence(
        _load_image(dataset, sample), options.licences
    ):
        return OTHER_LICENCE
    return ""


def _list_private_images(dataset: Dataset, options: ExportOptions) -> frozenset[str]:
    """Return the images that only came with web reports, unless these are exported, too."""
    return frozenset() if options.with_reports else dataset.images.list_report_only()


def iter_items(dataset: Dataset, options: ExportOptions) -> Iterator[ExportItem]:
    """Yield the items of an export in shards: by key, named by key, one page in memory."""
    allowed_samples = _iter_allowed(dataset, options)
    balance = get_balance(dataset, options)
    for sample, image, copy in _iter_balanced(allowed_samples, balance):
        plan = plan_file(sample, image, options, copy)
        name = f"{sample.key}{make_copy_suffix(copy, options)}.{plan.extension}"
        path = f"{sample.split}/{name}"
        yield make_export_item(dataset, sample, image, path, plan)._replace(copy=copy)


def nothing_to_export_error(dataset: Dataset, options: ExportOptions) -> InputUnusable:
    """Return the error for an export without samples."""
    left_out = count_left_out(dataset, options)
    if OTHER_LICENCE in left_out:
        return InputUnusable(
            f"no image has a licence that matches {' or '.join(options.licences)}",
            "list images with their licences: gleanset list images",
        )
    if FROM_REPORTS in left_out:
        return InputUnusable(
            "nothing to export: all of these images were sent with web reports",
            "export them too: --with-reports",
        )
    if WITHOUT_SPLIT in left_out:
        alternative = "add --no-split, or " if options.form.split_optional else ""
        return InputUnusable(
            "nothing to export: no labelled sample has a split yet",
            f"{alternative}split them: labeler split --ratio 8:1:1 {dataset.option}",
        )

    if options.is_clips:
        return InputUnusable(
            "nothing to export: no track of a video has a class and five frames",
            f"track and label its faces: gleanset episodes VIDEO {dataset.option}",
        )
    return InputUnusable(
        "nothing to export: no sample is labelled yet",
        dataset.status_advice,
    )


def has_allowed_licence(image: Image, patterns: Sequence[str]) -> bool:
    """Return whether the licence of an origin matches a pattern."""
    for origin in image.origins:
        for pattern in patterns:
            licence = (origin.licence or "").lower()
            if licence and fnmatchcase(licence, pattern.lower()):
                return True
    return False


def _load_image(dataset: Dataset, sample: Sample) -> Image:
    """Return the image of a sample."""
    image = dataset.images.get(sample.image)
    assert image is not None, "a sample always has its image"
    return image


def name_originals(
    samples: Iterable[Sample], images: dict[str, Image], options: ExportOptions
) -> dict[str, str]:
    """Return the paths of whole images by hash, given one sample of each image."""
    names = UniquePaths(options.form.has_unique_stems)
    paths = {}
    # In the order of hashes, so that images of one name get the same paths again.
    for sample in sorted(samples, key=lambda sample: sample.image):
        image = images[sample.image]
        folder = "images" if options.no_split else f"images/{sample.split}"
        stem = f"{folder}/{choose_file_stem(image.origins)}"
        paths[sample.image] = names.add(
            sample, stem, plan_file(sample, image, options).extension
        )
    return paths


def _number_faces(samples: Iterable[Sample]) -> dict[str, str]:
    """Return the suffixes of the faces of each image: `_1`, `_2` … from left to right."""

    def rank(sample: Sample) -> tuple[str, int, int, str]:
        # By the center of the box (twice, to stay whole): its left side depends on the padding.
        x, y, width, height = sample.box
        return sample.image, 2 * x + width, 2 * y + height, sample.key

    faces = [sample for sample in samples if sample.detector != "whole"]
    counts = Counter[str]()
    suffixes = {}
    for sample in sorted(faces, key=rank):
        counts[sample.image] += 1
        suffixes[sample.key] = f"_{counts[sample.image]}"
    return suffixes


def choose_file_stem(origins: Iterable[Origin]) -> str:
    """Return the original file name without extension, or `<source>-<id>`."""
    origin = next(iter(origins), None)
    if origin is None:
        return "image"

    # A frame: the name of the video and the second.
    if origin.video is not None and origin.time is not None:
        stem = PurePosixPath(origin.title or "video").stem
        return make_safe_name(f"{stem}-{origin.time:.3f}")
    # An imported file keeps its name.
    if origin.source in ("folder", "archive", "import") and origin.title:
        return make_portable_name(PurePosixPath(origin.title).stem)

    key = origin.key
    # An address, whose last part is the name of the image.
    if "://" in key:
        key = re.split("[?#]", key)[0].rstrip("/")
    name = key.rpartition("/")[2]
    return make_safe_name(_EXTENSION.sub("", f"{origin.source}-{name}"))


class UniquePaths:
    """Makes unique paths of files.

    Paths are compared without case, as some file systems do, and with `by_stem` without extension.
    """

    def __init__(self, by_stem: bool):
        self._by_stem = by_stem
        self._paths = set[str]()

    def add(self, sample: Sample, stem: str, extension: str) -> str:
        """Return the path of a new file; if it is in use, with the start of the sample's key."""
        if self._fold(stem, extension) in self._paths:
            stem = f"{stem}-{sample.key[:12]}"
        self._paths.add(self._fold(stem, extension))
        return f"{stem}.{extension}"

    def _fold(self, stem: str, extension: str) -> str:
        """Return what is equal for paths that cannot be in one folder."""
        path = stem if self._by_stem else f"{stem}.{extension}"
        return path.casefold()


def plan_boxes(
    dataset: Dataset, options: ExportOptions
) -> tuple[list[ExportItem], int]:
    """Return the items of an export with boxes, and the number of undecided images.

    A detector takes everything outside of the boxes for background. So all labelled samples of an
    image get a box, also duplicates; rejected ones get none. Images with an undecided sample are
    left out of formats that need all faces. An image has the split of its first sample. Raises
    `InputUnusable` if none is left.
    """
    images = {sample.image: image for sample, image in _iter_allowed(dataset, options)}
    if not images:
        raise nothing_to_export_error(dataset, options)

    by_image = _group_by_image(dataset, options, images)
    decided_images = {}
    for sha256, samples in by_image.items():
        decided_samples = [sample for sample in samples if sample.label]
        if decided_samples == samples or not options.form.needs_all_faces:
            decided_images[sha256] = decided_samples
    undecided_count = len(by_image) - len(decided_images)
    if not decided_images:
        raise InputUnusable(
            f"each of the {undecided_count} images has an undecided face",
            f"decide: labeler {dataset.option}",
        )

    first_samples = (samples[0] for samples in decided_images.values())
    paths = name_originals(first_samples, images, options)
    items = []
    for sha256, samples in decided_images.items():
        image = images[sha256]
        for sample, box in _iter_face_boxes(dataset, samples, image):
            plan = plan_file(sample, image, options)
            items.append(
                make_export_item(dataset, sample, image, paths[sha256], plan, box)
            )
    return items, undecided_count


def _group_by_image(
    dataset: Dataset, options: ExportOptions, images: Collection[str]
) -> dict[str, list[Sample]]:
    """Return all samples of these images, in the split of the first exported one.

    Undecided samples have no label; duplicates have the label of their best copy.
    """
    splits: dict[str, str] = {}  # by image
    set_labels = {}  # by duplicate set
    for sample in _iter_samples(dataset, options):
        splits.setdefault(sample.image, str(sample.split))
        if sample.group:
            set_labels[sample.group] = str(sample.label)

    samples_of: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples.iter_by_key():
        # A whole image that waits as a sample does not lack a box.
        is_undecided = sample.status == "queue" and sample.detector != "whole"
        is_labelled = sample.status == "labelled"
        if sample.image not in images or not (is_undecided or is_labelled):
            continue

        label = sample.label if is_labelled else None
        if not sample.kept and sample.group:
            label = label or set_labels.get(sample.group)
        samples_of[sample.image].append(
            replace(sample, label=label, split=splits[sample.image])
        )

    # Undecided samples last: the first one names the file.
    for samples in samples_of.values():
        samples.sort(key=lambda sample: (sample.label is None, sample.key))
    return samples_of


def _iter_face_boxes(
    dataset: Dataset, samples: list[Sample], image: Image
) -> Iterator[tuple[Sample, Box]]:
    """Yield samples with their boxes without padding, clipped to the image."""
    # The key of a sample is made of its box without padding. Whole images have no face.
    boxes = {}
    for row in dataset.faces.list_in_image(image.sha256):
        boxes[make_sample_key(image.sha256, row.face.box)] = row.face.box

    for sample in samples:
        box = clip_box(
            boxes.get(sample.key, sample.box),
            image.width,
            image.height,
        )
        if box is not None:
            yield sample, box
