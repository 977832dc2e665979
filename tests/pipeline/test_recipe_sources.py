"""Source tables of a recipe take the same options and give the same errors as the commands."""

from __future__ import annotations

import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawn_sites import DrawnSites, running
from tools_for_tests import ROOT, Ran, picture, run_here

from gleanset import Dataset
from gleanset.work.progress import Progress
from harvest.secrets import VARIABLES
from pipeline.recipe import read_recipe
from pipeline.stages import Stages, run_recipe

START = 'title = "Words"\n[crop]\ndetector = "whole"\n'
Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _logins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the logins that recipes of these sites need."""
    for name in VARIABLES.values():
        monkeypatch.setenv(name, "0" * 32)


@pytest.fixture
def recipe(tmp_path: Path) -> Write:
    """Return a function that writes a recipe."""

    def write(text: str) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(START + text, encoding="utf-8")
        return path

    return write


def run(path: Path, *words: str, **environment: str) -> Ran:
    into = path.parent / "made"
    return run_here(
        "pipeline.cli",
        "run",
        path,
        "--into",
        into,
        "--allow-private",
        "--json",
        *words,
        **environment,
    )


def stages(path: Path, **arguments: Any) -> Stages:
    return Stages(read_recipe(path), path.parent, Progress(), **arguments)


def list_origins(root: Path) -> list[tuple[str, str, str | None]]:
    """Return source, query and weak label of every origin."""
    with Dataset.open(root) as dataset:
        origins = [origin for image in dataset.images.iterate() for origin in image.origins]
    return [(origin.source, origin.query or "", origin.hint) for origin in origins]


@pytest.mark.slow
def test_keywords_with_labels_over_two_sources(recipe: Write, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("# more\nbarn owl\towl\n", encoding="utf-8")
    path = recipe(
        '[[keyword]]\nsource = ["bing", "flickr"]\nlimit = 4\ninput = "more.txt"\n'
        'keywords = [["house cat", "cat"], "tiger"]\nfilter = "width > 100"\n'
        'options = { bing.size = "large", flickr.size = 1024 }\n'
        '[[keyword]]\nkeywords = ["tiger"]\nlimit = 6\n'
        '[[keyword]]\nkeywords = ["house cat"]\nfilter = "width > 1000"\nlabel = "none"\n'
    )
    labels = {"house cat": "cat", "tiger": "tiger", "barn owl": "owl"}
    with running(DrawnSites(labels, each=12)) as sites:
        ran = run(path, *sites.options(("bing", "flickr")), **sites.environment)
    assert ran.code == 0, ran.stderr
    results = ran.json
    two_sources = results["bing, flickr house cat, tiger, barn owl"]
    assert two_sources["added"] == 12
    assert results["bing house cat"]["added"] == 0, "no image is as wide"
    origins = list_origins(path.parent / "made")
    assert Counter(origins)["bing", "tiger", "tiger"] == 6, "some were known"
    result = {word: hint for _, word, hint in origins}
    assert result == labels
    assert Counter(source for source, word, _ in origins if word != "tiger") == {
        "bing": 4,
        "flickr": 4,
    }


def test_folder_may_be_archive_in_home(
    recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    with zipfile.ZipFile(tmp_path / "home" / "owls.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"owl/{number}.jpg", picture(number))
    path = recipe('[[folder]]\npath = "~/owls.zip"\nhints_from_folders = true\n')
    result = run_recipe(stages(path), tmp_path / "made", lambda _: None)
    assert result["accept hints"] == {
        "accepted": 3,
        "left_in_queue": 0,
        "labels": {"owl": 3},
        "left": {},
    }


INVALID_KEYWORD_TABLES = [
    ('keywords = ["  "]\n', 2, "no keyword"),
    ('keywords = ["a"]\nsource = []\n', 2, "no source"),
    ('keywords = ["a"]\nsource = ["bing", "bong"]\n', 2, "bing"),
    ('keywords = ["a"]\nfilter = "widht > 3"\n', 3, "did you mean 'width'"),
    (
        'keywords = ["a"]\nsource = ["bing", "flickr"]\noptions = { size = "large" }\n',
        2,
        'bing.size = "large"',
    ),
    ('keywords = ["a"]\noptions = { bing.siez = "large" }\n', 2, "did you mean bing.size"),
    ('keywords = [["a", "b", "c"]]\n', 3, "line 5"),
    ('keywords = ["a"]\nlabels = ["b"]\n', 3, "did you mean 'label'"),
    ('# CHANGE ME\nkeywords = ["a", ["CHANGE ME: a word", "b"]]\n', 3, "line 6: not filled in"),
]


@pytest.mark.parametrize(("table", "code", "message"), INVALID_KEYWORD_TABLES)
def test_invalid_keyword_table_is_rejected(
    recipe: Write, table: str, code: int, message: str
) -> None:
    path = recipe(f"[[keyword]]\n{table}")
    ran = run(path, "--simulate")
    assert (ran.code, message in ran.stderr, "Traceback" in ran.stderr) == (code, True, False), (
        ran.stderr
    )
    assert not (path.parent / "made").exists()


@pytest.mark.parametrize(
    ("table", "code", "missing"),
    [
        ('[[keyword]]\nkeywords = ["a"]\nsource = ["flickr"]\n', 5, "harvest login flickr"),
        ('[[keyword]]\nkeywords = ["a"]\nsource = ["bing", "pixiv"]\n', 5, "login pixiv"),
        ('[split]\n[train]\npreset = "simple"\n', 6, "[train]"),
        ('[[frames]]\nvideos = ["clip.mp4"]\n', 6, "no ffmpeg"),
        ('[[episodes]]\nvideos = ["https://example.org/v"]\n', 6, "no ffmpeg"),
        ('[[frames]]\nvideos = ["https://example.org/v"]\n', 6, "need the package yt-dlp"),
    ],
)
def test_missing_component_is_reported_first(
    recipe: Write,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    code: int,
    missing: str,
) -> None:
    for name in VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(recipe("").parent))
    monkeypatch.setattr("baseline.extras.TORCH_PACKAGES", ("no_such_package",))
    monkeypatch.setitem(sys.modules, "yt_dlp", None)
    path = recipe(table)
    (path.parent / "clip.mp4").touch()
    if "ffmpeg" in missing:
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "no-such-ffmpeg")
    ran = run(path)
    assert (ran.code, missing in ran.stderr) == (code, True), ran.stderr
    assert not (path.parent / "made").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[[folder]]\npath = "recipe.toml"\n', "recipe.toml"),
        ('[[folder]]\npath = "~nobody-of-that-name/x"\n', "write the whole path"),
        ('[[urls]]\nfile = "."\n', "there is no file"),
        ('[export]\nlicenses = ["CC0"]\n', "did you mean 'licences'"),
        ('[train]\npreset = "transfer"\noptions = { blocks = [8] }\n', "blocks"),
    ],
)
def test_invalid_table_is_rejected(recipe: Write, table: str, message: str) -> None:
    ran = run(recipe(table), "--simulate")
    assert ran.code == 3
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.slow
def test_recipe_is_found_by_name(tmp_path: Path) -> None:
    ran = run_here("pipeline.cli", "run", "cats-and-owls", "-s", cwd=tmp_path)
    assert ran.code == 2
    assert "did you mean cats-vs-owls" in ran.stderr
    printed = run_here("pipeline.cli", "recipes", "cats-vs-owls").stdout
    # A file of that name in the current folder comes first.
    (tmp_path / "cats-vs-owls").write_text(printed.replace('"cat"', '"dog"'), encoding="utf-8")
    own_file = run_here("pipeline.cli", "run", "cats-vs-owls", "-s", "--json", cwd=tmp_path)
    assert own_file.json["stages"][0] == "flickr dog, owl"


@pytest.mark.slow
def test_from_stage_skips_sources(recipe: Write, tmp_path: Path) -> None:
    for word in ("cat", "owl"):
        (tmp_path / "pictures" / word).mkdir(parents=True)
        for number in range(6):
            data = picture(number + 6 * (word == "owl"), (120, 90))
            (tmp_path / "pictures" / word / f"{number}.jpg").write_bytes(data)
    path = recipe(
        '[[folder]]\npath = "pictures"\nhints_from_folders = true\n'
        '[split]\nratio = "4:1:1"\n[export]\nto = "tree"\n'
    )
    missing = run(path, "--from", "split")
    assert (missing.code, "Traceback" in missing.stderr) == (3, False)
    assert not (tmp_path / "made").exists()

    first = run(path).json
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    again = run(path, "--from", "split")
    assert again.code == 0, again.stderr
    assert set(again.json) == {"split", "export", "report"}
    assert again.json["split"]["train"] == first["split"]["train"] == 8
    table = run(path, "--from", "train", "--simulate")
    assert table.code == 2
    assert "faces, accept hints, split, export" in table.stderr


def test_docs_example_is_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    example = page.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "example.toml").write_text(example, encoding="utf-8")
    read = read_recipe(tmp_path / "example.toml")
    [search] = read.keyword
    (tmp_path / "words.txt").write_text("# none\n", encoding="utf-8")
    request = Stages(read, tmp_path, Progress()).request(search)
    queries = [query for search_part in request.searches() for _, query in search_part.queries]
    assert [(query.text, query.hint) for query in queries] == [
        ("rin toyama", "new-game"),
        ("takimoto hifumi", "hifumi"),
    ]
    assert request.options == {"bing": {"size": "large"}}
    assert read.train is not None
    assert read.train.texts() == {"epochs": "20", "colour": "rgb", "blocks": "16,32"}
    assert all(f"`{path.stem}`" in page for path in (ROOT / "datasets/recipes").glob("*-*.toml"))


@pytest.mark.slow
def test_stages_run_after_incomplete_search(recipe: Write) -> None:
    path = recipe('[[keyword]]\nkeywords = ["cat"]\nlimit = 40\n')
    with running(DrawnSites({"cat": "cat"}, each=38)) as sites:
        answer = sites.otherwise
        sites.otherwise = lambda h: h.answer(200) if "first=36" in h.path else answer(h)
        ran = run(path, *sites.options(("bing",)), **sites.environment)
    assert ran.code == 4
    assert "search incomplete: bing 'cat'" in ran.stderr
    assert ran.json["bing cat"]["added"] == 35, ran.json["bing cat"]
    assert "faces" in ran.json
