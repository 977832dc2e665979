"""Crop regions at every border and angle, and their pixels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gleanset.images.cropping import (
    compute_region,
    crop_region,
    estimate_tilt,
    expand_box_within,
)
from gleanset.records import Box, Face, Landmark, Region
from gleanset.settings import CropGeometry

SIZE = (200, 120)
WHOLE = Box(0, 0, *SIZE)


def gradient() -> np.ndarray:
    """Return an image whose pixels encode their position."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    return np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8)


def face(box: Box, angle: float = 0.0) -> Face:
    """Return a face with eyes rotated clockwise by `angle` degrees about its center."""
    x, y = box.x + box.width / 2, box.y + box.height / 2
    across = math.cos(math.radians(angle)) * box.width / 4
    down = math.sin(math.radians(angle)) * box.width / 4
    eyes = (
        Landmark("left_eye", x + across, y + down),
        Landmark("right_eye", x - across, y - down),
    )
    return Face("test", box, 1.0, eyes)


def place(box: Box, geometries: CropGeometry, angle: float = 0.0) -> Region:
    return compute_region(face(box, angle), geometries, *SIZE)


geometries = st.builds(
    CropGeometry,
    margin=st.floats(0, 3),
    square=st.booleans(),
    pad=st.booleans(),
    level=st.booleans(),
    min_size=st.integers(0, 500),
)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x, y = draw(st.integers(0, SIZE[0] - 1)), draw(st.integers(0, SIZE[1] - 1))
    return Box(
        x, y, draw(st.integers(1, SIZE[0] - x)), draw(st.integers(1, SIZE[1] - y))
    )


@given(geometry=geometries, box=boxes(), angle=st.floats(-90, 90))
def test_crop_has_region_size_and_face_center(
    geometry: CropGeometry, box: Box, angle: float
) -> None:
    result, turned = place(box, geometry, angle)
    part = crop_region(gradient(), result, turned)
    assert part.size == (result.width, result.height)
    assert not geometry.square or result.width == result.height
    if not geometry.level:
        assert turned == 0
        assert result.x <= box.x
        assert result.y <= box.y
        assert result.x + result.width >= box.x + box.width
        assert result.y + result.height >= box.y + box.height
        x, y = box.x + box.width // 2, box.y + box.height // 2
        assert part.getpixel((x - result.x, y - result.y))[:2] == (x, y)
    if not (geometry.pad or geometry.square or geometry.level):
        assert result == expand_box_within(
            box, 0 if box == WHOLE else geometry.margin, *SIZE
        )


@given(geometry=geometries)
def test_geometry_text_round_trips(geometry: CropGeometry) -> None:
    rounded = CropGeometry.parse(str(geometry))
    assert str(rounded) == str(geometry)
    assert rounded.margin == pytest.approx(geometry.margin, rel=1e-5)


def test_square_crops_stay_inside_image() -> None:
    square = CropGeometry(0.5, square=True)
    assert place(Box(90, 50, 20, 10), square).box == Box(80, 35, 40, 40)
    assert place(Box(0, 0, 20, 10), square).box == Box(0, 0, 40, 40), "moved inside"
    assert place(Box(180, 110, 20, 10), square).box == Box(160, 80, 40, 40)
    assert place(Box(60, 20, 80, 80), square).box == Box(40, 0, 120, 120), (
        "as large as the image allows"
    )
    assert place(Box(20, 20, 150, 80), square).box == Box(20, -15, 150, 150), (
        "at least as large as the face"
    )


def test_padding_repeats_border() -> None:
    box = place(Box(0, 0, 40, 40), CropGeometry(0.25, pad=True)).box
    assert box == Box(-10, -10, 60, 60)
    part = np.asarray(crop_region(gradient(), box))
    assert np.array_equal(part[10:, 10:], gradient()[:50, :50])
    assert np.array_equal(part[:10, 10:], np.repeat(gradient()[:1, :50], 10, axis=0))
    assert np.array_equal(part[10:, :10], np.repeat(gradient()[:50, :1], 10, axis=1))
    clamped = place(Box(0, 0, 40, 40), CropGeometry(0.25)).box
    assert clamped == Box(0, 0, 50, 50)


def test_huge_padded_crop_is_clamped() -> None:
    huge = Face("test", Box(10, 10, 9000, 9000), 1.0)
    result = compute_region(huge, CropGeometry(3.0, pad=True), 10_000, 9_500)
    assert result.box == Box(0, 0, 10_000, 9_500)


@pytest.mark.parametrize(
    ("angle", "expected"),
    [(0, 0), (4, 0), (-4, 0), (12, 12), (-30, -30), (45, 45), (60, 0), (-100, 0)],
)
def test_small_tilt_is_ignored(angle: float, expected: float) -> None:
    assert estimate_tilt(face(Box(50, 20, 80, 80), angle)) == pytest.approx(
        expected, abs=0.05
    )


def test_face_without_eyes_has_no_tilt() -> None:
    nose = (Landmark("nose", 5, 5), Landmark("left_eye", 7, 3))
    assert estimate_tilt(Face("test", Box(0, 0, 10, 10), 1.0, nose)) == 0


def picture_with(angle: float) -> tuple[Image.Image, Face]:
    """Draw a patch of four colors, rotated clockwise about its center, as a face."""
    box = Box(90, 60, 80, 80)
    patch = Image.new("RGB", (80, 80), "white")
    for x, y, colour in (
        (8, 8, "red"),
        (44, 8, "green"),
        (8, 44, "blue"),
        (44, 44, "black"),
    ):
        patch.paste(colour, (x, y, x + 28, y + 28))
    canvas = Image.new("RGB", (260, 200), (128, 150, 170))
    canvas.paste(patch, (box.x, box.y))
    centre = (box.x + 40, box.y + 40)
    turned = canvas.rotate(
        -angle, Image.Resampling.BICUBIC, center=centre, fillcolor=(128, 150, 170)
    )
    return turned, face(box, angle)


@pytest.mark.parametrize("angle", [-40, -15, 0, 8, 30])
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.0], ids=lambda m: f"margin {m}")
def test_levelled_crop_matches_upright_face(angle: float, margin: float) -> None:
    """Also where the margin is clamped on one side and the face is off center."""
    geometry = CropGeometry(margin, level=True)
    upright, plain = picture_with(0)
    expected = np.asarray(
        crop_region(upright, *compute_region(plain, geometry, *upright.size))
    ).astype(int)
    tilted, result = picture_with(angle)
    place = compute_region(result, geometry, *tilted.size)
    assert place.angle == angle
    levelled = np.asarray(crop_region(tilted, *place)).astype(int)
    assert levelled.shape == expected.shape
    off = np.abs(levelled - expected).mean()
    assert off < 6
    if angle:
        plainly = np.asarray(
            crop_region(
                tilted, *compute_region(result, CropGeometry(margin), *tilted.size)
            )
        )
        assert np.abs(plainly.astype(int) - expected).mean() > 3 * off
