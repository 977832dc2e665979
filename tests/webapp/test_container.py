"""The page's container, built from its Dockerfile."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from color_model import write_model
from server_helpers import solid_image
from tools_for_tests import ROOT, eventually

from facecrop.run_docker import choose_engine
from gleanset.errors import MissingComponent

BASE = "python:3.13-slim"
IMAGE = "gleanset-web:test"
pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.timeout(900)]


def run(*line: str) -> str:
    done = subprocess.run(
        line, capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def engine() -> str:
    """Build the image; return the program of the container engine."""
    try:
        program = choose_engine(BASE, "", to_build=True).program
    except MissingComponent as why:
        pytest.skip(f"needs a container engine: {why.what}")
    images = (["image", "inspect", BASE], ["pull", BASE])
    if all(
        subprocess.run([program, *ask], capture_output=True).returncode
        for ask in images
    ):
        pytest.skip(f"needs the base image {BASE}")
    file = str(ROOT / "docker" / "webapp" / "Dockerfile")
    run(program, "build", "--network=host", "-f", file, "-t", IMAGE, str(ROOT))
    return program


@pytest.fixture
def container(engine: str, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name and port of a container that serves a model."""
    model = write_model(tmp_path / "model.onnx")
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # its user is another one
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mounted = f"{model}:/model.onnx:ro"
    line = [
        engine,
        "run",
        "-d",
        "--network=host",
        "-e",
        f"PORT={port}",
        "-v",
        mounted,
        IMAGE,
    ]
    name = run(*line, "/model.onnx", "--public", "--detector", "whole").strip()
    try:
        yield name, port
    finally:
        run(engine, "rm", "-f", name)


def test_container_runs_as_unprivileged_user(
    engine: str, container: tuple[str, int]
) -> None:
    name, port = container
    address = f"http://127.0.0.1:{port}"

    def healthy() -> bool:
        try:
            return (
                urllib3.request("GET", f"{address}/api/v1/health", retries=False).status
                == 200
            )
        except urllib3.exceptions.HTTPError:
            return False

    assert eventually(healthy, 60), run(engine, "logs", name)
    fields = {"files": ("red.png", solid_image("red"))}
    answer = urllib3.request("POST", f"{address}/api/v1/predict", fields=fields)
    assert answer.json()["images"][0]["parts"][0]["answer"] == "red"
    assert b"Gleanset" in urllib3.request("GET", address).data
    assert run(engine, "exec", name, "id", "-u").strip() == "1000"
