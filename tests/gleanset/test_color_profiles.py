"""Images with ICC profiles: converted to sRGB where they differ, and never lost."""

from __future__ import annotations

import random
import struct

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms
from tools_for_tests import encode, examples

from gleanset.images.decode import decode
from gleanset.images.measure import measure

# Primaries adapted to D50, as in the ICC profiles of these color spaces: columns R, G, B.
ADOBE = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
GAMMA = 563 / 256
COLOUR = (180, 110, 70)


def profile(matrix: npt.NDArray[np.float64] = ADOBE, name: bytes = b"wide") -> bytes:
    """Return an ICC 2.1 profile: primaries, one gamma (ICC.1:1998-09, 6.3.1.2)."""
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + bytes(79)}
    tags[b"wtpt"] = _xyz(np.array([0.9642, 1.0, 0.8249]))
    for index, letter in enumerate(b"rgb"):
        tags[bytes([letter]) + b"XYZ"] = _xyz(matrix[:, index])
        tags[bytes([letter]) + b"TRC"] = b"curv" + bytes(4) + struct.pack(">IHxx", 1, 563)
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12x4s",
        start + len(body),
        b"lcms",
        0x02100000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        b"acsp",
    )
    return head.ljust(128, b"\0") + table + body


def _xyz(values: npt.NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def expected(colour: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Convert an Adobe RGB color to sRGB with the formulas of both."""
    linear = np.linalg.inv(SRGB) @ ADOBE @ (np.array(colour) / 255) ** GAMMA
    linear = np.clip(linear, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(curved * 255)


def encode_with(image: Image.Image, kind: str, icc: bytes | None) -> bytes:
    options = {"quality": 100} if kind == "JPEG" else {}
    return encode(image, kind, icc_profile=icc, **options)


def first(data: bytes) -> tuple[int, ...]:
    pixel = decode(data).pixels.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_wide_gamut_is_converted_to_srgb(kind: str) -> None:
    plain = Image.new("RGB", (16, 16), COLOUR)
    result = first(encode_with(plain, kind, profile()))
    assert np.abs(np.array(result) - expected(COLOUR)).max() <= 3
    # Without the profile the same values are another color, so the test can fail.
    assert np.abs(np.array(first(encode_with(plain, kind, None))) - expected(COLOUR)).max() > 10


def test_conversion_keeps_transparency_and_palettes() -> None:
    clear = Image.new("RGBA", (16, 16), (*COLOUR, 0))
    clear.paste((*COLOUR, 255), (0, 0, 8, 16))
    for picture in (clear, clear.quantize(4)):
        pixels = decode(encode_with(picture, "PNG", profile())).pixels
        assert np.abs(np.array(pixels.getpixel((0, 0))) - expected(COLOUR)).max() <= 3
        assert pixels.getpixel((15, 15)) == (255, 255, 255)


def test_srgb_and_invalid_profiles_are_ignored() -> None:
    plain = Image.new("RGB", (16, 16), COLOUR)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = profile().replace(b"RGB XYZ ", b"GRAYXYZ ")
    for icc in (srgb, b"x" * 300, profile()[:150], profile()[:-40], bytes(900_000), grey):
        assert first(encode_with(plain, "PNG", icc)) == COLOUR


def test_damaged_profile_does_not_reject_image() -> None:
    rng, intact = random.Random(0), profile()
    plain = Image.new("RGB", (16, 16), COLOUR)
    for _ in range(examples(40, 300)):
        damaged = bytearray(intact)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        assert decode(encode_with(plain, "TIFF", bytes(damaged))).pixels.size == (16, 16)


def test_measurements_ignore_profiles() -> None:
    plain = Image.new("RGB", (16, 16), COLOUR)
    with_, without = (encode_with(plain, "JPEG", icc) for icc in (profile(), None))
    assert measure(with_).phash == measure(without).phash
    assert measure(with_).sharpness == measure(without).sharpness
    assert "icc_profile" not in decode(with_).pixels.info
