"""What a picture's own file says against learning from it.

- IPTC Photo Metadata 2023.1: the property `plus:DataMining` of XMP, whose value is an address of
  the PLUS vocabulary (`…/vocab/DMI-PROHIBITED…`).
- C2PA, and CAWG after it: the assertion `c2pa.training-mining` or `cawg.training-mining` of a
  manifest, in which some use is `notAllowed` or `constrained`, which counts as the same where it is
  not known what the constraint is (CAWG, "Training and data mining assertion" 1.1). Whatever use: a
  dataset may be passed on, and nobody knows what will learn from it.

Nothing is parsed that nests: names and values of XMP and of CBOR stand in a file as they are
spelled, and are looked for in the few parts of it that are metadata. That a manifest is signed is
not checked: who wrote the wish does not matter.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from gleanset.errors import Unreadable
from gleanset.images.embedded_metadata import (
    chunks_of_png,
    chunks_of_webp,
    file_kind,
    png_text,
    segments_of_jpeg,
)

_XMP_JPEG = (b"http://ns.adobe.com/xap/", b"http://ns.adobe.com/xmp/extension/")
_XMP_PNG = (b"XML:com.adobe.xmp\0", b"Raw profile type xmp\0", b"Raw profile type APP1\0")
# As an attribute, as an element with a text, or as one with a resource.
_MINING = re.compile(
    rb"""
    (?:\s[\w.-]{1,40}:DataMining\s*=\s*["']
      |<[\w.-]{1,40}:DataMining(?:\s*>|\s+\w{1,40}:resource\s*=\s*["']))
    \s*[^<>"'\s]{0,100}?(DMI-PROHIBITED[A-Z-]{0,40})
    """,
    re.VERBOSE,
)
_ASSERTION = re.compile(rb"(?:c2pa|cawg)\.training-mining(?:__\d{1,4})?\0")
_CONTENT = re.compile(rb"(.{4})(?:cbor|json)", re.DOTALL)
# A text of CBOR begins with 0x60 + its length: "use" with 0x63, which is "c", and so on.
_REFUSED = re.compile(
    rb"""cuse(?:jnotAllowed|kconstrained)|"use"\s*:\s*"(?:notAllowed|constrained)"""
)
# Between the label of an assertion and what it says stand an id, a hash and a salt at most.
_LABEL_TO_CONTENT = 400
_LONGEST_ASSERTION = 65_536
_MOST_ASSERTIONS = 100


class Reserved(NamedTuple):
    """A wish: the word for it, the reason of a rejection, and how the file has it."""

    word: str
    reason: str
    value: str


def reservations_in(data: bytes) -> Iterator[Reserved]:
    """Yield what the bytes of a picture say, as far as they can be read."""
    xmp, manifest = _metadata_of(data)
    if mining := _MINING.search(xmp):
        yield Reserved("iptc", "iptc data mining prohibited", mining.group(1).decode())
    if _forbids_training(manifest):
        yield Reserved("c2pa", "c2pa training not allowed", "training-mining")


def _metadata_of(data: bytes) -> tuple[bytes, bytes]:
    xmp: list[bytes] = []
    manifest: list[bytes] = []
    with suppress(Unreadable):  # damage: what stood before it counts
        match file_kind(data):
            case "JPEG":
                _read_jpeg(data, xmp, manifest)
            case "PNG":
                _read_png(data, xmp, manifest)
            case "WEBP":
                for part in chunks_of_webp(data):
                    if part.kind in (b"XMP ", b"C2PA"):
                        into = xmp if part.kind == b"XMP " else manifest
                        into.append(data[part.begin + 8 : part.end])
            case _:
                return data if b"DMI-PROHIBITED" in data else b"", data
    return b"".join(xmp).replace(b"\0", b""), b"".join(manifest)


def _read_jpeg(data: bytes, xmp: list[bytes], manifest: list[bytes]) -> None:
    for part in segments_of_jpeg(data, until_scan=True):
        body = part.begin + 4
        if part.kind == b"\xe1" and data.startswith(_XMP_JPEG, body):
            xmp.append(data[body : part.end])
        elif part.kind == b"\xeb" and data.startswith(b"JP", body):
            # Each part of a box has its head again (ISO 19566-5, annex D): 8 bytes, long ones 16.
            is_first = data[body + 4 : body + 8] == b"\0\0\0\1"
            head = 16 if data[body + 8 : body + 12] == b"\0\0\0\1" else 8
            manifest.append(data[body + 8 + (0 if is_first else head) : part.end])


def _read_png(data: bytes, xmp: list[bytes], manifest: list[bytes]) -> None:
    for part in chunks_of_png(data):
        body = part.begin + 8
        if part.kind == b"caBX":
            manifest.append(data[body : part.end - 4])
        elif part.kind in (b"iTXt", b"zTXt", b"tEXt") and data.startswith(_XMP_PNG, body):
            with suppress(ValueError, zlib.error):
                xmp.append(png_text(part.kind, data[body : part.end - 4]))


def _forbids_training(manifest: bytes) -> bool:
    if b".training-mining" not in manifest:
        return False
    for label in islice(_ASSERTION.finditer(manifest), _MOST_ASSERTIONS):
        end = label.end()
        if content := _CONTENT.search(manifest, end, end + _LABEL_TO_CONTENT):
            length = min(int.from_bytes(content.group(1), "big"), _LONGEST_ASSERTION)
            if _REFUSED.search(manifest, content.end(), content.start() + length):
                return True
    return False
