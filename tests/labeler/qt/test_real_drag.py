"""Real mouse drags by xdotool on a virtual display."""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from drawn_faces import FaceSet, assigned_labels, step_texts
from PIL import Image
from tools_for_tests import eventually, python_path
from virtual_display import Display, display

from gleanset import Dataset

HERE = Path(__file__).parent
PATHS = python_path(HERE, *HERE.parents[:2])
MISSING = [name for name in ("Xvfb", "xdotool") if not shutil.which(name)]
SOURCE = (1250, 200)

pytestmark = [
    pytest.mark.slow,
    # xdotool does not wait for a late window.
    pytest.mark.timed,
    pytest.mark.skipif(
        bool(MISSING), reason=f"{', '.join(MISSING)}: apt install xvfb xdotool"
    ),
]


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Display]:
    with display(tmp_path_factory.mktemp("display")) as screen:
        yield screen


@contextmanager
def running(screen: Display, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    env = {**screen.env, "PYTHONPATH": PATHS}
    process = subprocess.Popen(
        command, env=env, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


class WindowProcess:
    """The window in another process, which answers questions on stdin."""

    def __init__(
        self, screen: Display, faces: FaceSet, process: subprocess.Popen[bytes]
    ) -> None:
        self.screen = screen
        self.faces = faces
        self._process = process
        assert read_answer(process) == ""  # shown, with an empty journal

    def ask(self, question: str) -> Any:
        self._process.stdin.write(f"{question}\n".encode())
        return read_answer(self._process)

    def wait_until_saved(self, step: str) -> bool:
        """Wait until the last saved step is `step`: X may deliver events late."""
        return eventually(lambda: self.ask("saved") == step, 60)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def place(self, question: str) -> tuple[int, int]:
        x, y = self.ask(question)
        return x, y

    def drag(self, start: str, end: str) -> None:
        self.screen.drag(self.place(start), self.place(end))

    def confirm_import(self) -> None:
        """Accept the dialog about dropped files."""
        assert eventually(lambda: self.ask("question"), 60)
        self.screen.hand("key", "Return")
        assert eventually(lambda: not self.ask("question"), 60)

    def hints(self) -> list[str | None]:
        """Return the weak labels of images from the folder `in`."""
        with Dataset.open(self.faces.root) as dataset:
            origins = [
                origin for image in dataset.images.iterate() for origin in image.origins
            ]
            return [origin.hint for origin in origins if "/in/" in (origin.path or "")]


def read_answer(process: subprocess.Popen[bytes]) -> Any:
    assert select.select([process.stdout], [], [], 60)[0], "no answer"
    return json.loads(process.stdout.readline())


@pytest.fixture
def shown_window(screen: Display, faces: FaceSet) -> Iterator[WindowProcess]:
    forget_classes_steps(faces.root)
    with running(screen, sys.executable, HERE / "drag_child.py", faces.root) as process:
        yield WindowProcess(screen, faces, process)


def forget_classes_steps(root: Path) -> None:
    """Empty the journal, so that it begins with the drag."""
    with Dataset.open(root) as dataset, dataset.db.transaction():
        for table in ("decision", "change", "step"):
            dataset.db.execute(f"DELETE FROM {table}")


def test_kill_during_drag_loses_nothing(shown_window: WindowProcess) -> None:
    first = next(iter(shown_window.faces.truth))
    shown_window.drag("tile 0", "class rei")
    assert shown_window.wait_until_saved("Label 1 sample as rei")
    start = shown_window.place("tile 4")
    end = shown_window.place("class hana")
    shown_window.screen.hand(
        "mousemove", *start, "sleep", "0.5", "mousedown", "1", "sleep", "0.3"
    )
    for part in range(1, 9):
        way = [a + (b - a) * part // 8 for a, b in zip(start, end, strict=True)]
        shown_window.screen.hand("mousemove", *way, "sleep", "0.1")
    assert eventually(lambda: shown_window.ask("drop_text") == "Drop 1 → hana", 60)
    shown_window.kill()
    shown_window.screen.hand("mouseup", "1")
    assert assigned_labels(shown_window.faces.root) == {first: "rei"}
    assert step_texts(shown_window.faces.root) == ["Label 1 sample as rei"]


def make_images(folder: Path) -> list[Path]:
    folder.mkdir()
    colours = {"one.png": (255, 0, 255), "-二\n.png": (255, 0, 250)}
    for name, colour in colours.items():
        Image.new("RGB", (200, 200), colour).save(folder / name)
    return [folder / name for name in colours]


def test_dragged_files_are_copied_not_moved(
    shown_window: WindowProcess, tmp_path: Path
) -> None:
    files = make_images(tmp_path / "in")
    with running(
        shown_window.screen, sys.executable, HERE / "files_child.py", *files
    ) as other:
        assert read_answer(other) == {"shown": True}
        drop_text = partial(shown_window.ask, "drop_text")
        shown_window.screen.drag(
            SOURCE,
            shown_window.place("class hana"),
            arrived=lambda: "hana" in drop_text(),
        )
        assert read_answer(other) == {"done": "CopyAction"}
        # The source must live until now: the data is fetched after the drop.
        shown_window.confirm_import()
    assert eventually(lambda: shown_window.hints() == ["hana", "hana"], 60)
    assert all(path.is_file() for path in files)
