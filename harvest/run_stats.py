"""What became of a search, by keyword and by source."""

from __future__ import annotations

from collections import Counter

from gleanset.errors import GleansetError
from harvest.importer import Importer, counts


class RunCounts:
    """The numbers of one keyword or one source, and who refused in it."""

    def __init__(self) -> None:
        self.tally: Counter[str] = Counter(added=0, duplicate=0, known=0, rejected=0)
        self.reasons: Counter[str] = Counter()
        self.refusals: list[str] = []

    def add(self, importer: Importer, error: GleansetError | None) -> None:
        """Add the numbers of one importer, and what ended its source."""
        # `+=` would drop the zeros that a result promises.
        self.tally.update(importer.tally)
        self.reasons.update(importer.reasons)
        if error is not None:
            self.refusals.append(str(error))

    def result(self) -> dict[str, object]:
        """Return the numbers with a status: 'ok', or what the first refusal said."""
        status = self.refusals[0] if self.refusals else "ok"
        return {"status": status, **counts(self.tally, self.reasons)}


class RunStats:
    """The counts of one run: in all, by keyword and by source."""

    def __init__(self) -> None:
        self.total = RunCounts()
        self.by_keyword: dict[str, RunCounts] = {}
        self.by_source: dict[str, RunCounts] = {}
        self._errors: dict[str, GleansetError] = {}

    def add(
        self, keyword: str, source: str, importer: Importer, error: GleansetError | None
    ) -> None:
        """Note what one source gave for one keyword, and the error that ended it."""
        mine = self.by_source.setdefault(source, RunCounts())
        word = self.by_keyword.setdefault(keyword, RunCounts())
        for one in (self.total, mine, word):
            one.add(importer, error)
        if error is not None:
            self._errors.setdefault(source, error)

    def result(self) -> dict[str, object]:
        """Return the numbers of the run.

        When every source refused and nothing at all was had, the first one's error is
        raised: a refusal is never an empty result.
        """
        had = any(self.total.tally.values())
        if self._errors and not had and len(self._errors) == len(self.by_source):
            raise next(iter(self._errors.values()))
        result = counts(self.total.tally, self.total.reasons)
        if not had:
            result["no_results"] = True
        for name, by in (("keywords", self.by_keyword), ("sources", self.by_source)):
            if len(by) > 1 or self._errors:
                result[name] = {key: one.result() for key, one in by.items()}
        return result
