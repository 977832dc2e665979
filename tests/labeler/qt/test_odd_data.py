"""Odd images, disks and other processes; memory; the network."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawn_faces import FaceSet, labels
from many_samples import copy_of_many
from person import Opened, Person, drop_files, has_tile, messages, settle, until
from PIL import Image
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtGui import QPixmap
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from gleanset import Dataset
from labeler import cli_window
from labeler.qt import images as images
from labeler.qt.file_import import ImportState
from labeler.qt.grid import model as tile_model
from labeler.qt.grid.model import TileModel
from labeler.qt.grid.mouse import paint_drag_image
from labeler.qt.grid.tile_view import Select
from labeler.qt.images import BrokenThumbnail
from labeler.qt.views.base import VIEWS
from labeler.qt.window import LabelerWindow

# -- pictures


def odd_pictures(folder: Path) -> None:
    folder.mkdir()
    small = Image.linear_gradient("L").resize((60, 30))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"no image" * 20)
    (folder / "empty.jpg").touch()
    Image.new("RGB", (4200, 2800), (90, 140, 60)).save(folder / "huge.jpg")
    Image.merge("CMYK", (small,) * 4).save(folder / "cmyk.jpg")
    frames = [Image.new("P", (40, 20), colour) for colour in (1, 2, 3)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    small.convert("RGB").save(folder / "turned.jpg", exif=exif)
    whole = (folder / "turned.jpg").read_bytes()
    (folder / "cut off.jpg").write_bytes(whole[: len(whole) // 3])


def test_odd_pictures_are_shown_or_refused_with_a_reason(opened: Opened, tmp_path: Path) -> None:
    odd_pictures(tmp_path / "odd")
    Dataset.create(tmp_path / "new").close()
    window = opened(tmp_path / "new")
    drop_files(window, [tmp_path / "odd"])
    until(lambda: window.drops.dialog is not None and window.drops.dialog.import_button.isEnabled())
    assert window.drops.dialog is not None
    window.drops.dialog.form.whole_images.setChecked(True)
    window.drops.dialog.accept()
    until(lambda: window.imports.state is ImportState.DONE)
    settle(window)
    with Dataset.open(tmp_path / "new") as dataset:
        refused = {
            Path(rejection.what).name: rejection.reason
            for rejection in dataset.rejections.iterate()
        }
    assert {"broken.png", "empty.jpg"} <= set(refused)
    assert all(refused.values())
    window.class_panel.selected.emit(":queue")
    settle(window)
    until(lambda: not window.thumbs.is_loading)
    view = window.view.view  # type: ignore[attr-defined]
    shown = {}
    for row in range(view.tiles.rowCount()):
        tile = view.tiles.tile(row)
        shown[tile.title] = view.appearance(row).thumbnail
    assert set(shown) | set(refused) == {path.name for path in (tmp_path / "odd").iterdir()}
    assert {"huge.jpg", "cmyk.jpg", "moving.gif", "turned.jpg"} <= set(shown)
    assert not any(isinstance(picture, BrokenThumbnail) for picture in shown.values())
    assert max(shown["huge.jpg"].width(), shown["huge.jpg"].height()) <= 512
    assert shown["turned.jpg"].height() > shown["turned.jpg"].width()


# -- disks and other programs


def test_a_disk_that_is_read_only(
    opened: Opened, few: FaceSet, small_disk: Callable[[str], Path]
) -> None:
    """Everything can be looked at; a decision says at once that it cannot be saved, and where."""
    disk = small_disk("size=24m")
    shutil.copytree(few.root, disk / "few")
    if subprocess.run(["mount", "-o", "remount,ro", disk], capture_output=True).returncode:
        pytest.skip("needs the right to remount a disk")
    person = Person(opened(disk / "few"), few)
    message = messages(person.window)
    settle(person.window)
    person.send(1, "hana")
    until(lambda: any("can only be read" in text for text in message))
    assert str(disk) in message[-1]
    assert person.view.model.state(1).mark == "in"
    person.window.close()  # and does not hang
    assert [name for name in labels(disk / "few").values() if name] == []


@pytest.mark.slow
def test_a_locked_catalogue_holds_up_nothing_but_the_saving(person: Person, few: FaceSet) -> None:
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with Dataset.open(few.root) as dataset, dataset.db.transaction():
            held.set()
            free.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    start = time.thread_time()
    for row in range(20):
        person.send(row, "rei")
        QApplication.processEvents()
    spent = time.thread_time() - start
    assert {person.view.model.state(row).mark for row in range(20)} == {"sent"}
    assert list(labels(few.root).values()).count("rei") == 0
    # SQLite waits for half a minute; a person is told within seconds, and closing waits for it.
    saved, result = person.window.status.saved, time.monotonic()
    until(lambda: "another process may be writing" in saved.text())
    assert time.monotonic() - result < 20
    person.window.close()
    assert person.window.isVisible()
    assert "changes are being saved" in person.window.statusBar().currentMessage()
    free.set()
    thread.join()
    until(lambda: not person.window.isVisible())
    assert list(labels(few.root).values()).count("rei") == 20
    assert spent < 2


# -- the window itself


ROOT = Path(__file__).parents[3]
Cli = Callable[..., Any]


@pytest.mark.damages("takes a file away and spoils one")
def test_a_picture_that_is_gone_or_broken_says_why(opened: Opened, few: FaceSet) -> None:
    with Dataset.open(few.root) as dataset:
        first, second = [s for s, _ in zip(dataset.samples.iterate(), range(2), strict=False)]
        for sample, data in ((first, None), (second, b"\x89PNG\r\n\x1a\n broken")):
            dataset.crop_path(sample.key).unlink()
            path = dataset.image_path(sample.image, "PNG")
            path.unlink() if data is None else path.write_bytes(data)
    person = Person(opened(few.root), few)
    until(lambda: not person.window.thumbs.is_loading)
    QApplication.processEvents()
    shown = [getattr(person.view.view.appearance(row).thumbnail, "reason", "") for row in (0, 1, 2)]
    assert shown == ["file is gone", "damaged", ""]
    person.send(0, "rei")
    person.window.close()


@pytest.mark.slow
def test_of_very_many_only_what_is_seen_is_asked_for_and_a_drag_is_quick(
    opened: Opened,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    application: QApplication,
) -> None:
    """5,000 samples: what is painted is asked for, and what is near it; the loop stays free."""
    copy_of_many(tmp_path_factory, 5_000, tmp_path / "many")
    gaps: list[float] = []
    window = opened(tmp_path / "many")
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
def test_no_display_says_how(run_cli: Cli, few: FaceSet) -> None:
    ran = run_cli("labeler.cli", "-d", few.root, QT_QPA_PLATFORM="", DISPLAY="", WAYLAND_DISPLAY="")
    assert ran.code == 6
    assert "xvfb-run" in ran.stderr


def test_a_folder_gets_pictures_of_every_view_in_both_themes(tmp_path: Path) -> None:
    wishes = cli_window.WindowOptions(screenshot=tmp_path)
    files = [file.name for _, _, file in wishes.screenshots()]
    assert len(set(files)) == 2 * len(VIEWS)
    assert {"grid-light.png", "statistics-dark.png"} <= set(files)
    one = wishes._replace(view="crop", theme="dark").screenshots()
    assert one == [("crop", "dark", tmp_path / "crop-dark.png")]
    file = tmp_path / "new.png"
    assert wishes._replace(screenshot=file).screenshots() == [("grid", None, file)]


def test_a_closed_window_leaves_nothing_behind(application: QApplication, few: FaceSet) -> None:
    def opened_and_closed() -> weakref.ref[LabelerWindow]:
        window = LabelerWindow(few.root, "pages")
        window.show()
        settle(window)
        window.close()
        window.deleteLater()
        return weakref.ref(window)

    gone = opened_and_closed()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    application.processEvents()
    gc.collect()
    assert gone() is None
    assert [
        thread.name
        for thread in threading.enumerate()
        if thread.name in ("session-worker", "background", "thumbs-0")
    ] == []


def test_a_window_is_there_before_what_reads_pictures_is_loaded() -> None:
    code = "import sys, labeler.qt.window; print(*{'numpy', 'PIL', 'cv2'} & set(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == []


def test_details_that_come_too_late_leave_no_block_blank(
    opened: Opened, few: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is bounded, and an answer may be to what was shown before."""
    worker = opened(few.root, "grid").worker
    model = TileModel(worker)
    with Dataset.open(few.root) as dataset:
        ids = list(range(1, 1 + dataset.samples.count()))
    monkeypatch.setattr(tile_model, "MAX_CACHED_TILES", 10)
    model.show(ids[:30])
    model.tile(0)
    until(lambda: model.tile(0) is not None)
    model.refresh()
    model.tile(0)
    model.show(ids[30:])
    until(lambda: not worker.busy)
    until(lambda: model.tile(0) is not None, seconds=5)


def test_a_picture_that_cannot_be_read_for_a_moment_is_shown_when_it_can(
    opened: Opened, few: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "RETRY_MS", 200)
    for name in ("images", "crops"):
        shutil.move(few.root / name, tmp_path / name)
    person = Person(opened(few.root, at_rest=False), few)
    grid = person.view.view
    until(lambda: has_tile(person.view.model, 0))
    until(lambda: isinstance(grid.appearance(0).thumbnail, BrokenThumbnail))
    for name in ("images", "crops"):
        shutil.move(tmp_path / name, few.root / name)
    until(lambda: grid._thumbs._cache and not broken(person))
    assert isinstance(grid.appearance(0).thumbnail, QPixmap)


def broken(person: Person) -> bool:
    kept = person.window.thumbs._cache.values()
    return any(isinstance(picture, BrokenThumbnail) for picture in kept)
