"""A run as one file for another program: ONNX for servers and pages, LiteRT for phones."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_converters() -> Iterator[None]:
    """Silence the log up to warnings, and Python's warnings, for the time of the block."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
