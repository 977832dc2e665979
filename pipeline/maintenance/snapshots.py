"""Creation of snapshots, and replacement of the catalogue by a snapshot."""

from contextlib import closing

from gleanset.dataset import Dataset
from gleanset.db.connection import CATALOGUE, Connection
from gleanset.db.snapshots import Snapshots, carry_over
from gleanset.errors import DatasetBusy
from gleanset.records import Snapshot

SNAPSHOT_STAGE, RESTORE_STAGE = "snapshot", "restore"
"""Names of the stages."""
BACKUP_NAME = "before-restore"
_WAIT_SECONDS = 1.0


def create_snapshot(dataset: Dataset, name: str, note: str = "") -> Snapshot:
    """Copy the catalogue to a snapshot. Raises `UsageError`, `DatasetBusy`, `DiskFull`."""
    with dataset.stage(SNAPSHOT_STAGE):
        return Snapshots(dataset.root).create(dataset.db, name, note, dataset.journal.user)


def restore_snapshot(dataset: Dataset, name: str) -> Snapshot:
    """Replace the catalogue by a snapshot; close `dataset`, return the backup."""
    snapshots, user = Snapshots(dataset.root), dataset.journal.user
    with dataset.stage(RESTORE_STAGE) as scratch, snapshots.open(name) as snapshot:
        staged = scratch / CATALOGUE
        snapshot.copy_to(staged)
        dataset.close()
        with closing(_open_alone(dataset)) as present:
            backup = snapshots.create_dated(
                present, BACKUP_NAME, f"before {name} was restored", user
            )
            with closing(Connection(staged)) as restored:
                carry_over(present, restored)
            present.restore_from(staged)
    return backup


def _open_alone(dataset: Dataset) -> Connection:
    try:
        return Connection(dataset.root / CATALOGUE, busy_seconds=_WAIT_SECONDS, exclusive=True)
    except DatasetBusy as error:
        raise DatasetBusy(
            f"another program has the dataset open: {dataset.root}",
            "close it (a window, a page that is served, a command), and run the command again",
        ) from error
