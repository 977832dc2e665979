"""A detector that kills its own process, as a crash in a native library does."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gleanset.records import Box, Face

ALWAYS = (255, 0, 0)
ONCE = (0, 255, 0)
BOX = Box(40, 30, 60, 50)


@dataclass(frozen=True)
class CrashingSpec:
    """Crashes on images whose first pixel is `ALWAYS`, and once on those with `ONCE`."""

    crashes: Path
    name: str = "crashing"
    settings: str = "crashing"
    settings_text: str = "crashing"

    def build(self) -> CrashingSpec:
        return self

    def detect(self, pixels: np.ndarray) -> list[Face]:
        first = tuple(int(value) for value in pixels[0, 0])
        count = len(list(self.crashes.iterdir()))
        if first == ALWAYS or (first == ONCE and not count):
            (self.crashes / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [Face(self.name, BOX, 1.0)]
