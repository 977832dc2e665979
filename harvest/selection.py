"""Which results of a query to use: by number (`--range`) and by a condition (`--filter`)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from gleanset.errors import UsageError
from gleanset.records import Candidate


@dataclass(frozen=True, slots=True)
class Selection:
    """Results number `first` to `last` (from 1, both included) that meet `condition`."""

    first: int = 1
    last: int | None = None
    condition: Callable[[Candidate], bool] | None = None

    @property
    def max_results(self) -> int | None:
        """The number of results at most, if the range has an end."""
        return None if self.last is None else self.last - self.first + 1

    def select(self, results: Iterable[Candidate], skipped: Counter[str]) -> Iterator[Candidate]:
        """Yield the selected results; count those that fail the condition as `filtered`."""
        for candidate in islice(results, self.first - 1, self.last):
            if self.condition is None or self.condition(candidate):
                yield candidate
            else:
                skipped["filtered"] += 1


ALL_RESULTS = Selection()


def parse_range(text: str) -> tuple[int, int | None]:
    """Parse '11-20', '11-', '-20' or '11' as first and last. Raises `UsageError`."""
    # More digits than a slice can count cannot be the number of a result.
    match = re.fullmatch(r"(\d{0,9})(-?)(\d{0,9})", text.replace(" ", ""), re.ASCII)
    if match and (match[1] or match[3]):
        first = int(match[1] or 1)
        last = int(match[3]) if match[3] else None if match[2] else first
        if first >= 1 and (last is None or last >= first):
            return first, last
    raise UsageError(
        f"--range {text}: not a range of results", "write for instance 11-20, or 11- for the rest"
    )
