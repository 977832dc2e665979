"""The states of a dataset, made once for all tests of printed output."""

import shutil
from collections.abc import Iterator

import pytest
from states import States
from tools_for_tests import start_server_of_workers


@pytest.fixture(scope="session")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    """Make each state once."""
    folder = tmp_path_factory.mktemp("states")
    # Otherwise every pool would import the same again.
    start_server_of_workers()
    yield States(folder)
    shutil.rmtree(folder)
