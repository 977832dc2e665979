"""Real mouse drags, by xdotool on a display of its own."""

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
from drawn_faces import FaceSet, labels
from PIL import Image
from tools_for_tests import eventually, python_path
from virtual_display import Display, display

from gleanset import Dataset
from gleanset.db.sorting import SampleTiles

HERE = Path(__file__).parent
PATHS = python_path(HERE, HERE.parent)
MISSING = [name for name in ("Xvfb", "xdotool") if not shutil.which(name)]
SOURCE, SINK = (1250, 200), (1250, 400)

pytestmark = [
    pytest.mark.slow,
    # A hand does not wait for a window that is late.
    pytest.mark.timed,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)}: apt install xvfb xdotool"),
]


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Display]:
    with display(tmp_path_factory.mktemp("display")) as shown:
        yield shown


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


class Shown:
    """The window, seen from outside."""

    def __init__(self, screen: Display, faces: FaceSet, process: subprocess.Popen[bytes]) -> None:
        self.screen, self.faces, self._process = screen, faces, process
        assert heard(process) == ""  # it is shown, and nothing of a person is in the journal

    def ask(self, question: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n".encode())
        return heard(self._process)

    def saves(self, step: str) -> bool:
        """The display may hand on late what the hand did."""
        return eventually(lambda: self.ask("saved") == step, 60)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def place(self, question: str) -> tuple[int, int]:
        x, y = self.ask(question)
        return x, y

    def drag(self, start: str, end: str) -> None:
        self.screen.drag(self.place(start), self.place(end))

    def sorted_as(self) -> dict[str, str]:
        return {key: name for key, name in labels(self.faces.root).items() if name}

    def is_importing(self) -> None:
        """Answer the question about dropped files."""
        assert eventually(lambda: self.ask("question"), 60)
        self.screen.hand("key", "Return")
        assert eventually(lambda: not self.ask("question"), 60)

    def hints(self) -> list[str | None]:
        """The hints of images that came from the folder `in`."""
        with Dataset.open(self.faces.root) as dataset:
            origins = [origin for image in dataset.images.iterate() for origin in image.origins]
            return [one.hint for one in origins if "/in/" in (one.path or "")]

    def steps(self) -> list[str]:
        with Dataset.open(self.faces.root) as dataset:
            return [step.name for step in SampleTiles(dataset.db).list_steps()]


def heard(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout is not None
    assert speaks(process, within=60), "it said nothing"
    return json.loads(process.stdout.readline())


def speaks(process: subprocess.Popen[bytes], within: float = 0) -> bool:
    """Whether a line is there: without a buffer none is read along with the one before."""
    return bool(select.select([process.stdout], [], [], within)[0])


@pytest.fixture
def shown(screen: Display, few: FaceSet) -> Iterator[Shown]:
    forget_classes_steps(few.root)
    with running(screen, sys.executable, HERE / "drag_child.py", few.root) as process:
        yield Shown(screen, few, process)


def forget_classes_steps(root: Path) -> None:
    """The journal begins with what the hand does."""
    with Dataset.open(root) as dataset, dataset.db.transaction():
        for table in ("decision", "change", "step"):
            dataset.db.execute(f"DELETE FROM {table}")


def test_kill_9_in_the_middle_of_a_drag_loses_nothing(shown: Shown) -> None:
    first = next(iter(shown.faces.truth))
    shown.drag("tile 0", "rail rei")
    assert shown.saves("Label 1 face as rei")
    start, end = shown.place("tile 4"), shown.place("rail hana")
    shown.screen.hand("mousemove", *start, "sleep", "0.5", "mousedown", "1", "sleep", "0.3")
    for part in range(1, 9):
        way = [a + (b - a) * part // 8 for a, b in zip(start, end, strict=True)]
        shown.screen.hand("mousemove", *way, "sleep", "0.1")
    assert eventually(lambda: shown.ask("drop_text") == "Drop 1 → hana", 60)
    shown.kill()
    shown.screen.hand("mouseup", "1")
    assert shown.sorted_as() == {first: "rei"}
    assert shown.steps() == ["Label 1 face as rei"]


def pictures(folder: Path) -> list[Path]:
    folder.mkdir()
    colours = {"one.png": (255, 0, 255), "-二\n.png": (255, 0, 250)}
    for name, colour in colours.items():
        Image.new("RGB", (200, 200), colour).save(folder / name)
    return [folder / name for name in colours]


def test_files_of_another_program_are_copied_and_never_moved(shown: Shown, tmp_path: Path) -> None:
    files = pictures(tmp_path / "in")
    with running(shown.screen, sys.executable, HERE / "files_child.py", *files) as other:
        assert heard(other) == {"shown": True}
        lit = partial(shown.ask, "drop_text")
        shown.screen.drag(SOURCE, shown.place("rail hana"), arrived=lambda: "hana" in lit())
        assert heard(other) == {"done": "CopyAction"}
        # Only now may it end: the data is fetched after the drop.
        shown.is_importing()
    assert eventually(lambda: shown.hints() == ["hana", "hana"], 60)
    assert all(path.is_file() for path in files)


def test_tiles_dragged_out_are_real_files_to_copy(shown: Shown) -> None:
    shown.ask("select 3")
    with running(shown.screen, sys.executable, HERE / "files_child.py") as other:
        assert heard(other) == {"shown": True}
        shown.screen.drag(shown.place("tile 1"), SINK, arrived=partial(speaks, other))
        assert heard(other) == {"welcome": True}
        got = heard(other)
    assert got["may_move"] is False
    assert len(got["files"]) == 3
    for file in got["files"]:
        with Image.open(file) as picture:
            picture.load()
    assert shown.ask("saved") == ""
