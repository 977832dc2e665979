"""Content decoding of responses (RFC 9110, 8.4.1): gzip."""

import zlib

_GZIP_BEGINNING = b"\x1f\x8b"
# For zlib: a window of 15 bits, and 16 for the header of gzip.
_GZIP_WBITS = 31


def decode_content(data: bytes, encodings: str, max_bytes: int) -> bytes:
    """Undo the encodings in the header of a body; stop after more than `max_bytes`.

    Some servers announce an encoding and send the image as it is: such a body is not changed.
    Raises `zlib.error` if it is damaged.
    """
    for encoding in reversed(encodings.lower().split(",")):
        is_gzip = encoding.strip() in ("gzip", "x-gzip")
        if is_gzip and data.startswith(_GZIP_BEGINNING):
            data = _gunzip(data, max_bytes)
    return data


def _gunzip(data: bytes, max_bytes: int) -> bytes:
    result = b""
    # Several compressed parts may follow each other (RFC 1952, 2.2).
    while data.startswith(_GZIP_BEGINNING) and len(result) <= max_bytes:
        member = zlib.decompressobj(_GZIP_WBITS)
        result += member.decompress(
            data,
            max_bytes + 1 - len(result),
        )
        data = member.unused_data
    return result
