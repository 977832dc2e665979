"""Printed tables with a row for each class."""

from collections.abc import Mapping, Sequence

from gleanset.terminal import format_table, get_line_width

MAX_TABLE_ROWS = 12
"""Classes in a printed table."""

_INDENT = 2


def format_class_table(
    heads: Sequence[str], rows: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Return the lines of a table with a row for each of the first classes."""
    first_rows = list(rows.items())[:MAX_TABLE_ROWS]
    cells = [[name, *(f"{row[head]:g}" for head in heads)] for name, row in first_rows]
    lines = format_table([["class", *heads], *cells], get_line_width() - _INDENT)

    others = len(rows) - len(first_rows)
    if others:
        lines = [*lines, f"and {others} more: see --json"]
    return lines
