"""Fonts for drawn names: the first one on this machine that has all letters of a name."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

# Fonts with many letters first, so that few have to be opened.
_RICH = (
    "notosanscjk",
    "notosansjp",
    "sourcehansans",
    "hiragino",
    "pingfang",
    "yugoth",
    "meiryo",
    "msyh",
    "msgothic",
    "malgun",
    "arialuni",
    "ipag",
    "takao",
    "wqy",
    "droidsansfallback",
    "dejavusans.",
    "notosans-regular",
    "arial.",
    "liberationsans-regular",
)
_ENDINGS = (".ttf", ".ttc", ".otf")
_MOST = 400
"""Fonts that are opened at most for a name whose letters are rare."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font_for(text: str, size: int) -> tuple[Font, str]:
    """Find a font of `size` pixels for `text`, and the letters of it that none of ours has.

    Pillow's own font where it will do. A name in letters of several fonts is drawn in the one
    that has most of them.
    """
    wanted = "".join(sorted({letter for letter in text if letter.isprintable()} - {" "}))
    best: Font = ImageFont.load_default(size)
    lacking = _lacking(best, wanted)
    for path in _fonts() if lacking else ():
        font = _opened(path, size)
        if font is None or len(left := _lacking(font, wanted)) >= len(lacking):
            continue
        best, lacking = font, left
        if not lacking:
            break
    return best, lacking


def _lacking(font: Font, letters: str) -> str:
    missing = _drawn(font, "\uffff")
    return "".join(letter for letter in letters if _drawn(font, letter) == missing)


def _drawn(font: Font, letter: str) -> tuple[tuple[int, int], bytes]:
    """Return how a letter looks; all that a font does not have look like U+FFFF, which none has."""
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


@lru_cache(maxsize=64)
def _opened(path: Path, size: int) -> ImageFont.FreeTypeFont | None:
    try:
        font = ImageFont.truetype(path, size)
        font.getmask("\uffff")
    except (OSError, ValueError):
        return None
    return font


@lru_cache(maxsize=1)
def _fonts() -> tuple[Path, ...]:
    """Return the fonts of this machine, in an order that depends on their names alone."""
    return tuple(sorted(set(_files()), key=lambda path: (_rank(path.name), str(path)))[:_MOST])


def _rank(name: str) -> int:
    """Regular ones of the rich families first."""
    plain = name.lower().replace(" ", "").replace("-bold", "~")
    return next((place for place, begin in enumerate(_RICH) if plain.startswith(begin)), 99) * 2 + (
        "regular" not in plain
    )


def _files() -> Iterator[Path]:
    for folder in _folders():
        for root, _, names in os.walk(folder):
            yield from (Path(root, name) for name in names if name.lower().endswith(_ENDINGS))


def _folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "win32":
        return [Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts")]
    if sys.platform == "darwin":
        return [
            Path("/System/Library/Fonts"),
            Path("/Library/Fonts"),
            Path.home() / "Library/Fonts",
        ]
    return [
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        home / ".local/share/fonts",
        home / ".fonts",
    ]
