"""Names of backbones: timm, embeddings, `colours` and `faces`, joined by `+`.

Does not need torch, so that settings can be validated without it.
"""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from gleanset.config import TomlTable
from gleanset.errors import UsageError
from gleanset.files.hub import (
    HubFile,
    HubPin,
    has_hub_prefix,
    load_hub_models,
    pin_hub_name,
)

JOIN = "+"
DEFAULT = "efficientnet_lite0"
COLOURS = "colours"
FACES = "faces"

Ask = Callable[[HubFile], HubPin]


def backbone_names(name: str) -> tuple[str, ...]:
    """Split joined names. Raises `UsageError` for an empty or repeated one."""
    names = tuple(part.strip() for part in name.split(JOIN))
    if not all(names) or len(set(names)) < len(names):
        raise UsageError(
            f"'{name}' has an empty or repeated backbone name",
            f"join different names by {JOIN}: -o backbone=efficientnet_lite0{JOIN}{COLOURS}",
        )
    return names


def pin_names(name: str, ask: Ask | None) -> str:
    """Return backbone names with the commit and hash of each embedding, as `ask` returns them.

    Downloads nothing. Raises `UsageError`, and the errors of `ask`.
    """
    return JOIN.join(_pin_name(member, ask) for member in backbone_names(name))


def has_embedding(name: str) -> bool:
    """Return whether one of the backbones is an embedding model."""
    return any(map(has_hub_prefix, backbone_names(name)))


def _pin_name(name: str, ask: Ask | None) -> str:
    check_backbone_name(name)
    if has_hub_prefix(name):
        return pin_embedding(name, ask).format_pin()
    return name


Channels = Annotated[tuple[float, ...], Meta(min_length=3, max_length=3)]
_FILE_SUFFIXES = (".onnx", ".toml")


class KnownModel(TomlTable, frozen=True):
    """Preprocessing for the models of a repository, equal to that of their publisher.

    `file` is the name of the model in each folder. A channel value is (`range` x value in 0..1 -
    `mean`) / `std`, in the order of `colours`. `side` is the input size if the file has dynamic
    axes. The last output is the embedding.
    """

    file: str
    layout: Literal["nchw", "nhwc"]
    side: int = 0
    range: Literal[1, 255] = 1
    mean: Channels | None = None
    std: Channels | None = None
    colours: Literal["rgb", "bgr"] = "rgb"


class EmbeddingSpec(NamedTuple):
    """An embedding model: its file on the hub, SHA-256 (empty if not pinned), and kind."""

    file: HubFile
    sha256: str
    kind: KnownModel

    @property
    def name(self) -> str:
        """Its displayed name: that of its folder."""
        return self.file.key.split("/")[-2]

    @property
    def file_name(self) -> str:
        """The name of its file in a run's folder."""
        return f"embedding-{self.sha256[:16]}.onnx"

    def format_pin(self) -> str:
        """Return the pinned name, which settings store."""
        if not self.sha256:
            return str(self.file)
        return f"{self.file}#sha256={self.sha256}"


def check_backbone_name(name: str) -> None:
    """Raise `UsageError` for an ONNX file or a description of one."""
    path = name.partition("#")[0].lower()
    if path.startswith(("http://", "https://")) or path.endswith(_FILE_SUFFIXES):
        raise UsageError(
            f"an ONNX file cannot be a backbone: {name}",
            "use a network of timm, or a model listed by: baseline backbones",
        )


def list_known_models() -> dict[str, KnownModel]:
    """Return the known repositories of embeddings."""
    repositories = load_hub_models("baseline.features")["repositories"]
    return msgspec.convert(repositories, dict[str, KnownModel])


def parse_embedding(name: str) -> EmbeddingSpec:
    """Parse the name of an embedding. Raises `UsageError` for an unknown repository."""
    file, _, fragment = name.partition("#")
    sha256 = fragment.removeprefix("sha256=")
    repository = HubFile.parse(file).repository
    kind = list_known_models().get(repository)
    if kind is None:
        raise UsageError(
            f"{repository} is not a known repository of embeddings",
            f"use one of: {', '.join(list_known_models())}; or a network of timm",
        )

    return EmbeddingSpec(
        HubFile.parse(file, kind.file),
        sha256,
        kind,
    )


def pin_embedding(name: str, ask: Ask | None) -> EmbeddingSpec:
    """Parse a name, with the commit and SHA-256 that `ask` returns; downloads nothing.

    Without `ask` they are left out. Raises `UsageError`, and the errors of `ask`.
    """
    spec = parse_embedding(name)
    if ask is None:
        return spec
    file, sha256 = pin_hub_name(str(spec.file), spec.sha256, ask)
    return spec._replace(file=HubFile.parse(file), sha256=sha256)
