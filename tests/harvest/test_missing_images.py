"""Files that `gleanset verify` marked as missing, restored by repeating their harvest."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_server import FaultyServer
from small_bing import SmallBing, searches_of
from tools_for_tests import picture

from gleanset import Dataset
from gleanset.work.progress import Progress
from harvest.archives import harvest_archives
from harvest.downloads import DownloadRun
from harvest.folder import ImportOptions, harvest_folders
from harvest.http import Client
from harvest.keyword import harvest_searches
from harvest.sources import Query
from harvest.sources.bing import Bing
from harvest.urls import harvest_urls
from pipeline.maintenance.verify import verify

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


@pytest.mark.parametrize("made", [from_urls, from_keyword, from_folder, from_archive])
def test_missing_image_is_restored_by_same_harvest(
    dataset: Dataset,
    site: FaultyServer,
    tmp_path: Path,
    made: Callable[[FaultyServer, Path], Harvest],
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    harvest = made(site, tree)
    assert harvest(dataset)["added"] == PICTURES
    gone, damaged, *_ = sorted((dataset.root / "images").rglob("*.jpg"))
    data = gone.read_bytes()
    gone.unlink()
    damaged.write_bytes(b"\0" * damaged.stat().st_size)
    tree.rename(tmp_path / "away")
    result = verify(dataset, repair=True, progress=Progress())
    assert (result["gone"], result["damaged"], result["repaired"]) == (1, 1, 0)
    (tmp_path / "away").rename(tree)
    assert harvest(dataset)["known"] == PICTURES - 2
    assert gone.read_bytes() == data
    assert {image.state for image in dataset.images.iterate()} == {"ok"}
    assert not list(dataset.rejections.iterate())
    assert verify(dataset, repair=False, progress=Progress())["sound"] == PICTURES
    assert harvest(dataset)["known"] == PICTURES
