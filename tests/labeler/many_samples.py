"""A dataset of many thousand samples, made in seconds: regions of a few real images."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared_folder import make_shared_folder
from tools_for_tests import encode

from gleanset import Box, Dataset, Face, Origin
from gleanset.images.cropping import make_sample_key
from gleanset.images.staging import StageBytes
from gleanset.records import FaceCrop

ACROSS = 25


def copy_of_many(factory: pytest.TempPathFactory, number: int, to: Path) -> None:
    """Copy such a dataset, which is made once for all tests."""
    original = make_shared_folder(
        factory, f"many-{number}", lambda folder: make_many(folder / "d", number)
    )
    shutil.copytree(original / "d", to)


def make_many(root: Path, number: int, each: int = 500) -> None:
    """Make `number` samples, `each` from one image of color noise."""
    with Dataset.create(root) as dataset, dataset.stage("test") as scratch:
        keep = StageBytes(dataset.originals(scratch))
        for start in range(0, number, each):
            small = np.random.default_rng(start).integers(
                0, 256, (20, 25, 3), dtype=np.uint8
            )
            image = Image.fromarray(small).resize((800, 640), Image.Resampling.NEAREST)
            measured = keep(encode(image))
            cuts = []
            for place in range(min(each, number - start)):
                box = Box(place % ACROSS * 32, place // ACROSS * 32, 32, 32)
                key = make_sample_key(measured.sha256, box)
                cuts.append(
                    FaceCrop(Face("many", box, 0.9), key, box, start + place, 1.0)
                )
            with dataset.db.transaction():
                dataset.take_original(
                    keep.store,
                    measured,
                    Origin("folder", f"{start}", title=f"{start}.jpg"),
                )
                dataset.faces.replace(measured.sha256, "many", "test", cuts)
