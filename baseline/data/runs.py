"""Runs of a dataset, and their files in `runs/<id>/`."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
SERVED = "served.onnx"
WEIGHTS_PATTERN = "weights*.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
"""Files of a run. After a change of its gallery the weights have the name in `SETTINGS`."""
_MODEL_FILES = (SETTINGS, "answers.json", "feature_scale.json", "crops.json", WEIGHTS)
"""Inputs of an export; `baseline evaluate` and `baseline gallery` may change some later."""
T = TypeVar("T")
Say = Callable[[str], None]
"""Prints a line for the user."""


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

    An ONNX file holds the hash as text, among the facts of the model, so it need not be parsed.
    Times of files would not do: copies change them. A file whose run was not copied is current.
    """
    if not file.is_file():
        return False
    has_run = (folder / SETTINGS).is_file()
    return not has_run or hash_model_files(folder).encode() in file.read_bytes()


def read_run_json(folder: Path, name: str, kind: type[T], fix: str) -> T | None:
    """Read a JSON file of a run; None if it is missing. Raises `InputUnusable`."""
    path = folder / name
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise InputUnusable(
            f"{path} cannot be read: {error}",
            fix,
        ) from error


def write_run_json(folder: Path, name: str, value: object) -> None:
    """Write a JSON file of a run. Raises NotWritable or DiskFull."""
    write_atomic(
        folder / name, msgspec.json.format(msgspec.json.encode(value), indent=1)
    )


class _Version(msgspec.Struct):
    """The format version of a file, whose other fields may be unknown."""

    format: int


def decode_versioned(
    data: bytes, path: Path, kind: type[T], version: int, fix: str
) -> T:
    """Decode JSON in this version of its format.

    Raises `InputUnusable` for another one, and `msgspec.DecodeError`.
    """
    stored_version = msgspec.json.decode(data, type=_Version).format
    if stored_version > version:
        raise InputUnusable(f"{path} was written by a newer Gleanset", update_command())
    if stored_version < version:
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
    first_id = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{name}"
    run_id = first_id
    number = 1
    while dataset.runs.get(run_id) is not None:
        number += 1
        run_id = f"{first_id}-{number}"
    return run_id


def find_equal_run(
    dataset: Dataset, kind: str, facts: Mapping[str, object], say: Say
) -> Run | None:
    """Return the finished run of this kind, data and settings, and say that it is used.

    Runs whose files were deleted are recorded as such, so that they are trained again.
    """
    while (run := dataset.runs.find_finished(kind, facts)) is not None:
        if has_files(dataset, run):
            say(
                f"already trained with this data and settings: {run.id} (to train again, set "
                "another seed: -o seed=N)"
            )
            return run
        say(f"the files of run {run.id} were deleted: training again")
        dataset.runs.finish(run.id, "deleted", run.result)
    return None


def has_files(dataset: Dataset, run: Run) -> bool:
    """Return whether the files of a finished run are there: its model, or its figures."""
    folder = run_folder(dataset, run.id)
    if run.room == CROSS_VALIDATION_KIND:
        return (folder / METRICS).is_file()
    return (folder / SETTINGS).is_file() and any(folder.glob(WEIGHTS_PATTERN))


def can_be_served(dataset: Dataset, run: Run) -> bool:
    """Return whether a run has its model, or the exported file alone, as in a copy."""
    return has_files(dataset, run) or (run_folder(dataset, run.id) / SERVED).is_file()


def find_latest_model(dataset: Dataset) -> Run | None:
    """Return the latest finished run that can be used."""
    return next(reversed(_list_usable_runs(dataset)), None)


def find_renamed_classes(dataset: Dataset, classes: Sequence[str]) -> dict[str, str]:
    """Return the current names of classes of a run that were renamed since.

    Classes that were merged with another one of the run keep their names: the run distinguishes
    them.
    """
    current_names = {name: dataset.classes.resolve_alias(name) for name in classes}
    uses = Counter(current_names.values())
    return {
        name: current
        for name, current in current_names.items()
        if current != name and uses[current] == 1
    }


def read_current_names(folder: Path, classes: Sequence[str]) -> dict[str, str]:
    """Return the current names of renamed classes of the run in a folder.

    There are none for a file, and outside of a dataset.
    """
    root = find_run_dataset(folder) if folder.is_dir() else None
    if root is not None:
        with suppress(GleansetError), Dataset.open(root) as dataset:
            return find_renamed_classes(dataset, classes)
    return {}


def find_run_class(folder: Path, classes: Sequence[str], name: str) -> tuple[str, str]:
    """Return the class of the run in a folder that a name means, and its current name.

    A new class has its name in the dataset for both, also if an alias of it was given.
    """
    root = find_run_dataset(folder)
    if root is not None:
        with suppress(GleansetError), Dataset.open(root) as dataset:
            current_names = find_renamed_classes(dataset, classes)
            own_names = {current_names.get(label, label): label for label in classes}
            if name not in own_names:
                name = dataset.classes.resolve_alias(name)
            return own_names.get(name, name), name
    return name, name


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
    runs = _list_usable_runs(dataset, run_or_preset)
    if not runs:
        raise _missing_run_error(dataset, run_or_preset)
    return [run.id for run in runs]


def find_finished_run(dataset: Dataset, run_id: str | None) -> tuple[str, Path]:
    """Return the id and folder of a run, by default the latest. Raises `InputUnusable`."""
    run = dataset.runs.get(run_id) if run_id else find_latest_model(dataset)
    if run and run.room == CROSS_VALIDATION_KIND:
        raise InputUnusable(
            f"run {run.id} is a cross-validation and has no model",
            f"train one: baseline train --preset {run.settings.get('preset')} {dataset.option}",
        )
    if not run or not _is_finished(run) or not can_be_served(dataset, run):
        raise _missing_run_error(dataset, run_id)
    return run.id, dataset.runs_folder / run.id


def find_run_folder(root: Path, run: str | None) -> Path:
    """Return the folder of a run, given as a folder or an id in the dataset `root`.

    None is the latest finished run. Raises `InputUnusable` or `DatasetMissing`.
    """
    if run is not None and (Path(run) / SETTINGS).is_file():
        return Path(run)
    with Dataset.open(root) as dataset:
        return find_finished_run(dataset, run)[1]


def find_newest_run_folder(root: Path, run_or_preset: str | None) -> Path:
    """Return the folder of the latest finished run of the dataset `root`.

    Raises `InputUnusable` or `DatasetMissing`.
    """
    with Dataset.open(root) as dataset:
        return dataset.runs_folder / list_finished_runs(dataset, run_or_preset)[-1]


def find_run_dataset(folder: Path, root: Path | None = None) -> Path | None:
    """Return the dataset that contains a run, else `root`; None if that is not a dataset."""
    # Runs are in the folder `runs` of their dataset.
    for candidate in (folder.resolve().parent.parent, root):
        if candidate is not None and is_dataset(candidate):
            return candidate
    return None


def _list_usable_runs(dataset: Dataset, run_or_preset: str | None = None) -> list[Run]:
    return [
        run
        for run in dataset.runs.iterate()
        if _is_finished(run)
        and _matches(run, run_or_preset)
        and can_be_served(dataset, run)
    ]


def _is_finished(run: Run) -> bool:
    return run.room == TRAINING_KIND and run.status == "done"


def _matches(run: Run, run_or_preset: str | None) -> bool:
    return run_or_preset in (None, run.id, run.settings.get("preset"))


def _missing_run_error(dataset: Dataset, run_or_preset: str | None) -> InputUnusable:
    # Finished runs that match have lost their files, or they would have been found.
    runs_without_files = [
        run
        for run in dataset.runs.iterate()
        if run.room == TRAINING_KIND
        and run.status in ("done", "deleted")
        and _matches(run, run_or_preset)
    ]
    command = "baseline train --preset"
    if runs_without_files:
        run = runs_without_files[-1]
        preset = run.settings.get("preset", "transfer")
        return InputUnusable(
            f"the files of run {run.id} were deleted: {dataset.runs_folder / run.id}",
            f"train again: {command} {preset} {dataset.option}",
        )

    problem = f"no finished run {run_or_preset or 'yet'}"
    if run_or_preset:
        return InputUnusable(
            problem, f"list the runs: gleanset list runs {dataset.option}"
        )
    if not dataset.samples.has_splits():
        return InputUnusable(problem, dataset.status_advice)
    return InputUnusable(
        problem,
        f"train one: {command} transfer {dataset.option}",
    )
