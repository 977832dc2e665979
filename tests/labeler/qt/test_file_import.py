"""Import of dropped files: one dialog, commands in the background, stop and resume."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from drawn_faces import FaceSet, labels
from person import Opened, Stand, drop_files, settle, until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from tools_for_tests import picture

from gleanset import Dataset
from labeler.qt.file_import import ImportBar, ImportDialog, ImportState
from labeler.qt.window import LabelerWindow
from tools.sample.character import CAST
from tools.sample.scene import paint_scene, plan_scene

TOLD = {"stage": "files", "done": 30, "unit": "files"}
HARVEST = f"""
import sys
if '--simulate' in sys.argv:
    print('{{"candidates": 3}}')
    sys.exit()
print('{json.dumps(TOLD)}', file=sys.stderr, flush=True)
print('{{"added": 3, "known": 1}}')
"""
WAITS = f"""
import sys, time
if '--simulate' in sys.argv:
    print('{{"candidates": 3}}')
    sys.exit()
print('{json.dumps(TOLD)}', file=sys.stderr, flush=True)
time.sleep(60)
"""
FACECROP = """
import sys
print('{"images": 3, "faces": 4}')
"""


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A folder of large images."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(picture(number, (1280, 720)))
    return folder


def asked(window: LabelerWindow) -> ImportDialog:
    until(lambda: window.drops.dialog is not None and window.drops.dialog.form.result is not None)
    assert window.drops.dialog is not None
    return window.drops.dialog


def bar_of(window: LabelerWindow) -> ImportBar:
    return window.findChildren(ImportBar)[0]


def test_a_drop_shows_what_harvest_would_do_and_runs_it(
    opened: Opened, few: FaceSet, tmp_path: Path
) -> None:
    for name in ("mai", "yui"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for seed in range(2):
            file = tmp_path / "in" / name / f"{seed}.jpg"
            file.write_bytes(picture(seed + 2 * (name == "yui")))
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    window = opened(few.root)
    drop_files(window, [tmp_path / "in"])
    sheet = asked(window)
    words = sheet.form.summary.text()
    assert words == "4 new images  ·  1 ignored\nWeak labels: mai 2, yui 2"
    assert sheet.form.whole_images.isChecked()
    assert sheet.form.names.isChecked()
    QTest.keyClick(sheet, Qt.Key.Key_Return)
    until(lambda: window.imports.state is ImportState.DONE)
    settle(window)
    assert bar_of(window).text.text() == "Import finished  ·  4 new images  ·  4 faces detected"
    with Dataset.open(few.root) as dataset:
        origins = [o for i in dataset.images.iterate() for o in i.origins if o.hint]
        assert dataset.samples.count() == 64
    assert sorted(str(o.hint) for o in origins) == ["mai", "mai", "yui", "yui"]
    assert {o.source for o in origins} == {"folder"}
    drop_files(window, [tmp_path / "in"])
    sheet = asked(window)
    assert sheet.form.summary.text().startswith("4 already in the dataset  ·  1 ignored\n")
    sheet.reject()


def test_escape_takes_nothing_in(opened: Opened, few: FaceSet, scenes: Path) -> None:
    window = opened(few.root)
    drop_files(window, [scenes])
    sheet = asked(window)
    assert sheet.form.detect.isChecked()
    QTest.keyClick(sheet, Qt.Key.Key_Escape)
    assert window.drops.dialog is None
    assert window.imports.state is ImportState.IDLE
    assert not bar_of(window).isVisible()


def test_what_harvest_refuses_is_shown_and_not_taken_in(opened: Opened, few: FaceSet) -> None:
    window = opened(few.root)
    drop_files(window, [few.root])
    sheet = asked(window)
    assert not sheet.import_button.isEnabled()
    assert sheet.form.summary.text()
    sheet.reject()


def importing_window(opened: Opened, few: FaceSet, scenes: Path) -> LabelerWindow:
    """A window that takes a folder in as it was offered."""
    window = opened(few.root)
    drop_files(window, [scenes])
    asked(window).accept()
    return window


def test_commands_follow_each_other_and_what_came_of_them_is_said(
    opened: Opened, few: FaceSet, scenes: Path, tmp_path: Path, stand_in: Stand
) -> None:
    videos = '"candidates": 3, "ignored_reasons": {"video: use harvest frames": 1}'
    stand_in(harvest=HARVEST.replace('"candidates": 3', videos), facecrop=FACECROP)
    (scenes / "clip.mp4").write_bytes(b"")
    window = importing_window(opened, few, scenes)
    assert bar_of(window).isVisible()
    assert bar_of(window).stop.isVisible()
    until(lambda: window.imports.state is ImportState.DONE)
    assert bar_of(window).text.text() == "Import finished  ·  6 new images  ·  4 faces detected"
    calls = (tmp_path / "programs" / "calls").read_text().splitlines()
    names = [(Path(line.split()[0]).stem, line.split()[1]) for line in calls]
    assert "--simulate" in calls[0]
    assert names[1:] == [("harvest", "folder"), ("harvest", "frames"), ("facecrop", "run")]
    QTest.mouseClick(bar_of(window).close_button, Qt.MouseButton.LeftButton)
    assert not bar_of(window).isVisible()


def test_it_is_stopped_at_once_and_goes_on_with_a_click(
    opened: Opened, few: FaceSet, scenes: Path, stand_in: Stand
) -> None:
    stand_in(harvest=WAITS, facecrop=FACECROP)
    window = importing_window(opened, few, scenes)
    until(lambda: window.imports.stage is not None)
    assert bar_of(window).text.text() == "Importing images: 30  ·  step 1 of 2"
    QTest.keyClick(window.view.home, "1")  # the window works meanwhile
    QTest.mouseClick(bar_of(window).stop, Qt.MouseButton.LeftButton)
    assert not window.imports.running
    assert bar_of(window).text.text() == "Stopped; imported images are kept"
    stand_in(harvest=HARVEST)
    QTest.mouseClick(bar_of(window).resume_button, Qt.MouseButton.LeftButton)
    until(lambda: window.imports.state is ImportState.DONE)
    assert bar_of(window).text.text() == "Import finished  ·  3 new images  ·  4 faces detected"


def test_what_fails_is_said_with_its_mend_and_the_rest_is_done(
    opened: Opened, few: FaceSet, scenes: Path, stand_in: Stand
) -> None:
    stand_in(
        harvest="if '--simulate' in sys.argv: sys.exit(print('{\"candidates\": 1}'))\n"
        "print('odd', file=sys.stderr)\n"
        "print('harvest: no space left\\nhint: make some', file=sys.stderr)\nsys.exit(3)\n",
        facecrop=FACECROP,
    )
    window = importing_window(opened, few, scenes)
    until(lambda: window.imports.state is ImportState.FAILED)
    assert bar_of(window).text.text() == (
        "Import incomplete  ·  4 faces detected  ·  no space left – make some"
    )
    assert bar_of(window).resume_button.text() == "Retry"
    assert bar_of(window).resume_button.isVisible()


def test_closing_waits_for_it_and_closing_twice_stops_it(
    opened: Opened, few: FaceSet, scenes: Path, stand_in: Stand
) -> None:
    stand_in(harvest=WAITS, facecrop=FACECROP)
    window = importing_window(opened, few, scenes)
    until(lambda: window.imports.stage is not None)
    command = window.imports.queue.command
    assert command is not None
    assert command._process is not None
    number = command._process.processId()
    assert not window.close()
    assert "an import is running" in window.statusBar().currentMessage()
    assert window.close()
    with pytest.raises(OSError):
        os.kill(number, 0)


def test_a_video_on_a_class_hints_at_it(
    opened: Opened, few: FaceSet, tmp_path: Path, stand_in: Stand
) -> None:
    stand_in(harvest=HARVEST, facecrop=FACECROP)
    (tmp_path / "clip.mp4").write_bytes(b"")
    window = opened(few.root)
    window.class_panel.list.files_dropped.emit([str(tmp_path / "clip.mp4")], "hana")
    asked(window).accept()
    until(lambda: window.imports.state is ImportState.DONE)
    assert "--label hana" in (tmp_path / "programs" / "calls").read_text()
    assert set(labels(few.root).values()) == {None}


@pytest.mark.slow
def test_a_real_video_and_real_pictures_become_faces(opened: Opened, tmp_path: Path) -> None:
    """With `harvest` and `facecrop` as they are; the first faces show by themselves."""
    scenes, clip = tmp_path / "scenes", tmp_path / "clip.mp4"
    scenes.mkdir()
    for number in range(3):
        paint_scene(plan_scene([CAST[number]], number)).save(scenes / f"{number}.png")
    frames = ["-framerate", "1/2", "-i", str(scenes / "%d.png"), "-r", "5", "-c:v", "mpeg4"]
    subprocess.run(
        ["ffmpeg", "-v", "error", *frames, "-q:v", "3", str(clip)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    (scenes / "1.png").unlink()
    (scenes / "2.png").unlink()
    Dataset.create(tmp_path / "made").close()
    window = opened(tmp_path / "made")
    drop_files(window, [clip, scenes])
    sheet = asked(window)
    assert sheet.form.summary.text() == "1 new image  ·  1 video\nWeak labels: scenes 1"
    sheet.accept()
    until(lambda: not window.imports.running, 240)
    assert window.imports.errors == []
    until(lambda: window.view.model.rowCount() == 4)  # type: ignore[attr-defined]
    settle(window)
    with Dataset.open(tmp_path / "made") as dataset:
        sources = sorted(o.source for i in dataset.images.iterate() for o in i.origins)
    assert sources == ["folder", "video", "video", "video"]
    # Again: all of it is known.
    drop_files(window, [clip, scenes])
    asked(window).accept()
    until(lambda: not window.imports.running, 240)
    assert bar_of(window).text.text() == "Import finished  ·  no new faces"
