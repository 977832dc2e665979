"""Samples of a prelabeling by row number."""

from __future__ import annotations

from typing import Any

from gleanset.db.proposals import PrelabelSample


def make_sample(row: int, label: str | None = None, **fields: Any) -> PrelabelSample:
    """Return a labelled or pending sample; `fields` sets other fields."""
    status = "labelled" if label else "queue"
    sample = PrelabelSample(f"{row:05}", status, label, None, (), None, frozenset())
    return sample._replace(**fields)
