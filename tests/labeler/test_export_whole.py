"""Whole pictures leave byte for byte, under their names; what they say beside their pixels is
told, and taken out where that is asked for.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from labelled_pictures import encoded, picture, put
from PIL import Image, ImageDraw
from tools_for_tests import WITHOUT_POSIX

from gleanset import Box, Dataset
from gleanset.errors import InputUnusable
from gleanset.images.decode import decode
from gleanset.settings import SplitSettings
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.importing.job import import_labelled
from labeler.importing.request import ImportRequest
from labeler.splits.plan import apply_split, plan_split

SECRET = "my secret garden"


def run(dataset: Dataset, out: Path, **options: Any) -> dict[str, Any]:
    return export(dataset, out, ExportOptions(**options), workers=1)


def files(out: Path) -> dict[str, bytes]:
    """The pictures of a tree by their paths."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.relative_to(out).parts[0] in ("train", "val", "test", "images")
    }


def told(seed: int, orientation: int = 1, kind: str = "JPEG", **more: Any) -> bytes:
    """A picture that says where it was taken."""
    exif = Image.Exif()
    exif[0x010E] = SECRET
    exif[0x0112] = orientation
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.9)
    if kind == "JPEG":
        more["comment"] = SECRET.encode()
    return encoded(picture(seed), kind, exif=exif, **more)


@pytest.fixture
def album(empty: Dataset) -> dict[str, bytes]:
    """Pictures of every format under names that people give, each in train; by their name."""
    known = {
        "holiday (1).jpg": told(0),
        "[b] #2 50%.png": encoded(picture(1), "PNG"),
        "🎉.webp": encoded(picture(2), "WEBP", lossless=True),
        "scan.bmp": encoded(picture(3), "BMP"),
        "wrongly called.jpg": encoded(picture(4), "PNG"),
        "grey.jpg": encoded(picture(5).convert("L")),
    }
    for number, (name, data) in enumerate(known.items()):
        put(empty, data, name, label=("hana", "rei")[number % 2])
    return known


def test_every_byte_and_every_name_is_kept(
    empty: Dataset, album: dict[str, bytes], tmp_path: Path
) -> None:
    result = run(empty, tmp_path / "out")
    assert result["changes"] == {"none": len(album)}
    pictures = files(tmp_path / "out")
    assert sorted(pictures.values()) == sorted(album.values())
    names = {path.rpartition("/")[2]: data for path, data in pictures.items()}
    # What is inside decides on the ending.
    expected = {name.replace("called.jpg", "called.png"): data for name, data in album.items()}
    assert names == expected


def test_imported_pictures_come_out_as_they_went_in(empty: Dataset, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(6):
        place = tree / ("cat", "owl")[number % 2] / f"{number} of six.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(told(number))
    import_labelled(empty, ImportRequest(path=str(tree), workers=1))
    apply_split(empty, plan_split(empty, SplitSettings("1:1:1", 0)))
    run(empty, tmp_path / "out")
    out = files(tmp_path / "out")
    came = {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*.jpg")}
    assert {path.partition("/")[2]: data for path, data in out.items()} == came


def test_places_are_told_and_taken_out(empty: Dataset, tmp_path: Path) -> None:
    put(empty, told(0), "place.jpg")
    put(empty, told(1, kind="PNG"), "place.png", label="rei")
    put(empty, told(2, kind="WEBP"), "place.webp", label="rei")
    put(empty, encoded(picture(3)), "none.jpg")
    put(empty, told(4), "face.jpg", [Box(10, 10, 30, 30)])
    result = run(empty, tmp_path / "out")
    assert "3 images contain their GPS position" in " ".join(result["notes"])
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "3 images contain their GPS position" in card
    # Linked from the export before, they still say it.
    assert run(empty, tmp_path / "out")["notes"] == result["notes"]
    clean = run(empty, tmp_path / "clean", strip_metadata=True)
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


def test_what_is_turned_by_exif_stays_turned_and_is_told(empty: Dataset, tmp_path: Path) -> None:
    upright = Image.new("RGB", (120, 80), "white")
    ImageDraw.Draw(upright).rectangle((0, 0, 119, 39), fill="red")
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(upright.transpose(Image.Transpose.ROTATE_90), exif=exif, quality=95)
    put(empty, data, "turned.jpg")
    result = run(empty, tmp_path / "out")
    assert "1 image needs the EXIF orientation" in result["notes"][0]
    assert list(files(tmp_path / "out").values()) == [data]
    stripped = run(empty, tmp_path / "stripped", strip_metadata=True)
    assert stripped["notes"] == result["notes"]
    assert decode(*files(tmp_path / "stripped").values()).orientation == 6
    assert "notes" not in run(empty, tmp_path / "jpeg", file="jpeg")
    with Image.open(tmp_path / "jpeg/train/hana/turned.jpg") as image:
        values = np.asarray(image).astype(int)
        assert not image.getexif()
    assert np.abs(values - np.asarray(upright).astype(int)).mean() < 4


def test_what_few_readers_open_is_written_anew_and_told(empty: Dataset, tmp_path: Path) -> None:
    drawn = picture(1).quantize(16)
    gif = encoded(drawn, "GIF")
    put(empty, gif, "drawn.gif")
    put(empty, encoded(picture(2), "AVIF"), "photo.avif", label="rei")
    put(empty, encoded(picture(3), "TIFF"), "scan.tif", label="rei")
    result = run(empty, tmp_path / "out")
    assert result["changes"] == {
        "none": 1,
        "re-encoded from AVIF, JPEG, quality 95, full colour": 1,
        "re-encoded from GIF, PNG": 1,
    }
    out = files(tmp_path / "out")
    assert set(out) == {"train/hana/drawn.png", "train/rei/photo.jpg", "train/rei/scan.tif"}
    assert decode(out["train/hana/drawn.png"]).pixels.tobytes() == decode(gif).pixels.tobytes()
    assert run(empty, tmp_path / "all", file="original")["changes"] == {"none": 3}
    assert files(tmp_path / "all")["train/hana/drawn.gif"] == gif
    stripped = run(empty, tmp_path / "clean", strip_metadata=True)
    assert "re-encoded from TIFF, JPEG, quality 95, full colour" in stripped["changes"]


@pytest.mark.damages("a picture is altered")
def test_an_original_that_was_altered_is_no_picture_of_the_dataset(
    empty: Dataset, tmp_path: Path
) -> None:
    put(empty, encoded(picture(0)), "good.jpg")
    put(empty, encoded(picture(1)), "altered.jpg")
    path = next(
        path
        for path in (empty.root / "images").rglob("*.jpg")
        if path.read_bytes() == encoded(picture(1))
    )
    path.write_bytes(encoded(picture(9)))
    result = run(empty, tmp_path / "out")
    assert list(result["failed"]) == ["train/hana/altered.jpg"]
    assert "damaged" in result["failed"]["train/hana/altered.jpg"]
    assert set(files(tmp_path / "out")) == {"train/hana/good.jpg"}


@pytest.mark.parametrize("format_", ["csv", "huggingface", "webdataset", "parquet", "coco"])
def test_every_format_says_what_was_changed(empty: Dataset, tmp_path: Path, format_: str) -> None:
    put(empty, told(0), "whole.jpg")
    put(empty, encoded(picture(1), "AVIF"), "new.avif", label="rei")
    result = run(empty, tmp_path / "out", format=format_)
    assert Counter(result["changes"]).total() == 2
    text = (tmp_path / "out" / "LICENSES.csv").read_text(encoding="utf-8")
    rows = {row["file"].rpartition("/")[2]: row for row in csv.DictReader(io.StringIO(text))}
    assert Counter(row["changes"] for row in rows.values()) == result["changes"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "1 image, unchanged (byte for byte)" in card
    assert "1 image contains its GPS position" in card
    if format_ == "parquet":
        (row,) = [
            row
            for row in pq.read_table(tmp_path / "out" / "train-000000.parquet").to_pylist()
            if row["changes"] == "none"
        ]
        assert row["image"]["bytes"] == told(0)
        assert row["sha256"] == row["image_sha256"] == hashlib.sha256(told(0)).hexdigest()


def test_links_take_no_space_and_cannot_be_written(
    empty: Dataset, album: dict[str, bytes], tmp_path: Path
) -> None:
    longer = encoded(picture(20)) + b"behind its end"
    put(empty, longer, "longer.jpg")
    put(empty, encoded(picture(21)), "face.jpg", [Box(10, 10, 30, 30)])
    result = run(empty, tmp_path / "out", link=True)
    assert "1 image contains its GPS position" in result["notes"][0]
    originals = {path.stat().st_ino: path for path in (empty.root / "images").rglob("*.*")}
    out = [
        path
        for path in (tmp_path / "out").rglob("*")
        if path.suffix in (".jpg", ".png", ".webp", ".bmp")
    ]
    links = [path for path in out if path.stat().st_ino in originals]
    assert len(links) == len(album)
    assert {path.name for path in out} - {path.name for path in links} == {
        "longer.jpg",  # some readers write such a file anew, in its place
        "face_1.jpg",
    }
    for path in links:
        assert bool(path.stat().st_mode & 0o222) == WITHOUT_POSIX
        assert path.read_bytes() in album.values()
    # Copies are no links, also where the export before had some.
    run(empty, tmp_path / "out")
    copies = [path for path in out if path.stat().st_ino in originals]
    assert copies == []
    assert run(empty, tmp_path / "out", link=True)["exported"] == len(album) + 2
    assert sum(path.stat().st_ino in originals for path in out) == len(album)


def test_a_link_to_another_disk_is_refused_before_anything_is_written(
    empty: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(empty, encoded(picture(0)), "a.jpg")

    def other_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", other_disk)
    with pytest.raises(InputUnusable, match="cannot be linked into"):
        run(empty, tmp_path / "out", link=True)
    assert not list(tmp_path.glob("*out*"))
