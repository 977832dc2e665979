"""Odd images, failing disks, other processes, large datasets, memory, long texts."""

import gc
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from drawn_faces import FaceSet, labels
from many_samples import copy_of_many
from person import (
    InstallLanguage,
    OpenWindow,
    Person,
    collect_messages,
    settle,
    wait_until,
)
from PIL import Image
from PySide6.QtCore import QCoreApplication, QEvent, QRect
from PySide6.QtGui import QPainter, QPixmap, QTextDocument
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileSystemModel, QLabel, QToolButton
from settled import is_loading
from tools_for_tests import run_cli

from gleanset import Dataset
from labeler.qt import theme
from labeler.qt.file_import import ImportState
from labeler.qt.grid.mouse import paint_drag_image
from labeler.qt.grid.tile_view import Select
from labeler.qt.status_bar import MessageBar
from labeler.qt.widgets import choose_paths
from labeler.qt.window import LabelerWindow
from labeler.sorting.import_plan import import_commands, sort_paths

# -- images


def write_odd_images(folder: Path) -> None:
    folder.mkdir()
    small = Image.linear_gradient("L").resize((60, 30))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"no image" * 20)
    (folder / "empty.jpg").touch()
    Image.new("RGB", (4200, 2800), (90, 140, 60)).save(folder / "huge.jpg")
    Image.merge("CMYK", (small,) * 4).save(folder / "cmyk.jpg")
    frames = [Image.new("P", (40, 20), colour) for colour in (1, 2, 3)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    small.convert("RGB").save(folder / "turned.jpg", exif=exif)
    data = (folder / "turned.jpg").read_bytes()
    (folder / "cut off.jpg").write_bytes(data[: len(data) // 3])


def test_odd_images_are_shown_or_rejected(
    open_window: OpenWindow, tmp_path: Path
) -> None:
    write_odd_images(tmp_path / "odd")
    Dataset.create(tmp_path / "new").close()
    window = open_window(tmp_path / "new")
    dropped = sort_paths([tmp_path / "odd"])
    window.imports.start(
        import_commands(window.worker.root, dropped, whole_images=True)
    )
    wait_until(lambda: window.view.empty.title.text() == "Preparing images…")  # type: ignore[attr-defined]
    wait_until(lambda: window.imports.state is ImportState.DONE)
    settle(window)
    with Dataset.open(tmp_path / "new") as dataset:
        reasons = {
            Path(rejection.item).name: rejection.reason
            for rejection in dataset.rejections.iterate()
        }
    assert {"broken.png", "empty.jpg"} <= set(reasons)
    assert all(reasons.values())
    window.class_panel.selected.emit(":queue")
    settle(window)
    wait_until(lambda: not is_loading(window.thumbs))
    view = window.view.view  # type: ignore[attr-defined]
    thumbnails = {}
    for row in range(view.tiles.rowCount()):
        tile = view.tiles.tile(row)
        thumbnails[tile.title] = view.appearance(row).thumbnail
    assert set(thumbnails) | set(reasons) == {
        path.name for path in (tmp_path / "odd").iterdir()
    }
    assert {"huge.jpg", "cmyk.jpg", "moving.gif", "turned.jpg"} <= set(thumbnails)
    assert not any(isinstance(thumbnail, str) for thumbnail in thumbnails.values())
    assert max(thumbnails["huge.jpg"].width(), thumbnails["huge.jpg"].height()) <= 512
    assert thumbnails["turned.jpg"].height() > thumbnails["turned.jpg"].width()


# -- disks and other processes


def test_read_only_disk_is_reported(
    open_window: OpenWindow, faces: FaceSet, small_disk: Callable[[str], Path]
) -> None:
    """The dataset can be viewed; a decision fails at once with the folder's name."""
    disk = small_disk("size=24m")
    shutil.copytree(faces.root, disk / "faces")
    if subprocess.run(
        ["mount", "-o", "remount,ro", disk], capture_output=True
    ).returncode:
        pytest.skip("needs the right to remount a disk")
    person = Person(open_window(disk / "faces"), faces)
    messages = collect_messages(person.window)
    settle(person.window)
    person.send(1, "hana")
    wait_until(lambda: any("can only be read" in text for text in messages))
    assert str(disk) in messages[-1]
    assert person.view.model.state(1).mark == "in"
    person.window.close()  # and does not hang
    assert person.labels == {}


@pytest.mark.slow
def test_locked_catalogue_delays_only_saving(person: Person, faces: FaceSet) -> None:
    locked, free = threading.Event(), threading.Event()

    def hold() -> None:
        with Dataset.open(faces.root) as dataset, dataset.db.transaction():
            locked.set()
            free.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(60)
    start = time.thread_time()
    for row in range(20):
        person.send(row, "rei")
        QApplication.processEvents()
    spent = time.thread_time() - start
    assert {person.view.model.state(row).mark for row in range(20)} == {"sent"}
    assert list(labels(faces.root).values()).count("rei") == 0
    # SQLite waits for half a minute, but the user is told within seconds.
    saved = person.window.status.saved
    result = time.monotonic()
    wait_until(lambda: "another process may be writing" in saved.text())
    assert time.monotonic() - result < 20
    person.window.close()
    assert person.window.isVisible()
    assert "changes are being saved" in person.status
    free.set()
    thread.join()
    wait_until(lambda: not person.window.isVisible())
    assert list(labels(faces.root).values()).count("rei") == 20
    assert spent < 2


# -- the window itself


ROOT = Path(__file__).parents[3]


@pytest.mark.damages("takes a file away and spoils one")
def test_missing_and_damaged_images_show_reason(
    open_window: OpenWindow, faces: FaceSet
) -> None:
    with Dataset.open(faces.root) as dataset:
        first, second = [
            s for s, _ in zip(dataset.samples.iterate(), range(2), strict=False)
        ]
        for sample, data in ((first, None), (second, b"\x89PNG\r\n\x1a\n broken")):
            dataset.crop_path(sample.key).unlink()
            path = dataset.image_path(sample.image, "PNG")
            path.unlink() if data is None else path.write_bytes(data)
    person = Person(open_window(faces.root), faces)
    wait_until(lambda: not is_loading(person.window.thumbs))
    QApplication.processEvents()
    thumbnails = [person.view.view.appearance(row).thumbnail for row in (0, 1, 2)]
    assert thumbnails[:2] == ["⚠ file is gone", "⚠ damaged"]
    assert isinstance(thumbnails[2], QPixmap)
    person.send(0, "rei")
    person.window.close()


@pytest.mark.slow
def test_large_dataset_loads_visible_tiles_only(
    open_window: OpenWindow,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    application: QApplication,
) -> None:
    """Only visible tiles and their neighbours are loaded, and the event loop stays free."""
    copy_of_many(tmp_path_factory, 5_000, tmp_path / "many")
    gaps: list[float] = []
    window = open_window(tmp_path / "many")
    view = window.view.view  # type: ignore[attr-defined]
    assert view.tiles.rowCount() == 5_000
    assert len(view.tiles._tiles) <= 3 * 256
    bar = view.verticalScrollBar()

    def timed(act: Callable[[], object]) -> None:
        start = time.thread_time()
        act()
        application.processEvents()
        gaps.append(time.thread_time() - start)

    for part in range(10):
        timed(lambda part=part: bar.setValue(bar.maximum() * part // 9))  # type: ignore[misc]
    timed(view.selectAll)
    rows = view.selected_rows()
    assert len(rows) == 5_000
    paint_drag_image(view, rows[:3])  # fonts are loaded
    start = time.thread_time()
    assert not paint_drag_image(view, rows).isNull()
    assert time.thread_time() - start < 0.05
    view.select_ranges([(0, 499)], Select.ClearAndSelect)
    window.worker.decide(lambda session: session.add_class("a"))
    settle(window)
    timed(lambda: QTest.keyClick(view, "1"))
    settle(window)
    assert max(gaps) < 0.5, gaps
    assert len(view.tiles._tiles) <= 8000 + 256


@pytest.mark.posix("every desktop has a display")
def test_missing_display_shows_hint(faces: FaceSet) -> None:
    run_cli(
        "labeler.cli",
        "-d",
        faces.root,
        QT_QPA_PLATFORM="",
        DISPLAY="",
        WAYLAND_DISPLAY="",
    ).refused(6, "labeler serve")


def test_closed_window_is_freed(application: QApplication, faces: FaceSet) -> None:
    def opened_and_closed() -> weakref.ref[LabelerWindow]:
        window = LabelerWindow(faces.root, "pages")
        window.show()
        settle(window)
        window.close()
        window.deleteLater()
        return weakref.ref(window)

    window_ref = opened_and_closed()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    application.processEvents()
    gc.collect()
    assert window_ref() is None
    assert [
        thread.name
        for thread in threading.enumerate()
        if thread.name in ("session-worker", "background", "thumbs-0")
    ] == []


def test_image_libraries_are_imported_lazily() -> None:
    code = "import sys, labeler.qt.window; print(*{'numpy', 'PIL', 'cv2'} & set(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == []


# -- locks


def has_lock(path: Path) -> bool:
    inode = f":{path.stat().st_ino} "
    lines = Path("/proc/locks").read_text().splitlines()
    return any(f" {os.getpid()} " in line and inode in line for line in lines)


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs Linux")
def test_file_dialog_keeps_locks_of_catalogue(
    open_window: OpenWindow, faces: FaceSet
) -> None:
    window = open_window(faces.root)
    shared_memory = faces.root / "catalog.sqlite-shm"
    assert has_lock(shared_memory)
    dialog = choose_paths(window, "Import", str(faces.root), print)
    files = dialog.findChildren(QFileSystemModel)[0]
    wait_until(lambda: bool(files.type(files.index(str(shared_memory)))))
    dialog.reject()
    assert has_lock(shared_memory)


LONG_NAME = "a long name " * 7 + "indeed"
LONG = (
    "the disk /mnt/a-network-drive/with-a-long-name is full: " * 8 + "make room on it"
)


def plain_text(tooltip: str) -> str:
    document = QTextDocument()
    document.setHtml(tooltip)
    return document.toPlainText()


def test_long_texts_fit_a_small_window(
    install_language: InstallLanguage, open_window: OpenWindow, faces: FaceSet
) -> None:
    install_language("ja")
    window = open_window(faces.root, size=(800, 600))
    window.worker.decide(lambda session: session.add_class(LONG_NAME))
    settle(window)
    window.worker.save_delayed.emit(LONG)
    QApplication.processEvents()
    bar = window.statusBar()
    assert isinstance(bar, MessageBar)
    for part in (*bar.findChildren(QLabel), *bar.findChildren(QToolButton)):
        if part.isVisible() and part.text():
            assert bar.rect().contains(part.geometry()), part.text()
            assert part.width() >= part.sizeHint().width() or part.toolTip(), (
                part.text()
            )
    window._toggle_details()  # the panels give way to the tabs
    QApplication.processEvents()
    tabs = window.tabs
    metrics = window.tabs.fontMetrics()
    widths = [metrics.horizontalAdvance(tabs.tabText(n)) for n in range(tabs.count())]
    assert all(tabs.tabRect(n).width() > width for n, width in enumerate(widths))
    status = window.status
    assert status.saved.text().endswith("…")
    assert plain_text(status.saved.toolTip()).endswith(LONG.strip())
    assert status.undo.text().endswith("…")
    assert LONG_NAME in plain_text(status.undo.toolTip())
    window.worker.save_delayed.emit("")
    assert status.saved.toolTip() == ""
    window.worker.show_error(LONG)
    assert bar.currentMessage() == LONG[0].upper() + LONG[1:]
    assert plain_text(bar.toolTip()) == bar.currentMessage()
    QApplication.processEvents()
    # The message is drawn beside the other parts.
    room = bar.message_room()
    assert room.width() > 0
    assert not any(
        room.intersects(part.geometry()) for part in (status.undo, status.saved)
    )


def test_text_that_is_slightly_too_long_is_drawn_smaller(
    application: QApplication,
) -> None:
    """As on a narrow card: "Enter: 10 imag" was cut within a word."""
    text = "Enter: 10 images"
    image = QPixmap(200, 30)
    painter = QPainter(image)
    before = painter.font()
    width = painter.fontMetrics().horizontalAdvance(text)
    widths = [
        theme.draw_text(painter, QRect(0, 0, round(width * share), 30), text)
        for share in (1.05, 0.93, 0.5)
    ]
    assert painter.font() == before
    painter.end()
    assert widths[0] == width
    assert (
        0.8 * width < widths[1] <= 0.93 * width
    )  # all of it: an elided one is narrower
    assert widths[2] <= 0.5 * width
