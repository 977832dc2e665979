"""Requests are equal on the command line, in a recipe and in a preview."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

import pytest
from faulty_server import FaultyServer
from small_bing import SmallBing

import harvest.cli
from gleanset import Dataset
from gleanset.errors import UsageError
from gleanset.request import Request
from gleanset.settings import NetSettings, Settings
from gleanset.work.progress import Progress
from harvest.request import FolderRequest, FramesRequest, KeywordRequest, UrlsRequest
from pipeline.recipe import read_recipe
from pipeline.stages import Stages


def parse_command_line(words: Iterable[str]) -> Request:
    """Return the request that the real `harvest` makes of these arguments."""
    program, *rest = words
    assert program == "harvest"
    requests: list[Request] = []

    def note(_: object, request: Request, **__: object) -> None:
        requests.append(request)

    with patch.object(harvest.cli, "carry_out", note):
        harvest.cli.commands.main(rest, standalone_mode=False)
    (request,) = requests
    return request


RECIPE = """
title = "Same"
[[folder]]
path = "pets"
label = "  house   cat "
[[urls]]
file = "list.txt"
label = "cat"
limit = 7
[[keyword]]
keywords = ["owl", "-x"]
source = ["bing", "flickr"]
limit = 9
filter = "width > 3"
label = "bird"
input = "list.txt"
options = { bing.size = "large" }
ignore_robots = ["noai"]
[[frames]]
videos = ["ep1.mkv"]
every = "5s"
size = "960x540"
label = "rin"
"""


def test_recipe_and_command_line_give_equal_requests(tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    (tmp_path / "list.txt").write_text("x\n")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    recipe = read_recipe(tmp_path / "recipe.toml")
    sources = Stages(recipe, tmp_path, Progress(), options={"bing.size": "small"})
    pets, listed = tmp_path / "pets", tmp_path / "list.txt"
    for request, line in (
        (sources.request(recipe.folder[0]), f"folder {pets} --label 'house cat'"),
        (sources.request(recipe.urls[0]), f"urls {listed} --label cat --limit 7"),
        (
            sources.request(recipe.keyword[0]),
            f"keyword --source bing,flickr --limit 9 --filter 'width > 3' -i {listed} "
            "--label bird -o bing.size=small --ignore-robots noai -- owl -x",
        ),
        (
            sources.request(recipe.frames[0]),
            f"frames {tmp_path}/ep1.mkv --every 5s --size 960x540 --label rin",
        ),
    ):
        assert request == parse_command_line(["harvest", *shlex.split(line)])


def test_dataset_settings_limit_client(dataset: Dataset) -> None:
    dataset.settings = Settings(net=NetSettings(delay=0.5, per_host=2, seconds=9))
    for request in (UrlsRequest(file="x"), KeywordRequest(keywords=("cat",))):
        with request.client(dataset)() as client:
            limits = client.limits
        assert (limits.delay, limits.per_host, limits.total_timeout) == (0.5, 2, 9)


def test_invalid_label_raises_error() -> None:
    for make in (
        lambda: KeywordRequest(keywords=("a",), label="a/b"),
        lambda: KeywordRequest(keywords=(("a", "a/b"),)),
        lambda: UrlsRequest(file="x", label="a/b"),
        lambda: FolderRequest(path="x", label="a/b"),
        lambda: FramesRequest(videos=("x",), label="a/b"),
    ):
        with pytest.raises(UsageError, match="not a class name"):
            make()


def test_preview_lists_duplicate_urls_once(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("https://a.example/1.jpg\n" * 3 + "https://a.example/2.jpg\n")
    printed_urls: list[str] = []
    request = UrlsRequest(file=str(path), limit=2)
    result = request.run(dataset, show=printed_urls.append)
    assert printed_urls == ["https://a.example/1.jpg", "https://a.example/2.jpg"]
    assert result == {"candidates": 2, "known": 2}


def test_preview_matches_run(site: FaultyServer, dataset: Dataset) -> None:
    bing = SmallBing(site)
    bing.results["cat"] = [f"{n}.jpg" for n in range(5)]
    endpoint = {"bing": {"endpoint": site.url}}
    request = KeywordRequest(keywords=("cat",), limit=3, options=endpoint, allow_private=True)
    printed_urls: list[str] = []
    request.run(dataset, show=printed_urls.append)
    assert dataset.images.count() == 0
    request.run(dataset)
    urls = {origin.url for image in dataset.images.iterate() for origin in image.origins}
    assert len(printed_urls) == 3
    assert urls == set(printed_urls)
