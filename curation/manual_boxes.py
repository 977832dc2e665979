"""Face boxes drawn by hand."""

from pathlib import Path

import numpy as np

from gleanset import Dataset
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.images.cropping import FaceCropper, clip_box
from gleanset.images.decode import decode
from gleanset.records import Box, Face, FaceCrop, Image
from gleanset.settings import CropGeometry

STAGE = "facecrop-by-hand"
PROVENANCE = "box by hand"


def crop_face(dataset: Dataset, image: Image, face: Face, scratch: Path) -> FaceCrop:
    """Crop a face like the image's others. Raises `InputUnusable` for an unreadable file."""
    text = dataset.scans.get_crop_settings(image.sha256)
    geometry = CropGeometry.parse(text) if text else dataset.settings.crop
    path = dataset.image_path(image.sha256, image.format)

    try:
        pixels = np.asarray(decode(path.read_bytes()).pixels)
    except (OSError, Unreadable) as error:
        raise InputUnusable(
            f"{path} cannot be read: {error}",
            "put the images folder of the dataset back",
        ) from error
    cropper = FaceCropper(geometry, dataset.crops(scratch))
    return cropper.crop(image.sha256, pixels, face)


def clip_to_image(box: Box, image: Image) -> Box:
    """Return the part of a box inside the image. Raises `UsageError` if empty."""
    part = clip_box(box, image.width, image.height)
    if part is None:
        raise UsageError(
            f"the box {','.join(map(str, box))} is outside the image",
            f"it has {image.width} x {image.height} pixels",
        )
    return part
