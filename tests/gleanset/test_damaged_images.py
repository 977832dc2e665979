"""Damaged metadata loses no image, missing pixels do; rare formats have the right pixels."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from tools_for_tests import encode, pixels

from gleanset.errors import Unreadable
from gleanset.images.decode import decode, read_image_size
from gleanset.images.measure import measure

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SIZE = (160, 120)


def chunk(kind: bytes, body: bytes, wrong: int = 0) -> bytes:
    check = zlib.crc32(kind + body) ^ wrong
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


def early(*chunks: bytes) -> Callable[[bytes], bytes]:
    return lambda png: png[:33] + b"".join(chunks) + png[33:]


def late(*chunks: bytes) -> Callable[[bytes], bytes]:
    return lambda png: png[:-12] + b"".join(chunks) + png[-12:]


def segment(marker: int, body: bytes) -> Callable[[bytes], bytes]:
    head = bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2)
    return lambda jpeg: jpeg[:2] + head + body + jpeg[2:]


LONG = zlib.compress(bytes(1_500_000))
PNG: dict[str, Callable[[bytes], bytes]] = {
    "long zTXt": early(chunk(b"zTXt", b"w\0\0" + LONG)),
    "long iTXt": early(chunk(b"iTXt", b"w\0\1\0\0\0" + LONG)),
    "long iCCP": early(chunk(b"iCCP", b"w\0\0" + LONG)),
    "many": early(*(chunk(b"zTXt", b"k\0\0" + zlib.compress(b"y" * 900_000)) for _ in range(80))),
    "late": late(chunk(b"zTXt", b"w\0\0" + LONG)),
    "checksum": early(chunk(b"tEXt", b"w\0a", wrong=1)),
    "checksum of gAMA": early(chunk(b"gAMA", b"\0\0\xb1\x8f", wrong=1)),
    "broken iCCP": early(chunk(b"iCCP", b"x")),
    "broken eXIf": early(chunk(b"eXIf", b"x")),
    "short": early(chunk(b"pHYs", b"1"), chunk(b"cHRM", b"1"), chunk(b"sRGB", b"")),
    "short acTL": early(chunk(b"acTL", b"1")),
    "no IEND": lambda png: png[:-12],
    "half a checksum": lambda png: png[:-14],
    "text cut off": lambda png: late(chunk(b"tEXt", b"w\0" + b"a" * 900))(png)[:-500],
    "garbage": lambda png: png + b"garbage",
}
JPEG: dict[str, Callable[[bytes], bytes]] = {
    "no end": lambda jpeg: jpeg[:-2],
    "half an end": lambda jpeg: jpeg[:-1],
    "short Adobe": segment(0xEE, b"Adobe"),
    "short JFIF": segment(0xE0, b"JFIF\0"),
    "short ICC": segment(0xE2, b"ICC_PROFILE\0"),
    "broken Exif": segment(0xE1, b"Exif\0\0garbage"),
    "broken MPF": segment(0xE2, b"MPF\0garbage"),
    "broken IPTC": segment(0xED, b"Photoshop 3.0\0garbage8BIM\4\4"),
    "no end, short ICC": lambda jpeg: segment(0xE2, b"ICC_PROFILE\0")(jpeg)[:-2],
    "garbage": lambda jpeg: jpeg + b"garbage",
}
WEBP: dict[str, Callable[[bytes], bytes]] = {
    "size too large": lambda webp: webp[:4] + struct.pack("<I", len(webp) + 99) + webp[8:],
    "size too small": lambda webp: webp[:4] + struct.pack("<I", len(webp) - 300) + webp[8:],
    "XMP cut off": lambda webp: webp[:-500],
    "garbage": lambda webp: webp + b"garbage",
}


@pytest.mark.parametrize(
    ("kind", "options", "damage"),
    [
        *(pytest.param("PNG", {}, d, id=f"PNG {n}") for n, d in PNG.items()),
        *(pytest.param("JPEG", {}, d, id=f"JPEG {n}") for n, d in JPEG.items()),
        *(
            pytest.param("JPEG", {"progressive": True}, JPEG[n], id=f"progressive {n}")
            for n in ("no end", "no end, short ICC")
        ),
        pytest.param("JPEG", {"restart_marker_rows": 1}, JPEG["no end"], id="restarts, no end"),
        *(
            pytest.param("WEBP", {"exif": b"", "xmp": b"x" * 1001}, d, id=f"WEBP {n}")
            for n, d in WEBP.items()
        ),
    ],
)
def test_damaged_metadata_does_not_reject_image(
    kind: str, options: dict[str, Any], damage: Callable[[bytes], bytes]
) -> None:
    intact = encode(pixels(1, SIZE), kind, **options)
    damaged = damage(intact)
    assert damaged != intact
    assert decode(damaged).pixels.tobytes() == decode(intact).pixels.tobytes()
    assert measure(damaged).phash == measure(intact).phash
    assert read_image_size(io.BytesIO(damaged)) == SIZE


def test_intact_metadata_is_kept() -> None:
    """Orientation, frames and profile survive damage to other metadata."""
    wide = pixels(1, SIZE)
    exif = Image.Exif()
    exif[0x0112] = 6
    for data in (
        early(chunk(b"tEXt", b"w\0a", wrong=1))(encode(wide, "PNG", exif=exif)),
        segment(0xE2, b"ICC_PROFILE\0")(encode(wide, "JPEG", exif=exif))[:-2],
        encode(wide, "WEBP", exif=exif, xmp=b"x" * 1001)[:-500],
    ):
        result = decode(data)
        assert (result.width, result.height, result.orientation) == (120, 160, 6)
    frames = [pixels(seed, SIZE) for seed in range(3)]
    moving = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert decode(early(chunk(b"zTXt", b"w\0\0" + LONG))(moving)).frames == 3


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animation_with_truncated_last_frame_is_accepted(kind: str) -> None:
    frames = [pixels(seed, SIZE) for seed in range(3)]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    intact = encode(frames[0], kind, save_all=True, append_images=frames[1:], **lossless)
    result = decode(intact[: len(intact) - len(intact) // 6])
    assert result.pixels.tobytes() == decode(intact).pixels.tobytes()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_missing_pixels_are_rejected(options: dict[str, Any]) -> None:
    jpeg = encode(pixels(1, (320, 240)), "JPEG", quality=90, **options)
    # Between scans, at a restart marker, and anywhere else.
    places = [at for at in range(700, len(jpeg) - 2) if jpeg[at] == 0xFF and jpeg[at + 1]]
    for at in [*places[-20:], *(len(jpeg) * part // 100 for part in (50, 80, 90, 95, 98))]:
        for end in (b"", b"\xff"):
            with pytest.raises(Unreadable, match="truncated"):
                decode(jpeg[:at] + end)
    png = encode(pixels(1, SIZE), "PNG")
    for cut in (png[:-40], png[:-40] + png[-12:], early(chunk(b"tEXt", b"w\0a", 1))(png)[:-40]):
        with pytest.raises(Unreadable):
            decode(cut)


def png_of(depth: int, kind: int, values: list[int], transparent: list[int]) -> bytes:
    bits = "".join(format(value, f"0{depth}b") for value in values)
    row = b"\0" + int(bits.ljust(-len(bits) % 8 + len(bits), "0"), 2).to_bytes(-(-len(bits) // 8))
    wide = len(values) // (3 if kind == 2 else 1)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", wide, 1, depth, kind, 0, 0, 0)),
            chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)),
            chunk(b"IDAT", zlib.compress(row)),
            chunk(b"IEND", b""),
        )
    )


@pytest.mark.parametrize(
    ("depth", "values"), [(2, [0, 1, 2, 3]), (4, [0, 5, 10, 15]), (16, [0, 0x5555, 0xAAAA, 0xFFFF])]
)
def test_transparent_grey_of_every_bit_depth(depth: int, values: list[int]) -> None:
    pixels = decode(png_of(depth, 0, values, [values[1]])).pixels
    assert np.asarray(pixels)[0, :, 0].tolist() == [0, 255, 170, 255]


def test_transparent_16_bit_color() -> None:
    values = [0, 0, 0, 0x1234, 0x3456, 0x5678, 0x8000, 0x8000, 0x8000]
    pixels = decode(png_of(16, 2, values, [0x1234, 0x3456, 0x5678])).pixels
    assert np.asarray(pixels)[0].tolist() == [[0] * 3, [255] * 3, [128] * 3]
    black = decode(png_of(8, 0, [0, 85, 170, 255], [0]), mode="L").pixels
    assert list(black.tobytes()) == [255, 85, 170, 255]


def tiff(values: bytes, bits: int, photometric: int, order: str, sample: int) -> bytes:
    tags = ((256, 4), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 134), (277, 1))
    tags = (*tags, (278, 1), (279, len(values)), (339, sample))
    entries = b"".join(struct.pack(f"{order}HHIHH", t, 3, 1, v, 0) for t, v in tags)
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return (head + entries).ljust(134, b"\0") + values


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize(
    ("bits", "sample", "code", "values"),
    [
        (8, 1, "B", [0, 85, 170, 255]),
        (16, 1, "H", [0, 0x5555, 0xAAAA, 0xFFFF]),
        (16, 2, "h", [-32768, -10923, 10922, 32767]),
        (32, 3, "f", [0, 1 / 3, 2 / 3, 1]),
    ],
)
def test_deep_tiff_is_scaled_and_inverted(
    order: str, photometric: int, bits: int, sample: int, code: str, values: list[float]
) -> None:
    data = tiff(struct.pack(f"{order}4{code}", *values), bits, photometric, order, sample)
    pixels = np.asarray(decode(data).pixels)[0, :, 0].tolist()
    assert pixels == ([0, 85, 170, 255] if photometric else [255, 170, 85, 0])


def test_12_and_32_bit_tiff_is_scaled() -> None:
    packed = int("".join(format(v, "012b") for v in (0, 0x555, 0xAAA, 0xFFF)), 2).to_bytes(6)
    deep = struct.pack("<4I", 0, 0x55555555, 0xAAAAAAAA, 0xFFFFFFFF)
    for photometric, expected in ((1, [0, 85, 170, 255]), (0, [255, 170, 85, 0])):
        for data in (tiff(packed, 12, photometric, "<", 1), tiff(deep, 32, photometric, "<", 1)):
            assert np.asarray(decode(data).pixels)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(("alpha", "second"), [((0, 0), [9, 9, 9]), ((255, 0), [255, 255, 255])])
def test_unused_bmp_alpha_is_ignored(alpha: tuple[int, int], second: list[int]) -> None:
    body = bytes((3, 2, 1, alpha[0], 9, 9, 9, alpha[1]))
    header = struct.pack("<IiiHHIIiiII", 108, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0)
    masks = struct.pack("<4I4s", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs").ljust(68, b"\0")
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


def png_of_rows(rows: bytes, interlaced: int = 0, *extra_chunks: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, interlaced)
    parts = (
        chunk(b"IHDR", head),
        *extra_chunks,
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


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
    assert decode(encode(Image.new("RGB", (64, 48)), "PNG")).pixels.getpixel((9, 47)) == (0, 0, 0)


def test_invalid_transparent_color_is_ignored() -> None:
    png = png_of_rows((b"\0" + b"\xc8" * 192) * 48, 0, chunk(b"tRNS", b"\0\0"))
    assert decode(png).pixels.getpixel((7, 7)) == (200, 200, 200)
