"""What the tests of all rooms share."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tools_for_tests
from hypothesis import settings

from gleanset import Dataset

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # In the background of a script: what the tests start would be deaf to Ctrl-C as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run: a test that fails here fails for everyone.
settings.register_profile("gleanset", derandomize=True, database=None, deadline=None)
settings.load_profile("gleanset")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever runs the tests may have settings of their own."""
    for name in list(os.environ):
        if name.startswith("GLEANSET_") and name != "GLEANSET_VENV":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-settings"))


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    """A new dataset in `tmp_path/dataset`."""
    with Dataset.create(tmp_path / "dataset") as made:
        yield made


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """`picture(seed, size, kind)`: the bytes of a picture that looks like no other."""
    return tools_for_tests.picture


@pytest.fixture
def run_cli() -> Callable[..., tools_for_tests.Ran]:
    """`run_cli("harvest.cli", "folder", ...)`: a command in a process of its own."""
    return tools_for_tests.run_cli


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real pictures and clips beside the checkout."""
    folder = tools_for_tests.ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`small_disk("size=1m")`: a file system of that size, mounted for one test."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        line = ["mount", "-t", "tmpfs", "-o", options, "gleanset-test", str(folder)]
        try:
            subprocess.run(line, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs the right to mount a small tmpfs")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
