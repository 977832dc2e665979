"""The animation of the README: clusters of drawn faces, named in the real window.

Run from the root of the repository: python docs/images/make_animation.py [FOLDER]
It draws the data set of make_labeler.py in a temporary folder, opens it under Xvfb without any
label, and lets the scripted person of benchmarks/labeler_effort.py sort it with a real mouse and
keyboard. Each gesture is a frame of window.gif, with what was pressed below the window. Needs
the extra [gui], Xvfb, xdotool and fonts (DejaVu, and one with Japanese letters).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import labeler_effort
import make_labeler
from labeler_effort import Person
from make_labeler import draw
from PIL import Image, ImageDraw, ImageFont
from virtual_display import Display, display

if TYPE_CHECKING:
    from labeler.qt.window import LabelerWindow

SIZE = (1120, 660)
WIDTH, STRIP = 840, 34
PAGES = 7
COLOURS = 128
NAMES = ("Hana", "Rei", "Mio", "Aoi", "Rin", "Mina", "Midori", "Hikaru")
POINTED, KEYED, ENTERED, LAST = 600, 1300, 1600, 3500
"""Milliseconds that a frame is seen."""
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"


class FilmedPerson(Person):
    """A person whose gestures are kept as frames with a line of words each."""

    def __init__(self, window: LabelerWindow, screen: Display, truth: dict[str, str]) -> None:
        super().__init__(window, screen, truth)
        self.frames: list[Image.Image] = []
        self.seen_for: list[int] = []
        self.filed = 0

    def film(self, words: str, milliseconds: int) -> None:
        """Keep what is on the screen."""
        wide, high = SIZE
        pixels = self.screen.pixels()[:high, :wide]
        colours = [(pixels >> shift & 255).astype("uint8") for shift in (16, 8, 0)]
        seen = Image.merge("RGB", [Image.fromarray(colour) for colour in colours])
        seen = seen.resize((WIDTH, WIDTH * high // wide), Image.Resampling.LANCZOS)
        frame = Image.new("RGB", (WIDTH, seen.height + STRIP), "#17181c")
        frame.paste(seen)
        count = f"{sum(self.gestures.values())} gestures, {self.filed} faces labelled"
        draw, font = ImageDraw.Draw(frame), ImageFont.truetype(FONT, 16)
        middle = seen.height + STRIP // 2
        draw.text((12, middle), words, "#ffffff", font, anchor="lm")
        draw.text((WIDTH - 12, middle), count, "#9fd5cd", font, anchor="rm")
        self.frames.append(frame)
        self.seen_for.append(milliseconds)

    def point(self, row: int) -> None:
        """Show the mouse on the face."""
        super().point(row)
        self.film("point at a face,", POINTED)

    def sweep(self, rows: list[int], who: str, also: set[int]) -> None:
        """Show the key of a class that faces were given."""
        super().sweep(rows, who, also)
        key = " ".join(self.keys[who])
        self.film(f"press  {key} :  {who}", KEYED)

    def _assign_class(self, who: str, enter: str = "Return") -> None:
        """Show the name that a cluster or a page was given."""
        words = f"press its key :  {who}" if who in self.keys else f"and type  {who}"
        super()._assign_class(who, enter)
        self.wait()
        self.film(words, KEYED)

    def one_page(self) -> None:
        """File a page; what is seen then is the next one."""
        page, before = self.view.page, self.waiting
        assert page is not None
        super().one_page()
        self.filed += before - self.waiting
        self.film("press  Enter :  all others are correct.  Next page", ENTERED)

    @property
    def waiting(self) -> int:
        """How many faces nobody has named yet."""
        progress = self.window.worker.progress
        assert progress is not None
        return progress.counts.pending


def sort_some(root: Path, truth: dict[str, str], screen: Display) -> FilmedPerson:
    """Open the window on the class pages and file a few."""
    from labeler.qt.app import make_application
    from labeler.qt.theme import show_theme
    from labeler.qt.window import LabelerWindow

    make_application().setStyle("Fusion")
    show_theme("light")
    window = LabelerWindow(root, "pages")
    window.move(0, 0)
    window.resize(*SIZE)
    window.show()
    window.activateWindow()
    person = FilmedPerson(window, screen, truth)
    person.wait()
    person.film("Similar faces are put together", ENTERED)
    for _ in range(PAGES):
        if person.view.page is not None:
            person.one_page()
    person.film("Ctrl+Z undoes each step", LAST)
    window.shut_down()
    window.deleteLater()
    return person


def write(person: FilmedPerson, file: Path) -> None:
    """Write the frames with one palette, so that only what changes takes bytes."""
    first, *others = person.frames
    sheet = Image.new("RGB", (WIDTH, first.height * len(person.frames)))
    for number, frame in enumerate(person.frames):
        sheet.paste(frame, (0, number * first.height))
    palette = sheet.quantize(COLOURS, dither=Image.Dither.NONE)
    few = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in [first, *others]]
    few[0].save(file, save_all=True, append_images=few[1:], duration=person.seen_for, loop=0)


def main(folder: Path) -> None:
    """Draw, sort, write."""
    with tempfile.TemporaryDirectory() as name, display(Path(name)) as screen:
        make_labeler.NAMES = NAMES
        root = Path(name) / "my-dataset"
        truth = draw(root)
        del os.environ["QT_QPA_PLATFORM"]  # a real mouse needs a real display
        os.environ.update(screen.env)
        labeler_effort.SCAN = 0.0  # nobody watches
        write(sort_some(root, truth, screen), folder / "window.gif")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
