"""What each part of this room needs to have installed, and what brings it."""

from __future__ import annotations

from importlib.util import find_spec

from gleanset.errors import MissingComponent
from gleanset.installation import install_command

COMPUTED = ("onnx", "safetensors")
SOLVED = ("scipy", "sklearn", "threadpoolctl")
LEARNT = ("torch", "timm")


def need_graphs() -> None:
    """Raise `MissingComponent` where something is missing that networks are computed by."""
    _need("networks are computed by", COMPUTED, "transfer")


def need_transfer() -> None:
    """Raise `MissingComponent` where something is missing that `transfer` and presorts need."""
    _need("learning on features needs", (*COMPUTED, *SOLVED), "transfer")


def need_torch(what: str = "learning by gradients") -> None:
    """Raise `MissingComponent` where something is missing that networks learn by."""
    _need(f"{what} needs", LEARNT, "train")


def can_export() -> bool:
    """Return whether runs can be written as ONNX files here."""
    return all(find_spec(name) for name in COMPUTED)


def can_transfer() -> bool:
    """Return whether `transfer` can learn here."""
    return all(find_spec(name) for name in (*COMPUTED, *SOLVED))


def has_torch() -> bool:
    """Return whether networks can learn here."""
    return all(find_spec(name) for name in LEARNT)


def _need(what: str, packages: tuple[str, ...], extra: str) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise MissingComponent(
            f"{what} {' and '.join(missing)}, which is not installed",
            install_command(extra),
        )
