"""Tests of converting boxes of other tools to pixels."""

from __future__ import annotations

import numpy as np
import pytest
from labelled_images import encoded
from PIL import Image

from gleanset.errors import Unreadable
from gleanset.images.decode import DecodedImage, decode
from gleanset.records import Box
from labeler.importing.job import convert_box
from labeler.importing.labelled import FRACTIONS

STORED = (100, 20, 40, 60)


def turned(orientation: int, size: tuple[int, int] = (200, 160)) -> DecodedImage:
    """Return a dark image with a red rectangle at STORED, before EXIF turns it."""
    image = Image.new("RGB", (200, 160), (20, 20, 20))
    x, y, width, height = STORED
    image.paste((250, 30, 30), (x, y, x + width, y + height))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return decode(encoded(image.resize(size), exif=exif, quality=95))


def red_share(image: DecodedImage, box: Box) -> float:
    part = image.pixels.crop((box.x, box.y, box.x + box.width, box.y + box.height))
    colours = np.asarray(part).astype(int)
    red = (colours[..., 0] > 150) & (colours[..., 1] < 90)
    return float(red.mean())


@pytest.mark.parametrize("size", [(200, 160), (100, 80), (67, 54), (400, 320)])
@pytest.mark.parametrize("orientation", [1, 5, 6, 7, 8])
def test_box_follows_exif_and_scaling(orientation: int, size: tuple[int, int]) -> None:
    image = turned(orientation, size)
    box = convert_box(STORED, (200, 160), image)
    assert red_share(image, box) > 0.85
    assert box.width * box.height == pytest.approx(2400 * (size[0] / 200) ** 2, rel=0.1)


def test_box_of_upright_image_is_unchanged() -> None:
    """As annotation tools that turn images write it."""
    image = turned(6)
    assert convert_box((10, 20, 30, 40), (160, 200), image) == Box(10, 20, 30, 40)
    assert convert_box((5, 10, 15, 20), (80, 100), image) == Box(10, 20, 30, 40)
    assert convert_box((0.25, 0.1, 0.5, 0.2), FRACTIONS, image) == Box(40, 20, 80, 40)
    assert convert_box((10.4, 20, 30, 40), None, image) == Box(10, 20, 30, 40)


@pytest.mark.parametrize("frame", [(200, 200), (160, 90), (1000, 100)])
def test_other_aspect_ratio_raises_error(frame: tuple[float, float]) -> None:
    with pytest.raises(Unreadable, match="another size than annotated"):
        convert_box((1, 1, 9, 9), frame, turned(1))


def test_box_outside_image_raises_error() -> None:
    with pytest.raises(Unreadable, match="box outside"):
        convert_box((300, 300, 9, 9), (200, 160), turned(1))
