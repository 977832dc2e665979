"""The ONNX file of a run, made in a process of its own: the server itself needs no PyTorch."""

from __future__ import annotations

from pathlib import Path

from baseline.data.runs import WEIGHTS, find_newest_run_folder, find_run_dataset, find_run_folder
from baseline.extras import can_export
from gleanset.errors import InputUnusable, MissingComponent
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress

FILE = "served.onnx"
SECONDS = 3600.0
# What an export is made of: `baseline evaluate` and `baseline gallery` change some of them later.
PARTS = ("settings.json", "answers.json", "familiarity.json", "crops.json", WEIGHTS)


def served_file(
    root: Path, run: str | None, wanted: str | None = None, progress: Progress | None = None
) -> Path:
    """Return the ONNX file of a run: `run`, which may be an exported file, or the newest `wanted`.

    Raises what `find_run_folder` and `exported` raise.
    """
    if run is not None and run.endswith(".onnx"):
        return Path(run).resolve()
    folder = find_run_folder(root, run) if run else find_newest_run_folder(root, wanted)
    return exported(folder.resolve(), progress)


def exported(folder: Path, progress: Progress | None = None) -> Path:
    """Return the ONNX file of a run's folder, made or made anew where the run has changed since.

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
    progress.say(f"exporting {folder.name}, once for all servers; this takes about a minute ...")
    outcome = next(iter(run_over(_exported_here, [(folder, out)], Processes(1, SECONDS))))
    if outcome.result is None:
        raise InputUnusable(
            f"the export of {folder.name} has failed: {outcome.detail or outcome.reason}",
            f"see for yourself: baseline export --precision auto {folder} {out}",
        )


def _exported_here(task: tuple[Path, Path]) -> dict[str, object]:
    from baseline.use.export.export_run import AUTO, export_run

    folder, out = task
    root = find_run_dataset(folder) or folder
    return export_run(root, str(folder), out, AUTO, Progress(quiet=True))
