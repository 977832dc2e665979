"""What every kind of pool gives to whoever has items: a way in, and how wide it is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class OpenPool:
    """Workers that wait for items. `width` is how many are worked on at once, as things stand."""

    submit: Callable[[Any], Future[Any]]
    width: Callable[[], int]
