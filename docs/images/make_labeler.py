"""The pictures of the labeler's window for the docs, from drawn faces only.

Run from the root of the repository: python docs/images/make_labeler.py [FOLDER]
It draws a data set in a temporary folder, opens each view without a display, and writes
labeler-VIEW.png, and of one view each a dark and a Japanese one; all have a palette of at most 160
colours and less than 150 kB. Needs the extra [gui] and a font with Japanese letters.
"""

from __future__ import annotations

import io
import os
import random
import sys
import tempfile
import time
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["QT_LOGGING_RULES"] = "default.warning=false"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from PIL import Image
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication

from gleanset import Dataset, Face, Origin
from gleanset.db.duplicates import SAME, Pairs, PairVerdict
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.images.cropping import CropGeometry, FaceCropper
from gleanset.images.staging import StageBytes
from labeler.qt.app import SIZE, make_application, render_window
from labeler.qt.theme import show_theme
from labeler.qt.translations import install
from labeler.qt.views.base import VIEWS
from labeler.qt.window import LabelerWindow
from labeler.sorting.descriptor_queue import measure_in_batches
from labeler.sorting.session import SortingSession
from tools.sample.character import CAST, Character, random_character
from tools.sample.scene import face_box, paint_scene, plan_scene

NAMES = ("涼風 花", "Rei", "雪村 澪", "Aoi", "桜井 凛", "Mina", "北条 翠", "Hikaru")
SHOTS, FRAME = 240, (320, 200)
COPIES, WITHOUT = 9, 5
WIDTH, LARGEST, COMMON = 1000, 150_000, 24


def cast() -> list[Character]:
    """Eight people."""
    return [*CAST, *(random_character(n) for n in range(8))][:8]


def draw(root: Path) -> dict[str, str]:
    """A data set of drawn faces; who is on each sample."""
    dice = random.Random(4)  # noqa: S311 - a sample, not a secret
    people = cast()
    truth: dict[str, str] = {}
    with Dataset.create(root) as dataset, dataset.stage("drawing") as scratch:
        keep, cutter = (
            StageBytes(dataset.originals(scratch)),
            FaceCropper(CropGeometry(), dataset.crops(scratch)),
        )

        def add(pixels: Image.Image, name: str, faces: list[Face], who: str = "") -> None:
            buffer = io.BytesIO()
            pixels.save(buffer, "JPEG", quality=88)
            measured = keep(buffer.getvalue())
            origin = Origin("folder", name, title=name, hint=None)
            with dataset.db.transaction():
                dataset.take_original(keep.store, measured, origin)
                cuts = [cutter.crop(measured.sha256, np.asarray(pixels), face) for face in faces]
                dataset.faces.replace(measured.sha256, "drawn", "docs", cuts)
            truth.update((cut.key, who) for cut in cuts)

        for shot in range(SHOTS):
            number = dice.choices(range(8), [1 / (place + 1) ** 0.7 for place in range(8)])[0]
            scene = plan_scene([people[number]], shot, FRAME)
            pixels, box = paint_scene(scene), face_box(scene.figures[0])
            add(pixels, f"shot-{shot:03}.jpg", [Face("drawn", box, 0.9)], NAMES[number])
            if shot < COPIES:
                small = pixels.resize((FRAME[0] * 3 // 4, FRAME[1] * 3 // 4))
                less = box._replace(**{side: getattr(box, side) * 3 // 4 for side in box._fields})
                add(small, f"copy-{shot:03}.jpg", [Face("drawn", less, 0.9)], NAMES[number])
        for shot in range(WITHOUT):
            scene = plan_scene([people[shot]], 900 + shot, (960, 540))
            add(paint_scene(scene), f"missed-{shot}.jpg", [])
        sum(measure_in_batches(dataset))
    return truth


def decide(root: Path, truth: dict[str, str]) -> None:
    """Label half of it, a little of it wrongly, propose the rest, and find the copies."""
    dice, keys = random.Random(5), list(truth)  # noqa: S311
    with Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        for name in NAMES:
            session.add_class(name)
        given = {key: truth[key] for key in keys[: len(keys) // 2]}
        wrong = dice.sample(list(given), 9)
        given |= {key: dice.choice([n for n in NAMES if n != given[key]]) for key in wrong}
        rows = session.tiles.get_ids(keys)
        named = {rows[key]: name for key, name in given.items()}
        session.file_each(named, f"{len(given)} faces with a page")
        session.send([rows[key] for key in keys[-4:-2]], "later")
        session.send([rows[key] for key in keys[-2:]], "not a face")
        standings = []
        for place, key in enumerate(keys):
            sure = dice.betavariate(8, 1.2)
            said = truth[key] if key in wrong or dice.random() < 0.95 else dice.choice(NAMES)
            odd = round(dice.random() + (key in wrong), 3)
            proposal = Proposal(said, round(sure, 3))
            standings.append(PrelabelledSample(key, place, (proposal,), outlier=odd))
        Proposals(dataset.db).replace(standings, {})
        LabelIssues(dataset.db).replace(
            [LabelIssue(key, given[key], truth[key], 0.9, 0.8, "docs") for key in wrong]
        )
        pairs = Pairs(dataset.db)
        rows = pairs.get_ids(keys[: 2 * COPIES])  # each picture, and after it its smaller copy
        same = [(min(pair), max(pair)) for pair in zip(rows[::2], rows[1::2], strict=True)]
        with dataset.db.transaction():
            pairs.add_candidates(same)
        pairs.save_verdicts([PairVerdict(a, b, 0.0, 1.0, SAME) for a, b in same])


def point_at_something(application: QApplication, window: LabelerWindow, view: str) -> None:
    """A face in the look panel, a drawn box, a planned split: what a person would see."""

    def let(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end or not window.view.is_settled():
            application.processEvents()
            time.sleep(0.005)

    let(0.5)
    shown = window.view
    if view == "crop":
        from PySide6.QtCore import QRectF

        from labeler.qt.crop.boxes import BoxDraft

        number = int(shown.title.text().split("missed-")[1][0])
        box = face_box(plan_scene([cast()[number]], 900 + number, (960, 540)).figures[0])
        shown.canvas.show_boxes([BoxDraft(QRectF(*box), 4.0)], 0)
    elif view == "statistics":
        shown.preview()
    elif hasattr(shown, "view"):
        grid = shown.view
        grid.set_point(min(3, grid.tiles.rowCount() - 1))
        if view == "grid":
            from labeler.qt.grid.tile_view import Select

            grid.select_ranges([(5, 8), (12, 12)], Select.ClearAndSelect)
    let(0.6)


def smaller(file: Path) -> None:
    """Fewer pixels and colours: these pictures are looked at on a web page."""
    picture = Image.open(file).convert("RGB")
    picture = picture.resize(
        (WIDTH, WIDTH * picture.height // picture.width), Image.Resampling.LANCZOS
    )
    common = sorted(picture.getcolors(1 << 24) or [], reverse=True)[:COMMON]
    marks = QApplication.palette().highlight().color().getRgb()[:3]
    exact = [part for _, colour in common for part in colour]
    exact[-3:] = marks
    for colours in (160, 112, 80, 56, 48):
        # Greys, texts and outlines stay what they are; only the faces lose colours.
        found = picture.quantize(colours - COMMON).getpalette() or []
        palette = Image.new("P", (1, 1))
        palette.putpalette((exact + found)[: 3 * colours])
        few = picture.quantize(palette=palette, dither=Image.Dither.NONE)
        few.save(file, optimize=True)
        if file.stat().st_size < LARGEST:
            return


def main(folder: Path) -> None:
    """Draw, open, photograph."""
    application = make_application()
    application.setStyle("Fusion")
    with tempfile.TemporaryDirectory() as scratch:
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, scratch)
        root = Path(scratch) / "my-dataset"
        decide(root, draw(root))
        for suffix, theme, language, views in (
            ("", "light", "en", tuple(kind.name for kind in VIEWS)),
            ("-dark", "dark", "en", ("pages",)),
            ("-ja", "light", "ja", ("grid",)),
        ):
            show_theme(theme)
            install(application, language)
            for view in views:
                window = LabelerWindow(root, view)
                window.resize(*SIZE)
                window.show()
                point_at_something(application, window, view)
                file = folder / f"labeler-{view}{suffix}.png"
                render_window(application, window, file, 60)
                window.shut_down()
                window.deleteLater()
                smaller(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
