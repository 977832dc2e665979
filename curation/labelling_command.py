"""Commands to suggest: for labelling, for another split, and for a training."""

from importlib.util import find_spec

from gleanset.dataset import Dataset
from gleanset.db.proposals import Proposals, list_clusters
from gleanset.db.sorting import SortingQueue
from gleanset.platform import has_display
from gleanset.settings import SplitSettings

PRELABEL_COMMAND = "baseline prelabel"
PAGES_COMMAND = "labeler serve"


def has_window() -> bool:
    """Return whether PySide6 is installed and a display is available."""
    return find_spec("PySide6") is not None and has_display()


def suggest_review(dataset: Dataset, kind: str = "samples") -> list[str]:
    """Return the commands that list labels, or other records of a `kind`, and correct labels."""
    commands = [f"gleanset list {kind}", "labeler label CLASS SAMPLE"]
    if has_window():
        commands = ["labeler --view review"]
    return [f"{command} {dataset.option}" for command in commands]


def suggest_reviewed_split(dataset: Dataset, split: SplitSettings) -> list[str]:
    """Return the commands that let unreviewed labels into val and test."""
    # With the same seed and settings the samples would stay where they are.
    next_split = f"labeler split --seed {split.seed + 1} {dataset.option}"
    return [*suggest_review(dataset), next_split]


def suggest_larger_test(dataset: Dataset, *, unseen: bool) -> list[str]:
    """Return the commands that give images to val and test; none if only more images would.

    `unseen`: some labels were reviewed by no person, and such labels only train.
    """
    split = dataset.samples.get_split_settings()
    # A ratio such as 1:0:0 gives no images to a split. Stored ratios are whole numbers.
    if split is None or "0" in split.ratio.split(":"):
        return [f"labeler split --ratio 8:1:1 {dataset.option}"]
    return suggest_reviewed_split(dataset, split) if unseen else []


def suggest_labelling_command(dataset: Dataset) -> str | None:
    """Return the command for labelling pending samples, or None."""
    if has_window():
        return f"labeler {dataset.option}"
    if list_clusters(dataset.db) or any(
        track.pending for track in dataset.tracks.iterate()
    ):
        return f"{PAGES_COMMAND} {dataset.option}"

    # There are no clusters or tracks. If no more samples are pending than the newest prelabeling
    # could not read, another one would not help. One more than those is enough to see that.
    newest = Proposals(dataset.db).get_latest()
    fact = newest.facts.get("unreadable") if newest else 0
    unreadable = fact if isinstance(fact, int) else 0
    if len(SortingQueue(dataset.db).list_waiting(unreadable + 1)) > unreadable:
        return f"{PRELABEL_COMMAND} {dataset.option}"
    return None


def suggest_training_command(dataset: Dataset) -> str:
    """Return the command that trains a model, with the preset of the latest run if there is one."""
    latest_run = dataset.runs.get_latest("baseline")
    settings = latest_run.settings if latest_run else {}
    preset = settings.get("preset", "transfer")
    return f"baseline train --preset {preset} {dataset.option}"
