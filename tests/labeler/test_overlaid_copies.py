"""Tests of copies under stickers and veils, which are left to a person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from duplicate_images import drawing
from labelled_images import encoded
from PIL import Image, ImageDraw
from test_verification import cel, compare

from labeler.audit import POSSIBLE_COPY, collect_tree, find_leaks

Change = Callable[[Image.Image], Image.Image]


def add_sticker(share: float, left: float = 0.3, top: float = 0.25) -> Change:
    """Put a yellow face on an image, `share` of the shorter side wide."""

    def paste_sticker(picture: Image.Image) -> Image.Image:
        sticker = Image.new("RGBA", (200, 200))
        pen = ImageDraw.Draw(sticker)
        pen.ellipse((2, 2, 197, 197), fill=(255, 204, 34), outline=(190, 130, 10), width=6)
        for x in (65, 135):
            pen.ellipse((x - 13, 60, x + 13, 95), fill=(90, 50, 20))
        pen.arc((45, 70, 155, 160), 20, 160, fill=(90, 50, 20), width=11)
        side = round(share * min(picture.size))
        small, copy = sticker.resize((side, side)), picture.copy()
        copy.paste(small, (round(left * copy.width), round(top * copy.height)), small)
        return copy

    return paste_sticker


def write_over(opacity: float, *, tiled: bool = False) -> Change:
    """Write half-transparent letters over an image."""

    def draw_text(picture: Image.Image) -> Image.Image:
        side = 2 * max(picture.size)
        layer = Image.new("L", (side, side))
        pen = ImageDraw.Draw(layer)
        if tiled:
            for y in range(0, side, 60):
                pen.text((y % 90, y), "PROOF   " * 12, round(255 * opacity), font_size=22)
        else:
            at = side // 2, side // 2
            pen.text(at, "PROOF", round(255 * opacity), font_size=88, anchor="mm")
        layer = layer.rotate(35)
        left, top = (side - picture.width) // 2, (side - picture.height) // 2
        mask = layer.crop((left, top, left + picture.width, top + picture.height))
        return Image.composite(Image.new("RGB", picture.size, "white"), picture, mask)

    return draw_text


OVERLAYS = {
    "small sticker": add_sticker(0.18),
    "sticker": add_sticker(0.28),
    "large sticker at the rim": add_sticker(0.4, 0.69, 0.6),
    "veil": write_over(0.6),
    "tiles": write_over(0.65, tiled=True),
}


def test_overlaid_copies_are_possible_leaks(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
    (tmp_path / "test/other.jpg").write_bytes(encoded(drawing(100)))
    for seed, (kind, lay) in enumerate(OVERLAYS.items()):
        (tmp_path / f"train/{seed}.jpg").write_bytes(encoded(drawing(seed)))
        (tmp_path / f"test/{kind}.jpg").write_bytes(encoded(lay(drawing(seed))))
    result = find_leaks(collect_tree(tmp_path), workers=1)
    assert {(leak.a.name, leak.b.name, leak.kind) for leak in result.leaks} == {
        (f"train/{seed}.jpg", f"test/{kind}.jpg", POSSIBLE_COPY)
        for seed, kind in enumerate(OVERLAYS)
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (add_sticker(0.28), add_sticker(0.28, 0.5, 0.5)),  # the same sticker, moved
        (
            lambda image: image,
            lambda image: add_sticker(0.2, 0.7, 0.7)(add_sticker(0.2, 0.1)(image)),
        ),
        (lambda image: image, add_sticker(0.7, 0.1, 0.1)),
        (write_over(0.9), write_over(0.9, tiled=True)),
    ],
)
def test_several_differences_are_not_an_overlay(first: Change, second: Change) -> None:
    verdict = compare(first(drawing(3)), second(drawing(3)))
    assert (verdict.same, verdict.doubtful) == (False, False), verdict


@pytest.mark.parametrize("mood", [{"mouth": "open"}, {"turn": (1.8, 0.6)}])
def test_redrawn_face_is_not_an_overlay(mood: dict[str, object]) -> None:
    verdict = compare(cel(mouth="grin"), cel(**{"mouth": "grin"} | mood))
    assert (verdict.same, verdict.doubtful) == (False, False), verdict
