"""Settings of the server, passed to its compute processes."""

import hmac
from pathlib import Path

import msgspec

from gleanset.dataset import is_dataset
from gleanset.settings import MAX_LINE_CHARACTERS, WebSettings, read_settings
from gleanset.web.settings import AccessSettings, TransferLimits


class RequestLimits(TransferLimits, frozen=True):
    """Limits of requests.

    Of one request: `seconds_computed`, `images`, `pixels` of each and `all_pixels` together,
    `faces` of an image. Of one client: requests worth `seconds_each` of computing each, and
    `client_waiting` in the queue. Of the server: `waiting` requests, `memory` bytes of each compute
    process, pending `reports`, and `report_bytes` of their images.
    """

    pixels: int = 50_000_000
    all_pixels: int = 100_000_000
    seconds_computed: float = 20.0
    images: int = 20
    faces: int = 50
    seconds_each: float = 0.25
    waiting: int = 64
    client_waiting: int = 24
    memory: int = 1 << 30
    reports: int = 10_000
    report_bytes: int = 1_000_000_000


class ServeSettings(AccessSettings, frozen=True, kw_only=True):
    """Settings of a running server.

    `model` is an ONNX file, `copy` an equal one that is never replaced (None: `model`),
    `dataset` the folder for reports (None: no reports), `web` what the page shows. `admin` opens
    the administrator's page (None: no such page). With `on_device`, users may download the model.
    `detector` as in `baseline.load`. `names` are the current ones of classes that were renamed
    since the training (None: read from the dataset of the run).
    """

    model: str
    dataset: str | None = None
    web: WebSettings = WebSettings()
    admin: str | None = None
    on_device: bool = True
    detector: str | None = None
    processes: int = 1
    limits: RequestLimits = RequestLimits()
    copy: str | None = None
    names: dict[str, str] | None = None

    def is_admin(self, token: str) -> bool:
        """Return whether a token is that of the administrator."""
        return self.admin is not None and hmac.compare_digest(
            token.encode(),
            self.admin.encode(),
        )


def page_settings(root: Path) -> WebSettings:
    """Return the `[web]` table of a dataset, with its name, description and contact as defaults.

    The folder's name is not a title for users.
    """
    if not is_dataset(root):
        return WebSettings()
    settings = read_settings(root)
    web = settings.web
    name = settings.name or ""
    if name == root.absolute().name:
        name = ""
    return msgspec.structs.replace(
        web,
        title=web.title or name[:MAX_LINE_CHARACTERS] or None,
        contact=web.contact or settings.contact,
        description=web.description or settings.description,
    )
