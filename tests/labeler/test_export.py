"""Exporting to folders: names, bytes, metadata, replacing, interruptions, and readers."""

import csv
import errno
import io
import os
import shutil
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_images import (
    kill_export,
    mixed,
    picture,
    put,
    run_export,
    run_import,
    run_labeler,
)
from PIL import Image, ImageDraw
from tools_for_tests import (
    WITHOUT_POSIX,
    encode,
    exif_orientation,
    make_archive,
    read_files,
    write_pictures,
)

from gleanset import Box, Dataset, Origin
from gleanset.db.classes import Placement, Placements
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import MODEL, Choice
from gleanset.errors import InputUnusable
from gleanset.images.decode import decode
from gleanset.images.measure import measure
from harvest.request import FolderRequest
from labeler.export.item import find_original_path
from labeler.export.options import ExportOptions
from labeler.export.plan import choose_file_stem, plan_export
from labeler.export.tree import MARKER, replace_tree, write_marker
from pipeline.listing import list_records

CARD = ("README.md", "LICENSES.csv", "croissant.json")


def read_tree(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in read_files(folder).items() if name not in CARD}


def planned_paths(dataset: Dataset) -> list[str]:
    return sorted(item.path for item in plan_export(dataset, ExportOptions()))


def export_tree(dataset: Dataset, out: Path) -> dict[str, bytes]:
    run_export(dataset, out)
    return read_tree(out)


def test_tree_layout_and_face_numbers(empty: Dataset, tmp_path: Path) -> None:
    left = Box(5, 40, 20, 20)
    middle = Box(45, 5, 20, 20)
    right = Box(80, 20, 20, 20)
    keys = put(empty, encode(picture(0)), "Group Photo.jpg", [right, left, middle])
    put(empty, encode(picture(1)), "alone.png", label="rei", split="test")
    result = export_tree(empty, tmp_path / "out")
    assert set(result) == {
        "train/hana/Group Photo_1.jpg",
        "train/hana/Group Photo_2.jpg",
        "train/hana/Group Photo_3.jpg",
        "test/rei/alone.jpg",
        MARKER,
    }
    for number, key in enumerate((keys[1], keys[2], keys[0]), start=1):
        expected = empty.crop_path(key).read_bytes()
        assert result[f"train/hana/Group Photo_{number}.jpg"] == expected
    with Image.open(tmp_path / "out/test/rei/alone.jpg") as image:
        assert image.size == (120, 80)


def test_colliding_file_names_stay_distinct(empty: Dataset) -> None:
    for number, title in enumerate(
        ["Photo.jpg", "photo.jpg", "photo.png", "photo.jpg"]
    ):
        origin = Origin("folder", str(number), title=title)
        put(empty, encode(picture(number)), title, origin=origin)
    paths = planned_paths(empty)
    assert len({path.casefold() for path in paths}) == 4
    assert {path[:16].lower() for path in paths} == {"train/hana/photo"}


def test_export_is_reproducible_without_crops(empty: Dataset, tmp_path: Path) -> None:
    mixed(empty)
    first = export_tree(empty, tmp_path / "one")
    shutil.rmtree(empty.root / "crops")
    assert export_tree(empty, tmp_path / "two") == first


@pytest.mark.parametrize("foreign", ["notes.txt", "train/hana/mine.jpg"])
def test_foreign_files_are_not_replaced(
    empty: Dataset, tmp_path: Path, foreign: str
) -> None:
    put(empty, encode(picture(0)), "a.jpg")
    out = tmp_path / "out"
    if foreign != "notes.txt":
        export_tree(empty, out)
    (out / foreign).parent.mkdir(parents=True, exist_ok=True)
    (out / foreign).write_text("mine")
    before = read_tree(out)
    ran = run_labeler("export", out, "-d", empty.root).refused(3, foreign)
    # Reading back is advised for an export only.
    assert ("labeler import" in ran.stderr) == (foreign != "notes.txt")
    assert read_tree(out) == before


@pytest.mark.damages("an image is removed")
def test_unreadable_images_exit_with_code_3(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encode(picture(0)), "kept.jpg")
    put(empty, encode(picture(1)), "lost.jpg")
    next(
        i for i in plan_export(empty, ExportOptions()) if "lost" in i.path
    ).original.unlink()
    ran = run_labeler("export", tmp_path / "out", "-q", "-d", empty.root)
    assert (ran.code, ran.stdout) == (3, "")
    assert "unreadable files are left out: 1" in ran.stderr
    assert "gleanset verify" in ran.stderr
    assert read_tree(tmp_path / "out")


def test_failed_export_keeps_previous_one(empty: Dataset, tmp_path: Path) -> None:
    mixed(empty)
    before = export_tree(empty, tmp_path / "out")
    shutil.rmtree(empty.root / "crops")
    (empty.root / "images").rename(tmp_path / "unplugged")
    with pytest.raises(InputUnusable, match="none of"):
        run_export(empty, tmp_path / "out", grayscale=True)
    assert read_tree(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir() if "gleanset" in path.name] == []


def test_simulate_counts_without_writing(empty: Dataset, tmp_path: Path) -> None:
    mixed(empty)
    words = ("export", tmp_path / "out", "--simulate", "-d", empty.root)
    result = run_labeler(*words, "--json").json
    assert (result["would_export"], sorted(result["paths"])) == (
        16,
        planned_paths(empty),
    )
    assert sum(sum(row.values()) for row in result["classes"].values()) == 16
    assert set(result["classes"]) == {"hana", "rei"}
    shown = run_labeler(*words).stdout
    assert "hana" in shown
    assert ".jpg" not in shown
    assert not (tmp_path / "out").exists()


def test_left_out_samples_are_counted_by_reason(empty: Dataset, tmp_path: Path) -> None:
    keys = [put(empty, encode(picture(n)), f"{n}.jpg")[0] for n in range(6)]
    licensed = Origin("folder", "6", title="6.jpg", licence="CC0")
    put(empty, encode(picture(6)), "6.jpg", origin=licensed)
    queued, unsplit, duplicate, queued_duplicate = keys[:4]
    step = empty.journal.apply(
        "back", [Choice(queued, "add"), Choice(queued_duplicate, "add")]
    )
    rows = Pairs(empty.db).get_ids([duplicate, queued_duplicate])
    Placements(empty.db).apply(
        step, [Placement(row, False, keys[4], "copy") for row in rows]
    )
    splits = {
        s.key: (s.key, s.split) for s in empty.samples.iter_by_key() if s.key != unsplit
    }
    empty.samples.set_splits(splits)
    words = ("export", tmp_path / "out", "--licence", "cc0", "-d", empty.root)
    for also in (["--simulate"], []):
        summary = run_labeler(*words, *also, "--json").json
        assert summary["left_out"] == {
            "unlabelled": 1,
            "duplicates": 2,
            "labelled, without a split": 1,
            "of another licence": 2,
        }
    assert summary["exported"] == empty.samples.count() - 6 == 1
    empty.journal.apply("no class", [Choice(queued, "reject")])
    empty.journal.apply("unreviewed", [Choice(keys[4], "label", "a", MODEL)])
    empty.samples.set_splits(splits | {keys[4]: (keys[4], "test")})
    words = ("export", tmp_path / "all", "-d", empty.root)
    result = run_labeler(*words, "--json").json
    assert {"rejected", "in val or test with an unreviewed label"} < {
        *result["left_out"]
    }
    assert (
        result["exported"] + sum(result["left_out"].values()) == empty.samples.count()
    )
    lines = run_labeler(*words).stdout.splitlines()
    assert lines[lines.index("files:") + 1].startswith("  originals, byte for byte: ")


@pytest.mark.slow
def test_kill_keeps_previous_export(empty: Dataset, tmp_path: Path) -> None:
    for number in range(40):
        put(empty, encode(picture(number, (1100, 800)), quality=60), f"{number}.jpg")
    out = tmp_path / "out"
    partial = tmp_path / ".out.gleanset-partial"
    exported_keys = [item.sample.key for item in plan_export(empty, ExportOptions())][
        :3
    ]
    all_splits = {s.key: (s.key, s.split) for s in empty.samples.iter_by_key()}
    empty.samples.set_splits({key: (key, "train") for key in exported_keys})
    before = export_tree(empty, out)
    empty.samples.set_splits(all_splits)
    kill_export(empty, out, when=lambda: len(list(partial.rglob("*.jpg"))) >= 2)
    assert len(list(partial.rglob("*.jpg"))) < 40, "it was killed too late"
    assert (read_tree(out), len(export_tree(empty, out))) == (before, 41)
    assert [path.name for path in tmp_path.iterdir() if "gleanset" in path.name] == []
    assert not list((empty.cache / "scratch").iterdir())


def test_kill_between_renames_restores_previous_export(
    empty: Dataset, tmp_path: Path
) -> None:
    put(empty, encode(picture(0)), "a.jpg")
    before = export_tree(empty, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / ".out.gleanset-old")
    empty.journal.undo()
    with pytest.raises(InputUnusable, match="nothing to export"):
        export_tree(empty, tmp_path / "out")
    assert read_tree(tmp_path / "out") == before
    assert not (tmp_path / ".out.gleanset-old").exists()


def test_link_to_target_folder_is_kept(empty: Dataset, tmp_path: Path) -> None:
    mixed(empty)
    real = tmp_path / "real"
    link = tmp_path / "link"
    real.mkdir()
    link.symlink_to("real")
    for size in ("20x20", "30x30"):
        run_export(empty, link, size=size)
        assert link.is_symlink()
        assert len(list(real.rglob("*.jpg"))) == 16
    assert sorted(path.name for path in tmp_path.glob("*link*")) == ["link"]
    assert not list(tmp_path.glob(".*"))


def test_disk_root_as_target_raises_error(empty: Dataset) -> None:
    mixed(empty)
    with pytest.raises(InputUnusable, match="the root of a disk"):
        run_export(empty, Path("/"))
    ran = run_labeler("export", "/", "--simulate", "-d", empty.root)
    assert "the root of a disk" in ran.stderr


@pytest.mark.slow
def test_reader_always_finds_complete_export(empty: Dataset, tmp_path: Path) -> None:
    """Replace an export several times while another thread reads it."""
    mixed(empty)
    out = tmp_path / "out"
    over = threading.Event()
    absent = 0
    run_export(empty, out)

    def look() -> None:
        nonlocal absent
        while not over.is_set():
            absent += not (out / MARKER).exists()

    reader = threading.Thread(target=look, daemon=True)
    reader.start()
    for side in (20, 30):
        run_export(empty, out, size=f"{side}x{side}")
    over.set()
    reader.join()
    if sys.platform == "linux":
        assert absent == 0
    assert [path.name for path in tmp_path.glob("*out*")] == ["out"]


@pytest.mark.parametrize("at_once", [True, False])
def test_files_changed_during_export_are_kept(
    at_once: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on file systems that cannot exchange folders, and with colliding names."""
    if not at_once:
        monkeypatch.setattr(
            "labeler.export.tree.exchange_paths", lambda path, other: False
        )
    out = tmp_path / "out"
    with replace_tree(out, resume=False) as new:
        for name in ("a.txt", "b.txt", "gone.txt", "folder"):
            (new.folder / name).write_text("first")
        write_marker(new.folder, {})
    with replace_tree(out, resume=False) as new:
        for name in ("a.txt", "b.txt", "folder/x.txt"):
            (new.folder / name).parent.mkdir(exist_ok=True)
            (new.folder / name).write_text("second")
        write_marker(new.folder, {})
        (out / "b.txt").write_text("edited meanwhile")
        (out / "mine").mkdir()
        (out / "mine" / "notes.txt").write_text("mine")
        (out / "link").symlink_to("/")
    assert sorted(new.kept_files) == ["kept-1-b.txt", "link", "mine/notes.txt"]
    assert (out / "mine" / "notes.txt").read_text() == "mine"
    assert (out / "kept-1-b.txt").read_text() == "edited meanwhile"
    assert (out / "link").is_symlink()
    assert [(out / n).read_text() for n in ("a.txt", "b.txt", "folder/x.txt")] == [
        "second"
    ] * 3
    assert not (out / "gone.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


SECRET = "my secret garden"


def files(out: Path) -> dict[str, bytes]:
    """Return the images of a tree by path."""
    return {
        path: data
        for path, data in read_tree(out).items()
        if path.startswith(("train/", "val/", "test/", "images/"))
    }


def image_with_gps(seed: int, kind: str = "JPEG", **more: Any) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = SECRET
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.9)
    if kind == "JPEG":
        more["comment"] = SECRET.encode()
    return encode(picture(seed), kind, exif=exif, **more)


@pytest.fixture
def album(empty: Dataset) -> dict[str, bytes]:
    """Images of all formats with typical names; return them by name."""
    images = {
        "holiday (1).jpg": image_with_gps(0),
        "[b] #2 50%.png": encode(picture(1), "PNG"),
        "🎉.webp": encode(picture(2), "WEBP", lossless=True),
        "scan.bmp": encode(picture(3), "BMP"),
        "wrongly called.jpg": encode(picture(4), "PNG"),
        "grey.jpg": encode(picture(5).convert("L")),
    }
    for number, (name, data) in enumerate(images.items()):
        put(empty, data, name, label=("hana", "rei")[number % 2])
    return images


def test_bytes_and_names_are_kept(
    empty: Dataset, album: dict[str, bytes], tmp_path: Path
) -> None:
    result = run_export(empty, tmp_path / "out")
    assert result["changes"] == {"originals, byte for byte": len(album)}
    exported = files(tmp_path / "out")
    assert sorted(exported.values()) == sorted(album.values())
    names = {path.rpartition("/")[2]: data for path, data in exported.items()}
    # The encoding determines the extension.
    expected = {
        name.replace("called.jpg", "called.png"): data for name, data in album.items()
    }
    assert names == expected


def test_equal_files_have_the_shortest_name_until_one_is_cropped(
    empty: Dataset, tmp_path: Path
) -> None:
    def origin(name: str) -> Origin:
        return Origin(
            "folder", f"/x/{name}", path=f"/x/{name}", title=name, original_path=name
        )

    data = encode(picture(0))
    for name in ("a copy of b.jpg", "b.jpg"):
        empty.images.add(measure(data), origin(name))
    for name in ("b (1).jpg", "a.jpg"):
        put(empty, data, name, origin=origin(name))
        run_export(empty, tmp_path / "out")
        assert set(files(tmp_path / "out")) == {"train/hana/b.jpg"}
        assert ",b.jpg,hana," in (tmp_path / "out" / "LICENSES.csv").read_text(
            encoding="utf-8"
        )
        (line,) = list_records(empty, "samples", ())
        assert line["path"] == "/x/b.jpg"


def test_gps_positions_are_reported_and_removed(empty: Dataset, tmp_path: Path) -> None:
    put(empty, image_with_gps(0), "beach.jpg")
    put(empty, image_with_gps(1, kind="PNG"), "garden.png", label="rei")
    put(empty, image_with_gps(2, kind="WEBP"), "house.webp", label="rei")
    put(empty, encode(picture(3)), "none.jpg")
    put(empty, image_with_gps(4), "face.jpg", [Box(10, 10, 30, 30)])
    result = run_export(empty, tmp_path / "out")
    assert "3 images with a GPS position" in " ".join(result["notes"])
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "3 images with a GPS position" in card
    before = {Path(path).stem: data for path, data in files(tmp_path / "out").items()}
    for kind in ("png", "jpeg"):
        clean = run_export(empty, tmp_path / kind, file=kind)
        assert "notes" not in clean
        after = {Path(path).stem: data for path, data in files(tmp_path / kind).items()}
        assert set(before) == set(after)
        for name, data in after.items():
            assert SECRET.encode() not in data
            with Image.open(io.BytesIO(data)) as image:
                assert not image.getexif()
            if kind == "png":
                assert (
                    decode(data).pixels.tobytes()
                    == decode(before[name]).pixels.tobytes()
                )


def test_exif_orientation_is_kept_and_reported(empty: Dataset, tmp_path: Path) -> None:
    upright = Image.new("RGB", (120, 80), "white")
    ImageDraw.Draw(upright).rectangle((0, 0, 119, 39), fill="red")
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    data = encode(turned, exif=exif_orientation(6), quality=95)
    put(empty, data, "turned.jpg")
    result = run_export(empty, tmp_path / "out")
    assert "1 image with an EXIF orientation" in result["notes"][0]
    assert list(files(tmp_path / "out").values()) == [data]
    assert "notes" not in run_export(empty, tmp_path / "jpeg", file="jpeg")
    with Image.open(tmp_path / "jpeg/train/hana/turned.jpg") as image:
        values = np.asarray(image).astype(int)
        assert not image.getexif()
    assert np.abs(values - np.asarray(upright).astype(int)).mean() < 4


def test_rare_formats_are_reencoded(empty: Dataset, tmp_path: Path) -> None:
    gif = encode(picture(1).quantize(16), "GIF")
    put(empty, gif, "drawn.gif")
    put(empty, encode(picture(2), "AVIF"), "photo.avif", label="rei")
    put(empty, encode(picture(3), "TIFF"), "scan.tif", label="rei")
    result = run_export(empty, tmp_path / "out")
    assert result["changes"] == {
        "originals, byte for byte": 1,
        "re-encoded from AVIF to JPEG, quality 95, full colour": 1,
        "re-encoded from GIF to PNG": 1,
    }
    out = files(tmp_path / "out")
    assert set(out) == {
        "train/hana/drawn.png",
        "train/rei/photo.jpg",
        "train/rei/scan.tif",
    }
    assert (
        decode(out["train/hana/drawn.png"]).pixels.tobytes()
        == decode(gif).pixels.tobytes()
    )


@pytest.mark.damages("an image is altered")
def test_altered_original_is_not_exported(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encode(picture(0)), "good.jpg")
    put(empty, encode(picture(1)), "altered.jpg")
    item = next(
        item for item in plan_export(empty, ExportOptions()) if "altered" in item.path
    )
    item.original.write_bytes(encode(picture(9)))
    result = run_export(empty, tmp_path / "out")
    assert list(result["failed"]) == ["train/hana/altered.jpg"]
    assert "damaged" in result["failed"]["train/hana/altered.jpg"]
    assert set(files(tmp_path / "out")) == {"train/hana/good.jpg"}


@pytest.mark.parametrize("format_", ["csv", "webdataset", "coco"])
def test_formats_record_changes(empty: Dataset, tmp_path: Path, format_: str) -> None:
    put(empty, image_with_gps(0), "whole.jpg")
    put(empty, encode(picture(1), "AVIF"), "new.avif", label="rei")
    result = run_export(empty, tmp_path / "out", format=format_)
    assert Counter(result["changes"]).total() == 2
    text = (tmp_path / "out" / "LICENSES.csv").read_text(encoding="utf-8")
    rows = {
        row["file"].rpartition("/")[2]: row for row in csv.DictReader(io.StringIO(text))
    }
    changes = Counter(row["changes"] for row in rows.values())
    changes["originals, byte for byte"] = changes.pop("unchanged")
    assert changes == result["changes"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "1 image, unchanged (byte for byte)" in card
    assert "1 image with a GPS position" in card


def test_links_are_hard_and_read_only(
    empty: Dataset, album: dict[str, bytes], tmp_path: Path
) -> None:
    longer = encode(picture(20)) + b"behind its end"
    put(empty, longer, "longer.jpg")
    put(empty, encode(picture(21)), "face.jpg", [Box(10, 10, 30, 30)])
    result = run_export(empty, tmp_path / "out", link=True)
    assert "1 image with a GPS position" in result["notes"][0]
    originals = {
        path.stat().st_ino: path for path in (empty.root / "images").rglob("*.*")
    }
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
    put(empty, encode(picture(0)), "a.jpg")

    def other_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", other_disk)
    with pytest.raises(InputUnusable, match="cannot be linked into"):
        run_export(empty, tmp_path / "out", link=True)
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        (None, "image"),
        *[
            (Origin("folder", "1", title=title), name)
            for title, name in (
                ("花子 写真.jpg", "花子 写真"),
                ("Zoe\u0308.jpg", "Zo\u00eb"),
                ("हिन्दी.jpg", "हिन्दी"),
                ("CON.jpg", "_CON"),
                ("lpt1.tar.jpg", "_lpt1.tar"),
                ("x\\y\u202e\tz.jpg", "x_y__z"),
                (" (1) [a] & #b%.jpg", "(1) [a] & #b%"),
                ("....jpg", "_"),
                ("🎉.jpg", "🎉"),
                ("x" * 300 + ".jpg", "x" * 200),
            )
        ],
        (Origin("folder", "/a", title="../../evil/../\n\u202epasswd.png"), "__passwd"),
        (Origin("archive", "/a.zip:in/b c.jpeg", title="b c.jpeg"), "b c"),
        (Origin("import", "/a/cat 1.jpg", title="cat 1.jpg"), "cat 1"),
        (Origin("urls", "http://x/a/y.JPG?size=l/m#top"), "urls-y"),
        (Origin("urls", "http://x/a/?q=1"), "urls-a"),
        (Origin("urls", "http://x"), "urls-x"),
        (Origin("pixiv", "123_p0"), "pixiv-123_p0"),
        (Origin("bing", "v1.5"), "bing-v1.5"),
        (Origin("video", "v@2.5", video="v", time=2.5, title="E 1.mkv"), "E_1-2.500"),
    ],
)
def test_file_names_are_portable(origin: Origin | None, name: str) -> None:
    assert choose_file_stem([origin] if origin else []) == name


def test_original_path_is_recorded_for_all_inputs(
    empty: Dataset, tmp_path: Path
) -> None:
    tree = write_pictures(tmp_path / "tree", ("cat/d0/x y.jpg", "owl/3.jpg"))
    run_import(empty, tree)
    (line,) = list_records(empty, "samples", ("original_path=owl/3.jpg",))
    assert line["path"] == str(tree / "owl" / "3.jpg")
    archive = make_archive(tmp_path / "a.zip", {"in/deep/z.jpg": encode(picture(3))})
    write_pictures(tmp_path, ("loose/s/l.jpg", "one.jpg"), first=4)
    inputs = (archive, tmp_path / "loose", tmp_path / "one.jpg")
    FolderRequest(path=tuple(map(str, inputs)), workers=1).run(empty)
    paths = {o.original_path for image in empty.images.iterate() for o in image.origins}
    assert paths == {
        "cat/d0/x y.jpg",
        "owl/3.jpg",
        "in/deep/z.jpg",
        "s/l.jpg",
        "one.jpg",
    }


def test_title_replaces_missing_original_path() -> None:
    old = Origin("import", "/a/b.jpg", path="/a/b.jpg", title="b.jpg")
    new = Origin(
        "folder",
        "/c/a/b.jpg",
        path="/c/a/b.jpg",
        title="b.jpg",
        original_path="a/b.jpg",
    )
    frame = Origin("video", "v@1", path="/v.mkv", video="v", title="v.mkv")
    web = Origin("bing", "1", url="https://x.example/1.jpg", title="an owl")
    assert (find_original_path([old]), find_original_path([web, old, new])) == (
        "b.jpg",
        "a/b.jpg",
    )
    assert find_original_path([frame, web]) == ""


def test_classes_without_a_split_are_shortened_for_people(
    empty: Dataset, tmp_path: Path
) -> None:
    put(empty, encode(picture(0)), "0.png", label="rei", split="test")
    for number in range(1, 9):
        put(empty, encode(picture(number)), f"{number}.png", label=f"class {number}")
    words = ("export", tmp_path / "out", "-d", empty.root)
    printed = run_labeler(*words).stdout.splitlines()
    missing = printed[printed.index("splits without a class:") + 1 :]
    assert missing[:6] == [f"  class {n}: nothing in test" for n in range(1, 6)] + [
        "  and 4 more"
    ]
    assert "short:" not in printed, "the same list, once more"
    assert len(run_labeler(*words, "--json").json["short"]) == 9
