"""ONNX files of runs for serving, exported in another process."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from baseline.data import runs
from baseline.extras import can_export
from gleanset.errors import InputUnusable, MissingComponent
from gleanset.files.atomic import disk_errors
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import NO_PROGRESS, Progress

FILE = "served.onnx"
LOCK = f".{FILE}.lock"
EXPORT_TIMEOUT_SECONDS = 3600.0


def find_served_file(
    root: Path,
    run: str | None,
    default: str | None,
    progress: Progress,
) -> Path:
    """Return the ONNX file of a run: of `run`, else of `default`, else of the newest one.

    `run` may also be an ONNX file. `default` names a run, or the preset of the newest one.

    Raises what `find_run_folder` and `export_if_outdated` raise.
    """
    if run and run.endswith(".onnx"):
        return Path(run).resolve()

    folder = (
        runs.find_run_folder(root, run)
        if run
        else runs.find_newest_run_folder(root, default)
    )
    return export_if_outdated(folder.resolve(), progress)


def export_if_outdated(folder: Path, progress: Progress) -> Path:
    """Return the ONNX file in a run's folder; export it if it is missing or outdated.

    One process exports at a time, others wait for its file. Raises `MissingComponent` without
    PyTorch, and `InputUnusable`.
    """
    out = folder / FILE
    if runs.is_export_current(out, folder):
        return out
    with disk_errors(out), FileLock(folder / LOCK):
        # Another process may have exported it while this one waited.
        if not runs.is_export_current(out, folder):
            _export(folder, out, progress)
    return out


@contextmanager
def private_copy(file: Path) -> Iterator[Path]:
    """Yield a copy of a model file, because others may replace the file while it is served.

    A file that cannot be copied is yielded itself: loading it says what is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="gleanset-") as folder:
        copy = file
        with suppress(OSError):
            # copy2 keeps the time, which is part of the ETag: browsers keep what they have.
            copy = Path(shutil.copy2(file, folder))
        yield copy


def _export(folder: Path, out: Path, progress: Progress) -> None:
    if not can_export():
        raise MissingComponent(
            f"no current ONNX file of {folder.name}, and gleanset[transfer] is not installed",
            f"run where it is installed: baseline export --precision auto {folder} {out}",
        )

    progress.say(f"exporting {folder.name} to ONNX (once, about a minute) ...")
    [outcome] = run_over(
        _export_here, [(folder, out)], Processes(1, EXPORT_TIMEOUT_SECONDS)
    )
    if outcome.result is None:
        raise InputUnusable(
            f"export of {folder.name} failed: {outcome.detail or outcome.reason}",
            f"to see the error, run: baseline export --precision auto {folder} {out}",
        )


def _export_here(task: tuple[Path, Path]) -> Path:
    from baseline.use.export.export_run import AUTO, export_run

    folder, out = task
    export_run(
        runs.find_run_dataset(folder) or folder, str(folder), out, AUTO, NO_PROGRESS
    )
    return out
