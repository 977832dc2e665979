"""Leaks: pictures that are, or all but are, in two splits at once.

Same files are found by their bytes. Copies (another size, format or crop, mirrored, with a
watermark) are candidates by their hashes and confirmed by a look at the pixels. What has nearly
the same hash but shows a difference, such as the next frame of a scene, is told apart as alike.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import combinations
from typing import NamedTuple

import cv2

from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.db.measures import SampleHashes
from gleanset.db.samples import SplitGroups
from gleanset.moments import LOOK_ALIKE, find_moments
from gleanset.work.pool import Processes, run_batches
from gleanset.work.progress import Progress
from labeler.audit_pictures import Described, Gallery, Shot, describe_shot, pixels_of
from labeler.duplicates.candidates import batch_of, candidates_between
from labeler.duplicates.hashes import GREY_SIZE
from labeler.duplicates.second_look import Verdict, View, compare, view_of

# From the surest to the least sure; `moment` is what the catalogue alone knows.
KINDS = ("same file", "copy", "mirrored copy", "moment", "alike")
_SHOWN_UNREADABLE = 100


class Leak(NamedTuple):
    """Two pictures of two splits that are the same or alike; `kind` is one of `KINDS`."""

    a: Shot
    b: Shot
    kind: str


@dataclass
class Audit:
    """What an audit found. `leaks` come with the surest first."""

    gallery: Gallery
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
        unreadable = sorted(self.gallery.unreadable.items())
        return {
            "pictures": self.gallery.sizes(),
            "leaks": sum(count for kind, count in kinds.items() if kind != "alike"),
            "alike": kinds["alike"],
            "kinds": {kind: kinds[kind] for kind in KINDS if kinds[kind]},
            "leaking": {name: len(found) for name, found in sorted(leaking.items())},
            "unreadable": len(unreadable),
            "other_files": self.gallery.other,
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
    gallery: Gallery,
    *,
    workers: int = 0,
    progress: Progress | None = None,
    also: Iterable[tuple[int, int]] = (),
) -> Audit:
    """Compare every split with every other one. `also` are pairs (numbers) of one moment.

    What cannot be read is noted and passed over.
    """
    progress, pool, shots = progress or Progress(), Processes(workers), gallery.shots
    known = _described(gallery, pool, progress)
    found = dict.fromkeys(_same_files(shots, known), "same file")
    asked = [pair for pair in _candidates(shots, known) if pair not in found]
    for (a, b), verdict in _looked_at(shots, asked, pool, progress):
        if kind := _kind(verdict, known[a].look, known[b].look):
            found[a, b] = kind
    for pair in also:
        if found.get(pair, "alike") == "alike":
            found[pair] = "moment"
    leaks = [_leak(shots[a], shots[b], kind) for (a, b), kind in found.items()]
    twins = _twins(shots, known)
    leaks += [
        leak._replace(b=shots[twin])
        for leak in leaks
        if leak.kind != "same file"
        for twin in twins.get(leak.b.number, ())
    ]
    return Audit(gallery, sorted(leaks, key=lambda x: (KINDS.index(x.kind), x.b.name, x.a.name)))


def _described(gallery: Gallery, pool: Processes, progress: Progress) -> dict[int, Described]:
    known: dict[int, Described] = {}
    batches = run_batches(describe_shot, gallery.shots, pool)
    for batch in progress.batches(batches, "hashing", len(gallery.shots), " pictures"):
        for outcome in batch:
            if outcome.result is not None:
                known[outcome.item.number] = outcome.result
            else:
                gallery.unreadable[outcome.item.name] = outcome.reason or "failed"
    return known


def _looked_at(
    shots: Sequence[Shot], pairs: Sequence[tuple[int, int]], pool: Processes, progress: Progress
) -> Iterator[tuple[tuple[int, int], Verdict]]:
    """The second look at each of these pairs; one that fails is passed over."""
    batches = run_batches(compare_shots, ((shots[a], shots[b]) for a, b in pairs), pool)
    for batch in progress.batches(batches, "second look", len(pairs), " pairs"):
        for outcome in batch:
            if outcome.result is not None:
                yield (outcome.item[0].number, outcome.item[1].number), outcome.result


def straddling(dataset: Dataset, shots: Sequence[Shot]) -> Iterator[tuple[int, int]]:
    """One pair for every two splits that a moment of the catalogue is in."""
    number = {shot.name: shot.number for shot in shots}
    for moment in find_moments(SplitGroups(dataset.db).each(), Pairs(dataset.db).tied()):
        first = {m.split: number[m.key] for m in reversed(moment.members) if m.key in number}
        yield from combinations(sorted(first.values()), 2)


def compare_shots(pair: tuple[Shot, Shot]) -> Verdict:
    """The second look at two pictures. Raises `Unreadable`."""
    cv2.setNumThreads(1)
    return compare(_view(pair[0]), _view(pair[1]))


@lru_cache(maxsize=64)
def _view(shot: Shot) -> View:
    colours = partial(pixels_of, shot, GREY_SIZE, "RGB")
    return view_of(pixels_of(shot, GREY_SIZE, "L"))._replace(colours=colours)


def _kind(verdict: Verdict, a: SampleHashes, b: SampleHashes) -> str | None:
    if verdict.same or verdict.doubtful:  # what may be a copy must not leak
        return "mirrored copy" if verdict.mirrored else "copy"
    return "alike" if (a.plain ^ b.plain).bit_count() <= LOOK_ALIKE else None


def _same_files(shots: Sequence[Shot], known: dict[int, Described]) -> Iterator[tuple[int, int]]:
    """Each picture with the first one of the same bytes in every earlier split."""
    first: dict[tuple[str, str], int] = {}
    splits = sorted({shot.split for shot in shots}, key=_rank)
    for split in splits:
        for shot in shots:
            if shot.split != split or shot.number not in known:
                continue
            digest = known[shot.number].digest
            for earlier in splits[: splits.index(split)]:
                if (digest, earlier) in first:
                    yield _pair(first[digest, earlier], shot.number)
            first.setdefault((digest, split), shot.number)


def _twins(shots: Sequence[Shot], known: dict[int, Described]) -> dict[int, list[int]]:
    """The first of equal files of one split, and the others."""
    first: dict[tuple[str, str], int] = {}
    twins: dict[int, list[int]] = defaultdict(list)
    for shot in shots:
        if shot.number in known:
            one = first.setdefault((known[shot.number].digest, shot.split), shot.number)
            if one != shot.number:
                twins[one].append(shot.number)
    return twins


def _candidates(shots: Sequence[Shot], known: dict[int, Described]) -> list[tuple[int, int]]:
    """Pairs of two splits that are worth a look, sorted so that pictures are decoded once.

    Of equal files of one split only the first is looked at.
    """
    of: dict[str, list[SampleHashes]] = defaultdict(list)
    again = {number for numbers in _twins(shots, known).values() for number in numbers}
    for shot in shots:
        if shot.number in known and shot.number not in again:
            of[shot.split].append(known[shot.number].look)
    batches = [batch_of(looks) for _, looks in sorted(of.items(), key=lambda row: _rank(row[0]))]
    return sorted(
        {pair for old, new in combinations(batches, 2) for pair in candidates_between(new, old)}
    )


def _leak(a: Shot, b: Shot, kind: str) -> Leak:
    return Leak(a, b, kind) if _rank(a.split) <= _rank(b.split) else Leak(b, a, kind)


def _pair(a: int, b: int) -> tuple[int, int]:
    return min(a, b), max(a, b)


def _rank(split: str) -> tuple[int, str]:
    order = ("train", "val", "test")
    return (order.index(split) if split in order else len(order)), split
