"""A contact sheet of what detectors missed, and of what they took for a face.

Each tile shows the place with its surroundings: true faces framed in green, the missed one
in orange, the false alarm in red.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from facecrop.compare import Answer, Compared
from facecrop.compare_score import CRITERIA, score
from facecrop.compare_truth import Annotated
from facecrop.sheet_tiles import Tile, lay_out
from gleanset.errors import Unreadable
from gleanset.images.contact_sheet import save_sheet
from gleanset.images.cut import with_margin
from gleanset.images.decode import decode
from gleanset.records import Box

TRUE, MISSED, WRONG = (0, 170, 60), (255, 140, 0), (220, 0, 0)
JUDGE = next(criterion for criterion in CRITERIA if criterion.name == "centre")
"""Of the three criteria the one whose mistakes are worth looking at: not just another size."""

SIZE, COLUMNS = 128, 16
MOST = 300
"""Tiles for each detector; the heading says how many there would be."""

AROUND = 1.0
"""How much of the surroundings is shown, in sizes of the box."""


def mistakes_sheet(results: Sequence[Compared], file: Path) -> int:
    """Write the sheet; how many mistakes there are. Raises `UsageError`, `NotWritable`."""
    tiles: list[Tile] = []
    count = 0
    for result in results:
        tally = result.tally(JUDGE)
        mistakes = len(tally.missed) + tally.false
        count += mistakes
        shown = f", the first {MOST} shown" if mistakes > MOST else ""
        tiles.append(
            Tile(
                f"{result.label}: {len(tally.missed)} missed (orange), "
                f"{tally.false} false alarms (red){shown}"
            )
        )
        mine = _of_detector(result)
        tiles += [tile for _, tile in zip(range(MOST), mine, strict=False)]
    save_sheet(lay_out(tiles, SIZE, COLUMNS), file)
    return count


def _of_detector(result: Compared) -> Iterator[Tile]:
    for picture, answer in result.answers:
        yield from _of_picture(picture, answer)


def _of_picture(picture: Annotated, answer: Answer) -> Iterator[Tile]:
    tally = score(answer.faces, picture.boxes, JUDGE)
    if not tally.missed and not tally.false_alarms:
        return
    try:
        pixels = decode(picture.path.read_bytes()).pixels
    except (OSError, Unreadable):
        # It was there a moment ago; the table does not need it any more.
        return
    name = picture.path.stem
    for box in tally.missed:
        yield Tile(name, _framed(pixels, picture.boxes, box, MISSED))
    for face in tally.false_alarms:
        frame = _framed(pixels, picture.boxes, face.box, WRONG)
        yield Tile(f"{face.score:.2f} {name}", frame)


def _framed(
    pixels: Image.Image, truth: Sequence[Box], box: Box, colour: tuple[int, int, int]
) -> Image.Image:
    view = with_margin(box, AROUND, *pixels.size)
    part = pixels.crop((view.x, view.y, view.x + view.width, view.y + view.height))
    draw = ImageDraw.Draw(part)
    line = max(max(part.size) // 60, 1)
    for other in [*(other for other in truth if other != box), box]:
        edges = (
            other.x - view.x,
            other.y - view.y,
            other.x - view.x + other.width,
            other.y - view.y + other.height,
        )
        draw.rectangle(edges, outline=colour if other is box else TRUE, width=line)
    return part
