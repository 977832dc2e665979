"""What each part of this room needs to have installed, and what brings it."""

from __future__ import annotations

from importlib.util import find_spec

from gleanset.errors import MissingComponent
from gleanset.installation import install_command

GRAPH_PACKAGES = ("onnx", "safetensors")
SOLVER_PACKAGES = ("scipy", "sklearn", "threadpoolctl")
TORCH_PACKAGES = ("torch", "timm")


def require_graphs() -> None:
    """Raise `MissingComponent` where something is missing that networks are computed by."""
    _need("networks are computed by", GRAPH_PACKAGES, "transfer")


def require_transfer() -> None:
    """Raise `MissingComponent` where something is missing that `transfer` and presorts need."""
    _need("learning on features needs", (*GRAPH_PACKAGES, *SOLVER_PACKAGES), "transfer")


def require_torch(what: str = "learning by gradients") -> None:
    """Raise `MissingComponent` where something is missing that networks learn by."""
    _need(f"{what} needs", TORCH_PACKAGES, "train")


def can_export() -> bool:
    """Return whether runs can be written as ONNX files here."""
    return all(find_spec(name) for name in GRAPH_PACKAGES)


def can_transfer() -> bool:
    """Return whether `transfer` can learn here."""
    return all(find_spec(name) for name in (*GRAPH_PACKAGES, *SOLVER_PACKAGES))


def has_torch() -> bool:
    """Return whether networks can learn here."""
    return all(find_spec(name) for name in TORCH_PACKAGES)


def _need(what: str, packages: tuple[str, ...], extra: str) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise MissingComponent(
            f"{what} {' and '.join(missing)}, which is not installed",
            install_command(extra),
        )
