"""The ONNX file of a run, made in a process of its own: the server itself needs no PyTorch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from baseline.runs import WEIGHTS, dataset_of_run
from gleanset.errors import InputUnusable, MissingComponent
from gleanset.work.pool import Processes, run_over

FILE = "served.onnx"
SECONDS = 3600.0
# What an export is made of: `baseline evaluate` and `baseline gallery` change some of them later.
PARTS = ("settings.json", "answers.json", "familiarity.json", "crops.json", WEIGHTS)


def exported(folder: Path) -> Path:
    """Return the ONNX file of a run's folder, made or made anew where the run has changed since.

    Raises `MissingComponent` with the command where PyTorch is missing, and `InputUnusable`.
    """
    out = folder / FILE
    if not is_current(out, folder):
        _export(folder, out)
    return out


def is_current(out: Path, folder: Path) -> bool:
    """Return whether a file is there, and newer than all that it is made of."""
    if not out.is_file():
        return False
    parts = [folder / name for name in PARTS]
    newest = max((part.stat().st_mtime_ns for part in parts if part.is_file()), default=0)
    return out.stat().st_mtime_ns >= newest


def _export(folder: Path, out: Path) -> None:
    if find_spec("torch") is None or find_spec("onnxscript") is None:
        raise MissingComponent(
            f"{folder.name} has no ONNX file as it is now, and no PyTorch is here to make one",
            f"where gleanset[train,onnx] is: baseline export --precision auto {folder} {out}",
        )
    outcome = next(iter(run_over(_exported_here, [(folder, out)], Processes(1, SECONDS))))
    if outcome.result is None:
        raise InputUnusable(
            f"the export of {folder.name} has failed: {outcome.detail or outcome.reason}",
            f"see for yourself: baseline export --precision auto {folder} {out}",
        )


def _exported_here(paths: tuple[Path, Path]) -> dict[str, object]:
    from baseline.export.export_run import AUTO, export_run

    folder, out = paths
    return export_run(dataset_of_run(folder) or folder, str(folder), out, "onnx", AUTO)
