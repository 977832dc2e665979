"""The memory passed to the animeface extension, read back as C does."""

import ctypes
import gc

import numpy as np
import pytest

from facecrop.detectors import Pixels
from facecrop.detectors.animeface_library import Pillow4Image, pillow4_image


def read_as_c(image: Pillow4Image) -> Pixels:
    """Read pixels through the row pointers."""
    rows = (ctypes.c_void_p * image.ysize).from_address(image.image32)
    read = [(ctypes.c_uint8 * (4 * image.xsize)).from_address(row) for row in rows if row]
    return np.array(read, np.uint8).reshape(image.ysize, image.xsize, 4)[:, :, :3]


@pytest.fixture
def pixels() -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (37, 53, 3), np.uint8)


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="sizes for 64 bits")
def test_layout_matches_published_extension() -> None:
    """From `ptype /o struct ImagingMemoryInstance` on the Linux wheel of animeface 2.0.3."""
    assert ctypes.sizeof(Pillow4Image) == 88
    offsets = {name: getattr(Pillow4Image, name).offset for name, _ in Pillow4Image._fields_}
    assert offsets == {
        "mode": 0,
        "type": 8,
        "depth": 12,
        "bands": 16,
        "xsize": 20,
        "ysize": 24,
        "palette": 32,
        "image8": 40,
        "image32": 48,
        "image": 56,
        "block": 64,
        "pixelsize": 72,
        "linesize": 76,
        "destroy": 80,
    }


def test_c_reads_same_pixels(pixels: Pixels) -> None:
    image = pillow4_image(pixels)
    assert (image.mode, image.xsize, image.ysize, image.linesize) == (b"RGB", 53, 37, 212)
    assert np.array_equal(read_as_c(image), pixels)


def test_object_points_to_structure(pixels: Pixels) -> None:
    image = pillow4_image(pixels)
    pointer = ctypes.c_void_p.from_address(id(image) + object.__basicsize__)
    assert pointer.value == ctypes.addressof(image)


def test_memory_outlives_source_array(pixels: Pixels) -> None:
    images = [pillow4_image(pixels.copy()) for _ in range(50)]
    gc.collect()
    assert all(np.array_equal(read_as_c(image), pixels) for image in images)
