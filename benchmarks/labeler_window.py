"""The labeler's window with 100,000 samples: time to be usable, gaps of the event loop, memory.

    python benchmarks/labeler_window.py [--samples 100000] [--rounds 3]
    python benchmarks/labeler_window.py --peers "labelme {folder}" \\
        "xanylabeling --filename {folder}"

Needs Xvfb and xdotool: the window is a real one, on a virtual display of its own. The first form
opens a window again and again, scrolls, presses a key on 500 marked tiles, begins a real drag of
20,000; a timer that should come every 5 ms tells how long the event loop was away. CPU is the most
that the window's thread, and the whole process, used in one absence: a gap much longer than that
is the machine's, which gave its cores to others. The second form shows one folder of 20,000
pictures (128 x 128) in our window and in other programs, each started afresh: ready is the last
time that the screen changed by more than a thousand pixels.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "labeler")]

from virtual_display import Display, display  # noqa: E402

PICTURES, SIDE = 20_000, 128
BEAT_MS = 5
QUIET_SECONDS, PATIENCE = 4.0, 90.0
CHANGED = 1000


# -- the window, in a process of its own


class Beat:
    """A heart that should beat every 5 ms: the longest silence, and its CPU."""

    def __init__(self) -> None:
        from PySide6.QtCore import Qt, QTimer

        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT_MS)
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.most = [0.0, 0.0, 0.0]
        self._last = _clocks()

    def _beat(self) -> None:
        now = _clocks()
        apart = (new - old for new, old in zip(now, self._last, strict=True))
        self.most = [max(pair) for pair in zip(self.most, apart, strict=True)]
        self._last = now


def _clocks() -> tuple[float, float, float]:
    """Seconds: of the wall, of this thread's CPU, of this process's CPU."""
    return time.perf_counter(), time.thread_time(), time.process_time()


def run_loop(seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """Let the event loop run by itself, for so long or until something holds."""
    from PySide6.QtCore import QEventLoop, QTimer

    loop, end = QEventLoop(), time.monotonic() + seconds
    check = QTimer()
    check.timeout.connect(lambda: loop.quit() if until() or time.monotonic() > end else None)
    check.start(BEAT_MS)
    loop.exec()


def memory(field: str) -> float:
    """MB of this process: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def child(root: Path, started: float) -> None:
    """Drive one window; prints what was measured as one line of JSON."""
    from labeler.qt.app import _application

    application = _application()
    from PySide6.QtTest import QTest

    from labeler.qt.range_selection import Select
    from labeler.qt.window import Window

    beat, found = Beat(), {}
    opened = time.perf_counter()
    window = Window(root)
    window.show()
    view = window.view.view  # type: ignore[attr-defined]
    run_loop(20, lambda: view.tiles.rowCount() > 0 and view.tiles.tile(0) is not None)
    view.viewport().repaint()
    found["usable"] = time.time() - started
    found["CPU until then"] = time.process_time()
    found["window"] = time.perf_counter() - opened
    run_loop(2)  # thumbnails come, and the background begins
    found["opening"] = beat.most

    def phase(name: str, act: Callable[[], object], seconds: float = 1.5) -> None:
        run_loop(0.3)
        beat.forget()
        act()
        run_loop(seconds)
        found[name] = beat.most

    bar = view.verticalScrollBar()

    def scroll() -> None:
        for part in range(100):
            bar.setValue(bar.maximum() * part // 99)
            run_loop(0.02)

    phase("scrolling", scroll)
    bar.setValue(0)
    phase("select all", view.selectAll)
    window.desk.decide(lambda session: session.add_class("a"))
    run_loop(5, lambda: not window.desk.busy)

    def key() -> None:
        view.select_ranges([(0, 499)], Select.ClearAndSelect)
        run_loop(0.3)
        beat.forget()
        QTest.keyClick(view, "1")

    phase("a key on 500", key)
    phase("undo of 500", window.undo)
    phase("beginning a drag of 20,000", lambda: drag(window, 20_000), 0.3)
    found["memory"] = memory("VmHWM"), memory("VmRSS")
    window.close()
    application.processEvents()
    sys.stdout.write(json.dumps(found) + "\n")


def drag(window: Any, number: int) -> None:
    """A real press and move by xdotool; Esc ends the drag. Fails where none began."""
    from labeler.qt.range_selection import Select

    view = window.view.view
    number = min(number, view.tiles.rowCount())
    view.select_ranges([(0, number - 1)], Select.ClearAndSelect)
    place = view.viewport().mapToGlobal(view.visualRect(view.tiles.index(3)).center())
    moves: list[str] = []
    for step in range(1, 6):
        moves += ["mousemove", str(place.x() + 15 * step), str(place.y()), "sleep", "0.1"]
    begun: list[bool] = []
    with subprocess.Popen(
        ["xdotool", "mousemove", str(place.x()), str(place.y()), "sleep", "0.3", "mousedown", "1",
         "sleep", "0.3", *moves, "sleep", "0.5", "key", "Escape", "mouseup", "1"]
    ) as mouse:  # fmt: skip
        run_loop(10, lambda: begun.append(True) if window.dragging and not begun else
                 mouse.poll() is not None)  # fmt: skip
    run_loop(0.3)
    if not begun:
        raise SystemExit("no drag began: is xdotool there?")


def measured(root: Path, env: dict[str, str]) -> dict[str, Any]:
    """One fresh process with one window."""
    ran = subprocess.run(
        [sys.executable, HERE, "--child", root, "--started", str(time.time())],
        env=env, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return answer


def report(rounds: list[dict[str, Any]], samples: int) -> None:
    """The table: medians, and the best round, for noise only adds."""
    write = sys.stdout.write
    write(f"{samples:,} samples, {len(rounds)} rounds\n\n| | median | best |\n|---|---|---|\n")
    lines = {"usable": "usable after the start of the process", "CPU until then": "its CPU",
             "window": "of which the window"}  # fmt: skip
    for name, said in lines.items():
        times = [one[name] for one in rounds]
        write(f"| {said} | {median(times):.2f} s | {min(times):.2f} s |\n")
    for name in [key for key, value in rounds[0].items() if isinstance(value, list)][:-1]:
        columns = []
        for of in (median, min):
            gap, thread, process = (
                of([one[name][part] * 1000 for one in rounds]) for part in range(3)
            )
            columns.append(f"{gap:.0f} ms (CPU {thread:.0f}, process {process:.0f})")
        write(f"| longest gap, {name} | {' | '.join(columns)} |\n")
    most = [one["memory"][0] for one in rounds]
    write(f"| most memory | {median(most):.0f} MB | {min(most):.0f} MB |\n")


# -- beside other programs


def make_pictures(folder: Path, root: Path, number: int) -> None:
    """A folder of JPEG files, and a dataset whose samples they are, each as a whole."""
    from gleanset import Box, Dataset, Face, Origin
    from gleanset.images.cut import sample_key
    from gleanset.images.keep import KeepBytes
    from gleanset.records import Cut

    folder.mkdir()
    dice = np.random.default_rng(1)
    with Dataset.create(root) as dataset, dataset.stage("bench") as scratch:
        keep = KeepBytes(dataset.originals(scratch))
        for start in range(0, number, 500):
            rows = []
            for place in range(start, min(number, start + 500)):
                small = dice.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                buffer = io.BytesIO()
                Image.fromarray(small).resize((SIDE, SIDE)).save(buffer, "JPEG")
                (folder / f"{place:05}.jpg").write_bytes(buffer.getvalue())
                rows.append((place, keep(buffer.getvalue())))
            with dataset.db.write():
                for place, measure in rows:
                    box = Box(0, 0, SIDE, SIDE)
                    dataset.images.add(measure, Origin("folder", str(place), title=f"{place}.jpg"))
                    key = sample_key(measure.sha256, box)
                    cut = Cut(Face("whole", box, 1.0), key, box, place, 1.0)
                    dataset.faces.record(measure.sha256, "whole", "bench", [cut])


def ready(command: list[str], screen: Display, shot: Path) -> dict[str, float]:
    """Start a program; when the screen came to rest, and what the program had taken by then."""
    while np.count_nonzero(screen.pixels()) > CHANGED:
        time.sleep(0.2)  # the last program's window is still to be seen
    before, start = screen.pixels(), time.monotonic()
    last, empty, shown = start, before, False
    process = subprocess.Popen(
        command, env=screen.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        while time.monotonic() - start < PATIENCE:
            time.sleep(0.05)
            now = screen.pixels()
            if np.count_nonzero(now != before) > CHANGED:
                last, before = time.monotonic(), now
            shown = np.count_nonzero(now != empty) > now.size // 10
            if shown and time.monotonic() - last > QUIET_SECONDS:
                break
        taken = tree_memory(process.pid)
        save(before, shot)
    finally:
        os.killpg(process.pid, 15)
        process.wait()
    return {"seconds": last - start if shown else float("nan"), "MB": taken}


def save(pixels: np.ndarray, file: Path) -> None:
    """For a look at what was shown."""
    parts = [(pixels >> shift & 255).astype(np.uint8) for shift in (16, 8, 0)]
    Image.fromarray(np.stack(parts, -1)).save(file)


@contextmanager
def manager(env: dict[str, str]) -> Iterator[None]:
    """A window manager, where there is one: some programs have odd sizes without."""
    if not shutil.which("openbox"):
        yield
        return
    process = subprocess.Popen(["openbox"], env=env, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        yield
    finally:
        process.terminate()
        process.wait()


def tree_memory(pid: int) -> float:
    """MB of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    rss = (
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    )
    return rss + sum(tree_memory(int(one)) for one in children)


def beside(peers: list[str], rounds: int, shots: Path) -> None:
    """Everyone in turn, several times."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder, root = scratch / "pictures", scratch / "dataset"
        make_pictures(folder, root, PICTURES)
        main = "from labeler.cli import main; main()"
        ours = [sys.executable, "-c", main, "-d", str(root)]
        commands = {"gleanset": ours} | {
            Path(shlex.split(peer)[0]).name: shlex.split(peer.format(folder=folder))
            for peer in peers
        }
        found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
        with display(scratch) as screen, manager(screen.env):
            screen.env["PYTHONPATH"] = str(HERE.parents[1])
            for _ in range(rounds + 1):  # the first warms up files and first-run settings
                for who, command in commands.items():
                    found[who].append(ready(command, screen, shots / f"{who}.png"))
        for who, runs in found.items():
            times = [run["seconds"] for run in runs[1:]]
            sys.stdout.write(f"| {who} | {median(times):.1f} s | best {min(times):.1f} s | "
                             f"{median(run['MB'] for run in runs[1:]):.0f} MB |\n")  # fmt: skip


def main() -> None:
    """Measure, or be the window that is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="+", help="commands that show {folder}")
    parser.add_argument("--shots", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.started)
    elif given.peers:
        beside(given.peers, given.rounds, given.shots)
    else:
        from many_faces import make_many

        with tempfile.TemporaryDirectory() as name:
            make_many(Path(name) / "first", given.samples)
            with display(Path(name)) as screen:
                rounds = []
                for number in range(given.rounds):
                    root = Path(name) / f"d{number}"
                    shutil.copytree(Path(name) / "first", root)
                    rounds.append(measured(root, screen.env))
        report(rounds, given.samples)


if __name__ == "__main__":
    main()
