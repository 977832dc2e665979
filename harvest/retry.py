"""`harvest retry`: failed downloads are tried again, with all that their source said of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from gleanset import Dataset
from gleanset.records import Candidate
from harvest.downloads import Downloader, DownloadRun
from harvest.http import Client
from harvest.http.robots import PAGE_SAYS
from harvest.http.scheduler import IterableQueue
from harvest.importer import combined
from harvest.keyword import STAGE as SEARCHED
from harvest.urls import STAGE as LISTED

# What a person has thrown away stays away.
_FINAL = "forgotten"


def retry(dataset: Dataset, run: DownloadRun, reason: str | None = None) -> dict[str, object]:
    """Try every failed download again, or those that failed for `reason`; return the counts.

    What succeeds loses its rejection; what fails again keeps its new reason.
    """
    with run.open_client() as client:
        results = [
            _retry_stage(dataset, client, stage, reason, run) for stage in (LISTED, SEARCHED)
        ]
    counts = combined(*results)
    counts.pop("known")
    if not any(counts.values()):
        counts["nothing_to_retry"] = True
    return counts


def _retry_stage(
    dataset: Dataset, client: Client, stage: str, reason: str | None, run: DownloadRun
) -> dict[str, object]:
    with dataset.stage(stage) as scratch:
        downloader = Downloader(dataset, client, scratch, run)
        importer = downloader.importer(stage)
        queue = IterableQueue(_candidates(dataset, stage, reason, client))
        downloader.run(queue, importer.take_download, f"retry {stage}")
        importer.finish()
    return importer.result()


def _candidates(
    dataset: Dataset, stage: str, reason: str | None, client: Client
) -> Iterator[Candidate]:
    for failed in dataset.fetches.failed():
        wanted = failed.stage == stage and reason in (None, failed.reason)
        # What a page said of its images still holds; the page is not asked again.
        _, page_says, word = failed.reason.partition(PAGE_SAYS)
        opted_out = page_says and client.heeds(word)
        if wanted and failed.candidate and failed.reason != _FINAL and not opted_out:
            yield msgspec.convert(json.loads(failed.candidate), Candidate)
