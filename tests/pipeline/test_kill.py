"""kill -9 of a recipe: nothing is lost or done twice."""

import json
import random
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from tools_for_tests import eventually, is_running, run_here, start_cli

from pipeline.demo import SampleSite

pytest.importorskip("torch", reason="the recipe trains: needs the train extra")

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
KINDS = ("images", "faces", "samples", "decisions", "groups", "rejections", "runs")
RECIPE = f"""
title = "Killed"
[[folder]]
path = "pictures"
hints_from_folders = true
[[urls]]
file = "urls.txt"
label = "rei"
[[keyword]]
keywords = ["hana"]
limit = 2
[[frames]]
videos = ["{DATASETS / "sample" / "episode.mp4"}"]
every = "3s"
end = "7s"
[split]
ratio = "2:1:1"
[export]
"""
QUICK = """
[crop]
detector = "whole"
"""
TRAIN = """
[train]
options = { size = 32, epochs = 3, blocks = "8,16" }
"""


@pytest.fixture(scope="module")
def site() -> Iterator[SampleSite]:
    with SampleSite(DATASETS / "sample") as running:
        yield running


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, site: SampleSite) -> Path:
    """Return a recipe next to its images, some broken, and its URLs; `trained.toml` also trains."""
    folder = tmp_path_factory.mktemp("recipe")
    files = sorted((DATASETS / "sample" / "pictures").glob("*.jpg"))[:7]
    for number, file in enumerate(files):
        target = folder / "pictures" / ("sora", "yuki")[number % 2] / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        data = file.read_bytes()
        target.write_bytes(data[: len(data) // 3] if number % 7 == 6 else data)
    results = json.loads((DATASETS / "sample" / "site.json").read_text())["results"][
        "sora"
    ]
    urls = [f"{site.address}{result['path']}" for result in results[:4]]
    (folder / "urls.txt").write_text("\n".join([*urls, "not a url", ""]))
    path = folder / "recipe.toml"
    path.write_text(RECIPE + QUICK)
    path.with_name("trained.toml").write_text(RECIPE + TRAIN)
    return path


def run_arguments(recipe: Path, into: Path, site: SampleSite) -> list[str]:
    """Return the command's arguments, with the site in place of Bing."""
    bing = f"bing.endpoint={site.address}"
    return [
        "run",
        str(recipe),
        "--into",
        str(into),
        "-q",
        "--allow-private",
        "-o",
        bing,
    ]


def start(recipe: Path, into: Path, site: SampleSite) -> subprocess.Popen[str]:
    arguments = run_arguments(recipe, into, site)
    return start_cli("pipeline.cli", *arguments, environment={"OMP_NUM_THREADS": "1"})


def run_recipe(recipe: Path, into: Path, site: SampleSite) -> None:
    run_here("pipeline.cli", *run_arguments(recipe, into, site)).checked()


def listing(root: Path) -> dict[str, list[dict[str, Any]]]:
    """Return what `gleanset list` prints, without times, run ids and the folder."""
    result: dict[str, list[dict[str, Any]]] = {}
    for kind in KINDS:
        ran = run_here("pipeline.cli", "list", kind, "-d", root).checked()
        result[kind] = [
            json.loads(line) for line in ran.stdout.replace(f"{root}/", "").splitlines()
        ]
    for decision in result["decisions"]:
        del decision["at"]
    for run in result["runs"]:
        del run["id"], run["started"], run["ended"]
    return result


def stray_files(root: Path) -> list[Path]:
    """Return files that belong to no dataset."""
    expected_names = {
        "images",
        "crops",
        "exports",
        "runs",
        "dataset.toml",
        "catalog.sqlite",
        "report.html",
    }
    odd = [
        p for p in root.iterdir() if p.name not in expected_names and p.name != "cache"
    ]
    odd += [
        p for p in root.rglob("*") if "partial" in p.name or p.name.endswith("-old")
    ]
    scratch = root / "cache" / "scratch"
    return odd + (
        [p for p in scratch.rglob("*") if p.is_file()] if scratch.exists() else []
    )


def assert_catalogue_sound(root: Path) -> None:
    if (root / "catalog.sqlite").exists():
        catalogue = sqlite3.connect(root / "catalog.sqlite")
        assert catalogue.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert catalogue.execute("PRAGMA foreign_key_check").fetchall() == []
        catalogue.close()


@pytest.mark.slow
def test_killed_recipe_resumes_with_same_result(
    tmp_path: Path, recipe: Path, site: SampleSite
) -> None:
    run_recipe(recipe, tmp_path / "undisturbed", site)
    process = start(recipe, tmp_path / "killed", site)
    assert eventually(
        lambda: count_images(tmp_path / "killed") > 0 < len(descendants(process.pid))
    )
    children = descendants(process.pid)
    process.kill()
    process.wait()
    assert eventually(lambda: not any(map(is_running, children))), children
    assert_catalogue_sound(tmp_path / "killed")
    run_recipe(recipe, tmp_path / "killed", site)
    assert_same_result(tmp_path)


@pytest.mark.long
def test_training_recipe_killed_20_times(
    tmp_path: Path, recipe: Path, site: SampleSite
) -> None:
    recipe = recipe.with_name("trained.toml")
    began = time.monotonic()
    run_recipe(recipe, tmp_path / "undisturbed", site)
    duration = time.monotonic() - began
    rng = random.Random(0)
    for _ in range(20):
        process = start(recipe, tmp_path / "killed", site)
        # Most of the work is done in the first runs; late kills interrupt the training.
        time.sleep(rng.uniform(0.5, 0.5 + duration / 2))
        process.kill()
        process.wait()
        assert_catalogue_sound(tmp_path / "killed")
    run_recipe(recipe, tmp_path / "killed", site)
    assert_same_result(tmp_path)
    assert len(listing(tmp_path / "killed")["runs"]) == 1


def count_images(root: Path) -> int:
    with suppress(sqlite3.OperationalError):  # there is no catalogue yet
        address = f"file:{root / 'catalog.sqlite'}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as catalogue:
            return int(catalogue.execute("SELECT count(*) FROM image").fetchone()[0])
    return 0


def assert_same_result(folder: Path) -> None:
    undisturbed = listing(folder / "undisturbed")
    killed = listing(folder / "killed")
    for kind in KINDS:
        assert killed[kind] == undisturbed[kind], kind
    assert len(undisturbed["decisions"]) > 6
    assert undisturbed["rejections"]
    assert stray_files(folder / "killed") == []
    assert exported(folder / "killed") == exported(folder / "undisturbed")


def exported(root: Path) -> dict[str, bytes]:
    tree = root / "exports" / "imagefolder"
    return {
        path.relative_to(tree).as_posix(): path.read_bytes()
        for path in sorted(tree.rglob("*.jpg"))
    }


def descendants(pid: int) -> list[int]:
    result: list[int] = []
    for task in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = task.read_text().rsplit(") ", 1)[1].split()
        except (OSError, IndexError):
            continue
        if int(fields[1]) == pid:
            child = int(task.parent.name)
            result += [child, *descendants(child)]
    return result
