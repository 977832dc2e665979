"""Directions in which descriptors of drawn faces tell who somebody is, and not how he was drawn.

They were learnt from people who do not exist, each drawn many times (`tools/drawn_faces/`): what
differs between pictures of one person counts little, what differs between people much (Fisher,
"The use of multiple measurements in taxonomic problems", 1936). `identity.json` says what they
learnt from and what they are worth.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

WEIGHTS = Path(__file__).with_name("identity.npz")

Floats = npt.NDArray[np.float32]


class Identity(NamedTuple):
    """`usual` (D) is what a drawn face has on average, `axes` (D x width) are the directions.

    D are the numbers of a descriptor: those of the colour layout first.
    """

    usual: Floats
    axes: Floats

    @classmethod
    @cache
    def learnt(cls) -> Identity:
        """Return what comes along."""
        with np.load(WEIGHTS, allow_pickle=False) as arrays:
            return cls(arrays["usual"].astype(np.float32), arrays["axes"].astype(np.float32))
