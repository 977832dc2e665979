"""A program that imitates a container engine and a misbehaving container.

Run as `docker`, it knows the subcommands that we use. The file `mode` next to it says what it
does with images other than the self-test's; each start adds a line to `starts`.
"""

import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(sys.argv[0]).resolve().parent
FACE: dict[str, Any] = {
    "likelihood": 1.0,
    "face_box": [55, 66, 88, 88],
    "left_eye_box": [110, 88, 22, 28],
    "right_eye_box": [68, 90, 24, 28],
    "mouth_box": [95, 129, 13, 9],
    "nose_point": [101, 117],
    "skin_color": [1, 2, 3],
    "hair_color": [1, 2, 3],
    "left_eye_color": [1, 2, 3],
    "right_eye_color": [1, 2, 3],
    "chin_point": [98, 145],
}
GREETING = {"protocol": 1, "animeface": "2.0.3", "pillow": "11.3.0"}
INVALID: dict[str, Any] = {
    "not JSON": "hello",
    "not an object": [],
    "no faces": {"id": 2},
    "another id": {"id": 1, "faces": []},
    "text for a number": {"faces": [FACE | {"likelihood": "1"}]},
    "a likelihood of 7": {"faces": [FACE | {"likelihood": 7}]},
    "no likelihood": {
        "faces": [{key: FACE[key] for key in FACE if key != "likelihood"}]
    },
    "a box of three": {"faces": [FACE | {"face_box": [1, 2, 3]}]},
    "a box elsewhere": {"faces": [FACE | {"face_box": [500, 66, 88, 88]}]},
    "a box without a size": {"faces": [FACE | {"face_box": [55, 66, 0, 88]}]},
    "a far eye": {"faces": [FACE | {"left_eye_box": [10**9, 0, 5, 5]}]},
    "a huge number": {"faces": [FACE | {"nose_point": [10**30, 0]}]},
    "too many": {"faces": [FACE] * 1001},
}


def main() -> None:
    if sys.argv[1] == "run":
        run((HERE / "mode").read_text())


def run(mode: str) -> None:
    with (HERE / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    first = len((HERE / "starts").read_text().splitlines()) == 1
    if mode.startswith("greets"):
        return send(json.loads(mode.removeprefix("greets ")))
    if mode == "fails":
        sys.exit("no such runtime")
    send(GREETING)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        assert (
            len(base64.b64decode(request["rgb"]))
            == request["width"] * request["height"] * 3
        )
        if (request["width"], request["height"]) == (200, 200):
            send({"id": request["id"], "faces": [FACE]})
        elif mode != "dies once" or first:
            misbehave(mode, request)
        else:
            send({"id": request["id"], "faces": [FACE]})
    return None


def misbehave(mode: str, request: dict[str, Any]) -> None:
    if mode.startswith("dies"):
        os.write(2, b"Traceback ...\n\x1b[31mMemoryError: too \x00much\n")
        os._exit(3)
    if mode == "floods":
        os.write(1, b"x" * 2_000_000)
    if mode == "sleeps":
        time.sleep(600)
    answer = INVALID[mode]
    send({"id": request["id"]} | answer if isinstance(answer, dict) else answer)


def send(answer: object) -> None:
    sys.stdout.write((answer if isinstance(answer, str) else json.dumps(answer)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
