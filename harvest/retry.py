"""`harvest retry`: what failed on the net is tried again, with all that was told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gleanset import Dataset
from gleanset.db.fetches import FailedFetch
from gleanset.images.staging import StageBytes
from gleanset.records import Candidate
from gleanset.work.pool import Threads
from gleanset.work.progress import Progress
from harvest.archives import combined
from harvest.http import Client
from harvest.http.supply import Fed
from harvest.http.turns import in_turns
from harvest.importer import Importer
from harvest.keyword import STAGE as SEARCHED
from harvest.urls import STAGE as LISTED
from harvest.urls import Download, read_back, take_batches

# What a person has thrown away stays away.
_FINAL = "forgotten"


def retry(
    dataset: Dataset,
    open_client: Callable[[], Client],
    *,
    reason: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Try every failed download again, or those that failed for `reason`; the counts.

    What succeeds loses its rejection; what fails again keeps its new reason.
    """
    with open_client() as client:
        results = [
            _retry_stage(dataset, client, stage, reason, threads, progress)
            for stage in (LISTED, SEARCHED)
        ]
    counts = combined(*results)
    counts.pop("known")
    if not any(counts.values()):
        counts["nothing_to_retry"] = True
    return counts


def _retry_stage(
    dataset: Dataset,
    client: Client,
    stage: str,
    reason: str | None,
    threads: int | None,
    progress: Progress | None,
) -> dict[str, object]:
    with dataset.stage(stage) as scratch:
        store = dataset.originals(scratch)
        intake = Importer(dataset, stage, store)
        download = Download(client, StageBytes(store))
        workers = Threads(threads or dataset.settings.net.threads, stop=download.stop)
        failed = Fed(_candidates(dataset, stage, reason))
        batches = in_turns(download, failed, workers, client)
        take_batches(batches, intake, progress or Progress(), f"retry {stage}")
        intake.finish()
    return intake.result()


def _candidates(dataset: Dataset, stage: str, reason: str | None) -> Iterator[Candidate]:
    return (
        read_back(failed.told)
        for failed in dataset.fetches.failed()
        if failed.stage == stage and _is_meant(failed, reason)
    )


def _is_meant(failed: FailedFetch, reason: str | None) -> bool:
    return failed.reason != _FINAL and bool(failed.told) and reason in (None, failed.reason)
