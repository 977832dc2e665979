"""What a benchmark has measured: a line of a file for each part, so that a stopped one goes on.

Shared by the benchmarks; not a script.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class KeptRows(dict[str, Row]):
    """The rows by the names of their parts. A line that is removed is measured again."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        lines = file.read_text().splitlines() if file.is_file() else []
        super().__init__((row["part"], row) for row in map(json.loads, lines))

    def keep(self, part: str, row: Row) -> None:
        """Write down what came out, and say it, but for long lists."""
        self[part] = {"part": part} | row
        with self.file.open("a") as file:
            file.write(json.dumps(self[part]) + "\n")
        short = {key: told for key, told in row.items() if not isinstance(told, list | tuple)}
        print(part, short, file=sys.stderr, flush=True)
