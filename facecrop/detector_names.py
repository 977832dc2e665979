"""Names of detectors: those that come with Gleanset, and `auto`. Imports none of them."""

DETECTORS = {
    "animeface": "facecrop.detectors.animeface:AnimeFace",
    "animeface-docker": "facecrop.detectors.animeface_docker:AnimeFaceDocker",
    "drawnface": "facecrop.detectors.drawnface:DrawnFace",
    "lbpcascade": "facecrop.detectors.lbpcascade:LbpCascade",
    "onnx": "facecrop.detectors.onnx:OnnxModel",
    "whole": "facecrop.detectors.whole:WholeImage",
}
"""By name, the class that `facecrop.detectors` loads."""

AUTO = "auto"
"""Name for the detector of the dataset so far, else the default one."""


def is_auto(text: str) -> bool:
    """Return whether a detector, perhaps with settings, is `auto`."""
    return text.partition(":")[0] == AUTO
