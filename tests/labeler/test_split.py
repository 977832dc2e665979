"""Splits: no moment straddles, the ratio is kept, and what is placed stays placed."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labeler_makers import Group, add_faces, add_groups, add_image, label, plain

from gleanset import Dataset, Origin
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, UsageError
from labeler.split import SPLITS, SplitPlan, apply_split, lowest_terms, parse_ratio, plan_split

Labeler = Callable[..., subprocess.CompletedProcess[str]]
CLASSES = ("hana", "rei", "sora")
RATIOS = st.sampled_from(["8:1:1", "6:2:2", "1:0:0", "7:3:0", "1:1:1", "0.8:0.1:0.1"])
some = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # every example fills a real catalogue


@st.composite
def many_groups(draw: st.DrawFn, prefix: str = "first") -> list[Group]:
    sizes = draw(st.lists(st.tuples(st.sampled_from(CLASSES), st.integers(1, 6)), min_size=1,
                          max_size=14))  # fmt: skip
    return [Group(f"{prefix}-{n}", name, size) for n, (name, size) in enumerate(sizes)]


@contextmanager
def filled(groups: list[Group]) -> Iterator[Dataset]:
    with tempfile.TemporaryDirectory() as folder, Dataset.create(Path(folder)) as dataset:
        add_groups(dataset, groups)
        yield dataset


def do_split(dataset: Dataset, ratio: str = "8:1:1", seed: int = 0) -> SplitPlan:
    plan = plan_split(dataset, ratio, seed)
    apply_split(dataset, plan)
    return plan


def splits(dataset: Dataset) -> dict[str, str | None]:
    return {sample.key: sample.split for sample in dataset.samples.by_key()}


def split_of_posts(dataset: Dataset) -> dict[str | None, set[str | None]]:
    """For every post the splits that its samples are in."""
    found: dict[str | None, set[str | None]] = defaultdict(set)
    post = {image.sha256: image.origins[0].post for image in dataset.images.each()}
    for sample in dataset.samples.by_key():
        found[post[sample.image]].add(sample.split)
    return found


@given(many_groups(), RATIOS, st.integers(0, 5))
@some
def test_no_moment_straddles_and_each_class_is_near_its_ratio(
    groups: list[Group], ratio: str, seed: int
) -> None:
    with filled(groups) as dataset:
        plan = do_split(dataset, ratio, seed)
        assert all(len(found) == 1 for found in split_of_posts(dataset).values())
        assert all(split in SPLITS for split in splits(dataset).values())
        counted = dataset.samples.counts("label", "split")
        sizes: Counter[str] = Counter()
        largest: dict[str, int] = defaultdict(int)
        for group in groups:
            sizes[group.label] += group.size
            largest[group.label] = max(largest[group.label], group.size)
        for name, size in sizes.items():
            for split, part in parse_ratio(ratio).items():
                have = counted.get((name, split), 0)
                assert plan.table[name][split] == have
                # Whole moments cannot come closer than the largest of them allows.
                assert have - size * part < largest[name], (name, split)
                assert size * part - have < 2 * largest[name], (name, split)
                assert have == 0 or part > 0
        assert plan.moments == len(groups)
        assert plan.largest_moment == max(group.size for group in groups)


@given(many_groups(), RATIOS, st.integers(0, 5))
@some
def test_the_same_seed_gives_the_same_split_in_another_dataset(
    groups: list[Group], ratio: str, seed: int
) -> None:
    with filled(groups) as one, filled(groups[::-1]) as other:
        do_split(one, ratio, seed)
        do_split(other, ratio, seed)
        assert splits(one) == splits(other)


@given(many_groups(), many_groups("later"), RATIOS)
@some
def test_additions_move_nothing(groups: list[Group], later: list[Group], ratio: str) -> None:
    with filled(groups) as dataset:
        do_split(dataset, ratio)
        before = splits(dataset)
        add_groups(dataset, later)
        plan = do_split(dataset, ratio)
        after = splits(dataset)
        assert {key: after[key] for key in before} == before
        assert all(after.values())
        assert plan.tied == 0


def singles(number: int, name: str = "hana") -> list[Group]:
    return [Group(f"{name}-{n}", name, 1) for n in range(number)]


def test_another_seed_gives_another_split_of_the_same_size(empty: Dataset) -> None:
    add_groups(empty, singles(40))
    do_split(empty, seed=0)
    zero = splits(empty)
    do_split(empty, seed=1)
    one = splits(empty)
    assert zero != one
    assert Counter(zero.values()) == Counter(one.values()) == {"train": 32, "val": 4, "test": 4}
    do_split(empty, seed=0)
    assert splits(empty) == zero


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        ("8:1:1", (80, 10, 10)), ("6:2:2", (60, 20, 20)), ("1:0:0", (100, 0, 0)),
        ("1:0:1", (50, 0, 50)), ("2:1:1", (50, 25, 25)), ("0.8:0.1:0.1", (80, 10, 10)),
    ],
)  # fmt: skip
def test_single_pictures_are_split_exactly(
    empty: Dataset, ratio: str, expected: tuple[int, int, int]
) -> None:
    add_groups(empty, singles(100) + singles(10, "rei"))
    plan = do_split(empty, ratio)
    assert tuple(plan.table["hana"][split] for split in SPLITS) == expected
    assert tuple(plan.table["rei"][split] for split in SPLITS) == tuple(
        pytest.approx(n / 10, abs=1) for n in expected
    )


@pytest.mark.parametrize(
    "ratio",
    ["8:1", "8:1:1:1", "a:b:c", "-8:1:1", "0:1:1", "8::1", "8:1:1x", "8:x:1:1", "", "nan:1:1"],
)
def test_bad_ratios_are_refused(empty: Dataset, ratio: str) -> None:
    add_groups(empty, singles(3))
    with pytest.raises(UsageError, match="8:1:1"):
        plan_split(empty, ratio, 0)


def test_nothing_labelled_names_the_mend(empty: Dataset) -> None:
    with pytest.raises(InputUnusable, match="labeler accept-hints"):
        plan_split(empty, "8:1:1", 0)


@pytest.mark.parametrize("number", range(1, 8))
def test_tiny_classes_are_trained_on_and_what_they_lack_is_said(
    empty: Dataset, number: int
) -> None:
    add_groups(empty, singles(40) + singles(number, "rei"))
    plan = do_split(empty)
    row = plan.table["rei"]
    assert sum(row.values()) == number
    assert row["train"] > 0
    told = plan.result().get("short", [])
    assert told == [f"rei: nothing in {split}" for split in SPLITS if not row[split]]


def test_large_moments_are_placed_first_so_that_small_ones_even_out(empty: Dataset) -> None:
    add_groups(empty, [*singles(12), Group("scene", "hana", 8)])
    plan = do_split(empty, "6:2:2")
    assert plan.table["hana"] == {"train": 12, "val": 4, "test": 4}


def test_two_classes_in_one_picture_stay_together(empty: Dataset) -> None:
    for number in range(30):
        left, right = add_faces(empty, add_image(empty, f"{number}"), (0, 50))
        label(empty, left, "hana")
        label(empty, right, "rei")
    plan = do_split(empty)
    found = defaultdict(set)
    for sample in empty.samples.by_key():
        found[sample.image].add(sample.split)
    assert {len(splits) for splits in found.values()} == {1}
    assert plan.table["hana"] == plan.table["rei"] == {"train": 24, "val": 3, "test": 3}


def test_only_labelled_samples_are_split_and_others_lose_theirs(empty: Dataset) -> None:
    add_groups(empty, singles(10))
    waiting = add_faces(empty, add_image(empty, "waiting"))[0]
    do_split(empty)
    assert splits(empty)[waiting] is None
    gone = next(key for key, split in splits(empty).items() if split)
    empty.journal.step("Reject", [Choice(gone, "reject")])
    plan = do_split(empty)
    sample = empty.samples.get(gone)
    assert sample is not None
    assert (sample.split, sample.moment) == (None, None)
    assert plan.moments == 9


def test_a_picture_that_ties_two_moments_brings_them_where_test_is(empty: Dataset) -> None:
    add_groups(empty, singles(20))
    do_split(empty)
    place = {s.split: s for s in empty.samples.by_key()}
    post = {image.sha256: image.origins[0].post for image in empty.images.each()}
    in_test, in_train = place["test"], place["train"]
    tying = add_image(
        empty, "tying", Origin("site", "x", post=post[in_test.image]),
        Origin("site", "y", post=post[in_train.image]),
    )  # fmt: skip
    (key,) = add_faces(empty, tying)
    label(empty, key, "hana")
    before = splits(empty)
    plan = do_split(empty)
    after = splits(empty)
    assert plan.tied == 1
    assert plan.result()["moved_because_tied"] == 1
    assert after[key] == after[in_test.key] == after[in_train.key] == "test"
    moved = {k for k in before if before[k] and before[k] != after[k]}
    assert moved == {in_train.key}


def test_members_of_a_moment_share_its_name(empty: Dataset) -> None:
    add_groups(empty, [Group("a", "hana", 3), Group("b", "hana", 2)])
    do_split(empty)
    names = defaultdict(set)
    post = {image.sha256: image.origins[0].post for image in empty.images.each()}
    for sample in empty.samples.by_key():
        names[post[sample.image]].add(sample.moment)
    assert [len(found) for found in names.values()] == [1, 1]
    assert len(set().union(*names.values())) == 2


def test_the_command_simulates_and_splits(empty: Dataset, labeler: Labeler) -> None:
    add_groups(empty, singles(10))
    before = plain(empty)
    simulated = labeler("split", "-s", "--json", "-d", empty.root)
    assert plain(empty) == before
    done = labeler("split", "--json", "-d", empty.root)
    assert json.loads(done.stdout) == json.loads(simulated.stdout)
    assert json.loads(done.stdout)["train"] == 8
    assert Counter(splits(empty).values()) == {"train": 8, "val": 1, "test": 1}
    assert labeler("split", "--ratio", "8:1", "-d", empty.root).returncode == 2


def test_one_ratio_in_two_spellings_is_one_split() -> None:
    assert lowest_terms("80:10:10") == lowest_terms("0.8:0.1:0.1") == "8:1:1"
    assert lowest_terms("1:0:0") == "1:0:0"
