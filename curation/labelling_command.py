"""Command to suggest for labelling: the window, or clusters or tracks on a gallery page."""

from importlib.util import find_spec

from gleanset.dataset import Dataset
from gleanset.db.faces import Tracks
from gleanset.db.proposals import Proposals, list_clusters
from gleanset.db.sorting import SortingQueue
from gleanset.platform import has_display

PRELABEL_COMMAND = "baseline prelabel"
TRACKS_COMMAND = "labeler gallery tracks.html --tracks"
CLUSTERS_COMMAND = "labeler gallery clusters.html --clusters"


def has_window() -> bool:
    """Return whether PySide6 is installed and a display is available."""
    return find_spec("PySide6") is not None and has_display()


def suggest_labelling_command(dataset: Dataset) -> str | None:
    """Return the command for labelling pending samples, or None."""
    if has_window():
        return f"labeler {dataset.option}"
    if list_clusters(dataset.db):
        return f"{CLUSTERS_COMMAND} {dataset.option}"
    if any(track.pending for track in Tracks(dataset.db).iterate()):
        # A track shows one person; a cluster may show several.
        return f"{TRACKS_COMMAND} {dataset.option}"
    # Clusters lack only samples that the newest prelabeling could not read: do not suggest another.
    newest = Proposals(dataset.db).get_latest()
    unreadable = newest.facts.get("unreadable") if newest else 0
    unreadable = unreadable if isinstance(unreadable, int) else 0
    if len(SortingQueue(dataset.db).list_waiting(unreadable + 1)) > unreadable:
        return f"{PRELABEL_COMMAND} {dataset.option}"
    return None
