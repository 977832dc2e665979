"""What tqdm writes: a bar, a line at intervals, or a JSON object a line.

A JSON line of a stage has `stage`, `done`, `unit`, and `total`, `rate` (a second), `eta` (seconds)
and `note` where they are known; the last one of a stage has `ended`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from tqdm import tqdm

LINE_INTERVAL_SECONDS = 30.0
JSON_INTERVAL_SECONDS = 0.2
_LINE = "{desc}: {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class Bar(tqdm):  # type: ignore[type-arg]
    """A bar, taken away at the end; bytes as kB and MB, and whole seconds of video."""

    def __init__(self, **options: Any) -> None:
        scaled = options["unit"] == "B"
        super().__init__(leave=False, dynamic_ncols=True, unit_scale=scaled, **options)

    @property
    def format_dict(self) -> dict[str, Any]:
        """As tqdm's, without the fractions of a count."""
        values = dict(super().format_dict)
        return values | {
            "n": round(values["n"]),
            "total": values["total"] and round(values["total"]),
        }


class _Lines(Bar):
    def close(self) -> None:
        """End without what tqdm writes to take a bar away."""
        self.sp = None
        super().close()


class LineBar(_Lines):
    """A line each half minute for a log, none for a stage that is shorter."""

    def __init__(self, **options: Any) -> None:
        interval = LINE_INTERVAL_SECONDS
        super().__init__(
            bar_format=_LINE, mininterval=interval, maxinterval=interval, miniters=1, **options
        )

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line."""
        if self.format_dict["elapsed"] >= LINE_INTERVAL_SECONDS:
            self.fp.write(f"{self}\n")


class JsonBar(_Lines):
    """A JSON object a line, a few a second at most."""

    def __init__(self, **options: Any) -> None:
        self._ended = False
        super().__init__(mininterval=JSON_INTERVAL_SECONDS, miniters=1, **options)

    def close(self) -> None:
        """Write the last line."""
        if not self.disable:
            self._ended = True
            self.display()
        super().close()

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line."""
        values = self.format_dict
        line = {"stage": values["prefix"], "done": values["n"], "unit": values["unit"].strip()}
        total, more, elapsed = values["total"], values["n"] - values["initial"], values["elapsed"]
        if total is not None:
            line["total"] = total
        if more > 0 and elapsed > 0:
            line["rate"] = round(more / elapsed, 3)
            if total is not None:
                line["eta"] = round(max(total - values["n"], 0) * elapsed / more, 1)
        line |= {"note": values["postfix"]} if values["postfix"] else {}
        line |= {"ended": True} if self._ended else {}
        with suppress(OSError):  # the reader may have gone, and the work goes on
            self.fp.write(json.dumps(line) + "\n")
            self.fp.flush()
