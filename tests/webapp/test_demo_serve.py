"""`gleanset demo --serve` serves an existing model until Ctrl-C; servers exit cleanly."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from color_model import write_model
from tools_for_tests import command

from gleanset import Dataset
from gleanset.settings import Settings, WebSettings


def shows_title(address: str) -> bool:
    try:
        with urlopen(f"{address}api/v1/classes", timeout=60) as answer:
            return b'"title":"Which of the four?"' in answer.read()
    except URLError:
        return False


@pytest.mark.slow
def test_server_exits_cleanly_on_sigterm(tmp_path: Path) -> None:
    line = command("webapp.cli", "serve", write_model(tmp_path / "m.onnx"), "--port", "0")
    with subprocess.Popen(line, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().startswith(b"http://127.0.0.1:")
            server.terminate()
            assert server.wait(60) == 0
        finally:
            server.kill()


@pytest.mark.slow
def test_demo_is_served_until_ctrl_c(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    with Dataset.create(root, Settings(web=WebSettings(title="Which of the four?"))) as dataset:
        run = dataset.runs.start("a-run", "baseline", {})
        dataset.runs.finish(run.id, "done", {})
    write_model(root / "runs" / "a-run" / "served.onnx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = command("pipeline.cli", "demo", "--into", root, "--serve", "--port", str(port))
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().decode().strip()
            assert address == f"http://127.0.0.1:{port}/"
            assert shows_title(address), "whoever reads the address may open it at once"
            server.send_signal(signal.SIGINT)
            _, message = server.communicate(timeout=60)
        finally:
            server.kill()  # else a failure would wait for a server that nobody ends
    assert server.returncode == 0
    assert b"serving a-run" in message
    assert b"Traceback" not in message
