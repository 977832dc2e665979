"""Samples as `baseline prelabel` reads them."""

from typing import Any

from gleanset.db.proposals import PrelabelSample
from gleanset.records import Box, Region


def make_sample(row: int, label: str | None = None, **fields: Any) -> PrelabelSample:
    """Return a labelled or pending sample; `fields` sets other fields."""
    status = "labelled" if label else "queue"
    sample = PrelabelSample(
        f"{row:05}",
        status,
        label,
        None,
        (),
        None,
        frozenset(),
        True,
        Region(Box(0, 0, 0, 0)),
        None,
        "person",
    )
    return sample._replace(**fields)
