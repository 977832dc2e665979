"""ffmpeg processes: they end with ours and in time, and leave no pipes or children."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tools_for_tests import drawn_video, eventually, is_running, python

from gleanset import Dataset
from gleanset.errors import Unreadable
from gleanset.work.progress import Progress
from harvest.frames import harvest_frames
from harvest.video.inputs import VideoFile
from harvest.video.run_ffmpeg import kill_all, read_ffmpeg_log, start_ffmpeg
from harvest.video.sampling import Sampling

WAITING = """
from harvest.video.run_ffmpeg import start_ffmpeg
with start_ffmpeg(["sleep", "60"]) as process:
    print(process.pid, flush=True)
    process.wait()
"""


def test_ffmpeg_ends_with_parent() -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    with python(WAITING) as parent_process:
        assert parent_process.stdout is not None
        pid = int(parent_process.stdout.readline())
        # Once it is `sleep`, its lifetime is tied to ours.
        assert eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
        parent_process.kill()
    assert eventually(lambda: not is_running(pid))


@pytest.mark.posix("a group of processes ends together")
def test_timeout_ends_child_processes(tmp_path: Path) -> None:
    note = tmp_path / "child"
    with pytest.raises(Unreadable, match="too slow"):
        read_ffmpeg_log(["sh", "-c", f"sleep 600 & echo $! > {note}; wait"], 2.0)
    child = int(note.read_text())
    assert eventually(lambda: not is_running(child))
    assert read_ffmpeg_log(["sh", "-c", "echo said >&2"], 10.0) == "said\n"


def test_kill_all_ends_process_of_other_thread() -> None:
    result: list[int] = []
    has_started = threading.Event()

    def wait() -> None:
        with start_ffmpeg(["sleep", "60"]) as process:
            has_started.set()
            result.append(process.wait())

    thread = threading.Thread(target=wait)
    thread.start()
    assert has_started.wait(60)
    kill_all()
    thread.join(60)
    assert result == [-9]


class Interrupting(Progress):
    """A progress that interrupts the main thread at a video's first step."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    @contextlib.contextmanager
    def video_time(self, what: str, total: float | None) -> Iterator[Callable[[float], None]]:
        yield self._step

    def _step(self, _: float) -> None:
        self.steps += 1
        if self.steps == 1:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_interrupt_stops_sampling(dataset: Dataset, tmp_path: Path) -> None:
    film = drawn_video(tmp_path / "film.mp4", "testsrc=s=64x64:r=10:d=20", "-g", "10")
    sampling = Sampling("every", 0.5, skip_similar=None, drop_bad=False)
    progress = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        harvest_frames(dataset, [VideoFile(film)], sampling, progress=progress)
    assert 0 < progress.steps < 40, "a step per requested time"
