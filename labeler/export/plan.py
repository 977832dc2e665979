"""Which pictures an export has, what they are called, and how each comes about.

A licence often asks to say what was changed of a picture; so each way has its words, which tables,
`LICENSES.csv`, manifests and the card have.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import msgspec

from gleanset import Dataset
from gleanset.db.samples import AS_IT_IS, Balances
from gleanset.errors import InputUnusable
from gleanset.files.names import folder_names, kept_name, safe_name
from gleanset.files.store import EXTENSIONS
from gleanset.images.cut import QUALITY, sample_key, within
from gleanset.images.embedded_metadata import STRIPPED
from gleanset.records import Box, Image, Origin, Sample
from labeler.export.item import ExportItem, Way
from labeler.export.options import ALL, CAPTIONED, ExportOptions

READABLE = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""Formats that Pillow and OpenCV read without more, and torchvision by their names: all others
are left out by some reader without a word."""

UNCHANGED = "none"
STRIPPED_OF = "metadata taken out"
_JPEG = f"JPEG, quality {QUALITY}, full colour"


def is_whole(sample: Sample, image: Image) -> bool:
    """Return whether a sample is all of its picture: also a face may be, and a square is not."""
    return sample.box == Box(0, 0, image.width, image.height) and not sample.angle


def way_of(sample: Sample, image: Image, options: ExportOptions, *, change: bool = False) -> Way:
    """Return how the picture of a sample comes about; of boxes, that of the whole picture.

    With `change` it is a copy that balancing changes.
    """
    whole = options.boxed or is_whole(sample, image)
    if change or options.remakes(whole=whole):
        return "made"
    if not whole:
        return "crop"
    if options.file != "original" and image.format not in READABLE:
        return "made"
    if options.strip_metadata:
        return "stripped" if image.format in STRIPPED else "made"
    return "original"


def ending_of(way: Way, image: Image, options: ExportOptions) -> str:
    """Return the ending of a picture's name: by what is inside, whatever it was called."""
    if way in ("original", "stripped"):
        return EXTENSIONS[image.format]
    if way == "crop" or options.file == "jpeg":
        return "jpg"
    # A GIF is drawn with few colours, which a JPEG would blur.
    return "png" if options.file == "png" or image.format == "GIF" else "jpg"


def changes_of(
    way: Way, sample: Sample, image: Image, options: ExportOptions, *, change: bool = False
) -> str:
    """Return in words what was changed of a picture, and how it is encoded."""
    if way == "original":
        return UNCHANGED
    if way == "stripped":
        return STRIPPED_OF
    cut = [] if options.boxed or is_whole(sample, image) else ["cut out"]
    if way == "crop":
        return ", ".join([*cut, _JPEG])
    shaded = ["mirrored, cropped and shaded at random"] if change else []
    size = [f"{options.fit} to {options.size}"] if options.size else []
    grey = ["grey"] if options.grayscale else []
    coded = "PNG" if ending_of(way, image, options) == "png" else _JPEG
    start = cut or [f"written anew from {image.format}"]
    return ", ".join([*start, *shaded, *size, *grey, coded])


def anew(image: Image) -> str:
    """Return in words what became of a picture whose metadata could not be taken out alone."""
    coded = _JPEG if image.format == "JPEG" else f"{image.format}, without loss"
    return f"written anew from {image.format}, whose metadata cannot be told apart, {coded}"


BALANCING = "_balancing"
WRITTEN_BESIDE = ("README.md", "LICENSES.csv", "croissant.json", "samples.csv", "metadata.parquet")
"""Files beside class folders, some of them in each split: no folder is called so."""


def export_item(
    dataset: Dataset,
    sample: Sample,
    image: Image,
    path: str,
    options: ExportOptions,
    face: Box | None = None,
) -> ExportItem:
    """Return a sample as it is exported to `path`."""
    way = way_of(sample, image, options)
    return ExportItem(
        sample,
        image,
        face or sample.box,
        dataset.image_path(image.sha256, image.format),
        dataset.crop_path(sample.key),
        path,
        way,
        changes_of(way, sample, image, options),
    )


def plan_export(dataset: Dataset, options: ExportOptions | None = None) -> list[ExportItem]:
    """Return every labelled sample that has a split and may be passed on, a picture for each.

    Without splits every labelled one that is no copy. Raises `InputUnusable`.
    """
    options = options or ExportOptions()
    private = private_images(dataset, options)
    chosen = [s for s in _chosen(dataset, options) if s.image not in private]
    images = images_of(dataset, chosen)
    chosen = [s for s in chosen if may_be_passed_on(images[s.image], options.licences)]
    if not chosen:
        raise nothing_to_export(dataset, options)
    paths = _paths(chosen, images, options)
    items = [
        export_item(dataset, sample, images[sample.image], path, options)
        for sample, path in zip(chosen, paths, strict=True)
    ]
    return list(_distinct_copies(dataset, items, options)) if options.balances else items


def _chosen(dataset: Dataset, options: ExportOptions) -> Iterator[Sample]:
    if not options.no_split:
        yield from dataset.samples.in_splits()
        return
    for sample in dataset.samples.by_key():
        if sample.status == "labelled" and sample.kept:
            yield replace(sample, split=ALL)


def for_splits(dataset: Dataset, options: ExportOptions) -> ExportOptions:
    """Return the options, without splits where there are none and nobody needs them."""
    if options.format not in CAPTIONED or next(dataset.samples.in_splits(), None) is not None:
        return options
    return msgspec.structs.replace(options, no_split=True)


def left_out(dataset: Dataset, options: ExportOptions) -> dict[str, int]:
    """Return how many samples stay out of an export, by the reason.

    Rejected ones do not count; what lacks in images with boxes is told of the images.
    """
    counts: Counter[str] = Counter()
    traits = dataset.samples.counts("status", "kept", "split")
    for (status, kept, split), number in traits.items():
        if status == "queue" and kept == "kept":
            counts["not labelled yet"] += number
        elif status in ("queue", "labelled") and kept != "kept" and not options.boxed:
            counts["duplicates"] += number
        elif status == "labelled" and split is None and not options.no_split:
            counts["labelled, without a split"] += number
    if options.licences:
        chosen = list(_chosen(dataset, options))
        images = images_of(dataset, chosen)
        refused = (not may_be_passed_on(images[s.image], options.licences) for s in chosen)
        counts["of another licence"] = sum(refused)
    return {reason: number for reason, number in counts.items() if number}


def _distinct_copies(
    dataset: Dataset, items: Sequence[ExportItem], options: ExportOptions
) -> Iterator[ExportItem]:
    """Yield the items of a balance; copies get names that no other image has."""
    by_stem = options.form.names_by_stem
    taken = {_alike(*_stem_and_end(item.path), by_stem) for item in items}
    for item in _balanced(dataset, items, options):
        stem, end = _stem_and_end(item.path)
        if item.copy and _alike(stem, end, by_stem) in taken:
            stem = f"{stem}-{item.sample.key[:12]}"
            item = replace(item, path=f"{stem}{end}")
        taken.add(_alike(stem, end, by_stem))
        yield item


def _stem_and_end(path: str) -> tuple[str, str]:
    stem, _, ending = path.rpartition(".")
    return stem, f".{ending}"


def each_item(dataset: Dataset, options: ExportOptions) -> Iterator[ExportItem]:
    """Yield the same samples by key, for shards: a page of them in memory, named by their keys."""
    return _balanced(dataset, _keyed(dataset, options), options)


def _keyed(dataset: Dataset, options: ExportOptions) -> Iterator[ExportItem]:
    private = private_images(dataset, options)
    for sample in dataset.samples.in_splits():
        if sample.image in private:
            continue
        image = _image(dataset, sample)
        if may_be_passed_on(image, options.licences):
            path = f"{sample.split}/{sample.key}.{_ending(sample, image, options)}"
            yield export_item(dataset, sample, image, path, options)


def nothing_to_export(dataset: Dataset, options: ExportOptions) -> InputUnusable:
    """Return the error of an export without a single picture."""
    if next(_chosen(dataset, options), None) is None:
        labelled = not options.no_split and ("labelled",) in dataset.samples.counts("status")
        if not labelled:
            return InputUnusable(
                "there is nothing to export: nothing is labelled yet",
                f"see what comes next: gleanset status {dataset.option}",
            )
        without = ", or give --no-split" if options.form.may_have_no_split else ""
        return InputUnusable(
            "there is nothing to export: no labelled sample has a split yet",
            f"split: labeler split --ratio 8:1:1 {dataset.option}{without}",
        )
    if not options.licences:
        return InputUnusable(
            "nothing to export: users of the page sent all of these images with a report",
            "export them too: --with-reports",
        )
    return InputUnusable(
        f"no picture has a licence like {' or '.join(options.licences)}",
        "see which there are: gleanset list images, field origins",
    )


def _balanced(
    dataset: Dataset, items: Iterable[ExportItem], options: ExportOptions
) -> Iterator[ExportItem]:
    balances = Balances(dataset.db)
    shares, changed = balances.shares(), balances.settings().startswith("method=augment")
    for item in items:
        share = shares.get(item.sample.key, AS_IT_IS)
        item = replace(item, weight=share.weight)
        if share.copies:
            yield item
        for number in range(1, share.copies):
            yield _copy_of(item, number, changed, options)


def _copy_of(item: ExportItem, number: int, changed: bool, options: ExportOptions) -> ExportItem:
    stem, dot, ending = item.path.rpartition(".")
    way, changes = item.way, item.changes
    if changed:
        way = "made"
        ending = ending_of(way, item.image, options)
        changes = changes_of(way, item.sample, item.image, options, change=True)
    path = f"{stem}{BALANCING}{f'_{number}' if number > 1 else ''}{dot}{ending}"
    return replace(item, path=path, copy=number, changed=changed, way=way, changes=changes)


def private_images(dataset: Dataset, options: ExportOptions) -> frozenset[str]:
    """Return the hashes of images that an export leaves out because users of the page sent them."""
    return frozenset() if options.with_reports else dataset.images.only_reported()


def count_left_out_reports(dataset: Dataset, options: ExportOptions) -> int:
    """Return how many samples an export leaves out because users of the page sent their image."""
    if not (private := private_images(dataset, options)):
        return 0
    return sum(sample.image in private for sample in _chosen(dataset, options))


def may_be_passed_on(image: Image, patterns: Sequence[str]) -> bool:
    """Return whether an origin has a licence like a pattern, or there are none."""
    licences = [(origin.licence or "").lower() for origin in image.origins]
    return not patterns or any(
        fnmatchcase(licence, pattern.lower())
        for licence in licences
        if licence
        for pattern in patterns
    )


def images_of(dataset: Dataset, samples: Iterable[Sample]) -> dict[str, Image]:
    """Return the images of some samples by their hash."""
    found: dict[str, Image] = {}
    for sample in samples:
        if sample.image not in found:
            found[sample.image] = _image(dataset, sample)
    return found


def _image(dataset: Dataset, sample: Sample) -> Image:
    image = dataset.images.get(sample.image)
    assert image is not None, "a sample always has its image"
    return image


def _paths(samples: list[Sample], images: dict[str, Image], options: ExportOptions) -> list[str]:
    folders = folder_names((str(sample.label) for sample in samples), WRITTEN_BESIDE)
    names = _counted(samples) if options.names == "prefix-count" else _named(samples, images)
    places = (
        folders[str(sample.label)]
        if options.no_split
        else f"{sample.split}/{folders[str(sample.label)]}"
        for sample in samples
    )
    wanted = zip(samples, places, names, strict=True)
    ends = [_ending(sample, images[sample.image], options) for sample in samples]
    return list(unique_names(wanted, ends, by_stem=options.form.names_by_stem))


def paths_of_originals(
    samples: Sequence[Sample], images: dict[str, Image], options: ExportOptions
) -> dict[str, str]:
    """Return where whole pictures lie, by their hash; each sample is of another picture."""
    chosen = sorted(samples, key=lambda sample: sample.image)
    folder = "images" if options.no_split else "images/{}"
    wanted = [
        (one, folder.format(one.split), original_name(images[one.image].origins)) for one in chosen
    ]
    ends = [_ending(sample, images[sample.image], options) for sample in chosen]
    named = unique_names(wanted, ends, by_stem=options.form.names_by_stem)
    return dict(zip((sample.image for sample in chosen), named, strict=True))


def _ending(sample: Sample, image: Image, options: ExportOptions) -> str:
    return ending_of(way_of(sample, image, options), image, options)


def _counted(samples: list[Sample]) -> Iterator[str]:
    seen: Counter[str] = Counter()
    width = max(4, len(str(len(samples))))
    for sample in samples:
        label = str(sample.label)
        seen[label] += 1
        yield f"{safe_name(label)}_{seen[label]:0{width}}"


def _named(samples: list[Sample], images: dict[str, Image]) -> Iterator[str]:
    """Yield the name a picture came with; `_1`, `_2` … from left to right for its faces."""
    seen: Counter[str] = Counter()
    place: dict[str, str] = {}
    faces = [sample for sample in samples if sample.detector != "whole"]

    def from_left(sample: Sample) -> tuple[str, int, int, str]:
        # By twice the middle of a box: its left side would depend on the margin.
        box = sample.box
        return sample.image, 2 * box.x + box.width, 2 * box.y + box.height, sample.key

    for sample in sorted(faces, key=from_left):
        seen[sample.image] += 1
        place[sample.key] = f"_{seen[sample.image]}"
    for sample in samples:
        yield original_name(images[sample.image].origins) + place.get(sample.key, "")


def original_name(origins: Iterable[Origin]) -> str:
    """Return the name a picture came with, or `<source>-<id>`, without its extension."""
    for origin in origins:
        if origin.video is not None and origin.time is not None:
            stem = PurePosixPath(origin.title or "video").stem
            return safe_name(f"{stem}-{origin.time:.3f}")
        if origin.source in ("folder", "archive", "import") and origin.title:
            return kept_name(PurePosixPath(origin.title).stem)
        return safe_name(f"{origin.source}-{_last_part(origin.key)}")
    return "image"


def _last_part(key: str) -> str:
    """Return what of an id names the picture: of a URL the file, without what is asked of it."""
    part = key.rsplit("/", 1)[-1]
    if "://" in key:
        part = re.split("[?#]", key)[0].rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"\.(jpe?g|png|gif|webp|bmp|tiff?|avif)$", "", part, flags=re.IGNORECASE)


def unique_names(
    wanted: Iterable[tuple[Sample, str, str]], extensions: Iterable[str], *, by_stem: bool = False
) -> Iterator[str]:
    """One path `folder/name.jpg` for each (sample, folder, name), no two alike.

    Names that differ only in case are alike: some file systems cannot tell them apart. With
    `by_stem` so are those that differ only in their ending. The later one gets the beginning of
    its sample's key.
    """
    taken: set[str] = set()
    for (sample, folder, name), extension in zip(wanted, extensions, strict=True):
        end = f".{extension}"
        path = f"{folder}/{name}"
        if _alike(path, end, by_stem) in taken:
            path = f"{folder}/{name}-{sample.key[:12]}"
        taken.add(_alike(path, end, by_stem))
        yield f"{path}{end}"


def _alike(path: str, end: str, by_stem: bool) -> str:
    return path.casefold() if by_stem else f"{path}{end}".casefold()


def plan_boxes(dataset: Dataset, options: ExportOptions) -> tuple[list[ExportItem], int]:
    """Return all labelled samples of each exported picture, and how many pictures lack one.

    Raises `InputUnusable`.

    What learns from such pictures learns, too, that nothing is where there is no box. So all
    labelled samples of a picture get one, also copies that were set aside. A picture with one that
    nobody has decided on is left out, unless it is asked for; one that was rejected gets no box.
    A picture is of the split of its samples; of several splits of that of its first sample.
    """
    private = private_images(dataset, options)
    by_image = _by_image(dataset, options)
    by_image = {sha256: s for sha256, s in by_image.items() if sha256 not in private}
    images = images_of(dataset, (samples[0] for samples in by_image.values()))
    by_image = {
        sha256: samples
        for sha256, samples in by_image.items()
        if may_be_passed_on(images[sha256], options.licences)
    }
    if not by_image:
        raise nothing_to_export(dataset, options)
    decided = {sha256: s for sha256, s in by_image.items() if all(one.label for one in s)}
    undecided = len(by_image) - len(decided)
    if not (chosen := by_image if options.undecided else decided):
        raise InputUnusable(
            f"each of the {undecided} pictures has a face that nobody has decided on",
            f"decide: labeler {dataset.option}; or take them as they are: --undecided",
        )
    labelled = {sha256: [s for s in samples if s.label] for sha256, samples in chosen.items()}
    paths = paths_of_originals([samples[0] for samples in labelled.values()], images, options)
    items = [
        export_item(dataset, sample, images[sha256], paths[sha256], options, box)
        for sha256, samples in labelled.items()
        for sample, box in _boxes(dataset, samples, images[sha256])
    ]
    return items, undecided


def _by_image(dataset: Dataset, options: ExportOptions) -> dict[str, list[Sample]]:
    """Return the samples of the pictures that have one in a split, all in the split of the first.

    Those that nobody has decided on have no label; a copy has that of the one that is kept.
    """
    split: dict[str, str] = {}
    label_of_group: dict[str, str] = {}
    for sample in _chosen(dataset, options):
        split.setdefault(sample.image, str(sample.split))
        if sample.group:
            label_of_group[sample.group] = str(sample.label)
    samples_of: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples.by_key():
        if sample.image in split and _counts(sample):
            label = sample.label if sample.status == "labelled" else None
            if not sample.kept and sample.group:
                label = label or label_of_group.get(sample.group)
            samples_of[sample.image].append(replace(sample, label=label, split=split[sample.image]))
    return {
        sha256: sorted(samples, key=lambda sample: (sample.label is None, sample.key))
        for sha256, samples in samples_of.items()
    }


def _counts(sample: Sample) -> bool:
    """Return whether a sample has a box, or lacks one: of a whole picture no face is missing."""
    waits = sample.status == "queue" and sample.detector != "whole"
    return waits or sample.status == "labelled"


def _boxes(dataset: Dataset, samples: list[Sample], image: Image) -> Iterator[tuple[Sample, Box]]:
    """Yield samples with the boxes of their faces, without margin, within the picture."""
    faces = {
        sample_key(image.sha256, stored.face.box): stored.face.box
        for stored in dataset.faces.of(image.sha256)
    }
    for sample in samples:
        box = within(faces.get(sample.key, sample.box), image.width, image.height)
        if box is not None:
            yield sample, box
