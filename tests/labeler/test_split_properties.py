"""Properties of splits of random datasets."""

from __future__ import annotations

from itertools import product
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tie_makers import applied, components, random_ties
from tools_for_tests import examples

from curation.split_groups import find_split_groups
from gleanset.db.samples import GroupEvidence
from gleanset.errors import InputUnusable
from gleanset.settings import SplitSettings
from labeler.splits.allocate import PartTable, PlaceableGroup, allocate
from labeler.splits.plan import SplitPlan, fix_held_out, plan_groups
from labeler.splits.split_spec import SplitSpec

SEEDS = st.integers(0, 2**32)
WISHES = st.sampled_from(
    [
        SplitSettings(),
        SplitSettings("6:2:2", seed=3),
        SplitSettings("1:1:1"),
        SplitSettings("7:3:0"),
        SplitSettings(counts="4:1:1"),
        SplitSettings(counts="rest:2:2", seed=1),
        SplitSettings(hold_out=("source=pixiv",)),
        SplitSettings(hold_out=("video=v",)),
    ]
)
many = settings(
    max_examples=examples(100, 800),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def split(
    ties: list[GroupEvidence], split_settings: SplitSettings, *, again: bool = False
) -> SplitPlan | None:
    """Return a plan; None if there is nothing to split, or all is held out."""
    groups = find_split_groups(sorted(ties, key=lambda t: t.key))
    if not groups:
        return None
    try:
        return plan_groups(groups, SplitSpec.from_settings(split_settings), keeps_splits=again)
    except InputUnusable:
        checked = SplitSpec.from_settings(split_settings)
        assert all(fix_held_out(group, checked) for group in groups)
        return None


def check_plan(ties: list[GroupEvidence], plan: SplitPlan) -> None:
    """Check that groups are whole, and that samples have a split or a reason."""
    for group in components(ties):
        assert len({plan.splits[key][1] for key in group} - {None}) <= 1
    labelled = {row.key for row in ties if row.label}
    assert set(plan.splits) == labelled
    assert {key for key in labelled if plan.splits[key][1] is None} == set(plan.left_out)


@given(SEEDS, WISHES)
@many
def test_groups_are_never_divided(seed: int, split_settings: SplitSettings) -> None:
    ties = random_ties(Random(seed))
    plan = split(ties, split_settings)
    if plan is not None:
        check_plan(ties, plan)


@given(SEEDS, WISHES)
@settings(many, max_examples=examples(40, 300))
def test_split_is_independent_of_order(seed: int, split_settings: SplitSettings) -> None:
    ties = random_ties(Random(seed))
    if (plan := split(ties, split_settings)) is None:
        return
    keys = sorted({t.key for t in ties}, key=lambda key: Random(key + str(seed)).random())
    mixed = [row for key in keys for row in ties if row.key == key]
    assert (
        plan_groups(find_split_groups(mixed), SplitSpec.from_settings(split_settings)).splits
        == plan.splits
    )


@given(SEEDS, WISHES)
@settings(many, max_examples=examples(60, 500))
def test_additions_keep_val_and_test(seed: int, split_settings: SplitSettings) -> None:
    random = Random(seed)
    ties = random_ties(random)
    plan = split(ties, split_settings)
    if plan is None:
        return
    for prefix in "bc":
        before, ties = plan, [*applied(ties, plan), *random_ties(random, prefix, 12)]
        # The catalogue sorts by key, so additions come last.
        plan = split(ties, split_settings, again=True)
        assert plan is not None
        check_plan(ties, plan)
        for key, (_, was) in before.splits.items():
            now = plan.splits[key][1]
            if was in ("val", "test"):
                assert (
                    now == was
                    or (was == "val" and plan.left_out[key] == "tied to test")
                    or (
                        split_settings.hold_out
                        and plan.left_out.get(key) == "tied to what is held out"
                    )
                ), key
            else:
                assert now in ("train", None) or split_settings.hold_out, (key, was, now)


@given(SEEDS, WISHES)
@settings(many, max_examples=examples(40, 300))
def test_split_is_idempotent(seed: int, split_settings: SplitSettings) -> None:
    random = Random(seed)
    ties = random_ties(random)
    if (plan := split(ties, split_settings)) is None:
        return
    ties = [*applied(ties, plan), *random_ties(random, "b", 12)]
    plan = split(ties, split_settings, again=True)
    assert plan is not None
    repeated = split(applied(ties, plan), split_settings, again=True)
    assert repeated is not None
    assert repeated.splits == plan.splits
    assert repeated.left_out == plan.left_out


@given(SEEDS)
@settings(many, max_examples=examples(40, 300))
def test_shares_are_near_optimal(seed: int) -> None:
    """Compare with the best of all possible splits of small datasets."""
    random = Random(seed)
    shares = random.choice([(8, 1, 1), (6, 2, 2), (7, 3, 0), (1, 1, 1)])
    sizes = [random.choice([1, 1, 2, 3, 4, 5, 9]) for _ in range(random.randint(1, 7))]
    open_ = tuple(part for part in range(3) if shares[part])
    want = [sum(sizes) * share / sum(shares) for share in shares]
    table = PartTable({"hana": want})
    allocate(
        [PlaceableGroup(str(n), (("hana", size),), open_) for n, size in enumerate(sizes)], table, 0
    )
    best = min(squared_deviation(sizes, parts, want) for parts in product(open_, repeat=len(sizes)))
    closest = min(
        largest_deviation(sizes, parts, want) for parts in product(open_, repeat=len(sizes))
    )
    got = table.have["hana"]
    assert sum((h - w) ** 2 for h, w in zip(got, want, strict=True)) <= best + 4 + 1e-9
    assert max(abs(h - w) for h, w in zip(got, want, strict=True)) <= closest + 1 + 1e-9


def count_by_part(sizes: list[int], parts: tuple[int, ...]) -> list[int]:
    have = [0, 0, 0]
    for size, part in zip(sizes, parts, strict=True):
        have[part] += size
    return have


def squared_deviation(sizes: list[int], parts: tuple[int, ...], want: list[float]) -> float:
    return sum((h - w) ** 2 for h, w in zip(count_by_part(sizes, parts), want, strict=True))


def largest_deviation(sizes: list[int], parts: tuple[int, ...], want: list[float]) -> float:
    return max(abs(h - w) for h, w in zip(count_by_part(sizes, parts), want, strict=True))
