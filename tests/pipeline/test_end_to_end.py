"""Real images and a real clip through all stages; other tools read the export."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tools_for_tests import ROOT, run_here

SHARED = ROOT.parent / "shared" / "data"
CLASSES = ("hazuki_shizuku", "sakura_nene", "toyama_rin")
IMAGES_PER_CLASS = 6
CLIP = SHARED / "videos" / "big_buck_bunny_0_30.webm"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs real images in {SHARED}"),
]


def command(package: str, *arguments: object) -> dict[str, Any]:
    done = run_here(f"{package}.cli", *map(str, arguments), "--json")
    assert done.code == 0, done.stderr
    return done.json


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of real images with accepted labels and a split."""
    folder = tmp_path_factory.mktemp("real")
    for name in CLASSES:
        (folder / "images" / name).mkdir(parents=True)
        for file in sorted((SHARED / "characters" / name).iterdir())[:IMAGES_PER_CLASS]:
            shutil.copy(file, folder / "images" / name)
    root = folder / "dataset"
    added = command("harvest", "folder", folder / "images", "--hints-from-folders", "-d", root)
    assert added["added"] == len(CLASSES) * IMAGES_PER_CLASS
    frames = command("harvest", "frames", CLIP, "--every", "6s", "--to", "9s", "-d", root)
    assert frames["added"] + sum(frames["left_out"].values()) == 2
    result = command("facecrop", "run", "--detector", "drawnface", "-d", root)
    assert result["images"] == added["added"] + frames["added"]
    assert result["faces"] >= 14
    assert set(command("labeler", "accept", "hints", "-d", root)["labels"]) == set(CLASSES)
    command("labeler", "split", "--ratio", "2:1:1", "-d", root)
    return root


def test_real_images_train_a_model(dataset: Path) -> None:
    test_count = sum(command("pipeline", "status", "-d", dataset)["splits"]["test"].values())
    options = ["-o", "epochs=2", "-o", "size=32", "-o", "blocks=8,16"]
    trained = command("baseline", "train", "--preset", "simple", *options, "-d", dataset)
    assert trained["test"]["count"] == test_count >= 2
    evaluation = command("baseline", "evaluate", "-d", dataset)
    assert evaluation["test"]["accuracy"] == trained["test"]["accuracy"]
    assert sum(map(sum, evaluation["test"]["confusion"])) == test_count
