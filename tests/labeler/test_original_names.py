"""Names of exported and dragged files, and the recorded paths of originals."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from labelled_images import encoded, picture, run_import, write_picture
from PIL import Image
from tools_for_tests import picture as image_bytes

from gleanset import Box, Dataset, Face, Origin
from gleanset.images.cropping import CropGeometry, FaceCropper
from gleanset.images.staging import StageBytes
from harvest.request import FolderRequest
from labeler.export.item import original_path
from labeler.export.plan import original_name
from labeler.sorting.sample_images import cached_paths
from labeler.sorting.session import SortingSession
from pipeline.listing import list_records


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        (None, "image"),
        (Origin("folder", "/a/Group Photo.png", title="Group Photo.png"), "Group Photo"),
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
def test_original_name_by_origin(origin: Origin | None, name: str) -> None:
    assert original_name([origin] if origin else []) == name


def test_original_path_is_recorded_for_all_inputs(empty: Dataset, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write_picture(tree / "cat" / "d0" / "x y.jpg", 1)
    write_picture(tree / "owl" / "3.jpg", 2)
    run_import(empty, tree)
    (line,) = list_records(empty, "samples", ("original_path=owl/3.jpg",))
    assert line["path"] == str(tree / "owl" / "3.jpg")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/deep/z.jpg", encoded(picture(3)))
    write_picture(tmp_path / "loose" / "s" / "l.jpg", 4)
    write_picture(tmp_path / "one.jpg", 5)
    inputs = (tmp_path / "a.zip", tmp_path / "loose", tmp_path / "one.jpg")
    FolderRequest(path=tuple(map(str, inputs)), workers=1).run(empty)
    paths = {o.original_path for image in empty.images.iterate() for o in image.origins}
    assert paths == {"cat/d0/x y.jpg", "owl/3.jpg", "in/deep/z.jpg", "s/l.jpg", "one.jpg"}


def test_title_replaces_missing_original_path() -> None:
    old = Origin("import", "/a/b.jpg", path="/a/b.jpg", title="b.jpg")
    new = Origin("folder", "/c/a/b.jpg", path="/c/a/b.jpg", title="b.jpg", original_path="a/b.jpg")
    frame = Origin("video", "v@1", path="/v.mkv", video="v", title="v.mkv")
    web = Origin("bing", "1", url="https://x.example/1.jpg", title="an owl")
    assert original_path([old]) == "b.jpg"
    assert original_path([web, old, new]) == "a/b.jpg"
    assert original_path([frame, web]) == ""


TITLES = (
    "one cat.jpg",
    "ONE cat.jpg",
    "../../evil/../\n\u202epasswd.png",
    "con.jpg",
    "涼宮ハルヒ.webp",
)


def test_dragged_files_have_unique_image_names(empty: Dataset) -> None:
    with empty.stage("test") as scratch:
        keep = StageBytes(empty.originals(scratch))
        cutter = FaceCropper(CropGeometry(), empty.crops(scratch))
        for number, title in enumerate(TITLES):
            measured = keep(image_bytes(number, (120, 90)))
            faces = [Face("whole", Box(0, 0, 120, 90), 1.0)]
            if not number:
                faces += [Face("drawn", Box(left, 10, 40, 40), 1.0) for left in (5, 60)]
            with empty.db.transaction():
                empty.take_original(keep.store, measured, Origin("folder", title, title=title))
                pixels = np.zeros((90, 120, 3), np.uint8)
                cuts = [cutter.crop(measured.sha256, pixels, face) for face in faces]
                empty.faces.replace(measured.sha256, "drawn", "t", cuts)
    session = SortingSession(empty)
    keys = [sample.key for sample in empty.samples.iterate()]
    rows = list(session.tiles.get_ids(keys).values())
    assert len(rows) == len(TITLES) + 2
    for _ in range(2):  # again with existing files
        files = [Path(path) for path in cached_paths(empty, session.tiles, rows)]
        names = [file.name for file in files]
        assert len({name.casefold() for name in names}) == len(names) == len(rows)
        assert {"one cat.jpg", "涼宮ハルヒ.jpg", "_con.jpg"} <= set(names)
        assert sum(name.casefold().startswith("one cat") for name in names) == 4
        assert not any("\n" in name or "\u202e" in name or os.sep in name for name in names)
        assert all(empty.cache in file.parents and not file.is_symlink() for file in files)
        for file in files:
            with Image.open(file) as image:
                image.load()
