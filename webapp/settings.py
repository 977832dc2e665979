"""What the server must know, and the processes that compute for it, to which it goes as JSON."""

from __future__ import annotations

import hmac
import json
from pathlib import Path

import msgspec

from gleanset.dataset import is_dataset
from gleanset.settings import WebSettings, read_settings

PER_MINUTE = 240


class RequestLimits(msgspec.Struct, frozen=True):
    """What one request may ask for, and how often one visitor may ask.

    `body_bytes` of a whole request, within `seconds` from its first byte to its last; `pixels` of
    each of its `pictures`, `all_pixels` of them together, and `seconds_computed`; `faces` of a
    picture; `per_minute` requests of one address, each of which stands for `seconds_each` of
    computing; `waiting` requests that nothing has begun with, `visitor_waiting` of one address;
    `server_bytes` of requests that are under way, `visitor_bytes` of one address; `memory` bytes of
    a process that computes; `reports` that nobody has looked at yet, and `report_bytes` of the
    pictures of all reports, of which `gleanset gc` removes those of refused ones.
    """

    body_bytes: int = 20_000_000
    seconds: float = 30.0
    pixels: int = 50_000_000
    all_pixels: int = 100_000_000
    seconds_computed: float = 20.0
    pictures: int = 20
    faces: int = 50
    per_minute: int = PER_MINUTE
    seconds_each: float = 0.25
    waiting: int = 64
    visitor_waiting: int = 24
    server_bytes: int = 100_000_000
    visitor_bytes: int = 40_000_000
    memory: int = 1 << 30
    reports: int = 10_000
    report_bytes: int = 1_000_000_000


class ServeSettings(msgspec.Struct, frozen=True):
    """How a server was started.

    `model` is the ONNX file, `dataset` the folder that reports go to, None for no reports.
    `processes` compute.
    `hosts` are the names under which it may be asked, none for any, and `origins` the sites whose
    pages may ask. `token` is what a visitor must know, None for nothing, and `owner` what opens the
    owner's page, None for no such page; `web` what the page shows.
    With `on_device` visitors may fetch the model itself. Pictures are cut as `detector` says, as in
    `baseline.load`.
    """

    model: str
    dataset: str | None = None
    web: WebSettings = WebSettings()
    hosts: tuple[str, ...] = ()
    token: str | None = None
    origins: tuple[str, ...] = ()
    owner: str | None = None
    on_device: bool = True
    detector: str | None = None
    processes: int = 1
    limits: RequestLimits = RequestLimits()

    def lets_in(self, token: str) -> bool:
        """Return whether who says this token is let in; nothing is told by how long it takes."""
        return self.token is None or hmac.compare_digest(token.encode(), self.token.encode())

    def is_owner(self, token: str) -> bool:
        """Return whether who says this token owns the dataset."""
        return self.owner is not None and hmac.compare_digest(token.encode(), self.owner.encode())

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
