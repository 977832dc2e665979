"""What several tests of the web app use."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image
from starlette.testclient import TestClient

Serve = Callable[..., TestClient]


def picture_of(colour: str, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    """The bytes of a picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()
