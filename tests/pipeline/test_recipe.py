"""Recipes: errors are reported before the first stage; a second run changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from tools_for_tests import run_here

from gleanset import Dataset
from gleanset.settings import WebSettings, read_settings

VALID = """
title = "Shapes"

[[folder]]
path = "pictures"
hints_from_folders = true

[crop]
detector = "whole"

[split]
ratio = "6:2:2"

[export]
to = "exports/tree"

[train]
options = { size = 32, blocks = "8,16", dense = 16, epochs = 2, augment = "none" }
"""
Write = Callable[[str], Path]


def command(*words: str | Path) -> tuple[int, str, str]:
    """Run `gleanset`; return exit code, stdout and stderr."""
    ran = run_here("pipeline.cli", *words)
    return ran.code, ran.stdout, ran.stderr


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of images of two shapes."""
    folder = tmp_path_factory.mktemp("shapes")
    for kind in ("disc", "square"):
        (folder / kind).mkdir()
        for number in range(10):
            draw_shape(kind, number).save(folder / kind / f"{number}.png")
    return folder


@pytest.fixture
def recipe(shapes: Path, tmp_path: Path) -> Write:
    """Return a function that writes a recipe next to these images."""
    (tmp_path / "pictures").symlink_to(shapes)

    def write(text: str) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def draw_shape(kind: str, seed: int) -> Image.Image:
    random = np.random.default_rng(seed + 100 * (kind == "disc"))
    noise = random.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((48, 48), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    left, top = (int(n) for n in random.integers(4, 20, 2))
    draw = pen.ellipse if kind == "disc" else pen.rectangle
    draw((left, top, left + 22, top + 22), fill="white")
    return image


@pytest.mark.parametrize(
    ("text", "code", "message_parts"),
    [
        (
            VALID.replace("hints_from_folders", "hints_from_folder"),
            3,
            "line 6 … hints_from_folders",
        ),
        (VALID.replace('title = "Shapes"', 'titel = "Shapes"\ntitle = "x"'), 3, "line 2 … 'title'"),
        (VALID.replace("[split]", "[splits]"), 3, "line 11 … 'split'"),
        (VALID.replace("[crop]", "[crop]\nmargin = 7.0"), 3, "line 9 … crop.margin"),
        (VALID + '[[keyword]]\nkeywords = ["a"]\nlimit = 0\n', 3, "line 21 … keyword.limit"),
        (
            VALID + '[[urls]]\nfile = "a"\nignore_robots = ["robots"]\n',
            3,
            "line 21 … ignore_robots",
        ),
        (
            VALID + '[[keyword]]\nkeywords = ["a"]\n\n[[keyword]]\nkeywords = ["b"]\nlimt = 5\n',
            3,
            "line 24 … 'limit'",
        ),
        (VALID.replace("[export]", "[export"), 3, "line 14"),
        (VALID + "[web]\nunknown_below = 60\n", 3, "line 20 … web.unknown_below"),
        (VALID.replace('"whole"', '"wohle"'), 2, "did you mean 'whole'"),
        (VALID.replace('"whole"', '"ensemble"'), 2, "--detector drawnface"),
        (VALID.replace('"whole"', '"animeface"\nthreshold = 0.1'), 2, "from 0.5 to 1"),
        (VALID.replace("6:2:2", "6:2"), 2, "6:0:2"),
        (VALID.replace("options = { size", 'preset = "simpel"\noptions = { size'), 3, "simple"),
        (VALID.replace("epochs = 2", "epoch = 2"), 2, "epochs"),
        (VALID + '[web]\nrun = "trasnfer"\n', 2, "transfer"),
        (VALID.replace('"pictures"', '"picture"'), 3, "picture"),
        (VALID + '[[urls]]\nfile = "no.txt"\n', 3, "no.txt"),
        (VALID + '[[frames]]\nvideos = ["no.mp4"]\n', 3, "no.mp4"),
        (VALID + '[[frames]]\nvideos = ["recipe.toml"]\nevery = "often"\n', 3, "5s"),
        (VALID + '[[frames]]\nvideos = ["*.mkv"]\n', 3, "nothing matches"),
        (VALID + '[[frames]]\nvideos = ["recipe.toml"]\nscenes = 2\nevery = "1s"\n', 2, "--scenes"),
        (VALID + '[[keyword]]\nkeywords = ["a"]\nsource = "bong"\n', 2, "bing"),
        (VALID + '[[keyword]]\nkeywords = ["a"]\noptions = { size = "giant" }\n', 2, "large"),
        # Keys of earlier versions.
        (VALID + '[balance]\nmethod = "copies"\n', 3, "'balance' … -o balance=weights"),
        (VALID + '[[keyword]]\nkeywords = ["a"]\nrange = "1-3"\n', 3, "'range' … --limit N"),
        (VALID + "[frames]\nvideos = []\ncrop_bars = true\n", 3, "'crop_bars' … ffmpeg"),
    ],
)
def test_invalid_recipe_is_rejected_with_line(
    recipe: Write,
    tmp_path: Path,
    text: str,
    code: int,
    message_parts: str,
) -> None:
    exit_code, _, err = command("run", recipe(text), "--into", tmp_path / "made")
    missing = [words for words in message_parts.split(" … ") if words not in err]
    assert (exit_code, "Traceback" in err, missing) == (code, False, []), err
    assert not (tmp_path / "made").exists()


def test_all_errors_are_reported_at_once(recipe: Write, tmp_path: Path) -> None:
    text = (
        VALID.replace('"whole"', '"wohle"').replace("6:2:2", "6:2").replace("epochs", "epoch")
        + '[[urls]]\nfile = "no.txt"\n[[keyword]]\nkeywords = ["a"]\nsource = "bong"\n'
    )
    code, _, err = command("run", recipe(text), "--into", tmp_path / "made", "-s")
    assert code == 3
    for message in ("'whole'", "6:0:2", "epochs", "no.txt", "bing"):
        assert message in err


TABLES_NEEDING_SPLIT = ("export", "train")


@pytest.mark.parametrize("part", TABLES_NEEDING_SPLIT)
def test_table_without_split_is_rejected(recipe: Write, tmp_path: Path, part: str) -> None:
    bare = VALID.partition("[split]")[0] + f"[{part}]\n"
    code, _, err = command("run", recipe(bare), "--into", tmp_path / "made", "--simulate")
    assert (code, f"no [split] in the recipe, needed for [{part}]" in err) == (
        2,
        True,
    ), err
    assert not (tmp_path / "made").exists()


def test_existing_split_is_reused(recipe: Write, tmp_path: Path) -> None:
    start, _, rest = VALID.partition("[split]")
    split = start + "[split]" + rest.partition("[export]")[0]
    assert command("run", recipe(split), "--into", tmp_path / "made")[0] == 0
    for part in TABLES_NEEDING_SPLIT:
        bare = recipe(start + f"[{part}]\n")
        assert command("run", bare, "--into", tmp_path / "made", "--simulate")[0] == 0


@pytest.mark.parametrize(
    "place",
    ["exports/../../x", "/tmp/x", ".", "cache/x", "catalog.sqlite"],
)
def test_export_outside_dataset_is_rejected(recipe: Write, tmp_path: Path, place: str) -> None:
    path = recipe(VALID.replace("exports/tree", place))
    for simulate in ([], ["--simulate"]):
        code, _, err = command("run", path, "--into", tmp_path / "made", *simulate)
        assert (code, "export.to" in err) == (2, True), err
    assert not (tmp_path / "made").exists()


def test_simulate_lists_stages(recipe: Write, tmp_path: Path) -> None:
    code, out, _ = command("run", recipe(VALID), "--into", tmp_path / "made", "-s", "--json")
    assert code == 0
    assert json.loads(out) == {
        "stages": ["folder pictures", "faces", "accept hints", "split", "export", "train"]
    }
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
def test_recipe_is_idempotent(
    recipe: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Run from another folder: paths in a recipe are relative to the recipe."""
    path = recipe(f'{VALID}\n[web]\ntitle = "Disc or square?"\n')
    root = tmp_path / "made"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def run() -> dict[str, dict[str, object]]:
        code, out, err = command("run", f"../{path.name}", "--into", "../made", "--json", "-q")
        assert (code, err) == (0, "")
        result: dict[str, dict[str, object]] = json.loads(out.splitlines()[-1])
        return result

    first = run()
    assert first["folder pictures"]["added"] == 20
    assert first["faces"]["images"] == 20
    assert first["accept hints"]["labels"] == {"disc": 10, "square": 10}
    assert sum(int(str(first["split"][name])) for name in ("train", "val", "test")) == 20
    assert first["export"]["exported"] == 20
    assert len(list((root / "exports/tree").rglob("*.png"))) == 20
    test = first["train"]["test"]
    assert isinstance(test, dict)
    assert test["count"] == first["split"]["test"]
    assert first["serve"] == "webapp serve -d ../made"

    second = run()
    assert second["folder pictures"]["added"] == 0
    assert second["faces"]["images"] == 0
    assert second["accept hints"]["accepted"] == 0
    assert first["split"] == second["split"] | {"looked_for_copies": {"compared": 20}}
    assert second["train"] == first["train"]
    with Dataset.open(root) as dataset:
        assert len(list(dataset.runs.iterate())) == 1
        assert len({decision.step for decision in dataset.journal.iterate()}) == 1
        assert (dataset.settings.name, dataset.settings.split.ratio) == ("Shapes", "6:2:2")
        assert dataset.settings.web.title == "Disc or square?"
    assert len(list((root / "runs").iterdir())) == 1


@pytest.mark.slow
def test_dedup_and_conversion(recipe: Write, tmp_path: Path) -> None:
    text = VALID.partition("[train]")[0].replace(
        "[export]", '[export]\nsize = "20x10"\nfile = "png"'
    )
    path = recipe(f"dedup = true\n{text}")
    code, out, err = command("run", path, "--into", tmp_path / "made", "--json", "-q")
    assert (code, err) == (0, "")
    result = json.loads(out.splitlines()[-1])
    assert result["dedup"]["conflicts"] == 0
    images = list((tmp_path / "made/exports/tree").rglob("*.png"))
    assert len(images) == result["export"]["exported"] == 20
    with Image.open(images[0]) as image:
        assert image.size == (20, 10)


def test_web_table_is_written_once(recipe: Write, tmp_path: Path) -> None:
    root, file = tmp_path / "made", tmp_path / "made" / "dataset.toml"
    sources = VALID.partition("[split]")[0]

    def run_with_title(title: str) -> str:
        path = recipe(sources + f'[web]\ntitle = "{title}"\n')
        code, _, err = command("run", path, "--into", root)
        assert code == 0, err
        return err

    (path := tmp_path / "plain.toml").write_text(sources, encoding="utf-8")
    assert command("run", path, "--into", root, "-q")[0] == 0
    edited = "description = 'plain'  # mine\n" + file.read_text(encoding="utf-8")
    file.write_text(edited, encoding="utf-8")
    # A dataset without the table gets it and keeps the user's text.
    assert "dataset.toml already has" not in run_with_title("Disc?")
    assert file.read_text(encoding="utf-8").startswith(edited)
    assert read_settings(root).web == WebSettings(title="Disc?")
    # A different table of the recipe changes nothing and is reported.
    assert "dataset.toml already has [web]" in run_with_title("Square?")
    assert read_settings(root).web == WebSettings(title="Disc?")
    assert "dataset.toml already has" not in run_with_title("Disc?")
