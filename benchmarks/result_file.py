"""Stored results of a benchmark, with which an interrupted run can continue; not a script."""

import json
import sys
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class ResultFile(dict[str, Row]):
    """Results by part name, one JSON line each; a part whose line is removed is measured again."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        lines = file.read_text().splitlines() if file.is_file() else []
        super().__init__((row["part"], row) for row in map(json.loads, lines))

    def add(self, part: str, row: Row) -> None:
        """Store a result and print it without long lists."""
        self[part] = {"part": part} | row
        with self.file.open("a") as file:
            file.write(json.dumps(self[part]) + "\n")
        short = {
            key: value
            for key, value in row.items()
            if not isinstance(value, list | tuple)
        }
        print(part, short, file=sys.stderr, flush=True)
