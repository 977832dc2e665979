"""The original paths of files are recorded, listed and exported."""

from __future__ import annotations

import zipfile
from pathlib import Path

from labelled_images import encoded, picture, run_import, write_picture

from gleanset import Dataset, Origin
from harvest.request import FolderRequest
from labeler.export.item import original_path
from pipeline.listing import list_records


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
