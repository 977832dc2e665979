"""Decoding of arbitrary bytes: upright sRGB pixels or an `Unreadable`, and nothing else."""

import json
import random
import re
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile
from tools_for_tests import encode, examples, exif_orientation, picture, pixels

from gleanset.arrays import Float64Array
from gleanset.errors import Unreadable
from gleanset.images import decode as decoding
from gleanset.images.decode import DecodedImage, decode
from gleanset.images.measure import WORKING_SIZE, compute_phash_and_sharpness, measure

# Pillow's warnings about odd files are not failures; pytest would turn them on again.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

REASONS = {
    "empty",
    "too large",
    "truncated",
    "damaged",
    "not an image",
    "unsupported format",
}


def refused(data: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        decode(data)
    assert caught.value.reason in REASONS
    assert not re.search(r"Error|^b'", caught.value.detail), "it is for people"
    return caught.value


def array(picture: DecodedImage | Image.Image) -> np.ndarray[Any, Any]:
    image = picture.pixels if isinstance(picture, DecodedImage) else picture
    return np.asarray(image, dtype=int)


def close(
    a: DecodedImage | Image.Image, b: DecodedImage | Image.Image, tolerance: float = 3
) -> bool:
    first = array(a)
    second = array(b)
    return (
        first.shape == second.shape
        and float(np.abs(first - second).mean()) <= tolerance
    )


# The manifest describes Pillow's behaviour. All pixels of these are there: only an end marker is
# missing, or a profile or text is broken or too long.
WHOLE = (
    "truncated_jpeg.jpg",
    "unknown_compression_method.png",
    "png_decompression_dos.png",
)


def test_hostile_files_match_manifest(shared_data: Path) -> None:
    folder = shared_data / "hostile"
    wrong: list[str] = []
    for row in json.loads((folder / "hostile.json").read_text()):
        start = time.monotonic()
        try:
            measured = measure((folder / row["file"]).read_bytes())
            assert measured.width > 0
            ended = "accept"
        except Unreadable as error:
            ended = "reject" if error.reason in REASONS else error.reason
        expected = "accept" if row["file"] in WHOLE else row["expect"]
        if expected not in ("either", ended):
            wrong.append(f"{row['file']}: {ended}")
        assert time.monotonic() - start < 60, row["file"]
    assert wrong == []


def test_adobe_cmyk_is_not_inverted(shared_data: Path) -> None:
    values = array(
        decode((shared_data / "hostile" / "pil_sample_cmyk.jpg").read_bytes())
    )
    # The sample has a red corner on black.
    assert values[0, 0, 0] > 200
    assert values[0, 0, 1:].max() < 60
    assert values[-1, -1].max() < 30


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_format_is_detected_from_content(kind: str) -> None:
    result = decode(picture(1, (40, 30), kind))
    assert (result.format, result.width, result.height) == (kind, 40, 30)
    assert (result.frames, result.orientation, result.pixels.mode) == (1, 1, "RGB")
    assert close(result, pixels(1, (40, 30)), 12)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"]
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP", "GIF"])
def test_color_modes_are_converted_to_rgb(mode: str, kind: str) -> None:
    base = pixels(2).convert("RGB")
    image = (
        base.convert("L").convert(mode)
        if mode in ("LA", "PA", "1")
        else base.convert(mode)
    )
    try:
        data = encode(image, kind)
    except (OSError, ValueError, KeyError):
        pytest.skip(f"Pillow writes no {mode} into {kind}")
    result = decode(data)
    assert result.pixels.mode == "RGB"
    grey = base.convert("L") if mode in ("1", "L", "LA", "PA") else base
    tolerance = {"1": 140, "P": 40}.get(mode, 14)
    assert close(result, grey.convert("RGB"), tolerance)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *(("RGBA", kind) for kind in ("PNG", "WEBP", "GIF")),
        *((mode, kind) for mode in ("P", "LA") for kind in ("PNG", "WEBP")),
    ],
)
def test_transparency_becomes_white(mode: str, kind: str) -> None:
    image = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 10, 20))
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    values = array(
        decode(encode(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
    )
    assert values[:, :9].max() < 10
    assert values[:, 11:].min() > 245


@pytest.mark.parametrize("color", [7, (7, 7, 7)])
def test_transparent_color_of_png_becomes_white(color: int | tuple[int, ...]) -> None:
    image = Image.new("L" if color == 7 else "RGB", (20, 20), color)
    image.paste(0 if color == 7 else (0, 0, 0), (0, 0, 10, 20))
    values = array(decode(encode(image, "PNG", transparency=color)))
    assert (values[:, :10].max(), values[:, 10:].min()) == (0, 255)


@pytest.mark.parametrize(
    "odd",
    [np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 0.0],
    ids=lambda value: f"{value:g}",
)
def test_non_finite_floats_are_clipped(odd: float) -> None:
    values = np.zeros((16, 16), dtype=np.float32)
    values[0, 0] = odd
    values[1, 1] = 3.4e38
    values[2, 2] = -3.4e38
    result = array(decode(encode(Image.fromarray(values), "TIFF")))
    assert (result[2, 2].tolist(), result[1, 1].tolist()) == (
        [0, 0, 0],
        [255, 255, 255],
    )


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    turns = decoding._UPRIGHT
    back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    upright = Image.fromarray(
        np.kron(np.arange(6).reshape(2, 3), np.ones((16, 16))).astype("u1")
    )
    upright = Image.merge("RGB", [upright.point(lambda v: v * 50)] * 3)
    stored = upright
    if orientation in turns:
        # Every orientation is its own inverse, except for the two quarter turns.
        stored = upright.transpose(back.get(orientation, turns[orientation]))
    lossless = {"lossless": True} if kind == "WEBP" else {}
    data = encode(stored, kind, exif=exif_orientation(orientation), **lossless)
    result = decode(data)
    assert (result.orientation, result.width, result.height) == (orientation, 48, 32)
    assert close(result, upright, 3)
    measured = measure(data)
    assert (measured.width, measured.height, measured.orientation) == (
        48,
        32,
        orientation,
    )


@pytest.mark.parametrize("value", [0, 9, 65535, "x", (1, 2)])
def test_invalid_orientation_is_ignored(value: object) -> None:
    try:
        data = encode(pixels(1), "JPEG", exif=exif_orientation(value))
    except (TypeError, struct.error):
        pytest.skip("cannot be written")
    assert decode(data).orientation == 1


def test_orientation_6_follows_exif_standard() -> None:
    # EXIF 2.3: 6 means that the first row of the file is the right side of the image.
    stored = Image.new("RGB", (32, 16), "white")
    stored.paste("red", (0, 0, 32, 4))
    values = array(decode(encode(stored, "PNG", exif=exif_orientation(6))))
    assert values.shape == (32, 16, 3)
    assert (values[:, -4:] == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_first_frame_is_decoded(kind: str) -> None:
    frames = [pixels(seed) for seed in range(4)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    result = decode(data)
    assert result.frames == 4
    assert close(result, frames[0], 12)
    assert not close(result, frames[1], 12)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"])
def test_truncated_file_is_rejected(kind: str) -> None:
    intact = picture(5, (160, 120), kind)
    for percent in range(0, 100, 5):
        data = intact[: len(intact) * percent // 100]
        if _decode_or_refuse(data):
            assert kind not in ("JPEG", "PNG", "WEBP", "BMP"), (
                f"{percent} % was taken as whole"
            )
    # These two decoders report only that something is wrong.
    reason = "damaged" if kind in ("WEBP", "AVIF") else "truncated"
    assert refused(intact[: len(intact) // 2]).reason == reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (b"<!DOCTYPE html><p>", "not an image"),
        (b"\n <?xml version='1.0'?><svg/>", "not an image"),
        (b"<svg xmlns='x'/>", "unsupported format"),
        (b"%PDF-1.7", "unsupported format"),
        (b"PK\x03\x04zip", "unsupported format"),
        (b"\0\0\0\x18ftypheic", "damaged"),
        (b"\xff\xd8\xff\xe0nothing", "truncated"),
        (b"\0\0\0\x20ftypavif", "damaged"),
        (b"\x89PNG\r\n\x1a\nnothing", "damaged"),
        (b"RIFF\0\0\0\0WEBPnothing", "damaged"),
        (b"#!/bin/sh\necho", "not an image"),
        (b"P6 2 2 255 ............", "not an image"),
        (b"\xff\x0a" + bytes(60), "unsupported format"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), "unsupported format"),
    ],
)
def test_non_image_is_rejected_with_reason(data: bytes, reason: str) -> None:
    assert refused(data).reason == reason


@pytest.mark.parametrize(
    "data", [b"\0\0\0 ftypisom", b"\x1aE\xdf\xa3" + bytes(30), b"RIFF\0\0\0\0AVI LIST"]
)
def test_video_is_rejected_with_hint(data: bytes) -> None:
    with pytest.raises(Unreadable, match="harvest frames"):
        decode(data)


def test_too_many_pixels_are_rejected_before_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def png(width: int, height: int) -> bytes:
        data = bytearray(picture(1, (8, 8), "PNG"))
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        return bytes(data)

    for size in ((10_001, 10_000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)):
        with monkeypatch.context() as patch:
            patch.setattr(ImageFile.ImageFile, "load", never_called)
            assert refused(png(*size)).reason == "too large"
    assert refused(png(0, 10)).reason == "damaged"
    assert refused(png(10, 20)).reason == "damaged"


def never_called(*_: object, **__: object) -> None:
    raise AssertionError("not expected to be called")


def test_too_many_bytes_are_rejected_before_opening(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = picture(1) + bytes(decoding.MAX_BYTES)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", never_called)
        error = refused(data)
    assert error.reason == "too large"
    assert "bytes" in error.detail
    assert decode(picture(1) + bytes(1000)).width == 64


def test_too_many_frames_are_rejected() -> None:
    def gif(frames: int) -> bytes:
        start = b"GIF89a\1\0\1\0\x80\0\0" + b"\0\0\0\xff\xff\xff"
        frame = b"\x21\xf9\4\0\1\0\0\0" + b"\x2c\0\0\0\0\1\0\1\0\0" + b"\2\2\x44\1\0"
        return start + frame * frames + b";"

    assert decode(gif(50)).frames == 50
    assert refused(gif(decoding.MAX_FRAMES + 1)).reason == "too large"


@pytest.mark.parametrize(
    ("size", "orientation", "mode"),
    [((1500, 1100), 1, "RGB"), ((512, 512), 6, "L"), ((100, 3000), 6, "CMYK")],
)
def test_draft_has_same_size_and_hash(
    size: tuple[int, int], orientation: int, mode: str
) -> None:
    image = pixels(size[0], size).convert(mode)
    exif = exif_orientation(orientation)
    data = encode(image, "JPEG", exif=exif, progressive=True)
    full = decode(data)
    draft = decode(data, min_side=WORKING_SIZE)
    assert (full.width, full.height) == (draft.width, draft.height) == full.pixels.size
    assert (full.orientation, full.format) == (draft.orientation, draft.format)
    assert max(draft.pixels.size) >= min(WORKING_SIZE, max(full.pixels.size))
    assert imagehash.phash(full.pixels) - imagehash.phash(draft.pixels) <= 4


def test_draft_decodes_fewer_pixels() -> None:
    data = picture(3, (1600, 1200))
    assert decode(data).pixels.size == (1600, 1200)
    assert decode(data, 512).pixels.size == (800, 600)


def sharpness_of(image: Image.Image) -> float:
    return compute_phash_and_sharpness(image)[1]


def test_sharpness_falls_with_blur_not_size() -> None:
    rng = np.random.default_rng(0)
    sharp = Image.fromarray(rng.integers(0, 256, (128, 128), dtype=np.uint8)).resize(
        (512, 512), Image.Resampling.NEAREST
    )
    soft = sharp.resize((32, 32), Image.Resampling.BOX).resize((512, 512))
    assert sharpness_of(sharp) > 10 * sharpness_of(soft)
    large = sharp.resize((2048, 2048), Image.Resampling.NEAREST)
    assert sharpness_of(large) == pytest.approx(sharpness_of(sharp), rel=0.02)
    assert sharpness_of(Image.new("RGB", (50, 50), "red")) == 0
    assert sharpness_of(Image.new("RGB", (2, 900), "red")) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_tiny_images_are_measured(kind: str, size: tuple[int, int]) -> None:
    measured = measure(picture(1, size, kind))
    assert (measured.width, measured.height, measured.format) == (*size, kind)
    assert 0 <= measured.phash < 1 << 64


def test_embedded_images_are_not_counted() -> None:
    preview = picture(2, (640, 480))
    mpo = encode(
        pixels(1, (320, 240)),
        "MPO",
        save_all=True,
        append_images=[pixels(2, (320, 240))],
    )
    result = decode(mpo)
    assert (result.format, result.frames, result.width) == ("JPEG", 1, 320)
    assert decode(picture(1) + preview).width == 64


SEEDS = [
    picture(1, (40, 30), kind)
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
] + [
    encode(pixels(1), "TIFF", compression="tiff_lzw"),
    encode(
        pixels(1),
        "JPEG",
        progressive=True,
        exif=bytes.fromhex("4578696600004d4d002a00000008"),
    ),
    encode(pixels(1), "PNG", save_all=True, append_images=[pixels(2)]),
    encode(pixels(1).quantize(16), "PNG", transparency=b"\1\2\3"),
]


@settings(max_examples=examples(80, 700))
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=6
    ),
    cut=st.floats(0.2, 1),
)
@example(seed=SEEDS[0], changes=[(0.5, b"\xff\xd9")], cut=1.0)
def test_mutated_bytes_are_decoded_or_rejected(
    seed: bytes, changes: list[tuple[float, bytes]], cut: float
) -> None:
    data = bytearray(seed)
    for place, new in changes:
        start = int(place**2 * len(data))
        data[start : start + len(new)] = new
    _decode_or_refuse(bytes(data[: int(len(data) * cut)]))


def _decode_or_refuse(data: bytes) -> bool:
    """Return whether it was decoded; fail on unexpected errors."""
    try:
        result = decode(data, min_side=512)
    except Unreadable as error:
        reason = error.reason
    else:
        assert result.pixels.mode == "RGB"
        assert result.width * result.height <= decoding.MAX_PIXELS
        return True
    assert reason in REASONS
    return False


@pytest.mark.parametrize("size", [(128, 128), (128, 72), (31, 7), (1, 1), (90, 128)])
def test_hash_equals_imagehash(size: tuple[int, int]) -> None:
    flat = [Image.new("L", size, value) for value in (0, 77, 255)]
    for grey in (*flat, *(pixels(seed, size).convert("L") for seed in range(20))):
        assert compute_phash_and_sharpness(grey)[0] == int(
            str(imagehash.phash(grey)), 16
        )


# Primaries adapted to D50, as in the ICC profiles of these color spaces: columns R, G, B.
ADOBE = np.array(
    [
        [0.60974, 0.20528, 0.14919],
        [0.31111, 0.62567, 0.06322],
        [0.01947, 0.06087, 0.74457],
    ]
)
SRGB = np.array(
    [
        [0.43607, 0.38515, 0.14307],
        [0.22249, 0.71687, 0.06061],
        [0.01392, 0.09708, 0.71410],
    ]
)
GAMMA = 563 / 256
COLOUR = (180, 110, 70)


def profile(matrix: Float64Array = ADOBE, name: bytes = b"wide") -> bytes:
    """Return an ICC 2.1 profile: primaries, one gamma (ICC.1:1998-09, 6.3.1.2)."""
    tags = {
        b"desc": b"desc"
        + bytes(4)
        + struct.pack(">I", len(name) + 1)
        + name
        + bytes(79)
    }
    tags[b"wtpt"] = _xyz(np.array([0.9642, 1.0, 0.8249]))
    for index, letter in enumerate(b"rgb"):
        tags[bytes([letter]) + b"XYZ"] = _xyz(matrix[:, index])
        tags[bytes([letter]) + b"TRC"] = (
            b"curv" + bytes(4) + struct.pack(">IHxx", 1, 563)
        )
    table = struct.pack(">I", len(tags))
    body = b""
    start = 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    fields = (b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    head = struct.pack(">I4sI4s4s4s12x4s", start + len(body), *fields)
    return head.ljust(128, b"\0") + table + body


def _xyz(values: Float64Array) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def expected(colour: tuple[int, ...]) -> Float64Array:
    """Convert an Adobe RGB color to sRGB with the formulas of both."""
    linear = np.linalg.inv(SRGB) @ ADOBE @ (np.array(colour) / 255) ** GAMMA
    linear = np.clip(linear, 0, 1)
    curved = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    return np.round(curved * 255)


def encode_with(image: Image.Image, kind: str, icc: bytes | None) -> bytes:
    return encode(
        image, kind, icc_profile=icc, **({"quality": 100} if kind == "JPEG" else {})
    )


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
    assert (
        np.abs(np.array(first(encode_with(plain, kind, None))) - expected(COLOUR)).max()
        > 10
    )


def test_conversion_keeps_transparency_and_palettes() -> None:
    clear = Image.new("RGBA", (16, 16), (*COLOUR, 0))
    clear.paste((*COLOUR, 255), (0, 0, 8, 16))
    for drawing in (clear, clear.quantize(4)):
        pixels = decode(encode_with(drawing, "PNG", profile())).pixels
        assert np.abs(np.array(pixels.getpixel((0, 0))) - expected(COLOUR)).max() <= 3
        assert pixels.getpixel((15, 15)) == (255, 255, 255)


def test_srgb_and_invalid_profiles_are_ignored() -> None:
    plain = Image.new("RGB", (16, 16), COLOUR)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = profile().replace(b"RGB XYZ ", b"GRAYXYZ ")
    for icc in (
        srgb,
        b"x" * 300,
        profile()[:150],
        profile()[:-40],
        bytes(900_000),
        grey,
    ):
        assert first(encode_with(plain, "PNG", icc)) == COLOUR


def test_damaged_profile_does_not_reject_image() -> None:
    rng = random.Random(0)
    intact = profile()
    plain = Image.new("RGB", (16, 16), COLOUR)
    for _ in range(examples(40, 300)):
        damaged = bytearray(intact)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        assert decode(encode_with(plain, "TIFF", bytes(damaged))).pixels.size == (
            16,
            16,
        )


def test_measurements_ignore_profiles() -> None:
    plain = Image.new("RGB", (16, 16), COLOUR)
    with_, without = (encode_with(plain, "JPEG", icc) for icc in (profile(), None))
    assert measure(with_).phash == measure(without).phash
    assert measure(with_).sharpness == measure(without).sharpness
    assert "icc_profile" not in decode(with_).pixels.info
