"""Properties of splits of random datasets; grouping by origin and by perceptual hash."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest
from duplicate_images import drawing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labeler_makers import hash64
from PIL import Image, ImageFilter
from tools_for_tests import encode, examples

from curation.split_groups import find_split_groups
from gleanset.db.samples import GroupEvidence
from gleanset.errors import InputUnusable
from gleanset.images.measure import measure
from gleanset.settings import SplitSettings
from labeler.splits.allocate import PartTable, PlaceableGroup, allocate
from labeler.splits.plan import LeftOut, SplitPlan, fix_held_out, plan_groups
from labeler.splits.split_spec import SplitSpec

CLASSES = ("hana", "rei", "sora")


def tie(
    key: str,
    *,
    label: str | None = "hana",
    image: str = "",
    phash: int | None = None,
    **evidence: Any,
) -> GroupEvidence:
    """Make a sample that shares no group unless arguments say so."""
    look = hash64(key) if phash is None else phash
    place = hash64(image or f"image of {key}")
    nothing = dict.fromkeys(GroupEvidence._fields)
    fields = {
        "id": hash64(key),
        "key": key,
        "label": label,
        "image": place,
        "phash": look,
    }
    return GroupEvidence(**nothing | fields | {"source": "site"} | evidence)


def random_ties(
    random: Random, prefix: str = "a", most: int = 24
) -> list[GroupEvidence]:
    """Make samples with all kinds of ties, also across prefixes."""
    result = []
    for number in range(random.randint(1, most)):
        key = f"{prefix}{number:03}"
        copy = random.random() < 0.1
        evidence = {
            "label": None if copy else random.choice(CLASSES),
            "group": f"g{random.randrange(4)}"
            if copy or random.random() < 0.1
            else None,
            "post": f"p{random.randrange(30)}" if random.random() < 0.3 else None,
            "track": f"t{random.randrange(12)}" if random.random() < 0.2 else None,
            "image": f"i{random.randrange(60)}" if random.random() < 0.3 else "",
            "phash": random.choice([0b11, 0xFF, 0b1010]) << 8 * random.randrange(5)
            if random.random() < 0.1
            else None,
            "source": random.choice(("bing", "pixiv", "video")),
        }
        if random.random() < 0.3:
            evidence |= {
                "video": random.choice("vw"),
                "time": (time := random.randrange(200) / 4),
                "scene": int(time // 6.25),
            }
        origins = [tie(key, **evidence)]
        if random.random() < 0.1:
            origins.append(
                origins[0]._replace(post=f"p{random.randrange(30)}", source="bing")
            )
        result += origins
    return result


def tied(a: GroupEvidence, b: GroupEvidence) -> bool:
    """Return whether two rows alone put their samples into one group."""
    return (
        a.image == b.image
        or (a.group is not None and a.group == b.group)
        or (a.post is not None and a.post == b.post)
        or (a.track is not None and a.track == b.track)
        or (a.phash ^ b.phash).bit_count() <= 6
        or (a.video is not None and a.video == b.video and a.scene == b.scene)
    )


def components(ties: Iterable[GroupEvidence]) -> list[set[str]]:
    """Return the groups of labelled samples, found pair by pair."""
    rows = list(ties)
    of: dict[str, set[str]] = {row.key: {row.key} for row in rows}
    for number, a in enumerate(rows):
        for b in rows[:number]:
            if of[a.key] is not of[b.key] and tied(a, b):
                of[a.key] |= of[b.key]
                for key in of[b.key]:
                    of[key] = of[a.key]
    labelled = {row.key for row in rows if row.label}
    result = {id(group): group & labelled for group in of.values()}
    return [group for group in result.values() if group]


def applied(ties: Iterable[GroupEvidence], plan: SplitPlan) -> list[GroupEvidence]:
    """Return the rows as they are read after the plan was written."""
    return [
        row._replace(
            split_group=plan.splits.get(row.key, (None, None))[0],
            split=plan.splits.get(row.key, (None, None))[1],
            last_split=plan.splits.get(row.key, (None, None))[1] or row.last_split,
        )
        for row in ties
    ]


SEEDS = st.integers(0, 2**32)
WISHES = st.sampled_from(
    [
        SplitSettings(),
        SplitSettings("6:2:2", seed=3),
        SplitSettings("1:1:1"),
        SplitSettings("7:3:0"),
        SplitSettings(hold_out=("source=pixiv",)),
        SplitSettings(hold_out=("video=v",)),
        SplitSettings(test_per_class=3),
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
    groups = find_split_groups(sorted(ties, key=lambda t: t.key), {})
    if not groups:
        return None
    try:
        return plan_groups(
            groups, SplitSpec.from_settings(split_settings), keeps_splits=again
        )
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
    assert {key for key in labelled if plan.splits[key][1] is None} == set(
        plan.left_out
    )


@given(SEEDS, WISHES)
@many
def test_groups_are_never_divided(seed: int, split_settings: SplitSettings) -> None:
    ties = random_ties(Random(seed))
    plan = split(ties, split_settings)
    if plan is not None:
        check_plan(ties, plan)


@given(SEEDS, WISHES)
@settings(many, max_examples=examples(40, 300))
def test_split_is_independent_of_order(
    seed: int, split_settings: SplitSettings
) -> None:
    ties = random_ties(Random(seed))
    if (plan := split(ties, split_settings)) is None:
        return
    keys = sorted(
        {t.key for t in ties}, key=lambda key: Random(key + str(seed)).random()
    )
    mixed = [row for key in keys for row in ties if row.key == key]
    assert (
        plan_groups(
            find_split_groups(mixed, {}), SplitSpec.from_settings(split_settings)
        ).splits
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
        before = plan
        ties = [*applied(ties, plan), *random_ties(random, prefix, 12)]
        # The catalogue sorts by key, so additions come last.
        plan = split(ties, split_settings, again=True)
        check_plan(ties, plan)
        for key, (_, was) in before.splits.items():
            now = plan.splits[key][1]
            if was in ("val", "test"):
                assert (
                    now == was
                    or (was == "val" and plan.left_out[key] is LeftOut.TIED_TO_TEST)
                    or (
                        split_settings.hold_out
                        and plan.left_out.get(key) is LeftOut.TIED_TO_HELD_OUT
                    )
                ), key
            else:
                assert now in ("train", None) or split_settings.hold_out, (
                    key,
                    was,
                    now,
                )


@given(SEEDS, WISHES)
@settings(many, max_examples=examples(40, 300))
def test_split_is_idempotent(seed: int, split_settings: SplitSettings) -> None:
    random = Random(seed)
    ties = random_ties(random)
    if (plan := split(ties, split_settings)) is None:
        return
    ties = [*applied(ties, plan), *random_ties(random, "b", 12)]
    plan = split(ties, split_settings, again=True)
    repeated = split(applied(ties, plan), split_settings, again=True)
    assert (repeated.splits, repeated.left_out) == (plan.splits, plan.left_out)


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
        [
            PlaceableGroup(str(n), (("hana", size),), open_)
            for n, size in enumerate(sizes)
        ],
        table,
        0,
    )
    possible = [
        deviations(sizes, parts, want) for parts in product(open_, repeat=len(sizes))
    ]
    got = [abs(h - w) for h, w in zip(table.sizes["hana"], want, strict=True)]
    least_squares = min(sum(d**2 for d in distances) for distances in possible)
    assert sum(d**2 for d in got) <= least_squares + 4 + 1e-9
    assert max(got) <= min(map(max, possible)) + 1 + 1e-9


def deviations(
    sizes: list[int], parts: tuple[int, ...], want: list[float]
) -> list[float]:
    have = [0, 0, 0]
    for size, part in zip(sizes, parts, strict=True):
        have[part] += size
    return [abs(h - w) for h, w in zip(have, want, strict=True)]


def grouped_keys(
    *ties: GroupEvidence, verdicts: Mapping[tuple[int, int], bool] | None = None
) -> list[str]:
    """Return each group as the concatenated keys of its members."""
    groups = find_split_groups(ties, verdicts or {})
    return ["".join(m.key for m in group.members) for group in groups]


@pytest.mark.parametrize(
    ("ties", "expected"),
    [
        ((tie("a", image="x"), tie("b"), tie("c", image="x")), ["ac", "b"]),
        (
            (
                tie("a", post="pixiv:7"),
                tie("b", post="flickr:7"),
                tie("c", post="pixiv:7"),
            ),
            ["ac", "b"],
        ),
        (
            (
                tie("a", video="v", scene=1, time=0.0),
                tie("b", video="v", scene=1, time=90.0),
                tie("c", video="v", scene=2, time=100.0),
                tie("d", video="w", scene=1, time=0.0),
            ),
            ["ab", "c", "d"],
        ),
        (
            (
                tie("a", video="v", scene=1, time=5.0, track="t1"),
                tie("b", video="v", scene=2, time=9.0, track="t1"),
                tie("c", video="v", scene=3, time=15.0, track="t2"),
            ),
            ["ab", "c"],
        ),
        (
            (
                tie("a", post="site:1"),
                tie("a", post="site:2"),
                tie("b", post="site:1"),
                tie("c", post="site:2"),
            ),
            ["abc"],
        ),
        (
            (
                tie("a", image="x"),
                tie("b", image="x", phash=6),
                tie("c", phash=7, post="s:1"),
                tie("d", post="s:1"),
                tie("e"),
            ),
            ["abcd", "e"],
        ),
    ],
    ids=["image", "post", "scene", "track", "two places", "chain"],
)
def test_shared_origin_makes_group(
    ties: tuple[GroupEvidence, ...], expected: list[str]
) -> None:
    assert grouped_keys(*ties) == expected


@pytest.mark.parametrize(
    ("gap", "scene", "expected"),
    [
        (0.1, 2, ["a", "b"]),
        (0.99, 7, ["ab"]),
        (0.99, 10100, ["ab"]),
        (0.99, 0, ["ab"]),
        (0.0, 2, ["ab"]),
        (1.0, 0, ["a", "b"]),
    ],
)
def test_adjacent_frames_of_scene_are_grouped(
    gap: float, scene: int, expected: list[str]
) -> None:
    """Scene numbers of two samplings do not show whether there is a cut."""
    ties = (
        tie("a", video="v", scene=1, time=10.0),
        tie("b", video="v", scene=scene, time=10.0 + gap),
    )
    assert grouped_keys(*ties) == expected


def phash_of(image: Image.Image, kind: str = "PNG", **options: int) -> int:
    return measure(encode(image, kind, **options)).phash


def test_copies_of_drawings_are_grouped() -> None:
    ties = []
    for seed in range(6):
        image = drawing(seed)
        versions = {
            "original": phash_of(image),
            "jpeg": phash_of(image, "JPEG", quality=40),
            "webp": phash_of(image, "WEBP", quality=50),
            "small": phash_of(image.resize((120, 100))),
            "large": phash_of(image.resize((700, 583)), "JPEG"),
            "soft": phash_of(image.filter(ImageFilter.GaussianBlur(1.5))),
            "grey": phash_of(image.convert("L")),
        }
        ties += [tie(f"{seed}-{name}", phash=phash) for name, phash in versions.items()]
    assert [len(group.members) for group in find_split_groups(ties, {})] == [7] * 6


def test_duplicate_connects_its_scene() -> None:
    ties = (
        tie("a", group="g"),
        tie("b", label=None, group="g", video="v", scene=3, time=9.0),
        tie("c", video="v", scene=3, time=20.0),
        tie("d", video="v", scene=4, time=40.0),
    )
    assert grouped_keys(*ties) == ["ac", "d"]
    (first, _) = find_split_groups(ties, {})
    assert [copy.key for copy in first.copies] == ["b"]


def test_verdicts_override_hashes() -> None:
    """`same` connects different hashes, `not the same` separates similar ones."""
    a = tie("a", phash=6)
    b = tie("b", phash=7)
    c = tie("c")
    assert grouped_keys(a, b, c) == ["ab", "c"]
    pair = (min(a.id, b.id), max(a.id, b.id))
    other = (min(a.id, c.id), max(a.id, c.id))
    assert grouped_keys(a, b, c, verdicts={pair: False}) == ["a", "b", "c"]
    assert grouped_keys(a, b, c, verdicts={other: True}) == ["abc"]
    assert grouped_keys(
        a, b, c, verdicts={other: True, pair: False, (-1, -2): True}
    ) == ["ac", "b"]
    same_post = [a._replace(post="s:1"), b._replace(post="s:1"), c]
    assert grouped_keys(*same_post, verdicts={pair: False}) == ["ab", "c"]


def test_many_equal_hashes_make_one_group() -> None:
    """Equal hashes must not cause a quadratic number of pairs."""
    ties = [tie(f"{number:05}", phash=6 + number % 2) for number in range(20_000)]
    (group,) = find_split_groups(ties, {})
    assert len(group.members) == 20_000


def test_real_faces_do_not_chain(shared_data: Path) -> None:
    """Chaining must not join a whole class: largest group 2 at distance 6, 4 at 12."""
    files = sorted(shared_data.glob("characters/*/*.jpg"))
    ties = [tie(str(file), phash=measure(file.read_bytes()).phash) for file in files]
    sizes = Counter(len(group.members) for group in find_split_groups(ties, {}))
    assert max(sizes) <= 3
    assert sizes[1] > 0.9 * len(files)
