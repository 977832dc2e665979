"""Names of exported files, and the recorded paths of originals."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from labelled_images import encoded, picture, run_import, write_picture

from gleanset import Dataset, Origin
from harvest.request import FolderRequest
from labeler.export.item import original_path
from labeler.export.plan import original_name
from pipeline.listing import list_records


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        (None, "image"),
        (Origin("folder", "/a/Group Photo.png", title="Group Photo.png"), "Group Photo"),
        (Origin("folder", "/con.jpg", title="con.jpg"), "_con"),
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
