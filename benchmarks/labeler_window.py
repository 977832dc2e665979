"""The labeler's window with 100,000 samples: start time, gaps of the event loop, memory.

    python benchmarks/labeler_window.py [--samples 100000] [--rounds 3]

Needs Xvfb and xdotool, as it opens a real window on a virtual display. In each round a new window
scrolls, labels one tile and 500 selected ones by a key, and starts a real drag of 20,000; a timer
with an interval of 5 ms measures how long the event loop was blocked. *Key to paint* is the time
from a key that labels a tile to the end of the next painting of the grid. CPU is the maximum that
the window's thread, and the whole process, used during one gap: a gap much longer than that was
caused by other processes on the machine.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.extend(
    str(Path(__file__).parents[1] / name) for name in ("", "tests", "tests/labeler")
)

from virtual_display import display

TIMER_MS = 5
MAX_PAINT_SECONDS = 5


# Window, in a process of its own


class GapTimer:
    """Timer that records the longest gap between its ticks, and the most CPU time in one."""

    def __init__(self) -> None:
        from PySide6.QtCore import Qt, QTimer

        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TIMER_MS)
        self.reset()

    def reset(self) -> None:
        """Reset the maxima."""
        self.maxima = [0.0, 0.0, 0.0]
        self._last = _read_clocks()

    def _tick(self) -> None:
        now = _read_clocks()
        elapsed = (new - old for new, old in zip(now, self._last, strict=True))
        self.maxima = [max(pair) for pair in zip(self.maxima, elapsed, strict=True)]
        self._last = now


def _read_clocks() -> tuple[float, float, float]:
    """Return wall, thread CPU and process CPU time in seconds."""
    return time.perf_counter(), time.thread_time(), time.process_time()


def run_loop(seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """Run the event loop for a time or until a condition holds."""
    from PySide6.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    end = time.monotonic() + seconds
    check = QTimer()
    check.timeout.connect(
        lambda: loop.quit() if until() or time.monotonic() > end else None
    )
    check.start(TIMER_MS)
    loop.exec()


def time_key_to_paint(view: Any, tiles: range) -> list[float]:
    """Label each tile by a key; return the seconds until the grid is painted."""
    from PySide6.QtCore import QEvent, QObject
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication

    from labeler.qt.grid.tile_view import Select

    class Paintings(QObject):
        count = 0

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
            self.count += event.type() == QEvent.Type.Paint
            return False

    paintings = Paintings()
    view.viewport().installEventFilter(paintings)
    times = []
    for tile in tiles:
        view.select_ranges([(tile, tile)], Select.ClearAndSelect)
        run_loop(0.2)
        paintings.count = 0
        pressed = time.perf_counter()
        QTest.keyClick(view, "1")
        while not paintings.count and time.perf_counter() < pressed + MAX_PAINT_SECONDS:
            QApplication.processEvents()
        times.append(time.perf_counter() - pressed)
    view.viewport().removeEventFilter(paintings)
    return times


def read_memory(field: str) -> float:
    """Return MB of this process: VmRSS (current) or VmHWM (peak)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def run_child(root: Path, started: float) -> None:
    """Operate one window and print the measurements as one line of JSON."""
    from labeler.qt.app import make_application

    application = make_application()
    from PySide6.QtTest import QTest

    from labeler.qt.grid.tile_view import Select
    from labeler.qt.window import LabelerWindow

    gaps = GapTimer()
    figures = {}
    opened = time.perf_counter()
    window = LabelerWindow(root, "grid")
    window.show()
    figures["creating"] = time.perf_counter() - opened
    gaps.reset()  # gaps before the window is shown do not matter
    view = window.view.view  # type: ignore[attr-defined]
    run_loop(20, lambda: view.tiles.rowCount() > 0 and view.tiles.tile(0) is not None)
    view.viewport().repaint()
    figures["usable"] = time.time() - started
    figures["CPU until then"] = time.process_time()
    figures["window"] = time.perf_counter() - opened
    run_loop(2)  # thumbnails load, and background work starts
    figures["opening"] = gaps.maxima

    def measure(name: str, act: Callable[[], object], seconds: float = 1.5) -> None:
        run_loop(0.3)
        gaps.reset()
        act()
        run_loop(seconds)
        figures[name] = gaps.maxima

    bar = view.verticalScrollBar()

    def scroll() -> None:
        for part in range(100):
            bar.setValue(bar.maximum() * part // 99)
            run_loop(0.02)

    measure("scrolling", scroll)
    bar.setValue(0)
    measure("selecting all", view.selectAll)
    window.worker.decide(lambda session: session.add_class("a"))
    run_loop(5, lambda: not window.worker.busy)

    figures["key to paint"] = median(time_key_to_paint(view, range(20)))

    def press_key() -> None:
        # Only tiles that were shown are labelled.
        while unseen := view.unseen(range(500)):
            view.look_from(unseen[0])
            run_loop(0.3)
        view.select_ranges([(0, 499)], Select.ClearAndSelect)
        run_loop(0.3)
        gaps.reset()
        QTest.keyClick(view, "1")

    measure("a key on 500", press_key)
    measure("undo of 500", window.undo)
    measure("starting to drag 20,000", lambda: drag(window, 20_000), 0.3)
    figures["memory"] = read_memory("VmHWM"), read_memory("VmRSS")
    window.close()
    application.processEvents()
    sys.stdout.write(json.dumps(figures) + "\n")


def drag(window: Any, number: int) -> None:
    """Drag with xdotool, then press Esc. Raises SystemExit if no drag started."""
    from labeler.qt.grid.mouse import TileMouse
    from labeler.qt.grid.tile_view import Select

    view = window.view.view
    number = min(number, view.tiles.rowCount())
    view.select_ranges([(0, number - 1)], Select.ClearAndSelect)
    center = view.viewport().mapToGlobal(view.visualRect(view.tiles.index(3)).center())
    x, y = center.x(), center.y()
    moves = "".join(f"mousemove {x + 15 * step} {y} sleep 0.1 " for step in range(1, 6))
    start = f"xdotool mousemove {x} {y} sleep 0.3 mousedown 1 sleep 0.3"
    has_started = False

    def is_finished() -> bool:
        nonlocal has_started
        has_started |= TileMouse.drags
        return mouse.poll() is not None

    with subprocess.Popen(
        f"{start} {moves} sleep 0.5 key Escape mouseup 1".split()
    ) as mouse:
        run_loop(10, is_finished)
    run_loop(0.3)
    if not has_started:
        raise SystemExit("no drag started: is xdotool installed?")


def measure_window(root: Path, env: dict[str, str]) -> dict[str, Any]:
    """Measure one window in a new process."""
    command = [sys.executable, __file__, "--child", root, "--started", str(time.time())]
    process = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return figures


def print_table(rounds: list[dict[str, Any]], samples: int) -> None:
    """Print a table of medians and of the best round."""
    write = sys.stdout.write
    write(
        f"{samples:,} samples, {len(rounds)} rounds\n\n| | median | best |\n|---|---|---|\n"
    )
    lines = {
        "usable": "from process start to usable window",
        "CPU until then": "CPU time of this",
        "creating": "creating the window",
        "window": "creating it, until it shows faces",
        "key to paint": "key to paint, one tile",
    }
    for name, title in lines.items():
        times = [measurement[name] for measurement in rounds]
        write(f"| {title} | {median(times):.3f} s | {min(times):.3f} s |\n")
    gaps = [key for key, value in rounds[0].items() if isinstance(value, list)]
    for name in [key for key in gaps if key != "memory"]:
        columns = []
        for statistic in (median, min):
            gap, thread, process = (
                statistic([measurement[name][n] * 1000 for measurement in rounds])
                for n in range(3)
            )
            columns.append(f"{gap:.0f} ms (CPU {thread:.0f}, process {process:.0f})")
        write(f"| longest gap, {name} | {' | '.join(columns)} |\n")
    peaks = [measurement["memory"][0] for measurement in rounds]
    write(f"| peak memory | {median(peaks):.0f} MB | {min(peaks):.0f} MB |\n")


def main() -> None:
    """Run the benchmark, or the measured window as a child process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        run_child(arguments.child, arguments.started)
    else:
        from many_samples import make_many

        with tempfile.TemporaryDirectory() as name:
            make_many(Path(name) / "first", arguments.samples)
            with display(Path(name)) as screen:
                rounds = []
                for number in range(arguments.rounds):
                    root = Path(name) / f"d{number}"
                    shutil.copytree(Path(name) / "first", root)
                    rounds.append(measure_window(root, screen.env))
        print_table(rounds, arguments.samples)


if __name__ == "__main__":
    main()
