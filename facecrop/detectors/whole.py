"""The image itself as its only face, for datasets that are not about faces."""

from gleanset.arrays import Pixels
from gleanset.db.faces import WHOLE
from gleanset.records import Box, Face


class WholeImage:
    """Uses every image as a whole."""

    name = WHOLE
    settings = ""

    def detect(self, pixels: Pixels) -> list[Face]:
        """Return one box of the size of the image, with score 1."""
        height, width = pixels.shape[:2]
        return [Face(self.name, Box(0, 0, width, height), 1.0)]
