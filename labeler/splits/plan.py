"""Train, val and test, assigned by moment: reproducible, and stable when data is added.

A plan is a plain value: which sample goes where, and how close that comes to what was asked. What
is held out, or was somewhere in the last split, is settled before anything is placed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

from curation.moments import Moment, MomentMember, find_moments
from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import PERSON, UNSEEN, giver_of, label_provenances
from gleanset.db.samples import SplitGroups
from gleanset.errors import InputUnusable, UsageError
from gleanset.html.words import count
from gleanset.named_files import first_lines
from gleanset.records import SPLITS
from gleanset.settings import SplitSettings
from labeler.splits.allocate import MomentSizes, PartTable, allocate
from labeler.splits.split_spec import SPARE, SplitSpec

# Where a new picture ties moments of several splits together: test stays test.
_STRONGEST_FIRST = ("test", "val", "train")


@dataclass(frozen=True)
class StickyMoment:
    """What is settled of a moment before others are placed.

    `part` is where it stays, None where it is free; `left` are samples left out, with the reason.
    `tied`: it hangs together with one of another part now. `only_train`: it was left out before,
    and must not turn up in test. `held`: it is held out and counts for no share.
    """

    part: str | None = None
    left: dict[str, str] = field(default_factory=dict)
    tied: bool = False
    only_train: bool = False
    held: bool = False


def held_out(moment: Moment, spec: SplitSpec) -> StickyMoment | None:
    """Fix a moment with something that is held out: that is test, the rest of it is left out."""
    held = {
        member.key
        for member in moment.members
        for kind, name in spec.hold_out
        if name in (member.sources if kind == "source" else member.videos)
    }
    if not held:
        return None
    left = {m.key: "tied to what is held out" for m in moment.members if m.key not in held}
    return StickyMoment("test", left, held=True)


def as_before(moment: Moment, spec: SplitSpec) -> StickyMoment:
    """Keep a moment where it was. The sides of one that was torn are left out, but for one.

    Between test, val and train that is the strongest; between folds the one with most samples.
    A sample that has a moment but no part was left out before, and only train takes it back.
    """
    everyone = (*moment.members, *moment.copies)
    before = Counter(part for m in everyone if (part := _part(m, spec)) is not None)
    out = {m.key for m in moment.members if _part(m, spec) is None and m.moment is not None}
    if not before:
        return StickyMoment(only_train=bool(out))
    if spec.folds:
        part = min(before, key=lambda part: (-before[part], int(part)))
    else:
        part = next(part for part in _STRONGEST_FIRST if part in before)
    back = part == "train"
    left = {
        m.key: f"tied to {'fold ' if spec.folds else ''}{part}"
        for m in moment.members
        if _part(m, spec) not in (None, part) or (m.key in out and not back)
    }
    return StickyMoment(part, left, tied=len(before) > 1)


def _part(member: MomentMember, spec: SplitSpec) -> str | None:
    if spec.folds:
        return None if member.fold is None else str(member.fold)
    return member.split


_SHOWN = 20
FEW_TEST = 5
"""Test images of a class below which a split warns of it."""
CONFLICT = "copies labelled differently (labeler groups --conflicts)"
NO_JUDGE = "nobody has looked at the label, so it judges nothing"
SPARED = "more than was asked for"


class Closeness(NamedTuple):
    """What a class was asked to have in each part and has, and the largest difference."""

    asked: tuple[float, ...]
    got: tuple[int, ...]
    deviation: float


@dataclass
class SplitPlan:
    """Which moment goes where. `splits` has (moment, split) of each labelled sample.

    `left` has the reason for each that has no split, `tied` counts the moments that hang
    together across splits since the last one. `unseen` are the samples whose labels nobody has
    looked at, `judged_by` says how many labels of val and test came from whom. `empty` are the
    splits or folds that should have some samples and have none.
    """

    settings: str
    splits: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    folds: dict[str, int] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    table: dict[str, dict[str, int]] = field(default_factory=dict)
    by_fold: dict[str, dict[str, int]] = field(default_factory=dict)
    closeness: dict[str, Closeness] = field(default_factory=dict)
    moments: int = 0
    largest_moment: int = 0
    tied: int = 0
    not_searched: int = 0
    unseen: frozenset[str] = frozenset()
    judged_by: dict[str, int] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)

    def count(self, moments: Sequence[Moment], spec: SplitSpec) -> None:
        """Fill the tables: how many of each class every split, and every fold, has."""
        members = [member for moment in moments for member in moment.members]
        for label in sorted({str(member.label) for member in members}):
            self.table[label] = dict.fromkeys(SPLITS, 0)
            if spec.folds:
                self.by_fold[label] = dict.fromkeys(spec.parts, 0)
        for member in members:
            if (split := self.splits[member.key][1]) is not None:
                self.table[str(member.label)][split] += 1
            if (fold := self.folds.get(member.key)) is not None:
                self.by_fold[str(member.label)][str(fold)] += 1

    def left_by_ties(self) -> dict[str, str]:
        """Return the samples that are left out because they hang together with others, and why."""
        return {key: why for key, why in sorted(self.left.items()) if "tied to" in why}

    def result(self) -> dict[str, object]:
        """Return it as a command does; `short` lists the splits that lack a class."""
        totals: Counter[str] = Counter()
        for row in self.table.values():
            totals.update(row)
        short = [
            f"{label}: nothing in {split}"
            for label, row in self.table.items()
            for split in SPLITS
            if totals[split] and not row[split]
        ]
        tied = [f"{key}: {why}" for key, why in self.left_by_ties().items()]
        more_tied = [f"and {len(tied) - _SHOWN} more"] if len(tied) > _SHOWN else []
        inside = sum(self.splits[key][1] is not None for key in self.unseen)
        closeness = {
            label: {
                "asked": ":".join(f"{number:.4g}" for number in row.asked),
                "got": ":".join(map(str, row.got)),
                "largest_deviation": round(row.deviation, 3),
            }
            for label, row in self.closeness.items()
        }
        more: dict[str, object] = {
            "empty": self.empty,
            "folds": self.by_fold,
            "left_out": dict(sorted(Counter(self.left.values()).items())),
            "tied": tied[:_SHOWN] + more_tied,
            "short": short,
            "few_test_images": self._small_sample_warning(),
            "labels_nobody_looked_at": {"in_train": inside, "left_out": len(self.unseen) - inside}
            if self.unseen
            else {},
            "val_and_test_labels_by": self.judged_by if {*self.judged_by} - {PERSON} else {},
            "not_searched_for_duplicates": self.not_searched,
        }
        return {
            **{split: totals[split] for split in SPLITS},
            "moments": self.moments,
            "largest_moment": self.largest_moment,
            "moments_tied_since": self.tied,
            "classes": self.table,
            "closeness": closeness,
        } | {key: value for key, value in more.items() if value}

    def _small_sample_warning(self) -> list[str]:
        few = {label: n for label, row in self.table.items() if 0 < (n := row["test"]) < FEW_TEST}
        if not few:
            return []
        what = f"fewer than {FEW_TEST} test images: the accuracy of such a class says little"
        return [what, ", ".join(first_lines([f"{label}: {n}" for label, n in few.items()]))]


def plan_split(dataset: Dataset, settings: SplitSettings) -> SplitPlan:
    """Assign every labelled sample; with unchanged settings none leaves val or test.

    Raises `InputUnusable` when nothing is labelled, and `UsageError` for settings that make no
    sense.
    """
    evidence = SplitGroups(dataset.db)
    spec = _by_content(SplitSpec.of(settings), evidence)
    moments = find_moments(evidence.each(), Pairs(dataset.db).tied())
    if not moments:
        raise InputUnusable(
            "nothing is labelled yet, so there is nothing to split",
            f"see what comes next: gleanset status {dataset.option}",
        )
    again = spec.places_as(dataset.samples.split_settings())
    given = label_provenances(dataset.db)
    unseen = {key for key, provenance in given.items() if provenance in UNSEEN}
    conflicting = evidence.conflicting()
    plan = plan_moments(moments, spec, again=again, conflicting=conflicting, unseen=unseen)
    judging = sorted(key for key, (_, split) in plan.splits.items() if split in ("val", "test"))
    plan.judged_by = dict(Counter(giver_of(given.get(key, "")) for key in judging))
    plan.not_searched = evidence.not_searched()
    return plan


def apply_split(dataset: Dataset, plan: SplitPlan) -> None:
    """Write the plan, whole or not at all."""
    dataset.samples.set_splits(plan.splits, plan.settings, plan.folds)


def plan_moments(
    moments: Sequence[Moment],
    spec: SplitSpec,
    *,
    again: bool = False,
    conflicting: Sequence[str] = (),
    unseen: Collection[str] = (),
) -> SplitPlan:
    """Split these moments; with `again` what their members have of the last one is kept.

    Copies that are labelled differently are `conflicting`: nothing is learnt from or judged by
    them until a person has settled which label is right. Labels that are `unseen` judge nothing:
    shares are those of all others, and these go to train, or nowhere.

    Videos that `spec` holds out are named by content (SHA-256). Raises `InputUnusable` when
    everything is held out, `UsageError` for more folds than groups.
    """
    judging = [
        replace(moment, members=members)
        for moment in moments
        if (members := tuple(m for m in moment.members if m.key not in unseen))
    ]
    held = {m.key: kept for m in judging if (kept := held_out(m, spec)) is not None}
    fixed = held | {
        m.key: as_before(m, spec) if again else StickyMoment() for m in judging if m.key not in held
    }
    plan = SplitPlan(
        settings=spec.settings,
        moments=len(moments),
        largest_moment=max(len(moment.members) for moment in moments),
        tied=sum(kept.tied for kept in fixed.values()),
        unseen=frozenset(m.key for moment in moments for m in moment.members if m.key in unseen),
    )
    plan.left = {key: why for kept in fixed.values() for key, why in kept.left.items()}
    plan.left |= dict.fromkeys(conflicting, CONFLICT)
    placed = {key: kept.part for key, kept in fixed.items() if kept.part is not None}
    for moment in judging:
        if not _sizes(moment, plan.left):
            placed.setdefault(moment.key, SPARE)
    _place_free(judging, spec, fixed, placed, plan)
    _check_folds(spec, placed)
    for moment in judging:
        part = placed[moment.key]
        for member in moment.members:
            left = member.key in plan.left
            if part == SPARE and not left:
                plan.left[member.key] = SPARED
            plan.splits[member.key] = (moment.key, None if left else spec.split_of(part))
            if spec.folds and not left:
                plan.folds[member.key] = int(part)
    _enter_unseen(plan, moments, placed, spec)
    plan.count(moments, spec)
    plan.empty = _empty_parts(plan, spec, len(placed))
    if spec.hold_out and all(kept.held for kept in fixed.values()):
        raise InputUnusable(
            "everything is held out, so nothing is left to train on", "hold out less"
        )
    return plan


def _check_folds(spec: SplitSpec, placed: Mapping[str, str]) -> None:
    groups = sum(part != SPARE for part in placed.values())
    if groups < spec.folds:
        fewer = f"--folds {groups}" if groups > 1 else "--ratio 8:1:1"
        raise UsageError(
            f"{spec.folds - groups} of {spec.folds} folds would be empty: {_groups(groups)}",
            f"ask for fewer folds: labeler split {fewer}; or add images of other scenes",
        )


def _groups(number: int) -> str:
    return f"the images are of {count(number, 'group')} that must stay together"


def _empty_parts(plan: SplitPlan, spec: SplitSpec, groups: int) -> list[str]:
    """Return the splits or folds that should have samples and have none, with the reason."""
    totals: Counter[str] = Counter()
    for row in (plan.by_fold if spec.folds else plan.table).values():
        totals.update(row)
    numbers: Sequence[Fraction | int | None] = spec.counts or spec.shares
    parts = spec.parts if spec.folds else SPLITS
    asked = [part for part, number in zip(parts, numbers, strict=True) if number != 0]
    word = "fold " if spec.folds else ""
    return [f"{word}{part}: {_groups(groups)}" for part in asked if not totals[part]]


def _enter_unseen(
    plan: SplitPlan, moments: Sequence[Moment], placed: Mapping[str, str], spec: SplitSpec
) -> None:
    """Put labels that nobody has looked at into train, where that lacks some and may have them."""
    seen = [m for moment in moments for m in moment.members if m.key in plan.splits]
    have = Counter(str(m.label) for m in seen if plan.splits[m.key][1] == "train")
    for moment in moments:
        part = placed.get(moment.key)
        if part is None or (part == SPARE and not spec.counts):
            split = None if held_out(moment, spec) else "train"
        else:
            split = spec.split_of(part)
        for member in (m for m in moment.members if m.key in plan.unseen):
            label = str(member.label)
            full = spec.counts and spec.counts[0] is not None and have[label] >= spec.counts[0]
            if member.key not in plan.left and (split != "train" or full):
                plan.left[member.key] = SPARED if part == SPARE or full else NO_JUDGE
            goes = None if member.key in plan.left else split
            plan.splits[member.key] = moment.key, goes
            have[label] += goes == "train"


def _place_free(
    moments: Sequence[Moment],
    spec: SplitSpec,
    fixed: dict[str, StickyMoment],
    placed: dict[str, str],
    plan: SplitPlan,
) -> None:
    """Place what has no part yet, and note how close each class came."""
    sized = [(m, _sizes(m, plan.left)) for m in moments if not fixed[m.key].held]
    there = [(moment, sizes) for moment, sizes in sized if sizes]
    totals: Counter[str] = Counter()
    for _, sizes in there:
        totals.update(sizes)
    want = {label: spec.want(size) for label, size in sorted(totals.items())}
    if not want:
        return
    table = PartTable(want)
    items = []
    for moment, sizes in there:
        row = tuple(sorted(sizes.items()))
        if moment.key in placed:
            table.put(row, spec.parts.index(placed[moment.key]))
        else:
            items.append(MomentSizes(moment.key, row, _open(fixed[moment.key], row, want, spec)))
    for key, part in allocate(items, table, spec.seed).items():
        placed[key] = spec.parts[part]
    for label, asked in want.items():
        far = max(abs(w - h) for w, h in zip(asked, table.have[label], strict=True))
        plan.closeness[label] = Closeness(asked, tuple(table.have[label]), far)


def _open(
    kept: StickyMoment,
    sizes: Sequence[tuple[str, int]],
    want: dict[str, tuple[float, ...]],
    spec: SplitSpec,
) -> tuple[int, ...]:
    """Return the parts that a moment may go to: those that any of its classes has a share in."""
    return tuple(
        number
        for number, part in enumerate(spec.parts)
        if any(want[label][number] > 0 for label, _ in sizes)
        and (not kept.only_train or spec.folds or part in ("train", SPARE))
    )


def _sizes(moment: Moment, left: dict[str, str]) -> Counter[str]:
    return Counter(str(m.label) for m in moment.members if m.key not in left)


def _by_content(spec: SplitSpec, evidence: SplitGroups) -> SplitSpec:
    """Name videos by content. Raises `UsageError` for a source or video that is not there."""
    videos, sources = evidence.videos(), evidence.sources()
    named = []
    for kind, name in spec.hold_out:
        if kind == "source":
            _must_be_there(name, sources, "source")
            named.append((kind, name))
            continue
        hashes = [
            sha
            for sha, title in videos.items()
            if name in (title, title.rpartition(".")[0])
            or (len(name) >= 8 and sha.startswith(name))
        ]
        _must_be_there(name if not hashes else None, sorted(videos.values()), "video")
        named += [("video", sha) for sha in hashes]
    return replace(spec, hold_out=tuple(named))


def _must_be_there(name: str | None, known: Sequence[str], what: str) -> None:
    if name is not None and name not in known:
        there = ", ".join(known[:20]) or "none"
        raise UsageError(f"there is no {what} {name!r} in this dataset", f"there are: {there}")
