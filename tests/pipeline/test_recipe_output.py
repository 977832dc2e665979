"""What a person sees of each bundled recipe: on a terminal, after Ctrl-C and again, and in a file.

The recipes run with fewer searches and smaller networks, on drawn images from a local server.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from drawn_sites import DrawnSites
from screens import run_on_screen
from syrupy.assertion import SnapshotAssertion
from terminal_for_tests import mask, run_in_terminal
from tools_for_tests import ROOT, run_here, running, write_pictures

RECIPES = ROOT / "datasets" / "recipes"
SAMPLE = ROOT / "datasets" / "sample"
ALWAYS = ("acg-characters", "anime-vs-cartoon")
CASES = [
    path.stem
    if path.stem in ALWAYS
    else pytest.param(path.stem, marks=pytest.mark.long)
    for path in sorted(RECIPES.glob("*.toml"))
]
SMALL_TRAINING = {
    "simple": {"size": 32, "epochs": 2, "blocks": "8,16", "dense": 16},
    "transfer": {"size": 32, "views": 1},
}
BAR = re.compile(r"\d+%\||it/s|/s\]|s/ ")
KEY_FOR_PROGRAMS = re.compile(r"^ {0,2}(\w+: \d+, )*[a-z]+_[a-z_]+:")
JUDGEMENT = re.compile(
    r" *(test accuracy|most confused|not tested|predicted unknown|unknown): "
)
LATER_ZERO = re.compile(r", [a-z -]+: 0(,|$)")
pytestmark = [pytest.mark.usefixtures("site_logins"), pytest.mark.slow]


def shrink(name: str, folder: Path) -> tuple[Path, dict[str, str]]:
    """Write a bundled recipe with little work; return its path and the labels by keyword."""
    recipe: dict[str, Any] = tomllib.loads(
        (RECIPES / f"{name}.toml").read_text(encoding="utf-8")
    )
    labels: dict[str, str] = {}
    for search in recipe.get("keyword", []):
        # Google needs a browser.
        search["source"] = search["source"].replace("google", "bing")
        search["keywords"] = [search["keywords"][0], search["keywords"][-1]]
        search["limit"] = 12
        for keyword in search["keywords"]:
            word, label = (keyword, keyword) if isinstance(keyword, str) else keyword
            labels[word] = search.get("label", label)
    for part in recipe.get("folder", []):
        part["path"] = str(write_pictures(folder / "photos", 12))
    for part in recipe.get("frames", []):
        part["videos"] = [str(SAMPLE / "episode.mp4")]
        part["limit"] = 3
    preset = "simple" if recipe["train"]["preset"] == "simple" else "transfer"
    recipe["train"] = {"preset": preset, "options": SMALL_TRAINING[preset]}
    path = folder / "recipe.toml"
    path.write_text(tomli_w.dumps(recipe), encoding="utf-8")
    return path, labels


def check_output(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert [line for line in lines if BAR.search(line)] == []
    assert [line for line in lines if KEY_FOR_PROGRAMS.search(line)] == []
    assert "Traceback" not in text
    assert "test accuracy: " in text
    assert [line for line in lines if LATER_ZERO.search(line)] == []
    assert lines[-1] == "serve: webapp serve -d made"


def without_judgement(lines: list[str]) -> list[str]:
    """Leave out lines that depend on how well a small network has learnt, wrapped or not."""
    kept: list[str] = []
    indent = None
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if indent is not None and depth > indent:
            continue
        indent = depth if JUDGEMENT.match(line) else None
        if indent is None:
            kept.append(line)
    return kept


@pytest.mark.parametrize("name", CASES)
def test_recipe_prints_its_results(
    name: str,
    tmp_path: Path,
    snapshot: SnapshotAssertion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Lines with paths are wrapped the same way everywhere, because none fits.
    folder = tmp_path / ("long-name-of-a-folder-" * 4)
    folder.mkdir()
    path, labels = shrink(name, folder)
    with running(DrawnSites(labels, each=16)) as sites:
        sources = ("bing", "flickr", "pixiv")
        line = (
            "run",
            path.name,
            "--into",
            "made",
            "--allow-private",
            *sites.options(sources),
        )
        for variable, value in sites.environment.items():
            monkeypatch.setenv(variable, value)
        stopped = run_in_terminal("pipeline.cli", *line, cwd=folder, interrupt_at="[2/")
        assert stopped.code == 130, stopped.text
        assert [line for line in stopped.lines if BAR.search(line)] == []
        assert "interrupted; completed work is kept" in stopped.lines
        assert [line for line in stopped.lines if line.startswith("  gleanset run ")]

        shown = run_on_screen(["gleanset", *line], folder)
        assert shown.code == 0, shown.text
        check_output(shown.lines)
        masked = mask(without_judgement(shown.lines), folder, ROOT)
        assert "\n".join(masked) == snapshot

        again = run_here("pipeline.cli", *line, cwd=folder)
        check_output(again.checked().stdout.splitlines())
