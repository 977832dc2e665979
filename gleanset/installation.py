"""Commands to install, repair or update Gleanset, matching how it was installed."""

import json
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gleanset.errors import InputUnusable, MissingComponent

_NAME = "gleanset"


def describe_replaced_package(package: str, file: str | None) -> MissingComponent:
    """Return the error for a package of ours that is missing, replaced or hidden by a file.

    `file` is the module that Python finds under its name, None if it finds none.
    """
    from importlib.metadata import packages_distributions

    # The installed distributions, other than Gleanset, that have a package of this name.
    owners = {*packages_distributions().get(package, ())} - {_NAME}
    fix = reinstall_command()
    if owners:
        installer = shlex.join([*_installer(), *owners])
        fix = f"{installer.replace(' install ', ' uninstall ')} && {fix}"
    elif file:
        fix = "rename it"
    name = ", ".join(owners) or file or "nothing"
    what = f"in the place of Gleanset's package {package} is another: {name}"
    return MissingComponent(what, fix)


def install_command(*extras: str, options: tuple[str, ...] = ()) -> str:
    """Return the command that installs extras here."""
    clone = _find_clone()
    if extras == ("train",) and clone and Path(sys.prefix) == clone / ".venv":
        # Unlike pip it can choose the build of PyTorch for this machine.
        return shlex.join(
            ["python3", str(clone / "bootstrap.py"), "install", "--train"]
        )
    return shlex.join([*_installer(), *options, *_requirement(extras)])


def require_extra(feature: str, packages: tuple[str, ...], extra: str) -> None:
    """Raise `MissingComponent` without the packages of an extra that a feature needs."""
    if missing := [name for name in packages if find_spec(name) is None]:
        raise MissingComponent(
            f"{feature} needs packages that are not installed: {', '.join(missing)}",
            install_command(extra),
        )


def reinstall_command() -> str:
    """Return the command that installs Gleanset and its dependencies again."""
    return install_command(options=("--force-reinstall",))


def restore_command(folder: str) -> str:
    """Return the command that restores a folder that comes with Gleanset."""
    clone = _find_clone()
    if not clone:
        return reinstall_command()
    return shlex.join(["git", "-C", str(clone), "restore", folder])


def bundled_data() -> Path:
    """Return the `datasets` folder of a checkout or a wheel: recipes and the sample."""
    root = Path(__file__).resolve().parents[1]
    for folder in (root / "pipeline" / "datasets", root / "datasets"):
        if (folder / "sample").is_dir():
            return folder
    raise InputUnusable(
        "the bundled sample is missing from this installation",
        restore_command("datasets"),
    )


def update_command() -> str:
    """Return the command that installs a newer version."""
    clone = _find_clone()
    if clone:
        return f"{shlex.join(['git', '-C', str(clone), 'pull'])} && {install_command()}"
    if _read_origin().get("url", "").endswith(".whl"):
        return shlex.join([*_installer(), f"{_NAME}-VERSION-py3-none-any.whl"])
    return install_command(options=("--upgrade",))


def _installer() -> list[str]:
    """Return the start of the command that installs packages here."""
    # An environment made by uv has no pip.
    if find_spec("pip") is None:
        return ["uv", "pip", "install", "--python", sys.executable]

    # Short if the user's `python` is the one that runs here.
    on_path = shutil.which("python")
    is_own = on_path and Path(on_path).parent == Path(sys.executable).parent
    python = "python" if is_own else sys.executable
    return [python, "-m", "pip", "install"]


def _requirement(extras: tuple[str, ...]) -> list[str]:
    """Return the words that name this installation and extras to pip."""
    brackets = f"[{','.join(extras)}]" if extras else ""
    clone = _find_clone()
    if clone:
        return ["-e", f"{clone}{brackets}"]

    origin = _read_origin()
    url = origin.get("url", "")
    if vcs := origin.get("vcs_info"):
        return [f"{_NAME}{brackets} @ {vcs['vcs']}+{url}@{vcs['commit_id']}"]

    # The wheel was deleted since: its name is advised, for the user to put the file here again.
    parts = urlsplit(url)
    file = Path(unquote(parts.path))
    if parts.scheme == "file" and not file.exists():
        return [f"./{file.name}{brackets}"]

    source = f" @ {url}" if url else ""
    return [f"{_NAME}{brackets}{source}"]


def _find_clone() -> Path | None:
    """Return the folder of the source code that runs here; None for an installed wheel."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() else None


def _read_origin() -> dict[str, Any]:
    """Return what pip stored about the origin of this installation (PEP 610)."""
    # Imported here: it takes about 20 ms.
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution(_NAME).read_text("direct_url.json")
    except PackageNotFoundError:
        return {}
    return dict(json.loads(text)) if text else {}
