"""Recipes of the five use cases are valid and run to a model, and so do real images.

They run with smaller limits and networks, on drawn people from a local server that behaves like
the four sites, and on the sample's clip.
"""

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from drawn_sites import DrawnSites
from tools_for_tests import ROOT, run_here, running

from gleanset import Dataset

RECIPES = ROOT / "datasets" / "recipes"
CASES = ("acg-characters", "who-am-i", "anime-vs-cartoon", "memes", "cats-vs-owls")
PLACEHOLDERS = {"acg-characters": "your episodes", "memes": "your own photos"}
Table = dict[str, Any]
pytestmark = pytest.mark.usefixtures("site_logins")


def load_recipe(name: str) -> Table:
    return tomllib.loads((RECIPES / f"{name}.toml").read_text(encoding="utf-8"))


def keyword_labels(recipe: Table) -> dict[str, str]:
    """Map the keywords of a recipe to their weak labels."""
    return {
        keyword if isinstance(keyword, str) else keyword[0]: part.get("label", keyword)
        if isinstance(keyword, str)
        else keyword[1]
        for part in recipe.get("keyword", [])
        for keyword in part["keywords"]
    }


def fill_placeholders(recipe: Table, photos: Path) -> None:
    """Set the paths that a recipe leaves to the user."""
    for frames in recipe.get("frames", []):
        frames["videos"] = [str(RECIPES.parent / "sample" / "episode.mp4")]
    for folder in recipe.get("folder", []):
        folder["path"] = str(photos)


def write_recipe(recipe: Table, folder: Path) -> Path:
    path = folder / "recipe.toml"
    path.write_text(tomli_w.dumps(recipe), encoding="utf-8")
    return path


def test_shipped_recipes_are_listed() -> None:
    recipes = run_here("pipeline.cli", "recipes", "--json").json["recipes"]
    assert (
        set(recipes)
        == {path.stem for path in RECIPES.glob("*.toml")}
        == {*CASES, "sample"}
    )


@pytest.mark.parametrize("name", CASES)
def test_shipped_recipe_is_found_by_name(name: str, tmp_path: Path) -> None:
    ran = run_here("pipeline.cli", "run", name, "--simulate", "--json", cwd=tmp_path)
    if name in PLACEHOLDERS:
        lines = (RECIPES / f"{name}.toml").read_text(encoding="utf-8").splitlines()
        line = next(
            number for number, text in enumerate(lines, start=1) if "CHANGE ME" in text
        )
        assert (ran.code, "Traceback" in ran.stderr) == (3, False)
        assert f"{name}.toml, line {line}: " in ran.stderr
        assert PLACEHOLDERS[name] in ran.stderr
        assert f"gleanset recipes {name} > " in ran.stderr
    else:
        assert ran.code == 0, ran.stderr
        assert ran.json["stages"][-1] == "train"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_completed_recipe_is_valid(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    (tmp_path / "photos").mkdir()
    fill_placeholders(recipe, tmp_path / "photos")
    ran = run_here(
        "pipeline.cli", "run", write_recipe(recipe, tmp_path), "--simulate", "--json"
    )
    assert ran.code == 0, ran.stderr
    stages = ran.json["stages"]
    assert stages[-1] == "train"
    assert {"faces", "dedup", "accept hints", "split", "export"} < set(stages)


@pytest.mark.slow
@pytest.mark.long
def test_acg_characters(tmp_path: Path) -> None:
    recipe = load_recipe("acg-characters")
    root = tmp_path / "made"
    [search], [frames] = recipe["keyword"], recipe["frames"]
    search["keywords"] = search["keywords"][:3]
    search["limit"] = 12
    frames["limit"] = 4
    recipe["train"]["options"] = recipe["train"].get("options", {}) | {
        "size": 32,
        "views": 1,
    }
    names = {label for _, label in search["keywords"]}
    fill_placeholders(recipe, tmp_path)
    line = ["run", write_recipe(recipe, tmp_path), "--into", root, "--allow-private"]
    with running(DrawnSites(keyword_labels(recipe), each=30)) as sites:
        options = sites.options((search["source"],))
        ran = run_here(
            "pipeline.cli", *line, *options, "--json", "-q", **sites.environment
        )
    assert ran.code == 0, ran.stderr
    result = ran.json
    by_source = {
        name.split()[0]: value for name, value in result.items() if " " in name
    }
    assert by_source["pixiv"]["added"] == 36
    assert 1 <= by_source["frames"]["added"] <= 4
    hints = result["accept hints"]
    assert sum(hints["labels"].values()) >= 30
    assert hints["left"]["no weak label"] >= 1, "faces of the clip have no weak label"
    splits = {name: result["split"][name] for name in ("train", "val", "test")}
    assert min(splits.values()) >= 1
    assert result["train"]["test"]["count"] == splits["test"]
    assert Path(result["report"]).is_file()
    assert result["serve"] == f"webapp serve -d {root}"
    [run] = (root / "runs").iterdir()
    assert (
        json.loads((run / "settings.json").read_bytes())["settings"]["preset"]
        == "transfer"
    )
    with Dataset.open(root) as dataset:
        assert dataset.settings.web.title
        assert {sample.label for sample in dataset.samples.iterate()} - {None} == names
    tree = root / "exports" / "imagefolder" / "train"
    assert {folder.name for folder in tree.iterdir()} == names


CLASSES = ("hazuki_shizuku", "sakura_nene", "toyama_rin")
IMAGES_PER_CLASS = 6


def command(package: str, *arguments: object) -> Table:
    return run_here(f"{package}.cli", *map(str, arguments), "--json").checked().json


@pytest.mark.slow
def test_real_images_train_a_model(shared_data: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    root = tmp_path / "dataset"
    for name in CLASSES:
        (images / name).mkdir(parents=True)
        for file in sorted((shared_data / "characters" / name).iterdir())[
            :IMAGES_PER_CLASS
        ]:
            shutil.copy(file, images / name)
    added = command("harvest", "folder", images, "--hints-from-folders", "-d", root)
    assert added["added"] == len(CLASSES) * IMAGES_PER_CLASS
    clip = shared_data / "videos" / "big_buck_bunny_0_30.webm"
    frames = command(
        "harvest", "frames", clip, "--every", "6s", "--to", "9s", "-d", root
    )
    assert frames["added"] + sum(frames["left_out"].values()) == 2
    result = command("facecrop", "run", "--detector", "drawnface", "-d", root)
    assert result["images"] == added["added"] + frames["added"]
    assert result["faces"] >= 14
    assert set(command("labeler", "accept", "hints", "-d", root)["labels"]) == set(
        CLASSES
    )
    command("labeler", "split", "--ratio", "2:1:1", "-d", root)
    test_count = sum(
        command("pipeline", "status", "-d", root)["splits"]["test"].values()
    )
    options = ["-o", "epochs=2", "-o", "size=32", "-o", "blocks=8,16"]
    trained = command("baseline", "train", "--preset", "simple", *options, "-d", root)
    assert trained["test"]["count"] == test_count >= 2
    evaluation = command("baseline", "evaluate", "-d", root)
    assert evaluation["test"]["accuracy"] == trained["test"]["accuracy"]
    assert sum(map(sum, evaluation["test"]["confusion"])) == test_count
