"""Content decoding of responses (RFC 9110, 8.4.1): gzip and deflate."""

import zlib

_ENCODINGS = ("gzip", "x-gzip", "deflate")
# Of gzip, and of zlib with its largest window at each level. No image begins like these.
_BEGINNINGS = (b"\x1f\x8b", b"x\x01", b"x^", b"x\x9c", b"x\xda")
# For zlib: a window of 15 bits, and 32 to tell gzip from its own format.
_WBITS = 47


def decode_content(data: bytes, encodings: str, max_bytes: int) -> bytes:
    """Undo the encodings in the header of a body; stop after more than `max_bytes`.

    Some servers announce an encoding and send the image as it is: such a body is not changed.
    Raises `zlib.error` if it is damaged.
    """
    for encoding in encodings.lower().split(","):
        if encoding.strip() in _ENCODINGS and data.startswith(_BEGINNINGS):
            data = _inflate(data, max_bytes)
    return data


def _inflate(data: bytes, max_bytes: int) -> bytes:
    result = b""
    # Several compressed parts may follow each other (RFC 1952, 2.2).
    while data.startswith(_BEGINNINGS) and len(result) <= max_bytes:
        member = zlib.decompressobj(_WBITS)
        # One byte more than allowed tells the caller that the body is too large.
        result += member.decompress(
            data,
            max_bytes + 1 - len(result),
        )
        data = member.unused_data
    return result
