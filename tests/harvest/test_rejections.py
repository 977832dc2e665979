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


def met(dataset: Dataset, one: Candidate, result: bytes | str) -> None:
    """Record the outcome of a download: image bytes, or a rejection reason."""
    with dataset.stage("test") as scratch:
        store = dataset.originals(scratch)
        outcome: Outcome[Candidate, Measured] = (
            Outcome(one, None, result, "as told")
            if isinstance(result, str)
            else Outcome(one, StageBytes(store)(result))
        )
        output = None if outcome.result else json.dumps(msgspec.to_builtins(one))
        Importer(dataset, STAGE, store).record(one.origin, outcome, candidate=output)


def reasons(dataset: Dataset) -> dict[str, str]:
    return {rejection.source: rejection.reason for rejection in dataset.rejections.iterate()}


def test_one_address_of_two_sources_keeps_both_reasons(dataset: Dataset) -> None:
    met(dataset, candidate("http://x", "bing"), "http 403")
    met(dataset, candidate("http://x", "google"), "truncated")
    assert reasons(dataset) == {"bing": "http 403", "google": "truncated"}
    assert {one.reason for one in dataset.fetches.iter_failed()} == {"http 403", "truncated"}
    result = [
        (one.source, reason, items)
        for one in dataset.fetches.list_yields()
        for reason, items in one.reasons.items()
    ]
    assert result == [("bing", "http 403", 1), ("google", "truncated", 1)]
    rejected = dataset.rejections.count_by_reason()
    assert rejected == {STAGE: {"http 403": 1, "truncated": 1}}


def test_retry_sees_what_failed_for_one_source_and_not_for_the_other(
    dataset: Dataset, site: FaultyServer
) -> None:
    def otherwise(h: Handler) -> None:
        h.answer(200, picture(1), Content_Type="image/jpeg")

    site.otherwise = otherwise
    met(dataset, candidate(site.url, "bing"), "http 403")
    met(dataset, candidate(site.url, "google"), picture(1))
    assert reasons(dataset) == {"bing": "http 403"}
    result = retry(dataset, DownloadRun(lambda: Client(allow_private=True)))
    assert (result["added"], result["duplicate"]) == (0, 1)
    assert reasons(dataset) == {}
    [image] = dataset.images.iterate()
    assert [origin.source for origin in image.origins] == ["bing", "google"]


def test_merging_brings_rejections_by_source_and_none_of_what_is_here(
    dataset: Dataset, tmp_path: Path
) -> None:
    with Dataset.create(tmp_path / "other") as other:
        met(other, candidate("http://x", "bing"), "http 403")
        met(other, candidate("http://x", "google"), "truncated")
        met(dataset, candidate("http://x", "google"), picture(1))
        merge_dataset(dataset, other.root, simulate=False, progress=Progress())
    assert reasons(dataset) == {"bing": "http 403"}
