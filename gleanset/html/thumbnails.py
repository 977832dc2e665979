"""Thumbnails of samples and images of a dataset, for HTML pages."""

from pathlib import Path

from gleanset import Dataset
from gleanset.errors import Unreadable
from gleanset.images.cropping import crop_region
from gleanset.images.data_uri import SIDE, Thumbnail, shrink
from gleanset.images.decode import decode
from gleanset.records import Image as ImageRecord
from gleanset.records import Sample


class Thumbnails:
    """Thumbnails of at most `side` pixels; `with_reports` includes images from web reports."""

    def __init__(
        self, dataset: Dataset, side: int = SIDE, *, with_reports: bool = False
    ):
        self.dataset = dataset
        self._side = side
        self._private = (
            frozenset() if with_reports else dataset.images.list_report_only()
        )
        self._cache: dict[str, Thumbnail | None] = {}

    def of_sample(self, sample: Sample) -> Thumbnail | None:
        """Return the crop of a sample, if needed from the original."""
        if sample.image in self._private:
            return None
        if sample.key not in self._cache:
            thumbnail = self._load(self.dataset.crop_path(sample.key))
            image = None if thumbnail else self.dataset.images.get(sample.image)
            if image:
                thumbnail = self._load(
                    self.dataset.image_path(image.sha256, image.format), sample
                )
            self._cache[sample.key] = thumbnail
        return self._cache[sample.key]

    def of_image(self, image: ImageRecord) -> Thumbnail | None:
        """Return the whole image; None if it is private or unreadable."""
        if image.sha256 in self._private:
            return None
        return self._load(self.dataset.image_path(image.sha256, image.format))

    def _load(self, path: Path, part: Sample | None = None) -> Thumbnail | None:
        # A part needs all pixels of the image.
        min_side = None if part else self._side
        try:
            pixels = decode(path.read_bytes(), min_side).pixels
        except (OSError, Unreadable):
            return None

        if part:
            pixels = crop_region(pixels, part.box, part.angle)
        return shrink(pixels, self._side)
