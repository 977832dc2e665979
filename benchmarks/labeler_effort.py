"""Effort of labelling faces in the real window, with simulated mouse and keyboard input.

    python benchmarks/labeler_effort.py FOLDER              (a folder for each class)
    python benchmarks/labeler_effort.py FOLDER --json --classes 5 --each 46

The images of all classes are shuffled into a new dataset in the state that `facecrop run` leaves:
no labels, no embeddings. A scripted user who recognizes everyone opens a window under Xvfb and
labels until nothing is pending, using X events only. The script reads the painted tiles, their
predictions and the headings, and takes the true class of a face from its folder. It ignores tiles
that are not painted.

A key press or chord, a click, a wheel notch and a drag count as one gesture each. Holding a key
while the mouse sweeps over adjacent tiles also counts as one, as long as the mouse crosses no tile
of another class: the mouse moves in straight lines over everything in between. Samples that are not
faces are rejected. The Enter after a name (Ctrl+Enter after the last) is a gesture; letters are
counted separately. Times follow the keystroke-level model (Card, Moran and Newell 1980): 0.28 s per
key, 1.1 s to point, 0.1 s to press, 1.35 s to think about a page, plus 0.15 s for each new face.
Time spent waiting for the window is added; background training gets only this time. With
`--patient` the user starts when the status bar reports that all faces were processed, and the
minutes include that wait. As a baseline, a file manager needs one drag for each run of adjacent
files of one class in the shuffled folder. The last line of output is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.extend(
    str(Path(__file__).parents[1] / name) for name in ("", "tests", "tests/labeler")
)

import numpy as np
from drawn_faces import FaceSet, labels
from PIL import Image
from virtual_display import Display, display

from gleanset import Box, Dataset, Face, Origin
from gleanset.db.proposals import Proposals
from gleanset.images.cropping import FaceCropper
from gleanset.images.staging import StageBytes
from gleanset.settings import CropGeometry

if TYPE_CHECKING:
    from PySide6.QtCore import QPoint
    from PySide6.QtWidgets import QWidget

    from labeler.qt.views.class_pages import ClassPagesView
    from labeler.qt.window import LabelerWindow
    from labeler.sorting.page_layout import ClassPage

KEY_SECONDS = 0.28
POINT_SECONDS = 1.1
PRESS_SECONDS = 0.1
THINK_SECONDS = 1.35
"""Times of the keystroke-level model."""
SCAN_SECONDS = 0.15
"""Time to look at a new face."""
STEP = 12
"""Pixels between two successive mouse positions."""
TIMEOUT_SECONDS = 120.0
"""A window that stays busy for longer is a failure."""
NO_FACE = ""
"""True class of a sample that is not a face."""
MANY_OUTLIERS = 3
"""From this number of wrong faces in a cluster, ask for better suggestions instead of fixing it."""
RELABEL_SHARE = 0.6
"""If more than this share of a class page has one other class, relabel the whole page."""


class PaintedTile(NamedTuple):
    """Painted tile: its row, the key of its sample, and the class shown on it."""

    row: int
    key: str
    label: str | None


class Person:
    """Simulated user of one window; counts `gestures` by kind, and `letters` separately."""

    def __init__(
        self, window: LabelerWindow, screen: Display, truth: dict[str, str]
    ) -> None:
        self.window = window
        self.screen = screen
        self.truth = truth
        self.gestures: Counter[str] = Counter()
        self.stages: Counter[str] = Counter()
        self._stage = ""
        self.letters = 0
        self._seen_keys: set[str] = set()
        self._position = (0, 0)

    # Mouse and keyboard

    def press(self, key: str, gesture: str) -> None:
        """Press a key or chord, in xdotool's notation."""
        self._count(gesture)
        self._send_input(KEY_SECONDS, "key", key)

    def _count(self, gesture: str) -> None:
        self.gestures[gesture] += 1
        self.stages[self._stage] += 1

    def point(self, row: int) -> None:
        """Move the mouse to a visible tile."""
        self._move(POINT_SECONDS, self._locate(row))

    def _move(self, seconds: float, to: tuple[int, int], *then: str | int) -> None:
        """Move the mouse in a straight line, across everything in between."""
        moves: list[str | int] = []
        for position in mouse_path(self._position, to):
            moves += ["mousemove", *position]
        self._position = to
        self._send_input(seconds, *moves, *then)

    def sweep(self, rows: list[int], name: str, passable: set[int]) -> None:
        """Label tiles by moving over them with a class key held.

        The key is released before the mouse crosses tiles that are neither these nor `passable`.
        """
        *before, key = self.keys[name]
        modifiers = (
            ["shift"] if self.view.state.shown.has_clusters and name != NO_FACE else []
        )
        while rows:
            count = (
                1
                if name == NO_FACE
                else self._count_reachable(rows, {*rows, *passable})
            )
            self.point(rows[0])
            for first in before:
                self.press(first, "key")
            self._count("key" if count == 1 else "sweep")
            pressed = [word for name in (*modifiers, key) for word in ("keydown", name)]
            self._send_input(KEY_SECONDS, *pressed)
            for row in rows[1:count]:
                self._move(PRESS_SECONDS, self._locate(row))
            released = [word for name in (key, *modifiers) for word in ("keyup", name)]
            self._send_input(PRESS_SECONDS, *released)
            rows = rows[count:]

    def _count_reachable(self, rows: list[int], allowed: set[int]) -> int:
        """Return how many tiles a sweep reaches over allowed tiles."""
        from PySide6.QtCore import QPoint

        tiles = self.view.view
        positions = [self._locate(row) for row in rows]
        for number, (start, end) in enumerate(pairwise(positions), 1):
            path = (
                tiles.viewport().mapFromGlobal(QPoint(*at))
                for at in mouse_path(start, end)
            )
            if {tiles.indexAt(point).row() for point in path} - {*allowed, -1}:
                return number
        return len(rows)

    def write(self, name: str, enter: str = "Return") -> None:
        """Type a name into the focused widget, then Enter."""
        self.letters += len(name)
        self._send_input(KEY_SECONDS * len(name), "type", "--delay", "4", name)
        self.press(enter, "enter of a name")

    def _send_input(self, seconds: float, *words: str | int) -> None:
        """Send input events, then wait as long as a person would take."""
        end = time.monotonic() + seconds
        self.screen.hand(*words)
        self.wait(end)

    def wait(self, end: float = 0.0) -> None:
        """Wait until this time and until the window is idle."""
        from PySide6.QtWidgets import QApplication
        from settled import is_settled

        idle_polls = 0
        latest = time.monotonic() + TIMEOUT_SECONDS
        while idle_polls < 5 or time.monotonic() < end:
            if time.monotonic() > latest:
                raise SystemExit(f"the window is busy for {TIMEOUT_SECONDS:.0f} s")
            QApplication.processEvents()
            idle_polls = idle_polls + 1 if is_settled(self.window.view) else 0
            time.sleep(0.004)

    def _has_unseen(self) -> bool:
        tiles = self.view.view
        return bool(tiles.unseen(range(tiles.tiles.rowCount())))

    def _locate(self, row: int) -> tuple[int, int]:
        """Return the screen position of the center of a tile's visible part."""
        tiles = self.view.view
        visible = tiles.visualRect(tiles.tiles.index(row)) & tiles.viewport().rect()
        return screen_position(tiles.viewport(), visible.center())

    # Perception

    @property
    def view(self) -> ClassPagesView:
        """The view with the class pages."""
        from labeler.qt.views.class_pages import ClassPagesView

        assert isinstance(self.window.view, ClassPagesView)
        return self.window.view

    def read_tiles(self) -> list[PaintedTile]:
        """Return the tiles painted now, after a delay for new ones."""
        self.wait()
        tiles = self.view.view
        painted = []
        for row in tiles.in_sight():
            if (
                tiles.tiles.id(row) in tiles.seen_samples
                and (tile := tiles.tiles.tile(row)) is not None
            ):
                label = tiles.tiles.prediction(row)
                painted.append(
                    PaintedTile(row, tile.key, label.label if label else None)
                )
        new = {tile.key for tile in painted} - self._seen_keys
        self._seen_keys |= new
        self.wait(time.monotonic() + SCAN_SECONDS * len(new))
        return painted

    # Labelling

    def wait_for_learning(self) -> None:
        """Wait until the status bar reports the end of training."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while self.window.learning.running and time.monotonic() < end:
            self.wait(time.monotonic() + 0.5)

    def label_pages(self) -> None:
        """Label page after page until nothing is left."""
        self.wait()
        while (page := self.view.page) is not None:
            if page.kind == "plain":
                self._wait_for_clusters(page)
                continue
            before = sum(self.gestures.values())
            self.label_page()
            cost = sum(self.gestures.values()) - before
            print(f"{page.kind} of {len(page.tiles)}: {cost} gestures", file=sys.stderr)

    def _wait_for_clusters(self, page: ClassPage) -> None:
        """Wait until the faces have been compared."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while self.view.page is page:
            if time.monotonic() > end:
                raise SystemExit(f"no page after {len(page.tiles)} plain faces")
            self.wait(time.monotonic() + 0.5)

    def label_page(self) -> None:
        """View the whole page, fix wrong predictions, and press Enter."""
        page = self.view.page
        assert page is not None
        self.wait(time.monotonic() + THINK_SECONDS)
        done: set[int] = set()
        page_class: str | None = None
        while True:
            visible = [tile for tile in self.read_tiles() if tile.row not in done]
            if self.view.page is not page:
                return  # the page was rebuilt before any input: look again
            if page.kind == "groups":
                self._name_clusters(page, visible)
                if self.view.page is not page:
                    return  # naming the last cluster completed the page
            else:
                self._stage = f"wrong on {page.kind} pages"
                page_class = page_class or (
                    self._class_for_page(page, visible) if not done else None
                )
                self._fix_outliers(
                    [(tile, page_class or tile.label) for tile in visible]
                )
            done |= {tile.row for tile in visible}
            if not self._has_unseen():
                break
            self._scroll()
        if self.view.page is not page:
            return  # suggested again after corrections: look again
        self._stage = "leaving pages"
        if page_class is None:
            self.press("Return", "enter")
        else:
            self._assign_class(page_class)
        self.wait()

    def _name_clusters(self, page: ClassPage, visible: list[PaintedTile]) -> None:
        """Name each cluster after its majority class, and fix the outliers when most have names.

        Adjacent clusters of one class are labelled in one sweep of the class key, with Shift, as
        a plain letter starts a name. A single cluster of a new class without outliers comes last.
        """
        majorities: list[tuple[str, list[PaintedTile]]] = []
        first = 0
        for size in page.card_sizes:
            cluster = [tile for tile in visible if first <= tile.row < first + size]
            first += size
            if cluster:
                [(majority, _)] = Counter(
                    self.truth[tile.key] for tile in cluster
                ).most_common(1)
                majorities.append((majority, cluster))
        runs = [
            (name, [cluster for _, cluster in run])
            for name, run in groupby(majorities, lambda item: item[0])
        ]
        runs.sort(key=lambda run: self._is_single_new_class(*run))
        card_faces: list[tuple[PaintedTile, str | None]] = []
        for number, (name, clusters) in enumerate(runs, 1):
            is_mixed = self._count_outliers(name, clusters) >= MANY_OUTLIERS
            is_last = number == len(runs) and self._is_single_new_class(name, clusters)
            leaves = is_last and not self._has_unseen()
            asks = is_mixed and self.view.header.better_button.isVisible()
            if leaves or asks:
                # Outliers of a labelled cluster have a label, and are not suggested again.
                self._fix_outliers(card_faces)
                card_faces.clear()
            self._stage = "naming clusters"
            if asks:
                self.press("ctrl+r", "suggest again")
                return
            self._label_clusters(name, clusters, "ctrl+Return" if leaves else "Return")
            card_faces += [(tile, name) for cluster in clusters for tile in cluster]
        self._fix_outliers(card_faces)

    def _is_single_new_class(
        self, name: str, clusters: list[list[PaintedTile]]
    ) -> bool:
        """Return whether this is a single pure cluster of a new class."""
        is_single = len(clusters) == 1 and name not in self.keys
        return is_single and not self._count_outliers(name, clusters)

    def _count_outliers(self, name: str, clusters: list[list[PaintedTile]]) -> int:
        """Return how many faces of clusters have another class."""
        classes = Counter(
            self.truth[tile.key] for cluster in clusters for tile in cluster
        )
        return classes.total() - classes[name]

    def _label_clusters(
        self, name: str, clusters: list[list[PaintedTile]], enter: str
    ) -> None:
        """Label clusters: type a new name once, then use its key."""
        rows = [
            next(tile.row for tile in cluster if self.truth[tile.key] == name)
            for cluster in clusters
        ]
        cluster_rows = {tile.row for cluster in clusters for tile in cluster}
        if name not in self.keys:
            self.point(rows[0])
            self._assign_class(name, enter)
            rows = rows[1:]
        if rows:
            self.sweep(rows, name, cluster_rows)

    def _assign_class(self, name: str, enter: str = "Return") -> None:
        """Assign a class to the page or the cluster under the mouse."""
        if key := self.keys.get(name):
            self.press(f"shift+{''.join(key)}", "page key")
            return
        if self.view.page is not None and self.view.page.kind != "groups":
            # What is typed on the faces is for one of them.
            field = self.view.header.name
            self._count("click")
            position = screen_position(field, field.rect().center())
            self._move(PRESS_SECONDS, position, "click", 1)
        self.write(name, enter)

    def _class_for_page(
        self, page: ClassPage, visible: list[PaintedTile]
    ) -> str | None:
        """Return the class for the whole page; None to keep the predictions."""
        [(majority, count)] = Counter(
            self.truth[tile.key] for tile in visible
        ).most_common(1)
        is_wrong = page.kind == "class" and majority != page.label
        is_wrong &= count > RELABEL_SHARE * len(visible)
        return majority if is_wrong and majority != NO_FACE else None

    def _fix_outliers(self, visible: list[tuple[PaintedTile, str | None]]) -> None:
        """Fix samples whose class differs from the assumed one, adjacent ones together."""
        wrong = [
            (tile.row, self.truth[tile.key])
            for tile, label in visible
            if self.truth[tile.key] != label
        ]
        runs = groupby(
            enumerate(wrong), lambda item: (item[1][0] - item[0], item[1][1])
        )
        for (_, name), run in runs:
            has_clusters = self.view.state.shown.has_clusters
            if self.view.header.better_button.isVisible() and not has_clusters:
                self.press("ctrl+r", "suggest again")
                return
            rows = [row for _, (row, _) in run]
            if has_clusters:
                self._stage = "outliers of clusters"
            if has_clusters and name not in self.keys:
                # An excluded face comes again, with others of its class.
                for row in rows:
                    self._count("click")
                    self._move(PRESS_SECONDS, self._locate(row), "click", 1)
                continue
            if name not in self.keys:
                self._create_class(rows.pop(0), name)
            if rows:
                self.sweep(rows, name, set())

    def _create_class(self, row: int, name: str) -> None:
        """Create a class at its first face by typing its name."""
        self.point(row)
        self.write(name)
        if name not in self.keys:
            raise SystemExit(
                f"no key for the new class {name}: {self.window.focusWidget()}"
            )

    def _scroll(self) -> None:
        """Scroll by one wheel notch over the faces."""
        self._count("wheel")
        x, y = screen_position(
            self.view.view.viewport(), self.view.view.viewport().rect().center()
        )
        self._move(PRESS_SECONDS, (x, y), "click", 5)

    @property
    def keys(self) -> Mapping[str, Sequence[str]]:
        """The keys of the classes, and of "not a face"."""
        progress = self.window.worker.progress
        return {NO_FACE: ["Delete"]} | ({} if progress is None else progress.keys)


def mouse_path(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the mouse positions on the way between two points."""
    if start == end:  # the window only reacts to mouse moves
        return [(end[0] + STEP // 4, end[1]), end]
    steps = max(1, -(-max(abs(end[0] - start[0]), abs(end[1] - start[1])) // STEP))
    return [
        (
            start[0] + (end[0] - start[0]) * n // steps,
            start[1] + (end[1] - start[1]) * n // steps,
        )
        for n in range(1, steps + 1)
    ]


def screen_position(widget: QWidget, point: QPoint) -> tuple[int, int]:
    """Return the screen position of a point in a widget."""
    position = widget.mapToGlobal(point)
    return position.x(), position.y()


def label_in_window(
    faces: FaceSet, screen: Display, patient: bool = False
) -> dict[str, Any]:
    """Label a dataset in a new window and return the measured effort."""
    from labeler.qt.app import make_application
    from labeler.qt.window import LabelerWindow

    make_application()
    started = time.monotonic()
    window = LabelerWindow(faces.root, "pages")
    window.move(0, 0)
    window.resize(1440, 900)
    window.show()
    window.activateWindow()
    window.learning.begin()
    person = Person(window, screen, faces.truth)
    try:
        if patient:
            person.wait_for_learning()
        person.label_pages()
        minutes = (time.monotonic() - started) / 60
    finally:
        window.shut_down()
        window.deleteLater()
    final = labels(faces.root)
    pairs = Counter((name, final[key] or NO_FACE) for key, name in faces.truth.items())
    mistakes = Counter(
        {pair: count for pair, count in pairs.items() if len({*pair}) > 1}
    )
    for (name, label), count in mistakes.items():
        print(f"{count} of {name} labelled {label}", file=sys.stderr)
    scale = 1000 / len(faces.truth)
    gestures = sum(person.gestures.values())
    return {
        "faces": len(faces.truth),
        "classes": len({*faces.names} - {NO_FACE}),
        "gestures_per_1000": round((gestures + person.letters) * scale, 1),
        "gestures_per_1000_without_letters": round(gestures * scale, 1),
        "wrong_share": round(mistakes.total() / len(faces.truth), 4),
        "minutes": round(minutes, 1),
        "prelabelings": count_prelabels(faces.root),
        "drags_per_1000": round(
            sum(1 for _ in groupby(faces.truth.values())) * scale, 1
        ),
        "stages": dict(person.stages),
        "counted": dict(person.gestures) | {"letters": person.letters},
    }


def count_prelabels(root: Path) -> int:
    """Return how many background trainings ran."""
    with Dataset.open(root) as dataset:
        newest = Proposals(dataset.db).get_latest()
        return newest.id if newest is not None else 0


def link_subset(folder: Path, to: Path, arguments: argparse.Namespace) -> Path:
    """Link the requested classes and images into a folder and return it."""
    rng = random.Random(arguments.seed)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    for name in rng.sample(names, arguments.classes or len(names)):
        (to / name).mkdir(parents=True)
        images = sorted(path for path in (folder / name).iterdir() if path.is_file())
        for image in rng.sample(
            images, min(arguments.each or len(images), len(images))
        ):
            (to / name / image.name).symlink_to(image.absolute())
    return to


def import_shuffled(root: Path, folder: Path, seed: int) -> FaceSet:
    """Create a dataset of shuffled whole images from class folders."""
    files = [path for path in sorted(folder.glob("*/*")) if path.is_file()]
    random.Random(seed).shuffle(files)
    truth: dict[str, str] = {}
    with Dataset.create(root) as dataset, dataset.stage("benchmark") as scratch:
        stage = StageBytes(dataset.originals(scratch))
        cropper = FaceCropper(CropGeometry(), dataset.crops(scratch))
        for path in files:
            image = stage(path.read_bytes())
            origin = Origin("folder", str(path), title=path.name)
            face = Face("whole", Box(0, 0, image.width, image.height), 1.0)
            with dataset.db.transaction():
                dataset.take_original(stage.store, image, origin)
                crop = cropper.crop(
                    image.sha256, np.asarray(Image.open(path).convert("RGB")), face
                )
                dataset.faces.replace(image.sha256, "whole", "benchmark", [crop])
            truth[crop.key] = path.parent.name
    return FaceSet(root, truth)


def main() -> None:
    """Label the faces and print the measured effort."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classes", type=int, help="number of classes (default: all)")
    parser.add_argument(
        "--each", type=int, help="number of images per class (default: all)"
    )
    parser.add_argument(
        "--seed", type=int, default=3, help="seed of the selection and order"
    )
    parser.add_argument(
        "--patient", action="store_true", help="wait until all faces are processed"
    )
    parser.add_argument(
        "--json", action="store_true", help="print only the JSON object"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        subset = link_subset(arguments.folder, Path(scratch) / "subset", arguments)
        faces = import_shuffled(Path(scratch) / "faces", subset, arguments.seed)
        with display(Path(scratch)) as screen:
            from PySide6.QtCore import QCoreApplication, QEvent

            os.environ.pop("QT_QPA_PLATFORM", None)  # a real mouse needs a real display
            os.environ.update(screen.env)
            cost = label_in_window(faces, screen, arguments.patient)
            # Before the display closes: without an event loop Qt does not delete the window.
            QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
            QCoreApplication.processEvents()
            if not arguments.json:
                print(*(f"{key:36} {value}" for key, value in cost.items()), sep="\n")
            print(json.dumps(cost), flush=True)


if __name__ == "__main__":
    main()
