"""XMP: packets in images and sidecars, and the named faces in them.

digiKam, Lightroom, Picasa, PhotoPrism, Immich and others exchange faces as image regions of the
Metadata Working Group. Their areas are fractions of the stored image: "Region metadata is applied
to the stored image. When applying a rotation by applying Exif Orientation, the rotation must be
applied to the regions as well" (MWG, Guidelines for Handling Image Metadata 2.0, 2010, section
5.9, "Rotation Issues"). So areas are turned with an image that EXIF turns.

Packets are untrusted: they are limited in size, and declarations are refused, because entities
could expand endlessly or name files.
"""

import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

from PIL import Image

from gleanset.images.plugin_formats import detect_heic
from gleanset.records import Rectangle

MAX_XMP_BYTES = 1_000_000
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_HEAD_BYTES = 65_536
_REGIONS = "{http://www.metadataworkinggroup.com/schemas/regions/}"
_AREA = "{http://ns.adobe.com/xmp/sType/Area#}"
_SIZE = "{http://ns.adobe.com/xap/1.0/sType/Dimensions#}"
_FACE = "Face"


class FaceRegions(NamedTuple):
    """The faces of an image, and the `width` and `height` that they were marked in, if known.

    A face has a name, and the center x and y, width and height of its box, in fractions of the
    stored image.
    """

    faces: list[tuple[str, Rectangle]]
    size: Mapping[str, str]


def get_packet(image: Image.Image) -> bytes:
    """Return the XMP packet of an opened image, empty without one."""
    packet = image.info.get("xmp") or b""
    return packet.encode() if isinstance(packet, str) else packet


def read_packet(file: Path) -> bytes:
    """Return the XMP packet in an image file, without decoding the image; none if unreadable."""
    # Pillow's plugins raise any exception.
    with suppress(Exception), warnings.catch_warnings(), file.open("rb") as stream:
        warnings.simplefilter("ignore")
        detect_heic(stream.read(_HEAD_BYTES))  # loads its plugin
        stream.seek(0)
        with Image.open(stream) as image:
            return get_packet(image)
    return b""


def parse_xmp(packet: bytes) -> ET.Element | None:
    """Return the root of an XMP packet; None for other data, and with declarations."""
    # Without its zero bytes UTF-16 reads as UTF-8. XMP needs no DOCTYPE.
    if len(packet) > MAX_XMP_BYTES or b"<!DOCTYPE" in packet.replace(b"\0", b""):
        return None
    try:
        return ET.fromstring(packet.strip(b"\0 \r\n\t"))  # noqa: S314 - see above
    except (ET.ParseError, ValueError, LookupError):  # LookupError: unknown encoding
        return None


def read_face_regions(packet: bytes) -> FaceRegions:
    """Return the faces in an XMP packet, also those without a name."""
    root = parse_xmp(packet)
    if root is None:
        return FaceRegions([], {})

    faces = []
    for item in root.iter(f"{RDF}li"):
        fields = _flatten(item)
        try:
            x, y, width, height = (float(fields[f"{_AREA}{side}"]) for side in "xywh")
        except (KeyError, ValueError):
            continue
        # A region without a type counts as a face. Other types are pets, bar codes and points of
        # focus.
        if fields.get(f"{_REGIONS}Type", _FACE) == _FACE:
            faces.append((fields.get(f"{_REGIONS}Name", ""), (x, y, width, height)))

    size = {}
    for applied in root.iter(f"{_REGIONS}AppliedToDimensions"):
        fields = _flatten(applied)
        size["width"] = fields.get(f"{_SIZE}w", "")
        size["height"] = fields.get(f"{_SIZE}h", "")
    return FaceRegions(faces, size)


def _flatten(element: ET.Element) -> dict[str, str]:
    """Return the fields of a structure, which RDF writes as attributes or as elements."""
    fields: dict[str, str] = {}
    for node in element.iter():
        for name, text in ((node.tag, node.text or ""), *node.attrib.items()):
            fields.setdefault(name, text)
    return fields


def turn_box(box: Rectangle, orientation: int) -> Rectangle:
    """Turn a box (center x and y, width, height) in fractions of a stored image with the image.

    `orientation` is that of EXIF, 1 to 8.
    The inverse of 6 is 8, that of 8 is 6; each other orientation is its own inverse.
    """
    x, y, width, height = box
    if orientation >= 5:  # rows become columns
        x, y = y, x
        width, height = height, width
    if orientation in (2, 3, 6, 7):
        x = 1 - x
    if orientation in (3, 4, 7, 8):
        y = 1 - y
    return x, y, width, height


_SIDECAR = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
    xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#">
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions stDim:w="{width}" stDim:h="{height}" stDim:unit="pixel"/>
    <mwg-rs:RegionList><rdf:Bag>{faces}
    </rdf:Bag></mwg-rs:RegionList>
   </mwg-rs:Regions>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""


_REGION = """
     <rdf:li><rdf:Description mwg-rs:Name={name} mwg-rs:Type="Face">
      <mwg-rs:Area stArea:x="{x:.9f}" stArea:y="{y:.9f}" stArea:w="{w:.9f}" stArea:h="{h:.9f}"
       stArea:unit="normalized"/>
     </rdf:Description></rdf:li>"""


def format_sidecar(
    faces: Iterable[tuple[str, Rectangle]],
    size: tuple[int, int],
    orientation: int,
) -> str:
    """Return a sidecar with named faces.

    Boxes (center x and y, width, height) are fractions of the upright image of `size` pixels, which
    EXIF turns by `orientation`.
    """
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    regions = []
    for name, box in faces:
        x, y, across, down = turn_box(box, inverse)
        regions.append(_REGION.format(name=quoteattr(name), x=x, y=y, w=across, h=down))

    width, height = size
    if orientation >= 5:
        width, height = height, width
    return _SIDECAR.format(
        width=width,
        height=height,
        faces="".join(regions),
    )
