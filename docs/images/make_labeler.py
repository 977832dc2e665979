"""Screenshots of the labeler's window for the docs, with drawn faces.

    python docs/images/make_labeler.py [FOLDER]

Draws a dataset in a temporary folder, opens each view without a display, and writes
labeler-VIEW.png to FOLDER (default: this folder), and one view each in dark and in Japanese. Files
have at most 160 colors and less than 150 kB. Needs the extra [gui] and a font with Japanese
letters.
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
sys.path.extend(str(Path(__file__).parents[2] / name) for name in ("", "tests/labeler"))

import numpy as np
from PIL import Image
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication
from settled import is_settled
from window_image import SIZE, render_window

from gleanset import Dataset, Face, Origin
from gleanset.db.duplicates import SAME, Pairs, PairVerdict
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.images.cropping import FaceCropper
from gleanset.images.staging import StageBytes
from gleanset.settings import CropGeometry
from labeler.qt.app import make_application
from labeler.qt.theme import show_theme
from labeler.qt.translations import install
from labeler.qt.views.base import VIEWS
from labeler.qt.window import LabelerWindow
from labeler.sorting.descriptor_queue import measure_in_batches
from labeler.sorting.session import Place, SortingSession
from tools.sample.character import CAST, Character, random_character
from tools.sample.scene import Scene, face_box, paint_scene, plan_scene

NAMES = ("涼風 花", "Rei", "雪村 澪", "Aoi", "桜井 凛", "Mina", "北条 翠", "Hikaru")
SHOTS = 240
FRAME_SIZE = (320, 200)
COPIES = 9
MISSED_FACES = 5
"""Images with a smaller copy, and images whose face is not detected."""
MISSED_SIZE = (960, 540)
WIDTH = 1000
MAX_BYTES = 150_000
EXACT_COLORS = 24


def get_people() -> list[Character]:
    """Return the eight people of the dataset."""
    return [*CAST, *(random_character(n) for n in range(8))][:8]


def draw_dataset(root: Path) -> dict[str, str]:
    """Draw a dataset of faces; return the person of each sample key."""
    rng = random.Random(4)  # noqa: S311 - drawing, not secrecy
    people = get_people()
    truth: dict[str, str] = {}
    with Dataset.create(root) as dataset, dataset.stage("drawing") as scratch:
        stage = StageBytes(dataset.originals(scratch))
        cropper = FaceCropper(CropGeometry(), dataset.crops(scratch))

        def add(
            image: Image.Image, file: str, faces: list[Face], name: str = ""
        ) -> None:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=88)
            measured = stage(buffer.getvalue())
            origin = Origin("folder", file, title=file, hint=None)
            with dataset.db.transaction():
                dataset.take_original(stage.store, measured, origin)
                crops = [
                    cropper.crop(measured.sha256, np.asarray(image), face)
                    for face in faces
                ]
                dataset.faces.replace(measured.sha256, "drawn", "docs", crops)
            truth.update((crop.key, name) for crop in crops)

        for shot in range(SHOTS):
            number = rng.choices(
                range(8), [1 / (place + 1) ** 0.7 for place in range(8)]
            )[0]
            scene = plan_scene([people[number]], shot, FRAME_SIZE)
            image = paint_scene(scene)
            box = face_box(scene.figures[0])
            add(image, f"shot-{shot:03}.jpg", [Face("drawn", box, 0.9)], NAMES[number])
            if shot < COPIES:
                small = image.resize((FRAME_SIZE[0] * 3 // 4, FRAME_SIZE[1] * 3 // 4))
                scaled = box._replace(
                    **{side: getattr(box, side) * 3 // 4 for side in box._fields}
                )
                add(
                    small,
                    f"copy-{shot:03}.jpg",
                    [Face("drawn", scaled, 0.9)],
                    NAMES[number],
                )
        for number in range(MISSED_FACES):
            add(paint_scene(plan_missed(number)), f"missed-{number}.jpg", [])
        sum(measure_in_batches(dataset))
    return truth


def plan_missed(number: int) -> Scene:
    """Return the scene of an image whose face is not detected."""
    return plan_scene([get_people()[number]], 900 + number, MISSED_SIZE)


def label_dataset(root: Path, truth: dict[str, str]) -> None:
    """Label half of the samples, some wrongly, predict the others, and mark the copies."""
    rng = random.Random(5)  # noqa: S311
    keys = list(truth)
    with Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        for name in NAMES:
            session.add_class(name)
        labels = {key: truth[key] for key in keys[: len(keys) // 2]}
        wrong = rng.sample(list(labels), 9)
        labels |= {
            key: rng.choice([n for n in NAMES if n != labels[key]]) for key in wrong
        }
        rows = session.tiles.get_ids(keys)
        labels_by_row = {rows[key]: name for key, name in labels.items()}
        session.label_each(labels_by_row, f"{len(labels)} faces with a page")
        session.decide([rows[key] for key in keys[-4:-2]], Place.LATER.target)
        session.decide([rows[key] for key in keys[-2:]], Place.REJECT.target)
        predictions = []
        for position, key in enumerate(keys):
            confidence = rng.betavariate(8, 1.2)
            label = (
                truth[key] if key in wrong or rng.random() < 0.95 else rng.choice(NAMES)
            )
            outlier = round(rng.random() + (key in wrong), 3)
            proposal = Proposal(label, round(confidence, 3))
            predictions.append(
                PrelabelledSample(key, position, (proposal,), outlier=outlier)
            )
        Proposals(dataset.db).replace(predictions, {})
        LabelIssues(dataset.db).replace(
            [
                LabelIssue(key, labels[key], truth[key], 0.9, 0.8, "docs")
                for key in wrong
            ]
        )
        pairs = Pairs(dataset.db)
        rows = pairs.get_ids(keys[: 2 * COPIES])  # each image is followed by its copy
        same = [
            (min(pair), max(pair)) for pair in zip(rows[::2], rows[1::2], strict=True)
        ]
        with dataset.db.transaction():
            pairs.add_candidates(same)
        pairs.save_verdicts([PairVerdict(a, b, 0.0, 1.0, SAME) for a, b in same])


def use_view(application: QApplication, window: LabelerWindow, name: str) -> None:
    """Point at a face or draw a box, depending on the view."""

    def wait(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end or not is_settled(window.view):
            application.processEvents()
            time.sleep(0.005)

    wait(0.5)
    view = window.view
    if name == "crop":
        from PySide6.QtCore import QRectF

        from labeler.qt.crop_canvas import BoxDraft

        number = int(view.title.text().split("missed-")[1][0])
        box = face_box(plan_missed(number).figures[0])
        view.canvas.show_boxes([BoxDraft(QRectF(*box), 4.0)], 0)
    elif hasattr(view, "view"):
        grid = view.view
        grid.set_point(min(3, grid.tiles.rowCount() - 1))
        if name == "grid":
            from labeler.qt.grid.tile_view import Select

            grid.select_ranges([(5, 8), (12, 12)], Select.ClearAndSelect)
    wait(0.6)


def shrink(file: Path) -> None:
    """Reduce an image to `WIDTH` pixels and as many colors as `MAX_BYTES` allow."""
    image = Image.open(file).convert("RGB")
    image = image.resize(
        (WIDTH, WIDTH * image.height // image.width), Image.Resampling.LANCZOS
    )
    common = sorted(image.getcolors(1 << 24) or [], reverse=True)[:EXACT_COLORS]
    exact = [channel for _, color in common for channel in color]
    exact[-3:] = QApplication.palette().highlight().color().getRgb()[:3]
    for count in (160, 112, 80, 56, 48):
        # The most frequent colors (greys, texts, outlines) stay exact; only faces lose some.
        others = image.quantize(count - EXACT_COLORS).getpalette() or []
        palette = Image.new("P", (1, 1))
        palette.putpalette((exact + others)[: 3 * count])
        image.quantize(palette=palette, dither=Image.Dither.NONE).save(
            file, optimize=True
        )
        if file.stat().st_size < MAX_BYTES:
            return


def main(folder: Path) -> None:
    """Draw a dataset, and take a screenshot of each view."""
    application = make_application()
    application.setStyle("Fusion")
    with tempfile.TemporaryDirectory() as scratch:
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        QSettings.setPath(
            QSettings.Format.IniFormat, QSettings.Scope.UserScope, scratch
        )
        root = Path(scratch) / "my-dataset"
        label_dataset(root, draw_dataset(root))
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
                use_view(application, window, view)
                file = folder / f"labeler-{view}{suffix}.png"
                render_window(application, window, file)
                window.shut_down()
                window.deleteLater()
                shrink(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
