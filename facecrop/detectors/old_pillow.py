"""Pixels in the memory layout that the animeface extension was compiled for.

`animeface._nvxs.detect` takes any Python object, trusts that it is Pillow's
`ImagingCore`, and reads the C structure behind it with the header of Pillow 4.2
(`struct ImagingMemoryInstance` in libImaging/Imaging.h). Pillow 12 changed that
structure, so that beside a newer Pillow every picture looks empty to the extension and
it finds nothing, without an error. Holding Pillow back would keep security fixes from a
program that opens strangers' files. So we hand over a structure of our own.

The extension expects two things:

1. An object whose first field after the Python object header is a pointer to the image
   structure. A `ctypes.Structure` instance is laid out like that: CPython's
   `CDataObject` starts with `PyObject_HEAD; char *b_ptr`, and `b_ptr` points to the
   structure's own bytes. `old_image` verifies this before anything is handed over.
2. In the structure: `mode` "RGB", the sizes, and `image32`, a table with one pointer for
   each row, to pixels of four bytes (red, green, blue and one that is not read).

Sizes and offsets follow from the field list by the C compiler's own rules, which ctypes
applies. They were compared with the debug information in the published Linux wheel of
animeface 2.0.3 (88 bytes; image32 at offset 48).
"""

from __future__ import annotations

import ctypes
from typing import ClassVar

import numpy as np

from facecrop.detectors.base import Pixels
from gleanset.errors import MissingComponent

_BYTES_PER_PIXEL = 4
_IMAGING_TYPE_UINT8 = 0


class OldImage(ctypes.Structure):
    """`struct ImagingMemoryInstance` of Pillow 4.2; the fields keep their names in C.

    It owns the memory it points to: keep it alive for as long as C may read it.
    """

    _fields_: ClassVar = [
        ("mode", ctypes.c_char * 7),
        ("type", ctypes.c_int),
        ("depth", ctypes.c_int),
        ("bands", ctypes.c_int),
        ("xsize", ctypes.c_int),
        ("ysize", ctypes.c_int),
        ("palette", ctypes.c_void_p),
        ("image8", ctypes.c_void_p),
        ("image32", ctypes.c_void_p),
        ("image", ctypes.c_void_p),
        ("block", ctypes.c_void_p),
        ("pixelsize", ctypes.c_int),
        ("linesize", ctypes.c_int),
        ("destroy", ctypes.c_void_p),
    ]

    def __init__(self, pixels: Pixels) -> None:
        """Copy `pixels` (height x width x 3). Raises `ValueError` for other shapes."""
        height, width, _ = pixels.shape
        self._pixels = np.zeros((height, width, _BYTES_PER_PIXEL), np.uint8)
        self._pixels[:, :, :3] = pixels
        linesize = self._pixels.strides[0]
        block = self._pixels.ctypes.data
        self._rows = np.arange(height, dtype=np.uintp) * np.uintp(linesize) + np.uintp(block)
        rows = self._rows.ctypes.data
        super().__init__(
            mode=b"RGB",
            type=_IMAGING_TYPE_UINT8,
            depth=8,
            bands=3,
            xsize=width,
            ysize=height,
            image32=rows,
            image=rows,
            block=block,
            pixelsize=_BYTES_PER_PIXEL,
            linesize=linesize,
        )


def old_image(pixels: Pixels) -> OldImage:
    """Make an object that the extension takes for an image of an old Pillow.

    Raises `MissingComponent` on a Python whose ctypes objects are laid out differently.
    """
    image = OldImage(pixels)
    # In CPython `id` is the address of the object.
    after_header = id(image) + object.__basicsize__
    if ctypes.c_void_p.from_address(after_header).value != ctypes.addressof(image):
        raise MissingComponent(
            "the animeface detector does not work with this Python implementation",
            "use CPython 3.11 or newer from python.org, your system or conda",
        )
    return image
