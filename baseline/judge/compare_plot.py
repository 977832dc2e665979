"""The comparison as a picture: accuracy of each run with its interval, as HTML or PNG."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from baseline.judge.compare import ComparedRun, Comparison
from gleanset.binomial import few
from gleanset.errors import UsageError
from gleanset.files.atomic import write_atomic
from gleanset.html.charts import interval_bar
from gleanset.html.fill import as_bytes, templates
from gleanset.html.words import percent
from gleanset.images.contact_sheet import KINDS, save_sheet

PAGE = (".html", ".htm")
WIDTH, LEFT, RIGHT, TOP, STEP = 1000, 330, 110, 70, 46
INK, SOFT, LINE, BAND, GUESS = "#1f1e1b", "#66625a", "#d8d4ca", "#2d9a91", "#b1500c"


def check_target(file: Path) -> None:
    """Raises `UsageError` for a name that is neither a page's nor a picture's."""
    if file.suffix.lower() not in (*PAGE, *KINDS):
        raise UsageError(
            f"cannot tell the format of {file}", f"end it in .html, {', '.join(KINDS)}"
        )


def write_plot(comparison: Comparison, file: Path) -> None:
    """Write the plot. Raises `UsageError`, `NotWritable`, `DiskFull`."""
    check_target(file)
    if file.suffix.lower() in PAGE:
        write_atomic(file, as_bytes(page(comparison)))
    else:
        save_sheet(picture(comparison), file)


def page(comparison: Comparison) -> str:
    """Return the table with bars, as one HTML file that loads nothing."""
    bars = {row.run: _bar(row, comparison.commonest_class) for row in comparison.rows}
    template = templates("baseline.judge").get_template("compare.html.jinja")
    words = few(comparison.moments, comparison.effective_moments)
    return template.render(comparison=comparison, bars=bars, few=words)


def _bar(row: ComparedRun, base: float) -> str:
    low, high = row.interval or (row.accuracy, row.accuracy)
    words = f"{row.run}: {percent(row.accuracy)} ({percent(low)} to {percent(high)})"
    return interval_bar(row.accuracy, low, high, base, words)


def picture(comparison: Comparison) -> Image.Image:
    """Dots with intervals on a line from 0 to 1, one line a run."""
    height = TOP + STEP * len(comparison.rows) + 50
    sheet = Image.new("RGB", (WIDTH, height), "white")
    pen = ImageDraw.Draw(sheet)
    title = f"Accuracy on {comparison.count} pictures of {comparison.split}, 95 % intervals"
    pen.text((20, 18), title, fill=INK, font=ImageFont.load_default(20))
    _scale(pen, height)
    for number, row in enumerate(comparison.rows):
        _line(pen, row, TOP + STEP * number + STEP // 2)
    x = _x(comparison.commonest_class)
    pen.line((x, TOP - 6, x, height - 44), fill=GUESS, width=2)
    pen.text((x + 4, height - 66), "commonest class", fill=GUESS, font=ImageFont.load_default(12))
    return sheet


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _scale(pen: ImageDraw.ImageDraw, height: int) -> None:
    font = ImageFont.load_default(13)
    for tenth in range(0, 11, 2):
        x = _x(tenth / 10)
        pen.line((x, TOP - 6, x, height - 44), fill=LINE)
        pen.text((x, height - 36), f"{tenth * 10} %", fill=SOFT, font=font, anchor="ma")


def _line(pen: ImageDraw.ImageDraw, row: ComparedRun, y: int) -> None:
    low, high = row.interval or (row.accuracy, row.accuracy)
    pen.line((_x(low), y, _x(high), y), fill=BAND, width=8)
    x = _x(row.accuracy)
    pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=INK, outline="white")
    font = ImageFont.load_default(15)
    pen.text((LEFT - 16, y), _plain(row.run), fill=INK, font=font, anchor="rm")
    pen.text((WIDTH - 20, y), f"{row.accuracy:.3f}", fill=INK, font=font, anchor="rm")


def _plain(name: str) -> str:
    """Return the name as far as the built-in font and the margin can show it."""
    shown = "".join(letter if 32 <= ord(letter) < 256 else "?" for letter in name)
    return shown if len(shown) <= 36 else f"{shown[:20]}…{shown[-15:]}".replace("…", "...")
