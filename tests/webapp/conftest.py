"""Servers with a small real model: in the test's own process, and for a browser."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from browser_helpers import OpenPage
from color_model import CLASSES, write_model
from drawn_dataset import put_whole
from PIL import Image
from server_helpers import Serve, make_facts, make_settings, running_server
from starlette.testclient import TestClient

from gleanset import Dataset
from gleanset.db.faces import WHOLE, CropMethod
from gleanset.db.journal import Choice
from gleanset.settings import WebSettings
from tools.npm_parts import are_current
from tools.sample.character import random_character, random_expression
from tools.sample.scene import Figure, Scene, paint_scene
from webapp.app import create_app
from webapp.report_decisions import refuse_reports
from webapp.settings import RequestLimits, ServeSettings


@pytest.fixture
def settings(tmp_path: Path, dataset: Dataset) -> ServeSettings:
    """Return settings of a server that stores reports in the dataset."""
    return make_settings(write_model(tmp_path / "colours.onnx"), dataset.root)


@pytest.fixture
def serve(settings: ServeSettings) -> Iterator[Serve]:
    """Yield `serve(token=…, limits={…})`: a client of a server with such settings."""
    with ExitStack() as stack:

        def start(**changes: object) -> TestClient:
            limits = changes.pop("limits", {})
            own = msgspec.structs.replace(RequestLimits(), **limits)  # type: ignore[arg-type]
            changed = msgspec.structs.replace(settings, limits=own, **changes)
            app = create_app(changed, make_facts(changed))
            client = TestClient(app, raise_server_exceptions=False)
            return stack.enter_context(client)

        yield start


@pytest.fixture
def client(serve: Serve) -> TestClient:
    """Return a client of a server with default settings."""
    return serve()


@pytest.fixture(scope="module")
def shared_client(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """Yield a client of a server without a rate limit, for tests that change nothing."""
    file = write_model(tmp_path_factory.mktemp("model") / "colours.onnx")
    settings = make_settings(file, root, limits=RequestLimits(per_minute=1_000_000))
    app = create_app(settings, make_facts(settings))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def two_class_dataset(dataset: Dataset) -> Dataset:
    """Return a dataset with a labelled image of each of two colors."""
    splits = {"red": "train", "blue": "test"}
    keys = {
        name: put_whole(dataset, Image.new("RGB", (90, 60), name), name)
        for name in splits
    }
    dataset.journal.apply(
        "Label", [Choice(key, "label", name) for name, key in keys.items()]
    )
    dataset.samples.set_splits({keys[name]: (name, splits[name]) for name in keys})
    return dataset


@pytest.fixture(scope="session")
def two_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw an image with two faces and return its file."""
    figures = tuple(
        Figure(
            random_character(seed),
            x,
            60,
            260,
            0,
            random_expression(random.Random(seed)),
        )
        for seed, x in ((3, 60), (8, 400))
    )
    scene = Scene((720, 400), "room", 1, (1.0, 1.0, 1.0), figures)
    path = tmp_path_factory.mktemp("two-faces") / "two faces.png"
    paint_scene(scene).convert("RGB").save(path)
    return path


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a dataset that stores reports."""
    folder = tmp_path_factory.mktemp("served") / "dataset"
    Dataset.create(folder).close()
    return folder


@pytest.fixture(autouse=True)
def refuse_open_reports(request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse what a test reported: other tests report the same faces in the same dataset."""
    yield
    if "root" not in request.fixturenames:
        return
    with Dataset.open(request.getfixturevalue("root")) as dataset:
        pending = [report.id for report in dataset.reports.iterate()]
        if pending:
            refuse_reports(dataset, pending)


@pytest.fixture(scope="session")
def address(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a server whose detector browsers can run."""
    with _serving("drawnface", root, tmp_path_factory.mktemp("model")) as result:
        yield result


@pytest.fixture
def serve_at(root: Path, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Yield `serve_at(detector, **settings)`, which returns the address of a server."""
    with ExitStack() as running:
        yield lambda detector="drawnface", **changes: running.enter_context(
            _serving(detector, root, tmp_path, **changes)
        )


@pytest.fixture
def restart_server(root: Path, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Yield `restart_server(name, classes)`, which returns the address of a whole-image model.

    Other arguments are settings of the server.
    """
    with ExitStack() as running:
        ports = [0]

        def start(
            name: str = "colours", classes: tuple[str, ...] = CLASSES, **changes: Any
        ) -> str:
            running.close()
            crops = (CropMethod(WHOLE, "", "", 10),)
            file = write_model(
                tmp_path / f"{name}.onnx", classes, crops, unfamiliar_below=0.8
            )
            ports[0] = running.enter_context(
                running_server(make_settings(file, root, **changes), port=ports[0])
            )
            return f"http://127.0.0.1:{ports[0]}/"

        yield start


@contextmanager
def _serving(detector: str, root: Path, scratch: Path, **changes: Any) -> Iterator[str]:
    """Serve a color model trained on the faces of a detector."""
    method = CropMethod(detector, "", "margin=0.3", 10)
    file = write_model(scratch / "colours.onnx", crops=(method,))
    changes = {"web": WebSettings(contact="me@example.org"), **changes}
    with running_server(make_settings(file, root, **changes)) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def axe() -> Any:
    """Return Deque's axe-core, which finds accessibility problems."""
    return pytest.importorskip("axe_playwright_python.sync_playwright").Axe()


@pytest.fixture
def open_page(
    browser: Any, address: str, request: pytest.FixtureRequest
) -> Iterator[OpenPage]:
    """Yield `open_page(width, height)`; errors and requests to other hosts fail.

    `at` is the address of another server. With `offline` the page stores itself and its detector
    for use without a network, which takes a second.
    """
    if not are_current():
        pytest.skip("needs the page's parts: tools/npm_parts.py")
    troubles: list[str] = []

    def open_page_in_context(
        width: int = 1100,
        height: int = 800,
        at: str = address,
        offline: bool = False,
        **options: Any,
    ) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            service_workers="allow" if offline else "block",
            **options,
        )
        # Other tests may use all cores.
        context.set_default_timeout(120_000)
        # Close it before the server of any fixture ends: a loading page would log refused requests.
        request.node.addfinalizer(context.close)
        page = context.new_page()
        page.on(
            "console",
            lambda said: troubles.append(said.text) if said.type == "error" else 0,
        )
        page.on("pageerror", lambda error: troubles.append(str(error)))
        own = (at, "blob:", "data:")
        page.on(
            "request",
            lambda sent: sent.url.startswith(own) or troubles.append(sent.url),
        )
        page.goto(at)
        return page

    yield open_page_in_context
    # The browser also logs failed requests where the test expects them: without a network, over the
    # limit, without a token, or after somebody else's decision.
    expected = (
        "INTERNET_DISCONNECTED",
        "Too Many Requests",
        "(Unauthorized)",
        "(Conflict)",
    )
    assert not [
        error for error in troubles if not any(words in error for words in expected)
    ]
