"""Search keywords: what a site finds for them, downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gleanset import Dataset
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


def harvest_keywords(
    dataset: Dataset, source: Source, asked: Sequence[Query],
    open_client: Callable[[], Client], *, limit: int = LIMIT, threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:  # fmt: skip
    """Search and download up to `limit` distinct images for each query; the counts.

    Raises what the source raises: being turned away is never an empty result.
    """
    with dataset.stage(STAGE) as scratch, open_client() as client:
        download = Download(client, KeepBytes(dataset.originals(scratch)))
        total = Intake(dataset, STAGE)
        found: dict[str, object] = {}
        for query in asked:
            intake = Intake(dataset, STAGE, remember=True)
            fetch_candidates(
                source.candidates(query, client), intake, download, limit=limit,
                threads=threads or dataset.settings.net.threads, progress=progress,
                what=f"{source.name}: {query.text}",
            )  # fmt: skip
            found[query.text] = intake.result()
            total.tally += intake.tally
            total.reasons += intake.reasons
    result = total.result()
    if not any(total.tally.values()):
        result["no_results"] = True
    return result | ({"keywords": found} if len(asked) > 1 else {})


def simulate(source: Source, asked: Sequence[Query], client: Client, limit: int) -> list[Candidate]:
    """The first `limit` candidates of each query, without downloading any."""
    found: list[Candidate] = []
    for query in asked:
        for number, candidate in enumerate(source.candidates(query, client), start=1):
            found.append(candidate)
            if number >= limit:
                break
    return found
