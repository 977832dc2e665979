"""Detectors of this process, by name and settings."""

from facecrop.detectors import Detector, DetectorSpec, Setting


def build_detector(name: str, **settings: Setting) -> Detector:
    return DetectorSpec.create(name, **settings).build()
