"""Loading and testing of the animeface package, with images in the layout that it expects.

`animeface.detect` passes what `getdata()` of its image returns to an extension in C, which assumes
that it is Pillow's `ImagingCore` and reads the C structure behind it as declared in Pillow 4.2
(`struct ImagingMemoryInstance` in libImaging/Imaging.h). Pillow 12 changed that structure: with it,
every image looks empty to the extension, which then finds nothing, without an error. An old Pillow
would lack security fixes, and Gleanset opens untrusted files. Therefore this module builds the old
structure itself, and tests the library once per process: it must find the face in a drawn test
image.

The extension expects:

1. An object whose first field after the Python object header is a pointer to the image
   structure. Instances of `ctypes.Structure` have this layout: CPython's `CDataObject` starts
   with `PyObject_HEAD; char *b_ptr`, and `b_ptr` points to the structure's bytes.
   `pillow4_image` verifies this before the object is passed on.
2. In that structure: `mode` "RGB", the sizes, and `image32`, a table with one pointer per row,
   to pixels of four bytes (red, green, blue and one that is not read).

ctypes computes sizes and offsets from the field list by the rules of the C compiler. They match
the debug information in the published Linux wheel of animeface 2.0.3 (88 bytes; image32 at
offset 48).
"""

import ctypes
import functools
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, TypedDict

import msgspec
import numpy as np
from PIL import Image

from gleanset.arrays import Pixels
from gleanset.errors import MissingComponent
from gleanset.records import Box, overlap

_BYTES_PER_PIXEL = 4
_IMAGING_TYPE_UINT8 = 0


class Pillow4Image(ctypes.Structure):
    """`struct ImagingMemoryInstance` of Pillow 4.2, with the field names of C.

    The instance owns the memory it points to: keep it alive while C code may read it.
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

    def __init__(self, pixels: Pixels):
        """Copy `pixels` (height x width x 3). Raises `ValueError` for other shapes."""
        height, width, _ = pixels.shape
        self._pixels = np.zeros((height, width, _BYTES_PER_PIXEL), np.uint8)
        self._pixels[:, :, :3] = pixels
        linesize = self._pixels.strides[0]
        block = self._pixels.ctypes.data

        # A table with a pointer for each row.
        offsets = np.arange(height, dtype=np.uintp) * np.uintp(linesize)
        self._row_pointers = np.uintp(block) + offsets
        rows = self._row_pointers.ctypes.data
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


def pillow4_image(pixels: Pixels) -> Pillow4Image:
    """Return an object that the extension reads as a Pillow 4.2 image.

    Raises `MissingComponent` on a Python implementation with another layout of ctypes objects.
    """
    image = Pillow4Image(pixels)
    # The extension reads the fields of a C struct behind the header of an object. There a ctypes
    # structure has a pointer to its memory, as a Pillow image had. In CPython `id` is the address
    # of the object, and a plain `object` is only the header.
    after_header = id(image) + object.__basicsize__
    if ctypes.c_void_p.from_address(after_header).value != ctypes.addressof(image):
        raise MissingComponent(
            "the animeface detector does not work with this Python implementation",
            "use CPython 3.11 or newer from python.org, your system or conda",
        )
    return image


LOWEST_LIKELIHOOD = 0.5
"""The library drops faces that do not exceed this (`z > 0.5` in nvxs' nv_face_detect.c)."""

MIN_SIDE = 57
"""Minimum side in pixels of an image that the library searches at all: windows start at 42.592
pixels, and its loop over window sizes ends at once unless the shorter side exceeds
42.592 * 42.592 / 32 = 56.7 (`min_window_size` in nv_face_detect.c)."""

KNOWN_VERSION = "2.0.3"
"""Version of animeface for which `Pillow4Image` was written."""

SELFTEST_IMAGE = Path(__file__).with_name("selftest.png")
SELFTEST_FACE = Box(55, 66, 88, 88)
"""Face that animeface 2.0.3 with Pillow 11.3 finds in the test image."""

SELFTEST_OVERLAP = 0.7
"""Minimum IoU of the detected and the expected box."""

_FIX = f"pip install --force-reinstall animeface=={KNOWN_VERSION}"

Rectangle = tuple[int, int, int, int]


class LibraryResult(TypedDict):
    """Result of the library for one face: x, y, width, height in pixels."""

    likelihood: Annotated[float, msgspec.Meta(ge=0, le=1.01)]  # the library rounds up
    face_box: Rectangle
    left_eye_box: Rectangle
    right_eye_box: Rectangle
    mouth_box: Rectangle
    nose_point: tuple[int, int]


LibrarySearch = Callable[[Pixels], list[LibraryResult]]


@functools.cache
def load_tested_search() -> LibrarySearch:
    """Return the library's search function after a test. Raises `MissingComponent`."""
    search = _load_search()
    self_test(search, SELFTEST_IMAGE, SELFTEST_FACE)
    return search


def self_test(
    search: LibrarySearch,
    picture: Path,
    face: Box,
    subject: str = "",
    fix: str = _FIX,
) -> None:
    """Raise `MissingComponent` unless `search` finds only the face `face`.

    `subject` names what is tested in the message (default: the installed packages), `fix` is the
    hint.
    """
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    try:
        boxes = [Box(*result["face_box"]) for result in search(pixels)]
    except (NotImplementedError, TypeError, KeyError) as error:
        problem = f"failed: {error!r}"
        raise MissingComponent(_describe_failure(problem, subject), fix) from error

    if len(boxes) != 1:
        problem = f"found {len(boxes)} faces instead of 1"
    elif overlap(boxes[0], face) < SELFTEST_OVERLAP:
        problem = f"found {tuple(boxes[0])} instead of {tuple(face)}"
    else:
        return
    raise MissingComponent(_describe_failure(problem, subject), fix)


def _load_search() -> LibrarySearch:
    try:
        import animeface

        version = importlib.metadata.version("animeface")
    except ImportError as error:
        raise MissingComponent(
            f"animeface cannot be loaded: {error}",
            "take --detector drawnface, which works everywhere, or install it again (it is built "
            f"for Linux on x86-64 and macOS on arm64, Python 3.11 to 3.13): {_FIX}",
        ) from error

    # Other versions may be built for a newer Pillow, so they get an image of the installed one.
    is_known = version == KNOWN_VERSION

    def search(pixels: Pixels) -> list[LibraryResult]:
        if min(pixels.shape[:2]) < MIN_SIDE:
            return []
        image: Any
        if is_known:
            # An image of Pillow, as far as `animeface.detect` uses it.
            image = SimpleNamespace(mode="RGB", getdata=lambda: pillow4_image(pixels))
        else:
            image = Image.fromarray(pixels)
        return [_convert_face(face) for face in animeface.detect(image)]

    return search


def _convert_face(face: Any) -> LibraryResult:
    return LibraryResult(
        likelihood=face.likelihood,
        face_box=_convert_box(face.face.pos),
        left_eye_box=_convert_box(face.left_eye.pos),
        right_eye_box=_convert_box(face.right_eye.pos),
        mouth_box=_convert_box(face.mouth.pos),
        nose_point=(face.nose.pos.x, face.nose.pos.y),
    )


def _convert_box(box: Any) -> Rectangle:
    return box.x, box.y, box.width, box.height


def _describe_failure(problem: str, subject: str) -> str:
    if not subject:
        version = importlib.metadata.version
        subject = f"animeface {version('animeface')} beside pillow {version('pillow')}"
    return f"the face detector of {subject} does not work here: on its test image it {problem}"
