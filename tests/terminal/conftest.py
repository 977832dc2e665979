"""The states of a dataset, made once for all tests of printed output."""

import os
import shutil
from collections.abc import Iterator

import pytest
from shared_folder import find_shared_folder
from states import States
from tools_for_tests import start_server_of_workers


@pytest.fixture(scope="session")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    """Make each state once in a test run."""
    # Otherwise every pool would import the same again.
    start_server_of_workers()
    process = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    states = States(find_shared_folder(tmp_path_factory) / "states", process)
    yield states
    shutil.rmtree(states.own)
