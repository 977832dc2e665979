"""Exporting runs as files for other programs: ONNX for servers and pages, LiteRT for phones."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_converters() -> Iterator[None]:
    """Suppress log messages up to warnings, and Python warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
