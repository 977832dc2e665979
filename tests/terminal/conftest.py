"""The states of a dataset, made once for all tests of printed output."""

import shutil
from collections.abc import Iterator
from multiprocessing import forkserver

import pytest
from states import States

WORK = (
    "facecrop.search",
    "harvest.folder",
    "labeler.duplicates.verification",
    "labeler.export.job",
    "labeler.quality.assessment",
    "preload_hashes",
)
"""Imports of worker processes."""


@pytest.fixture(scope="session")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    """Make each state once."""
    folder = tmp_path_factory.mktemp("states")
    # Otherwise every pool would import them again.
    forkserver.set_forkserver_preload(["__main__", *WORK])
    forkserver.ensure_running()
    yield States(folder)
    shutil.rmtree(folder)
