"""What the tests of all rooms share."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from itertools import pairwise
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
import tools_for_tests
from hypothesis import settings
from publisher import hub as hub
from sound_datasets import catalogues_below, complaints
from stalls import run_until_calm

from gleanset import Dataset
from gleanset.db.connection import Connection
from gleanset.images.decode import limit_pillow
from gleanset.platform import has_display

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # In the background of a script: what the tests start would be deaf to Ctrl-C as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ("s3_server",)

# Two threads of PyTorch on a core that others use, too, wait for each other most of the time. Here
# before anything imports it, and for the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests run in this process what our programs run in theirs.
limit_pillow()
# No test asks the keyring of whoever runs it.
os.environ.setdefault("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")

# What is imported and collected stays until the end: it is not searched for garbage.
gc.disable()

# The same examples in every run: a test that fails here fails for everyone.
settings.register_profile("gleanset", derandomize=True, database=None, deadline=None)
settings.load_profile("gleanset")


def pytest_itemcollected(item: pytest.Item) -> None:
    """What is long may take long; what only POSIX has is not looked for elsewhere."""
    if item.get_closest_marker("long") is not None:
        item.add_marker(pytest.mark.timeout(3000))
    posix = item.get_closest_marker("posix")
    if posix is not None and tools_for_tests.WITHOUT_POSIX:
        item.add_marker(pytest.mark.skip(reason=posix.args[0]))


WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Each process reads the files of a folder from another one on.

    So each finds most of them compiled by the others; all at the same one would all compile it.
    """
    report = yield
    if isinstance(collector, pytest.Directory) and report.result:
        own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        first = len(report.result) * own // WORKERS
        report.result = [*report.result[first:], *report.result[:first]]
    return report


def pytest_collection_finish() -> None:
    """From here on, only what tests make can be garbage."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Begin with the slow tests: one that begins last keeps a single process busy.

    Each process is given an equal part of the list in a row, and begins with the slow ones of its
    part: what the tests of a module share is made by one process.
    """
    # The same order in every process, whichever file it began with.
    items.sort(key=lambda item: item.path)
    yield
    ends = [len(items) * worker // WORKERS for worker in range(WORKERS + 1)]
    for begin, end in pairwise(ends):
        items[begin:end] = sorted(items[begin:end], key=_is_quick)


def _is_quick(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """A test of time that failed while the machine stalled is run again."""
    if item.get_closest_marker("timed") is None:
        return None
    run_until_calm(item, nextitem)
    return True


# What the workers of most tests import, for nearly nothing but their work is left then.
WORK = (
    "facecrop.search",
    "gleanset.images.staging",
    "gleanset.work.processes",
    "harvest.archives",
    "harvest.folder",
    "labeler.duplicates.verification",
    "labeler.export.job",
    "labeler.quality.assessment",
    "warm_hashes",
)


@pytest.fixture(scope="session", autouse=True)
def _server_of_workers(request: pytest.FixtureRequest) -> None:
    """Import what workers need once for all pools of this process, as a long run does for its.

    Only for a part of the whole suite: who runs a few tests waits for nothing that they lack.
    """
    if sys.platform == "linux" and hasattr(request.config, "workerinput"):
        forkserver.set_forkserver_preload(["__main__", *WORK])
        forkserver.ensure_running()


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever runs the tests may have settings of their own."""
    for name in list(os.environ):
        if name.startswith("GLEANSET_") and name != "GLEANSET_VENV":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-settings"))


@pytest.fixture(scope="session")
def _opened_catalogues() -> Iterator[set[Path]]:
    """The catalogues that this process has opened since somebody emptied the set."""
    opened, plain = set[Path](), Connection.__init__

    def noting(self: Connection, path: Path, **options: Any) -> None:
        opened.add(path.absolute())
        plain(self, path, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "__init__", noting)
        yield opened


@pytest.fixture(scope="session")
def _damaged_catalogues() -> set[Path]:
    """Those that a test damaged on purpose: a thread that it left may open one a little later."""
    return set()


@pytest.fixture(autouse=True)
def _every_dataset_is_sound(
    request: pytest.FixtureRequest, _opened_catalogues: set[Path], _damaged_catalogues: set[Path]
) -> Iterator[None]:
    """At the end of a test the datasets it made or opened contradict nothing.

    Tests that damage one on purpose say so: `@pytest.mark.damages("how and why")`.
    """
    # Asked for first, its datasets are still there when all other fixtures are done.
    own = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    _opened_catalogues.clear()
    yield
    # A copy, because a thread of a window may be opening one just now.
    there = {path for path in _opened_catalogues.copy() if path.is_file()}
    there |= set(catalogues_below(own)) if own else set()
    if request.node.get_closest_marker("damages") is not None:
        _damaged_catalogues |= there
    found = [line for path in sorted(there - _damaged_catalogues) for line in complaints(path)]
    assert not found, "\n".join(found)


@pytest.fixture(scope="session")
def _new_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that nobody writes to: to copy it takes a quarter of the time of making one."""
    folder = tmp_path_factory.mktemp("new") / "dataset"
    Dataset.create(folder).close()
    return folder


@pytest.fixture
def dataset(tmp_path: Path, _new_dataset: Path) -> Iterator[Dataset]:
    """A new dataset in `tmp_path/dataset`."""
    with Dataset.open(shutil.copytree(_new_dataset, tmp_path / "dataset")) as made:
        yield made


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """`picture(seed, size, kind)`: the bytes of a picture that looks like no other."""
    return tools_for_tests.picture


@pytest.fixture
def run_cli() -> Callable[..., tools_for_tests.Ran]:
    """`run_cli("harvest.cli", "folder", ...)`: a command in a process of its own."""
    return tools_for_tests.run_cli


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no window be shown."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    if has_display():
        pytest.skip("every desktop has a display here")


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
