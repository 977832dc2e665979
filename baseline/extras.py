"""Checks for optional packages, by what needs them."""

from importlib.util import find_spec

from baseline.settings import Settings, Transfer
from gleanset.installation import require_extra

GRAPH_PACKAGES = ("onnx", "safetensors")
SOLVER_PACKAGES = ("scipy", "sklearn", "threadpoolctl")
TORCH_PACKAGES = ("torch", "timm")
TRANSFER_PACKAGES = (*GRAPH_PACKAGES, *SOLVER_PACKAGES)


def require_graphs() -> None:
    """Raise `MissingComponent` without the packages that compute networks."""
    require_extra("computing networks", GRAPH_PACKAGES, "transfer")


def require_transfer() -> None:
    """Raise `MissingComponent` without the packages that `transfer` and prelabel need."""
    require_extra("training on features", TRANSFER_PACKAGES, "transfer")


def require_torch() -> None:
    """Raise `MissingComponent` without PyTorch and timm."""
    require_extra("a network other than efficientnet_lite0", TORCH_PACKAGES, "train")


def require_packages(settings: Settings) -> None:
    """Raise `MissingComponent` without the packages that a training needs."""
    if isinstance(settings, Transfer):
        require_transfer()
    else:
        require_extra(
            f"the preset {settings.preset}",
            (*TRANSFER_PACKAGES, *TORCH_PACKAGES),
            "train",
        )
    if settings.tensorboard:
        require_extra("writing TensorBoard events", ("tensorboard",), "tensorboard")


def can_export() -> bool:
    """Return whether the packages for ONNX exports are installed."""
    return all(find_spec(name) for name in GRAPH_PACKAGES)


def can_transfer() -> bool:
    """Return whether the packages of `transfer` are installed."""
    return all(find_spec(name) for name in TRANSFER_PACKAGES)
