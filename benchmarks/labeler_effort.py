"""Effort of labelling faces in the real window, with simulated mouse and keyboard input.

    python benchmarks/labeler_effort.py FOLDER              (a folder for each class)
    python benchmarks/labeler_effort.py FOLDER --json --classes 5 --each 46
    python benchmarks/labeler_effort.py --followed A B      (folders from `episodes.py --keep`)

The images of all classes are shuffled into a new dataset in the state that `facecrop run` leaves:
no labels, no embeddings. A scripted user who recognizes everyone opens a window under Xvfb and
labels until nothing is pending, using X events only. The script reads the painted tiles, their
predictions and the headings, and takes the true class of a face from its folder. It knows nothing
about tiles that are not painted.

A key press or chord, a click, a wheel notch and a drag count as one gesture each. Holding a key
while the mouse sweeps over adjacent tiles also counts as one, as long as the mouse crosses no tile
of another class: the mouse moves in straight lines over everything in between. Samples that are not
faces are rejected. With several films, each is labelled in turn, with the names from the films
before. The Enter after a name (Ctrl+Enter after the last) is a gesture; letters are counted
separately. Times follow the keystroke-level model (Card, Moran and Newell 1980): 0.28 s per key,
1.1 s to point, 0.1 s to press, 1.35 s to think about a page, plus 0.15 s for each new face. Time
spent waiting for the window is added; background training gets only this time. With `--patient` the
user starts when the status bar reports that all faces were processed, and the minutes include that
wait. As a baseline, a file manager needs one drag for each run of adjacent files of one class in
the shuffled folder. The last line of output for each dataset is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "labeler")]

import numpy as np  # noqa: E402
from drawn_faces import FaceSet, labels  # noqa: E402
from episodes import true_names  # noqa: E402
from PIL import Image  # noqa: E402
from virtual_display import Display, display  # noqa: E402

from gleanset import Box, Dataset, Face, Origin  # noqa: E402
from gleanset.db.proposals import Proposals  # noqa: E402
from gleanset.images.cropping import CropGeometry, FaceCropper  # noqa: E402
from gleanset.images.staging import StageBytes  # noqa: E402
from gleanset.work.progress import Progress  # noqa: E402
from pipeline.maintenance.merge import merge_dataset  # noqa: E402

if TYPE_CHECKING:
    from PySide6.QtCore import QPoint
    from PySide6.QtWidgets import QWidget

    from labeler.qt.views.class_pages import ClassPagesView
    from labeler.qt.window import LabelerWindow
    from labeler.sorting.page_layout import ClassPage

KEY, POINT, PRESS, THINK, SCAN = 0.28, 1.1, 0.1, 1.35, 0.15
"""Seconds per action of the keystroke-level model, and per face looked at."""
STEP = 12
"""Pixels between two successive mouse positions."""
STILL_LEARNING = ("starting", "features", "updating")
PATIENCE = 120.0
"""Timeout in seconds: a window that stays busy for longer is a failure."""
NO_FACE = ""
"""True class of a sample that is not a face."""
MOST_OTHERS = 0.6
"""If more than this share of a class page has one other class, relabel the whole page."""


class SeenTile(NamedTuple):
    """Painted tile: its row, the key of its sample, and the class shown on it."""

    row: int
    key: str
    label: str | None


class Person:
    """Simulated user of one window; counts `gestures` by kind, and `letters` separately."""

    def __init__(self, window: LabelerWindow, screen: Display, truth: dict[str, str]) -> None:
        self.window, self.screen, self.truth = window, screen, truth
        self.gestures: Counter[str] = Counter()
        self.stages: Counter[str] = Counter()
        self._stage = ""
        self.letters = 0
        self._met: set[str] = set()
        self._at = (0, 0)

    # Mouse and keyboard

    def key(self, name: str, what: str) -> None:
        """Press a key or chord, in xdotool's notation."""
        self._count(what)
        self._send_input(KEY, "key", name)

    def _count(self, what: str) -> None:
        self.gestures[what] += 1
        self.stages[self._stage] += 1

    def point(self, row: int) -> None:
        """Move the mouse to a visible tile."""
        self._move(POINT, self._place(row))

    def _move(self, seconds: float, to: tuple[int, int], *then: str | int) -> None:
        """Move the mouse in a straight line, across everything in between."""
        way: list[str | int] = []
        for place in mouse_path(self._at, to):
            way += ["mousemove", *place]
        self._at = to
        self._send_input(seconds, *way, *then)

    def sweep(self, rows: list[int], who: str, also: set[int]) -> None:
        """Label tiles by moving over them with a class key held.

        The key is released before the mouse crosses tiles that are neither these nor in `also`.
        """
        *before, key = self.keys[who]
        held = ["shift"] if self.view.view.has_clusters and who != NO_FACE else []
        while rows:
            far = 1 if who == NO_FACE else self._reached(rows, {*rows, *also})
            self.point(rows[0])
            for first in before:
                self.key(first, "key")
            self._count("key" if far == 1 else "sweep")
            self._send_input(KEY, *(word for name in (*held, key) for word in ("keydown", name)))
            for row in rows[1:far]:
                self._move(PRESS, self._place(row))
            self._send_input(PRESS, *(word for name in (key, *held) for word in ("keyup", name)))
            rows = rows[far:]

    def _reached(self, rows: list[int], allowed: set[int]) -> int:
        """Return how many tiles a sweep reaches over allowed tiles."""
        from PySide6.QtCore import QPoint

        tiles = self.view.view
        places = [self._place(row) for row in rows]
        for number, (start, end) in enumerate(pairwise(places), 1):
            below = (tiles.viewport().mapFromGlobal(QPoint(*at)) for at in mouse_path(start, end))
            if {tiles.indexAt(point).row() for point in below} - {*allowed, -1}:
                return number
        return len(rows)

    def write(self, name: str, enter: str = "Return") -> None:
        """Type a name into the focused widget, then Enter."""
        self.letters += len(name)
        self._send_input(KEY * len(name), "type", "--delay", "4", name)
        self.key(enter, "enter of a name")

    def _send_input(self, seconds: float, *words: str | int) -> None:
        """Send input events, then wait as long as a person would take."""
        end = time.monotonic() + seconds
        self.screen.hand(*words)
        self.wait(end)

    def wait(self, end: float = 0.0) -> None:
        """Wait until this time and until the window is idle."""
        from PySide6.QtWidgets import QApplication

        quiet, latest = 0, time.monotonic() + PATIENCE
        while quiet < 5 or time.monotonic() < end:
            if time.monotonic() > latest:
                raise SystemExit("the window does not come to rest")
            QApplication.processEvents()
            quiet = quiet + 1 if self.window.view.is_settled() else 0
            time.sleep(0.004)

    def _place(self, row: int) -> tuple[int, int]:
        """Return the screen position of the center of a tile's visible part."""
        tiles = self.view.view
        visible = tiles.visualRect(tiles.tiles.index(row)) & tiles.viewport().rect()
        return screen_position(tiles.viewport(), visible.center())

    # What the user sees

    @property
    def view(self) -> ClassPagesView:
        """The view with the class pages."""
        from labeler.qt.views.class_pages import ClassPagesView

        assert isinstance(self.window.view, ClassPagesView)
        return self.window.view

    def look(self) -> list[SeenTile]:
        """Return the tiles painted now, after a delay for new ones."""
        self.wait()
        tiles, painted = self.view.view, []
        for row in tiles.in_sight():
            if (
                tiles.tiles.id(row) in tiles.seen_samples
                and (tile := tiles.tiles.tile(row)) is not None
            ):
                label = tiles.tiles.prediction(row)
                painted.append(SeenTile(row, tile.key, label.label if label else None))
        new = {tile.key for tile in painted} - self._met
        self._met |= new
        self.wait(time.monotonic() + SCAN * len(new))
        return painted

    # What the user does

    def wait_for_learning(self) -> None:
        """Wait until the status bar reports the end of training."""
        end = time.monotonic() + PATIENCE
        while self.window.learning.state in STILL_LEARNING and time.monotonic() < end:
            self.wait(time.monotonic() + 0.5)

    def sort(self) -> None:
        """Label page after page until nothing is left."""
        self.wait()
        while (page := self.view.page) is not None:
            if page.kind == "plain":
                self._await_groups(page)
                continue
            before = sum(self.gestures.values())
            self.one_page()
            cost = sum(self.gestures.values()) - before
            print(f"{page.kind} of {len(page.tiles)}: {cost} gestures", file=sys.stderr)

    def _await_groups(self, page: ClassPage) -> None:
        """Wait until the faces have been compared."""
        end = time.monotonic() + PATIENCE
        while self.view.page is page:
            if time.monotonic() > end:
                raise SystemExit(f"nothing comes after a page of {len(page.tiles)} plain faces")
            self.wait(time.monotonic() + 0.5)

    def one_page(self) -> None:
        """View the whole page, fix wrong predictions, and press Enter."""
        page = self.view.page
        assert page is not None
        self.wait(time.monotonic() + THINK)
        done: set[int] = set()
        page_class: str | None = None
        while True:
            visible = [tile for tile in self.look() if tile.row not in done]
            if self.view.page is not page:
                return  # the page was rebuilt before any input: look again
            if page.kind == "groups":
                self._name_groups(page, visible)
                if self.view.page is not page:
                    return  # naming the last cluster completed the page
            else:
                self._stage = f"wrong on {page.kind} pages"
                page_class = page_class or (
                    self._class_for_page(page, visible) if not done else None
                )
                self._fix([(tile, page_class or tile.label) for tile in visible])
            done |= {tile.row for tile in visible}
            if not self.view.view.unseen():
                break
            self._scroll()
        self._stage = "leaving pages"
        if page_class is None:
            self.key("Return", "enter")
        else:
            self._assign_class(page_class)
        self.wait()

    def _name_groups(self, page: ClassPage, visible: list[SeenTile]) -> None:
        """Name each cluster after its majority class, then fix the outliers.

        Adjacent clusters of one class are labelled in one sweep of the class key, with Shift, as
        a plain letter starts a name. A single cluster of a new class without outliers comes last.
        """
        groups: list[tuple[str, list[SeenTile]]] = []
        first = 0
        for size in page.cluster_sizes:
            members = [tile for tile in visible if first <= tile.row < first + size]
            first += size
            if members:
                most = Counter(self.truth[tile.key] for tile in members).most_common(1)[0][0]
                groups.append((most, members))
        runs = [
            (who, [members for _, members in run])
            for who, run in groupby(groups, lambda group: group[0])
        ]
        runs.sort(key=lambda run: self._only_a_name(*run))
        for number, (most, some) in enumerate(runs, 1):
            self._stage = "naming groups"
            ends = number == len(runs) and self._only_a_name(most, some)
            leaves = ends and not self.view.view.unseen()
            self._name_each(most, some, "ctrl+Return" if leaves else "Return")
            self._stage = "strays of groups"
            for members in some:
                self._fix([(tile, most) for tile in members])

    def _only_a_name(self, who: str, groups: list[list[SeenTile]]) -> bool:
        """Return whether this is a single cluster of one new class."""
        leave_group_out = len(groups) == 1 and all(
            self.truth[tile.key] == who for tile in groups[0]
        )
        return leave_group_out and who not in self.keys

    def _name_each(self, who: str, groups: list[list[SeenTile]], enter: str) -> None:
        """Label clusters: type a new name once, then use its key."""
        rows = [
            next(tile.row for tile in members if self.truth[tile.key] == who) for members in groups
        ]
        whole = {tile.row for members in groups for tile in members}
        if who not in self.keys:
            self.point(rows[0])
            self._assign_class(who, enter)
            rows = rows[1:]
        if rows:
            self.sweep(rows, who, whole)

    def _assign_class(self, who: str, enter: str = "Return") -> None:
        """Assign a class to the page or the cluster under the mouse."""
        if key := self.keys.get(who):
            self.key(f"shift+{''.join(key)}", "page key")
            return
        if self.view.page is not None and self.view.page.kind != "groups":
            self.key("n", "find")  # on a clusters page, typing starts a name by itself
        self.write(who, enter)

    def _class_for_page(self, page: ClassPage, visible: list[SeenTile]) -> str | None:
        """Return the class for the whole page; None to keep the predictions."""
        most, number = Counter(self.truth[tile.key] for tile in visible).most_common(1)[0]
        other = page.kind == "class" and most != page.label and number > MOST_OTHERS * len(visible)
        return most if other and most != NO_FACE else None

    def _fix(self, visible: list[tuple[SeenTile, str | None]]) -> None:
        """Fix samples whose class differs from the assumed one, adjacent ones together."""
        wrong = [
            (tile.row, self.truth[tile.key])
            for tile, label in visible
            if self.truth[tile.key] != label
        ]
        runs = groupby(enumerate(wrong), lambda item: (item[1][0] - item[0], item[1][1]))
        for (_, who), run in runs:
            rows = [row for _, (row, _) in run]
            if self.view.view.has_clusters:  # exclude them from the cluster, then label them
                for row in rows:
                    self._count("click")
                    self._move(PRESS, self._place(row), "click", 1)
                rows = rows[:1]
            if who not in self.keys:
                self._create_class(rows.pop(0), who)
            if rows:
                self.sweep(rows, who, set())

    def _create_class(self, row: int, who: str) -> None:
        """Create a class at its first face by typing its name."""
        self.point(row)
        if not self.view.view.has_clusters:
            self.key("slash", "find")
        self.write(who)
        if who not in self.keys:
            raise SystemExit(f"{who} was named and has no key: {self.window.focusWidget()}")

    def _scroll(self) -> None:
        """Scroll by one wheel notch over the faces."""
        self._count("wheel")
        x, y = screen_position(self.view.view.viewport(), self.view.view.viewport().rect().center())
        self._move(PRESS, (x, y), "click", 5)

    @property
    def keys(self) -> Mapping[str, Sequence[str]]:
        """The keys of the classes, and of "not a face"."""
        progress = self.window.worker.progress
        return {NO_FACE: ["Delete"]} | ({} if progress is None else progress.keys)


def mouse_path(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the mouse positions on the way between two points."""
    if start == end:  # the window only reacts to mouse moves
        return [(end[0] + STEP // 4, end[1]), end]
    far = max(1, -(-max(abs(end[0] - start[0]), abs(end[1] - start[1])) // STEP))
    return [
        (start[0] + (end[0] - start[0]) * n // far, start[1] + (end[1] - start[1]) * n // far)
        for n in range(1, far + 1)
    ]


def screen_position(widget: QWidget, point: QPoint) -> tuple[int, int]:
    """Return the screen position of a point in a widget."""
    position = widget.mapToGlobal(point)
    return position.x(), position.y()


def label_in_window(faces: FaceSet, screen: Display, patient: bool = False) -> dict[str, Any]:
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
        person.sort()
        minutes = (time.monotonic() - started) / 60
    finally:
        window.shut_down()
        window.deleteLater()
    prelabelings = count_prelabels(faces.root)
    final = labels(faces.root)
    pairs = Counter((name, final[key] or NO_FACE) for key, name in faces.truth.items())
    mistakes = Counter({pair: count for pair, count in pairs.items() if len({*pair}) > 1})
    for (name, label), count in mistakes.items():
        print(f"{count} of {name} labelled {label}", file=sys.stderr)
    wrong = mistakes.total()
    part, gestures = 1000 / len(faces.truth), sum(person.gestures.values())
    return {
        "faces": len(faces.truth),
        "classes": len({*faces.names} - {NO_FACE}),
        "gestures_per_1000": round((gestures + person.letters) * part, 1),
        "gestures_per_1000_without_letters": round(gestures * part, 1),
        "wrong_share": round(wrong / len(faces.truth), 4),
        "minutes": round(minutes, 1),
        "prelabelings": prelabelings,
        "drags_per_1000": round(count_runs(faces) * part, 1),
        "stages": dict(person.stages),
        "counted": dict(person.gestures) | {"letters": person.letters},
    }


def count_prelabels(root: Path) -> int:
    """Return how many background trainings ran."""
    with Dataset.open(root) as dataset:
        newest = Proposals(dataset.db).get_latest()
        return newest.id if newest is not None else 0


def count_runs(faces: FaceSet) -> int:
    """Return the number of runs of one class in import order."""
    return sum(1 for _ in groupby(faces.truth.values()))


def link_subset(folder: Path, to: Path, arguments: argparse.Namespace) -> Path:
    """Link the requested classes and images into a folder and return it."""
    dice = random.Random(arguments.seed)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    for name in dice.sample(names, arguments.classes or len(names)):
        (to / name).mkdir(parents=True)
        pictures = sorted(path for path in (folder / name).iterdir() if path.is_file())
        for picture in dice.sample(pictures, min(arguments.each or len(pictures), len(pictures))):
            (to / name / picture.name).symlink_to(picture.absolute())
    return to


def build_dataset(arguments: argparse.Namespace, scratch: Path) -> FaceSet:
    """Build the requested dataset."""
    if arguments.folder is None:
        raise SystemExit("name a folder of class folders, or --followed FILM...")
    part = link_subset(arguments.folder, scratch / "chosen", arguments)
    return import_shuffled(scratch / "faces", part, arguments.seed)


def import_shuffled(root: Path, folder: Path, seed: int) -> FaceSet:
    """Create a dataset of shuffled whole images from class folders."""
    files = [path for path in sorted(folder.glob("*/*")) if path.is_file()]
    random.Random(seed).shuffle(files)
    truth: dict[str, str] = {}
    with Dataset.create(root) as dataset, dataset.stage("benchmark") as scratch:
        stage = StageBytes(dataset.originals(scratch))
        cutter = FaceCropper(CropGeometry(), dataset.crops(scratch))
        for path in files:
            image = stage(path.read_bytes())
            origin = Origin("folder", str(path), title=path.name)
            face = Face("whole", Box(0, 0, image.width, image.height), 1.0)
            with dataset.db.transaction():
                dataset.take_original(stage.store, image, origin)
                crop = cutter.crop(image.sha256, np.asarray(Image.open(path).convert("RGB")), face)
                dataset.faces.replace(image.sha256, "whole", "benchmark", [crop])
            truth[crop.key] = path.parent.name
    return FaceSet(root, truth)


def merge_films(root: Path, films: Sequence[Path]) -> Iterator[FaceSet]:
    """Merge the films one by one; yield the faces of each."""
    for number, film in enumerate(films):
        known = true_names(film / "dataset", json.loads((film / "truth.json").read_text()))
        if number == 0:
            shutil.copytree(film / "dataset", root)
        else:
            with Dataset.open(root) as dataset:
                merge_dataset(dataset, film / "dataset", simulate=False, progress=Progress())
        yield FaceSet(root, {key: spell_name(who or NO_FACE) for key, who in known.items()})


def spell_name(who: str) -> str:
    """Reverse "-twin" names: no class name may contain another."""
    return who[::-1] if who.endswith("-twin") else who


def main() -> None:
    """Label the faces and print the measured effort."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--followed", type=Path, nargs="+", help="folders of `episodes.py --keep`")
    parser.add_argument("--classes", type=int, help="number of classes (default: all)")
    parser.add_argument("--each", type=int, help="number of images per class (default: all)")
    parser.add_argument("--seed", type=int, default=3, help="seed of the selection and order")
    parser.add_argument("--patient", action="store_true", help="wait until all faces are processed")
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "faces"
        films = arguments.followed
        sets = merge_films(root, films) if films else iter([build_dataset(arguments, Path(name))])
        with display(Path(name)) as screen:
            from PySide6.QtCore import QCoreApplication, QEvent

            os.environ.pop("QT_QPA_PLATFORM", None)  # a real mouse needs a real display
            os.environ.update(screen.env)
            for faces in sets:
                cost = label_in_window(faces, screen, arguments.patient)
                # Before the display closes: without an event loop Qt does not delete the window.
                QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
                QCoreApplication.processEvents()
                if not arguments.json:
                    print(*(f"{what:36} {value}" for what, value in cost.items()), sep="\n")
                print(json.dumps(cost), flush=True)


if __name__ == "__main__":
    main()
