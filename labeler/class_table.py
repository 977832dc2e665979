"""Printed tables with a row for each class."""

from collections.abc import Mapping, Sequence
from itertools import islice

from gleanset.terminal import format_table, get_line_width

MAX_TABLE_ROWS = 12
"""Classes in a printed table."""

_INDENT = 2


def format_class_table(
    heads: Sequence[str], rows: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Return the lines of a table with a row for each of the first classes."""
    table = [["class", *heads]]
    for name, row in islice(rows.items(), MAX_TABLE_ROWS):
        table.append([name, *(f"{row[head]:g}" for head in heads)])
    lines = format_table(table, get_line_width() - _INDENT)

    if len(rows) > MAX_TABLE_ROWS:
        lines = [*lines, f"and {len(rows) - MAX_TABLE_ROWS} more: see --json"]
    return lines
