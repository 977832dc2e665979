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

from gleanset.db.samples import Tie
from gleanset.images.measure import measure
from labeler import moments
from labeler.moments import LOOK_ALIKE, find_moments, look_alikes

DATA = Path(__file__).parents[3] / "shared" / "data"
HASHES = st.integers(0, 2**64 - 1)


def tie(
    key: str, *, image: str = "", phash: int | None = None, video: str | None = None,
    scene: int | None = None, time: float | None = None, post: str | None = None,
) -> Tie:  # fmt: skip
    look = hash64(key) if phash is None else phash
    return Tie(key, "hana", None, image or f"image of {key}", look, video, scene, time, post)


def together(*ties: Tie) -> list[str]:
    """The moments as strings of the keys of their members."""
    return ["".join(m.key for m in moment.members) for moment in find_moments(ties)]


def test_strangers_stay_apart_and_order_does_not_matter() -> None:
    ties = [tie("c"), tie("a"), tie("b")]
    assert together(*ties) == together(*reversed(ties)) == ["a", "b", "c"]


def test_faces_of_one_image() -> None:
    assert together(tie("a", image="x"), tie("b"), tie("c", image="x")) == ["ac", "b"]


def test_one_post_of_one_site() -> None:
    ties = (tie("a", post="pixiv:7"), tie("b", post="flickr:7"), tie("c", post="pixiv:7"))
    assert together(*ties) == ["ac", "b"]


def test_one_scene_of_one_video() -> None:
    ties = (
        tie("a", video="v", scene=1, time=0.0), tie("b", video="v", scene=1, time=90.0),
        tie("c", video="v", scene=2, time=100.0), tie("d", video="w", scene=1, time=0.0),
    )  # fmt: skip
    assert together(*ties) == ["ab", "c", "d"]


@pytest.mark.parametrize(("gap", "expected"), [(0.99, ["ab"]), (1.0, ["a", "b"])])
def test_neighbouring_frames_across_a_cut(gap: float, expected: list[str]) -> None:
    ties = (
        tie("a", video="v", scene=1, time=10.0), tie("b", video="v", scene=2, time=10.0 + gap),
    )  # fmt: skip
    assert together(*ties) == expected


def test_frames_of_two_videos_are_no_neighbours() -> None:
    ties = (tie("a", video="v", scene=1, time=5.0), tie("b", video="w", scene=1, time=5.0))
    assert together(*ties) == ["a", "b"]


def test_an_image_found_in_two_places_ties_both() -> None:
    ties = (
        tie("a", post="site:1"), tie("a", post="site:2"), tie("b", post="site:1"),
        tie("c", post="site:2"),
    )  # fmt: skip
    assert together(*ties) == ["abc"]


def test_ties_are_chained_across_kinds() -> None:
    ties = (
        tie("a", image="x"), tie("b", image="x", phash=0), tie("c", phash=1, post="s:1"),
        tie("d", post="s:1"), tie("e"),
    )  # fmt: skip
    assert together(*ties) == ["abcd", "e"]


@pytest.mark.parametrize(("bits", "expected"), [(LOOK_ALIKE, ["ab"]), (LOOK_ALIKE + 1, ["a", "b"])])
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
    assert [len(moment.members) for moment in find_moments(ties)] == [7] * 6


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
    found = list(look_alikes(np.array(values, dtype=np.uint64), distance))
    assert len(found) == len(set(found))
    assert set(found) == brute_force(values, distance)


def test_look_alikes_across_the_borders_of_blocks() -> None:
    block = moments._BLOCK
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, 2 * block + 50, dtype=np.uint64)
    pairs = {
        (7, 9), (0, block), (block - 1, block + 1), (block + 5, 2 * block), (3, 2 * block + 1),
    }  # fmt: skip
    for i, j in pairs:
        hashes[j] = hashes[i] ^ np.uint64(0b1011)
    assert set(look_alikes(hashes, LOOK_ALIKE)) == pairs


def need(folder: str) -> Path:
    if not (DATA / folder).is_dir():
        pytest.skip(f"needs the shared pictures, which are not at {DATA / folder}")
    return DATA / folder


def test_real_near_duplicates_are_tied_and_no_others() -> None:
    folder = need("neardup")
    told = json.loads((folder / "neardup.json").read_text())["groups"]
    wanted = [group for group in told if group["expect"] == "duplicate"]
    ties = [
        tie(f"{group['id']}/{file}", phash=measure((folder / file).read_bytes()).phash)
        for group in wanted
        for file in group["files"]
    ]
    found = [{m.key.split("/")[0] for m in moment.members} for moment in find_moments(ties)]
    assert all(len(groups) == 1 for groups in found)
    assert len(found) == len(wanted)


def test_real_faces_make_no_giant_moment() -> None:
    """Chaining must not tie a whole class together: measured 2 at distance 6, 4 at 12."""
    folder = need("characters")
    files = sorted(folder.glob("*/*.jpg"))
    ties = [tie(str(file), phash=measure(file.read_bytes()).phash) for file in files]
    sizes = Counter(len(moment.members) for moment in find_moments(ties))
    assert max(sizes) <= 3
    assert sizes[1] > 0.9 * len(files)
