"""Grouping samples by origin and by perceptual hash."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from tie_makers import tie

from curation.split_groups import find_split_groups
from gleanset.db.samples import GroupEvidence
from gleanset.images.measure import measure

DATA = Path(__file__).parents[3] / "shared" / "data"


def grouped_keys(*ties: GroupEvidence) -> list[str]:
    """Return each group as the concatenated keys of its members."""
    return ["".join(m.key for m in group.members) for group in find_split_groups(ties)]


def test_unrelated_samples_are_separate_groups() -> None:
    ties = [tie("c"), tie("a"), tie("b")]
    assert grouped_keys(*ties) == grouped_keys(*reversed(ties)) == ["a", "b", "c"]


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
def test_shared_origin_makes_group(ties: tuple[GroupEvidence, ...], expected: list[str]) -> None:
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
def test_adjacent_frames_of_scene_are_grouped(gap: float, scene: int, expected: list[str]) -> None:
    """Scene numbers of two samplings do not show whether there is a cut."""
    ties = (
        tie("a", video="v", scene=1, time=10.0),
        tie("b", video="v", scene=scene, time=10.0 + gap),
    )
    assert grouped_keys(*ties) == expected


def drawing(seed: int) -> Image.Image:
    """Draw large and small shapes, different for every seed."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (240, 200), tuple(int(c) for c in random.integers(0, 256, 3)))
    pen = ImageDraw.Draw(image)
    for _ in range(14):
        left, top, width, height = (int(n) for n in random.integers(0, 160, 4))
        colour = tuple(int(c) for c in random.integers(0, 256, 3))
        pen.ellipse((left, top, left + width + 10, top + height + 10), fill=colour)
    return image


def phash_of(image: Image.Image, kind: str = "PNG", **options: int) -> int:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return measure(buffer.getvalue()).phash


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
    assert [len(group.members) for group in find_split_groups(ties)] == [7] * 6


def test_duplicate_connects_its_scene() -> None:
    ties = (
        tie("a", group="g"),
        tie("b", label=None, group="g", video="v", scene=3, time=9.0),
        tie("c", video="v", scene=3, time=20.0),
        tie("d", video="v", scene=4, time=40.0),
    )
    assert grouped_keys(*ties) == ["ac", "d"]
    (first, _) = find_split_groups(ties)
    assert [copy.key for copy in first.copies] == ["b"]


def test_verdicts_override_hashes() -> None:
    """`same` connects different hashes, `not the same` separates similar ones."""
    a, b, c = tie("a", phash=6), tie("b", phash=7), tie("c")
    assert grouped_keys(a, b, c) == ["ab", "c"]
    pair = (min(a.id, b.id), max(a.id, b.id))
    other = (min(a.id, c.id), max(a.id, c.id))
    assert group_with_verdicts([a, b, c], {pair: False}) == ["a", "b", "c"]
    assert group_with_verdicts([a, b, c], {other: True}) == ["abc"]
    assert group_with_verdicts([a, b, c], {other: True, pair: False, (-1, -2): True}) == ["ac", "b"]
    same_post = [a._replace(post="s:1"), b._replace(post="s:1"), c]
    assert group_with_verdicts(same_post, {pair: False}) == ["ab", "c"]


def group_with_verdicts(
    ties: list[GroupEvidence], verdicts: dict[tuple[int, int], bool]
) -> list[str]:
    return ["".join(m.key for m in group.members) for group in find_split_groups(ties, verdicts)]


def test_many_equal_hashes_make_one_group() -> None:
    """Equal hashes must not cause a quadratic number of pairs."""
    ties = [tie(f"{number:05}", phash=6 + number % 2) for number in range(20_000)]
    (group,) = find_split_groups(ties)
    assert len(group.members) == 20_000


def shared_folder(folder: str) -> Path:
    if not (DATA / folder).is_dir():
        pytest.skip(f"needs the shared images, which are not at {DATA / folder}")
    return DATA / folder


def test_real_near_duplicates_are_grouped() -> None:
    folder = shared_folder("neardup")
    sets = json.loads((folder / "neardup.json").read_text())["groups"]
    duplicates = [group for group in sets if group["expect"] == "duplicate"]
    ties = [
        tie(f"{group['id']}/{file}", phash=measure((folder / file).read_bytes()).phash)
        for group in duplicates
        for file in group["files"]
    ]
    found_ids = [{m.key.split("/")[0] for m in group.members} for group in find_split_groups(ties)]
    assert all(len(groups) == 1 for groups in found_ids)
    assert len(found_ids) == len(duplicates)


def test_real_faces_do_not_chain() -> None:
    """Chaining must not join a whole class: largest group 2 at distance 6, 4 at 12."""
    folder = shared_folder("characters")
    files = sorted(folder.glob("*/*.jpg"))
    ties = [tie(str(file), phash=measure(file.read_bytes()).phash) for file in files]
    sizes = Counter(len(group.members) for group in find_split_groups(ties))
    assert max(sizes) <= 3
    assert sizes[1] > 0.9 * len(files)
