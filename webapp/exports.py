"""The ONNX file of a run, made in a process of its own: the server itself needs no PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from baseline.data.runs import WEIGHTS, dataset_of_run
from baseline.extras import can_export
from gleanset.errors import InputUnusable, MissingComponent
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress

FILE = "served.onnx"
SECONDS = 3600.0
_LOOK_SECONDS = 0.3
# What an export is made of: `baseline evaluate` and `baseline gallery` change some of them later.
PARTS = ("settings.json", "answers.json", "familiarity.json", "crops.json", WEIGHTS)


def exported(folder: Path, progress: Progress | None = None) -> Path:
    """Return the ONNX file of a run's folder, made or made anew where the run has changed since.

    `progress` is told what is done.

    Raises `MissingComponent` with the command where PyTorch is missing, and `InputUnusable`.
    """
    out = folder / FILE
    if not is_current(out, folder):
        _export(folder, out, progress or Progress())
    return out


def is_current(out: Path, folder: Path) -> bool:
    """Return whether a file is there, and newer than all that it is made of."""
    if not out.is_file():
        return False
    parts = [folder / name for name in PARTS]
    newest = max((part.stat().st_mtime_ns for part in parts if part.is_file()), default=0)
    return out.stat().st_mtime_ns >= newest


def _export(folder: Path, out: Path, progress: Progress) -> None:
    if not can_export():
        raise MissingComponent(
            f"{folder.name} has no ONNX file as it is now, and nothing is here to make one",
            f"where gleanset[transfer] is: baseline export --precision auto {folder} {out}",
        )
    progress.say(f"exporting {folder.name}, once for all times that it is served ...")
    with _passed_on(progress) as lines:
        task = folder, out, lines
        outcome = next(iter(run_over(_exported_here, [task], Processes(1, SECONDS))))
    if outcome.result is None:
        raise InputUnusable(
            f"the export of {folder.name} has failed: {outcome.detail or outcome.reason}",
            f"see for yourself: baseline export --precision auto {folder} {out}",
        )


class _LinesInFile(Progress):
    """Keeps in a file what is said: the process that exports has no terminal of its own."""

    def __init__(self, path: Path) -> None:
        super().__init__(quiet=True)
        self.path = path

    def say(self, line: str) -> None:
        """Add a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


@contextmanager
def _passed_on(progress: Progress) -> Iterator[_LinesInFile]:
    """Give another process something to speak to, and tell `progress` what it says, as it does."""
    ended = threading.Event()
    with TemporaryDirectory(prefix="gleanset-export-") as place:
        lines = _LinesInFile(Path(place) / "lines")
        lines.path.touch()

        def pass_on() -> None:
            with lines.path.open(encoding="utf-8") as file:
                last = False
                while not last:
                    last = ended.wait(_LOOK_SECONDS)
                    for line in file:
                        progress.say(line.rstrip("\n"))

        listener = threading.Thread(target=pass_on, name="export", daemon=True)
        listener.start()
        try:
            yield lines
        finally:
            ended.set()
            listener.join()


def _exported_here(task: tuple[Path, Path, Progress]) -> dict[str, object]:
    from baseline.use.export.export_run import AUTO, export_run

    folder, out, progress = task
    root = dataset_of_run(folder) or folder
    return export_run(root, str(folder), out, AUTO, progress)
