"""How each picture of an export comes about: as it came, stripped, as it was cut, or made anew.

A licence often asks to say what was changed of a picture; so each way has its words, which tables,
`LICENSES.csv`, manifests and the card have.
"""

from __future__ import annotations

from gleanset.files.store import EXTENSIONS
from gleanset.images.cut import QUALITY
from gleanset.images.embedded_metadata import STRIPPED
from gleanset.records import Box, Image, Sample
from labeler.export.item import Way
from labeler.export.options import ExportOptions

READABLE = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""Formats that Pillow and OpenCV read without more, and torchvision by their names: all others
are left out by some reader without a word."""

UNCHANGED = "none"
STRIPPED_OF = "metadata taken out"
_JPEG = f"JPEG, quality {QUALITY}, full colour"


def is_whole(sample: Sample, image: Image) -> bool:
    """Return whether a sample is all of its picture: also a face may be, and a square is not."""
    return sample.box == Box(0, 0, image.width, image.height) and not sample.angle


def way_of(sample: Sample, image: Image, options: ExportOptions, *, change: bool = False) -> Way:
    """Return how the picture of a sample comes about; of boxes, that of the whole picture.

    With `change` it is a copy that balancing changes.
    """
    whole = options.boxed or is_whole(sample, image)
    if change or options.remakes(whole=whole):
        return "made"
    if not whole:
        return "crop"
    if options.file != "original" and image.format not in READABLE:
        return "made"
    if options.strip_metadata:
        return "stripped" if image.format in STRIPPED else "made"
    return "original"


def ending_of(way: Way, image: Image, options: ExportOptions) -> str:
    """Return the ending of a picture's name: by what is inside, whatever it was called."""
    if way in ("original", "stripped"):
        return EXTENSIONS[image.format]
    if way == "crop" or options.file == "jpeg":
        return "jpg"
    # A GIF is drawn with few colours, which a JPEG would blur.
    return "png" if options.file == "png" or image.format == "GIF" else "jpg"


def changes_of(
    way: Way, sample: Sample, image: Image, options: ExportOptions, *, change: bool = False
) -> str:
    """Return in words what was changed of a picture, and how it is encoded."""
    if way == "original":
        return UNCHANGED
    if way == "stripped":
        return STRIPPED_OF
    cut = [] if options.boxed or is_whole(sample, image) else ["cut out"]
    if way == "crop":
        return ", ".join([*cut, _JPEG])
    shaded = ["mirrored, cropped and shaded at random"] if change else []
    size = [f"{options.fit} to {options.size}"] if options.size else []
    grey = ["grey"] if options.grayscale else []
    coded = "PNG" if ending_of(way, image, options) == "png" else _JPEG
    start = cut or [f"written anew from {image.format}"]
    return ", ".join([*start, *shaded, *size, *grey, coded])


def anew(image: Image) -> str:
    """Return in words what became of a picture whose metadata could not be taken out alone."""
    coded = _JPEG if image.format == "JPEG" else f"{image.format}, without loss"
    return f"written anew from {image.format}, whose metadata cannot be told apart, {coded}"
