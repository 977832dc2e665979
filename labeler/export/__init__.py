"""Exporting the labelled samples of a dataset, in the forms other tools read."""

from labeler.export.job import export, would_export
from labeler.export.options import FORMATS, Options
from labeler.export.plan import Item, plan_export
from labeler.export.tree import MARKER

__all__ = ["FORMATS", "MARKER", "Item", "Options", "export", "plan_export", "would_export"]
