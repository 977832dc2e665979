"""What guards data: odd pictures, disks and other programs; what is left behind; the network."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from drawn_faces import FaceSet, labels
from dropping import drop_files
from person import Opened, Person, settle, until
from PIL import Image
from polish import VIEW_NAMES
from PySide6.QtWidgets import QApplication

from gleanset import Dataset
from labeler.qt.pictures import BrokenThumbnail
from labeler.qt.taking import TakingState
from labeler.qt.window import LabelerWindow

# -- pictures


def odd_pictures(folder: Path) -> None:
    folder.mkdir()
    small = Image.linear_gradient("L").resize((60, 30))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"no picture" * 20)
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
    settle(window)
    drop_files(window, [tmp_path / "odd"])
    until(lambda: window.drops.sheet is not None and window.drops.sheet.take.isEnabled())
    assert window.drops.sheet is not None
    window.drops.sheet.question.whole.setChecked(True)
    window.drops.sheet.accept()
    until(lambda: window.taking.state is TakingState.DONE)
    settle(window)
    with Dataset.open(tmp_path / "new") as dataset:
        refused = {Path(one.what).name: one.reason for one in dataset.rejections.each()}
    assert {"broken.png", "empty.jpg"} <= set(refused)
    assert all(refused.values())
    window.class_panel.chosen.emit(":queue")
    settle(window)
    until(lambda: not window.thumbs.waiting)
    view = window.view.view  # type: ignore[attr-defined]
    shown = {}
    for row in range(view.tiles.rowCount()):
        tile = view.tiles.tile(row)
        shown[tile.title] = view.appearance(row).picture
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
    said: list[str] = []
    person.window.worker.message.connect(lambda text, bad: said.append(text))
    settle(person.window)
    person.send(1, "hana")
    until(lambda: any("can only be read" in text for text in said))
    assert str(disk) in said[-1]
    assert person.view.model.state(1).kind == "in"
    person.window.close()  # and does not hang
    assert [name for name in labels(disk / "few").values() if name] == []


@pytest.mark.slow
def test_a_locked_catalogue_holds_up_nothing_but_the_saving(opened: Opened, few: FaceSet) -> None:
    person = Person(opened(few.root), few)
    settle(person.window)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with Dataset.open(few.root) as dataset, dataset.db.write():
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
    assert {person.view.model.state(row).kind for row in range(20)} == {"sent"}
    assert list(labels(few.root).values()).count("rei") == 0
    # SQLite waits for half a minute; a person is told within seconds, and closing waits for it.
    saved, told = person.window.status.saved, time.monotonic()
    until(lambda: "another program may be writing here" in saved.text())
    assert time.monotonic() - told < 20
    person.window.close()
    assert person.window.isVisible()
    assert "not everything is saved yet" in person.window.statusBar().currentMessage()
    free.set()
    thread.join()
    until(lambda: not person.window.isVisible())
    assert list(labels(few.root).values()).count("rei") == 20
    assert spent < 2


# -- the window itself


def test_a_window_that_was_off_the_screen_comes_back(opened: Opened, few: FaceSet) -> None:
    window = opened(few.root, size=(700, 600))
    window.move(9000, 7000)
    window.close()
    again = LabelerWindow(few.root)
    again.show()
    QApplication.processEvents()
    seen = again.frameGeometry().intersected(again.screen().availableGeometry())
    again.close()
    assert seen.width() > 300
    assert seen.height() > 300


def test_no_network(opened: Opened, few: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def refuse(*args: object, **more: object) -> None:
        asked.append(args)
        raise OSError("no network in this test")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    window = opened(few.root)
    for view in VIEW_NAMES:
        window.show_view(view)
        settle(window)
        until(window.view.settled)
    window.close()
    assert asked == []
