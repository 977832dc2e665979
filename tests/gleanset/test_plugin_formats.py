"""HEIC is supported where its plugin is installed; camera RAW and JPEG XL never are."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import pytest
from PIL import Image
from tools_for_tests import encode, pixels, python_path, run_cli

from gleanset import Dataset
from gleanset.errors import Unreadable
from gleanset.images import plugin_formats
from gleanset.images.decode import decode, read_image_size
from gleanset.images.plugin_formats import is_camera_raw
from harvest.folder import ImportOptions, harvest_folders

NEEDS_EXTRA = "needs [formats], see gleanset doctor"

pytest.importorskip("pillow_heif")


def encode_heic(size: tuple[int, int] = (96, 64)) -> bytes:
    """Return a smooth image, nearly lossless."""
    plugin_formats._is_plugin_loaded()
    return encode(pixels(3, size), "HEIF", quality=95)


def test_heic_is_decoded(tmp_path: Path) -> None:
    data = encode_heic()
    result = decode(data)
    assert (result.format, result.width, result.height, result.frames) == ("HEIF", 96, 64, 1)
    was, now = (picture.convert("L").tobytes() for picture in (pixels(3, (96, 64)), result.pixels))
    assert sum(abs(a - b) for a, b in zip(was, now, strict=True)) / len(was) < 4
    (tmp_path / "x").write_bytes(data)
    assert read_image_size(tmp_path / "x") == read_image_size(io.BytesIO(data)) == (96, 64)
    with pytest.raises(Unreadable, match="too large"):
        decode(data, max_pixels=1000)


def test_damaged_heic_is_rejected() -> None:
    data, dice = encode_heic(), random.Random(0)
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


@pytest.mark.parametrize("data", [b"\xff\x0a" + bytes(60), b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60)])
def test_jpeg_xl_is_rejected_by_name(data: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        decode(data)
    assert (refused.value.reason, refused.value.detail) == ("unsupported format", "JPEG XL")


def tiff(*tags: tuple[int, int]) -> bytes:
    """Return a TIFF with one directory of these SHORT tags."""
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(20)


@pytest.mark.parametrize(
    "data",
    [
        tiff((256, 10), (262, 32803)),
        tiff((262, 2), (50706, 1)),
        b"II*\0\x10\0\0\0CR\x02\0" + bytes(60),
        b"FUJIFILMCCD-RAW 0201" + bytes(60),
        b"\0\0\0\x18ftypcrx " + bytes(60),
        b"IIRO\x08\0\0\0" + bytes(60),
    ],
)
def test_camera_raw_is_rejected_with_hint(data: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        decode(data)
    assert (refused.value.reason, refused.value.detail[:10]) == ("unsupported format", "camera RAW")
    assert "export it as JPEG" in refused.value.detail


def test_camera_raw_is_detected_in_sub_ifd() -> None:
    sub = struct.pack("<H", 1) + struct.pack("<HHII", 262, 3, 1, 32803) + bytes(4)
    first = struct.pack("<H", 2) + struct.pack("<HHII", 262, 3, 1, 2)
    first += struct.pack("<HHII", 330, 4, 1, 8 + len(first) + 12)
    assert is_camera_raw(b"II*\0" + struct.pack("<I", 8) + first + sub + bytes(20))
    loop = tiff((330, 8), (330, 8), (262, 2))
    assert not is_camera_raw(loop)
    plain = encode(Image.new("RGB", (20, 10)), "TIFF")
    assert decode(plain).format == "TIFF"
    for length in range(40):
        assert not is_camera_raw(plain[:length])


def test_harvest_without_plugin_prints_hint(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "phone.HEIC").write_bytes(encode_heic())
    # Make the plugin's import fail in workers, too.
    (tmp_path / "pillow_heif.py").write_text("raise ImportError")
    done = run_cli(
        "harvest.cli",
        "folder",
        tmp_path / "in",
        "-d",
        tmp_path / "d",
        PYTHONPATH=python_path(tmp_path),
    )
    assert " ".join(done.stdout.split()).count(f"HEIC: {NEEDS_EXTRA}") == 2, done.stdout


def test_harvest_keeps_heic_extension(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "phone.HEIC").write_bytes(encode_heic())
    assert harvest_folders(dataset, [tmp_path / "in"], ImportOptions(workers=1))["added"] == 1
    assert {image.format for image in dataset.images.iterate()} == {"HEIF"}
    assert {path.suffix for path in (dataset.root / "images").rglob("*.*")} == {".heic"}
