"""`webapp export`: the page as static files; the model runs in the browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from facecrop.detectors.drawnface import MODEL
from gleanset.command_result import CommandResult
from gleanset.dataset import is_dataset
from gleanset.errors import MissingComponent, UsageError
from gleanset.files.atomic import disk_errors, write_atomic
from gleanset.html.words import count, format_bytes
from gleanset.web.page_files import SHARED_PAGE
from gleanset.work.progress import Progress
from webapp.exports import find_served_file, private_copy
from webapp.loaded_model import (
    LoadedModel,
    load_model,
    make_device_facts,
    make_page_facts,
)
from webapp.model_card import model_card
from webapp.page_files import FINDER, MANIFEST, PAGE, make_manifest
from webapp.portraits import portraits
from webapp.request import StaticPageRequest
from webapp.settings import ServeSettings, page_settings

API = "api/v1"
NPM_LOCK = "package-lock.json"
API_FILES = ("api.html", "api_page.js", "snippets.js", "openapi.json")
SERVER_FILES = (
    *API_FILES,
    "admin.html",
    "admin.css",
    "admin.js",
    NPM_LOCK,
    MANIFEST,
)
"""Files of the page that only a server needs, or that are generated."""


class StaticPage(CommandResult, kw_only=True):
    """The page of a run as static files."""

    run: str
    folder: str
    files: int
    bytes: int
    note: str

    def summary(self) -> dict[str, Any]:
        """Return the result with the size as a text."""
        return {
            "folder": self.folder,
            "size": f"{format_bytes(self.bytes)} in {count(self.files, 'file')}",
            "run": self.run,
            "note": self.note,
        }


def export_page(
    root: Path, request: StaticPageRequest, progress: Progress
) -> StaticPage:
    """Write the page of a run with everything it needs to a folder.

    Raises `UsageError` for a folder with other files, `MissingComponent`, and what
    `find_served_file` and `load_model` raise.
    """
    folder = Path(request.folder)
    with disk_errors(folder):
        is_empty = not folder.exists() or not any(folder.iterdir())
    is_earlier_export = (folder / API / "model.json").is_file()
    if not is_empty and not is_earlier_export:
        raise UsageError(
            f"the folder has other files: {folder}",
            "use a new or empty folder",
        )
    _check_npm_packages()

    web = page_settings(root)
    sizes = []
    file = find_served_file(root, request.run, web.run, progress)
    with private_copy(file) as copy:
        settings = ServeSettings(
            model=str(file),
            dataset=str(root.resolve()) if is_dataset(root) else None,
            web=web,
            detector=request.detector,
            copy=str(copy),
        )
        # Also checks the model before anything is written.
        model = load_model(settings)
        for name, data in _make_files(settings, model):
            write_atomic(folder / name, data)
            sizes.append(len(data))

    return StaticPage(
        run=model.run,
        folder=str(folder),
        files=len(sizes),
        bytes=sum(sizes),
        note=""
        if web.contact
        else "no contact for removal requests: set contact under [web] in dataset.toml",
    )


def _check_npm_packages() -> None:
    """Raise `MissingComponent` unless the packages of the lock file were downloaded."""
    lock = PAGE.with_name(NPM_LOCK)
    downloaded_lock = PAGE / "vendor" / NPM_LOCK
    is_current = (
        downloaded_lock.is_file() and downloaded_lock.read_bytes() == lock.read_bytes()
    )
    if not is_current:
        raise MissingComponent(
            "npm packages of the page are missing",
            "python tools/npm_parts.py",
        )


def _make_files(
    settings: ServeSettings, model: LoadedModel
) -> Iterator[tuple[str, bytes]]:
    """Yield the path of each file of the site, relative to its folder, and its content."""
    for folder in (SHARED_PAGE, PAGE):
        for path in sorted(folder.rglob("*")):
            # Compressed copies are for the server of `webapp serve`.
            is_for_server = path.name in SERVER_FILES or path.suffix == ".gz"
            if path.is_file() and not is_for_server:
                yield path.relative_to(folder).as_posix(), path.read_bytes()

    yield FINDER.lstrip("/"), MODEL.read_bytes()
    yield MANIFEST, make_manifest(settings, of_faces=model.of_faces)
    yield f"{API}/model.onnx", model.content.read_bytes()

    # Computations of the server get the argument of their request: these two have none.
    faces = portraits(model, None, settings)
    without_dataset = msgspec.structs.replace(settings, dataset=None)  # no reports
    changes = {
        "finder": "browser",
        "portraits": bool(faces["faces"]),
        "server": False,
    }
    responses = {
        "classes": make_page_facts(without_dataset, model) | changes,
        "card": model_card(model, None, without_dataset),
        "portraits": faces,
        "model.json": make_device_facts(model),
    }
    for name, body in responses.items():
        yield f"{API}/{name}", msgspec.json.encode(body)
