"""Lists as `gallery-dl -j` (1.32) wrote them for a Danbooru on loopback."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer
from tools_for_tests import picture, run_here

from gleanset.errors import InputUnusable
from harvest.gallery_dl import read_gallery_dl

RECORDED = Path(__file__).parent / "answers" / "gallery_dl.json"


def write_list(folder: Path, *messages: Any) -> Path:
    file = folder / "list.json"
    file.write_text(json.dumps(messages), encoding="utf-8")
    return file


def test_gallery_dl_list_is_downloaded_with_metadata(
    site: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = RECORDED.read_text(encoding="utf-8")
    first, second = read_gallery_dl(RECORDED, "owl")
    assert (first.width, first.height) == (1201, 900)
    result = first.origin
    assert (result.source, result.key, result.url) == ("urls", first.url, first.url)
    assert (result.hint, result.author, result.rating) == ("owl", "artist_1", "g")
    assert (result.post, second.origin.post) == ("danbooru:7000001", "danbooru:7000002")
    assert result.tags == ("1girl", "owl", "forest", "owl_ears", "night_1")

    for number in (1, 2):
        path, data = f"/original/00/00/{number:032}.jpg", picture(number)
        site.behaviours[path] = lambda h, data=data: h.answer(200, data)  # type: ignore[misc]
    list_of_site = text.replace("https://cdn.donmai.us", site.url).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(list_of_site)))
    done = run_here(
        "harvest.cli",
        *("urls", "-", "--label", "owl", "-d", tmp_path / "d", "--allow-private", "--json"),
    )
    assert (done.code, done.json["added"]) == (0, 2), done.stderr


def test_incomplete_gallery_dl_list_raises_error(tmp_path: Path) -> None:
    image = [3, "https://a.example/1.jpg", {"category": "a", "id": 1}]
    broken = [-1, {"error": "HttpError", "message": "403 Forbidden"}]
    result = read_gallery_dl(write_list(tmp_path, image, broken))
    assert next(result).url == "https://a.example/1.jpg"
    with pytest.raises(InputUnusable, match="stopped: HttpError: 403"):
        next(result)
    result = read_gallery_dl(write_list(tmp_path, [6, "https://a.example/gallery", {}], image))
    assert next(result).url == "https://a.example/1.jpg"
    with pytest.raises(InputUnusable, match=r"1 entries .* are pages"):
        next(result)


@pytest.mark.parametrize("text", ["{", "{}x", "[1]", '[["a"]]', "[[3]]", "[[3, 1, 2]]", "[" * 9999])
def test_other_json_raises_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputUnusable, match="not the JSON of gallery-dl"):
        list(read_gallery_dl(file))
