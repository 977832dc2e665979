"""GPS positions in the metadata of image files."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, TiffImagePlugin
from tools_for_tests import encode, pixels, python_path

from gleanset.images.embedded_metadata import file_has_gps_position, has_gps_position

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>%s</x:xmpmeta>"


def exif(place: bool = True) -> Image.Exif:
    result = Image.Exif()
    result[0x010E] = "my secret garden"
    if place:
        result.get_ifd(0x8825)[2] = (48.0, 51.0, 29.9)
    return result


def file(kind: str, **options: Any) -> bytes:
    return encode(pixels(3, (40, 30)), kind, **options)


def with_metadata(kind: str) -> bytes:
    """Return a file with texts, EXIF, XMP, and data behind its end."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Packed", "my secret garden", zip=True)
    text.add_itxt("XML:com.adobe.xmp", (XMP % b"").decode())
    more: dict[str, Any] = {"pnginfo": text} if kind == "PNG" else {"xmp": XMP % b""}
    return file(kind, exif=exif(), **more) + b"behind its end"


def test_gps_position_is_detected_in_every_format(tmp_path: Path) -> None:
    xmp = XMP % b"<rdf:Description exif:GPSLatitude='48,51.5N'/>"
    text = PngImagePlugin.PngInfo()
    raw = exif().tobytes()
    text.add_text(
        "Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n", zip=True
    )
    late = file("PNG")
    chunk = b"eXIf" + raw.removeprefix(b"Exif\0\0")
    last = late.index(b"IEND") - 4
    late = (
        late[:last]
        + (len(chunk) - 4).to_bytes(4, "big")
        + chunk
        + b"\0\0\0\0"
        + late[last:]
    )
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
            has_gps_position(data)
            == file_has_gps_position(tmp_path / name)
            == (name in message)
        ), name


def test_gps_position_is_detected_in_heic(tmp_path: Path) -> None:
    """The HEIC plugin is loaded on demand in any process."""
    pytest.importorskip("pillow_heif").register_heif_opener()
    code = (
        "import sys; from pathlib import Path; "
        "from gleanset.images.embedded_metadata import file_has_gps_position; "
        "print([file_has_gps_position(Path(name)) for name in sys.argv[1:]])"
    )
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


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    spoilt=st.lists(
        st.tuples(st.integers(3, 2_000), st.integers(0, 255)), min_size=1, max_size=4
    ),
    short=st.integers(0, 400),
)
def test_damaged_files_are_searched(
    kind: str, spoilt: list[tuple[int, int]], short: int
) -> None:
    """Hostile files cause neither unexpected errors nor long run times."""
    data = bytearray(with_metadata(kind))
    for at, value in spoilt:
        data[at % len(data)] = value
    damaged = bytes(data[: len(data) - short])
    assert has_gps_position(damaged) in (True, False)
