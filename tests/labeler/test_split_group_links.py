"""What must not straddle a split is found: by where pictures come from and by their looks."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labeler_makers import hash64
from PIL import Image, ImageDraw, ImageFilter
from tie_makers import tie

from curation.split_groups import MAX_SIMILAR_BITS, find_similar_pairs, find_split_groups
from gleanset.db.samples import GroupEvidence
from gleanset.images.measure import measure

DATA = Path(__file__).parents[3] / "shared" / "data"
HASHES = st.integers(0, 2**64 - 1)


def together(*ties: GroupEvidence) -> list[str]:
    """The groups as strings of the keys of their members."""
    return ["".join(m.key for m in group.members) for group in find_split_groups(ties)]


def test_strangers_stay_apart_and_order_does_not_matter() -> None:
    ties = [tie("c"), tie("a"), tie("b")]
    assert together(*ties) == together(*reversed(ties)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("ties", "expected"),
    [
        ((tie("a", image="x"), tie("b"), tie("c", image="x")), ["ac", "b"]),
        (
            (tie("a", post="pixiv:7"), tie("b", post="flickr:7"), tie("c", post="pixiv:7")),
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
def test_what_is_of_one_origin_is_one_group(
    ties: tuple[GroupEvidence, ...], expected: list[str]
) -> None:
    assert together(*ties) == expected


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
def test_neighbouring_frames_but_for_a_cut(gap: float, scene: int, expected: list[str]) -> None:
    """Scenes of another sampling have other numbers: nothing is known of a cut between them."""
    ties = (
        tie("a", video="v", scene=1, time=10.0),
        tie("b", video="v", scene=scene, time=10.0 + gap),
    )
    assert together(*ties) == expected


@pytest.mark.parametrize(
    ("bits", "expected"), [(MAX_SIMILAR_BITS, ["ab"]), (MAX_SIMILAR_BITS + 1, ["a", "b"])]
)
def test_looks_are_compared_bit_by_bit(bits: int, expected: list[str]) -> None:
    other = hash64("a") ^ ((1 << 64) - (1 << (64 - bits)))
    assert together(tie("a"), tie("b", phash=other)) == expected


def drawing(seed: int) -> Image.Image:
    """A picture with large and small shapes, different for every seed."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", (240, 200), tuple(int(c) for c in random.integers(0, 256, 3)))
    pen = ImageDraw.Draw(picture)
    for _ in range(14):
        left, top, width, height = (int(n) for n in random.integers(0, 160, 4))
        colour = tuple(int(c) for c in random.integers(0, 256, 3))
        pen.ellipse((left, top, left + width + 10, top + height + 10), fill=colour)
    return picture


def looks(picture: Image.Image, kind: str = "PNG", **options: int) -> int:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return measure(buffer.getvalue()).phash


def test_real_copies_are_tied_and_different_pictures_are_not() -> None:
    ties = []
    for seed in range(6):
        picture = drawing(seed)
        versions = {
            "original": looks(picture),
            "jpeg": looks(picture, "JPEG", quality=40),
            "webp": looks(picture, "WEBP", quality=50),
            "small": looks(picture.resize((120, 100))),
            "large": looks(picture.resize((700, 583)), "JPEG"),
            "soft": looks(picture.filter(ImageFilter.GaussianBlur(1.5))),
            "grey": looks(picture.convert("L")),
        }
        ties += [tie(f"{seed}-{name}", phash=look) for name, look in versions.items()]
    assert [len(group.members) for group in find_split_groups(ties)] == [7] * 6


def brute_force(hashes: list[int], distance: int) -> set[tuple[int, int]]:
    return {
        (i, j)
        for j in range(len(hashes))
        for i in range(j)
        if (hashes[i] ^ hashes[j]).bit_count() <= distance
    }


@given(
    st.lists(st.one_of(HASHES, st.integers(0, 63).map(lambda bit: 1 << bit)), max_size=40),
    st.integers(0, 64),
)
@settings(max_examples=80, deadline=None)
def test_look_alikes_are_those_of_brute_force(values: list[int], distance: int) -> None:
    """Every pair of distinct hashes, and each repeated hash with its first place."""
    first = {value: values.index(value) for value in values}
    stars = {(first[value], place) for place, value in enumerate(values) if first[value] != place}
    distinct = {
        (a, b)
        for a, b in brute_force(values, distance)
        if a in first.values() and b in first.values() and values[a] != values[b]
    }
    result = list(find_similar_pairs(np.array(values, dtype=np.uint64), distance))
    assert len(result) == len(set(result))
    assert set(result) == stars | distinct


def test_a_copy_that_was_set_aside_ties_what_was_found_beside_it() -> None:
    ties = (
        tie("a", group="g"),
        tie("b", label=None, group="g", video="v", scene=3, time=9.0),
        tie("c", video="v", scene=3, time=20.0),
        tie("d", video="v", scene=4, time=40.0),
    )
    assert together(*ties) == ["ac", "d"]
    (first, _) = find_split_groups(ties)
    assert [copy.key for copy in first.copies] == ["b"]


def test_what_is_known_of_a_pair_counts() -> None:
    """The same: tied, however they look. Not the same, says a person: looks tie no more."""
    a, b, c = tie("a", phash=6), tie("b", phash=7), tie("c")
    assert together(a, b, c) == ["ab", "c"]
    pair = (min(a.id, b.id), max(a.id, b.id))
    other = (min(a.id, c.id), max(a.id, c.id))
    assert _known([a, b, c], {pair: False}) == ["a", "b", "c"]
    assert _known([a, b, c], {other: True}) == ["abc"]
    assert _known([a, b, c], {other: True, pair: False, (-1, -2): True}) == ["ac", "b"]
    same_post = [a._replace(post="s:1"), b._replace(post="s:1"), c]
    assert _known(same_post, {pair: False}) == ["ab", "c"]


def _known(ties: list[GroupEvidence], known: dict[tuple[int, int], bool]) -> list[str]:
    return ["".join(m.key for m in group.members) for group in find_split_groups(ties, known)]


def test_many_samples_of_one_look_are_one_group_quickly() -> None:
    """A blob of equal hashes: a star, and no square of pairs."""
    ties = [tie(f"{number:05}", phash=6 + number % 2) for number in range(20_000)]
    (group,) = find_split_groups(ties)
    assert len(group.members) == 20_000


def need(folder: str) -> Path:
    if not (DATA / folder).is_dir():
        pytest.skip(f"needs the shared pictures, which are not at {DATA / folder}")
    return DATA / folder


def test_real_near_duplicates_are_tied_and_no_others() -> None:
    folder = need("neardup")
    result = json.loads((folder / "neardup.json").read_text())["groups"]
    wanted = [group for group in result if group["expect"] == "duplicate"]
    ties = [
        tie(f"{group['id']}/{file}", phash=measure((folder / file).read_bytes()).phash)
        for group in wanted
        for file in group["files"]
    ]
    results = [{m.key.split("/")[0] for m in group.members} for group in find_split_groups(ties)]
    assert all(len(groups) == 1 for groups in results)
    assert len(results) == len(wanted)


def test_real_faces_make_no_giant_group() -> None:
    """Chaining must not tie a whole class together: measured 2 at distance 6, 4 at 12."""
    folder = need("characters")
    files = sorted(folder.glob("*/*.jpg"))
    ties = [tie(str(file), phash=measure(file.read_bytes()).phash) for file in files]
    sizes = Counter(len(group.members) for group in find_split_groups(ties))
    assert max(sizes) <= 3
    assert sizes[1] > 0.9 * len(files)
