"""Which run is meant, and where its files lie: `runs/<id>/` in the dataset."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from gleanset import Dataset
from gleanset.errors import GleansetError, InputUnusable
from gleanset.files.atomic import PARTIAL, write_atomic
from gleanset.records import Run
from gleanset.settings import FILE as DATASET

TRAINING_KIND = "baseline"
CROSS_VALIDATION_KIND = "cross-validation"
"""That of runs which only measured, by folds, and have no network."""
METRICS = "metrics.json"
NETWORK = "network.json"
SETTINGS = "settings.json"
TRAINED_ON = "trained_on.json"
WEIGHTS = "weights.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
"""Files of a run. The weights have another name once its gallery was changed: `SETTINGS` has it."""
T = TypeVar("T")


def run_folder(dataset: Dataset, run_id: str) -> Path:
    """Return where the files of a run lie."""
    return dataset.runs_folder / run_id


def read_run_json(folder: Path, name: str, kind: type[T], fix: str) -> T | None:
    """Return what a JSON file of a run says; None where it is not there. Raises `InputUnusable`."""
    path = folder / name
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise InputUnusable(f"{path} cannot be read: {error}", fix) from error


def write_run_json(folder: Path, name: str, value: object, *, scratch: Path | None = None) -> None:
    """Write a JSON file of a run, whole. Raises NotWritable or DiskFull."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=1)
    write_atomic(folder / name, text, scratch=scratch)


def remove_checkpoint(folder: Path) -> None:
    """Remove what was saved in `folder`, what a kill has left of a save, and the folder."""
    for path in (folder / CHECKPOINT_FILE, *folder.glob(f"{PARTIAL}*")):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def make_run_id(dataset: Dataset, name: str) -> str:
    """Return `<time>-<name>`, with a number behind it when that is taken."""
    stamped = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{name}"
    number = 1
    while dataset.runs.get(stamped if number == 1 else f"{stamped}-{number}") is not None:
        number += 1
    return stamped if number == 1 else f"{stamped}-{number}"


@contextmanager
def record_run_end(dataset: Dataset, run_id: str) -> Iterator[None]:
    """Tell the catalogue how a run ended that failed or was interrupted in here."""
    try:
        yield
    except GleansetError as error:
        dataset.runs.finish(run_id, "failed", {"error": error.what})
        raise
    except KeyboardInterrupt:
        dataset.runs.finish(run_id, "interrupted", {})
        raise


def list_finished_runs(dataset: Dataset, wanted: str | None = None) -> list[str]:
    """Return the ids of all runs that ended well, oldest first: of `wanted`, a run's own id or a
    preset, where that is given. Raises `InputUnusable` if none.
    """
    names = [
        run.id
        for run in dataset.runs.iterate()
        if _is_finished(run) and (wanted is None or wanted in (run.id, run.settings.get("preset")))
    ]
    if not names:
        raise _no_run(dataset.root, wanted)
    return names


def find_finished_run(dataset: Dataset, run_id: str | None) -> tuple[str, Path]:
    """Return the run of that id, or the newest, and its folder. Raises `InputUnusable`."""
    run = dataset.runs.get(run_id) if run_id else dataset.runs.get_latest(TRAINING_KIND)
    if run is not None and run.room == CROSS_VALIDATION_KIND:
        raise InputUnusable(
            f"{run.id} measured by folds, and kept no network",
            f"train one: baseline train --preset {run.settings.get('preset')} {dataset.option}",
        )
    if run is None or not _is_finished(run):
        raise _no_run(dataset.root, run_id)
    return run.id, dataset.runs_folder / run.id


def find_run_folder(root: Path, run: str | None) -> Path:
    """Return the folder of a run: `run` is a folder or the id of a run of the dataset in `root`.

    None is the newest that ended well. Raises `InputUnusable` or `DatasetMissing`.
    """
    if run is not None and (Path(run) / SETTINGS).is_file():
        return Path(run)
    with Dataset.open(root) as dataset:
        return find_finished_run(dataset, run)[1]


def find_newest_run_folder(root: Path, wanted: str | None = None) -> Path:
    """Return the folder of the newest run that ended well, of the dataset in `root`.

    `wanted` names the run itself or a preset, of which it is the newest. Raises `InputUnusable` or
    `DatasetMissing`.
    """
    with Dataset.open(root) as dataset:
        return dataset.runs_folder / list_finished_runs(dataset, wanted)[-1]


def find_run_dataset(folder: Path, root: Path | None = None) -> Path | None:
    """Return the folder of the dataset that a run lies in, else `root`; None if that is none."""
    own = folder.resolve().parent.parent
    found = own if (own / DATASET).is_file() else root
    return found if found is not None and (found / DATASET).is_file() else None


def _is_finished(run: Run) -> bool:
    return run.room == TRAINING_KIND and run.status == "done"


def _no_run(root: Path, run_id: str | None) -> InputUnusable:
    return InputUnusable(
        f"there is no finished run {run_id}" if run_id else "there is no finished run yet",
        f"train one: baseline train --preset transfer -d {shlex.quote(str(root))}",
    )
