"""Images that viewers show and Pillow alone refuses or shows wrong."""

import io
import struct
import zlib
from collections.abc import Sequence

import pytest
from PIL import Image, ImageCms

from gleanset.errors import Unreadable
from gleanset.images.decode import decode, read_image_size
from gleanset.images.measure import measure
from gleanset.images.repair import iter_repairs

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RED = (200, 30, 20)
BLUE = (20, 30, 200)


def chunk(kind: bytes, body: bytes, *, damaged: bool = False) -> bytes:
    checksum = zlib.crc32(kind + body) ^ damaged
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def make_png(
    rows: Sequence[bytes],
    depth: int,
    color_type: int,
    *before: bytes,
    after: bytes = b"",
) -> bytes:
    """Return a PNG of 8 columns; `before` and `after` are chunks around its pixels."""
    header = struct.pack(">IIBBBBB", 8, len(rows), depth, color_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = (
        chunk(b"IHDR", header),
        *before,
        chunk(b"IDAT", pixels),
        after,
        chunk(b"IEND", b""),
    )
    return SIGNATURE + b"".join(parts)


def pack_bits(values: Sequence[int], depth: int) -> bytes:
    bits = "".join(format(value, f"0{depth}b") for value in values)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


RGB_ROWS = [bytes(RED * 4 + BLUE * 4)] * 2
ANCILLARY = {
    b"pHYs": struct.pack(">IIB", 2835, 2835, 1),
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    b"sRGB": b"\0",
    b"bKGD": struct.pack(">3H", 1, 2, 3),
    b"tIME": struct.pack(">HBBBBB", 2026, 1, 1, 0, 0, 0),
    b"tEXt": b"Title\0a",
    b"zTXt": b"Title\0\0" + zlib.compress(b"a"),
    b"iTXt": b"Title\0\0\0\0\0a",
    b"iCCP": b"p\0\0"
    + zlib.compress(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
    b"eXIf": b"MM\0*\0\0\0\x08\0\0\0\0\0\0",
    b"sBIT": b"\x08\x08\x08",
    b"hIST": struct.pack(">H", 1),
    b"cICP": b"\1\x0d\0\1",
    b"acTL": struct.pack(">II", 1, 0),
    b"caBX": b"x" * 20,
    b"prVt": b"",
    b"PLTE": bytes(6),
}


@pytest.mark.parametrize("kind", ANCILLARY)
@pytest.mark.parametrize("fault", ["checksum", "length"])
def test_damaged_chunk_costs_the_chunk_and_not_the_image(
    kind: bytes, fault: str
) -> None:
    body = ANCILLARY[kind]
    part = (
        chunk(kind, body, damaged=True)
        if fault == "checksum"
        else chunk(kind, body[:-1])
    )
    for data in (make_png(RGB_ROWS, 8, 2, part), make_png(RGB_ROWS, 8, 2, after=part)):
        image = decode(data)
        assert (image.width, image.height, image.frames) == (8, 2, 1)
        assert [image.pixels.getpixel((x, 1)) for x in (0, 7)] == [RED, BLUE]
        assert read_image_size(io.BytesIO(data)) == (8, 2)
        assert measure(data).width == 8


def test_intact_profile_and_rotation_survive_a_damaged_text() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    before = (
        chunk(b"iCCP", ANCILLARY[b"iCCP"]),
        chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")),
        chunk(b"tEXt", b"Title\0a", damaged=True),
    )
    data = make_png(RGB_ROWS, 8, 2, *before)
    assert decode(data).pixels.size == (2, 8)
    repaired = next(iter_repairs(data, 100))
    assert (b"iCCP" in repaired, b"tEXt" in repaired) == (True, False)


def test_damaged_transparency_leaves_an_opaque_image() -> None:
    key = struct.pack(">3H", *RED)
    transparent = decode(make_png(RGB_ROWS, 8, 2, chunk(b"tRNS", key))).pixels
    opaque = decode(make_png(RGB_ROWS, 8, 2, chunk(b"tRNS", key, damaged=True))).pixels
    assert (transparent.getpixel((0, 0)), opaque.getpixel((0, 0))) == (
        (255, 255, 255),
        RED,
    )


def test_damaged_palette_is_still_refused() -> None:
    palette = chunk(b"PLTE", bytes(6), damaged=True)
    with pytest.raises(Unreadable, match="damaged"):
        decode(make_png([b"\0"] * 2, 1, 3, palette))


def test_animation_begins_after_its_separate_default_image() -> None:
    notice = Image.new("RGB", (60, 40), RED)
    frames = [Image.new("RGB", (60, 40), color) for color in (BLUE, "green")]
    for count in (1, 2):
        file = io.BytesIO()
        notice.save(
            file,
            "PNG",
            save_all=True,
            append_images=frames[:count],
            default_image=True,
            duration=9,
        )
        image = decode(file.getvalue())
        assert (image.frames, image.pixels.getpixel((9, 9))) == (count, BLUE)
    file = io.BytesIO()
    notice.save(file, "PNG", save_all=True, append_images=frames, duration=9)
    image = decode(file.getvalue())
    assert (image.frames, image.pixels.getpixel((9, 9))) == (3, RED)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_gray_of_any_depth(depth: int) -> None:
    levels = 2**depth - 1
    values = [number * levels // 7 for number in range(8)]
    key = values[5]
    data = make_png(
        [pack_bits(values, depth)] * 2, depth, 0, chunk(b"tRNS", struct.pack(">H", key))
    )
    pixels = decode(data).pixels
    # White drawings are on gray.
    ground = 128 if depth == 1 and key == 0 else 255
    expected = [
        ground if value == key else round(value * 255 / levels) for value in values
    ]
    assert [pixels.getpixel((x, 0))[0] for x in range(8)] == expected  # type: ignore[index]


def test_transparent_gray_of_an_animation() -> None:
    frame = chunk(b"fcTL", struct.pack(">5I2H2B", 0, 8, 2, 0, 0, 1, 9, 0, 0))
    before = (
        chunk(b"acTL", struct.pack(">II", 2, 0)),
        chunk(b"tRNS", struct.pack(">H", 5)),
        frame,
    )
    pixels_of_next = struct.pack(">I", 2) + zlib.compress(bytes(10))
    after = chunk(b"fcTL", struct.pack(">5I2H2B", 1, 8, 2, 0, 0, 1, 9, 0, 0))
    after += chunk(b"fdAT", pixels_of_next)
    row = pack_bits([5, 4] * 4, 4)
    image = decode(make_png([row] * 2, 4, 0, *before, after=after))
    assert image.frames == 2
    assert [image.pixels.getpixel((x, 0)) for x in (0, 1)] == [(255,) * 3, (68,) * 3]


def test_transparent_color_of_16_bits_is_compared_exactly() -> None:
    # The second and third differ in the low byte only.
    colors = [
        (0, 0, 0),
        (0x1234, 0x5678, 0x9ABC),
        (0x1234, 0x5678, 0x9ABD),
        *[(9, 9, 9)] * 5,
    ]
    row = b"".join(struct.pack(">3H", *color) for color in colors)
    key = chunk(b"tRNS", struct.pack(">3H", *colors[1]))
    pixels = decode(make_png([row] * 2, 16, 2, key)).pixels
    assert [pixels.getpixel((x, 0)) for x in range(3)] == [
        (0, 0, 0),
        (255, 255, 255),
        (0x12, 0x56, 0x9A),
    ]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_transparent_palette_entries(depth: int) -> None:
    palette = chunk(b"PLTE", bytes((*RED, *BLUE)))
    row = pack_bits([0, 1] * 4, depth)
    pixels = decode(
        make_png([row] * 2, depth, 3, palette, chunk(b"tRNS", b"\xff\0"))
    ).pixels
    assert [pixels.getpixel((x, 0)) for x in (0, 1)] == [RED, (255, 255, 255)]


WHITE_IS_ZERO = 0
BLACK_IS_ZERO = 1
RGB = 2
UNSIGNED = 1
SIGNED = 2
FLOAT = 3


def make_tiff(
    values: Sequence[float],
    bits: int,
    photometric: int,
    sample_format: int,
    order: str,
    *,
    samples: int | None = None,
    planes: int = 1,
) -> bytes:
    """Return an uncompressed TIFF of one row, gray (of two samples: with alpha) or RGB."""
    samples = samples or (3 if photometric == RGB else 1)
    codes = {(32, FLOAT): "f", (64, FLOAT): "d", (16, SIGNED): "h", (16, UNSIGNED): "H"}
    codes |= {(32, UNSIGNED): "I"}
    if code := codes.get((bits, sample_format)):
        data = struct.pack(order + code * len(values), *values)
    else:
        data = pack_bits([int(value) for value in values], bits)
    width = len(values) // samples
    numbers = {
        256: width,
        257: 1,
        259: 1,
        262: photometric,
        277: samples,
        278: 1,
        279: len(data),
    }
    numbers[284] = planes
    offset = 8 + 2 + 12 * 11 + 4
    lists = struct.pack(f"{order}3H", *[bits] * 3) + struct.pack(
        f"{order}3H", *[sample_format] * 3
    )
    tags = {
        tag: struct.pack(f"{order}HHII", tag, 4, 1, number)
        for tag, number in numbers.items()
    }
    tags[273] = struct.pack(f"{order}HHII", 273, 4, 1, offset + len(lists))
    for tag, value, place in ((258, bits, offset), (339, sample_format, offset + 6)):
        if samples < 3:
            both = (value, value if samples == 2 else 0)
            tags[tag] = struct.pack(f"{order}HHIHH", tag, 3, samples, *both)
        else:
            tags[tag] = struct.pack(f"{order}HHII", tag, 3, 3, place)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(
        f"{order}IH", 8, len(tags)
    )
    return head + b"".join(tags[tag] for tag in sorted(tags)) + bytes(4) + lists + data


@pytest.mark.parametrize(
    ("order", "bits", "photometric"),
    [
        ("<", 12, BLACK_IS_ZERO),
        ("<", 16, BLACK_IS_ZERO),
        (">", 16, BLACK_IS_ZERO),
        ("<", 16, WHITE_IS_ZERO),
    ],
)
def test_gray_tiff_is_scaled_by_its_depth(
    order: str, bits: int, photometric: int
) -> None:
    # Dark: the largest value is half of white.
    values = [0, 2**bits // 8, 2**bits // 4, 2**bits // 2]
    data = make_tiff(values, bits, photometric, UNSIGNED, order)
    pixels = decode(data).pixels.convert("L")
    expected = [0, 32, 64, 128]
    if photometric == WHITE_IS_ZERO:
        expected = [255, 223, 191, 127]
    assert [pixels.getpixel((x, 0)) for x in range(4)] == pytest.approx(expected, abs=1)
    assert read_image_size(io.BytesIO(data)) == (4, 1)


@pytest.mark.parametrize(
    ("bits", "photometric", "sample_format", "samples", "planes"),
    [
        (10, BLACK_IS_ZERO, UNSIGNED, 1, 1),
        (24, BLACK_IS_ZERO, UNSIGNED, 1, 1),
        (12, WHITE_IS_ZERO, UNSIGNED, 1, 1),
        (16, BLACK_IS_ZERO, UNSIGNED, 2, 1),
        (12, RGB, UNSIGNED, 3, 1),
        (16, RGB, SIGNED, 3, 1),
        (32, RGB, UNSIGNED, 3, 1),
        (32, RGB, FLOAT, 3, 1),
        (16, RGB, UNSIGNED, 3, 2),
    ],
)
def test_tiff_that_pillow_misreads_is_refused(
    bits: int, photometric: int, sample_format: int, samples: int, planes: int
) -> None:
    data = make_tiff(
        [1, 0, 0, 0, 1, 0],
        bits,
        photometric,
        sample_format,
        "<",
        samples=samples,
        planes=planes,
    )
    with pytest.raises(
        Unreadable, match=r"unsupported format: unusual .*magick IN\.tif"
    ):
        decode(data)


def test_floats_within_one_are_not_stretched() -> None:
    dark = decode(
        make_tiff([0.0, 0.1, 0.2], 32, BLACK_IS_ZERO, FLOAT, "<")
    ).pixels.convert("L")
    assert [dark.getpixel((x, 0)) for x in range(3)] == pytest.approx(
        [0, 26, 51], abs=1
    )
    heights = decode(make_tiff([-10.0, 0.0, 30.0], 32, BLACK_IS_ZERO, FLOAT, "<"))
    assert heights.pixels.convert("L").getpixel((2, 0)) == 255
    large = decode(make_tiff([0, 2**31, 2**32 - 1], 32, BLACK_IS_ZERO, UNSIGNED, "<"))
    assert [large.pixels.convert("L").getpixel((x, 0)) for x in range(3)] == [
        0,
        128,
        255,
    ]


@pytest.mark.parametrize(
    "size", [(12000, 9000), (16320, 12240), (30000, 3500)], ids=str
)
def test_photo_of_a_phone_is_measured(size: tuple[int, int]) -> None:
    file = io.BytesIO()
    Image.new("L", size, 90).save(file, "JPEG")
    image = measure(file.getvalue())
    assert (image.width, image.height) == size


def test_larger_images_are_refused_by_their_size() -> None:
    file = io.BytesIO()
    Image.new("L", (20000, 13000), 90).save(file, "JPEG")
    with pytest.raises(Unreadable, match="250000000 pixels"):
        measure(file.getvalue())
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 12000, 9000, 8, 2, 0, 0, 0))
    with pytest.raises(Unreadable, match="12000 x 9000 pixels, at most 100000000"):
        decode(SIGNATURE + header + make_png(RGB_ROWS, 8, 2)[33:])
