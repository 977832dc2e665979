"""Options of all harvests: several sources, filters, simulation, retry, recipes."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from faulty_server import NO_COUNTS, Behaviour
from small_bing import Shelf, SmallBing, load_images, open_client, search, shelf
from tools_for_tests import make_archive, picture, run_here, write_pictures

import harvest.cli
from gleanset import Dataset
from gleanset.errors import Blocked, NeedsLogin, RateLimited, UsageError
from gleanset.records import Candidate, Origin
from gleanset.request import Request
from gleanset.settings import NetSettings, Settings
from gleanset.work.progress import Progress
from harvest.downloads import DownloadRun, harvest_urls, retry
from harvest.request import FolderRequest, FramesRequest, KeywordRequest, UrlsRequest
from harvest.result_filter import parse_filter
from harvest.sources import Source
from harvest.sources.base import parse_size
from pipeline.maintenance.removals import RemovalPlan, remove_images
from pipeline.recipe import read_recipe
from pipeline.stages import Stages

SIMULATION = "simulation: nothing is changed"
ANSWERS = Path(__file__).parent / "answers" / "bing"


def added(result: dict[str, Any]) -> dict[str, int]:
    return {name: output["added"] for name, output in result["sources"].items()}


# Quotas


@pytest.mark.parametrize(
    ("a", "b", "limit", "expected"),
    [
        (range(20), range(20, 40), 10, (5, 5)),
        (range(20), range(20, 40), 7, (4, 3)),
        (range(3), range(20, 40), 10, (3, 7)),
        (range(20), range(20, 23), 10, (7, 3)),
        (range(20), range(0), 10, (10, 0)),
        (range(3), range(20, 22), 10, (3, 2)),
    ],
)
def test_unused_quota_passes_to_other_source(
    bing: SmallBing,
    dataset: Dataset,
    a: range,
    b: range,
    limit: int,
    expected: tuple[int, int],
) -> None:
    first = shelf(bing, "first", *a)
    second = shelf(bing, "second", *b)
    result = search(dataset, first, second, limit=limit)
    assert tuple(added(result).values()) == expected
    assert result["added"] == dataset.images.count() == min(limit, len({*a, *b}))
    assert first.queries == second.queries == ["thing"], "one search serves all shares"
    assert_nothing_is_left_to_do(bing, dataset, result, first, second, limit=limit)


def assert_nothing_is_left_to_do(
    bing: SmallBing,
    dataset: Dataset,
    result: dict[str, Any],
    *sources: Source,
    limit: int,
) -> None:
    before = len(bing.fetched)
    repeated = search(dataset, *sources, limit=limit)
    assert (len(bing.fetched), repeated["added"]) == (before, 0)
    assert repeated["known"] == result["added"] + result["duplicate"]


def test_refusal_of_one_source_is_reported(bing: SmallBing, dataset: Dataset) -> None:
    good = shelf(bing, "good", *range(9))
    bad = shelf(bing, "bad", 50, error=Blocked("captcha"))
    result = search(dataset, bad, good, limit=8)
    assert result["sources"]["bad"]["status"] == "captcha"
    assert result["sources"]["good"] == NO_COUNTS | {"status": "ok", "added": 7}
    assert result["added"] == 8


def test_refusal_of_all_sources_raises_error(bing: SmallBing, dataset: Dataset) -> None:
    blocked = shelf(bing, "a", error=Blocked("captcha"))
    keyless = shelf(bing, "b", error=NeedsLogin("no key"))
    with pytest.raises(Blocked):
        search(dataset, blocked, keyless)
    with pytest.raises(NeedsLogin):
        search(dataset, keyless, blocked)
    zero = search(dataset, keyless, shelf(bing, "c"))
    assert "no_results" not in zero
    assert zero["sources"]["b"]["status"] == "no key"
    assert zero["sources"]["c"]["status"] == "ok"


def test_rate_limited_source_is_not_asked_again(
    bing: SmallBing, dataset: Dataset
) -> None:
    tired = shelf(bing, "tired", 1, error=RateLimited("too often"))
    strict = shelf(bing, "strict", 2, error=Blocked("captcha"))
    result = search(dataset, tired, strict, words=("one", "two"))
    assert (tired.queries, strict.queries) == (["one"], ["one", "two"])
    assert result["keywords"]["two"]["status"] == "too often"


# Keywords from a file, options, ranges, URLs


def test_keywords_from_file(bing: SmallBing, tmp_path: Path) -> None:
    bing.results = {"cat": ["1.jpg"], "barn owl": ["2.jpg"], "dog": ["3.jpg"]}
    file = tmp_path / "words.txt"
    file.write_text("\ufeff# birds\nbarn owl\towl\n\n  dog  \ncat\n", encoding="utf-8")
    done = bing.harvest(tmp_path / "d", "cat", "-i", str(file))
    assert done.json["added"] == 3
    hints = {
        o.query: o.hint for image in load_images(tmp_path / "d") for o in image.origins
    }
    assert hints == {"cat": "cat", "barn owl": "owl", "dog": "dog"}


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ((), 2, "no keyword"),
        (("-i", "/nowhere.txt"), 3, "no file"),
        (("cat", "-o", "flickr.size=large"), 2, "flickr is not searched, only bing"),
        (("cat", "-o", "bnig.size=large"), 2, "did you mean bing.size?"),
        (("cat", "-o", "altavista.size=large"), 2, "unknown source: altavista"),
        (("cat", "-o", "bing.szie=large"), 2, "did you mean bing.size?"),
        (("cat", "-o", "size=large"), 2, "not SOURCE.KEY=VALUE"),
        (("cat", "--source", "bing,flikr"), 2, "did you mean flickr?"),
        (("cat", "--filter", "width > "), 2, "not an expression"),
        (("cat", "--ignore-robots", "everything"), 2, "everything"),
    ],
)
def test_invalid_arguments_fail_before_requests(
    bing: SmallBing, tmp_path: Path, line: tuple[str, ...], code: int, message: str
) -> None:
    done = bing.harvest(tmp_path / "d", *line)
    assert (done.code, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert bing.site.requests == []
    assert not (tmp_path / "d").exists()


def test_simulated_keyword_search_prints_urls(bing: SmallBing, tmp_path: Path) -> None:
    line = [
        w for w in bing.line(tmp_path / "d", "cat", "-s", "--limit=3") if w != "--json"
    ]
    done = run_here("harvest.cli", *line)
    urls = [f"  {bing.site.url}/p/{n}.jpg" for n in range(3)]
    assert (done.code, done.stdout.splitlines()) == (
        0,
        [SIMULATION, "candidates: 3", "paths:", *urls],
    )
    assert bing.fetched == []
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
def test_simulated_import_prints_paths(tmp_path: Path) -> None:
    tree = write_pictures(tmp_path / "tree", 1, first=1)
    archive = make_archive(tmp_path / "a.zip", {"in/2.jpg": picture(2)})
    line = ("harvest.cli", "folder", tree, archive, "-d", tmp_path / "d")
    done = run_here(*line, "-s")
    new = ["paths:", f"  {tree}/1.jpg", f"  {archive}:in/2.jpg"]
    assert done.stdout.splitlines() == [SIMULATION, "candidates: 2", *new]
    result = run_here(*line, "-s", "--hints-from-folders")
    hints = ["weak labels:", "  tree: 1, in: 1"]
    assert result.stdout.splitlines() == [SIMULATION, "candidates: 2", *hints, *new]
    assert run_here(*line, "-s", "-q")[1:] == ("", "")
    assert not (tmp_path / "d").exists()
    assert run_here(*line, "--json").json["added"] == 2
    assert run_here(*line, "-s", "-j").json == {
        "candidates": 0,
        "known": 2,
        "ignored": 0,
    }


def test_simulated_import_of_many_prints_counts_first(tmp_path: Path) -> None:
    tree = write_pictures(tmp_path / "tree", 9)
    line = ("harvest.cli", "folder", tree, "-d", tmp_path / "d", "-s")
    lines = run_here(*line).checked().stdout.splitlines()
    assert lines[:3] == [SIMULATION, "candidates: 9", "paths (--json lists all):"]
    assert lines[-1] == "  and 4 more"
    assert len(lines) == 9
    assert len(run_here(*line, "--json").json["paths"]) == 9


# Filters

CANDIDATE = Candidate(
    "https://example.com/a.jpg",
    Origin("bing", "a", title="An OWL", tags=("owl", "Night"), licence="by", ai=False),
    width=900,
    height=600,
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("width >= 900", True),
        ("600 < width <= 900", True),
        ("width / height == 1.5", True),
        ("'owl' in tags", True),
        ("'night' in lower(tags)", True),
        ("'owl' in lower(title)", True),
        ("len(tags) == 2", True),
        ("licence in ('by', 'cc0')", True),
        ("width in (900, 1000)", True),
        ("not ai", True),
        ("title and (ai or width > 5)", True),
        # Unknown values are None, and a filter that fails with one is not met.
        ("author == 'x'", False),
        ("len(author) > 2", False),
        ("author == None", True),
        ("rating != None", False),
        (f"{'9' * 200} * {'9' * 200} > width", True),
    ],
)
def test_filter_expressions(text: str, holds: bool) -> None:
    assert parse_filter(text)(CANDIDATE) is holds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "width >",
        "import os",
        "wdth > 1",
        "__import__('os').system('id')",
        "().__class__.__bases__[0]",
        "title.upper() == 'X'",
        "eval('1')",
        "getattr(title, 'x')",
        "len",
        "len(*tags)",
        "len(width)",
        "lower(5) == 5",
        "[x for x in tags]",
        "lambda: 1",
        "title[0]",
        "f'{title}'",
        "width if ai else height",
        "2 ** 99999999 > 1",
        "1 << 999999999 > 1",
        "'a' * 999999999 == title",
        "'%99999999999d' % width == title",
        "width > 'big'",
        "title < 3",
        "width > None",
        "width / 0 > 1",
        "(" * 240 + "1" + ")" * 240,
        "width > 1 or " * 50 + "ai",
        "9" * 501,
        "'\\N{nope}'",
        "\0",
    ],
)
def test_invalid_filter_raises_error(text: str) -> None:
    with pytest.raises(UsageError, match="--filter"):
        parse_filter(text)


# Retries


def fails(status: int, times: int) -> Behaviour:
    """Answer with a status at first, then as the site does."""
    return lambda h: (
        h.answer(status, b"no") if h.count() <= times else h.server.otherwise(h)
    )


def reasons(dataset: Dataset) -> dict[str, str]:
    return {
        r.item.rpartition("/")[2].partition("?")[0]: r.reason
        for r in dataset.rejections.iterate()
    }


def test_temporary_failures_are_retried_in_three_runs(
    bing: SmallBing, dataset: Dataset
) -> None:
    site = bing.site
    site.behaviours |= {
        "/p/1.jpg": fails(503, 99),
        "/p/2.jpg": fails(404, 1),
        "/p/3.jpg": fails(500, 1),
    }
    source = shelf(bing, "one", 0, 1, 2, 3)
    for expected in (1, 2, 3, 3, 3):
        search(dataset, source)
        assert site.hits["/p/1.jpg"] == expected
    assert (site.hits["/p/2.jpg"], site.hits["/p/3.jpg"]) == (1, 2)
    assert reasons(dataset) == {"1.jpg": "http 503", "2.jpg": "http 404"}


def test_retry_restores_provenance(
    bing: SmallBing, dataset: Dataset, tmp_path: Path
) -> None:
    site = bing.site
    site.behaviours |= {
        "/p/1.jpg": fails(403, 1),
        "/p/2.jpg": fails(404, 1),
        "/p/7.jpg": fails(404, 2),
        "/p/8.jpg": fails(404, 1),
    }
    urls = tmp_path / "l"
    urls.write_text(f"{site.url}/p/7.jpg\tseven\n{site.url}/p/8.jpg\teight\n")
    search(dataset, shelf(bing, "one", 0, 1, 2))
    harvest_urls(dataset, [urls], DownloadRun(open_client))
    assert set(reasons(dataset)) == {"1.jpg", "2.jpg", "7.jpg", "8.jpg"}

    first = retry(dataset, DownloadRun(open_client), reason="http 403")
    assert (first.added, first.rejected) == (1, 0)
    second = retry(dataset, DownloadRun(open_client))
    assert (second.added, second.rejected, second.reasons) == (2, 1, {"http 404": 1})
    assert reasons(dataset) == {"7.jpg": "http 404"}
    assert retry(dataset, DownloadRun(open_client)).added == 1
    assert retry(dataset, DownloadRun(open_client)).nothing_to_retry
    assert reasons(dataset) == {}
    origins = [o for image in dataset.images.iterate() for o in image.origins]
    [origin] = [o for o in origins if "/1.jpg" in str(o.url)]
    assert (origin.query, origin.hint) == ("thing", "thing")
    assert (origin.author, origin.source) == ("me", "one")
    assert {o.hint for o in origins if o.source == "urls"} == {"seven", "eight"}


def test_forgotten_image_is_not_downloaded_again(
    bing: SmallBing, dataset: Dataset
) -> None:
    source = shelf(bing, "one", 1, 2)
    search(dataset, source)
    [gone] = [
        i.sha256 for i in dataset.images.iterate() if "/1.jpg" in str(i.origins[0].url)
    ]
    remove_images(dataset, RemovalPlan((gone,), 0, 0, ()), "asked to")
    search(dataset, source)
    search(dataset, shelf(bing, "two", 1))
    before = len(bing.fetched)
    assert retry(dataset, DownloadRun(open_client)).nothing_to_retry
    assert (len(bing.fetched), dataset.images.count()) == (before, 1)
    assert set(reasons(dataset).values()) == {"forgotten"}


# Yields per source, checks, login


def test_yields_by_source_and_query(
    bing: SmallBing, dataset: Dataset, tmp_path: Path
) -> None:
    search(
        dataset,
        Shelf("one", [f"{bing.site.url}/p/{n}.jpg" for n in ("1a", "1b", "2", "x3")]),
    )
    search(dataset, shelf(bing, "two", 2, 4), words=("thing", "else"))
    urls = tmp_path / "l"
    urls.write_text(f"{bing.site.url}/p/x9.jpg\tnine\n{bing.site.url}/p/10.jpg\tten\n")
    harvest_urls(dataset, [urls], DownloadRun(open_client))
    rows = [
        (r.source, r.asked, r.added, r.duplicate, r.known, r.rejected, r.reasons)
        for r in dataset.fetches.list_yields()
    ]
    assert rows == [
        ("one", "thing", 2, 1, 0, 1, {"http 404": 1}),
        ("two", "else", 0, 0, 2, 0, {}),
        ("two", "thing", 1, 1, 0, 0, {}),
        ("urls", "nine", 0, 0, 0, 1, {"http 404": 1}),
        ("urls", "ten", 1, 0, 0, 0, {}),
    ]
    done = run_here("pipeline.cli", "list", "yields", "-d", dataset.root)
    assert len(done.stdout.splitlines()) == 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["pixiv", "-o", "pixiv.endpiont=http://x"], "did you mean pixiv.endpoint?"),
        (["pixiv", "-o", "flickr.endpoint=http://x"], "flickr is not searched"),
        (["bing"], "bing"),
    ],
)
def test_invalid_login_arguments(line: list[str], message: str) -> None:
    done = run_here("harvest.cli", "login", *line)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr


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
    pets = tmp_path / "pets"
    listed = tmp_path / "list.txt"
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


def test_keywords_without_a_label_get_that_of_the_request(tmp_path: Path) -> None:
    file = tmp_path / "more.txt"
    file.write_text("lynx\nbarn owl\towl\n", encoding="utf-8")
    keywords = ("tiger", ("house cat", "cat"), ("puma", ""))
    request = KeywordRequest(keywords=keywords, input=str(file), label="other")
    hints = {search.keyword: search.queries[0][1].hint for search in request.searches()}
    assert hints == {
        "tiger": "other",
        "house cat": "cat",
        "puma": "other",
        "lynx": "other",
        "barn owl": "owl",
    }


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("800x600", (800, 600)),
        ("0800×600", (800, 600)),
        ("800x600x", None),
        ("800xwidex600", None),
        ("x800x600", None),
        ("0x600", None),
        ("800", None),
        ("", None),
    ],
)
def test_size_of_results(text: str, size: tuple[int, int] | None) -> None:
    if size is None:
        with pytest.raises(ValueError, match="such as 800x600"):
            parse_size(text)
    else:
        assert parse_size(text) == size


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
    request = UrlsRequest(file=str(path), limit=2)
    assert request.run(dataset, simulate=True).to_json() == {
        "candidates": 2,
        "known": 2,
        "paths": ["https://a.example/1.jpg", "https://a.example/2.jpg"],
    }


def test_preview_matches_run(bing: SmallBing, dataset: Dataset) -> None:
    endpoint = {"bing": {"endpoint": bing.site.url}}
    request = KeywordRequest(
        keywords=("cat",), limit=3, options=endpoint, allow_private=True
    )
    printed_urls = request.run(dataset, simulate=True).paths
    assert dataset.images.count() == 0
    request.run(dataset)
    urls = {
        origin.url for image in dataset.images.iterate() for origin in image.origins
    }
    assert len(printed_urls) == 3
    assert urls == set(printed_urls)
