"""Reading the pixels of samples, and saving what workers compute of them.

Image files are read at a reduced size where possible.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from gleanset import Dataset
from gleanset.db.duplicates import ImageHashes
from gleanset.db.regions import SampleRegion
from gleanset.files.store import Store, read_original
from gleanset.images.cropping import crop_region
from gleanset.images.decode import Mode, decode
from gleanset.records import Box, Region
from gleanset.work.pool import Outcome


class SampleFile(NamedTuple):
    """A file of width x height pixels, and the region of a sample in it.

    Without a `region` it is the whole file, and the size is not needed.
    """

    path: Path
    width: int = 0
    height: int = 0
    region: Region | None = None


def get_sample_file(region: SampleRegion, originals: Store) -> SampleFile:
    """Return the file and region of a sample."""
    return SampleFile(
        originals.path(region.image, region.format),
        region.width,
        region.height,
        region.region,
    )


def list_sample_files(dataset: Dataset, rows: Sequence[int]) -> list[SampleFile]:
    """Return the files and regions of samples (rows)."""
    regions = ImageHashes(dataset.db).get_regions(rows)
    originals = dataset.originals()
    return [get_sample_file(regions[row], originals) for row in rows]


def read_pixels(file: SampleFile, min_side: int, mode: Mode) -> Image.Image:
    """Return the upright pixels of a sample.

    A JPEG is decoded at a reduced size if the longer side of the region keeps `min_side` pixels.
    Raises `Unreadable`.
    """
    return decode_region(read_original(file.path), file, min_side, mode)


def decode_region(
    data: bytes, file: SampleFile, min_side: int, mode: Mode
) -> Image.Image:
    """Return the pixels of a sample from the bytes of its file, see `read_pixels`."""
    if file.region is None:
        return decode(data, min_side=min_side, mode=mode).pixels
    box, angle = file.region

    # The reduced image needs as many pixels as make `min_side` in the region.
    # For a region of under a hundredth, the image is not reduced anyway.
    region_share = max(box.width, box.height) / max(file.width, file.height, 1)
    min_image_side = math.ceil(min_side / max(region_share, 0.01))
    image = decode(data, min_side=min_image_side, mode=mode)

    # Boxes are in pixels of the full image.
    scale = image.pixels.width / max(1, image.width)
    x, y, width, height = (round(side * scale) for side in box)
    return crop_region(
        image.pixels,
        Box(x, y, max(1, width), max(1, height)),
        angle,
    )


def save_results(
    dataset: Dataset,
    stage: str,
    batches: Iterable[Sequence[Outcome[Any, Any]]],
    save: Callable[[Sequence[tuple[SampleRegion, Any]]], None],
) -> tuple[int, int]:
    """Save results in a transaction for each batch; return their number and that of failures.

    Items are tuples that begin with the region of the sample. Failures become rejections of the
    stage, until the same sample succeeds.
    """
    saved = failed = 0
    for batch in batches:
        results = []
        with dataset.db.transaction():
            for outcome in batch:
                region = outcome.item[0]
                if outcome.result is not None:
                    results.append((region, outcome.result))
                dataset.rejections.settle(
                    stage, region.key, outcome.reason, outcome.detail
                )
            save(results)

        saved += len(results)
        failed += len(batch) - len(results)
    return saved, failed
