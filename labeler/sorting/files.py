"""Samples as files: what a drop outside the window gets."""

from __future__ import annotations

from collections.abc import Sequence

from gleanset import Dataset
from gleanset.db.sorting import SampleTile, SampleTiles
from gleanset.errors import Unreadable
from gleanset.files.atomic import write_atomic
from gleanset.images.cut import encode
from gleanset.records import Box
from labeler.sample_pixels import read_pixels, sample_file


def paths_of(dataset: Dataset, tiles: SampleTiles, ids: Sequence[int]) -> list[str]:
    """The file of each sample (row): the original where the sample is all of it, else its cut.

    A cut that is not on disk is made in the cache. What cannot be read is left out.
    """
    found = tiles.of(ids)
    paths = (_path(dataset, found[number]) for number in ids if number in found)
    return [path for path in paths if path]


def _path(dataset: Dataset, tile: SampleTile) -> str:
    seen = tile.seen
    original, cut = dataset.image_path(seen.image, seen.format), dataset.crop_path(seen.key)
    if seen.region.box == Box(0, 0, seen.width, seen.height) and not seen.region.angle:
        return str(original.absolute()) if original.is_file() else ""
    if cut.is_file():
        return str(cut.absolute())
    made = dataset.cache / "dragged" / f"{seen.key}.jpg"
    try:
        file = sample_file(seen, dataset.originals(dataset.cache))
        write_atomic(made, encode(read_pixels(file, max(seen.region.box[2:]), "RGB")))
    except Unreadable:
        return ""
    return str(made.absolute())
