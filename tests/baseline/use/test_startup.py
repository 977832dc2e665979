"""What is loaded when: help without any library, an ONNX file without torch, a run without timm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click

from baseline.cli import commands

LIBRARIES = frozenset(
    {
        "cv2",
        "matplotlib",
        "numba",
        "numpy",
        "onnx",
        "onnxruntime",
        "PIL",
        "pytorch_metric_learning",
        "requests",
        "scipy",
        "sklearn",
        "tensorboard",
        "timm",
        "torch",
        "torchvision",
    }
)


def loaded_by(*words: str) -> set[str]:
    """The libraries of `LIBRARIES`, and parts of torch, that a `baseline` command has loaded."""
    code = (
        f"import sys, json; sys.argv = {['baseline', *words]!r}\n"
        "from baseline.__main__ import main\n"
        "try: main()\n"
        "finally: print('\\n' + json.dumps(list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    return modules & (LIBRARIES | {"torch._dynamo", "torch._inductor"})


def test_help_loads_no_library() -> None:
    assert loaded_by("--help") == set()
    assert loaded_by("predict", "--help") == set()


def test_no_help_page_loads_a_library() -> None:
    # What a page says is made of what its module imports: no command's options may load more.
    names = [
        name for name, command in commands.commands.items() if not isinstance(command, click.Group)
    ]
    code = (
        "import sys, click\n"
        "from baseline.cli import commands\n"
        f"for name in {names!r}:\n"
        "    commands.commands[name].get_help(click.Context(commands.commands[name]))\n"
        f"print(*sorted({set(LIBRARIES)!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_onnx_file_predicts_without_torch(
    exported: Path, patterns_root: Path, pictures: list[Path]
) -> None:
    words = ("predict", str(pictures[0]), "--run", str(exported), "-d", str(patterns_root))
    assert loaded_by(*words) <= {"numpy", "PIL", "onnxruntime", "requests"}


def test_a_small_run_predicts_with_torch_and_little_besides(
    patterns_root: Path, run_folder: Path, pictures: list[Path]
) -> None:
    words = ("predict", str(pictures[0]), "--run", str(run_folder), "-d", str(patterns_root))
    assert loaded_by(*words) <= {"numpy", "PIL", "torch", "requests"}
