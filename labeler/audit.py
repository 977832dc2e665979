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
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from curation.split_groups import MAX_SIMILAR_BITS, load_split_groups
from gleanset import Dataset
from gleanset.command_result import CommandResult
from gleanset.db.duplicates import DOUBTFUL, SAME, Pairs, SampleHashes
from gleanset.errors import InputUnusable
from gleanset.images.staging import read_image_file
from gleanset.named_files import shorten_list
from gleanset.records import SPLITS
from gleanset.terminal import escape_name
from gleanset.tree import summarize_ignored
from gleanset.work.pool import Processes, run_batches
from gleanset.work.progress import NO_PROGRESS, Progress
from labeler.duplicates.candidates import CandidateSearch, make_batch, to_columns
from labeler.duplicates.duplicate_sets import Pair, order_pair
from labeler.duplicates.hashes import GREY_SIDE, compute_hashes
from labeler.duplicates.verification import FilePair, compare_files
from labeler.importing.labelled import ImportTree
from labeler.sample_pixels import SampleFile, decode_region, list_sample_files

POSSIBLE_COPY = "perhaps a copy"
_POSSIBLE_COPY_NOTE = (
    f"{POSSIBLE_COPY}: equal except for a small area. dedup does not mark these as duplicates, and "
    "the next split of a dataset keeps both in one split; decide: labeler groups --same or --differ"
)
NO_SPLIT = "in no split"
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


class Leak(NamedTuple):
    """Two images of different splits that are equal or similar; `kind` is one of `KINDS`."""

    a: AuditImage
    b: AuditImage
    kind: str


class LeakRow(msgspec.Struct):
    """The names, splits and labels of two images that leak."""

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
    pairs: list[LeakRow]

    def summary(self) -> dict[str, Any]:
        """Return the result with the first pairs and files as lines."""
        note = {"note": _POSSIBLE_COPY_NOTE} if POSSIBLE_COPY in self.kinds else {}
        files = [f"{escape_name(row.file)}: {row.reason}" for row in self.not_read]
        lists = {
            "not_read": shorten_list(files),
            "pairs": shorten_list([pair.line() for pair in self.pairs]),
        }
        return note | self.to_json() | lists


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
        readable = Counter(
            i.split for i in self.images if i.name not in self.unreadable
        )
        return {
            split: readable[split] for split in sorted({i.split for i in self.images})
        }

    def add(self, name: str, split: str, label: str, file: SampleFile) -> None:
        """Add an image under the next number."""
        self.images.append(AuditImage(len(self.images), name, split, label, file))

    def result(self) -> AuditResult:
        """Return the result of the command."""
        kinds = Counter(leak.kind for leak in self.leaks)
        leaking = Counter(
            f"{b.split} in {a}"
            for a, b in {
                (leak.a.split, leak.b) for leak in self.leaks if leak.kind != "alike"
            }
        )
        unreadable = sorted(self.unreadable.items())
        pairs = [
            LeakRow(kind, a.name, b.name, (a.split, b.split), (a.label, b.label))
            for a, b, kind in self.leaks
        ]
        result = AuditResult(
            images=self.sizes(),
            leaks=len(self.leaks) - kinds["alike"],
            alike=kinds["alike"],
            kinds={kind: kinds[kind] for kind in KINDS if kinds[kind]},
            leaking=dict(sorted(leaking.items())),
            unreadable=len(unreadable),
            reasons=dict(Counter(reason for _, reason in unreadable)),
            not_read=[UnreadFile(*entry) for entry in unreadable[:_MAX_LISTED_FILES]],
            pairs=pairs,
        )
        return result.with_facts(summarize_ignored(self.ignored))


def find_leaks(
    audit: Audit,
    dataset: Dataset | None = None,
    *,
    workers: int = 0,
    progress: Progress = NO_PROGRESS,
) -> Audit:
    """Compare all splits with each other; return the audit with its leaks and unreadable images.

    If all images are samples of `dataset`, its groups and earlier verdicts on pairs apply.
    """
    images = audit.images
    with Processes(workers).keep(compare_files.__module__) as pool:
        digests, hashes = _hash_images(audit, pool, progress)
        equal_files: dict[tuple[str, str], list[int]] = defaultdict(list)
        for image in sorted(images, key=_split_rank):
            if image.number in digests:
                equal_files[digests[image.number], image.split].append(image.number)
        # Only the first of equal files in a split is compared; the others leak as it does.
        twins = {numbers[0]: numbers for numbers in equal_files.values()}
        by_digest: dict[str, list[int]] = defaultdict(list)
        for number in twins:
            by_digest[digests[number]].append(number)
        kind_of = {
            order_pair(*pair): "same file"
            for numbers in by_digest.values()
            for pair in combinations(numbers, 2)
        }
        candidates = _find_candidates([images[number] for number in twins], hashes)
        pairs = sorted(candidates - kind_of.keys())
        kind_of |= _compare_pairs(images, pairs, hashes, dataset, pool, progress)
    for pair in _find_group_pairs(dataset, images) if dataset is not None else ():
        if kind_of.get(pair, "alike") == "alike":
            kind_of[pair] = "same group"
    leaks = []
    for pair, kind in kind_of.items():
        first, second = sorted((images[number] for number in pair), key=_split_rank)
        same_files = twins.get(second.number, [second.number])
        leaks += [Leak(first, images[twin], kind) for twin in same_files]
    leaks.sort(key=lambda leak: (KINDS.index(leak.kind), leak.b.name, leak.a.name))
    audit.leaks = leaks
    return audit


def _hash_images(
    audit: Audit, pool: Processes, progress: Progress
) -> tuple[dict[int, str], dict[int, SampleHashes]]:
    digests, hashes = dict[int, str](), dict[int, SampleHashes]()
    batches = run_batches(hash_image, audit.images, pool)
    for batch in progress.batches(batches, "hashing", len(audit.images), " images"):
        for outcome in batch:
            if outcome.result is not None:
                digests[outcome.item.number], hashes[outcome.item.number] = (
                    outcome.result
                )
            else:
                audit.unreadable[outcome.item.name] = outcome.reason or "failed"
    return digests, hashes


def _find_candidates(
    images: Sequence[AuditImage], hashes: Mapping[int, SampleHashes]
) -> set[Pair]:
    """Return pairs of two splits that may be copies, a < b."""
    by_split: dict[str, list[SampleHashes]] = defaultdict(list)
    for image in images:
        by_split[image.split].append(hashes[image.number])
    batches = [make_batch(to_columns(members)) for members in by_split.values()]
    pairs: set[Pair] = set()
    for number, batch in enumerate(batches):
        search = CandidateSearch(batch)
        pairs |= {
            pair for old in batches[:number] for pair in search.find_candidates(old)
        }
    return pairs


def _compare_pairs(
    images: Sequence[AuditImage],
    pairs: Sequence[Pair],
    hashes: Mapping[int, SampleHashes],
    dataset: Dataset | None,
    pool: Processes,
    progress: Progress,
) -> dict[Pair, str]:
    """Return the kinds of pairs that may leak; an earlier verdict takes precedence."""
    known = Pairs(dataset.db) if dataset is not None else None
    rows = known.get_ids([image.name for image in images]) if known is not None else []

    def is_one_film(a: int, b: int) -> bool:  # whose frames have stricter limits
        return known is not None and known.share_video(rows[a], rows[b])

    file_pairs = [
        FilePair((a, b), images[a].file, images[b].file, is_one_film(a, b))
        for a, b in pairs
    ]
    kind_of: dict[Pair, str] = {}
    batches = run_batches(compare_files, file_pairs, pool)
    for batch in progress.batches(batches, "verifying", len(pairs), " pairs"):
        for (a, b), verdict in (
            (o.item.rows, o.result) for o in batch if o.result is not None
        ):
            earlier_verdict = (
                known.get_verdict(rows[a], rows[b]) if known is not None else None
            )
            result = earlier_verdict or verdict.outcome
            distance = (hashes[a].plain ^ hashes[b].plain).bit_count()
            if result == SAME:
                kind_of[a, b] = "mirrored copy" if verdict.mirrored else "copy"
            elif result == DOUBTFUL:
                kind_of[a, b] = POSSIBLE_COPY
            elif distance <= MAX_SIMILAR_BITS:
                kind_of[a, b] = "alike"
    return kind_of


def _find_group_pairs(dataset: Dataset, images: Sequence[AuditImage]) -> Iterator[Pair]:
    """Yield one pair for every two splits that contain a group of the catalogue."""
    number = {image.name: image.number for image in images}
    for group in load_split_groups(dataset.db):
        first = {
            m.split: number[m.key] for m in reversed(group.members) if m.key in number
        }
        yield from combinations(sorted(first.values()), 2)


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
    audit.unreadable |= {
        str(e.filename): "folder cannot be read" for e in tree.unreadable
    }
    files = [path.relative_to(root).parts for path in tree.images]
    level = (
        0 if any(len(parts) > 1 and _SPLIT.match(parts[0]) for parts in files) else 1
    )
    for parts in files:
        match = _SPLIT.match(parts[level]) if len(parts) > level + 1 else None
        if match is None:
            audit.ignored[NO_SPLIT] += 1
            continue
        label = parts[level + 1] if len(parts) > level + 2 else ""
        audit.add(
            "/".join(parts), match[1].lower(), label, SampleFile(root.joinpath(*parts))
        )
    if len(audit.sizes()) < 2:
        splits = ", ".join(audit.sizes()) or "none"
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
        audit.add(sample.key, str(sample.split), str(sample.label), file)
    if not samples:
        raise InputUnusable(
            "nothing to audit: no sample of this dataset has a split",
            dataset.status_advice,
        )
    return audit


def hash_image(image: AuditImage) -> tuple[str, SampleHashes]:
    """Return the SHA-256 of an image's file and region, and its perceptual hashes.

    Runs in a worker process. Raises `Unreadable`.
    """
    data = read_image_file(image.file.path)
    digest = hashlib.sha256(data + repr(image.file.region).encode())
    pixels = decode_region(data, image.file, GREY_SIDE, "L")
    return digest.hexdigest(), compute_hashes(pixels, image.number)
