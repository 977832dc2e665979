"""Types of the API's requests: their fields and limits, by which requests are checked.

`page/openapi.json` describes them, the responses and the errors, except `SentReport`: its schema is
made from the type.
"""

from typing import Annotated, Literal

import msgspec

Pixel = Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]
Length = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
MarkedBox = Annotated[
    tuple[Pixel, Pixel, Length, Length],
    msgspec.Meta(description="x, y, width, height in pixels of the upright image"),
]
Boxes = list[list[MarkedBox] | None]
"""A list of boxes for each file, or null to let the server detect the faces."""
Note = Annotated[str, msgspec.Meta(max_length=1000)]


class EncodedImage(msgspec.Struct, forbid_unknown_fields=True):
    """An image in JSON: its file in base64 (also as a data: URI), and the boxes of its faces."""

    data: str
    name: str = ""
    boxes: list[MarkedBox] | None = None


class ImagesRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Images in JSON."""

    images: list[EncodedImage]


class SentReport(msgspec.Struct, forbid_unknown_fields=True):
    """A correction: the class (`claimed`) of a face in a `box`, or of a whole image without one.

    If `claimed` is null, the face is of none of the classes; "<not a face>" means that the box has
    no face (models of faces only). With `new_box`, which no detector found, the class may be the
    predicted one.

    A report of the kind "removal" asks to remove the image from the dataset; `note` says why.
    """

    kind: Literal["wrong answer", "removal"] = "wrong answer"
    claimed: str | None = ""
    box: MarkedBox | None = None
    new_box: bool = False
    note: Note = ""
