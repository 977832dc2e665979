"""What each worker of the server must know. It travels to the workers as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from gleanset.dataset import is_dataset
from gleanset.settings import WebSettings, read_settings

PER_MINUTE = 240


class RequestLimits(msgspec.Struct, frozen=True):
    """What one request may ask for, and how often one visitor may ask.

    `body_bytes` of a whole request, within `seconds` from its first byte to its last; `pixels` of
    each of its `pictures`; `faces` of a picture; `per_minute` requests of one address; `waiting`
    requests in a worker that have not begun; `reports`
    and `take_downs` (requests for them) that nobody has looked at yet. Pictures of all reports
    take `report_bytes`: those of answered ones leave first, the oldest before the others.
    """

    body_bytes: int = 20_000_000
    seconds: float = 30.0
    pixels: int = 50_000_000
    pictures: int = 20
    faces: int = 50
    per_minute: int = PER_MINUTE
    waiting: int = 64
    reports: int = 10_000
    report_bytes: int = 1_000_000_000
    take_downs: int = 1_000


class ServeSettings(msgspec.Struct, frozen=True):
    """How a server was started.

    `served` is the file that names the model in force (`webapp.served`), `counters` that of the
    requests of each address, `dataset` the folder that reports go to, None for no reports.
    `hosts` are the names under which it may be asked, none for any. `token` is what a visitor
    must know, None for nothing; `web` what the page shows. With `on_device` visitors may fetch the
    model itself. Pictures are cut as `detector` says, as in `baseline.load`.
    """

    served: str
    counters: str
    dataset: str | None = None
    web: WebSettings = WebSettings()
    hosts: tuple[str, ...] = ()
    token: str | None = None
    on_device: bool = True
    detector: str | None = None
    limits: RequestLimits = RequestLimits()

    def to_text(self) -> str:
        """Return what `from_text` reads."""
        return json.dumps(msgspec.to_builtins(self))

    @classmethod
    def from_text(cls, text: str) -> ServeSettings:
        """Return the settings that `to_text` wrote."""
        return msgspec.convert(json.loads(text), cls)


def page_settings(root: Path) -> WebSettings:
    """Return what the page of a dataset shows; of an exported file without one, what is usual."""
    return read_settings(root).page if is_dataset(root) else WebSettings()
