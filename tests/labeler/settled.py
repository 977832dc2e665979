"""When a window has loaded what it shows, for tests, benchmarks and screenshots."""

from labeler.qt.grid.tile_view import TileView
from labeler.qt.images import ThumbnailLoader
from labeler.qt.views.base import LabelerView
from labeler.qt.views.class_pages import ClassPagesView
from labeler.qt.views.crop import CropView
from labeler.qt.views.duplicates import DuplicatesView
from labeler.qt.views.labeling import LabelingView


def is_loading(thumbs: ThumbnailLoader) -> bool:
    """Return whether a thumbnail was requested and is not loaded yet."""
    return bool(thumbs._requests or thumbs._loading)


def is_settled(view: LabelerView) -> bool:
    """Return whether everything visible is loaded."""
    if view.worker.busy or is_loading(view.context.thumbs):
        return False
    if isinstance(view, CropView):
        return not view._loader.busy
    if isinstance(view, DuplicatesView) and view._planning.busy:
        return False
    if isinstance(view, ClassPagesView) and (view.state.is_preparing or view._events):
        return False
    return not (isinstance(view, LabelingView) and view._refit.isActive())


def list_unseen(view: TileView) -> list[int]:
    """Return all tiles that were not painted since they are shown."""
    return view.unseen(range(view.tiles.rowCount()))
