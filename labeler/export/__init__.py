"""Exporting the labelled samples of a dataset, in the forms other tools read.

What does the work is loaded where it is asked for: the command line needs the options alone
to begin, and numpy and Pillow take longer than all else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from labeler.export.options import FORMATS, Options

if TYPE_CHECKING:
    from labeler.export.job import export, would_export
    from labeler.export.plan import Item, plan_export
    from labeler.export.tree import MARKER

__all__ = ["FORMATS", "MARKER", "Item", "Options", "export", "plan_export", "would_export"]

_PLACES = {
    "MARKER": "tree",
    "Item": "plan",
    "plan_export": "plan",
    "export": "job",
    "would_export": "job",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
