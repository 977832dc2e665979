"""Real images and a real clip through all stages; other tools read the export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tools_for_tests import run_here

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
CLASSES = ("hazuki_shizuku", "sakura_nene", "toyama_rin")
CLIP = SHARED / "videos" / "big_buck_bunny_0_30.webm"

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs real images in {SHARED}")


def command(room: str, *arguments: object) -> dict[str, Any]:
    done = run_here(f"{room}.cli", *map(str, arguments), "--json")
    assert done.code == 0, done.stderr
    return done.json


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("real") / "dataset"
    folders = [SHARED / "characters" / name for name in CLASSES]
    added = command("harvest", "folder", *folders, "--hints-from-folders", "-d", root)
    assert added["added"] == 50
    frames = command("harvest", "frames", CLIP, "--every", "6s", "-d", root)
    assert frames["added"] + sum(frames["left_out"].values()) == 5
    result = command("facecrop", "run", "--detector", "drawnface", "-d", root)
    assert result["images"] == 50 + frames["added"]
    assert result["faces"] >= 40
    accepted = command("labeler", "accept", "hints", "-d", root)
    assert set(accepted["labels"]) == set(CLASSES)
    return root


@needs_shared
@pytest.mark.slow
def test_real_images_train_a_model(dataset: Path) -> None:
    split = command("labeler", "split", "--ratio", "2:1:1", "-d", dataset)
    assert min(split["train"], split["val"], split["test"]) >= 5
    options = ["-o", "epochs=2", "-o", "size=32", "-o", "blocks=8,16"]
    trained = command("baseline", "train", "--preset", "simple", *options, "-d", dataset)
    assert trained["test"]["count"] == split["test"]
    evaluation = command("baseline", "evaluate", "-d", dataset)
    assert evaluation["test"]["accuracy"] == trained["test"]["accuracy"]
    assert sum(map(sum, evaluation["test"]["confusion"])) == split["test"]


@needs_shared
@pytest.mark.slow
def test_other_tools_read_export(dataset: Path, tmp_path: Path) -> None:
    folder = pytest.importorskip("torchvision.datasets", reason="needs the train extra").ImageFolder
    split = command("labeler", "split", "--ratio", "2:1:1", "-d", dataset)
    command("labeler", "export", tmp_path / "out", "-d", dataset)
    reader = (
        "import json, sys; from collections import Counter; from datasets import load_dataset\n"
        "d = load_dataset('imagefolder', data_dir=sys.argv[1])\n"
        "print(json.dumps({s: Counter(d[s].features['label'].int2str(d[s]['label']))"
        " for s in d}))"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", reader, tmp_path / "out"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hub_counts = json.loads(done.stdout.splitlines()[-1])
    for split_name, hub in (("train", "train"), ("val", "validation"), ("test", "test")):
        expected = {
            name: row[split_name] for name, row in split["classes"].items() if row[split_name]
        }
        tree = folder(str(tmp_path / "out" / split_name))
        assert Counter(tree.classes[label] for label in tree.targets) == expected
        assert hub_counts[hub] == expected
