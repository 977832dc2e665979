"""How backbones are called: timm, its hub, embeddings, colours, faces; several joined by `+`.

Nothing here needs torch, so that settings are checked without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from gleanset.config import TomlTable
from gleanset.errors import UsageError
from gleanset.files.hub import HubFile, HubPin, is_on_hub, on_hub, pinned

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


Ask = Callable[[HubFile], HubPin]
Channels = Annotated[tuple[float, ...], Meta(min_length=3, max_length=3)]
_NOT_OURS = (".onnx", ".toml")


class KnownModel(TomlTable, frozen=True):
    """How the models of a repository take images, as their publisher's own program gives them.

    `file` is what the model is called in each folder. A channel value is (`range` x value in 0..1 -
    `mean`) / `std`, in the order of `colours`. `side` is height and width where the file leaves
    both free, `layout` where the channels stand. The last output is the embedding.
    """

    file: str
    layout: Literal["nchw", "nhwc"]
    side: int = 0
    range: Literal[1, 255] = 1
    mean: Channels | None = None
    std: Channels | None = None
    colours: Literal["rgb", "bgr"] = "rgb"


class EmbeddingSpec(NamedTuple):
    """One model: its file on the hub, the SHA-256 (empty where it is not pinned), and its kind."""

    file: HubFile
    sha256: str
    kind: KnownModel

    @property
    def name(self) -> str:
        """Its name for people: that of its folder."""
        return self.file.key.split("/")[-2]

    @property
    def file_name(self) -> str:
        """The name of its file in a run's folder."""
        return f"embedding-{self.sha256[:16]}.onnx"

    def pinned(self) -> str:
        """Return the name that settings keep."""
        return f"{self.file}#sha256={self.sha256}" if self.sha256 else str(self.file)


def is_embedding(name: str) -> bool:
    """Return whether a backbone's name is that of an embedding model."""
    return is_on_hub(name)


def refuse_own_file(name: str) -> None:
    """Raise `UsageError` where a backbone's name is that of an ONNX file, or a description of one.

    An earlier version took those.
    """
    place = name.partition("#")[0].lower()
    if place.startswith(("http://", "https://")) or place.endswith(_NOT_OURS):
        raise UsageError(
            f"an ONNX file cannot be a backbone any more: {name}",
            "take a network of timm (also hf-hub:OWNER/NAME), or a model that "
            "'baseline backbones' names",
        )


def known_models() -> dict[str, KnownModel]:
    """Return the known repositories of embeddings."""
    listed = on_hub("baseline.features")["repositories"]
    return msgspec.convert(listed, dict[str, KnownModel])


def parse(name: str) -> EmbeddingSpec:
    """Read a name. Raises `UsageError` for a repository that is not known."""
    place, _, fragment = name.partition("#")
    # Runs of an earlier version say there how images are taken, too: the list knows it.
    pairs = dict(pair.partition("=")[::2] for pair in fragment.split("&"))
    repository = HubFile.parse(place).repository
    kind = known_models().get(repository)
    if kind is None:
        raise UsageError(
            f"{repository} is not a known repository of embeddings",
            f"take one of: {', '.join(known_models())}; or a network of timm: hf-hub:OWNER/NAME",
        )
    return EmbeddingSpec(HubFile.parse(place, kind.file), pairs.get("sha256", ""), kind)


def pinned_embedding(name: str, ask: Ask | None = None) -> str:
    """Return the name with the commit and SHA-256 that `ask` says it stands for; fetches nothing.

    Without `ask` they are left open. Raises `UsageError`, and what `ask` raises.
    """
    spec = parse(name)
    if ask is not None:
        whole, sha256 = pinned(str(spec.file), spec.sha256, ask)
        spec = spec._replace(file=HubFile.parse(whole), sha256=sha256)
    return spec.pinned()
