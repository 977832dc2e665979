"""Closing, interrupting and killing the window never loses a decision silently."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from catalogue_lock import locked
from drawn_faces import FaceSet, add_classes
from many_samples import make_many
from person import CONTROL, NONE, SHIFT, Opened, Person, settle, until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from sorting_model import NAMES, Book, by_id, found, next_gesture, replayed
from tools_for_tests import python_path

from gleanset import Dataset
from gleanset.db.regions import BoxedSamples
from gleanset.db.sorting import SampleTiles
from gleanset.db.views import EVERYWHERE, OrderedSamples
from labeler.qt.views.crop import CropView
from labeler.qt.views.statistics import StatisticsView
from labeler.qt.window import LabelerWindow
from labeler.sorting.session import SortingSession

Key = Qt.Key


def message(window: LabelerWindow) -> str:
    return window.statusBar().currentMessage()


def labels(faces: FaceSet) -> list[str]:
    with Dataset.open(faces.root) as dataset:
        return [sample.label for sample in dataset.samples.iterate() if sample.label]


def test_a_decision_made_while_closing_waits_for_a_busy_dataset(
    person: Person, few: FaceSet
) -> None:
    with locked(few.root):
        person.send(0, "rei")
        assert not person.window.close()
        assert person.window.isVisible()
        assert "changes are being saved" in message(person.window)
        assert labels(few) == []
    until(lambda: not person.window.isVisible())
    assert labels(few) == ["rei"]


def test_a_key_that_is_still_held_counts_when_the_window_closes(
    person: Person, few: FaceSet
) -> None:
    person.point(0)
    QTest.keyPress(person.view.view, person.keys["rei"], NONE)
    assert person.window.close()
    assert labels(few) == ["rei"]


def test_ctrl_q_closes_the_window(person: Person, few: FaceSet) -> None:
    person.send(0, "rei")
    QTest.keyClick(person.view.view, Key.Key_Q, CONTROL)
    until(lambda: not person.window.isVisible())
    assert labels(few) == ["rei"]


def test_closing_twice_gives_up_and_does_not_hang(person: Person, few: FaceSet) -> None:
    with locked(few.root):
        person.send(0, "rei")
        assert not person.window.close()
        assert person.window.close()
        assert not person.window.isVisible()


def test_a_refused_decision_keeps_the_window_open_once(opened: Opened, few: FaceSet) -> None:
    window = opened(few.root)
    window.worker.decide(lambda session: session.add_class("rei"))
    assert not window.close()
    assert "there is a class 'rei' already" in message(window)
    assert window.close()


def test_a_box_that_was_just_moved_is_saved_when_the_window_closes(
    opened: Opened, few: FaceSet
) -> None:
    window = opened(few.root, "crop")
    view = window.view
    assert isinstance(view, CropView)
    settle(window)
    view.selection_box.setCurrentIndex(1)
    until(lambda: view.canvas.current >= 0 and not view.canvas.image.isNull())
    settle(window)
    assert view._sheet is not None
    sha256, before = view._sheet.sha256, view.canvas.boxes[0].box
    with locked(few.root):
        QTest.keyClick(view.canvas, Key.Key_Right, SHIFT)
        assert not window.close()
    until(lambda: not window.isVisible())
    with Dataset.open(few.root) as dataset:
        boxes = [one.box for one in BoxedSamples(dataset.db).list_in_image(sha256) if one.by_hand]
    assert boxes == [before._replace(x=before.x + 10)]


def test_an_export_that_is_under_way_is_finished_first(opened: Opened, few: FaceSet) -> None:
    with Dataset.open(few.root) as dataset:
        session = SortingSession(dataset)
        session.file_each(by_id(session, few.truth), "all")
    window = opened(few.root, "statistics")
    view = window.view
    assert isinstance(view, StatisticsView)
    settle(window)
    view.export_box.start()
    assert not window.close()
    assert "an export is running" in message(window)
    # It fails, for nothing is split yet: a person has to see that.
    until(lambda: not view.export_box.working.busy, 60)
    assert window.isVisible()
    assert message(window) == view.export_box.result.text() != ""
    view.apply()
    until(lambda: not view._splitting.busy, 180)
    view.export_box.start()
    assert not window.close()
    until(lambda: not window.isVisible(), 60)
    assert len(list((few.root / "exports").rglob("*.jpg"))) == 60


def test_what_could_not_be_saved_at_the_end_is_counted(person: Person, few: FaceSet) -> None:
    """Where nobody can be asked: the session of the desktop ends."""
    worker = person.window.worker
    worker.ask(lambda session: session.dataset.db.fetch_all("PRAGMA busy_timeout=20"))
    with locked(few.root):
        for row in range(3):
            person.send(row, "rei")
        worker.close()
    assert worker.lost_count == 3


def test_nothing_begins_or_is_told_once_the_worker_has_ended(opened: Opened, few: FaceSet) -> None:
    """Its thread may still be at something that takes long."""
    window = opened(few.root)
    begun, go_on, result = threading.Event(), threading.Event(), []

    def long_question(session: SortingSession) -> None:
        begun.set()
        go_on.wait(60)

    task = window.worker.create_task()
    window.worker.ask(long_question, result.append)
    assert begun.wait(60)
    window.worker.close()
    thread = window.worker._thread
    assert thread.is_alive()
    go_on.set()
    thread.join(60)
    QApplication.processEvents()
    assert result == []
    assert not task.start(lambda dataset, progress: None)


@pytest.mark.parametrize("how", ["key", "sweep"])
def test_a_held_key_means_the_faces_that_were_shown_when_it_was_pressed(
    person: Person, few: FaceSet, how: str
) -> None:
    """The answer to an earlier question shows other faces while a key is held."""
    person.send(0, "hana")
    settle(person.window)
    seen = [person.view.model.id(row) for row in (1, 2)]
    person.point(1)
    QTest.keyPress(person.view.view, person.keys["rei"], NONE)
    if how == "sweep":
        person.point(2)
    person.window.view.enter()
    settle(person.window)
    assert person.view.model.id(1) != seen[0]
    QTest.keyRelease(person.view.view, person.keys["rei"], NONE)
    settle(person.window)
    with Dataset.open(few.root) as dataset:
        rei = SampleTiles(dataset.db).list_labelled("rei")
    assert rei == (seen if how == "sweep" else seen[:1])


SAMPLES = 6
HERE = Path(__file__).parent


def killed(root: Path, seed: int, seconds: float) -> int:
    """How many gestures were saved for certain before the kill."""
    paths = python_path(HERE, HERE.parent)
    with subprocess.Popen(
        [sys.executable, HERE / "window_child.py", root, str(SAMPLES), str(seed)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"!"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        return len(process.stdout.read())


def kill_often(root: Path, times: int) -> int:
    make_many(root, SAMPLES)
    add_classes(root, NAMES)
    with Dataset.open(root) as dataset:
        tiles = SortingSession(dataset).tiles
        keys = tiles.get_keys(OrderedSamples(dataset.db).list_rows(EVERYWHERE).ids)
    book = Book(dict.fromkeys(range(SAMPLES), ":queue"))
    dice, total = random.Random(2), 0
    for seed in range(times):
        # Undoing what made the classes would take their keys away: the book begins after it.
        book.done, book.undone = [], []
        _forget_history(root)
        done = killed(root, seed, dice.uniform(0, 0.6))
        again = random.Random(seed)
        replayed(book, again, done, SAMPLES)
        with Dataset.open(root) as dataset:
            seen = found(dataset, keys)
        if seen != book.state:
            book.play(next_gesture(again, book, SAMPLES))
        assert seen == book.state
        total += done
    return total


def _forget_history(root: Path) -> None:
    """Steps of earlier spells stay in the journal; here they cannot be undone any more."""
    with Dataset.open(root) as dataset, dataset.db.transaction():
        for table in ("decision", "change", "step"):
            dataset.db.execute(f"DELETE FROM {table}")


@pytest.mark.slow
def test_kill_9_of_a_window(tmp_path: Path) -> None:
    assert kill_often(tmp_path / "d", 2) > 0


WINDOW = """
from PySide6.QtCore import QTimer
from labeler.qt.app import make_application
application = make_application()
QTimer.singleShot(0, lambda: print("shown", flush=True))
from labeler.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent to whole consoles there")
@pytest.mark.parametrize("folder", ["dataset", "empty"])
def test_ctrl_c_closes_the_window_in_good_order(
    dataset: Dataset, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "window.py").write_text(WINDOW)
    window = subprocess.Popen(
        [sys.executable, tmp_path / "window.py", "-d", tmp_path / folder],
        env={**os.environ, "PYTHONPATH": python_path(), "QT_QPA_PLATFORM": "offscreen"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with window:
        assert window.stdout is not None
        assert window.stdout.readline() == "shown\n"
        window.send_signal(signal.SIGINT)
        _, text = window.communicate(timeout=60)
    assert (window.returncode, "Traceback" in text) == (130, False), text
    assert "completed work is kept" in text
