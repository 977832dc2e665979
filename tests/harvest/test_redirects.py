"""Hosts that send no images: endless refusals, and the same notice for all removed images."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from faulty_server import FaultyServer, Handler
from small_bing import Shelf
from tools_for_tests import picture

from gleanset import Dataset
from gleanset.errors import Incomplete
from gleanset.work.progress import Progress
from harvest.downloads import DownloadRun, harvest_urls, retry
from harvest.folder import ImportOptions, harvest_folders
from harvest.http import Client, DownloadLimits
from harvest.keyword import harvest_searches, plan_searches
from harvest.redirects import NOT_ASKED, NOTICE

RUN = DownloadRun(lambda: Client(DownloadLimits(backoff=0.01, max_wait=0.1), allow_private=True))
REMOVED = picture(999)


class Host:
    """Images at `/p/N.jpg`; answers 429 from `refuses_from` on; redirects `/gone/N`."""

    def __init__(self, site: FaultyServer) -> None:
        self.site = site
        self.refuses_from = 10**9
        self.requests = 0
        self.lock = threading.Lock()
        site.otherwise = self._answer

    def _answer(self, h: Handler) -> None:
        if h.path.startswith("/gone/"):
            h.answer(302, Location="/removed.jpg")
        elif h.path == "/removed.jpg":
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
        file.write_text("".join(f"{self.site.url}{path}\n" for path in paths), encoding="utf-8")
        return harvest_urls(dataset, [file], RUN, label="cat")


@pytest.fixture
def host(site: FaultyServer) -> Host:
    return Host(site)


def urls(dataset: Dataset) -> set[str]:
    return {str(origin.url) for image in dataset.images.iterate() for origin in image.origins}


def test_refusing_host_is_skipped_and_retried(host: Host, dataset: Dataset) -> None:
    host.refuses_from = 5
    result = host.harvest(dataset, *(f"/p/{n}.jpg" for n in range(200)))
    assert result["added"] == 5
    assert host.requests < 5 + 4 * DownloadLimits().per_host + 16
    assert result["added"] + result["rejected"] + result["not_asked"] == 200
    host.refuses_from = 10**9
    assert retry(dataset, RUN, NOT_ASKED)["added"] == result["not_asked"]


def test_refusing_host_ends_search(host: Host, dataset: Dataset) -> None:
    host.refuses_from = 5
    source = Shelf("many", [f"{host.site.url}/p/{n}.jpg" for n in range(5000)])
    with pytest.raises(Incomplete, match="not requested") as caught:
        harvest_searches(dataset, plan_searches([("x", None)], [source], {}), RUN, limit=50)
    assert caught.value.result is not None
    assert caught.value.result["added"] == 5
    assert source.yielded < 1000


def test_common_redirect_target_is_rejected(host: Host, dataset: Dataset) -> None:
    result = host.harvest(dataset, "/p/1.jpg", *(f"/gone/{n}.jpg" for n in range(9)), "/p/2.jpg")
    assert result == {
        "added": 2,
        "duplicate": 0,
        "known": 0,
        "rejected": 9,
        "reasons": {NOTICE: 9},
    }
    assert urls(dataset) == {f"{host.site.url}/p/{n}.jpg" for n in (1, 2)}
    assert {r.reason for r in dataset.rejections.iterate()} == {NOTICE}
    # It is not accepted in a later run either, under whatever URL.
    assert host.harvest(dataset, "/gone/77.jpg", "/removed.jpg")["added"] == 0


def test_redirect_target_of_earlier_run_is_removed(host: Host, dataset: Dataset) -> None:
    assert host.harvest(dataset, "/gone/1.jpg", "/gone/2.jpg")["added"] == 1
    host.harvest(dataset, *(f"/gone/{n}.jpg" for n in range(3, 7)))
    assert dataset.images.count() == 0


def test_two_redirects_or_equal_file_names_are_accepted(host: Host, dataset: Dataset) -> None:
    same_name = [f"/gone/{n}/removed.jpg" for n in range(5)]
    assert host.harvest(dataset, "/gone/1.jpg", "/gone/2.jpg", *same_name)["added"] == 1
    assert len(urls(dataset)) == 7


def test_own_file_equal_to_notice_is_kept(host: Host, dataset: Dataset, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.jpg").write_bytes(REMOVED)
    harvest_folders(dataset, [own], ImportOptions(progress=Progress(quiet=True)))
    host.harvest(dataset, *(f"/gone/{n}.jpg" for n in range(5)))
    [image] = dataset.images.iterate()
    assert [origin.source for origin in image.origins] == ["folder"]
