"""Requests per second of `webapp serve` and of a Flask script under gunicorn, with the same model.

    python -m venv flask && flask/bin/pip install flask gunicorn onnxruntime pillow
    python benchmarks/web_throughput.py MODEL.onnx IMAGE --flask flask/bin/python

The script runs the model once per request, in two workers with one thread each. Both servers run
throughout and are queried in turns by 16 client threads in a separate process. The last line is
JSON: medians over the rounds, the median ratio of the two rates (`times_as_many`), and the memory
of all processes of each server in MB (proportional set size: shared pages count once). `--served`
is a run's own `served.onnx`, possibly int8, where MODEL.onnx is the same run in fp32.
"""

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
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import mkdtemp
from typing import Any

from process_usage import read_cpu_seconds, read_memory

CLIENTS = 16
WEBAPP_PORT = 8711
FLASK_PORT = 8712
ROOT = Path(__file__).resolve().parents[1]
FLASK_SCRIPT = """
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
    image = Image.open(request.files["files"].stream).convert("RGB").resize((size, size))
    scores = session.run(["probabilities"], {"images": np.asarray(image)[None]})[0][0]
    best = np.argsort(-scores)[:5]
    return jsonify([{"label": int(n), "confidence": float(scores[n])} for n in best])
"""


@contextmanager
def run_server(command: list[str], port: int) -> Iterator[int]:
    """Run a server until the body ends; yield its process group."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        for _ in range(600):
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        time.sleep(3)
        yield server.pid
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def measure_round(url: str, image: bytes, requests: int) -> dict[str, float]:
    """Measure one round of 16 clients with keep-alive connections, if supported.

    The clients share the cores with the server, so they parse as little of a response as possible.
    """
    host, _, path = url.removeprefix("http://").partition("/")
    part = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    )
    body = part + image + b"\r\n--x--\r\n"
    seconds = list[float]()
    head = (
        f"POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    message = head.encode() + body
    (name, port) = host.split(":")

    def client() -> None:
        connection: socket.socket | None = None
        for _ in range(requests // CLIENTS):
            start = time.perf_counter()
            connection = connection or socket.create_connection((name, int(port)), 60)
            connection.sendall(message)
            response = connection.recv(65536)
            while not is_complete(response):
                response += connection.recv(65536)
            assert response.startswith(b"HTTP/1.1 200 "), response
            seconds.append(time.perf_counter() - start)
            if b"connection: close" in response.lower():
                connection.close()
                connection = None

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    start = time.perf_counter()
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    rate = len(seconds) / (time.perf_counter() - start)
    return {
        "per_second": round(rate, 1),
        "p95_ms": round(1000 * quantiles(seconds, n=20)[-1], 1),
    }


def is_complete(response: bytes) -> bool:
    """Return whether a response is complete according to its Content-Length."""
    head, blank, body = response.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return bool(blank) and len(body) >= int(length)


def measure_in_process(
    url: str, image: Path, requests: int, group: int
) -> dict[str, Any]:
    """Measure one round from a separate process, with the server's CPU time."""
    before = read_cpu_seconds(group)
    command = [sys.executable, __file__, url, str(image), "--child", str(requests)]
    process = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(process.stdout)
    cpu_ms = 1000 * (read_cpu_seconds(group) - before) / requests
    return figures | {"cpu_ms": round(cpu_ms, 2)}


def main() -> None:
    """Query both servers in turns and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("image", type=Path)
    parser.add_argument("--flask", help="a Python with flask and gunicorn")
    parser.add_argument("--served", help="model of our server (default: MODEL)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--child", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        image = arguments.image.read_bytes()
        print(json.dumps(measure_round(arguments.model, image, arguments.child)))
        return
    scripts = Path(mkdtemp(prefix="flask-"))
    (scripts / "predictor.py").write_text(FLASK_SCRIPT)
    os.environ["MODEL"] = str(Path(arguments.model).resolve())
    webapp = [
        sys.executable,
        "-m",
        "webapp",
        "serve",
        arguments.served or arguments.model,
    ]
    webapp += f"--port {WEBAPP_PORT} --per-minute 1000000 --detector whole".split()
    flask = f"-m gunicorn -w 2 -b 127.0.0.1:{FLASK_PORT} --keep-alive 30 predictor:app".split()
    urls = {
        "webapp": f"http://127.0.0.1:{WEBAPP_PORT}/api/v1/predict",
        "flask": f"http://127.0.0.1:{FLASK_PORT}/predict",
    }
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in urls}
    with (
        run_server(webapp, WEBAPP_PORT) as webapp_group,
        run_server(
            [arguments.flask, *flask, "--chdir", str(scripts)], FLASK_PORT
        ) as flask_group,
    ):
        groups = {"webapp": webapp_group, "flask": flask_group}
        for number in range(arguments.rounds + 1):
            for name, url in urls.items():
                group = groups[name]
                figures = measure_in_process(
                    url, arguments.image, arguments.requests, group
                )
                print(name, figures, file=sys.stderr, flush=True)
                # The first round is a warm-up.
                rounds[name] += [figures] if number else []
        memory = {name: read_memory(group) for name, group in groups.items()}
    medians = {
        name: {key: median(figures[key] for figures in each) for key in each[0]}
        for name, each in rounds.items()
    }
    pairs = zip(rounds["webapp"], rounds["flask"], strict=True)
    ratio = median(pair[0]["per_second"] / pair[1]["per_second"] for pair in pairs)
    print(
        json.dumps({**medians, "times_as_many": round(ratio, 2), "memory_mb": memory})
    )


if __name__ == "__main__":
    main()
