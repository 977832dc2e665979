"""Metadata in image files: detected, and removed without changing a pixel."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import tools_for_tests
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin
from tools_for_tests import encode, python_path

from gleanset.errors import Unreadable
from gleanset.images.decode import decode
from gleanset.images.embedded_metadata import (
    file_has_gps_position,
    has_gps_position,
    strip_metadata,
)

SECRET = b"my secret garden"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>%s</x:xmpmeta>"
IPTC = b"Photoshop 3.0\0" + SECRET


def pixels(mode: str = "RGB") -> Image.Image:
    return tools_for_tests.pixels(3, (40, 30)).convert(mode)


def exif(orientation: int = 1, place: bool = True) -> Image.Exif:
    result = Image.Exif()
    result[0x010E] = SECRET.decode()
    result[0x0112] = orientation
    if place:
        result.get_ifd(0x8825)[2] = (48.0, 51.0, 29.9)
    return result


def file(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    return encode(image or pixels(), kind, **options)


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def with_metadata(kind: str, orientation: int = 1, **fields: Any) -> bytes:
    """Return a file with every kind of metadata and a profile."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    result: dict[str, Any] = {"exif": exif(orientation), "icc_profile": profile, **fields}
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", SECRET.decode())
        text.add_text("Packed", SECRET.decode(), zip=True)
        text.add_itxt("XML:com.adobe.xmp", (XMP % SECRET).decode())
        return file(kind, pnginfo=text, **result) + SECRET
    if kind == "JPEG":
        result["comment"] = SECRET
    data = file(kind, xmp=XMP % SECRET, **result)
    if kind == "JPEG":
        data = data[:2] + segment(0xED, IPTC) + segment(0xE5, SECRET) + data[2:] + SECRET
    return data


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "restart_marker_blocks": 2}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 60}),
    ],
)
def test_strip_keeps_pixels_profile_and_orientation(
    kind: str, fields: dict[str, Any], orientation: int
) -> None:
    data = with_metadata(kind, orientation, **fields)
    assert SECRET in data
    assert has_gps_position(data)
    clean = strip_metadata(data, orientation)
    assert SECRET not in clean
    assert zlib.compress(SECRET)[:8] not in clean
    assert not has_gps_position(clean)
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(clean)) as after:
        assert after.tobytes() == before.tobytes()
        assert after.info["icc_profile"] == before.info["icc_profile"]
        assert dict(after.getexif()) == ({0x0112: orientation} if orientation > 1 else {})
        assert "xmp" not in after.info
    upright, was = decode(clean), decode(data)
    assert upright.orientation == was.orientation == orientation
    assert upright.pixels.tobytes() == was.pixels.tobytes()
    assert strip_metadata(clean, orientation) == clean


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_strip_keeps_color_mode(mode: str) -> None:
    """The Adobe segment, which says how CMYK is coded, must stay."""
    data = file("JPEG", pixels(mode), exif=exif())
    clean = strip_metadata(data, 1)
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(clean)) as after:
        assert (after.mode, after.tobytes()) == (mode, before.tobytes())


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_strip_keeps_animation_frames(kind: str) -> None:
    frames = [pixels().rotate(90 * turn) for turn in range(3)]
    data = file(
        kind, frames[0], save_all=True, append_images=frames[1:], exif=exif(), lossless=True
    )
    clean = strip_metadata(data, 1)
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(clean)) as after:
        assert after.n_frames == before.n_frames == 3  # type: ignore[attr-defined]
        for number in range(3):
            before.seek(number)
            after.seek(number)
            assert after.convert("RGB").tobytes() == before.convert("RGB").tobytes()


def test_strip_removes_jfif_thumbnail() -> None:
    """A JFIF thumbnail may show what was cropped away."""
    data = file("JPEG", dpi=(72, 72))
    head = data[6:20]
    thumbnail = head[:12] + b"\x01\x02" + b"\xaa\xbb\xcc" * 2
    grown = data[:2] + segment(0xE0, thumbnail) + data[20:]
    assert decode(grown).pixels.tobytes() == decode(data).pixels.tobytes()
    assert strip_metadata(grown, 1) == data


def test_gps_position_is_detected_in_every_format(tmp_path: Path) -> None:
    xmp = XMP % b"<rdf:Description exif:GPSLatitude='48,51.5N'/>"
    text = PngImagePlugin.PngInfo()
    raw = exif().tobytes()
    text.add_text("Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n", zip=True)
    late = file("PNG")
    chunk = b"eXIf" + raw.removeprefix(b"Exif\0\0")
    last = late.index(b"IEND") - 4
    late = late[:last] + (len(chunk) - 4).to_bytes(4, "big") + chunk + b"\0\0\0\0" + late[last:]
    place = TiffImagePlugin.ImageFileDirectory_v2()
    place[0x8825] = {2: (48.0, 51.0, 29.9)}
    message = {
        "exif.jpg": file("JPEG", exif=exif()),
        "xmp.jpg": file("JPEG", xmp=xmp),
        "xmp16.jpg": file("JPEG", xmp=xmp.decode().encode("utf-16-le")),
        "exif.png": file("PNG", exif=exif()),
        "raw.png": file("PNG", pnginfo=text),
        "late.png": late,
        "exif.webp": file("WEBP", exif=exif()),
        "xmp.webp": file("WEBP", xmp=xmp),
        "exif.tif": file("TIFF", tiffinfo=place),
        "exif.avif": file("AVIF", exif=exif()),
    }
    silent = {
        "none.jpg": file("JPEG", exif=exif(place=False)),
        "none.png": file("PNG"),
        "none.gif": file("GIF"),
        "none.bmp": file("BMP"),
        "damaged.jpg": file("JPEG", exif=exif(place=False))[:60],
        "empty.jpg": b"",
        "text.jpg": b"GPSLatitude",
    }
    for name, data in (message | silent).items():
        (tmp_path / name).write_bytes(data)
        assert (
            has_gps_position(data) == file_has_gps_position(tmp_path / name) == (name in message)
        ), name


def test_gps_position_is_detected_in_heic(tmp_path: Path) -> None:
    """The HEIC plugin is loaded on demand in any process."""
    pytest.importorskip("pillow_heif")
    code = (
        "import sys; from pathlib import Path; "
        "from gleanset.images.embedded_metadata import file_has_gps_position; "
        "print([file_has_gps_position(Path(name)) for name in sys.argv[1:]])"
    )
    register_heic()
    for name, place in (("yes.heic", True), ("no.heic", False)):
        (tmp_path / name).write_bytes(file("HEIF", exif=exif(place=place)))
    files = (tmp_path / "yes.heic", tmp_path / "no.heic")
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, files)],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[True, False]"


def register_heic() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()


def test_strip_leaves_bmp_and_rejects_other_formats() -> None:
    data = file("BMP")
    assert strip_metadata(data, 1) == data
    for other in (file("TIFF"), file("GIF"), b"", b"no image"):
        with pytest.raises(Unreadable):
            strip_metadata(other, 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_strip_rejects_truncated_file(kind: str) -> None:
    data = with_metadata(kind)
    with pytest.raises(Unreadable):
        strip_metadata(data[:200], 1)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    spoilt=st.lists(st.tuples(st.integers(3, 2_000), st.integers(0, 255)), min_size=1, max_size=4),
    short=st.integers(0, 400),
)
def test_strip_handles_damaged_files(kind: str, spoilt: list[tuple[int, int]], short: int) -> None:
    """Hostile files cause neither unexpected errors nor long run times."""
    data = bytearray(with_metadata(kind))
    for at, value in spoilt:
        data[at % len(data)] = value
    damaged = bytes(data[: len(data) - short])
    assert has_gps_position(damaged) in (True, False)
    try:
        clean = strip_metadata(damaged, 6)
    except Unreadable:
        return
    assert len(clean) <= len(damaged) + 60
