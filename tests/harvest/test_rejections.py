"""Rejections and their retry, missing images, hosts that refuse or send notices."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from faulty_server import NO_COUNTS, FaultyServer, Handler
from small_bing import Shelf, SmallBing, searches_of
from tools_for_tests import make_archive, picture, write_pictures

from gleanset import Candidate, Dataset, Origin
from gleanset.errors import Incomplete
from gleanset.files.store import hash_bytes
from gleanset.images.staging import StageBytes
from gleanset.records import Measured
from gleanset.work.pool import Outcome
from gleanset.work.progress import Progress
from harvest.archives import harvest_files
from harvest.downloads import KEYWORD_STAGE as STAGE
from harvest.downloads import DownloadRun, harvest_urls, retry
from harvest.http import Client, DownloadLimits
from harvest.importer import Importer, ImportOptions
from harvest.keyword import harvest_searches, plan_searches
from harvest.lists import ListOptions
from harvest.redirects import NOT_ASKED, NOTICE
from harvest.sources import Query
from harvest.sources.bing import Bing
from pipeline.maintenance.check_files import verify
from pipeline.maintenance.merge import merge_dataset

URL = "/p/1.jpg"


def candidate(site: str, source: str) -> Candidate:
    return Candidate(
        site + URL, Origin(source, site + URL, url=site + URL, query="cat")
    )


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
        Importer(dataset, STAGE, store).record(
            candidate.origin, outcome, candidate=output
        )


def reasons(dataset: Dataset) -> dict[str, str]:
    return {
        rejection.source: rejection.reason for rejection in dataset.rejections.iterate()
    }


def test_rejections_are_recorded_per_source(dataset: Dataset) -> None:
    record_outcome(dataset, candidate("http://x", "bing"), "http 403")
    record_outcome(dataset, candidate("http://x", "google"), "truncated")
    assert reasons(dataset) == {"bing": "http 403", "google": "truncated"}
    assert {row.reason for row in dataset.fetches.iter_failed()} == {
        "http 403",
        "truncated",
    }
    result = [
        (row.source, reason, items)
        for row in dataset.fetches.list_yields()
        for reason, items in row.reasons.items()
    ]
    assert result == [("bing", "http 403", 1), ("google", "truncated", 1)]
    rejected = dataset.rejections.count_by_reason()
    assert rejected == {STAGE: {"http 403": 1, "truncated": 1}}


def test_retry_of_one_source(dataset: Dataset, site: FaultyServer) -> None:
    site.otherwise = lambda h: h.answer(200, picture(1), Content_Type="image/jpeg")
    record_outcome(dataset, candidate(site.url, "bing"), "http 403")
    record_outcome(dataset, candidate(site.url, "google"), picture(1))
    assert reasons(dataset) == {"bing": "http 403"}
    result = retry(dataset, DownloadRun(lambda: Client(allow_private=True)))
    assert (result.added, result.duplicate) == (0, 1)
    assert reasons(dataset) == {}
    [image] = dataset.images.iterate()
    assert [origin.source for origin in image.origins] == ["bing", "google"]


def test_merge_skips_rejections_of_known_images(
    dataset: Dataset, tmp_path: Path
) -> None:
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
    return lambda dataset: harvest_urls(
        dataset, [urls], DownloadRun(client), limit=PICTURES
    ).to_json()


def from_keyword(site: FaultyServer, folder: Path) -> Harvest:
    SmallBing(site).results["cat"] = [f"{n}.jpg" for n in range(2 * PICTURES)]
    searches = searches_of(Bing(), Query("cat", "cat", {"endpoint": site.url}))
    return lambda dataset: harvest_searches(
        dataset, searches, DownloadRun(client), limit=PICTURES
    ).to_json()


def from_folder(site: FaultyServer, folder: Path) -> Harvest:
    write_pictures(folder, PICTURES)
    return lambda dataset: harvest_files(
        dataset, [folder], ImportOptions(workers=1)
    ).to_json()


def from_archive(site: FaultyServer, folder: Path) -> Harvest:
    files = {f"{number}.jpg": picture(number) for number in range(PICTURES)}
    archive = make_archive(folder / "all.zip", files)
    return lambda dataset: harvest_files(
        dataset, [archive], ImportOptions(workers=1)
    ).to_json()


@pytest.mark.parametrize(
    "harvest_by", [from_urls, from_keyword, from_folder, from_archive]
)
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
    assert (result.gone, result.damaged, result.repaired) == (1, 1, 0)
    (tmp_path / "away").rename(tree)
    assert (harvest(dataset)["known"], missing_file.read_bytes()) == (
        PICTURES - 2,
        data,
    )
    assert {image.state for image in dataset.images.iterate()} == {"ok"}
    assert not list(dataset.rejections.iterate())
    assert verify(dataset, repair=False, progress=Progress()).sound == PICTURES
    assert harvest(dataset)["known"] == PICTURES


RUN = DownloadRun(
    lambda: Client(DownloadLimits(backoff=0.01, max_wait=0.1), allow_private=True)
)
REMOVED = picture(999)


class Host:
    """Images at `/p/N.jpg`; answers 429 from `refuses_from` on; redirects `/gone/N`.

    `/told/N` is redirected to the same notice with a query, `/show/N` to an image of its own.
    The notice is also the answer for `/lost/N`.
    """

    def __init__(self, site: FaultyServer) -> None:
        self.site = site
        self.refuses_from = 10**9
        self.requests = 0
        self.lock = threading.Lock()
        site.otherwise = self._answer

    def _answer(self, h: Handler) -> None:
        if h.path.startswith("/gone/"):
            h.answer(302, Location="/removed.jpg")
        elif h.path.startswith("/told/"):
            h.answer(302, Location=f"/removed.jpg?from={h.path}")
        elif h.path.startswith("/show/"):
            h.answer(302, Location=f"/view.php?id={h.path.removeprefix('/show/')}")
        elif h.path.startswith("/view.php"):
            h.answer(200, picture(int(h.path.partition("=")[2])))
        elif h.path.startswith(("/removed.jpg", "/lost/")):
            h.answer(200, REMOVED)
        elif h.path.startswith("/p/"):
            with self.lock:
                self.requests += 1
                is_refused = self.requests > self.refuses_from
            number = int(h.path.removeprefix("/p/").partition(".")[0])
            h.answer(429) if is_refused else h.answer(200, picture(number))
        else:
            h.answer(404)

    def harvest(self, dataset: Dataset, *paths: str) -> dict[str, object]:
        file = dataset.root.parent / "list.txt"
        file.write_text(
            "".join(f"{self.site.url}{path}\n" for path in paths), encoding="utf-8"
        )
        return harvest_urls(dataset, [file], RUN, ListOptions("cat")).to_json()


@pytest.fixture
def host(site: FaultyServer) -> Host:
    return Host(site)


def urls(dataset: Dataset) -> set[str]:
    return {
        str(origin.url)
        for image in dataset.images.iterate()
        for origin in image.origins
    }


def test_refusing_host_is_skipped_and_retried(host: Host, dataset: Dataset) -> None:
    host.refuses_from = 5
    result = host.harvest(dataset, *(f"/p/{n}.jpg" for n in range(200)))
    assert result["added"] == 5
    assert host.requests < 5 + 4 * DownloadLimits().per_host + 16
    assert result["added"] + result["rejected"] + result["not_asked"] == 200
    host.refuses_from = 10**9
    assert retry(dataset, RUN, NOT_ASKED).added == result["not_asked"]


def test_refusing_host_ends_search(host: Host, dataset: Dataset) -> None:
    host.refuses_from = 5
    source = Shelf("many", [f"{host.site.url}/p/{n}.jpg" for n in range(5000)])
    with pytest.raises(Incomplete, match="not requested") as caught:
        harvest_searches(
            dataset, plan_searches([("x", None)], [source], {}), RUN, limit=50
        )
    assert caught.value.result.added == 5
    assert source.yielded < 1000


def test_common_redirect_target_is_rejected(host: Host, dataset: Dataset) -> None:
    result = host.harvest(
        dataset, "/p/1.jpg", *(f"/gone/{n}.jpg" for n in range(9)), "/p/2.jpg"
    )
    assert result == NO_COUNTS | {"added": 2, "rejected": 9, "reasons": {NOTICE: 9}}
    assert urls(dataset) == {f"{host.site.url}/p/{n}.jpg" for n in (1, 2)}
    assert {r.reason for r in dataset.rejections.iterate()} == {NOTICE}
    # It is not accepted in a later run either, under whatever URL.
    assert host.harvest(dataset, "/gone/77.jpg", "/removed.jpg")["added"] == 0


def test_image_of_many_addresses_of_a_host_is_reported(
    host: Host, dataset: Dataset
) -> None:
    lost = [f"/lost/{n}.jpg" for n in range(4)]
    images = [f"/p/{n}.jpg" for n in range(4)]
    result = host.harvest(dataset, *lost[:3], *images)
    assert result["added"] == 5
    assert "maybe_placeholders" not in result

    # Of this run alone; nothing is removed.
    result = host.harvest(dataset, *(f"/lost/{n}.jpg" for n in range(3, 7)))
    image = hash_bytes(REMOVED)[:12]
    assert result["maybe_placeholders"] == {f"127.0.0.1: {image}": 4}
    assert len(urls(dataset)) == 7 + 4


def test_placeholder_of_several_keywords_is_counted_once(
    host: Host, dataset: Dataset
) -> None:
    source = Shelf("many", [f"{host.site.url}/lost/{n}.jpg" for n in range(6)])
    other = Shelf("more", [f"{host.site.url}/lost/{n}.jpg" for n in range(6, 9)])
    searches = plan_searches([("x", None)], [source, other], {})
    result = harvest_searches(dataset, searches, RUN, limit=50)
    assert result.added == 1
    [number] = result.maybe_placeholders.values()
    assert number == 8
    printed = "\n".join(result.lines())
    assert (
        f"possible placeholders, by repeats:\n  127.0.0.1: {hash_bytes(REMOVED)[:12]}: 8"
        in printed
    )


def test_query_in_the_address_of_a_notice_is_ignored(
    host: Host, dataset: Dataset
) -> None:
    result = host.harvest(
        dataset,
        *(f"/told/{n}" for n in range(5)),
        *(f"/show/{n}" for n in range(5)),
    )
    assert result == NO_COUNTS | {"added": 5, "rejected": 5, "reasons": {NOTICE: 5}}
    assert urls(dataset) == {f"{host.site.url}/show/{n}" for n in range(5)}


def test_redirect_target_of_earlier_run_is_removed(
    host: Host, dataset: Dataset
) -> None:
    assert host.harvest(dataset, "/gone/1.jpg", "/gone/2.jpg")["added"] == 1
    host.harvest(dataset, *(f"/gone/{n}.jpg" for n in range(3, 7)))
    assert dataset.images.count() == 0


def test_two_redirects_or_equal_file_names_are_accepted(
    host: Host, dataset: Dataset
) -> None:
    same_name = [f"/gone/{n}/removed.jpg" for n in range(5)]
    assert host.harvest(dataset, "/gone/1.jpg", "/gone/2.jpg", *same_name)["added"] == 1
    assert len(urls(dataset)) == 7


def test_own_file_equal_to_notice_is_kept(
    host: Host, dataset: Dataset, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.jpg").write_bytes(REMOVED)
    harvest_files(dataset, [own], ImportOptions(progress=Progress(quiet=True)))
    host.harvest(dataset, *(f"/gone/{n}.jpg" for n in range(5)))
    [image] = dataset.images.iterate()
    assert [origin.source for origin in image.origins] == ["folder"]
