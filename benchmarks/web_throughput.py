"""Requests a second of `webapp serve`, side by side with the usual Flask script, same model.

    python -m venv flask && flask/bin/pip install flask onnxruntime pillow
    python benchmarks/web_throughput.py MODEL.onnx PICTURE --flask flask/bin/python

The script runs one model call a request with onnxruntime's own threads, as people write it. Both
are asked in turns by 16 clients (`web_load.py`, a process of its own). The last line is JSON: the
medians of the rounds, and of how many times as many ours answered in each (both of a round see the
machine at nearly the same time). `--served` is a run's own `served.onnx`, which may be int8,
where MODEL.onnx is the same run in fp32. `--memory N` asks N requests more and prints how much
memory the server's processes hold before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
SCRIPT = """
import sys
import numpy as np
import onnxruntime
from flask import Flask, jsonify, request
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
size = session.get_inputs()[0].shape[1]
app = Flask(__name__)


@app.post("/predict")
def predict():
    picture = Image.open(request.files["files"].stream).convert("RGB").resize((size, size))
    found = session.run(["probabilities"], {"pictures": np.asarray(picture)[None]})[0][0]
    best = np.argsort(-found)[:5]
    return jsonify([{"label": int(n), "confidence": float(found[n])} for n in best])


app.run(port=int(sys.argv[2]))
"""


@contextmanager
def serving(line: list[str], port: int) -> Iterator[int]:
    """Run a server until the body ends; its process group."""
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


def loaded(url: str, picture: Path, requests: int) -> dict[str, Any]:
    """The figures of one round."""
    line = [sys.executable, str(HERE / "web_load.py"), url, str(picture)]
    ran = subprocess.run(
        [*line, "--requests", str(requests)], check=True, capture_output=True, text=True
    )
    figures: dict[str, Any] = json.loads(ran.stdout)
    return figures


def memory(group: int) -> float:
    """MB that the processes of a group hold for themselves (private pages)."""
    kilobytes = 0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(place.name)) == group:
                told = (place / "smaps_rollup").read_text()
                kilobytes += sum(int(x.split()[1]) for x in told.splitlines() if "Private" in x)
        except (OSError, ProcessLookupError):
            continue
    return round(kilobytes / 1024, 1)


def main() -> None:
    """Ask both in turns and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--flask", type=Path, required=True, help="a Python with flask")
    parser.add_argument("--served", type=Path, help="what our server answers by, if not MODEL")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--ports", type=int, nargs=2, default=(8711, 8712))
    given = parser.parse_args()
    script = given.model.with_suffix(".flask.py")
    script.write_text(SCRIPT)
    ours, theirs = given.ports
    limits = ["--per-minute", "1000000", "--detector", "whole"]
    line = [
        sys.executable,
        "-m",
        "webapp",
        "serve",
        str(given.served or given.model),
        "--port",
        str(ours),
    ]
    flask = [str(given.flask), str(script), str(given.model), str(theirs)]
    places = {
        "webapp": f"http://127.0.0.1:{ours}/api/v1/predict",
        "flask": f"http://127.0.0.1:{theirs}/predict",
    }
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in places}
    with serving([*line, *limits], ours) as group, serving(flask, theirs):
        for url in places.values():
            loaded(url, given.picture, 200)
        for _ in range(given.rounds):
            for name, url in places.items():
                rounds[name].append(loaded(url, given.picture, given.requests))
                print(name, rounds[name][-1], file=sys.stderr, flush=True)
        if given.memory:
            before = memory(group)
            loaded(places["webapp"], given.picture, given.memory)
            print("memory, MB", before, "->", memory(group), file=sys.stderr)
    middle = {
        name: {key: median(one[key] for one in found) for key in found[0]}
        for name, found in rounds.items()
    }
    ratio = median(
        ours["per_second"] / theirs["per_second"]
        for ours, theirs in zip(rounds["webapp"], rounds["flask"], strict=True)
    )
    print(json.dumps({**middle, "times_as_many": round(ratio, 2)}))


if __name__ == "__main__":
    main()
