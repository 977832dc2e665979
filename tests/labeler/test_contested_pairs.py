"""Tests that images sharing only a part are asked about, not joined."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import pytest
from duplicate_images import add_picture, drawing, encoded
from PIL import Image, ImageDraw
from test_verification import cel

from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from labeler.duplicates.decisions import judge
from labeler.duplicates.finder import DuplicateFinder
from labeler.duplicates.hashes import prepare_image
from labeler.duplicates.plan import DuplicatePlan
from labeler.duplicates.verification import compare_images


def captioned(text: str) -> Image.Image:
    """Return a template below a caption."""
    image = Image.new("RGB", (320, 310), "white")
    image.paste(drawing(5), (0, 50))
    ImageDraw.Draw(image).text((10, 10), text, "black", font_size=26)
    return image


def join(left: Image.Image, right: Image.Image) -> Image.Image:
    collage = Image.new("RGB", (left.width + right.width, left.height))
    collage.paste(left, (0, 0))
    collage.paste(right, (left.width, 0))
    return collage


def upper_part(face: Image.Image) -> Image.Image:
    return face.crop((0, 0, face.width, round(face.height * 0.62)))


CAPTIONED = {
    "blank": drawing(5),
    "one": captioned("NOBODY EXPECTED"),
    "two": captioned("MONDAY AGAIN"),
    "two again": captioned("MONDAY AGAIN").resize((240, 232)),
}
FACES = {
    "smile": cel(),
    "open": cel(mouth="open"),
    "eyes": upper_part(cel()),
    "smaller": cel().resize((74, 74)),
}
COLLAGES = {
    "left": drawing(1),
    "one": join(drawing(1), drawing(2)),
    "two": join(drawing(1), drawing(3)),
}


@pytest.mark.parametrize(
    ("images", "sets", "contested"),
    [
        (CAPTIONED, {("two", "two again")}, {("blank", "one"), ("blank", "two")}),
        (FACES, {("smaller", "smile")}, {("eyes", "smile"), ("eyes", "open")}),
        (COLLAGES, set(), {("left", "one"), ("left", "two")}),
    ],
    ids=["captions", "mouths", "collages"],
)
def test_images_sharing_a_part_are_contested(
    dataset: Dataset,
    images: Mapping[str, Image.Image],
    sets: set[tuple[str, ...]],
    contested: set[tuple[str, ...]],
) -> None:
    keys = {add_picture(dataset, name, encoded(image, 92)): name for name, image in images.items()}
    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    plan = finder.plan()
    assert (named(plan, keys), plan.missing) == ((sets, contested), set())
    pairs = Pairs(dataset.db)
    for doubt in plan.doubts:
        a, b = sorted(member.id for member in doubt.members)
        assert doubt.contested
        assert pairs.get_comparison(a, b) is not None
    for group in plan.sets:
        for pair in combinations([images[keys[member.key]] for member in group.members], 2):
            assert compare_images(*map(prepare_image, pair)).same
    assert finder.search() == (0, 0, 0, 0)


def named(plan: DuplicatePlan, keys: Mapping[str, str]) -> tuple[set[tuple[str, ...]], ...]:
    """Return sets and contested pairs by the names of their members."""
    return tuple(
        {tuple(sorted(keys[member.key] for member in group.members)) for group in groups}
        for groups in (plan.sets, plan.doubts)
    )


def test_human_verdict_settles_contested_pair(dataset: Dataset) -> None:
    names = {
        add_picture(dataset, name, encoded(image, 92)): name for name, image in COLLAGES.items()
    }
    keys = {name: key for key, name in names.items()}
    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    judge(dataset, keys["left"], keys["one"], same=True)
    finder.search()
    assert named(finder.plan(), names) == ({("left", "one")}, {("left", "two")})
    judge(dataset, keys["left"], keys["two"], same=False)
    assert named(finder.plan(), names) == ({("left", "one")}, set())
