"""A server within the test's own process, answering by a small real model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from model_of_colours import write_model
from starlette.testclient import TestClient
from web_requests import Serve

from gleanset import Dataset
from webapp.app import create_app
from webapp.rate_limit import SALT, make_counters
from webapp.served import FILE, ServedModel, ServedModels, write_served
from webapp.settings import RequestLimits, ServeSettings


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """The file that names the model in force."""
    place = tmp_path / FILE
    file = write_model(tmp_path / "colours.onnx")
    write_served(place, ServedModels().taken_over(ServedModel("colours", str(file)), follow=False))
    return place


@pytest.fixture
def settings(served: Path, tmp_path: Path, dataset: Dataset) -> ServeSettings:
    """Settings of a server that keeps reports in the dataset."""
    make_counters(counters := tmp_path / "counters", bytes(SALT))
    return ServeSettings(str(served), str(counters), str(dataset.root))


@pytest.fixture
def serve(settings: ServeSettings) -> Iterator[Serve]:
    """`serve(token=…, limits={…})`: a client of a server with such settings."""
    with ExitStack() as stack:

        def start(**changes: object) -> TestClient:
            limits = changes.pop("limits", {})
            own = msgspec.structs.replace(RequestLimits(), **limits)  # type: ignore[arg-type]
            app = create_app(msgspec.structs.replace(settings, limits=own, **changes))
            client = TestClient(app, raise_server_exceptions=False)
            return stack.enter_context(client)

        yield start


@pytest.fixture
def client(serve: Serve) -> TestClient:
    """A client of a server with the defaults."""
    return serve()
