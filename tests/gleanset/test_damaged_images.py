"""Damage next to the pixels costs no image, missing pixels do; rare formats are decoded."""

import io
import random
import struct
import zlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, TiffImagePlugin, TiffTags
from tools_for_tests import encode, exif_orientation, pixels, python_path, run_cli

from gleanset import Dataset
from gleanset.errors import Unreadable
from gleanset.images import plugin_formats
from gleanset.images.decode import decode, read_image_size
from gleanset.images.measure import measure
from harvest.archives import harvest_files
from harvest.importer import ImportOptions

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SIZE = (160, 120)


def chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


LONG = zlib.compress(bytes(1_500_000))
MANY = chunk(b"zTXt", b"k\0\0" + zlib.compress(b"y" * 900_000)) * 80
WRONG_CHECKSUM = chunk(b"tEXt", b"w\0a")[:-1] + b"x"


@pytest.mark.parametrize(
    "texts",
    [
        chunk(b"zTXt", b"w\0\0" + LONG),
        chunk(b"iTXt", b"w\0\1\0\0\0" + LONG),
        chunk(b"iCCP", b"w\0\0" + LONG),
        MANY,
        WRONG_CHECKSUM,
    ],
    ids=["zTXt", "iTXt", "iCCP", "many", "checksum"],
)
def test_png_with_damaged_metadata_is_decoded(texts: bytes) -> None:
    intact = encode(pixels(1, SIZE), "PNG", exif=exif_orientation(6))
    assert_decoded_as(intact[:33] + texts + intact[33:], intact)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_rows": 1}]
)
@pytest.mark.parametrize("missing_bytes", [1, 2])
def test_jpeg_without_end_marker_is_decoded(
    options: dict[str, Any], missing_bytes: int
) -> None:
    intact = encode(pixels(1, SIZE), "JPEG", **options)
    assert_decoded_as(intact[:-missing_bytes], intact)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_truncated_image_is_rejected_or_has_all_pixels(kind: str) -> None:
    decoded = 0
    for seed in range(20):
        options = {"quality": 60 + 2 * seed, "progressive": bool(seed % 2)}
        data = encode(pixels(seed, SIZE), kind, **options if kind == "JPEG" else {})
        for missing_bytes in range(1, 24):
            with suppress(Unreadable):
                assert_decoded_as(data[:-missing_bytes], data)
                decoded += 1
    assert (decoded > 0) == (kind != "WEBP"), "the header of WebP has the length"


@lru_cache(maxsize=1)
def read_facts(data: bytes) -> tuple[bytes, int, int]:
    """Return the pixels, orientation and perceptual hash of an image file."""
    image = decode(data)
    return image.pixels.tobytes(), image.orientation, measure(data).phash


def assert_decoded_as(damaged: bytes, intact: bytes) -> None:
    # First what is intact, which stays in the cache where what is damaged raises.
    expected = read_facts(intact)
    assert read_facts.__wrapped__(damaged) == expected
    assert read_image_size(io.BytesIO(damaged)) == SIZE


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_rows": 1}]
)
def test_missing_pixels_are_rejected(options: dict[str, Any]) -> None:
    jpeg = encode(pixels(1, (320, 240)), "JPEG", quality=90, **options)
    # Between scans, at a restart marker, and anywhere else.
    places = [
        at for at in range(700, len(jpeg) - 2) if jpeg[at] == 0xFF and jpeg[at + 1]
    ]
    for at in [
        *places[-20:],
        *(len(jpeg) * part // 100 for part in (50, 80, 90, 95, 98)),
    ]:
        for end in (b"", b"\xff"):
            with pytest.raises(Unreadable, match="truncated"):
                decode(jpeg[:at] + end)
    png = encode(pixels(1, SIZE), "PNG")
    for cut in (
        png[:-40],
        png[:-40] + png[-12:],
        png[:33] + WRONG_CHECKSUM + png[33:-40],
    ):
        with pytest.raises(Unreadable):
            decode(cut)


def png_of(depth: int, values: list[int], transparent: int) -> bytes:
    bits = "".join(format(value, f"0{depth}b") for value in values)
    row = b"\0" + int(bits.ljust(-len(bits) % 8 + len(bits), "0"), 2).to_bytes(
        -(-len(bits) // 8)
    )
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", len(values), 1, depth, 0, 0, 0, 0))
    body = chunk(b"tRNS", struct.pack(">H", transparent)) + chunk(
        b"IDAT", zlib.compress(row)
    )
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


def test_transparent_color_is_composited() -> None:
    grey = png_of(8, [0, 85, 170, 255], 85)
    assert np.asarray(decode(grey).pixels)[0, :, 0].tolist() == [0, 255, 170, 255]
    black = decode(png_of(8, [0, 85, 170, 255], 0), mode="L").pixels
    assert list(black.tobytes()) == [255, 85, 170, 255]


def tiff(
    values: bytes,
    bits: int,
    order: str,
    sample: int,
    *,
    colors: int = 1,
    white: int = 0,
) -> bytes:
    """Return a TIFF of 4 x 1 pixels; a `white` is stated as MaxSampleValue."""
    tags = {256: 4, 257: 1, 258: bits, 259: 1, 262: 1 if colors == 1 else 2, 273: 180}
    tags |= {277: colors, 278: 1, 279: len(values)} | ({281: white} if white else {})
    tags[339] = sample
    entries = b""
    for tag, value in tags.items():
        if tag in (258, 339) and colors == 3:  # a value of each color, at the end
            entries += struct.pack(
                f"{order}HHII", tag, 3, 3, 160 if tag == 258 else 170
            )
        else:
            entries += struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
    head = (b"II" if order == "<" else b"MM") + struct.pack(
        f"{order}HIH", 42, 8, len(tags)
    )
    of_each = [struct.pack(f"{order}3H", *[value] * 3) for value in (bits, sample)]
    return (
        (head + entries).ljust(160, b"\0")
        + b"\0\0\0\0".join(of_each).ljust(20, b"\0")
        + values
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("bits", "sample", "code", "values"),
    [
        (8, 1, "B", [0, 85, 170, 255]),
        (16, 2, "h", [-32768, -10923, 10922, 32767]),
        (32, 2, "i", [-(2**31), -715827883, 715827882, 2**31 - 1]),
        (16, 1, "H", [0, 0x5555, 0xAAAA, 0xFFFF]),
        (32, 3, "f", [0, 1 / 3, 2 / 3, 1]),
        (32, 3, "f", [-3e38, -1e38, 1e38, 3e38]),
    ],
)
def test_deep_tiff_is_scaled(
    order: str, bits: int, sample: int, code: str, values: list[float]
) -> None:
    data = tiff(struct.pack(f"{order}4{code}", *values), bits, order, sample)
    assert np.asarray(decode(data).pixels)[0, :, 0].tolist() == [0, 85, 170, 255]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("colors", [1, 3])
@pytest.mark.parametrize("white", [1023, 4095, 16383])
def test_camera_values_in_16_bits_are_refused(
    order: str, colors: int, white: int
) -> None:
    # Pillow shows them nearly black.
    body = struct.pack(f"{order}{4 * colors}H", *[white] * 4 * colors)
    data = tiff(body, 16, order, 1, colors=colors, white=white)
    with pytest.raises(Unreadable, match="unsupported format: unusual"):
        decode(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("colors", [1, 3])
def test_brightest_value_of_a_tiff_is_not_its_white(order: str, colors: int) -> None:
    values = [0, 10000, 20000, 30000]
    body = b"".join(struct.pack(f"{order}H", value) * colors for value in values)
    data = tiff(body, 16, order, 1, colors=colors, white=30000)
    pixels = np.asarray(decode(data).pixels)[0].astype(int)
    assert np.abs(pixels - np.array([[0], [39], [78], [117]])).max() <= 1


def test_signed_8_bit_tiff_is_refused() -> None:
    data = tiff(struct.pack("4b", -128, -43, 42, 127), 8, "<", 2)
    with pytest.raises(Unreadable, match="unsupported format: unusual"):
        decode(data)


def test_unsigned_32_bit_tiff_is_scaled() -> None:
    body = struct.pack("<4I", 0, 0x55555555, 0xAAAAAAAA, 0xFFFFFFFF)
    pixels = decode(tiff(body, 32, "<", 1)).pixels
    assert np.asarray(pixels)[0, :, 0].tolist() == [0, 85, 170, 255]


@pytest.mark.parametrize(
    ("alpha", "second"), [((0, 0), [9, 9, 9]), ((255, 0), [255, 255, 255])]
)
def test_unused_bmp_alpha_is_ignored(alpha: tuple[int, int], second: list[int]) -> None:
    body = bytes((3, 2, 1, alpha[0], 9, 9, 9, alpha[1]))
    header = struct.pack("<IiiHHIIiiII", 108, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0)
    masks = struct.pack("<4I4s", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs").ljust(
        68, b"\0"
    )
    data = b"BM" + struct.pack("<IHHI", 130, 0, 0, 122) + header + masks + body
    assert np.asarray(decode(data).pixels)[0].tolist() == [[1, 2, 3], second]


def draw_shape(colour: tuple[int, ...], shape: str) -> Image.Image:
    image = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    if shape == "ring":
        draw.ellipse((30, 30, 170, 170), outline=colour, width=12)
    else:
        draw.polygon((100, 20, 180, 180, 20, 180), fill=colour)
    return image


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_white_drawing_gets_dark_background(kind: str) -> None:
    white = (255, 255, 255, 255)
    ring, triangle = (
        np.asarray(decode(encode(draw_shape(white, shape), kind)).pixels)
        for shape in ("ring", "triangle")
    )
    assert ring.std() > 20
    assert np.abs(ring.astype(int) - triangle).mean() > 20
    # Other drawings, and fully transparent images, get a white background.
    for colour in ((200, 30, 30, 255), (255, 255, 0, 255), (255, 255, 255, 0)):
        pixels = np.asarray(decode(encode(draw_shape(colour, "ring"), kind)).pixels)
        assert pixels[0, 0].tolist() == [255, 255, 255]
    grey = measure(encode(draw_shape(white, "ring"), kind))
    assert grey.sharpness > 0


def png_of_rows(rows: bytes, interlaced: int) -> bytes:
    head = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, interlaced)
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_png_with_missing_rows_is_rejected(interlaced: int, share: float) -> None:
    passes = ((8, 6), (8, 6), (16, 6), (16, 12), (32, 12), (32, 24), (64, 24))
    noise = np.random.default_rng(1).integers(0, 255, (48, 192), dtype=np.uint8)
    rows = b"".join(
        b"\0" + noise[row, : 3 * width].tobytes()
        for width, height in (passes if interlaced else ((64, 48),))
        for row in range(height)
    )
    assert decode(png_of_rows(rows, interlaced)).pixels.size == (64, 48)
    with pytest.raises(Unreadable, match="truncated"):
        decode(png_of_rows(rows[: int(share * len(rows))], interlaced))


def test_black_last_rows_are_accepted() -> None:
    assert decode(encode(Image.new("RGB", (64, 48)), "PNG")).pixels.getpixel(
        (9, 47)
    ) == (0, 0, 0)


NEEDS_EXTRA = "needs [formats], see gleanset doctor"


def encode_heic() -> bytes:
    """Return a smooth image, nearly lossless."""
    pytest.importorskip("pillow_heif")
    plugin_formats._is_plugin_loaded()
    return encode(pixels(3, (96, 64)), "HEIF", quality=95)


def test_heic_is_decoded(tmp_path: Path) -> None:
    data = encode_heic()
    result = decode(data)
    assert (result.format, result.width, result.height, result.frames) == (
        "HEIF",
        96,
        64,
        1,
    )
    was, now = (
        picture.convert("L").tobytes()
        for picture in (pixels(3, (96, 64)), result.pixels)
    )
    assert sum(abs(a - b) for a, b in zip(was, now, strict=True)) / len(was) < 4
    (tmp_path / "x").write_bytes(data)
    assert (
        read_image_size(tmp_path / "x") == read_image_size(io.BytesIO(data)) == (96, 64)
    )
    with pytest.raises(Unreadable, match="too large"):
        decode(data, max_pixels=1000)


def test_damaged_heic_is_rejected() -> None:
    data = encode_heic()
    dice = random.Random(0)
    for length in (13, 20, 50, len(data) // 2, len(data) - 3):
        with pytest.raises(Unreadable):
            decode(data[:length])
    for _ in range(60):
        spoilt = bytearray(data)
        for _ in range(dice.randint(1, 6)):
            spoilt[dice.randrange(12, len(spoilt))] = dice.randrange(256)
        for read in (decode, lambda raw: read_image_size(io.BytesIO(raw))):
            try:
                read(bytes(spoilt))
            except Unreadable:
                continue


def tiff_with(tags: dict[int, int]) -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory.tagtype[tag] = TiffTags.LONG
        directory[tag] = value
    return encode(Image.new("RGB", (20, 10)), "TIFF", tiffinfo=directory)


@pytest.mark.parametrize(
    "data",
    [
        tiff_with({254: 1, 330: 8}),
        tiff_with({50706: 1}),
        b"II*\0\x10\0\0\0CR\x02\0" + bytes(60),
        b"FUJIFILMCCD-RAW 0201" + bytes(60),
        b"\0\0\0\x18ftypcrx " + bytes(60),
        b"IIRO\x08\0\0\0" + bytes(60),
    ],
)
def test_camera_raw_is_rejected_with_hint(data: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        decode(data)
    assert (refused.value.reason, refused.value.detail[:10]) == (
        "unsupported format",
        "camera RAW",
    )
    assert "export it as JPEG" in refused.value.detail


@pytest.mark.parametrize("tags", [{}, {330: 8}, {254: 2}])
def test_other_tiff_is_not_camera_raw(tags: dict[int, int]) -> None:
    assert decode(tiff_with(tags)).format == "TIFF"


def test_harvest_without_plugin_prints_hint(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "phone.HEIC").write_bytes(encode_heic())
    # Make the plugin's import fail in workers, too.
    (tmp_path / "pillow_heif.py").write_text("raise ImportError")
    words = ("folder", tmp_path / "in", "-d", tmp_path / "d")
    done = run_cli("harvest.cli", *words, PYTHONPATH=python_path(tmp_path))
    assert " ".join(done.stdout.split()).count(f"HEIC: {NEEDS_EXTRA}") == 2, done.stdout


def test_harvest_keeps_heic_extension(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "phone.HEIC").write_bytes(encode_heic())
    assert (
        harvest_files(dataset, [tmp_path / "in"], ImportOptions(workers=1)).added == 1
    )
    assert {image.format for image in dataset.images.iterate()} == {"HEIF"}
    assert {path.suffix for path in (dataset.root / "images").rglob("*.*")} == {".heic"}
