"""What became of a search, by keyword and by source."""

from __future__ import annotations

from collections import Counter

from gleanset.errors import GleansetError
from harvest.importer import Importer


class RunCounts:
    """The numbers of one keyword or one source, and who refused in it."""

    def __init__(self) -> None:
        self.tally: Counter[str] = Counter(added=0, duplicate=0, known=0, rejected=0)
        self.reasons: Counter[str] = Counter()
        self.refusals: list[str] = []

    def enter(self, intake: Importer) -> None:
        """Add the numbers of one intake."""
        # `+=` would drop the zeros that a result promises.
        self.tally.update(intake.tally)
        self.reasons.update(intake.reasons)

    def numbers(self) -> dict[str, object]:
        """The numbers, as commands return them."""
        reasons = {"reasons": dict(self.reasons.most_common())} if self.reasons else {}
        return {**self.tally, **reasons}

    def told(self) -> dict[str, object]:
        """The numbers with a status: 'ok', or what was said at the first refusal."""
        return {"status": self.refusals[0] if self.refusals else "ok", **self.numbers()}


class RunStats:
    """All accounts of one run."""

    def __init__(self) -> None:
        self.total = RunCounts()
        self.by_keyword: dict[str, RunCounts] = {}
        self.by_source: dict[str, RunCounts] = {}
        self._errors: dict[str, GleansetError] = {}

    def enter(
        self, keyword: str, source: str, intake: Importer, error: GleansetError | None
    ) -> None:
        """Note what one source gave for one keyword, and the error that ended it."""
        mine = self.by_source.setdefault(source, RunCounts())
        word = self.by_keyword.setdefault(keyword, RunCounts())
        for account in (self.total, mine, word):
            account.enter(intake)
        if error is not None:
            self._errors.setdefault(source, error)
            mine.refusals.append(str(error))
            word.refusals.append(str(error))

    def result(self) -> dict[str, object]:
        """The numbers of the run.

        When every source refused and nothing at all was had, the first one's error is
        raised: a refusal is never an empty result.
        """
        had = any(self.total.tally.values())
        if self._errors and not had and len(self._errors) == len(self.by_source):
            raise next(iter(self._errors.values()))
        result = self.total.numbers()
        if not had:
            result["no_results"] = True
        if len(self.by_keyword) > 1 or self._errors:
            result["keywords"] = {k: account.told() for k, account in self.by_keyword.items()}
        if len(self.by_source) > 1 or self._errors:
            result["sources"] = {k: account.told() for k, account in self.by_source.items()}
        return result
