"""Which results of a query are meant: by their number (`--range`), and by a test (`--filter`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from gleanset.errors import UsageError
from gleanset.records import Candidate

Test = Callable[[Candidate], bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """Results number `first` to `last` (counted from 1, both included) for which `test` holds."""

    first: int = 1
    last: int | None = None
    test: Test | None = None

    @property
    def size(self) -> int | None:
        """How many results that can be at most, where it has an end."""
        return None if self.last is None else self.last - self.first + 1

    def among(
        self, results: Iterable[Candidate], left_out: Callable[[], None] = lambda: None
    ) -> Iterator[Candidate]:
        """Yield the results meant; `left_out` is called for each one that fails the test."""
        for candidate in islice(results, self.first - 1, self.last):
            if self.test is None or self.test(candidate):
                yield candidate
            else:
                left_out()


ALL = Selection()


def parse_range(text: str) -> tuple[int, int | None]:
    """'11-20', '11-', '-20' or '11' as first and last. Raises `UsageError`."""
    # More digits than a slice can count would be no number of a result.
    match = re.fullmatch(r"(\d{0,9})(-?)(\d{0,9})", text.replace(" ", ""), re.ASCII)
    if match and (match[1] or match[3]):
        first = int(match[1] or 1)
        last = int(match[3]) if match[3] else None if match[2] else first
        if first >= 1 and (last is None or last >= first):
            return first, last
    raise UsageError(
        f"--range {text}: not a range of results", "write for instance 11-20, or 11- for the rest"
    )
