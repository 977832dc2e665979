"""Download of a published file with a known SHA-256 to the user's cache folder.

A file is downloaded once. An interrupted download is resumed; a file gets its final name only
after its hash was verified. Proxies and certificates come from the environment: `HTTP_PROXY`,
`HTTPS_PROXY`, `NO_PROXY`, `REQUESTS_CA_BUNDLE`, `SSL_CERT_FILE`.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, NoReturn, Self
from urllib.parse import unquote, urlsplit

import platformdirs

from gleanset import __version__
from gleanset.errors import MissingComponent, UsageError
from gleanset.files.atomic import disk_errors
from gleanset.files.hub import MAX_FILE_BYTES, HubFile, has_hub_prefix
from gleanset.files.store import hash_file
from gleanset.platform import replace_file, sync_folder
from gleanset.work import progress

if TYPE_CHECKING:
    import requests

TIMEOUT_SECONDS = 30.0
"""Timeout for a connection and for each read."""

_CHUNK_BYTES = 1 << 16
log = logging.getLogger(__name__)


class PublishedFile(NamedTuple):
    """A file with its URL, or hub name with commit, and the SHA-256 that it must have."""

    url: str
    sha256: str

    @classmethod
    def from_setting(cls, url: str, sha256: str, setting: str) -> Self:
        """Validate the form of the hash. Raises `UsageError` that names its `setting`."""
        word = sha256.lower().removeprefix("sha256:")
        if not re.fullmatch("[0-9a-f]{64}", word):
            raise UsageError(
                f"{url} needs its SHA-256 (64 hex digits): what is fetched is checked",
                f"copy it from the publisher's page of that file and add: {setting}",
            )
        return cls(url, word)

    @property
    def name(self) -> str:
        """The last part of the URL, made safe as a file name."""
        path = unquote(urlsplit(self.url).path)
        # A hub name ends with @ and the commit.
        last_part = path.rpartition("/")[2].partition("@")[0]
        name = re.sub(r"[^\w.-]", "_", last_part, flags=re.ASCII).lstrip(".-")
        return name[-80:] or "file"


def fetch_file(file: PublishedFile, otherwise: str) -> Path:
    """Return the local path of a file; download it if needed.

    `otherwise` is a hint for users without a network. Raises `MissingComponent` if the download
    fails or has the wrong hash, `DiskFull`, `NotWritable`.
    """
    target = _cache_path(file)
    if _is_complete(target, file.sha256):
        return target
    hub_path = (
        HubFile.parse(file.url).find_cached() if has_hub_prefix(file.url) else None
    )
    if hub_path and _is_complete(hub_path, file.sha256):
        return hub_path

    # Imported here: most commands download nothing.
    from filelock import FileLock

    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Worker processes may request the same file at the same time.
        with FileLock(f"{target}.lock"):
            if not _is_complete(target, file.sha256):
                _fetch(file, target, otherwise)
    return target


def is_cached(file: PublishedFile) -> bool:
    """Return whether the cache folder has a file with the hash."""
    return _is_complete(_cache_path(file), file.sha256)


def _cache_path(file: PublishedFile) -> Path:
    """Return the path in the folder of downloaded files, which may be deleted anytime."""
    cache = Path(platformdirs.user_cache_dir("gleanset"))
    return cache / "fetched" / f"{file.sha256[:16]}-{file.name}"


def _is_complete(path: Path, sha256: str) -> bool:
    try:
        return path.is_file() and hash_file(path) == sha256
    except OSError:
        return False


def _fetch(file: PublishedFile, target: Path, otherwise: str) -> None:
    partial = target.with_name(f"{target.name}.partial")
    log.info("fetching %s", file.url)
    is_resumed = partial.exists()
    _download_rest(file, partial, otherwise)
    if is_resumed and hash_file(partial) != file.sha256:
        # The partial file may be the beginning of another version: download again from the start.
        partial.unlink()
        _download_rest(file, partial, otherwise)

    actual = hash_file(partial)
    if actual != file.sha256:
        partial.unlink()
        raise MissingComponent(
            f"{file.url} is not the file it should be: its SHA-256 is {actual}, "
            f"expected {file.sha256}",
            f"it was changed by its publisher or on the way; {otherwise}",
        )
    replace_file(partial, target)
    sync_folder(target.parent)


def _download_rest(file: PublishedFile, partial: Path, otherwise: str) -> None:
    """Append what is missing to a partial file, or download it from its beginning."""
    # Imported here: most commands download nothing.
    import requests

    size = partial.stat().st_size if partial.exists() else 0
    with _translate_errors(file, otherwise), requests.Session() as session:
        session.headers["User-Agent"] = f"gleanset/{__version__}"
        # Uncompressed: the size of the partial file and the hash are of the bytes of the file.
        session.headers["Accept-Encoding"] = "identity"
        # requests itself does not read this variable.
        session.verify = os.environ.get("SSL_CERT_FILE") or True
        headers = {"Range": f"bytes={size}-"} if size else {}
        url = HubFile.parse(file.url).url if has_hub_prefix(file.url) else file.url
        with session.get(
            url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS
        ) as response:
            if response.status_code == 416:
                # Range Not Satisfiable: the partial file is already complete.
                return
            response.raise_for_status()

            # A server may ignore the range, and send the whole file.
            content_range = response.headers.get("Content-Range", "")
            is_rest = size and content_range.startswith(f"bytes {size}-")
            with partial.open("ab" if is_rest else "wb") as out:
                _write(response, out, file, otherwise)


def _write(
    response: requests.Response, out: BinaryIO, file: PublishedFile, otherwise: str
) -> None:
    start = out.tell()
    rest = int(response.headers.get("Content-Length", 0))
    total = start + rest if rest else None
    with progress.current.meter(file.name, total, "B", start) as meter:
        # Without content decoding: none was asked for, and some servers only announce gzip.
        for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
            out.write(chunk)
            meter.advance(len(chunk))
            if out.tell() > MAX_FILE_BYTES:
                _fail(file, f"it is longer than {MAX_FILE_BYTES} bytes", otherwise)
    out.flush()
    os.fsync(out.fileno())


@contextmanager
def _translate_errors(file: PublishedFile, otherwise: str) -> Iterator[None]:
    import requests
    from urllib3.exceptions import HTTPError

    try:
        yield
    except requests.HTTPError as error:
        answer, _, _ = str(error).partition(" for url")
        _fail(file, f"the server answered {answer}", otherwise, error)
    except requests.exceptions.SSLError as error:
        _fail(
            file,
            f"its certificate is not trusted: {_extract_reason(error)}",
            otherwise,
            error,
        )
    # ValueError: invalid `Location`
    except (requests.RequestException, HTTPError, ValueError) as error:
        _fail(file, _extract_reason(error), otherwise, error)
    except OSError as error:
        # requests cannot use a proxy or certificate setting of the environment.
        if error.filename is None and error.errno is None:
            _fail(file, str(error), otherwise, error)
        raise


def _extract_reason(error: Exception) -> str:
    """Return the reason of an error without the repr of the connection.

    "HTTPSConnectionPool(host='a', port=443): Max retries exceeded with url: /b (Caused by
    NewConnectionError('<…HTTPSConnection object at 0x7f>: Failed to establish a new connection'))"
    becomes "Failed to establish a new connection".
    """
    text = str(error.args[0]) if error.args else type(error).__name__
    reason = re.sub(r"^.*?Caused by ", "", text)
    reason = re.sub(r"<?\b\w+\(.*?\)>?: ", "", reason)
    return re.sub(r"[\"']\)+$", "", reason).strip() or type(error).__name__


def _fail(
    file: PublishedFile, reason: str, otherwise: str, cause: Exception | None = None
) -> NoReturn:
    """Raise `MissingComponent`; its hint ends with `otherwise`, as in `fetch_file`."""
    fix = "check the net and HTTPS_PROXY and run the command again (it goes on where it was)"
    raise MissingComponent(
        f"{file.url} could not be fetched: {reason}",
        f"{fix}; or {otherwise}",
    ) from cause
