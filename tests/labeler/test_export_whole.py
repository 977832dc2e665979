"""Exporting whole images byte for byte, and reporting or removing their metadata."""

from __future__ import annotations

import csv
import errno
import io
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_images import encoded, picture, put, run_export
from PIL import Image, ImageDraw
from tools_for_tests import WITHOUT_POSIX

from gleanset import Box, Dataset
from gleanset.errors import InputUnusable
from gleanset.images.decode import decode
from labeler.export.plan import plan_export

SECRET = "my secret garden"


def files(out: Path) -> dict[str, bytes]:
    """Return the images of a tree by path."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.relative_to(out).parts[0] in ("train", "val", "test", "images")
    }


def image_with_gps(seed: int, orientation: int = 1, kind: str = "JPEG", **more: Any) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = SECRET
    exif[0x0112] = orientation
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.9)
    if kind == "JPEG":
        more["comment"] = SECRET.encode()
    return encoded(picture(seed), kind, exif=exif, **more)


@pytest.fixture
def album(empty: Dataset) -> dict[str, bytes]:
    """Images of all formats with typical names; return them by name."""
    images = {
        "holiday (1).jpg": image_with_gps(0),
        "[b] #2 50%.png": encoded(picture(1), "PNG"),
        "🎉.webp": encoded(picture(2), "WEBP", lossless=True),
        "scan.bmp": encoded(picture(3), "BMP"),
        "wrongly called.jpg": encoded(picture(4), "PNG"),
        "grey.jpg": encoded(picture(5).convert("L")),
    }
    for number, (name, data) in enumerate(images.items()):
        put(empty, data, name, label=("hana", "rei")[number % 2])
    return images


def test_bytes_and_names_are_kept(empty: Dataset, album: dict[str, bytes], tmp_path: Path) -> None:
    result = run_export(empty, tmp_path / "out")
    assert result["changes"] == {"none": len(album)}
    exported = files(tmp_path / "out")
    assert sorted(exported.values()) == sorted(album.values())
    names = {path.rpartition("/")[2]: data for path, data in exported.items()}
    # The encoding determines the extension.
    expected = {name.replace("called.jpg", "called.png"): data for name, data in album.items()}
    assert names == expected


def test_gps_positions_are_reported_and_removed(empty: Dataset, tmp_path: Path) -> None:
    put(empty, image_with_gps(0), "place.jpg")
    put(empty, image_with_gps(1, kind="PNG"), "place.png", label="rei")
    put(empty, image_with_gps(2, kind="WEBP"), "place.webp", label="rei")
    put(empty, encoded(picture(3)), "none.jpg")
    put(empty, image_with_gps(4), "face.jpg", [Box(10, 10, 30, 30)])
    result = run_export(empty, tmp_path / "out")
    assert "3 images with a GPS position" in " ".join(result["notes"])
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "3 images with a GPS position" in card
    clean = run_export(empty, tmp_path / "clean", strip_metadata=True)
    assert "notes" not in clean
    assert clean["changes"] == {
        "cropped, JPEG, quality 95, full colour": 1,
        "metadata removed": 4,
    }
    before, after = files(tmp_path / "out"), files(tmp_path / "clean")
    assert set(before) == set(after)
    for path, data in after.items():
        assert SECRET.encode() not in data
        assert decode(data).pixels.tobytes() == decode(before[path]).pixels.tobytes()


def test_exif_orientation_is_kept_and_reported(empty: Dataset, tmp_path: Path) -> None:
    upright = Image.new("RGB", (120, 80), "white")
    ImageDraw.Draw(upright).rectangle((0, 0, 119, 39), fill="red")
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(upright.transpose(Image.Transpose.ROTATE_90), exif=exif, quality=95)
    put(empty, data, "turned.jpg")
    result = run_export(empty, tmp_path / "out")
    assert "1 image with an EXIF orientation" in result["notes"][0]
    assert list(files(tmp_path / "out").values()) == [data]
    stripped = run_export(empty, tmp_path / "stripped", strip_metadata=True)
    assert stripped["notes"] == result["notes"]
    assert decode(*files(tmp_path / "stripped").values()).orientation == 6
    assert "notes" not in run_export(empty, tmp_path / "jpeg", file="jpeg")
    with Image.open(tmp_path / "jpeg/train/hana/turned.jpg") as image:
        values = np.asarray(image).astype(int)
        assert not image.getexif()
    assert np.abs(values - np.asarray(upright).astype(int)).mean() < 4


def test_rare_formats_are_reencoded(empty: Dataset, tmp_path: Path) -> None:
    drawn = picture(1).quantize(16)
    gif = encoded(drawn, "GIF")
    put(empty, gif, "drawn.gif")
    put(empty, encoded(picture(2), "AVIF"), "photo.avif", label="rei")
    put(empty, encoded(picture(3), "TIFF"), "scan.tif", label="rei")
    result = run_export(empty, tmp_path / "out")
    assert result["changes"] == {
        "none": 1,
        "re-encoded from AVIF, JPEG, quality 95, full colour": 1,
        "re-encoded from GIF, PNG": 1,
    }
    out = files(tmp_path / "out")
    assert set(out) == {"train/hana/drawn.png", "train/rei/photo.jpg", "train/rei/scan.tif"}
    assert decode(out["train/hana/drawn.png"]).pixels.tobytes() == decode(gif).pixels.tobytes()
    stripped = run_export(empty, tmp_path / "clean", strip_metadata=True)
    assert "re-encoded from TIFF, JPEG, quality 95, full colour" in stripped["changes"]


@pytest.mark.damages("an image is altered")
def test_altered_original_is_not_exported(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encoded(picture(0)), "good.jpg")
    put(empty, encoded(picture(1)), "altered.jpg")
    item = next(item for item in plan_export(empty) if "altered" in item.path)
    item.original.write_bytes(encoded(picture(9)))
    result = run_export(empty, tmp_path / "out")
    assert list(result["failed"]) == ["train/hana/altered.jpg"]
    assert "damaged" in result["failed"]["train/hana/altered.jpg"]
    assert set(files(tmp_path / "out")) == {"train/hana/good.jpg"}


@pytest.mark.parametrize("format_", ["csv", "webdataset", "coco"])
def test_formats_record_changes(empty: Dataset, tmp_path: Path, format_: str) -> None:
    put(empty, image_with_gps(0), "whole.jpg")
    put(empty, encoded(picture(1), "AVIF"), "new.avif", label="rei")
    result = run_export(empty, tmp_path / "out", format=format_)
    assert Counter(result["changes"]).total() == 2
    text = (tmp_path / "out" / "LICENSES.csv").read_text(encoding="utf-8")
    rows = {row["file"].rpartition("/")[2]: row for row in csv.DictReader(io.StringIO(text))}
    assert Counter(row["changes"] for row in rows.values()) == result["changes"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "1 image, unchanged (byte for byte)" in card
    assert "1 image with a GPS position" in card


def test_links_are_hard_and_read_only(
    empty: Dataset, album: dict[str, bytes], tmp_path: Path
) -> None:
    longer = encoded(picture(20)) + b"behind its end"
    put(empty, longer, "longer.jpg")
    put(empty, encoded(picture(21)), "face.jpg", [Box(10, 10, 30, 30)])
    result = run_export(empty, tmp_path / "out", link=True)
    assert "1 image with a GPS position" in result["notes"][0]
    originals = {path.stat().st_ino: path for path in (empty.root / "images").rglob("*.*")}
    out = [tmp_path / "out" / path for path in files(tmp_path / "out")]
    links = [path for path in out if path.stat().st_ino in originals]
    assert len(links) == len(album)
    assert {path.name for path in out} - {path.name for path in links} == {
        "longer.jpg",  # some readers rewrite such a file in place
        "face_1.jpg",
    }
    for path in links:
        assert bool(path.stat().st_mode & 0o222) == WITHOUT_POSIX
        assert path.read_bytes() in album.values()
    # Links of the previous export are replaced by copies.
    run_export(empty, tmp_path / "out")
    assert [path for path in out if path.stat().st_ino in originals] == []


def test_link_to_other_disk_raises_error(
    empty: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(empty, encoded(picture(0)), "a.jpg")

    def other_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", other_disk)
    with pytest.raises(InputUnusable, match="cannot be linked into"):
        run_export(empty, tmp_path / "out", link=True)
    assert not list(tmp_path.glob("*out*"))
