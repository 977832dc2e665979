"""Faces of real people, found by a cascade that OpenCV includes."""

import cv2

from facecrop.detectors.base import parse_integer, parse_number
from facecrop.detectors.tiling import FloatBox, RawFace, search_tiles

FILE = "haarcascade_frontalface_default.xml"


class Haar:
    """OpenCV's cascade for photos of people who face the camera."""

    name = "haar"

    def __init__(self, scale=1.1, neighbors=5, smallest=40):
        """Load the cascade. Settings from the command line are text."""
        cv2.setNumThreads(1)  # workers share the cores already
        self.scale = parse_number("scale", scale, 1.01, 2)
        self.neighbors = parse_integer("neighbors", neighbors, 1, 50)
        self.smallest = parse_integer("smallest", smallest, 20, 1000)
        self._cascade = cv2.CascadeClassifier(cv2.data.haarcascades + FILE)

    @property
    def settings(self):
        """Return the settings as text; images are searched again when it changes."""
        return (
            f"scale={self.scale:g} neighbors={self.neighbors} smallest={self.smallest}"
        )

    def detect(self, pixels):
        """Find faces in height x width x 3 bytes, red, green and blue."""
        return search_tiles(self.name, pixels, self._find, 1920)

    def _find(self, tile):
        grey = cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY)
        min_size = (self.smallest, self.smallest)
        for box in self._cascade.detectMultiScale(
            grey, self.scale, self.neighbors, 0, min_size
        ):
            yield RawFace(FloatBox(*map(float, box)), 1.0)  # the cascade has no score
