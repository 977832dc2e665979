"""Recipes: errors come before the first stage; sources take the options of the commands."""

import shlex
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_sites import DrawnSites
from PIL import Image, ImageDraw
from tools_for_tests import (
    ROOT,
    Ran,
    drawn_video,
    make_archive,
    picture,
    run_here,
    running,
)

from gleanset import Dataset
from gleanset.db.duplicates import SAME, Pairs, PairVerdict
from gleanset.db.journal import Choice
from gleanset.settings import CropSettings, Settings, WebSettings, read_settings
from gleanset.work.progress import Progress
from harvest.secrets import VARIABLES
from pipeline.recipe import ExportPart, read_recipe
from pipeline.stages import Stages, run_recipe

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
START = 'title = "Words"\n[crop]\ndetector = "whole"\n'
KEYWORD = '[[keyword]]\nkeywords = ["a"]\n'
SIZED = START + KEYWORD + 'source = ["bing", "flickr"]\noptions.size = "large"\n'
Write = Callable[[str], Path]
pytestmark = pytest.mark.usefixtures("site_logins")


def run(path: Path, *words: str, as_json: bool = True, **environment: str) -> Ran:
    """Run a recipe into the folder `made` next to it."""
    made = path.parent / "made"
    alone = ("--into", made, "--allow-private", *(("--json",) if as_json else ()))
    return run_here("pipeline.cli", "run", path, *alone, *words, **environment)


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
            VALID.replace("from_folders", "from_folder"),
            3,
            "line 6 … hints_from_folders",
        ),
        (
            VALID.replace('title = "Shapes"', 'titel = "Shapes"\ntitle = "x"'),
            3,
            "line 2 … 'title'",
        ),
        (VALID.replace("[split]", "[splits]"), 3, "line 11 … 'split'"),
        (VALID.replace("[crop]", "[crop]\nmargin = 7.0"), 3, "line 9 … crop.margin"),
        (VALID + KEYWORD + "limit = 0\n", 3, "line 21 … keyword.limit"),
        (
            VALID + '[[urls]]\nfile = "a"\nignore_robots = ["x"]\n',
            3,
            "line 21 … ignore_robots",
        ),
        (VALID.replace("[export]", "[export"), 3, "line 14"),
        (VALID + "[web]\nunknown_below = 60\n", 3, "line 20 … web.unknown_below"),
        (VALID.replace('"whole"', '"wohle"'), 2, "did you mean 'whole'"),
        (VALID.replace('"whole"', '"animeface"\nthreshold = 0.1'), 2, "from 0.5 to 1"),
        (
            VALID.replace("options = { size", 'preset = "simpel"\noptions = { size'),
            3,
            "simple",
        ),
        (VALID + '[[urls]]\nfile = "no.txt"\n', 3, "no.txt"),
        (VALID + '[[frames]]\nvideos = ["*.mkv"]\n', 3, "nothing matches"),
        (
            VALID + '[[frames]]\nvideos = ["recipe.toml"]\nscenes = 2\nevery = "1s"\n',
            2,
            "--scenes",
        ),
        (VALID + KEYWORD + 'source = "bong"\n', 2, "bing"),
        (START + '[[keyword]]\nkeywords = ["  "]\n', 2, "no keyword"),
        (START + '[[keyword]]\nkeywords = [["a", "b", "c"]]\n', 3, "line 5"),
        (
            START + '[[keyword]]\n\nkeywords = ["a", ["CHANGE ME", "b"]]\n',
            3,
            "6: not filled in",
        ),
        (
            START + """[[keyword]]\nkeywords = ["#1 girl's", 'CHANGE ME'] # it's"\n""",
            3,
            "5: not filled in",
        ),
        (VALID + KEYWORD + "\n" + KEYWORD + "limt = 5\n", 3, "line 24 … 'limit'"),
        (VALID.replace("6:2:2", "6:2"), 2, "6:0:2"),
        (VALID.replace("epochs = 2", "epoch = 2"), 2, "epochs"),
        (VALID + '[web]\nrun = "trasnfer"\n', 2, "transfer"),
        (VALID.replace('"pictures"', '"picture"'), 3, "picture"),
        (VALID + '[[frames]]\nvideos = ["no.mp4"]\n', 3, "no.mp4"),
        (VALID + '[[frames]]\nvideos = ["recipe.toml"]\nevery = "often"\n', 3, "5s"),
        (VALID + KEYWORD + 'options = { size = "giant" }\n', 2, "large"),
        (START + KEYWORD + "source = []\n", 2, "no source"),
        (START + KEYWORD + 'labels = ["b"]\n', 3, "did you mean 'label'"),
        (SIZED, 2, 'bing.size = "large"'),
        (
            START + '[[folder]]\npath = "~nobody-of-that-name/x"\n',
            3,
            "write the whole path",
        ),
        (
            START + '[train]\npreset = "transfer"\noptions = { blocks = [8] }\n',
            3,
            "blocks",
        ),
    ],
)
def test_invalid_recipe_is_rejected_with_line(
    recipe: Write, tmp_path: Path, text: str, code: int, message_parts: str
) -> None:
    ran = run(recipe(text))
    missing = [words for words in message_parts.split(" … ") if words not in ran.stderr]
    assert (ran.code, "Traceback" in ran.stderr, missing) == (code, False, []), (
        ran.stderr
    )
    assert not (tmp_path / "made").exists()


def test_all_errors_are_reported_at_once(recipe: Write) -> None:
    text = (
        VALID.replace('"whole"', '"wohle"')
        .replace("6:2:2", "6:2")
        .replace("epochs", "epoch")
        + '[[urls]]\nfile = "no.txt"\n[[keyword]]\nkeywords = ["a"]\nsource = "bong"\n'
    )
    ran = run(recipe(text), "-s").refused(3)
    for message in ("'whole'", "6:0:2", "epochs", "no.txt", "bing"):
        assert message in ran.stderr


@pytest.mark.slow
def test_recipe_that_trains_prints_its_results(recipe: Write, tmp_path: Path) -> None:
    first = run(recipe(VALID), as_json=False).checked().stdout.splitlines()
    second = run(recipe(VALID), as_json=False).checked().stdout.splitlines()
    for lines in (first, second):
        assert [line for line in lines if "_" in line and "/" not in line] == []
        assert "  train: 12, val: 4, test: 4, groups: 20" in lines
        accuracy = next(line for line in lines if line.startswith("  test accuracy: "))
        assert "/4), 95% CI" in accuracy
        assert lines[-1].endswith(f"webapp serve -d {tmp_path / 'made'}")
    assert "  added: 20, weak labels: 2" in first
    assert "  added: 0, known: 20, weak labels: 2" in second


TABLES_NEEDING_SPLIT = ("export", "train")


@pytest.mark.parametrize("part", TABLES_NEEDING_SPLIT)
def test_table_without_split_is_rejected(
    recipe: Write, tmp_path: Path, part: str
) -> None:
    bare = VALID.partition("[split]")[0] + f"[{part}]\n"
    run(recipe(bare), "--simulate").refused(
        2, f"no [split] in the recipe, needed for [{part}]"
    )
    assert not (tmp_path / "made").exists()


def test_existing_split_is_reused(recipe: Write) -> None:
    start, _, rest = VALID.partition("[split]")
    split = start + "[split]" + rest.partition("[export]")[0]
    assert run(recipe(split)).code == 0
    for part in TABLES_NEEDING_SPLIT:
        assert run(recipe(start + f"[{part}]\n"), "--simulate").code == 0


def test_export_folder_is_named_after_its_format() -> None:
    assert ExportPart(format="captions").folder_in(Path("d")) == Path(
        "d/exports/captions"
    )
    assert ExportPart().folder_in(Path("d")) == Path("d/exports/imagefolder")


@pytest.mark.parametrize(
    "place", ["exports/../../x", "/tmp/x", ".", "cache/x", "catalog.sqlite"]
)
def test_export_outside_dataset_is_rejected(
    recipe: Write, tmp_path: Path, place: str
) -> None:
    path = recipe(VALID.replace("exports/tree", place))
    for simulate in ([], ["--simulate"]):
        ran = run(path, *simulate)
        assert (ran.code, "export.to" in ran.stderr) == (2, True), ran.stderr
    assert not (tmp_path / "made").exists()


def test_simulate_lists_stages(recipe: Write, tmp_path: Path) -> None:
    assert run(recipe(VALID), "-s").json == {
        "stages": [
            "folder pictures",
            "faces",
            "accept hints",
            "split",
            "export",
            "train",
        ]
    }
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
def test_recipe_is_idempotent(recipe: Write, tmp_path: Path) -> None:
    """Run from another folder: paths in a recipe are relative to the recipe."""
    path = recipe(f'{VALID}\n[web]\ntitle = "Disc or square?"\n')
    root = tmp_path / "made"
    (tmp_path / "elsewhere").mkdir()

    def run_elsewhere() -> dict[str, Any]:
        words = ("run", f"../{path.name}", "--into", "../made", "--json", "-q")
        ran = run_here("pipeline.cli", *words, cwd=tmp_path / "elsewhere")
        assert (ran.code, ran.stderr) == (0, "")
        return ran.json

    first = run_elsewhere()
    assert (first["folder pictures"]["added"], first["faces"]["images"]) == (20, 20)
    assert first["accept hints"]["labels"] == {"disc": 10, "square": 10}
    assert sum(first["split"][name] for name in ("train", "val", "test")) == 20
    assert first["export"]["exported"] == 20
    assert len(list((root / "exports/tree").rglob("*.png"))) == 20
    assert first["train"]["test"]["count"] == first["split"]["test"]
    assert first["serve"] == "webapp serve -d ../made"

    second = run_elsewhere()
    assert (second["folder pictures"]["added"], second["faces"]["images"]) == (0, 0)
    assert second["accept hints"]["accepted"] == 0
    assert first["split"] == second["split"] | {"looked_for_copies": {"compared": 20}}
    assert second["train"] == first["train"]
    with Dataset.open(root) as dataset:
        assert len(list(dataset.runs.iterate())) == 1
        assert len({decision.step for decision in dataset.journal.iterate()}) == 1
        assert (dataset.settings.name, dataset.settings.split.ratio) == (
            "Shapes",
            "6:2:2",
        )
        assert dataset.settings.web.title == "Disc or square?"
    assert len(list((root / "runs").iterdir())) == 1


@pytest.mark.slow
def test_dedup_and_conversion(recipe: Write, tmp_path: Path) -> None:
    text = VALID.partition("[train]")[0].replace(
        "[export]", '[export]\nsize = "20x10"\nfile = "png"'
    )
    path = recipe(f"dedup = true\n{text}")
    ran = run(path, "-q")
    assert (ran.code, ran.stderr) == (0, "")
    result = ran.json
    assert result["dedup"]["conflicts"] == 0
    images = list((tmp_path / "made/exports/tree").rglob("*.png"))
    assert len(images) == result["export"]["exported"] == 20
    with Image.open(images[0]) as image:
        assert image.size == (20, 10)
    with Dataset.open(tmp_path / "made") as dataset:
        keys = [
            sample.key for sample in dataset.samples.iterate() if sample.label == "disc"
        ][:2]
        dataset.journal.apply("By hand", [Choice(keys[0], "label", "square")])
        first, second = sorted(Pairs(dataset.db).get_ids(keys))
        Pairs(dataset.db).save_verdicts([PairVerdict(first, second, 0.0, 1.0, SAME)])
    again = run(path, "-q", "--from", "dedup").checked().json["dedup"]
    assert again["labels_taken_back"] == 1
    assert "(disc, now no label)" in str(again["labels_changed"]), (
        "as labeler dedup says it"
    )


def test_web_table_is_written_once(recipe: Write, tmp_path: Path) -> None:
    root = tmp_path / "made"
    file = tmp_path / "made" / "dataset.toml"
    sources = VALID.partition("[split]")[0]

    def run_with_title(title: str) -> str:
        ran = run(recipe(sources + f'[web]\ntitle = "{title}"\n')).checked()
        return ran.stderr

    assert run(recipe(sources)).code == 0
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


def test_crop_of_an_existing_dataset_counts(recipe: Write, tmp_path: Path) -> None:
    root = tmp_path / "made"
    sources = VALID.partition("[crop]")[0]
    Dataset.create(root, Settings(crop=CropSettings(detector="whole"))).close()
    ran = run(recipe(sources)).checked()
    with Dataset.open(root) as dataset:
        assert {sample.detector for sample in dataset.samples.iterate()} == {"whole"}
    # A table of the recipe counts for its images, and is reported if it differs.
    same = run(recipe(f'{sources}[crop]\ndetector = "whole"\n')).checked()
    assert "[crop] of the recipe" not in ran.stderr + same.stderr
    other = run(recipe(f'{sources}[crop]\ndetector = "whole"\nsquare = true\n'))
    assert other.checked().json["faces"]["recut"] == 20
    assert "later commands use that of dataset.toml" in other.stderr
    assert not read_settings(root).crop.square


def stages(path: Path, **arguments: Any) -> Stages:
    return Stages(read_recipe(path), path.parent, Progress(), **arguments)


def list_origins(root: Path) -> list[tuple[str, str, str | None]]:
    """Return source, query and weak label of every origin."""
    with Dataset.open(root) as dataset:
        origins = [
            origin for image in dataset.images.iterate() for origin in image.origins
        ]
    return [(origin.source, origin.query or "", origin.hint) for origin in origins]


@pytest.mark.slow
def test_keywords_with_labels_over_two_sources(recipe: Write, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("# more\nbarn owl\towl\n", encoding="utf-8")
    path = recipe(
        START
        + '[[keyword]]\nsource = ["bing", "flickr"]\nlimit = 4\ninput = "more.txt"\n'
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
    files = {f"owl/{number}.jpg": picture(number) for number in range(3)}
    make_archive(tmp_path / "home" / "owls.zip", files)
    path = recipe(
        START + '[[folder]]\npath = "~/owls.zip"\nhints_from_folders = true\n'
    )
    result = run_recipe(stages(path), tmp_path / "made")
    assert result.to_json()["accept hints"] == {
        "accepted": 3,
        "left_in_queue": 0,
        "labels": {"owl": 3},
        "left": {},
    }


@pytest.mark.parametrize(
    ("table", "code", "missing"),
    [
        (
            '[[keyword]]\nkeywords = ["a"]\nsource = ["flickr"]\n',
            5,
            "harvest login flickr",
        ),
        (
            '[[keyword]]\nkeywords = ["a"]\nsource = ["bing", "pixiv"]\n',
            5,
            "login pixiv",
        ),
        (
            '[split]\n[train]\npreset = "simple"\n',
            6,
            "the preset simple needs packages",
        ),
        ('[[frames]]\nvideos = ["clip.mp4"]\n', 6, "no ffmpeg"),
        (
            '[[frames]]\nvideos = ["https://example.org/v"]\n',
            2,
            "yt-dlp -f bv https://example.org/v",
        ),
    ],
)
def test_missing_component_is_reported_first(
    recipe: Write, monkeypatch: pytest.MonkeyPatch, table: str, code: int, missing: str
) -> None:
    for name in VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(recipe("").parent))
    monkeypatch.setattr("baseline.extras.TORCH_PACKAGES", ("no_such_package",))
    path = recipe(START + table)
    (path.parent / "clip.mp4").touch()
    if "ffmpeg" in missing:
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "no-such-ffmpeg")
    ran = run(path)
    assert (ran.code, missing in ran.stderr) == (code, True), ran.stderr
    assert not (path.parent / "made").exists()


@pytest.mark.slow
def test_recipe_is_found_by_name(tmp_path: Path) -> None:
    run_here("pipeline.cli", "run", "cats-and-owls", "-s", cwd=tmp_path).refused(
        2, "did you mean cats-vs-owls"
    )
    printed = run_here("pipeline.cli", "recipes", "cats-vs-owls").stdout
    # A file of that name in the current folder comes first.
    (tmp_path / "cats-vs-owls").write_text(
        printed.replace('"cat"', '"dog"'), encoding="utf-8"
    )
    own_file = run_here(
        "pipeline.cli", "run", "cats-vs-owls", "-s", "--json", cwd=tmp_path
    )
    assert own_file.json["stages"][0] == "flickr dog, owl"


@pytest.mark.slow
def test_from_stage_skips_sources(recipe: Write, tmp_path: Path) -> None:
    path = recipe(
        START + '[[folder]]\npath = "pictures"\nhints_from_folders = true\n'
        '[split]\nratio = "6:2:2"\n[export]\nto = "tree"\n'
    )
    missing = run(path, "--from", "split")
    assert (missing.code, "Traceback" in missing.stderr) == (3, False)
    assert not (tmp_path / "made").exists()

    first = run(path).json
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    again = run(path, "--from", "split").checked()
    assert set(again.json) == {"split", "export", "report"}
    assert again.json["split"]["train"] == first["split"]["train"] == 12
    run(path, "--from", "train", "--simulate").refused(
        2, "faces, accept hints, split, export"
    )


def test_docs_example_is_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    example = page.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "example.toml").write_text(example, encoding="utf-8")
    read = read_recipe(tmp_path / "example.toml")
    [search] = read.keyword
    (tmp_path / "words.txt").write_text("# none\n", encoding="utf-8")
    request = Stages(read, tmp_path, Progress()).request(search)
    queries = [
        query for search_part in request.searches() for _, query in search_part.queries
    ]
    assert [(query.text, query.hint) for query in queries] == [
        ("rin toyama", "new-game"),
        ("takimoto hifumi", "hifumi"),
    ]
    assert request.options == {"bing": {"size": "large"}}
    assert read.train.texts() == {"epochs": "20", "colour": "rgb", "blocks": "16,32"}
    assert all(
        f"`{path.stem}`" in page
        for path in (ROOT / "datasets/recipes").glob("*-*.toml")
    )


@pytest.mark.slow
def test_summary_of_a_recipe_counts_frames_and_videos(
    recipe: Write, tmp_path: Path
) -> None:
    path = recipe(START + '[[frames]]\nvideos = ["clip.avi"]\n')
    drawn_video(path.parent / "clip.avi", "testsrc2=s=64x48:r=5:d=2", "-c:v", "mjpeg")
    done = run_here("pipeline.cli", "run", path, "--into", tmp_path / "made").checked()
    assert "  videos: 1 (1 sampled)\n  new frames: " in done.stdout


def test_stages_run_after_incomplete_search(recipe: Write) -> None:
    path = recipe(START + '[[keyword]]\nkeywords = ["cat"]\nlimit = 40\n')
    with running(DrawnSites({"cat": "cat"}, each=38)) as sites:
        answer = sites.otherwise
        sites.otherwise = lambda h: h.answer(200) if "first=36" in h.path else answer(h)
        ran = run(path, *sites.options(("bing",)), **sites.environment)
    assert ran.code == 4
    assert "search incomplete: bing 'cat'" in ran.stderr
    assert ran.json["bing cat"]["added"] == 35, ran.json["bing cat"]
    assert "faces" in ran.json


SEARCH = (
    START
    + '[[keyword]]\nkeywords = ["cat"]\nlimit = 6\n[split]\n[export]\nto = "exports/x"\n'
)


def test_resumed_recipe_does_not_repeat_a_completed_search(
    recipe: Write, tmp_path: Path
) -> None:
    path = recipe(SEARCH)
    own_file = tmp_path / "made" / "exports" / "x" / "mine.txt"
    with running(DrawnSites({"cat": "cat"}, each=12)) as sites:
        line = (*sites.options(("bing",)), "--allow-private")
        run(path, *line, as_json=False, **sites.environment).checked()
        own_file.write_text("not of an export")
        ran = run(path, *line, as_json=False, **sites.environment).refused(
            3, "exports/x"
        )
        assert "  added: 0, known: 6" in ran.stdout.splitlines(), "the results so far"

        sites.otherwise = lambda h: h.answer(403)
        own_file.unlink()
        asked = len(sites.requests)
        ran = run(path, *line, as_json=False, **sites.environment).checked()
        assert len(sites.requests) == asked
        assert "completed before the run was interrupted: not asked again" in ran.stderr
        assert "  added: 0, known: 6" in ran.stdout.splitlines()
        assert "  exported: 6" in ran.stdout

        # The next run is a new one, and asks again.
        ran = run(path, *line, as_json=False, **sites.environment).refused(4, "bing")
        *_, hint = ran.stderr.splitlines()
        words = shlex.split(hint.rpartition("to use the images so far: ")[2])
    assert words == [
        "gleanset",
        "run",
        str(path),
        "-d",
        str(tmp_path / "made"),
        "--from",
        "faces",
    ]
    again = run_here("pipeline.cli", *words[1:]).checked()
    assert "  exported: 6" in again.stdout


def test_resumed_recipe_without_its_folder_names_from(
    shapes: Path, tmp_path: Path
) -> None:
    shutil.copytree(shapes, tmp_path / "pictures")
    path = tmp_path / "recipe.toml"
    path.write_text(
        'title = "x"\n[[folder]]\npath = "pictures"\n[crop]\ndetector = "whole"\n'
    )
    run(path).checked()
    (tmp_path / "pictures").rename(tmp_path / "away")
    ran = run(path).refused(3, "there is no folder", "--from faces")
    words = shlex.split(ran.stderr.strip().rpartition("to use the images so far: ")[2])
    assert run_here("pipeline.cli", *words[1:]).checked().stdout.startswith("faces:\n")
