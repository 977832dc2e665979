"""Pictures are decoded once, and again only when something about them has changed."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from baseline.data import pixel_cache
from baseline.data.pixel_cache import decode_all
from baseline.data.pixels import PixelSource, ReadPixels
from gleanset import Box
from gleanset.files.atomic import PARTIAL
from gleanset.work.progress import Progress

GREY = ReadPixels(16, "L")


def sources(folder: Path, count: int, channels: int = 3) -> list[PixelSource]:
    random = np.random.default_rng(0)
    made = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(random.integers(0, 256, (16, 16, channels), np.uint8)).save(path)
        made.append(PixelSource(f"k{number}", folder / "no crop", path, Box(0, 0, 16, 16)))
    return made


class Counting(Progress):
    """Counts what was decoded."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.seen = 0

    def over(self, items, what, total=None, unit=""):  # type: ignore[no-untyped-def]
        for item in items:
            self.seen += 1
            yield item


def test_decoded_once_and_mapped(tmp_path: Path) -> None:
    given, cache, count = sources(tmp_path, 5), tmp_path / "cache", Counting()
    rgb = ReadPixels(16, "RGB")
    groups = {"train": [*given[:3], given[0]], "val": given[3:], "test": []}
    first = decode_all(cache, groups, rgb, count)
    assert count.seen == 5
    assert [found.rows for found in first.values()] == [(0, 1, 2, 3), (0, 1), ()]
    for row, source in enumerate(groups["train"]):
        with Image.open(source.original) as picture:
            assert np.array_equal(first["train"].x[row].transpose(1, 2, 0), np.asarray(picture))
    assert first["test"].x.shape == (0, 3, 16, 16)
    assert isinstance(first["train"].x.base.base, np.memmap)
    again = decode_all(cache, groups, rgb, count)
    assert count.seen == 5
    assert np.array_equal(again["train"].x, first["train"].x)
    assert len(list(cache.glob("*.pixels"))) == 2


def test_another_size_colour_or_file_is_decoded_anew(tmp_path: Path) -> None:
    given, cache, count = sources(tmp_path, 2), tmp_path / "cache", Counting()
    grey = decode_all(cache, {"a": given}, GREY, count)["a"].x
    assert grey.shape == (2, 1, 16, 16)
    assert decode_all(cache, {"a": given}, ReadPixels(8, "L"), count)["a"].x.shape[2:] == (8, 8)
    Image.new("L", (16, 16), 7).save(given[0].original)
    os.utime(given[0].original, ns=(1, 1))
    assert (decode_all(cache, {"a": given}, GREY, count)["a"].x[0] == 7).all()
    assert count.seen == 6


def test_what_cannot_be_read_is_left_out_and_tried_again(tmp_path: Path) -> None:
    given, cache = sources(tmp_path, 4), tmp_path / "cache"
    whole = Path(given[1].original).read_bytes()
    Path(given[1].original).write_bytes(whole[:50])
    found = decode_all(cache, {"a": given}, GREY)["a"]
    assert found.rows == (0, 2, 3)
    with Image.open(given[3].original) as last:
        assert np.array_equal(found.x[2, 0], np.asarray(last.convert("L")))
    assert [path.name for path in cache.iterdir()] == [".lock"]
    Path(given[1].original).write_bytes(whole)
    assert decode_all(cache, {"a": given}, GREY)["a"].rows == (0, 1, 2, 3)


def test_old_files_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_cache, "KEPT", 1)
    given, cache = sources(tmp_path, 3), tmp_path / "cache"
    for number, source in enumerate(given):
        decode_all(cache, {"a": [source]}, GREY)
        for path in cache.iterdir():
            os.utime(path, (number, number))
    assert len(list(cache.glob("*.pixels"))) == 2


def test_what_a_kill_has_left_goes_with_the_next_decoding(tmp_path: Path) -> None:
    given, cache = sources(tmp_path, 2), tmp_path / "cache"
    cache.mkdir()
    left = cache / f"{PARTIAL}0123456789abcdef"
    left.write_bytes(b"half")
    decode_all(cache, {"a": given}, GREY)
    assert not left.exists()


def test_two_processes_decode_one_after_the_other(tmp_path: Path) -> None:
    given, cache = sources(tmp_path, 2), tmp_path / "cache"
    cache.mkdir()
    found: list[tuple[int, ...]] = []
    with FileLock(cache / ".lock"):
        other = Thread(target=lambda: found.append(decode_all(cache, {"a": given}, GREY)["a"].rows))
        other.start()
        other.join(0.5)
        assert other.is_alive()
        assert not list(cache.glob("*.pixels"))
    other.join(60)
    assert found == [(0, 1)]
