"""The detectors that come with Gleanset: by name, the class that `facecrop.detectors` loads."""

DETECTORS = {
    "animeface": "facecrop.detectors.animeface:AnimeFace",
    "animeface-docker": "facecrop.detectors.animeface_docker:AnimeFaceDocker",
    "drawnface": "facecrop.detectors.drawnface:DrawnFace",
    "lbpcascade": "facecrop.detectors.lbpcascade:LbpCascade",
    "onnx": "facecrop.detectors.onnx:OnnxModel",
    "whole": "facecrop.detectors.whole:WholeImage",
}
