"""The recipes of the five cases: sound as shipped, and each runs from its sites to a model.

Cut down by their limits and by the sizes of the training, with drawn people on a local server
that behaves as the four sites do, and with the clip of the sample.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from drawn_sites import DrawnSites, running_sites
from PIL import Image
from tools_for_tests import ROOT, pixels, run_cli, run_here

from gleanset import Dataset
from harvest.secrets import VARIABLES

RECIPES = ROOT / "datasets" / "recipes"
CASES = ("acg-characters", "who-am-i", "anime-vs-cartoon", "memes", "cats-vs-owls")
TO_FILL_IN = {"acg-characters": "your episodes", "memes": "your own photos"}
Table = dict[str, Any]

needs_browser = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="not installed: chromium or chromedriver",
)


@pytest.fixture(autouse=True)
def _logins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe is refused without the logins of its sites."""
    for name in VARIABLES.values():
        monkeypatch.setenv(name, "0" * 32)


def table(name: str) -> Table:
    return tomllib.loads((RECIPES / f"{name}.toml").read_text(encoding="utf-8"))


def labels(recipe: Table) -> dict[str, str]:
    """Every keyword of a recipe with the hint that it gives."""
    return {
        one if isinstance(one, str) else one[0]: part.get("label", one)
        if isinstance(one, str)
        else one[1]
        for part in recipe.get("keyword", [])
        for one in part["keywords"]
    }


def fill_in(recipe: Table, photos: Path) -> None:
    """What the first lines of these recipes ask of a person."""
    for frames in recipe.get("frames", []):
        frames["videos"] = [str(RECIPES.parent / "sample" / "episode.mp4")]
    for folder in recipe.get("folder", []):
        folder["path"] = str(photos)


def written(recipe: Table, folder: Path) -> Path:
    path = folder / "recipe.toml"
    path.write_text(tomli_w.dumps(recipe), encoding="utf-8")
    return path


def test_the_five_cases_are_there() -> None:
    assert {path.stem for path in RECIPES.glob("*.toml")} == {*CASES, "sample"}
    known = run_cli("pipeline.cli", "recipes", "--json").json["recipes"]
    assert set(known) == {*CASES, "sample"}


@pytest.mark.parametrize("name", CASES)
def test_a_shipped_recipe_is_checked_by_name_and_says_what_is_still_to_be_filled_in(
    name: str, tmp_path: Path
) -> None:
    ran = run_here("pipeline.cli", "run", name, "--simulate", "--json", cwd=tmp_path)
    if name in TO_FILL_IN:
        lines = (RECIPES / f"{name}.toml").read_text(encoding="utf-8").splitlines()
        line = next(number for number, text in enumerate(lines, start=1) if "CHANGE ME" in text)
        assert (ran.code, "Traceback" in ran.stderr) == (3, False)
        assert f"{name}.toml, line {line}: " in ran.stderr
        assert TO_FILL_IN[name] in ran.stderr
        assert f"gleanset recipes {name} > " in ran.stderr
    else:
        assert ran.code == 0, ran.stderr
        assert ran.json["stages"][-1] == "train"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", TO_FILL_IN)
def test_filled_in_it_is_sound(name: str, tmp_path: Path) -> None:
    recipe = table(name)
    (tmp_path / "photos").mkdir()
    fill_in(recipe, tmp_path / "photos")
    ran = run_here("pipeline.cli", "run", written(recipe, tmp_path), "--simulate", "--json")
    assert ran.code == 0, ran.stderr
    stages = ran.json["stages"]
    assert stages[-1] == "train"
    assert {"faces", "dedup", "accept hints", "split", "balance", "export"} < set(stages)


@pytest.fixture
def carry_out(tmp_path: Path) -> Callable[[Table], tuple[Table, Path]]:
    """Runs a recipe against the drawn sites: its result and the dataset folder."""

    def run(recipe: Table) -> tuple[Table, Path]:
        photos = tmp_path / "photos"
        photos.mkdir()
        for number in range(16):
            pixels(number, (160, 120)).save(photos / f"{number}.jpg")
        fill_in(recipe, photos)
        asked = {part["source"] for part in recipe["keyword"]}
        with running_sites(DrawnSites(labels(recipe), each=30)) as sites:
            ran = run_here(
                "pipeline.cli",
                "run",
                written(recipe, tmp_path),
                "--into",
                tmp_path / "made",
                *sites.options(tuple(sorted(asked))),
                "--allow-private",
                "--json",
                "-q",
                **sites.environment,
            )
        assert ran.code == 0, ran.stderr
        return ran.json, tmp_path / "made"

    return run


CarryOut = Callable[[Table], tuple[Table, Path]]


def cut_down(name: str, *, keywords: int, limit: int, options: Table) -> Table:
    recipe = table(name)
    [part] = recipe["keyword"]
    part["keywords"], part["limit"] = part["keywords"][:keywords], limit
    recipe["train"]["options"] = recipe["train"].get("options", {}) | options
    return recipe


def assert_trained(result: Table, root: Path, preset: str, classes: set[str]) -> Table:
    """The split is exported and judged, the model can be loaded; its settings."""
    splits = {name: result["split"][name] for name in ("train", "val", "test")}
    assert min(splits.values()) >= 1
    assert result["train"]["test"]["count"] == splits["test"]
    assert Path(result["report"]).is_file()
    assert result["serve"] == f"webapp serve -d {root}"
    with Dataset.open(root) as dataset:
        assert dataset.settings.web.title
    [run] = (root / "runs").iterdir()
    assert (run / "weights.safetensors").is_file()
    written_down = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    settings: Table = written_down["settings"]
    assert settings["preset"] == preset
    with Dataset.open(root) as dataset:
        assert {sample.label for sample in dataset.samples.iterate()} - {None} == classes
    tree = root / "exports" / "imagefolder" / "train"
    assert {folder.name for folder in tree.iterdir()} == classes
    return settings


def exported(root: Path) -> list[Path]:
    return sorted((root / "exports" / "imagefolder").rglob("*.jpg"))


SMALL_NETWORK = {"size": 32, "blocks": [8, 16], "dense": 16, "epochs": 2}


@pytest.mark.slow
@pytest.mark.long
def test_acg_characters(carry_out: CarryOut) -> None:
    recipe = cut_down("acg-characters", keywords=3, limit=12, options={"size": 32, "views": 1})
    names = {label for _, label in recipe["keyword"][0]["keywords"]}
    recipe["frames"][0]["limit"] = 4
    result, root = carry_out(recipe)
    results = [value for name, value in result.items() if name.startswith("pixiv ")]
    assert results[0]["added"] == 36
    frames = next(value for name, value in result.items() if name.startswith("frames "))
    assert 1 <= frames["added"] <= 4
    assert sum(result["accept hints"]["labels"].values()) >= 30
    assert result["accept hints"]["left"]["no hint"] >= 1, "faces of the clip wait for a person"
    assert_trained(result, root, "transfer", names)


@pytest.mark.slow
@needs_browser
@pytest.mark.long
def test_who_am_i(carry_out: CarryOut) -> None:
    options = {"size": 32, "views": 1, "epochs": 2, "classes_per_batch": 2}
    recipe = cut_down("who-am-i", keywords=2, limit=12, options=options)
    names = {label for _, label in recipe["keyword"][0]["keywords"]}
    result, root = carry_out(recipe)
    assert sum(result["accept hints"]["labels"].values()) >= 18
    settings = assert_trained(result, root, "triplet", names)
    assert settings["method"] == "triplet"
    assert 0 <= result["train"]["test"]["accuracy"] <= 1


@pytest.mark.slow
@pytest.mark.long
def test_anime_vs_cartoon(carry_out: CarryOut) -> None:
    recipe = cut_down("anime-vs-cartoon", keywords=16, limit=3, options=SMALL_NETWORK)
    result, root = carry_out(recipe)
    assert result["accept hints"]["labels"] == {"anime": 24, "cartoon": 24}
    settings = assert_trained(result, root, "simple", {"anime", "cartoon"})
    assert settings["colour"] == "grayscale"
    with Image.open(exported(root)[0]) as picture:
        assert (picture.size, picture.mode) == ((120, 120), "L")


@pytest.mark.slow
@pytest.mark.long
def test_memes(carry_out: CarryOut) -> None:
    options = {"size": 32, "epochs": 1, "warm_up": 1, "batch": 16}
    recipe = cut_down("memes", keywords=40, limit=1, options=options)
    result, root = carry_out(recipe)
    assert result["accept hints"]["labels"] == {"meme": 40, "photo": 16}
    train = {row["images"] for row in result["balance"]["classes"].values()}
    assert len(train) == 1, "as many memes as photos"
    settings = assert_trained(result, root, "finetune", {"meme", "photo"})
    assert settings["augment"] == "photos"
    with Image.open(exported(root)[0]) as picture:
        assert picture.size == (224, 224)


@pytest.mark.slow
@pytest.mark.long
def test_cats_vs_owls(carry_out: CarryOut) -> None:
    recipe = cut_down("cats-vs-owls", keywords=2, limit=20, options=SMALL_NETWORK)
    result, root = carry_out(recipe)
    assert result["flickr cat, owl"]["added"] == 40
    settings = assert_trained(result, root, "simple", {"cat", "owl"})
    assert (settings["colour"], settings["augment"]) == ("rgb", "photos")
    with Image.open(exported(root)[0]) as picture:
        assert (picture.size, picture.mode) == ((120, 120), "RGB")
