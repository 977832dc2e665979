"""animeface-2009 behind standard streams: a picture a line in, its faces a line out.

It greets with `{"protocol": 1, "animeface": "2.0.3", "pillow": "11.3.0"}`. Each line it
reads is `{"id": 7, "width": 640, "height": 480, "rgb": "..."}`: base64 of width x height x 3
bytes, row by row. The answer is `{"id": 7, "faces": [...]}`, the library's own fields as JSON
(boxes are x, y, width, height in pixels). It ends when its input does.
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
LONGEST_SEARCH = 60
"""Seconds. Then it ends itself, so that no container is left behind working for nobody."""


def main() -> None:
    """Answer line by line until the input ends."""
    say(protocol=PROTOCOL, animeface=version("animeface"), pillow=version("pillow"))
    for line in sys.stdin.buffer:
        # A thread in C: it also ends a search that holds Python's lock.
        faulthandler.dump_traceback_later(LONGEST_SEARCH, exit=True)
        request = json.loads(line)
        say(id=request["id"], faces=faces(request))
        faulthandler.cancel_dump_traceback_later()


def faces(request: dict[str, Any]) -> list[dict[str, Any]]:
    """What the library finds on the pixels of the request."""
    size = request["width"], request["height"]
    image = Image.frombytes("RGB", size, base64.b64decode(request["rgb"]))
    found: list[dict[str, Any]] = _nvxs.detect(image.getdata())
    return found


def say(**answer: object) -> None:
    """Write one line at once."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
