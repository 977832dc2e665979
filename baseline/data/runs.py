"""Runs of a dataset, and their files in `runs/<id>/`."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from gleanset import Dataset
from gleanset.dataset import is_dataset
from gleanset.errors import GleansetError, InputUnusable
from gleanset.files.atomic import PARTIAL_PREFIX, write_atomic
from gleanset.files.store import hash_bytes, hash_file
from gleanset.installation import update_command
from gleanset.records import Run

TRAINING_KIND = "baseline"
CROSS_VALIDATION_KIND = "cross-validation"
"""Kind of cross-validated runs, which have no network."""
METRICS = "metrics.json"
SETTINGS = "settings.json"
TRAINED_ON = "trained_on.json"
WEIGHTS = "weights.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
"""Files of a run. After a change of its gallery the weights have the name in `SETTINGS`."""
_MODEL_FILES = (SETTINGS, "answers.json", "feature_scale.json", "crops.json", WEIGHTS)
"""Inputs of an export; `baseline evaluate` and `baseline gallery` may change some later."""
T = TypeVar("T")


def run_folder(dataset: Dataset, run_id: str) -> Path:
    """Return the folder of a run."""
    return dataset.runs_folder / run_id


def hash_model_files(folder: Path) -> str:
    """Return the SHA-256 of a run's files that an export depends on; some may be missing."""
    files = (folder / name for name in _MODEL_FILES)
    hashes = [hash_file(file) if file.is_file() else "" for file in files]
    return hash_bytes(" ".join(hashes).encode())


def is_export_current(file: Path, folder: Path) -> bool:
    """Return whether a file exists and was exported from the present files of a run.

    Its card has their hash; times of files change in copies. A file whose run was not copied is
    current.
    """
    has_run = (folder / SETTINGS).is_file()
    return file.is_file() and (
        not has_run or hash_model_files(folder).encode() in file.read_bytes()
    )


def read_run_json(folder: Path, name: str, kind: type[T], fix: str) -> T | None:
    """Read a JSON file of a run; None if it is missing. Raises `InputUnusable`."""
    path = folder / name
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise InputUnusable(f"{path} cannot be read: {error}", fix) from error


def write_run_json(folder: Path, name: str, value: object, *, scratch: Path | None = None) -> None:
    """Write a JSON file of a run. Raises NotWritable or DiskFull."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=1)
    write_atomic(folder / name, text, scratch=scratch)


class _Version(msgspec.Struct):
    """The format version of a file, whose other fields may be unknown."""

    format: int


def decode_versioned(data: bytes, path: Path, kind: type[T], formats: range, fix: str) -> T:
    """Decode JSON in one of these `formats`.

    Raises `InputUnusable` for another one, and `msgspec.DecodeError`.
    """
    version = msgspec.json.decode(data, type=_Version).format
    if version >= formats.stop:
        raise InputUnusable(f"{path} was written by a newer Gleanset", update_command())
    if version < formats.start:
        raise InputUnusable(f"{path} was written by an older Gleanset", fix)
    return msgspec.json.decode(data, type=kind)


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint in `folder`, partial files, and the folder if empty."""
    for path in (folder / CHECKPOINT_FILE, *folder.glob(f"{PARTIAL_PREFIX}*")):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def make_run_id(dataset: Dataset, name: str) -> str:
    """Return `<time>-<name>`, with a number appended if that exists."""
    stamped = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{name}"
    number = 1
    while dataset.runs.get(stamped if number == 1 else f"{stamped}-{number}") is not None:
        number += 1
    return stamped if number == 1 else f"{stamped}-{number}"


def find_equal_run(
    dataset: Dataset, kind: str, facts: Mapping[str, object], say: Callable[[str], None]
) -> Run | None:
    """Return the finished run of this kind, data and settings, and say that it is used."""
    run = dataset.runs.find_finished(kind, facts)
    if run is not None:
        say(f"already trained with this data and settings: {run.id} (-o seed=1 trains again)")
    return run


@contextmanager
def record_run_end(dataset: Dataset, run_id: str) -> Iterator[None]:
    """Record in the catalogue that a run failed or was interrupted."""
    try:
        yield
    except GleansetError as error:
        dataset.runs.finish(run_id, "failed", {"error": error.what})
        raise
    except KeyboardInterrupt:
        dataset.runs.finish(run_id, "interrupted", {})
        raise


def list_finished_runs(dataset: Dataset, run_or_preset: str | None = None) -> list[str]:
    """Return the ids of finished runs, oldest first. Raises `InputUnusable` if there are none."""
    ids = [
        run.id
        for run in dataset.runs.iterate()
        if _is_finished(run)
        and (run_or_preset is None or run_or_preset in (run.id, run.settings.get("preset")))
    ]
    if not ids:
        raise _missing_run_error(dataset.root, run_or_preset)
    return ids


def find_finished_run(dataset: Dataset, run_id: str | None) -> tuple[str, Path]:
    """Return the id and folder of a run, by default the latest. Raises `InputUnusable`."""
    run = dataset.runs.get(run_id) if run_id else dataset.runs.get_latest(TRAINING_KIND)
    if run is not None and run.room == CROSS_VALIDATION_KIND:
        raise InputUnusable(
            f"run {run.id} is a cross-validation and has no model",
            f"train one: baseline train --preset {run.settings.get('preset')} {dataset.option}",
        )
    if run is None or not _is_finished(run):
        raise _missing_run_error(dataset.root, run_id)
    return run.id, dataset.runs_folder / run.id


def find_run_folder(root: Path, run: str | None) -> Path:
    """Return the folder of a run, given as a folder or an id in the dataset `root`.

    None is the latest finished run. Raises `InputUnusable` or `DatasetMissing`.
    """
    if run is not None and (Path(run) / SETTINGS).is_file():
        return Path(run)
    with Dataset.open(root) as dataset:
        return find_finished_run(dataset, run)[1]


def find_newest_run_folder(root: Path, run_or_preset: str | None = None) -> Path:
    """Return the folder of the latest finished run of the dataset `root`.

    Raises `InputUnusable` or `DatasetMissing`.
    """
    with Dataset.open(root) as dataset:
        return dataset.runs_folder / list_finished_runs(dataset, run_or_preset)[-1]


def find_run_dataset(folder: Path, root: Path | None = None) -> Path | None:
    """Return the dataset that contains a run, else `root`; None if that is not a dataset."""
    parent = folder.resolve().parent.parent
    candidate = parent if is_dataset(parent) else root
    return candidate if candidate is not None and is_dataset(candidate) else None


def _is_finished(run: Run) -> bool:
    return run.room == TRAINING_KIND and run.status == "done"


def _missing_run_error(root: Path, run_id: str | None) -> InputUnusable:
    return InputUnusable(
        f"no finished run {run_id}" if run_id else "no finished run yet",
        f"train one: baseline train --preset transfer -d {shlex.quote(str(root))}",
    )
