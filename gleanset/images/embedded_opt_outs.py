"""Opt-out signals in image files: metadata that forbids machine learning.

- IPTC Photo Metadata 2023.1: the XMP property `plus:DataMining`, whose value is a URL of the PLUS
  vocabulary (`…/vocab/DMI-PROHIBITED…`).
- C2PA, and its successor CAWG: the assertion `c2pa.training-mining` or `cawg.training-mining` of a
  manifest in which any use is `notAllowed` or `constrained`. An unknown constraint counts as
  `notAllowed` (CAWG, "Training and data mining assertion" 1.1). Any use counts, because a dataset
  may be passed on and its later use is unknown.

No nested structure is parsed: names and values of XMP and CBOR are stored literally, and are
searched for in the metadata parts of a file. Signatures of manifests are not checked: the signal
counts no matter who wrote it.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from gleanset.errors import Unreadable
from gleanset.images.embedded_metadata import PNG_TEXT_CHUNKS, detect_kind, iter_parts

_XMP_PNG = (
    b"XML:com.adobe.xmp\0",
    b"Raw profile type xmp\0",
    b"Raw profile type APP1\0",
)
_XMP_BEGINNINGS = {
    b"\xe1": (b"http://ns.adobe.com/xap/", b"http://ns.adobe.com/xmp/extension/"),
    **dict.fromkeys(PNG_TEXT_CHUNKS, _XMP_PNG),
    b"XMP ": (b"",),
}
# An attribute, an element with text, or an element with an rdf:resource.
_DATA_MINING = re.compile(
    rb"""
    (?:\s[\w.-]{1,40}:DataMining\s*=\s*["']
      |<[\w.-]{1,40}:DataMining(?:\s*>|\s+\w{1,40}:resource\s*=\s*["']))
    \s*[^<>"'\s]{0,100}?(DMI-PROHIBITED[A-Z-]{0,40})
    """,
    re.VERBOSE,
)
_ASSERTION = re.compile(rb"(?:c2pa|cawg)\.training-mining(?:__\d{1,4})?\0")
# The box of an assertion: its length in bytes, and its type.
_CONTENT = re.compile(rb"(.{4})(?:cbor|json)", re.DOTALL)
# A CBOR text begins with the byte 0x60 + length: "use" with 0x63, which is "c".
_REFUSED = re.compile(
    rb"""cuse(?:jnotAllowed|kconstrained)|"use"\s*:\s*"(?:notAllowed|constrained)"""
)
# At most an id, a hash and a salt are between the label of an assertion and its content.
_MAX_LABEL_DISTANCE_BYTES = 400
_MAX_ASSERTION_BYTES = 65_536
_MAX_ASSERTIONS = 100


class OptOutSignal(NamedTuple):
    """An opt-out signal: its name, the rejection reason, and its value in the file."""

    word: str
    reason: str
    value: str


def find_opt_outs(data: bytes) -> Iterator[OptOutSignal]:
    """Yield the opt-out signals in an image file; damaged metadata is skipped."""
    xmp, manifest = _read_metadata(data)
    if mining := _DATA_MINING.search(xmp):
        yield OptOutSignal(
            "iptc",
            "iptc data mining prohibited",
            mining[1].decode(),
        )
    if _forbids_training(manifest):
        yield OptOutSignal("c2pa", "c2pa training not allowed", "training-mining")


def _read_metadata(data: bytes) -> tuple[bytes, bytes]:
    """Return the XMP, without the zeros of UTF-16, and the C2PA manifest of a file."""
    if not detect_kind(data):
        # A format whose parts we do not read: search the whole file.
        xmp_data = data if b"DMI-PROHIBITED" in data else b""
        return xmp_data, data

    xmp = []
    manifest = []
    with suppress(Unreadable):  # what was read before the damage counts
        for part in iter_parts(data):
            if part.kind in _XMP_BEGINNINGS:
                if data.startswith(_XMP_BEGINNINGS[part.kind], part.body_begin):
                    xmp.append(part.read_body(data))
            elif part.kind in (b"caBX", b"C2PA"):  # chunks of PNG and WebP
                manifest.append(part.read_body(data))
            # APP11 segments of a JPEG (JUMBF).
            elif part.kind == b"\xeb" and data.startswith(b"JP", part.body_begin):
                manifest.append(_read_box(part.read_body(data)))

    return b"".join(xmp).replace(b"\0", b""), b"".join(manifest)


def _read_box(body: bytes) -> bytes:
    # "JP", a number of the box (2 bytes) and of the segment (4), then the box. Each segment repeats
    # the header of the box (ISO 19566-5, annex D): 8 bytes, or 16 if long.
    is_first = body[4:8] == b"\0\0\0\1"
    head = 16 if body[8:12] == b"\0\0\0\1" else 8
    return body[8:] if is_first else body[8 + head :]


def _forbids_training(manifest: bytes) -> bool:
    """Return whether an assertion in a C2PA manifest refuses or constrains a use for training."""
    if b".training-mining" not in manifest:
        return False

    for label in islice(_ASSERTION.finditer(manifest), _MAX_ASSERTIONS):
        start = label.end()
        content = _CONTENT.search(manifest, start, start + _MAX_LABEL_DISTANCE_BYTES)
        if not content:
            continue

        length = min(int.from_bytes(content[1], "big"), _MAX_ASSERTION_BYTES)
        if _REFUSED.search(manifest, content.end(), content.start() + length):
            return True
    return False
