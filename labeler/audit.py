"""Leaks: pictures that are, or all but are, in two splits at once.

Same files are found by their bytes. Copies (another size, format or crop, mirrored, inverted,
with a watermark) are candidates by their hashes and confirmed by comparing the pixels, by the same
limits as `labeler dedup` has; of a dataset what it and people found already counts. Where only a
small place differs, or a sticker or letters were laid over it, it is perhaps a copy: dedup sets
nobody aside for that, but it may leak. What has nearly the same hash but shows a difference, such
as the next frame of a scene, is only called alike.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from curation.moments import LOOK_ALIKE, find_moments
from gleanset import Dataset
from gleanset.db.duplicates import DOUBTFUL, NOT, SAME, ImageHashes, Pairs, SampleHashes
from gleanset.db.samples import SplitGroups
from gleanset.errors import InputUnusable, Unreadable
from gleanset.images.decode import MAX_BYTES
from gleanset.records import SPLITS
from gleanset.tree import ignored_reason, ignored_summary, walk_tree
from gleanset.work.pool import Processes, run_batches
from gleanset.work.progress import Progress
from labeler.duplicates.candidates import CandidateSearch, make_batch, negate_hashes, to_columns
from labeler.duplicates.hashes import GREY_SIZE, describe
from labeler.duplicates.verification import FilePair, Verdict, compare_files
from labeler.sample_pixels import SampleFile, decode_region, sample_file

# From the surest to the least sure; `moment` is what the catalogue alone knows.
PERHAPS = "perhaps a copy"
WITHOUT_SPLIT = "in no split"
KINDS = ("same file", "copy", "mirrored copy", PERHAPS, "moment", "alike")
_SHOWN_UNREADABLE = 100


class Leak(NamedTuple):
    """Two pictures of two splits that are the same or alike; `kind` is one of `KINDS`."""

    a: AuditPicture
    b: AuditPicture
    kind: str


@dataclass(frozen=True)
class KnownPairs:
    """What a dataset knows of pairs of an audit's pictures, by their numbers."""

    pairs: Pairs
    rows: Sequence[int]

    @classmethod
    def of(cls, dataset: Dataset, pictures: Sequence[AuditPicture]) -> KnownPairs:
        """Return that of the samples of a dataset. Raises `UsageError` for what is none."""
        pairs = Pairs(dataset.db)
        return cls(pairs, pairs.numbers([picture.name for picture in pictures]))

    def verdict(self, a: int, b: int) -> str | None:
        """Return what `labeler dedup` or a person found, as `Pairs.verdict`."""
        return self.pairs.verdict(self.rows[a], self.rows[b])

    def of_one_film(self, a: int, b: int) -> bool:
        """Return whether both are frames of one video, of which less is called a copy."""
        return self.pairs.of_one_film(self.rows[a], self.rows[b])


@dataclass
class Audit:
    """What an audit found. `leaks` come with the surest first."""

    audited: AuditSet
    leaks: list[Leak] = field(default_factory=list)

    def result(self) -> dict[str, object]:
        """As a command returns it; `leaking` counts the pictures of a split that leak.

        That is into any earlier one of train, val, test; what is only alike does not count.
        """
        kinds = Counter(leak.kind for leak in self.leaks)
        leaking: dict[str, set[int]] = defaultdict(set)
        for leak in self.leaks:
            if leak.kind != "alike":
                leaking[f"{leak.b.split} in {leak.a.split}"].add(leak.b.number)
        unreadable = sorted(self.audited.unreadable.items())
        return {
            "pictures": self.audited.sizes(),
            "leaks": sum(count for kind, count in kinds.items() if kind != "alike"),
            "alike": kinds["alike"],
            "kinds": {kind: kinds[kind] for kind in KINDS if kinds[kind]},
            "leaking": {name: len(found) for name, found in sorted(leaking.items())},
            "unreadable": len(unreadable),
            **ignored_summary(self.audited.ignored),
            "reasons": dict(Counter(why for _, why in unreadable)),
            "not_read": [{"file": f, "reason": why} for f, why in unreadable[:_SHOWN_UNREADABLE]],
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
    *,
    workers: int = 0,
    progress: Progress | None = None,
    also: Iterable[tuple[int, int]] = (),
    before: KnownPairs | None = None,
) -> Audit:
    """Compare every split with every other one; unreadable pictures are noted.

    `also` are pairs (numbers) of one moment, `before` what a dataset knows of its own pairs.
    """
    progress, pictures = progress or Progress(), audited.pictures
    with Processes(workers).keep(compare_files.__module__) as pool:
        known = _hashed(audited, pool, progress)
        equal = _equal_files(pictures, known)
        twins = {same[0]: same[1:] for by_split in equal for same in by_split.values()}
        kind_of = dict.fromkeys(_same_files(equal), "same file")
        candidates = sorted(_candidates(pictures, known, twins).items())
        asked = {pair: inverted for pair, inverted in candidates if pair not in kind_of}
        for (a, b), verdict in _compared(pictures, asked, pool, progress, before):
            settled = before.verdict(a, b) if before else None
            if kind := _kind(verdict, settled, known[a].look, known[b].look):
                kind_of[a, b] = kind
    for pair in also:
        if kind_of.get(pair, "alike") == "alike":
            kind_of[pair] = "moment"
    leaks = []
    for pair, kind in kind_of.items():
        earlier, later = sorted((pictures[number] for number in pair), key=_rank)
        leaks.append(Leak(earlier, later, kind))
    leaks += [
        leak._replace(b=pictures[twin])
        for leak in leaks
        if leak.kind != "same file"
        for twin in twins.get(leak.b.number, ())
    ]
    return Audit(audited, sorted(leaks, key=lambda x: (KINDS.index(x.kind), x.b.name, x.a.name)))


def _hashed(audited: AuditSet, pool: Processes, progress: Progress) -> dict[int, AuditHashes]:
    known: dict[int, AuditHashes] = {}
    batches = run_batches(hash_picture, audited.pictures, pool)
    for batch in progress.batches(batches, "hashing", len(audited.pictures), " pictures"):
        for outcome in batch:
            if outcome.result is not None:
                known[outcome.item.number] = outcome.result
            else:
                audited.unreadable[outcome.item.name] = outcome.reason or "failed"
    return known


def _compared(
    pictures: Sequence[AuditPicture],
    pairs: Mapping[tuple[int, int], bool],
    pool: Processes,
    progress: Progress,
    before: KnownPairs | None,
) -> Iterator[tuple[tuple[int, int], Verdict]]:
    def one_film(a: int, b: int) -> bool:
        return before is not None and before.of_one_film(a, b)

    due = (
        FilePair((a, b), pictures[a].file, pictures[b].file, one_film(a, b), inverted)
        for (a, b), inverted in pairs.items()
    )
    batches = run_batches(compare_files, due, pool)
    for batch in progress.batches(batches, "second look", len(pairs), " pairs"):
        for outcome in batch:
            if outcome.result is not None:
                yield outcome.item.rows, outcome.result


def straddling(dataset: Dataset, pictures: Sequence[AuditPicture]) -> Iterator[tuple[int, int]]:
    """Yield one pair for every two splits that a moment of the catalogue is in."""
    number = {picture.name: picture.number for picture in pictures}
    for moment in find_moments(SplitGroups(dataset.db).each(), Pairs(dataset.db).tied()):
        first = {m.split: number[m.key] for m in reversed(moment.members) if m.key in number}
        yield from combinations(sorted(first.values()), 2)


def _kind(verdict: Verdict, settled: str | None, a: SampleHashes, b: SampleHashes) -> str | None:
    """Say what a pair is; `settled` is what was found of it before, and counts more."""
    found = settled or (SAME if verdict.same else DOUBTFUL if verdict.doubtful else NOT)
    if found == SAME:
        return "mirrored copy" if verdict.mirrored else "copy"
    if found == DOUBTFUL:  # what may be a copy must not leak
        return PERHAPS
    return "alike" if (a.plain ^ b.plain).bit_count() <= LOOK_ALIKE else None


def _equal_files(
    pictures: Sequence[AuditPicture], known: dict[int, AuditHashes]
) -> list[dict[str, list[int]]]:
    of: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for picture in sorted(pictures, key=_rank):
        if picture.number in known:
            same = of[known[picture.number].digest]
            same.setdefault(picture.split, []).append(picture.number)
    return list(of.values())


def _same_files(equal: Sequence[dict[str, list[int]]]) -> Iterator[tuple[int, int]]:
    for by_split in equal:
        for earlier, later in combinations(by_split.values(), 2):
            for number in later:
                yield min(earlier[0], number), max(earlier[0], number)


def _candidates(
    pictures: Sequence[AuditPicture],
    known: dict[int, AuditHashes],
    twins: Mapping[int, Sequence[int]],
) -> dict[tuple[int, int], bool]:
    """Return pairs of two splits that may be copies, and whether one is the other's negative.

    Of equal files of one split only the first is compared.
    """
    of: dict[str, list[SampleHashes]] = defaultdict(list)
    again = {number for numbers in twins.values() for number in numbers}
    for picture in sorted(pictures, key=_rank):
        if picture.number in known and picture.number not in again:
            of[picture.split].append(known[picture.number].look)
    batches = [make_batch(to_columns(hashes)) for hashes in of.values()]
    inverted_of: dict[tuple[int, int], bool] = {}
    for inverted in (True, False):
        told = [negate_hashes(batch) if inverted else batch for batch in batches]
        searches = [CandidateSearch(batch) for batch in told]
        for old, new in combinations(range(len(batches)), 2):
            inverted_of |= dict.fromkeys(searches[new].among(batches[old]), inverted)
    return inverted_of


def _rank(picture: AuditPicture) -> tuple[int, str]:
    split = picture.split
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS)), split


# A folder is a split when its name begins so: also train2017, val_images, Test.
_SPLIT = re.compile(r"(train|val|test)(?:ing|id|idation)?(?![a-z])", re.IGNORECASE)


class AuditPicture(NamedTuple):
    """One picture to audit, known by its number.

    `label` is the folder below the split, or the sample's class.
    """

    number: int
    name: str
    split: str
    label: str
    file: SampleFile


class AuditHashes(NamedTuple):
    """What is compared of a picture: the SHA-256 of its file and region, and its hashes."""

    digest: str
    look: SampleHashes


@dataclass
class AuditSet:
    """All images of an audit; `ignored` counts the other files by reason.

    `unreadable` has the name and reason of what could not be used.
    """

    pictures: list[AuditPicture] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)

    def sizes(self) -> dict[str, int]:
        """Return how many pictures each split has."""
        return dict(sorted(Counter(picture.split for picture in self.pictures).items()))

    def add(self, name: str, split: str, label: str, file: SampleFile) -> None:
        """Take a picture in, under the next number."""
        self.pictures.append(AuditPicture(len(self.pictures), name, split, label, file))


def of_tree(root: Path) -> AuditSet:
    """Collect the pictures below train|val|test folders on the first level, else on the second.

    Raises `InputUnusable` where there are no two splits.
    """
    audited = AuditSet()
    files = list(_files(root, audited))
    first = any(len(parts) > 1 and _SPLIT.match(parts[0]) for parts in files)
    level = 0 if first else 1
    for parts in files:
        match = _SPLIT.match(parts[level]) if len(parts) > level + 1 else None
        if match is None:
            audited.ignored[WITHOUT_SPLIT] += 1
            continue
        label = parts[level + 1] if len(parts) > level + 2 else ""
        audited.add("/".join(parts), match[1].lower(), label, SampleFile(root.joinpath(*parts)))
    if len(audited.sizes()) < 2:
        found = ", ".join(audited.sizes()) or "none"
        raise InputUnusable(
            f"{root} needs folders with pictures for two of train, val and test (found: {found})",
            "name two trees to compare: labeler audit TREE OTHER",
        )
    return audited


def add_tree(audited: AuditSet, root: Path, split: str) -> None:
    """Add all pictures of a tree as one split, named by their path below it.

    Raises `InputUnusable` where there are none.
    """
    before = len(audited.pictures)
    for parts in _files(root, audited):
        label = parts[0] if len(parts) > 1 else ""
        audited.add("/".join((split, *parts)), split, label, SampleFile(root.joinpath(*parts)))
    if len(audited.pictures) == before:
        raise InputUnusable(f"there are no pictures in {root}", "name another folder")


def of_dataset(dataset: Dataset, split: str | None = None) -> AuditSet:
    """Collect the samples that have a split, or with `split` all labelled ones as that one.

    Raises `InputUnusable` where there are none.
    """
    audited, originals = AuditSet(), dataset.originals(dataset.cache)
    labelled = dataset.samples.each(status="labelled")
    samples = list(labelled if split else dataset.samples.in_splits())
    rows = Pairs(dataset.db).numbers([sample.key for sample in samples])
    seen = ImageHashes(dataset.db).seen(rows)
    for sample, row in zip(samples, rows, strict=True):
        file = sample_file(seen[row], originals)
        audited.add(sample.key, split or str(sample.split), str(sample.label), file)
    if not samples:
        raise InputUnusable(
            "no sample of this dataset has a split, so there is nothing to audit",
            f"split first: labeler split {dataset.option}; or name a folder: labeler audit TREE",
        )
    return audited


def _files(root: Path, audited: AuditSet) -> Iterator[tuple[str, ...]]:
    if not root.is_dir():
        raise InputUnusable(f"there is no folder {root}", "check its name")

    def cannot(error: OSError) -> None:
        audited.unreadable[str(error.filename)] = "folder cannot be read"

    for folder, _, names in walk_tree(root, audited.ignored, cannot, links=True):
        for path in (folder / name for name in names):
            if (reason := ignored_reason(path)) is None:
                yield path.relative_to(root).parts
            else:
                audited.ignored[reason] += 1


def hash_picture(picture: AuditPicture) -> AuditHashes:
    """Return the hashes of a picture, in a worker process. Raises `Unreadable`."""
    data = _read(picture.file.path)
    digest = hashlib.sha256(data + repr(picture.file.region).encode())
    pixels = decode_region(data, picture.file, GREY_SIZE, "L")
    return AuditHashes(digest.hexdigest(), describe(pixels, picture.number))


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise Unreadable("not a file", "a pipe, a socket or a device")
        if path.stat().st_size > MAX_BYTES:
            raise Unreadable("too large", f"at most {MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise Unreadable("cannot be read", str(error)) from error
