"""Pictures are decoded once, and again only when something about them has changed."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from tools_for_tests import WITHOUT_POSIX

from baseline.data import pixels
from baseline.data.pixels import PixelSource, ReadPixels, decode_all
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


def test_decoded_once_mapped_and_anew_where_size_or_file_are_others(tmp_path: Path) -> None:
    made, cache, count = sources(tmp_path, 3), tmp_path / "cache", Counting()
    rgb, wanted = ReadPixels(16, "RGB"), [*made, made[0]]
    first = decode_all(cache, wanted, rgb, count)
    assert count.seen == 3
    assert first.rows == (0, 1, 2, 3)
    for row, source in enumerate(wanted):
        with Image.open(source.original) as picture:
            assert np.array_equal(first.x[row].transpose(1, 2, 0), np.asarray(picture))
    assert isinstance(first.x.base.base, np.memmap)
    assert np.array_equal(decode_all(cache, wanted, rgb, count).x, first.x)
    assert count.seen == 3
    assert decode_all(cache, [], rgb).x.shape == (0, 3, 16, 16)
    assert decode_all(cache, made, ReadPixels(8, "L"), count).x.shape == (3, 1, 8, 8)
    Image.new("RGB", (16, 16), (7, 7, 7)).save(made[0].original)
    os.utime(made[0].original, ns=(1, 1))
    assert (decode_all(cache, wanted, rgb, count).x[0] == 7).all()
    assert count.seen == 9


def test_what_cannot_be_read_is_left_out_and_tried_again(tmp_path: Path) -> None:
    made, cache = sources(tmp_path, 4), tmp_path / "cache"
    whole = Path(made[1].original).read_bytes()
    Path(made[1].original).write_bytes(whole[:50])
    decoded = decode_all(cache, made, GREY)
    assert decoded.rows == (0, 2, 3)
    with Image.open(made[3].original) as last:
        assert np.array_equal(decoded.x[2, 0], np.asarray(last.convert("L")))
    # Windows keeps a file that is mapped, until others are decoded.
    assert len(list(cache.iterdir())) == 1 + WITHOUT_POSIX
    del decoded
    Path(made[1].original).write_bytes(whole)
    assert decode_all(cache, made, GREY).rows == (0, 1, 2, 3)
    assert {path.suffix for path in cache.iterdir()} == {".pixels", ""}


def test_old_files_and_what_a_kill_has_left_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "KEPT", 1)
    made, cache = sources(tmp_path, 3), tmp_path / "cache"
    cache.mkdir()
    left = cache / f"{PARTIAL}0123456789abcdef"
    left.write_bytes(b"half")
    for number, source in enumerate(made):
        decode_all(cache, [source], GREY)
        for path in cache.iterdir():
            os.utime(path, (number, number))
    assert len(list(cache.glob("*.pixels"))) == 2
    assert not left.exists()


def test_what_is_still_mapped_keeps_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "KEPT", 1)
    made, cache = sources(tmp_path, 3), tmp_path / "cache"
    held = [decode_all(cache, [source], GREY) for source in made[:2]]
    left = cache / f"{PARTIAL}0123456789abcdef"
    left.write_bytes(b"half")
    decode_all(cache, made[2:], GREY)
    assert not left.exists()
    assert [decoded.rows for decoded in held] == [(0,), (0,)]


def test_two_processes_decode_one_after_the_other(tmp_path: Path) -> None:
    made, cache = sources(tmp_path, 2), tmp_path / "cache"
    cache.mkdir()
    rows: list[tuple[int, ...]] = []
    with FileLock(cache / ".lock"):
        other = Thread(target=lambda: rows.append(decode_all(cache, made, GREY).rows))
        other.start()
        other.join(0.2)
        assert other.is_alive()
        assert not list(cache.glob("*.pixels"))
    other.join(60)
    assert rows == [(0, 1)]
