"""Fixtures and hooks of all tests."""

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tools_for_tests
from dataset_consistency import catalogues_below, complaints
from hypothesis import settings
from publisher import hub as hub
from stalls import run_until_calm
from threadpoolctl import threadpool_limits

from gleanset import Dataset
from gleanset.db.connection import Connection
from gleanset.images.decode import limit_pillow
from gleanset.platform import has_display
from harvest.secrets import VARIABLES

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A background job of a script ignores Ctrl-C, and so would the processes that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Two threads of a matrix product on a shared core mostly wait for each other. The variable is for
# PyTorch, which nothing has imported yet, and for the processes that tests start; numpy read it
# when it was imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
threadpool_limits(1, user_api="blas")
# Tests run in this process what the commands run in theirs, which have these limits.
limit_pillow()

# Otherwise each of the hundreds of processes that tests start would compile its imports again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Imported modules and collected tests live until the end: collecting garbage would waste time.
gc.disable()

# The same examples in every run, so that a failure can be reproduced anywhere.
settings.register_profile("gleanset", derandomize=True, database=None, deadline=None)
settings.load_profile("gleanset")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Extend the timeout of long tests; skip POSIX tests on other systems."""
    if item.get_closest_marker("long") is not None:
        item.add_marker(pytest.mark.timeout(3000))
    posix = item.get_closest_marker("posix")
    if posix is not None and tools_for_tests.WITHOUT_POSIX:
        item.add_marker(pytest.mark.skip(reason=posix.args[0]))


WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def pytest_collection_finish() -> None:
    """Exempt everything made so far from garbage collection."""
    gc.freeze()
    gc.enable()
    # By default every 700 new objects cause a collection, which costs some tests half their time.
    gc.set_threshold(20_000, 20)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None]:
    """Run modules with slow tests first, so that none runs alone at the end; skip long ones.

    Each process gets an equal contiguous part of the list and begins with the modules of its part
    that have slow tests. A module stays together, so that what its tests share is made once.
    """
    yield
    if not _wants_long_tests(config):
        for item in items:
            if item.get_closest_marker("long") is not None:
                # Not deselected: syrupy would fail for the snapshots that it leaves unused.
                item.add_marker(
                    pytest.mark.skip(reason="long: use --all, or select it")
                )
    slow_modules = {
        item.path for item in items if item.get_closest_marker("slow") is not None
    }
    ends = [len(items) * worker // WORKERS for worker in range(WORKERS + 1)]
    for begin, end in pairwise(ends):
        items[begin:end] = sorted(
            items[begin:end], key=lambda item: item.path not in slow_modules
        )


def _wants_long_tests(config: pytest.Config) -> bool:
    """Return whether tests were selected by -m, -k or name, or all are wanted."""
    by_name = any("::" in argument for argument in config.args)
    is_selected = by_name or config.option.markexpr or config.option.keyword
    return bool(is_selected or tools_for_tests.AT_LENGTH)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> bool | None:
    """Repeat a timing test that failed while the machine stalled."""
    if item.get_closest_marker("timed") is None:
        return None
    run_until_calm(item, nextitem)
    return True


@pytest.fixture(scope="session", autouse=True)
def _server_of_workers(request: pytest.FixtureRequest) -> None:
    """Preload the workers' imports once for all pools of this process.

    Only in parallel runs (pytest-xdist): a run of a few tests should not wait for it.
    """
    if hasattr(request.config, "workerinput"):
        tools_for_tests.start_server_of_workers()


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Hide the settings of the user who runs the tests."""
    for name in list(os.environ):
        if name.startswith("GLEANSET_") and name != "GLEANSET_VENV":
            monkeypatch.delenv(name)
    monkeypatch.setenv(
        "XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-settings")
    )


@pytest.fixture(scope="session")
def _opened_catalogues() -> Iterator[set[Path]]:
    """Record the catalogues that this process opens; tests empty the set."""
    opened = set[Path]()
    plain = Connection.__init__

    def noting(self: Connection, path: Path, **options: Any) -> None:
        opened.add(path.absolute())
        plain(self, path, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "__init__", noting)
        yield opened


@pytest.fixture(scope="session")
def _damaged_catalogues() -> set[Path]:
    """Collect damaged catalogues, which a leftover thread may open a little later."""
    return set()


@pytest.fixture(autouse=True)
def _every_dataset_is_sound(
    request: pytest.FixtureRequest,
    _opened_catalogues: set[Path],
    _damaged_catalogues: set[Path],
) -> Iterator[None]:
    """Check that the datasets a test made or opened are consistent.

    Tests that damage one on purpose are marked: `@pytest.mark.damages("how and why")`.
    """
    # Requested first, so that datasets still exist after all other fixtures.
    own = (
        request.getfixturevalue("tmp_path")
        if "tmp_path" in request.fixturenames
        else None
    )
    _opened_catalogues.clear()
    yield
    # A copy, because a thread of a window may open a catalogue now.
    catalogues = {path for path in _opened_catalogues.copy() if path.is_file()}
    catalogues |= set(catalogues_below(own)) if own else set()
    if request.node.get_closest_marker("damages") is not None:
        _damaged_catalogues |= catalogues
    result = [
        line
        for path in sorted(catalogues - _damaged_catalogues)
        for line in complaints(path)
    ]
    assert not result, "\n".join(result)


@pytest.fixture(scope="session")
def _new_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a dataset to copy, which takes a quarter of the time."""
    folder = tmp_path_factory.mktemp("new") / "dataset"
    Dataset.create(folder).close()
    return folder


@pytest.fixture
def empty(tmp_path: Path, _new_dataset: Path) -> Iterator[Dataset]:
    """Yield a new dataset in `tmp_path/dataset`, even where a module overrides `dataset`."""
    with Dataset.open(shutil.copytree(_new_dataset, tmp_path / "dataset")) as opened:
        yield opened


@pytest.fixture
def dataset(empty: Dataset) -> Dataset:
    """Return a new dataset in `tmp_path/dataset`."""
    return empty


@pytest.fixture
def site_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a key or token, 32 digits, for each site that needs one."""
    for number, variable in enumerate(VARIABLES.values()):
        monkeypatch.setenv(variable, f"{number:032}")


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the display from the environment."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    if has_display():
        pytest.skip("every desktop has a display here")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images and clips next to the checkout."""
    folder = tools_for_tests.ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Yield a headless Chromium, which occupies the event loop of this thread, or skip.

    No two may run at once, and some tests need the event loop, so it ends with its module.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    if tools_for_tests.CHROMIUM is None:
        pytest.skip("needs chromium")
    # Optimizing a detector's WebAssembly takes longer than the few images gain by it.
    compiler = "--wasm-lazy-compilation,--no-wasm-tier-up,--no-wasm-dynamic-tiering"
    arguments = [
        "--no-sandbox",
        f"--js-flags={compiler}",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
    ]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=tools_for_tests.CHROMIUM, args=arguments
        )
        yield browser
        browser.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Yield `small_disk("size=1m")`: mounts a file system of that size."""
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
