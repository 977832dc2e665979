"""Exporting a network as a LiteRT file (`.tflite`) for phones, with a batch size of one.

The card and the labels are in a zip appended to the model, like the associated files of TensorFlow
Lite metadata: runtimes ignore it, `unzip` shows it.
"""

import io
import tempfile
import zipfile
from contextlib import redirect_stdout
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baseline.features.timm_backbone import load_state
from baseline.train.membership import PREFIX, ClassMembership
from baseline.train.networks import NearestImageHead, build_net
from baseline.train.trained_net import GalleryHead
from baseline.use.engines import FILE, Card
from baseline.use.export import quiet_converters
from baseline.use.run_engine import LUMA, RunEngine
from gleanset.arrays import MIN_LENGTH, Pixels
from gleanset.errors import MissingComponent
from gleanset.installation import install_command

LABELS = "labels.txt"
EXACT = (
    (".*", "OUTPUT"),
    (".*", "SOFTMAX"),
    ("ColourLayout", "*"),
    ("DrawnIdentity", "*"),
    (".*", "CONCATENATION"),
    (r"InferenceNet;\d*;?$", "*"),
    (r"TimmNetwork_\w+;\d*;?$", "*"),
    ("_head/", "FULLY_CONNECTED"),
    ("MembershipNet", "*"),
)
"""Modules and operations that stay exact, because int8 is too coarse: probabilities and logits,
input images, color layouts, normalized identity embeddings, standard deviations of maps, and the
membership."""


def require_litert() -> None:
    """Raise `MissingComponent` if the LiteRT exporter or runtime is not installed."""
    if find_spec("litert_torch") is None or find_spec("ai_edge_litert") is None:
        raise MissingComponent(
            "LiteRT export needs litert-torch, which requires an older PyTorch",
            "use a separate environment: python -m venv litert && "
            f"{install_command('litert', python='litert/bin/python')} && "
            "litert/bin/baseline export OUT.tflite",
        )


def write_litert(run: RunEngine, card: Card, calibration: Pixels) -> bytes:
    """Return the model without its card; int8 needs `calibration` (N x size x size x 3)."""
    converter = import_module("litert_torch")
    example = torch.zeros(
        1,
        card.size,
        card.size,
        3,
        dtype=torch.uint8,
    )

    with (
        tempfile.TemporaryDirectory(prefix="gleanset-") as folder,
        quiet_converters(),
        redirect_stdout(io.StringIO()),
    ):
        path = Path(folder) / "float32.tflite"
        converter.convert(InferenceNet(run).eval(), (example,)).export(str(path))
        if card.precision == "int8":
            path = _quantize(path, calibration)
        return path.read_bytes()


def with_card(model: bytes, card: Card) -> bytes:
    """Return a model with its card and labels appended."""
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as archive:
        # ZipInfo has a fixed date, so that equal runs give equal files.
        for name, text in ((FILE, card.to_json()), (LABELS, "\n".join(card.classes))):
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


class InferenceNet(nn.Module):
    """Network from images (uint8 N x size x size x 3, RGB) to the outputs of an engine.

    Outputs are probabilities (N x classes; softmax of the scores divided by `temperature` plus
    `offsets`), embeddings (N x D), the membership (N) if the run has it, and for a gallery the
    cosine similarity to its images (N x classes x K).
    """

    def __init__(self, run: RunEngine):
        super().__init__()
        net = build_net(
            run.settings,
            len(run.facts.classes),
            run.net.backbone,
        )
        if isinstance(run.net.head, GalleryHead):
            net.head = NearestImageHead(torch.from_numpy(run.net.head.vectors))
        load_state(net, replace(run.net, membership=None).state)
        # The converter misreads some weights in channels-last format.
        self.net = net.to(memory_format=torch.contiguous_format)
        self.temperature = run.facts.rule.temperature
        offsets = None
        if run.offsets.any():
            offsets = torch.from_numpy(run.offsets).view(1, -1)
        self.register_buffer("offsets", offsets, persistent=False)

        self.membership = None
        if run.net.membership is not None:
            self.membership = MembershipNet(run.net.membership)

        self.grey = run.settings.channels == 1
        luma = torch.tensor(LUMA).view(1, 3, 1, 1)
        self.register_buffer("luma", luma, persistent=False)

    luma: Tensor
    offsets: Tensor | None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return probabilities, embeddings, and for a gallery similarities."""
        x = (images.permute(0, 3, 1, 2).to(self.luma.dtype) / 255).contiguous()
        if self.grey:
            x = (x * self.luma).sum(1, keepdim=True)

        head = self.net.head
        embeddings = self.net.embed(x)
        scores = head(embeddings).float() / self.temperature
        if self.offsets is not None:
            scores = scores + self.offsets

        # In the order that `name_outputs` expects.
        outputs = [torch.softmax(scores, 1), embeddings.float()]
        if self.membership is not None:
            outputs.append(self.membership(embeddings.float()))
        if isinstance(head, NearestImageHead):
            outputs.append(head.similarity(embeddings).float())
        return tuple(outputs)


class MembershipNet(nn.Module):
    """`ClassMembership` as a module: from embeddings (N x D) to probabilities (N)."""

    def __init__(self, membership: ClassMembership):
        super().__init__()
        self.identity = membership.identity
        for name, value in membership.state.items():
            self.register_buffer(name.removeprefix(PREFIX), torch.from_numpy(value))

    mean: Tensor
    factors: Tensor
    directions: Tensor
    shrinkage: Tensor
    centers: Tensor
    identity_centers: Tensor
    background: Tensor
    identity_background: Tensor
    weights: Tensor

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return the probabilities, computed as by `ClassMembership`."""
        rows = (embeddings - self.mean) * self.factors
        change = (rows @ self.directions.T) * self.shrinkage
        shrunk = rows + change @ self.directions

        # To the centers (N x C), and to the nearest of the background (N x 1).
        blocks = [(shrunk, self.centers, self.background)]
        if self.identity_centers.numel():
            identity = rows[:, self.identity]
            blocks.append((identity, self.identity_centers, self.identity_background))
        distances = [
            _compute_squared_distances(block, centers) for block, centers, _ in blocks
        ]
        distances += [
            _compute_squared_distances(block, background).amin(1, keepdim=True)
            for block, _, background in blocks
            if background.numel()  # none in the identity block of an older run
        ]

        # A weight for each distance, and the constant of the regression.
        *weights, constant = self.weights
        terms = zip(weights, distances, strict=True)
        scores = sum(weight * distance for weight, distance in terms)
        return torch.sigmoid(scores.amax(1) + constant)


def _compute_squared_distances(rows: Tensor, centers: Tensor) -> Tensor:
    """Return the squared distances (N x C) of rows, scaled to length 1, to centers (C x D)."""
    unit = torch.nn.functional.normalize(rows, eps=MIN_LENGTH)
    return 1 - 2 * unit @ centers.T + centers.square().sum(1)


def _quantize(path: Path, calibration: Pixels) -> Path:
    """Write an int8 file next to a float32 one, and return its path."""
    quantizer = import_module("ai_edge_quantizer.quantizer")
    recipes = import_module("ai_edge_quantizer.recipe")
    float_model: Any = quantizer.Quantizer(str(path))
    rules = recipes.static_wi8_ai8()
    exact_rule = {"algorithm_key": "no_quantize", "op_config": rules[0]["op_config"]}
    # The last matching rule wins.
    for regex, operation in EXACT:
        rules.append(exact_rule | {"regex": regex, "operation": operation})
    float_model.load_quantization_recipe(rules)

    # The converter names inputs and the signature so.
    inputs = [{"args_0": image[None]} for image in calibration]
    ranges = float_model.calibrate({"serving_default": inputs})
    target = path.with_name("int8.tflite")
    float_model.quantize(ranges).export_model(str(target))
    return target
