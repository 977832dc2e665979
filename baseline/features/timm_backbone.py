"""A network of PyTorch that stays as it is, made quick: norms folded, channels last, bf16.

On a CPU with bf16 that takes about a quarter of the time of the network as it comes
(docs/experiments.md).
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from baseline.features.backbone import (
    LAST,
    TINY,
    Array,
    Backbone,
    FeatureArray,
    FeaturePart,
    PictureShape,
    Shapes,
    State,
    Weights,
    batches_of,
    full_memory_explained,
    is_count,
    refuse_misfit,
)
from baseline.features.backbone_names import is_of_hub
from baseline.features.compute import choose_compute, reproducible, to_network
from baseline.features.graph_backbone import no_numbers
from baseline.features.stored_weights import DEFAULT, PACKAGED, digest_of
from baseline.settings import Precision
from gleanset.errors import InputUnusable, MissingComponent, UsageError

BATCH = 32
"""Pictures a pass. Fixed, and the last pass filled up: a vector never depends on its company."""
TOLERANCE = 1e-3
"""How far, as a share of the largest feature, folding may move one; float32 gives about 1e-5."""


class Extractor:
    """Turns pictures (N x C x size x size) into features (float32 N x D)."""

    def __init__(
        self, network: nn.Module, shape: PictureShape, precision: Precision, *, padded: bool = True
    ) -> None:
        self.compute = choose_compute(precision)
        self.shape, self.padded = (shape.channels, shape.size, shape.size), padded
        net = folded(network, torch.rand(2, *self.shape, generator=torch.Generator()))
        self.net = net.to(memory_format=torch.channels_last).to(self.compute.device)

    def __call__(self, pictures: Array) -> FeatureArray:
        """Return the features of any number of pictures.

        Raises `InputUnusable` where the weights give no numbers, `UsageError` where the memory of
        the device does not suffice.
        """
        with full_memory_explained(BATCH):
            parts = [self._at_once(pictures[part]) for part in batches_of(len(pictures), BATCH)]
        vectors = np.concatenate(parts)
        if not np.isfinite(vectors).all():
            raise no_numbers()
        return vectors

    def _at_once(self, pictures: Array) -> FeatureArray:
        count = BATCH if self.padded else len(pictures)
        filled = np.zeros((count, *self.shape), pictures.dtype)
        filled[: len(pictures)] = pictures
        with torch.inference_mode(), self.compute.autocast():
            found: torch.Tensor = self.net(
                to_network(torch.from_numpy(filled), self.compute.device)
            )
        vectors: FeatureArray = found.float().cpu().numpy()[: len(pictures)]
        return vectors


def folded(network: nn.Module, example: torch.Tensor) -> nn.Module:
    """Return a copy ready to predict, each batch norm folded into the convolution before it.

    Which convolution that is shows when the `example` passes through, whatever the network's
    make. Where the outcome is not the same, nothing is folded.
    """
    changed = copy.deepcopy(network).eval()
    with torch.inference_mode():
        expected = changed(example)
    for convolution, norm in _pairs(changed, example):
        fused: Any = fuse_conv_bn_eval(convolution, norm)
        convolution.weight, convolution.bias = fused.weight, fused.bias
        _replace(changed, norm)
    with torch.inference_mode():
        found = changed(example)
    if float((found - expected).abs().max()) <= TOLERANCE * float(expected.abs().max()):
        return changed
    return copy.deepcopy(network).eval()


def _pairs(net: nn.Module, example: torch.Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return each norm whose input is just what a convolution gave, with that convolution."""
    # The outputs themselves are kept, so that no other tensor gets the number of one.
    made: dict[int, tuple[nn.Conv2d, torch.Tensor]] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def after(module: nn.Conv2d, _: object, output: torch.Tensor) -> None:
        made[id(output)] = (module, output)

    def before(module: nn.BatchNorm2d, inputs: tuple[torch.Tensor, ...]) -> None:
        if id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], module))

    with _hooked(net, after, before), torch.no_grad():
        net(example[:1])
    return pairs


@contextmanager
def _hooked(net: nn.Module, after: Any, before: Any) -> Iterator[None]:
    hooks = [m.register_forward_hook(after) for m in net.modules() if isinstance(m, nn.Conv2d)]
    hooks += [
        m.register_forward_pre_hook(before) for m in net.modules() if isinstance(m, nn.BatchNorm2d)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _replace(net: nn.Module, norm: nn.BatchNorm2d) -> None:
    """Leave of a norm what it does besides: in timm often the activation."""
    name = next(name for name, module in net.named_modules() if module is norm)
    parent, _, child = name.rpartition(".")
    rest = [getattr(norm, part) for part in ("drop", "act") if hasattr(norm, part)]
    setattr(net.get_submodule(parent), child, nn.Sequential(*rest))


# Their weights were trained by TensorFlow, which pads and normalises in its own way.
_TIMM_NAMES = {name: f"tf_{name}" for name in PACKAGED}


class LearningBackbone(nn.Module):
    """Makes features of pictures in 0..1 (N x 1 or 3 x size x size), and can learn.

    With `keeps_norms` batch norms go by their pretrained statistics while it learns, too.
    """

    keeps_norms: bool = False

    def train(self, mode: bool = True) -> Self:
        """To learn, or (False) to predict."""
        super().train(mode)
        for module in self.modules() if self.keeps_norms else ():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


class TimmNetwork(LearningBackbone):
    """A network of timm without its classes, which can learn.

    Features are those before its classes, and the mean and spread of each earlier stage's maps, as
    those of `LiteBackbone`. Networks that do not go down in stages, such as vision transformers,
    give the last ones alone.
    """

    body: nn.Module
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, name: str, described: HubDescription | None = None) -> None:
        """Build it without weights worth having. Raises `UsageError` for an unknown name."""
        super().__init__()
        self.body = body = _built(described) if described else _created(name)
        stages = getattr(body, "feature_info", None) or []
        self.in_stages = len({stage["reduction"] for stage in stages}) > 1
        last = int(getattr(body, "head_hidden_size", 0) or body.num_features)
        early = [2 * stage["num_chs"] for stage in stages] if self.in_stages else []
        self.widths = (*early, last)
        config = body.pretrained_cfg
        for key in ("mean", "std"):
            value = torch.tensor(config[key]).view(1, -1, 1, 1)
            self.register_buffer(key, value, persistent=False)

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


class TimmBackbone(Backbone):
    """A network of timm that stays as it is."""

    def __init__(self, name: str, kept: Path | None = None, seed: int = 0) -> None:
        """Build it with weights drawn by the seed; what a hub tells is read from `kept`, if there.

        Raises `UsageError`, `InputUnusable` or `MissingComponent`.
        """
        self.name = name
        self.described = _from_hubs_file(name, kept) if is_of_hub(name) else None
        with reproducible(seed):
            self.network = TimmNetwork(name, self.described).eval()
        *early, last = widths = self.network.widths
        self.emphasis = np.repeat((1.0, LAST if early else 1.0), (sum(early), last))
        self.parts = (FeaturePart(name, True, widths),)

    @property
    def identity(self) -> tuple[object, ...]:
        """Name and normalisation."""
        network = self.network
        return (self.name, network.mean.flatten().tolist(), network.std.flatten().tolist())

    @property
    def kept_files(self) -> dict[str, bytes]:
        """What the hub told of the network, where it comes from there."""
        told = self.described
        return {_hubs_file(self.name): msgspec.json.encode(told)} if told else {}

    @property
    def shapes(self) -> Shapes:
        """The shapes of its weights by the names of the tensors, but for counts of batches."""
        return {name: value.shape for name, value in self.state.items() if not is_count(name)}

    @property
    def state(self) -> State:
        """Its weights."""
        return {name: value.numpy() for name, value in self.network.state_dict().items()}

    def fill(self, state: State) -> None:
        """Take weights. Raises `ValueError` where they are those of another network."""
        refuse_misfit(state, self.shapes)
        take_state(self.network, state)

    @property
    def parameters(self) -> int:
        """How many numbers of it were learnt."""
        return sum(weights.numel() for weights in self.network.parameters())

    def precision(self, wanted: Precision) -> str:
        """Return in what it is computed where a precision is wished for."""
        return choose_compute(wanted).name

    def extractor(
        self, shape: PictureShape, precision: Precision, *, padded: bool = True
    ) -> Extractor:
        """Return what makes features of pictures of a shape."""
        return Extractor(self.network, shape, precision, padded=padded)


def take_state(network: nn.Module, state: State) -> None:
    """Put weights into a network, whose shapes they have; counts of batches may be missing."""
    # Copied, for what comes from a file cannot be written to.
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    network.load_state_dict(network.state_dict() | tensors)


def _mean_and_spread(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each channel over the picture: N x C, N x C. In float32, for a spread is a difference."""
    exact = maps.float()
    mean = exact.mean((2, 3))
    # Not by var_mean, which takes five times as long on channels-last maps.
    variance = ((exact * exact).mean((2, 3)) - mean * mean).clamp(min=0)
    return mean, (variance + TINY).sqrt()


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


class HubDescription(msgspec.Struct, frozen=True):
    """What a model's page on a hub tells of it: its network of timm, and how that was made."""

    architecture: str
    arguments: dict[str, Any]
    config: dict[str, Any]


def _hubs_file(name: str) -> str:
    return f"hub-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _from_hubs_file(name: str, kept: Path | None) -> HubDescription:
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


def hub_weights(backbone: Backbone) -> tuple[State, Weights]:
    """Return the weights that timm or its hub has. Raises `UsageError` or `MissingComponent`."""
    import timm

    name = backbone.name
    described = backbone.described if isinstance(backbone, TimmBackbone) else None
    known = _TIMM_NAMES.get(name, name)
    try:
        body: Any = (
            _built(described, pretrained=True)
            if described
            else timm.create_model(known, pretrained=True, num_classes=0)
        )
    except RuntimeError as error:
        raise UsageError(
            f"timm's hub has no weights for {name}: {error}",
            "choose another backbone, or -o weights=none",
        ) from error
    except Exception as error:  # the hub's client raises its own kinds for each way to fail
        raise _unreachable(name, error) from error
    state = {name: value.numpy() for name, value in body.state_dict().items()}
    tag = body.pretrained_cfg.get("hf_hub_id") or body.pretrained_cfg.get("url") or known
    return state, Weights(f"hub {tag}", digest_of(state))


def _unreachable(name: str, error: Exception) -> MissingComponent:
    return MissingComponent(
        f"the weights of {name} could not be fetched from the hub: {error}",
        f"try again with a network, name a file (-o weights=PATH), or take "
        f"-o backbone={DEFAULT} -o weights=packaged",
    )
