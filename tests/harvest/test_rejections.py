"""Rejections of one URL that two sources offer: each has its own reason."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from faulty_server import FaultyServer, Handler
from tools_for_tests import picture

from gleanset import Candidate, Dataset, Origin
from gleanset.images.staging import StageBytes
from gleanset.records import Measured
from gleanset.work.pool import Outcome
from gleanset.work.progress import Progress
from harvest.downloads import DownloadRun
from harvest.http import Client
from harvest.importer import Importer
from harvest.keyword import STAGE
from harvest.urls import retry
from pipeline.maintenance.merge import merge_dataset

URL = "/p/1.jpg"


def candidate(site: str, source: str) -> Candidate:
    return Candidate(site + URL, Origin(source, site + URL, url=site + URL, query="cat"))


def record_outcome(dataset: Dataset, candidate: Candidate, result: bytes | str) -> None:
    """Record the outcome of a download: image bytes, or a rejection reason."""
    with dataset.stage("test") as scratch:
        store = dataset.originals(scratch)
        outcome: Outcome[Candidate, Measured] = (
            Outcome(candidate, None, result, "as told")
            if isinstance(result, str)
            else Outcome(candidate, StageBytes(store)(result))
        )
        output = None if outcome.result else json.dumps(msgspec.to_builtins(candidate))
        Importer(dataset, STAGE, store).record(candidate.origin, outcome, candidate=output)


def reasons(dataset: Dataset) -> dict[str, str]:
    return {rejection.source: rejection.reason for rejection in dataset.rejections.iterate()}


def test_rejections_are_recorded_per_source(dataset: Dataset) -> None:
    record_outcome(dataset, candidate("http://x", "bing"), "http 403")
    record_outcome(dataset, candidate("http://x", "google"), "truncated")
    assert reasons(dataset) == {"bing": "http 403", "google": "truncated"}
    assert {row.reason for row in dataset.fetches.iter_failed()} == {"http 403", "truncated"}
    result = [
        (row.source, reason, items)
        for row in dataset.fetches.list_yields()
        for reason, items in row.reasons.items()
    ]
    assert result == [("bing", "http 403", 1), ("google", "truncated", 1)]
    rejected = dataset.rejections.count_by_reason()
    assert rejected == {STAGE: {"http 403": 1, "truncated": 1}}


def test_retry_of_one_source(dataset: Dataset, site: FaultyServer) -> None:
    def otherwise(h: Handler) -> None:
        h.answer(200, picture(1), Content_Type="image/jpeg")

    site.otherwise = otherwise
    record_outcome(dataset, candidate(site.url, "bing"), "http 403")
    record_outcome(dataset, candidate(site.url, "google"), picture(1))
    assert reasons(dataset) == {"bing": "http 403"}
    result = retry(dataset, DownloadRun(lambda: Client(allow_private=True)))
    assert (result["added"], result["duplicate"]) == (0, 1)
    assert reasons(dataset) == {}
    [image] = dataset.images.iterate()
    assert [origin.source for origin in image.origins] == ["bing", "google"]


def test_merge_skips_rejections_of_known_images(dataset: Dataset, tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "other") as other:
        record_outcome(other, candidate("http://x", "bing"), "http 403")
        record_outcome(other, candidate("http://x", "google"), "truncated")
        record_outcome(dataset, candidate("http://x", "google"), picture(1))
        merge_dataset(dataset, other.root, simulate=False, progress=Progress())
    assert reasons(dataset) == {"bing": "http 403"}
