"""Networks of timm for inference: channels last, and bf16 where the hardware has it."""

import copy
import hashlib
from typing import Any, Self

import numpy as np
import safetensors.numpy
import torch
from torch import Tensor, nn

from baseline.features.backbone import (
    MIN_VARIANCE,
    Backbone,
    ImageShape,
    Shapes,
    State,
    Weights,
    batch_slices,
    check_state_shapes,
    explain_out_of_memory,
    is_batch_counter,
)
from baseline.features.backbone_names import DEFAULT
from baseline.features.compute import choose_compute, reproducible, to_network
from baseline.features.graph_backbones import concatenate_features
from baseline.settings import Precision
from gleanset.arrays import Array, Float32Array
from gleanset.errors import MissingComponent, UsageError

BATCH = 32
"""Batch size. The last batch is padded, so that features do not depend on other images."""


class Extractor:
    """Computes features (float32 N x D) of images (N x C x size x size)."""

    def __init__(
        self,
        network: nn.Module,
        shape: ImageShape,
        precision: Precision,
        *,
        pad_batches: bool = True,
    ):
        self.compute = choose_compute(precision)
        self.shape = (shape.channels, shape.size, shape.size)
        self.pad_batches = pad_batches
        net = copy.deepcopy(network).eval().to(memory_format=torch.channels_last)
        self.net = net.to(self.compute.device)

    def __call__(self, images: Array) -> Float32Array:
        """Return the features of any number of images.

        Raises `InputUnusable` for features that are not finite, `UsageError` when out of memory.
        """
        batches = batch_slices(len(images), BATCH)
        with explain_out_of_memory(BATCH):
            parts = [self._extract_batch(images[batch]) for batch in batches]
        return concatenate_features(parts)

    def _extract_batch(self, images: Array) -> Float32Array:
        count = BATCH if self.pad_batches else len(images)
        batch = np.zeros((count, *self.shape), images.dtype)
        batch[: len(images)] = images

        with torch.inference_mode(), self.compute.autocast():
            x = to_network(
                torch.from_numpy(batch),
                self.compute.device,
            )
            features: Tensor = self.net(x)
        return features.float().cpu().numpy()[: len(images)]


# Its weights were trained with TensorFlow, whose padding and normalization differ.
_TIMM_NAMES = {DEFAULT: "tf_efficientnet_lite0"}


class LearningBackbone(nn.Module):
    """Trainable backbone for images in 0..1 (N x 1 or 3 x size x size).

    With `keeps_norms` batch norms use their pretrained statistics in training, too.
    """

    keeps_norms: bool = False

    def train(self, mode: bool = True) -> Self:
        """Set training mode, or (False) inference mode."""
        super().train(mode)
        if self.keeps_norms:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


class TimmNetwork(LearningBackbone):
    """A trainable network of timm without its classifier.

    Features are those before the classifier, and mean and standard deviation of the maps of each
    earlier stage, as in `LiteBackbone`. Networks without stages, such as vision transformers, have
    only the last ones.
    """

    body: nn.Module
    mean: Tensor
    std: Tensor

    def __init__(self, name: str):
        """Build the network with random weights. Raises `UsageError` for an unknown name."""
        super().__init__()
        self.body = body = _create_network(name)

        # Stages halve the resolution; blocks of a vision transformer do not.
        stages = getattr(body, "feature_info", None) or []
        self.has_stages = len({stage["reduction"] for stage in stages}) > 1
        if not self.has_stages:
            stages = []
        # Mean and deviation of each channel.
        stage_widths = [2 * stage["num_chs"] for stage in stages]
        last_width = int(getattr(body, "head_hidden_size", 0) or body.num_features)
        self.widths = (*stage_widths, last_width)

        for key in ("mean", "std"):
            value = torch.tensor(body.pretrained_cfg[key]).view(1, -1, 1, 1)
            self.register_buffer(key, value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N x width) of images (N x 1 or 3 x size x size)."""
        # The subtraction broadcasts a single channel.
        normal = (x - self.mean) / self.std
        body: Any = self.body
        if not self.has_stages:
            features: Tensor = body(normal)
            return features

        last, stages = body.forward_intermediates(normal)
        blocks: list[Tensor] = []
        for stage in stages:
            blocks += _mean_and_deviation(stage)
        return torch.cat(
            [*blocks, body.forward_head(last).float()],
            1,
        )


class TimmBackbone(Backbone):
    """A frozen network of timm."""

    def __init__(self, name: str, seed: int):
        """Build it with random weights. Raises `UsageError` for an unknown name."""
        with reproducible(seed):
            self.network = TimmNetwork(name).eval()
        super().__init__(name, self.network.widths)

    @property
    def identity(self) -> tuple[object, ...]:
        mean = self.network.mean.flatten().tolist()
        return (self.name, mean, self.network.std.flatten().tolist())

    @property
    def shapes(self) -> Shapes:
        """The shapes of its weights by tensor name, without batch counters."""
        return {
            name: value.shape
            for name, value in self.state.items()
            if not is_batch_counter(name)
        }

    @property
    def state(self) -> State:
        return {
            name: value.numpy() for name, value in self.network.state_dict().items()
        }

    def fill(self, state: State) -> None:
        check_state_shapes(state, self.shapes)
        load_state(self.network, state)

    @property
    def parameters(self) -> int:
        return sum(weights.numel() for weights in self.network.parameters())

    def precision(self, setting: Precision) -> str:
        return choose_compute(setting).name

    def extractor(
        self, shape: ImageShape, precision: Precision, *, pad_batches: bool = True
    ) -> Extractor:
        # Not by onnxruntime: each fold would wait 7 to 13 s for its file (docs/experiments.md).
        return Extractor(self.network, shape, precision, pad_batches=pad_batches)


def load_state(network: nn.Module, state: State) -> None:
    """Load weights into a network; batch counters may be missing."""
    # Copied, because arrays from files are read-only.
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    network.load_state_dict(network.state_dict() | tensors)


def _mean_and_deviation(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel (N x C), computed in float32."""
    exact = maps.float()
    mean = exact.mean((2, 3))
    # torch.var_mean takes five times as long on channels-last maps.
    mean_square = (exact * exact).mean((2, 3))
    # Rounding may make it negative.
    variance = (mean_square - mean * mean).clamp(min=0)
    return mean, (variance + MIN_VARIANCE).sqrt()


def _create_network(name: str) -> Any:
    # Imported late, because it takes two seconds and the small network does not need it.
    import timm

    timm_name = _TIMM_NAMES.get(name, name)
    if not timm.is_model(timm_name):
        family = name.split("_")[0]
        names = timm.list_models(f"*{family}*")[:5]
        names = names or ["efficientnet_lite0", "resnet50", "vgg16"]
        raise UsageError(
            f"timm knows no backbone '{name}'",
            f"choose one such as {', '.join(names)}",
        )

    return timm.create_model(timm_name, pretrained=False, num_classes=0)


def hub_weights(name: str) -> tuple[State, Weights]:
    """Download the weights of a network of timm. Raises `UsageError` or `MissingComponent`."""
    import timm

    timm_name = _TIMM_NAMES.get(name, name)
    try:
        body: Any = timm.create_model(timm_name, pretrained=True, num_classes=0)
    except RuntimeError as error:
        raise UsageError(
            f"timm's hub has no weights for {name}: {error}",
            "choose another backbone, or -o weights=none",
        ) from error
    # The hub's client has an exception class for each way to fail.
    except Exception as error:
        raise MissingComponent(
            f"the weights of {name} could not be fetched from the hub: {error}",
            f"check the connection, use a file (-o weights=PATH), or "
            f"-o backbone={DEFAULT} -o weights=packaged",
        ) from error

    state = {name: value.numpy() for name, value in body.state_dict().items()}
    digest = hashlib.sha256(safetensors.numpy.save(state)).hexdigest()
    config = body.pretrained_cfg
    source = config.get("hf_hub_id") or config.get("url") or timm_name
    return state, Weights(f"hub {source}", digest)
