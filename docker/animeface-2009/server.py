"""animeface-2009 over standard streams: reads one image a line, writes its faces as one line.

The first line written is `{"protocol": 1, "animeface": "2.0.3", "pillow": "11.3.0"}`. A line of
input is `{"id": 7, "width": 640, "height": 480, "rgb": "..."}`: base64 of width x height x 3 bytes,
row by row. The answer is `{"id": 7, "faces": [...]}` with the library's fields as JSON (boxes are
x, y, width, height in pixels). The program ends with its input.
"""

from __future__ import annotations

import base64
import faulthandler
import json
import sys
from importlib.metadata import version
from typing import Any

from animeface import _nvxs
from PIL import Image

PROTOCOL = 1
SEARCH_TIMEOUT_SECONDS = 60
"""The process exits after this time, so that no forgotten container keeps computing."""


def main() -> None:
    """Answer each line until the input ends."""
    write_line(
        protocol=PROTOCOL, animeface=version("animeface"), pillow=version("pillow")
    )
    for line in sys.stdin.buffer:
        # Runs in a C thread, so it also ends a search that holds the GIL.
        faulthandler.dump_traceback_later(SEARCH_TIMEOUT_SECONDS, exit=True)
        request = json.loads(line)
        write_line(id=request["id"], faces=find_faces(request))
        faulthandler.cancel_dump_traceback_later()


def find_faces(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the faces in the request's pixels."""
    size = request["width"], request["height"]
    image = Image.frombytes("RGB", size, base64.b64decode(request["rgb"]))
    faces: list[dict[str, Any]] = _nvxs.detect(image.getdata())
    return faces


def write_line(**answer: object) -> None:
    """Write one line of JSON and flush it."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
