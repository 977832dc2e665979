"""How backbones are called: timm, its hub, embeddings, colours, faces; several joined by `+`.

Nothing here needs torch, so that settings are checked without it.
"""

from __future__ import annotations

from baseline.features.hub_embedding import (
    Ask,
    is_embedding,
    pinned_embedding,
    refuse_own_file,
)
from gleanset.errors import UsageError

JOIN = "+"
COLOURS = "colours"
FACES = "faces"
_HUBS = ("hf-hub:", "hf_hub:")


def backbone_names(name: str) -> tuple[str, ...]:
    """Return the names that `name` joins. Raises `UsageError` for an empty or repeated one."""
    names = tuple(part.strip() for part in name.split(JOIN))
    if not all(names) or len(set(names)) < len(names):
        raise UsageError(
            f"'{name}' names no backbones: each stands there once, with {JOIN} between",
            f"write for instance -o backbone=efficientnet_lite0{JOIN}{COLOURS}",
        )
    return names


def pinned_names(name: str, ask: Ask | None = None) -> str:
    """Return the same backbones with each embedding by its commit and hash, which `ask` knows.

    Nothing is fetched. Raises `UsageError`, and what `ask` raises.
    """
    return JOIN.join(_pinned(one, ask) for one in backbone_names(name))


def has_embedding(name: str) -> bool:
    """Return whether one of the backbones is an embedding model."""
    return any(is_embedding(one) for one in backbone_names(name))


def is_of_hub(name: str) -> bool:
    """Return whether a name is that of a model on a hub, not of timm itself."""
    return name.startswith(_HUBS)


def _pinned(name: str, ask: Ask | None) -> str:
    refuse_own_file(name)
    if is_embedding(name):
        return pinned_embedding(name, ask)
    if name.startswith("timm/"):
        return f"{_HUBS[0]}{name}"
    return name
