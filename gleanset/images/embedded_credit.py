"""Author and licence of an image from its own metadata: EXIF, IPTC and XMP.

The fields are those that photo software writes: the EXIF tags Artist and Copyright, IPTC-IIM 2:80
and 2:116 (by-line, copyright notice), and in XMP dc:creator, dc:rights, cc:license,
xmpRights:UsageTerms and xmpRights:WebStatement. The texts are untrusted: they are shortened, and
control characters are dropped.
"""

import io
import warnings
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree as ET

from PIL import Image, IptcImagePlugin

from gleanset.credit import NO_CREDIT, Credit, clean_credit_text, clean_page_url
from gleanset.images.xmp import RDF, get_packet, parse_xmp

_ARTIST = 0x013B
_COPYRIGHT = 0x8298
_BY_LINE = (2, 80)
_NOTICE = (2, 116)
_DC = "{http://purl.org/dc/elements/1.1/}"
_RIGHTS = "{http://ns.adobe.com/xap/1.0/rights/}"
_LICENCES = (
    "{http://creativecommons.org/ns#}license",
    f"{_RIGHTS}UsageTerms",
    f"{_DC}rights",
)


def read_embedded_credit(data: bytes) -> Credit:
    """Return the credit in an image file; `NO_CREDIT` if none is readable."""
    # Pillow's plugins raise any exception.
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            credit = _read_xmp(get_packet(image))
            # Damage of one kind of metadata leaves the others.
            with suppress(Exception):
                iptc = IptcImagePlugin.getiptcinfo(image) or {}
                credit = credit.fill_from(_make_credit(iptc, _BY_LINE, _NOTICE))
            with suppress(Exception):
                exif = image.getexif()
                credit = credit.fill_from(_make_credit(exif, _ARTIST, _COPYRIGHT))
            return credit
    return NO_CREDIT


def _make_credit(fields: Any, author: object, licence: object) -> Credit:
    return Credit(
        _to_text(fields.get(author)),
        _to_text(fields.get(licence)),
    )


def _read_xmp(packet: bytes) -> Credit:
    root = parse_xmp(packet)
    if root is None:
        return NO_CREDIT

    author = _read_property(root, f"{_DC}creator")
    licences = (_read_property(root, name) for name in _LICENCES)
    licence = next(filter(None, licences), None)
    page = clean_page_url(_read_property(root, f"{_RIGHTS}WebStatement"))
    return Credit(author, licence, page)


def _read_property(root: ET.Element, name: str) -> str | None:
    """Return an RDF property: attribute, text, resource or list."""
    for node in root.iter():
        if name in node.attrib:
            return clean_credit_text(node.attrib[name])
        if node.tag == name:
            resource = node.attrib.get(f"{RDF}resource")
            items = [item.text for item in node.iter(f"{RDF}li") if item.text]
            return clean_credit_text(resource or ", ".join(items) or node.text)
    return None


def _to_text(value: object) -> str | None:
    if isinstance(value, (list, tuple)):
        return clean_credit_text(", ".join(filter(None, map(_to_text, value))))
    if isinstance(value, bytes):
        try:
            return clean_credit_text(value.decode())
        except UnicodeDecodeError:
            return clean_credit_text(value.decode("latin-1"))
    return clean_credit_text(value) if isinstance(value, str) else None
