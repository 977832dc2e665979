"""Tests of the files made for dragging images out of the window."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image
from tools_for_tests import picture

from gleanset import Box, Dataset, Face, Origin
from gleanset.images.cropping import CropGeometry, FaceCropper
from gleanset.images.staging import StageBytes
from labeler.sorting.sample_images import cached_paths
from labeler.sorting.session import SortingSession

TITLES = (
    "one cat.jpg",
    "ONE cat.jpg",
    "../../evil/../\n\u202epasswd.png",
    "con.jpg",
    "涼宮ハルヒ.webp",
)


def test_dragged_files_have_unique_image_names(empty: Dataset) -> None:
    with empty.stage("test") as scratch:
        keep = StageBytes(empty.originals(scratch))
        cutter = FaceCropper(CropGeometry(), empty.crops(scratch))
        for number, title in enumerate(TITLES):
            measured = keep(picture(number, (120, 90)))
            faces = [Face("whole", Box(0, 0, 120, 90), 1.0)]
            if not number:
                faces += [Face("drawn", Box(left, 10, 40, 40), 1.0) for left in (5, 60)]
            with empty.db.transaction():
                empty.take_original(keep.store, measured, Origin("folder", title, title=title))
                pixels = np.zeros((90, 120, 3), np.uint8)
                cuts = [cutter.crop(measured.sha256, pixels, face) for face in faces]
                empty.faces.replace(measured.sha256, "drawn", "t", cuts)
    session = SortingSession(empty)
    keys = [sample.key for sample in empty.samples.iterate()]
    rows = list(session.tiles.get_ids(keys).values())
    assert len(rows) == len(TITLES) + 2
    for _ in range(2):  # again with existing files
        files = [Path(path) for path in cached_paths(empty, session.tiles, rows)]
        names = [file.name for file in files]
        assert len({name.casefold() for name in names}) == len(names) == len(rows)
        assert {"one cat.jpg", "涼宮ハルヒ.jpg", "_con.jpg"} <= set(names)
        assert sum(name.casefold().startswith("one cat") for name in names) == 4
        assert not any("\n" in name or "\u202e" in name or os.sep in name for name in names)
        assert all(empty.cache in file.parents and not file.is_symlink() for file in files)
        for file in files:
            with Image.open(file) as shown:
                shown.load()
