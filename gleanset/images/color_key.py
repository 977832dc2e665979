"""The transparent color of a PNG (tRNS) whose samples do not have 8 bits.

Pillow scales samples to 8 bits but leaves the color as it is in the file, so that none or another
color becomes transparent (PNG, third edition, 11.3.2.1).
"""

import io

from PIL import Image

from gleanset.images.rgb import scale_to_8_bit

_GRAY, _RGB = 0, 2


def apply_color_key(image: Image.Image, data: bytes) -> Image.Image:
    """Return a loaded PNG whose transparent color is alpha, or fits its 8-bit samples."""
    bits, color_type = data[24], data[25]
    key = image.info.get("transparency")
    if key is None or bits in (1, 8) or color_type not in (_GRAY, _RGB):
        return image

    if bits < 8:
        levels = 2**bits - 1
        image.info["transparency"] = (key & levels) * 255 // levels
        return image

    del image.info["transparency"]
    if color_type == _GRAY:
        is_transparent = _find_gray(image, key)
        return _add_alpha(scale_to_8_bit(image).convert("RGB"), is_transparent)
    return _add_alpha(image, _find_rgb(image, data, key))


def _find_gray(image: Image.Image, key: int) -> Image.Image:
    import numpy as np  # few images have such a color

    return Image.fromarray(np.asarray(image) == key)


def _find_rgb(
    image: Image.Image, data: bytes, key: tuple[int, int, int]
) -> Image.Image:
    """Return a mask of a 16-bit color, whose high bytes Pillow decoded to `image`."""
    import numpy as np

    with Image.open(io.BytesIO(data), formats=("PNG",)) as low_bytes:
        # Read as little-endian, the low byte of each sample is taken for the high one.
        low_bytes.tile = [tile._replace(args="RGB;16L") for tile in low_bytes.tile]
        low = np.asarray(low_bytes)

    color = np.array(key)
    matches = (np.asarray(image) == color >> 8) & (low == color & 0xFF)
    return Image.fromarray(matches.all(axis=2))


def _add_alpha(image: Image.Image, is_transparent: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    layer.putalpha(is_transparent.convert("L").point(lambda value: 255 - value))
    return layer
