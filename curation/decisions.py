"""Decisions about samples as one step, with the mark of a sample: unlisted person, or skipped."""

from collections.abc import Sequence

from gleanset import Dataset
from gleanset.db.classes import Change, Changes
from gleanset.db.faces import Tracks
from gleanset.db.journal import Choice
from gleanset.db.sorting import SampleTiles
from gleanset.errors import UsageError
from gleanset.operations import Operation

UNLISTED_MARK = "other"
"""Mark of a rejected sample that shows a person without a class."""


def apply_decisions(
    dataset: Dataset,
    operation: Operation | str,
    choices: Sequence[Choice],
    mark: str | None,
) -> int:
    """Apply decisions as one step, and give their samples this mark or none; return the step."""
    with dataset.db.transaction():
        step = dataset.journal.apply(operation, choices)
        set_mark(dataset, step, [choice.sample for choice in choices], mark)
    return step


def set_mark(
    dataset: Dataset, step: int, samples: Sequence[str], mark: str | None
) -> None:
    """Give samples this mark or none, as part of a step. Call inside a transaction."""
    marks = SampleTiles(dataset.db).get_marks(samples)
    changes = [
        Change("mark", row, mark) for row, current in marks.items() if current != mark
    ]
    Changes(dataset.db).apply(step, changes)


def list_pending_in_track(dataset: Dataset, name: str) -> tuple[str, ...]:
    """Return the pending samples of a track. Raises `UsageError` if there are none."""
    list_command = f"gleanset list tracks {dataset.option}"
    track = Tracks(dataset.db).get(name)
    if track is None:
        raise UsageError(f"there is no track {name!r}", f"list them: {list_command}")
    if not track.pending:
        raise UsageError(
            f"track {name} has nothing to label: all {len(track.samples)} are decided or skipped",
            f"list the tracks: {list_command}; undo the last step: labeler undo {dataset.option}",
        )
    return track.pending
