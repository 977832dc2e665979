"""Rejections, their retry, and missing images."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from faulty_server import FaultyServer, Handler
from small_bing import SmallBing, searches_of
from tools_for_tests import picture

from gleanset import Candidate, Dataset, Origin
from gleanset.images.staging import StageBytes
from gleanset.records import Measured
from gleanset.work.pool import Outcome
from gleanset.work.progress import Progress
from harvest.archives import harvest_archives
from harvest.downloads import KEYWORD_STAGE as STAGE
from harvest.downloads import DownloadRun, harvest_urls, retry
from harvest.folder import ImportOptions, harvest_folders
from harvest.http import Client
from harvest.importer import Importer
from harvest.keyword import harvest_searches
from harvest.sources import Query
from harvest.sources.bing import Bing
from pipeline.maintenance.merge import merge_dataset
from pipeline.maintenance.verify import verify

URL = "/p/1.jpg"


def candidate(site: str, source: str) -> Candidate:
    return Candidate(site + URL, Origin(source, site + URL, url=site + URL, query="cat"))


def record_outcome(dataset: Dataset, candidate: Candidate, result: bytes | str) -> None:
    """Record the outcome of a download: image bytes, or a rejection reason."""
    with dataset.stage("test") as scratch:
        store = dataset.originals(scratch)
        outcome: Outcome[Candidate, Measured] = (
            Outcome(candidate, None, result, "by request")
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


PICTURES = 4
Harvest = Callable[[Dataset], dict[str, object]]


def client() -> Client:
    return Client(allow_private=True)


def from_urls(site: FaultyServer, folder: Path) -> Harvest:
    SmallBing(site)
    urls = folder / "list.txt"
    urls.write_text("".join(f"{site.url}/p/{n}.jpg\n" for n in range(PICTURES)))
    return lambda dataset: harvest_urls(dataset, [urls], DownloadRun(client), limit=PICTURES)


def from_keyword(site: FaultyServer, folder: Path) -> Harvest:
    SmallBing(site).results["cat"] = [f"{n}.jpg" for n in range(2 * PICTURES)]
    searches = searches_of(Bing(), Query("cat", "cat", {"endpoint": site.url}))
    return lambda dataset: harvest_searches(dataset, searches, DownloadRun(client), limit=PICTURES)


def from_folder(site: FaultyServer, folder: Path) -> Harvest:
    for number in range(PICTURES):
        (folder / f"{number}.jpg").write_bytes(picture(number))
    return lambda dataset: harvest_folders(dataset, [folder], ImportOptions(workers=1))


def from_archive(site: FaultyServer, folder: Path) -> Harvest:
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for number in range(PICTURES):
            archive.writestr(f"{number}.jpg", picture(number))
    return lambda dataset: harvest_archives(dataset, [folder / "all.zip"], ImportOptions(workers=1))


@pytest.mark.parametrize("harvest_by", [from_urls, from_keyword, from_folder, from_archive])
def test_missing_image_is_restored_by_same_harvest(
    dataset: Dataset,
    site: FaultyServer,
    tmp_path: Path,
    harvest_by: Callable[[FaultyServer, Path], Harvest],
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    harvest = harvest_by(site, tree)
    assert harvest(dataset)["added"] == PICTURES
    missing_file, damaged, *_ = sorted((dataset.root / "images").rglob("*.jpg"))
    data = missing_file.read_bytes()
    missing_file.unlink()
    damaged.write_bytes(b"\0" * damaged.stat().st_size)
    tree.rename(tmp_path / "away")
    result = verify(dataset, repair=True, progress=Progress())
    assert (result["gone"], result["damaged"], result["repaired"]) == (1, 1, 0)
    (tmp_path / "away").rename(tree)
    assert harvest(dataset)["known"] == PICTURES - 2
    assert missing_file.read_bytes() == data
    assert {image.state for image in dataset.images.iterate()} == {"ok"}
    assert not list(dataset.rejections.iterate())
    assert verify(dataset, repair=False, progress=Progress())["sound"] == PICTURES
    assert harvest(dataset)["known"] == PICTURES
