"""Tests of naming images by their origin."""

from __future__ import annotations

import pytest

from gleanset import Origin
from labeler.export.plan import original_name


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
