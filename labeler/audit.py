"""Finding leaks: images that are in two splits, or copies of images in another split.

Equal files are found by content. Copies (resized, re-encoded, cropped, mirrored, with a watermark)
are candidates by perceptual hash and verified by their pixels with the limits of `labeler dedup`;
in a dataset earlier verdicts and decisions of persons take precedence. An image that differs in a
small area is a possible copy: dedup does not mark it as a duplicate, but it may leak. Images with
close hashes and visible differences, such as neighboring frames, are only alike.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import msgspec

from curation.split_groups import MAX_SIMILAR_BITS, load_split_groups
from gleanset import Dataset
from gleanset.command_result import CommandResult, JsonDict
from gleanset.db.duplicates import DOUBTFUL, SAME, Pair, Pairs, SampleHashes
from gleanset.errors import InputUnusable
from gleanset.images.staging import read_image_file
from gleanset.named_files import shorten_list
from gleanset.records import SPLITS
from gleanset.terminal import escape_name
from gleanset.tree import summarize_ignored
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from labeler.duplicates.candidates import CandidateSearch, make_batch, to_columns
from labeler.duplicates.duplicate_sets import order_pair
from labeler.duplicates.hashes import GREY_SIDE, compute_hashes
from labeler.duplicates.verification import FilePair, Verdict, compare_files
from labeler.importing.labelled import ImportTree
from labeler.sample_pixels import SampleFile, decode_region, list_sample_files

POSSIBLE_COPY = "perhaps a copy"
_POSSIBLE_COPY_NOTE = (
    f"{POSSIBLE_COPY}: equal except for a small area. dedup does not mark these as duplicates, and "
    "the next split of a dataset keeps both in one split; decide: labeler groups --same or --differ"
)
# In descending order of certainty; `same group` is known from the catalogue only.
KINDS = ("same file", "copy", "mirrored copy", POSSIBLE_COPY, "same group", "alike")
_MAX_LISTED_FILES = 100


class AuditImage(NamedTuple):
    """One image of an audit; `label` is the folder below the split, or the sample's class."""

    number: int
    name: str
    split: str
    label: str
    file: SampleFile


class Leak(msgspec.Struct):
    """Two images of different splits that are equal or similar, by name; `kind` is of `KINDS`."""

    kind: str
    a: str
    b: str
    splits: tuple[str, str]
    labels: tuple[str, str]

    def line(self) -> str:
        """Return the line that people read."""
        others = ", other labels" if self.labels[0] != self.labels[1] else ""
        return f"{escape_name(self.a)}  =  {escape_name(self.b)}  ({self.kind}{others})"


class UnreadFile(msgspec.Struct):
    """A file that could not be read."""

    file: str
    reason: str


class AuditResult(CommandResult, kw_only=True):
    """Images by split, and the leaks between splits.

    `leaking` counts the images of a split with a leak into an earlier one of train, val, test;
    alike images do not count.
    """

    images: dict[str, int]
    leaks: int
    alike: int
    kinds: dict[str, int]
    leaking: dict[str, int]
    unreadable: int
    ignored: int | None = None
    ignored_reasons: dict[str, int] = {}
    reasons: dict[str, int]
    not_read: list[UnreadFile]
    pairs: list[Leak]

    def summary(self) -> JsonDict:
        """Return the result with the first pairs and files as lines."""
        note = {"note": _POSSIBLE_COPY_NOTE} if POSSIBLE_COPY in self.kinds else {}
        files = [f"{escape_name(row.file)}: {row.reason}" for row in self.not_read]
        return {
            **note,
            **self.to_json(),
            "not_read": shorten_list(files),
            "pairs": shorten_list([pair.line() for pair in self.pairs]),
        }


class Audit(msgspec.Struct):
    """The images of all splits and the leaks between them, the most certain first.

    `ignored` counts other files by reason. `unreadable` has the reason for each image that could
    not be read, by name.
    """

    images: list[AuditImage] = []
    ignored: Counter[str] = msgspec.field(default_factory=Counter)
    unreadable: dict[str, str] = {}
    leaks: list[Leak] = []

    def sizes(self) -> dict[str, int]:
        """Return the number of images in each split, without the unreadable ones."""
        sizes = {image.split: 0 for image in sorted(self.images, key=_split_rank)}
        for image in self.images:
            if image.name not in self.unreadable:
                sizes[image.split] += 1
        return sizes

    def add(self, name: str, split: str, label: str, file: SampleFile) -> None:
        """Add an image under the next number."""
        self.images.append(AuditImage(len(self.images), name, split, label, file))

    def result(self) -> AuditResult:
        """Return the result of the command."""
        kinds = Counter(leak.kind for leak in self.leaks)
        unreadable = sorted(self.unreadable.items())

        # An image may leak into several splits, but counts once for each.
        leaking_images = {
            (*leak.splits, leak.b) for leak in self.leaks if leak.kind != "alike"
        }
        leaking = Counter(f"{b} in {a}" for a, b, _ in leaking_images)

        return AuditResult(
            images=self.sizes(),
            leaks=len(self.leaks) - kinds["alike"],
            alike=kinds["alike"],
            kinds={kind: kinds[kind] for kind in KINDS if kinds[kind]},
            leaking=dict(sorted(leaking.items())),
            unreadable=len(unreadable),
            reasons=dict(Counter(reason for _, reason in unreadable)),
            not_read=[
                UnreadFile(file, reason)
                for file, reason in unreadable[:_MAX_LISTED_FILES]
            ],
            pairs=self.leaks,
        ).with_facts(summarize_ignored(self.ignored))


class HashedImage(NamedTuple):
    """SHA-256 of an image's file and region, and its perceptual hashes."""

    digest: str
    hashes: SampleHashes


def find_leaks(
    audit: Audit,
    dataset: Dataset | None = None,
    *,
    workers: int = 0,
    progress: Progress,
) -> Audit:
    """Compare all splits with each other; return the audit with its leaks and unreadable images.

    If all images are samples of `dataset`, its groups and earlier verdicts on pairs apply.
    """
    images = audit.images
    # One pool for both steps: starting processes takes long.
    with Processes(workers).keep(compare_files.__module__) as pool:
        image_hashes = _hash_images(audit, pool, progress)
        equal_files = _group_equal_files(images, image_hashes)
        kinds = dict.fromkeys(_iter_equal_pairs(equal_files, image_hashes), "same file")

        hashes = {number: image_hashes[number].hashes for number in equal_files}
        # Equal files need no comparison of pixels.
        pairs = sorted(_find_candidates(images, hashes) - kinds.keys())
        kinds |= _compare_pairs(images, pairs, hashes, dataset, pool, progress)

    # Images of one scene or post leak, too, even if they look different.
    if dataset is not None:
        for pair in _iter_group_pairs(dataset, images):
            if kinds.get(pair, "alike") == "alike":
                kinds[pair] = "same group"

    audit.leaks = []
    for pair, kind in kinds.items():
        first, second = sorted((images[number] for number in pair), key=_split_rank)
        # Of equal files only the first was compared: what it leaks, all of them leak. A pair of a
        # group may name any of them.
        for number in equal_files.get(second.number, [second.number]):
            leaking_image = images[number]
            audit.leaks.append(
                Leak(
                    kind,
                    first.name,
                    leaking_image.name,
                    splits=(first.split, leaking_image.split),
                    labels=(first.label, leaking_image.label),
                )
            )

    # The most certain first.
    audit.leaks.sort(key=lambda leak: (KINDS.index(leak.kind), leak.b, leak.a))
    return audit


def _group_equal_files(
    images: Sequence[AuditImage], image_hashes: Mapping[int, HashedImage]
) -> dict[int, list[int]]:
    """Return the equal files of each split by the first of them.

    Only the first is compared; the others leak as it does.
    """
    equal_files: dict[tuple[str, str], list[int]] = defaultdict(list)
    for image in sorted(images, key=_split_rank):
        if image.number in image_hashes:
            equal_files[image_hashes[image.number].digest, image.split].append(
                image.number
            )
    return {numbers[0]: numbers for numbers in equal_files.values()}


def _iter_equal_pairs(
    numbers: Iterable[int], image_hashes: Mapping[int, HashedImage]
) -> Iterator[Pair]:
    """Yield pairs of equal files.

    They are of two splits, because `numbers` has only the first of the equal files of a split.
    """
    numbers_by_digest: dict[str, list[int]] = defaultdict(list)
    for number in numbers:
        numbers_by_digest[image_hashes[number].digest].append(number)

    for equal_files in numbers_by_digest.values():
        for a, b in combinations(equal_files, 2):
            yield order_pair(a, b)


def _hash_images(
    audit: Audit, pool: Processes, progress: Progress
) -> dict[int, HashedImage]:
    """Return the hashes of readable images by number; note the others."""
    image_hashes = {}
    outcomes = run_over(hash_image, audit.images, pool)
    for outcome in progress.over(outcomes, "hashing", len(audit.images)):
        if outcome.result is not None:
            image_hashes[outcome.item.number] = outcome.result
        else:
            audit.unreadable[outcome.item.name] = outcome.reason or "failed"
    return image_hashes


def _find_candidates(
    images: Sequence[AuditImage], hashes: Mapping[int, SampleHashes]
) -> set[Pair]:
    """Return pairs (numbers, a < b) of images of two splits that may be copies.

    Only images with `hashes`, which are by number, are compared.
    """
    by_split: dict[str, list[SampleHashes]] = defaultdict(list)
    for number, image_hashes in hashes.items():
        by_split[images[number].split].append(image_hashes)

    batches = [make_batch(to_columns(members)) for members in by_split.values()]
    pairs = set[Pair]()
    for number, batch in enumerate(batches):
        search = CandidateSearch(batch)
        for earlier_batch in batches[:number]:
            pairs.update(search.find_candidates(earlier_batch))
    return pairs


def _compare_pairs(
    images: Sequence[AuditImage],
    pairs: Sequence[Pair],
    hashes: Mapping[int, SampleHashes],
    dataset: Dataset | None,
    pool: Processes,
    progress: Progress,
) -> dict[Pair, str]:
    """Return the kinds of pairs (numbers) that may leak; an earlier verdict takes precedence."""
    file_pairs = []
    verdicts: dict[Pair, str | None] = {}
    table = Pairs(dataset.db) if dataset else None
    # Without a dataset, images have no rows.
    rows = table.get_ids([image.name for image in images]) if table else []
    for a, b in pairs:
        is_one_film = False
        if table is not None:
            # Frames of one video have stricter limits.
            is_one_film = table.share_video(rows[a], rows[b])
            verdicts[a, b] = table.get_verdict(rows[a], rows[b])
        pair = FilePair(
            (a, b),
            images[a].file,
            images[b].file,
            is_one_film,
        )
        file_pairs.append(pair)

    kinds = {}
    outcomes = run_over(compare_files, file_pairs, pool)
    for outcome in progress.over(outcomes, "verifying", len(pairs), " pairs"):
        if outcome.result is not None:
            a, b = outcome.item.rows  # here: numbers of images
            # In bits of the perceptual hashes.
            distance = (hashes[a].plain ^ hashes[b].plain).bit_count()
            kind = _classify_pair(
                outcome.result,
                verdicts.get((a, b)),
                distance,
            )
            if kind is not None:
                kinds[a, b] = kind
    return kinds


def _classify_pair(
    verdict: Verdict, earlier_outcome: str | None, distance: int
) -> str | None:
    """Return the kind of a pair whose hashes differ in `distance` bits; None for no leak."""
    outcome = earlier_outcome or verdict.outcome
    if outcome == SAME:
        return "mirrored copy" if verdict.mirrored else "copy"
    if outcome == DOUBTFUL:
        # dedup keeps both, but what may be a copy must not leak.
        return POSSIBLE_COPY
    return "alike" if distance <= MAX_SIMILAR_BITS else None


def _iter_group_pairs(dataset: Dataset, images: Sequence[AuditImage]) -> Iterator[Pair]:
    """Yield one pair for every two splits that contain a group of the catalogue."""
    # Samples of a dataset are named by their keys.
    numbers = {image.name: image.number for image in images}
    for group in load_split_groups(dataset.db):
        first_of_split: dict[str | None, int] = {}
        for member in group.members:
            if member.key in numbers:
                first_of_split.setdefault(member.split, numbers[member.key])
        yield from combinations(sorted(first_of_split.values()), 2)


def _split_rank(image: AuditImage) -> int:
    return SPLITS.index(image.split)


# Also matches folders such as train2017, val_images and Test.
_SPLIT = re.compile(r"(train|val|test)(?:ing|id|idation)?(?![a-z])", re.IGNORECASE)


def collect_tree(root: Path) -> Audit:
    """Collect the images below train|val|test folders on the first or second level.

    Raises `InputUnusable` for fewer than two splits.
    """
    if not root.is_dir():
        raise InputUnusable(f"there is no folder {root}", "check its name")

    tree = ImportTree.from_folder(root)
    audit = Audit(ignored=tree.count_ignored())
    for error in tree.unreadable:
        audit.unreadable[str(error.filename)] = "folder cannot be read"

    # As in YOLO exports, the splits may be below a folder such as `images`.
    files = [path.relative_to(root).parts for path in tree.images]
    is_outermost = any(len(parts) > 1 and _SPLIT.match(parts[0]) for parts in files)
    level = 0 if is_outermost else 1
    for parts in files:
        *folders, _ = parts
        match = _SPLIT.match(folders[level]) if len(folders) > level else None
        if not match:
            audit.ignored["in no split"] += 1
            continue

        inside = folders[level + 1 :]
        audit.add(
            "/".join(parts),
            match[1].lower(),
            label=inside[0] if inside else "",
            file=SampleFile(root.joinpath(*parts)),
        )

    sizes = audit.sizes()
    if len(sizes) < 2:
        splits = ", ".join(sizes) or "none"
        raise InputUnusable(
            f"{root} needs image folders for two of train, val and test (found: {splits})",
            "to compare two folders, link them into one as train and test",
        )
    return audit


def collect_dataset(dataset: Dataset) -> Audit:
    """Collect the samples with a split. Raises `InputUnusable` if there are none."""
    audit = Audit()
    samples = list(dataset.samples.iter_in_splits())
    rows = Pairs(dataset.db).get_ids([sample.key for sample in samples])
    for sample, file in zip(samples, list_sample_files(dataset, rows), strict=True):
        audit.add(
            sample.key,
            str(sample.split),
            str(sample.label),
            file,
        )
    if not samples:
        raise InputUnusable(
            "nothing to audit: no sample of this dataset has a split",
            dataset.status_advice,
        )
    return audit


def hash_image(image: AuditImage) -> HashedImage:
    """Hash an image; runs in a worker process. Raises `Unreadable`."""
    data = read_image_file(image.file.path)
    return HashedImage(
        hashlib.sha256(data + repr(image.file.region).encode()).hexdigest(),
        compute_hashes(decode_region(data, image.file, GREY_SIDE, "L"), image.number),
    )
