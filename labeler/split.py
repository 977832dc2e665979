"""Train, val and test, assigned by moment: reproducible, and stable when data is added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.db.samples import SplitGroups
from gleanset.errors import InputUnusable, UsageError
from gleanset.moments import Moment, MomentMember, find_moments
from gleanset.settings import SplitSettings
from labeler.splits.bound import least_deviation
from labeler.splits.kept import Kept, hold, keep
from labeler.splits.most import InTrain, above_most
from labeler.splits.place import Item, Table, place
from labeler.splits.plan import Closeness, SplitPlan
from labeler.splits.wish import SPARE, Wish

__all__ = ["SplitPlan", "apply_split", "plan_moments", "plan_split"]


def plan_split(dataset: Dataset, settings: SplitSettings) -> SplitPlan:
    """Assign every labelled sample; with unchanged settings none leaves val or test.

    Raises `InputUnusable` when nothing is labelled, and `UsageError` for settings that make no
    sense.
    """
    wish, ties = _named(Wish.of(settings), SplitGroups(dataset.db)), SplitGroups(dataset.db)
    moments = find_moments(ties.each(), Pairs(dataset.db).tied())
    if not moments:
        raise InputUnusable(
            "nothing is labelled yet, so there is nothing to split",
            f"label some samples first: labeler accept-hints -d {dataset.root}",
        )
    plan = plan_moments(moments, wish, again=wish.places_as(dataset.samples.split_settings()))
    plan.not_searched = ties.not_searched()
    return plan


def apply_split(dataset: Dataset, plan: SplitPlan) -> None:
    """Write the plan, whole or not at all."""
    dataset.samples.set_splits(plan.splits, plan.settings, plan.folds)


def plan_moments(moments: Sequence[Moment], wish: Wish, *, again: bool = False) -> SplitPlan:
    """The split of these moments; with `again` what their members have of the last one is kept.

    Videos in the wish are named by their content. Raises `InputUnusable` when everything is
    held out, `UsageError` when a most of sources would leave nothing of train.
    """
    held = {m.key: kept for m in moments if (kept := hold(m, wish)) is not None}
    fixed = held | {m.key: keep(m, wish) if again else Kept() for m in moments if m.key not in held}
    plan = SplitPlan(
        settings=wish.settings,
        moments=len(moments),
        largest_moment=max(len(moment.members) for moment in moments),
        tied=sum(kept.tied for kept in fixed.values()),
    )
    plan.left = {key: why for kept in fixed.values() for key, why in kept.left.items()}
    placed = {key: kept.part for key, kept in fixed.items() if kept.part is not None}
    _place_free(moments, wish, fixed, placed, plan)
    for moment in moments:
        _enter(plan, moment, placed[moment.key], wish)
    _leave_out(plan, moments, wish, again)
    plan.count(moments, wish)
    if wish.hold_out and all(kept.held for kept in fixed.values()):
        raise InputUnusable(
            "everything is held out, so nothing is left to train on", "hold out less"
        )
    return plan


def _place_free(
    moments: Sequence[Moment],
    wish: Wish,
    fixed: dict[str, Kept],
    placed: dict[str, str],
    plan: SplitPlan,
) -> None:
    """Place what has no part yet, and note how close each class came."""
    there = [(m, _sizes(m, plan.left)) for m in moments if not fixed[m.key].held]
    totals: Counter[str] = Counter()
    for _, sizes in there:
        totals.update(sizes)
    want = {label: wish.want(size) for label, size in sorted(totals.items())}
    if not want:
        return
    table = Table(want)
    items = []
    for moment, sizes in there:
        row = tuple(sorted(sizes.items()))
        if moment.key in placed:
            table.put(row, wish.parts.index(placed[moment.key]))
        else:
            items.append(Item(moment.key, row, _open(fixed[moment.key], row, want, wish)))
    before = {label: list(row) for label, row in table.have.items()}
    for key, part in place(items, table, wish.seed).items():
        placed[key] = wish.parts[part]
    for label, asked in want.items():
        free = [n for item in items for name, n in item.sizes if name == label]
        far = max(abs(w - h) for w, h in zip(asked, table.have[label], strict=True))
        plan.closeness[label] = Closeness(
            asked, tuple(table.have[label]), far, least_deviation(free, asked, before[label])
        )


def _open(
    kept: Kept, sizes: Sequence[tuple[str, int]], want: dict[str, tuple[float, ...]], wish: Wish
) -> tuple[int, ...]:
    """The parts that a moment may go to: those that any of its classes has a share in."""
    return tuple(
        number
        for number, part in enumerate(wish.parts)
        if any(want[label][number] > 0 for label, _ in sizes)
        and (not kept.only_train or wish.folds or part in ("train", SPARE))
    )


def _sizes(moment: Moment, left: dict[str, str]) -> Counter[str]:
    return Counter(str(m.label) for m in moment.members if m.key not in left)


def _enter(plan: SplitPlan, moment: Moment, part: str, wish: Wish) -> None:
    for member in moment.members:
        out = member.key in plan.left
        if part == SPARE and not out:
            plan.left[member.key] = "more than was asked for"
        plan.splits[member.key] = (moment.key, None if out else wish.split_of(part))
        if wish.folds and not out:
            plan.folds[member.key] = int(part)


def _leave_out(plan: SplitPlan, moments: Sequence[Moment], wish: Wish, again: bool) -> None:
    """Keep the largest shares of sources in train."""
    train = [
        InTrain(m.key, str(m.label), moment.key, _only_source(m), again and m.split == "train")
        for moment in moments
        for m in moment.members
        if plan.splits[m.key][1] == "train"
    ]
    too_many = above_most(train, wish.most, wish.seed)
    if train and len(too_many) == len(train):
        raise UsageError(
            f"nothing would be left of train: it is all from {', '.join(wish.most)}",
            "allow more of it, or get pictures from elsewhere",
        )
    for key, source in too_many.items():
        plan.splits[key] = (plan.splits[key][0], None)
        plan.left[key] = f"more than {source} may have of train"


def _only_source(member: MomentMember) -> str | None:
    return next(iter(member.sources)) if len(member.sources) == 1 else None


def _named(wish: Wish, ties: SplitGroups) -> Wish:
    """The wish with videos by content. Raises `UsageError` for a source or video not there."""
    videos, sources = ties.videos(), ties.sources()
    named = []
    for kind, name in wish.hold_out:
        if kind == "source":
            _must_be_there(name, sources, "source")
            named.append((kind, name))
            continue
        found = [
            sha
            for sha, title in videos.items()
            if name in (title, title.rpartition(".")[0])
            or (len(name) >= 8 and sha.startswith(name))
        ]
        _must_be_there(name if not found else None, sorted(videos.values()), "video")
        named += [("video", sha) for sha in found]
    for source in wish.most:
        _must_be_there(source, sources, "source")
    return replace(wish, hold_out=tuple(named))


def _must_be_there(name: str | None, known: Sequence[str], what: str) -> None:
    if name is not None and name not in known:
        there = ", ".join(known[:20]) or "none"
        raise UsageError(f"there is no {what} {name!r} in this dataset", f"there are: {there}")
