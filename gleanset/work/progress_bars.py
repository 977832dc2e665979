"""Subclasses of tqdm: a bar, lines at intervals, or JSON lines.

A JSON line has `stage`, `done`, `unit`, and, if known, `total`, `rate` (per second), `eta`
(seconds) and `note`; the last line of a stage has `ended`.
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
    """A bar, removed at the end; bytes are shown as kB and MB, other counts as integers."""

    def __init__(self, **options: Any) -> None:
        scaled = options["unit"] == "B"
        super().__init__(leave=False, dynamic_ncols=True, unit_scale=scaled, **options)

    @property
    def format_dict(self) -> dict[str, Any]:
        """The values of tqdm, with counts rounded to integers."""
        values = dict(super().format_dict)
        return values | {
            "n": round(values["n"]),
            "total": values["total"] and round(values["total"]),
        }


class _Lines(Bar):
    def close(self) -> None:
        """Close without the control characters with which tqdm removes a bar."""
        self.sp = None
        super().close()


class LineBar(_Lines):
    """Lines for a log, every half minute; none for shorter stages."""

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
    """JSON lines, at most five per second."""

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
        total, processed, elapsed = (
            values["total"],
            values["n"] - values["initial"],
            values["elapsed"],
        )
        if total is not None:
            line["total"] = total
        if processed > 0 and elapsed > 0:
            line["rate"] = round(processed / elapsed, 3)
            if total is not None:
                line["eta"] = round(max(total - values["n"], 0) * elapsed / processed, 1)
        line |= {"note": values["postfix"]} if values["postfix"] else {}
        line |= {"ended": True} if self._ended else {}
        with suppress(OSError):  # a closed pipe must not end the work
            self.fp.write(json.dumps(line) + "\n")
            self.fp.flush()
