"""Search keywords: what a site finds for them, downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gleanset import Dataset
from gleanset.errors import SiteError
from gleanset.records import Candidate
from gleanset.work.progress import Progress
from harvest.http import Client
from harvest.intake import Intake, KeepBytes
from harvest.sources import Query, Source
from harvest.urls import Download, fetch_candidates

STAGE = "harvest-keyword"
LIMIT = 100


def queries(
    keywords: Sequence[str], label: str | None, options: Mapping[str, str], source: Source
) -> list[Query]:
    """One query a keyword; the keyword is the hint unless a label is given.

    Raises `UsageError` for an option that the source does not have, before any request.
    """
    made = [Query(word, label or word, options) for word in keywords]
    for query in made:
        source.settings(query)
    return made


class Search:
    """Searches one query after another on one site, and keeps account of each."""

    def __init__(
        self, dataset: Dataset, source: Source, client: Client, download: Download, limit: int,
        threads: int, progress: Progress | None,
    ) -> None:  # fmt: skip
        self._dataset = dataset
        self._source = source
        self._client = client
        self._download = download
        self._limit = limit
        self._threads = threads
        self._progress = progress
        self.total = Intake(dataset, STAGE)
        self.refused: list[SiteError] = []
        self.accounts: dict[str, dict[str, object]] = {}

    def run(self, query: Query) -> None:
        """Search and download. A site's refusal is kept; what was fetched before it stays."""
        intake = Intake(self._dataset, STAGE, remember=True)
        status = "ok"
        try:
            fetch_candidates(
                self._source.candidates(query, self._client), intake, self._download,
                limit=self._limit, threads=self._threads, progress=self._progress,
                what=f"{self._source.name}: {query.text}",
            )  # fmt: skip
        except SiteError as error:
            self.refused.append(error)
            status = str(error)
        self.accounts[query.text] = {"status": status, **intake.result()}
        # `+=` would drop the zeros that a result promises.
        self.total.tally.update(intake.tally)
        self.total.reasons.update(intake.reasons)


def harvest_keywords(
    dataset: Dataset, source: Source, asked: Sequence[Query],
    open_client: Callable[[], Client], *, limit: int = LIMIT, threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:  # fmt: skip
    """Search and download up to `limit` distinct images for each query; the counts.

    When the site refused some queries, the account of each says so; when nothing at all was
    had because of it, the refusal is raised: it is never an empty result.
    """
    with dataset.stage(STAGE) as scratch, open_client() as client:
        download = Download(client, KeepBytes(dataset.originals(scratch)))
        search = Search(
            dataset, source, client, download, limit, threads or dataset.settings.net.threads,
            progress,
        )  # fmt: skip
        for query in asked:
            search.run(query)
    had = any(search.total.tally.values())
    if search.refused and not had:
        raise search.refused[0]
    result = search.total.result()
    if not had:
        result["no_results"] = True
    if len(asked) > 1 or search.refused:
        result["keywords"] = search.accounts
    return result


def simulate(source: Source, asked: Sequence[Query], client: Client, limit: int) -> list[Candidate]:
    """The first `limit` candidates of each query, without downloading any."""
    found: list[Candidate] = []
    for query in asked:
        for number, candidate in enumerate(source.candidates(query, client), start=1):
            found.append(candidate)
            if number >= limit:
                break
    return found
