"""Finding leaks: images that are in two splits, or copies of images in another split.

Equal files are found by content. Copies (resized, re-encoded, cropped, mirrored, with a watermark)
are candidates by perceptual hash and verified by their pixels with the limits of `labeler dedup`;
in a dataset earlier verdicts and decisions of persons take precedence. An image that differs in a
small area is a possible copy: dedup does not mark it as a duplicate, but it may leak. Images with
close hashes and visible differences, such as neighboring frames, are only alike.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from curation.split_groups import MAX_SIMILAR_BITS, find_split_groups
from gleanset import Dataset
from gleanset.db.duplicates import DOUBTFUL, NOT_SAME, SAME, ImageHashes, Pairs, SampleHashes
from gleanset.db.samples import SplitEvidence
from gleanset.errors import InputUnusable, Unreadable
from gleanset.images.decode import MAX_BYTES
from gleanset.records import SPLITS
from gleanset.tree import get_ignored_reason, summarize_ignored, walk_tree
from gleanset.work.pool import Processes, run_batches
from gleanset.work.progress import Progress
from labeler.duplicates.candidates import CandidateSearch, make_batch, to_columns
from labeler.duplicates.hashes import GREY_SIDE, compute_hashes
from labeler.duplicates.verification import FilePair, Verdict, compare_files
from labeler.sample_pixels import SampleFile, decode_region, sample_file

POSSIBLE_COPY = "perhaps a copy"
NO_SPLIT = "in no split"
# In descending order of certainty; `same group` is known from the catalogue only.
KINDS = ("same file", "copy", "mirrored copy", POSSIBLE_COPY, "same group", "alike")
_MAX_LISTED_FILES = 100


class Leak(NamedTuple):
    """Two images of different splits that are equal or similar; `kind` is one of `KINDS`."""

    a: AuditImage
    b: AuditImage
    kind: str


@dataclass
class Audit:
    """Result of an audit; the most certain leaks come first."""

    audited: AuditSet
    leaks: list[Leak] = field(default_factory=list)

    def result(self) -> dict[str, object]:
        """Return the result of the command.

        `leaking` counts the images of a split with a leak into an earlier one of train, val, test;
        alike images do not count.
        """
        kinds = Counter(leak.kind for leak in self.leaks)
        leaking: dict[str, set[int]] = defaultdict(set)
        for leak in self.leaks:
            if leak.kind != "alike":
                leaking[f"{leak.b.split} in {leak.a.split}"].add(leak.b.number)
        unreadable = sorted(self.audited.unreadable.items())
        return {
            "images": self.audited.sizes(),
            "leaks": sum(count for kind, count in kinds.items() if kind != "alike"),
            "alike": kinds["alike"],
            "kinds": {kind: kinds[kind] for kind in KINDS if kinds[kind]},
            "leaking": {name: len(images) for name, images in sorted(leaking.items())},
            "unreadable": len(unreadable),
            **summarize_ignored(self.audited.ignored),
            "reasons": dict(Counter(reason for _, reason in unreadable)),
            "not_read": [{"file": f, "reason": r} for f, r in unreadable[:_MAX_LISTED_FILES]],
            "pairs": [
                {
                    "kind": leak.kind,
                    "a": leak.a.name,
                    "b": leak.b.name,
                    "splits": [leak.a.split, leak.b.split],
                    "labels": [leak.a.label, leak.b.label],
                }
                for leak in self.leaks
            ],
        }


def find_leaks(
    audited: AuditSet,
    dataset: Dataset | None = None,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> Audit:
    """Compare all splits with each other; unreadable images are recorded in `audited`.

    If all images are samples of `dataset`, its groups and earlier verdicts on pairs apply.
    """
    progress, images = progress or Progress(), audited.images
    known = Pairs(dataset.db) if dataset is not None else None
    rows = known.get_ids([image.name for image in images]) if known is not None else []
    with Processes(workers).keep(compare_files.__module__) as pool:
        hashes = _hash_images(audited, pool, progress)
        equal = _group_equal_files(images, hashes)
        twins = {same[0]: same[1:] for by_split in equal for same in by_split.values()}
        kind_of = {
            (min(earlier[0], number), max(earlier[0], number)): "same file"
            for by_split in equal
            for earlier, later in combinations(by_split.values(), 2)
            for number in later
        }
        unverified = sorted(_find_candidates(images, hashes, twins) - kind_of.keys())
        file_pairs = [
            # Frames of one video have stricter limits.
            FilePair(
                (a, b),
                images[a].file,
                images[b].file,
                known is not None and known.share_video(rows[a], rows[b]),
            )
            for a, b in unverified
        ]
        for (a, b), verdict in _compare_pairs(file_pairs, pool, progress):
            earlier_verdict = known.get_verdict(rows[a], rows[b]) if known is not None else None
            if kind := _pair_kind(verdict, earlier_verdict, hashes[a].hashes, hashes[b].hashes):
                kind_of[a, b] = kind
    for pair in _find_group_pairs(dataset, images) if dataset is not None else ():
        if kind_of.get(pair, "alike") == "alike":
            kind_of[pair] = "same group"
    leaks = []
    for pair, kind in kind_of.items():
        earlier, later = sorted((images[number] for number in pair), key=_split_rank)
        leaks.append(Leak(earlier, later, kind))
    leaks += [
        leak._replace(b=images[twin])
        for leak in leaks
        if leak.kind != "same file"
        for twin in twins.get(leak.b.number, ())
    ]
    return Audit(audited, sorted(leaks, key=lambda x: (KINDS.index(x.kind), x.b.name, x.a.name)))


def _hash_images(audited: AuditSet, pool: Processes, progress: Progress) -> dict[int, AuditHashes]:
    hashes: dict[int, AuditHashes] = {}
    batches = run_batches(hash_image, audited.images, pool)
    for batch in progress.batches(batches, "hashing", len(audited.images), " images"):
        for outcome in batch:
            if outcome.result is not None:
                hashes[outcome.item.number] = outcome.result
            else:
                audited.unreadable[outcome.item.name] = outcome.reason or "failed"
    return hashes


def _compare_pairs(
    pairs: Sequence[FilePair], pool: Processes, progress: Progress
) -> Iterator[tuple[tuple[int, int], Verdict]]:
    batches = run_batches(compare_files, pairs, pool)
    for batch in progress.batches(batches, "verifying", len(pairs), " pairs"):
        for outcome in batch:
            if outcome.result is not None:
                yield outcome.item.rows, outcome.result


def _find_group_pairs(dataset: Dataset, images: Sequence[AuditImage]) -> Iterator[tuple[int, int]]:
    """Yield one pair for every two splits that contain a group of the catalogue."""
    number = {image.name: image.number for image in images}
    for group in find_split_groups(
        SplitEvidence(dataset.db).iterate(), Pairs(dataset.db).get_possible_duplicates()
    ):
        first = {m.split: number[m.key] for m in reversed(group.members) if m.key in number}
        yield from combinations(sorted(first.values()), 2)


def _pair_kind(
    verdict: Verdict, earlier_verdict: str | None, a: SampleHashes, b: SampleHashes
) -> str | None:
    """Return the kind of a pair; an earlier verdict takes precedence."""
    result = earlier_verdict or (
        SAME if verdict.same else DOUBTFUL if verdict.doubtful else NOT_SAME
    )
    if result == SAME:
        return "mirrored copy" if verdict.mirrored else "copy"
    if result == DOUBTFUL:
        return POSSIBLE_COPY
    return "alike" if (a.plain ^ b.plain).bit_count() <= MAX_SIMILAR_BITS else None


def _group_equal_files(
    images: Sequence[AuditImage], hashes: dict[int, AuditHashes]
) -> list[dict[str, list[int]]]:
    by_digest: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for image in sorted(images, key=_split_rank):
        if image.number in hashes:
            by_split = by_digest[hashes[image.number].digest]
            by_split.setdefault(image.split, []).append(image.number)
    return list(by_digest.values())


def _find_candidates(
    images: Sequence[AuditImage],
    hashes: dict[int, AuditHashes],
    twins: Mapping[int, Sequence[int]],
) -> set[tuple[int, int]]:
    """Return pairs of two splits that may be copies, a < b.

    Only the first of equal files in a split is compared.
    """
    by_split: dict[str, list[SampleHashes]] = defaultdict(list)
    repeated = {number for numbers in twins.values() for number in numbers}
    for image in sorted(images, key=_split_rank):
        if image.number in hashes and image.number not in repeated:
            by_split[image.split].append(hashes[image.number].hashes)
    batches = [make_batch(to_columns(members)) for members in by_split.values()]
    searches = [CandidateSearch(batch) for batch in batches]
    return {
        pair
        for old, new in combinations(range(len(batches)), 2)
        for pair in searches[new].find_candidates(batches[old])
    }


def _split_rank(image: AuditImage) -> tuple[int, str]:
    split = image.split
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS)), split


# Also matches folders such as train2017, val_images and Test.
_SPLIT = re.compile(r"(train|val|test)(?:ing|id|idation)?(?![a-z])", re.IGNORECASE)


class AuditImage(NamedTuple):
    """One image of an audit; `label` is the folder below the split, or the sample's class."""

    number: int
    name: str
    split: str
    label: str
    file: SampleFile


class AuditHashes(NamedTuple):
    """The SHA-256 of the file and region of an image, and its perceptual hashes."""

    digest: str
    hashes: SampleHashes


@dataclass
class AuditSet:
    """All images of an audit; `ignored` counts other files by reason.

    `unreadable` has the reason for each image that could not be read, by name.
    """

    images: list[AuditImage] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)

    def sizes(self) -> dict[str, int]:
        """Return the number of images in each split, without the unreadable ones."""
        sizes = dict.fromkeys(sorted({image.split for image in self.images}), 0)
        for image in self.images:
            sizes[image.split] += image.name not in self.unreadable
        return sizes

    def add(self, name: str, split: str, label: str, file: SampleFile) -> None:
        """Add an image under the next number."""
        self.images.append(AuditImage(len(self.images), name, split, label, file))


def collect_tree(root: Path) -> AuditSet:
    """Collect the images below train|val|test folders on the first or second level.

    Raises `InputUnusable` for fewer than two splits.
    """
    audited = AuditSet()
    files = list(_iter_images(root, audited))
    is_first_level = any(len(parts) > 1 and _SPLIT.match(parts[0]) for parts in files)
    level = 0 if is_first_level else 1
    for parts in files:
        match = _SPLIT.match(parts[level]) if len(parts) > level + 1 else None
        if match is None:
            audited.ignored[NO_SPLIT] += 1
            continue
        label = parts[level + 1] if len(parts) > level + 2 else ""
        audited.add("/".join(parts), match[1].lower(), label, SampleFile(root.joinpath(*parts)))
    if len(audited.sizes()) < 2:
        splits = ", ".join(audited.sizes()) or "none"
        raise InputUnusable(
            f"{root} needs image folders for two of train, val and test (found: {splits})",
            "to compare two folders, link them into one as train and test",
        )
    return audited


def collect_dataset(dataset: Dataset) -> AuditSet:
    """Collect the samples with a split. Raises `InputUnusable` if there are none."""
    audited, originals = AuditSet(), dataset.originals(dataset.cache)
    samples = list(dataset.samples.iter_in_splits())
    rows = Pairs(dataset.db).get_ids([sample.key for sample in samples])
    regions = ImageHashes(dataset.db).get_regions(rows)
    for sample, row in zip(samples, rows, strict=True):
        file = sample_file(regions[row], originals)
        audited.add(sample.key, str(sample.split), str(sample.label), file)
    if not samples:
        raise InputUnusable(
            "nothing to audit: no sample of this dataset has a split",
            f"labeler split {dataset.option}; or audit a folder: labeler audit TREE",
        )
    return audited


def _iter_images(root: Path, audited: AuditSet) -> Iterator[tuple[str, ...]]:
    if not root.is_dir():
        raise InputUnusable(f"there is no folder {root}", "check its name")

    def record_error(error: OSError) -> None:
        audited.unreadable[str(error.filename)] = "folder cannot be read"

    for folder, _, names in walk_tree(root, audited.ignored, record_error, links=True):
        for path in (folder / name for name in names):
            if (reason := get_ignored_reason(path)) is None:
                yield path.relative_to(root).parts
            else:
                audited.ignored[reason] += 1


def hash_image(image: AuditImage) -> AuditHashes:
    """Return the hashes of an image, in a worker process. Raises `Unreadable`."""
    data = _read(image.file.path)
    digest = hashlib.sha256(data + repr(image.file.region).encode())
    pixels = decode_region(data, image.file, GREY_SIDE, "L")
    return AuditHashes(digest.hexdigest(), compute_hashes(pixels, image.number))


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise Unreadable("not a file", "a pipe, a socket or a device")
        if path.stat().st_size > MAX_BYTES:
            raise Unreadable("too large", f"at most {MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise Unreadable("cannot be read", str(error)) from error
