"""Imports: help loads no library; predictions load no PyTorch, suggestions no scikit-learn."""

import json
import subprocess
import sys
from pathlib import Path

import click
from drawn_dataset import EIGHT_TO_ONE, fill

import baseline
from baseline.cli import commands
from gleanset import Dataset
from gleanset.installation import install_command

LIBRARIES = frozenset(
    {
        "cv2",
        "numpy",
        "onnx",
        "onnxruntime",
        "pebble",
        "PIL",
        "pytorch_metric_learning",
        "requests",
        "scipy",
        "sklearn",
        "timm",
        "torch",
        "torchvision",
    }
)


def find_loaded_libraries(*words: str) -> set[str]:
    """Return the `LIBRARIES` and parts of torch that a command imports."""
    code = (
        f"import sys, json; sys.argv = {['baseline', *words]!r}\n"
        "from baseline.__main__ import main\n"
        "try: main()\n"
        "finally: print('\\n' + json.dumps(list(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    return modules & (LIBRARIES | {"torch._dynamo", "torch._inductor"})


def test_help_loads_no_library() -> None:
    names = [
        name
        for name, command in commands.commands.items()
        if not isinstance(command, click.Group)
    ]
    code = (
        "import sys, click\n"
        "from baseline.cli import commands\n"
        f"for name in {names!r}:\n"
        "    commands.commands[name].get_help(click.Context(commands.commands[name]))\n"
        f"print(*sorted({set(LIBRARIES)!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_prediction_loads_no_torch(
    exported: Path, patterns_root: Path, run_folder: Path, pictures: list[Path]
) -> None:
    for run, own in ((exported, set[str]()), (run_folder, {"onnx"})):
        words = (
            "predict",
            str(pictures[0]),
            "--run",
            str(run),
            "-d",
            str(patterns_root),
        )
        assert (
            find_loaded_libraries(*words)
            <= {"numpy", "PIL", "onnxruntime", "requests"} | own
        )


def test_prelabeling_loads_no_sklearn(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    with Dataset.create(root) as dataset:
        fill(dataset, 4, EIGHT_TO_ONE)
    words = ("prelabel", "-o", "size=32", "-d", str(root))
    assert {"sklearn", "torch"}.isdisjoint(find_loaded_libraries(*words))


WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder
from click.testing import CliRunner

class WithoutTorch(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        away = name.partition(".")[0] in ("torch", "timm")
        return None if away else super().find_spec(name, path, target)

sys.meta_path = [WithoutTorch if one is PathFinder else one for one in sys.meta_path]
from baseline.cli import commands
root, out = sys.argv[1:]
GRADIENT_PRESETS = ["simple", "finetune", "mobile", "triplet"]
OPTIONS = ["-o", "size=32", "-o", "views=1", "-o", "strength=1", "-o", "part_weights=0.5,0.5"]
if __name__ == "__main__":
    for words in (
        ["train", "--preset", "transfer", *OPTIONS],
        ["evaluate", "--split", "val"],
        ["prelabel", "-o", "size=32"],
        ["export", out],
        *(["train", "--preset", name] for name in GRADIENT_PRESETS),
    ):
        done = CliRunner().invoke(commands, [*words, "-d", root])
        error = done.exception
        print(words[0], done.exit_code, getattr(error, "fix", error))
    print(*sorted({"torch", "timm"} & set(sys.modules)))
"""


def test_transfer_works_without_torch(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    out = tmp_path / "model.onnx"
    with Dataset.create(root) as dataset:
        fill(dataset, 10, EIGHT_TO_ONE)
    words = [sys.executable, "-c", WITHOUT_TORCH, str(root), str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line for line in lines[:4] if not line.endswith(" 0 None")] == []
    assert lines[4:-1] == [f"train 1 {install_command('train')}"] * 4
    assert (lines[-1], len(baseline.load(out).classes)) == ("", 3)
