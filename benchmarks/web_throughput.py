"""Requests per second of `webapp serve` and of a Flask script under gunicorn, with the same model.

    python -m venv flask && flask/bin/pip install flask gunicorn onnxruntime pillow
    python benchmarks/web_throughput.py MODEL.onnx PICTURE --flask flask/bin/python

The script runs the model once per request, in two workers with one thread each. Both servers run
throughout and are queried in turns by 16 client threads in a separate process. The last line is
JSON: medians over the rounds, the median ratio of our rate to theirs, and the memory of all
processes of each server (proportional set size: shared pages count once). `--served` is a run's own
`served.onnx`, possibly int8, where MODEL.onnx is the same run in fp32.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles
from tempfile import mkdtemp
from typing import Any

CLIENTS, OURS, THEIRS = 16, 8711, 8712
HERE = Path(__file__).resolve().parent
SCRIPT = """
import os
import numpy as np
import onnxruntime
from flask import Flask, jsonify, request
from PIL import Image

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
model = os.environ["MODEL"]
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
size = session.get_inputs()[0].shape[1]
app = Flask(__name__)


@app.post("/predict")
def predict():
    picture = Image.open(request.files["files"].stream).convert("RGB").resize((size, size))
    found = session.run(["probabilities"], {"images": np.asarray(picture)[None]})[0][0]
    best = np.argsort(-found)[:5]
    return jsonify([{"label": int(n), "confidence": float(found[n])} for n in best])
"""


@contextmanager
def run_server(line: list[str], port: int) -> Iterator[int]:
    """Run a server until the body ends; yield its process group."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    server = subprocess.Popen(
        line, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        for _ in range(600):
            with socket.socket() as trying:
                if trying.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        time.sleep(3)
        yield server.pid
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def measure_round(url: str, picture: bytes, requests: int) -> dict[str, float]:
    """Measure one round of 16 clients with keep-alive connections, if supported.

    The clients share the cores with the server, so they parse as little of a response as possible.
    """
    host, _, path = url.removeprefix("http://").partition("/")
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    body, seconds = part + picture + b"\r\n--x--\r\n", list[float]()
    head = (
        f"POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    asked, (name, port) = head.encode() + body, host.split(":")

    def client() -> None:
        connection = None
        for _ in range(requests // CLIENTS):
            begun = time.perf_counter()
            connection = connection or socket.create_connection((name, int(port)), 60)
            connection.sendall(asked)
            answer = connection.recv(65536)
            while not is_complete(answer):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            seconds.append(time.perf_counter() - begun)
            if b"connection: close" in answer.lower():
                connection = connection.close()

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    begun = time.perf_counter()
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    rate = len(seconds) / (time.perf_counter() - begun)
    return {"per_second": round(rate, 1), "p95_ms": round(1000 * quantiles(seconds, n=20)[-1], 1)}


def is_complete(answer: bytes) -> bool:
    """Return whether a response is complete according to its Content-Length."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return bool(blank) and len(body) >= int(length)


def measure_in_process(url: str, picture: Path, requests: int, group: int) -> dict[str, Any]:
    """Measure one round from a separate process, with the server's CPU time."""
    before = cpu_seconds(group)
    line = [sys.executable, __file__, url, str(picture), "--ask", str(requests)]
    ran = subprocess.run(line, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(ran.stdout)
    spent = 1000 * (cpu_seconds(group) - before) / requests
    return figures | {"cpu_ms": round(spent, 2)}


def iter_processes(group: int) -> Iterator[Path]:
    """Yield the folders in /proc of a process group."""
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(place.name)) == group:
                yield place


def cpu_seconds(group: int) -> float:
    """Return the CPU seconds of a process group, including ended child processes."""
    ticks = 0
    for place in iter_processes(group):
        fields = (place / "stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def read_memory(group: int) -> float:
    """Return the MB of a process group; shared pages count once (PSS)."""
    kilobytes = 0
    for place in iter_processes(group):
        with suppress(OSError):  # the process has ended
            lines = (place / "smaps_rollup").read_text().splitlines()
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(kilobytes / 1024, 1)


def main() -> None:
    """Query both servers in turns and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--flask", help="a Python with flask and gunicorn")
    parser.add_argument("--served", help="model of our server (default: MODEL)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--ask", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        print(
            json.dumps(
                measure_round(arguments.model, arguments.picture.read_bytes(), arguments.ask)
            )
        )
        return
    scripts = Path(mkdtemp(prefix="flask-"))
    (scripts / "usual.py").write_text(SCRIPT)
    os.environ["MODEL"] = str(Path(arguments.model).resolve())
    line = f"{sys.executable} -m webapp serve {arguments.served or arguments.model} --port {OURS}"
    limits = "--per-minute 1000000 --detector whole"
    flask = f"{arguments.flask} -m gunicorn -w 2 -b 127.0.0.1:{THEIRS} --keep-alive 30 usual:app"
    places = {
        "webapp": f"http://127.0.0.1:{OURS}/api/v1/predict",
        "flask": f"http://127.0.0.1:{THEIRS}/predict",
    }
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in places}
    with (
        run_server(f"{line} {limits}".split(), OURS) as own,
        run_server([*flask.split(), "--chdir", str(scripts)], THEIRS) as usual,
    ):
        groups = {"webapp": own, "flask": usual}
        for number in range(arguments.rounds + 1):
            for name, url in places.items():
                figures = measure_in_process(
                    url, arguments.picture, arguments.requests, groups[name]
                )
                print(name, figures, file=sys.stderr, flush=True)
                rounds[name] += [figures] if number else []  # the first round is a warm-up
        held = {name: read_memory(group) for name, group in groups.items()}
    middle = {
        name: {key: median(one[key] for one in found) for key in found[0]}
        for name, found in rounds.items()
    }
    pairs = zip(rounds["webapp"], rounds["flask"], strict=True)
    ratio = median(ours["per_second"] / theirs["per_second"] for ours, theirs in pairs)
    print(json.dumps({**middle, "times_as_many": round(ratio, 2), "memory_mb": held}))


if __name__ == "__main__":
    main()
