"""Creation of snapshots, and replacement of the catalogue by a snapshot."""

from contextlib import closing
from dataclasses import asdict
from typing import Any, Self

from gleanset.command_result import CommandResult
from gleanset.dataset import Dataset
from gleanset.db.connection import CATALOGUE, Connection
from gleanset.db.snapshots import carry_over
from gleanset.errors import DatasetBusy
from gleanset.html.words import count
from gleanset.records import Snapshot
from gleanset.terminal import wrap


class SnapshotResult(CommandResult, kw_only=True):
    """A snapshot: its name, time, author and note, and counts of what is in use."""

    snapshot: str
    at: str
    user: str = ""
    note: str = ""
    images: int
    samples: int
    labelled: int
    rejected: int
    classes: int
    train: int
    val: int
    test: int

    @classmethod
    def from_record(cls, record: Snapshot) -> Self:
        """Return the result for a snapshot."""
        fields = asdict(record)
        return cls(snapshot=fields.pop("name"), **fields)

    def summary(self) -> dict[str, Any]:
        """Return the name, and what is in use."""
        return {
            "snapshot": self.snapshot,
            "contents": self.describe(),
            "note": self.note,
        }

    def describe(self) -> str:
        """Return the number of images and labels in words."""
        return f"{count(self.images, 'image')}, {self.labelled:,} labelled"


class SnapshotList(CommandResult):
    """All snapshots, the oldest first."""

    ONLY_PRINTED = ("option",)

    snapshots: list[SnapshotResult]
    option: str

    def lines(self) -> list[str]:
        """Return a line for each snapshot."""
        if not self.snapshots:
            return wrap(
                f"no snapshots; create one: gleanset snapshot NAME {self.option}"
            )
        lines: list[str] = []
        for row in self.snapshots:
            date = row.at[:16].replace("T", " ")
            lines += wrap(
                f"{row.snapshot}  {date} UTC  {row.describe()}  {row.note}".rstrip()
            )
        return lines


class SnapshotDeletion(CommandResult):
    """The snapshot that was deleted."""

    deleted: str


class RestorePreview(CommandResult):
    """The snapshot that would be restored."""

    would_restore: SnapshotResult

    def summary(self) -> dict[str, Any]:
        """Return its name and contents."""
        snapshot = self.would_restore
        return {"would restore": f"{snapshot.snapshot} ({snapshot.describe()})"}


class RestoreResult(CommandResult):
    """The restored snapshot, that of the catalogue before, and the command that restores it."""

    WORDS = {"before": "previous state"}

    restored: str
    before: str
    undo: str


def create_snapshot(dataset: Dataset, name: str, note: str = "") -> SnapshotResult:
    """Copy the catalogue to a snapshot. Raises `UsageError`, `DatasetBusy`, `DiskFull`."""
    with dataset.stage("snapshot"):
        record = dataset.snapshots.create(
            dataset.db,
            name,
            note,
            dataset.journal.user,
        )
    return SnapshotResult.from_record(record)


def restore_snapshot(dataset: Dataset, name: str) -> RestoreResult:
    """Replace the catalogue by a snapshot after a backup; close `dataset`."""
    user = dataset.journal.user

    with dataset.stage("restore") as scratch, dataset.snapshots.open(name) as snapshot:
        staged_file = scratch / CATALOGUE
        snapshot.copy_to(staged_file)
        # Nothing may have the catalogue open while it is replaced.
        dataset.close()

        with closing(_open_alone(dataset)) as present:
            backup = dataset.snapshots.create_before_restore(
                present, f"before {name} was restored", user
            )
            with closing(Connection(staged_file)) as restored_catalogue:
                carry_over(present, restored_catalogue)
            present.restore_from(staged_file)

    return RestoreResult(
        restored=name,
        before=backup.name,
        undo=f"gleanset restore {backup.name} {dataset.option}",
    )


def _open_alone(dataset: Dataset) -> Connection:
    try:
        return Connection(dataset.root / CATALOGUE, busy_seconds=1.0, exclusive=True)
    except DatasetBusy as error:
        raise DatasetBusy(
            f"another program has the dataset open: {dataset.root}",
            "close it (a window, a page that is served, a command), and run the command again",
        ) from error
