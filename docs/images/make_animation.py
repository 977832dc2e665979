"""Animation for the README: clusters of drawn faces, named in the real window.

    python docs/images/make_animation.py [FOLDER]

Draws the dataset of make_labeler.py in a temporary folder, opens it under Xvfb without labels, and
lets the simulated user of benchmarks/labeler_effort.py label it with X events. Each gesture is a
frame of window.gif in FOLDER (default: this folder), with the pressed keys below the window. Needs
the extra [gui], Xvfb, xdotool and fonts (DejaVu, and one with Japanese letters).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import labeler_effort
import make_labeler
from labeler_effort import Person
from make_labeler import draw_dataset
from PIL import Image, ImageDraw, ImageFont
from virtual_display import Display, display

if TYPE_CHECKING:
    from labeler.qt.window import LabelerWindow

SIZE = (1120, 660)
WIDTH = 840
STRIP = 34
PAGES = 7
COLOURS = 128
NAMES = ("Hana", "Rei", "Mio", "Aoi", "Rin", "Mina", "Midori", "Hikaru")
POINT_MS = 600
KEY_MS = 1300
ENTER_MS = 1600
LAST_MS = 3500
"""Durations of frames."""
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"


class FilmedPerson(Person):
    """Simulated user whose gestures are recorded as frames with a caption."""

    def __init__(
        self, window: LabelerWindow, screen: Display, truth: dict[str, str]
    ) -> None:
        super().__init__(window, screen, truth)
        self.frames: list[Image.Image] = []
        self.durations: list[int] = []

    def record(self, caption: str, milliseconds: int) -> None:
        """Record the screen as a frame."""
        width, height = SIZE
        pixels = self.screen.pixels()[:height, :width]
        channels = [(pixels >> shift & 255).astype("uint8") for shift in (16, 8, 0)]
        screen = Image.merge("RGB", [Image.fromarray(channel) for channel in channels])
        screen = screen.resize(
            (WIDTH, WIDTH * height // width), Image.Resampling.LANCZOS
        )
        frame = Image.new("RGB", (WIDTH, screen.height + STRIP), "#17181c")
        frame.paste(screen)
        count = f"{sum(self.gestures.values())} gestures, {self.labelled_count} faces labelled"
        draw = ImageDraw.Draw(frame)
        font = ImageFont.truetype(FONT, 16)
        middle = screen.height + STRIP // 2
        draw.text((12, middle), caption, "#ffffff", font, anchor="lm")
        draw.text((WIDTH - 12, middle), count, "#9fd5cd", font, anchor="rm")
        self.frames.append(frame)
        self.durations.append(milliseconds)

    def point(self, row: int) -> None:
        """Move the mouse to a face, and record it."""
        super().point(row)
        self.record("point at a face,", POINT_MS)

    def sweep(self, rows: list[int], name: str, passable: set[int]) -> None:
        """Label faces with the key of a class, and record the key."""
        super().sweep(rows, name, passable)
        key = " ".join(self.keys[name])
        self.record(f"press  {key} :  {name}", KEY_MS)

    def _assign_class(self, name: str, enter: str = "Return") -> None:
        caption = (
            f"press its key :  {name}" if name in self.keys else f"and type  {name}"
        )
        super()._assign_class(name, enter)
        self.wait()
        self.record(caption, KEY_MS)

    def label_page(self) -> None:
        """Label a page, and record the next one."""
        super().label_page()
        self.record("press  Enter :  all others are correct.  Next page", ENTER_MS)

    @property
    def labelled_count(self) -> int:
        """The number of sorted faces, as the status bar shows it."""
        progress = self.window.worker.progress
        assert progress is not None
        return progress.counts.total_decided


def record_labelling(
    root: Path, truth: dict[str, str], screen: Display
) -> FilmedPerson:
    """Label the first pages in a new window."""
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
    person.record("Similar faces are put together", ENTER_MS)
    for _ in range(PAGES):
        if person.view.page is not None:
            person.label_page()
    person.record("Ctrl+Z undoes each step", LAST_MS)
    window.shut_down()
    window.deleteLater()
    return person


def write_animation(person: FilmedPerson, file: Path) -> None:
    """Write the frames with one palette, so that only changes take bytes."""
    height = person.frames[0].height
    sheet = Image.new("RGB", (WIDTH, height * len(person.frames)))
    for number, frame in enumerate(person.frames):
        sheet.paste(frame, (0, number * height))
    palette = sheet.quantize(COLOURS, dither=Image.Dither.NONE)
    first, *others = (
        frame.quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in person.frames
    )
    first.save(
        file, save_all=True, append_images=others, duration=person.durations, loop=0
    )


def main(folder: Path) -> None:
    """Draw a dataset, label it in the window, and write the animation."""
    with tempfile.TemporaryDirectory() as scratch, display(Path(scratch)) as screen:
        make_labeler.NAMES = NAMES
        root = Path(scratch) / "my-dataset"
        truth = draw_dataset(root)
        del os.environ["QT_QPA_PLATFORM"]  # a real mouse needs a real display
        os.environ.update(screen.env)
        labeler_effort.SCAN_SECONDS = 0.0  # frames have their own durations
        write_animation(record_labelling(root, truth, screen), folder / "window.gif")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
