"""Exports to any URL that fsspec writes to: s3://, gs://, abfs:// and more.

The export is made in the cache of the dataset, then each file is sent that the URL does not hold
already. A file counts once its size and hash are those of the local one. An object store has no
rename, so an export there is complete when its marker, which is sent last, no longer says `begun`.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from gleanset import Dataset
from gleanset.errors import (
    GleansetError,
    InputUnusable,
    MissingComponent,
    NeedsLogin,
    Unreachable,
    UsageError,
)
from gleanset.files.store import hash_bytes
from gleanset.installation import install_command
from gleanset.work.progress import Progress
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.export.result import ExportResult
from labeler.export.tree import MARKER

_URL = re.compile(r"[a-z][a-z0-9+.-]+://")
_SENT_LAST = "manifest.json"
_UPLOADS = 4
_PAUSES_SECONDS = (1.0, 5.0, 20.0)
"""Pauses before further attempts; the driver makes attempts of its own before."""

_PART_BYTES = 50 * 2**20
"""s3fs sends larger files in parts of this size; S3 names such an object by a hash of hashes."""

_NO_KEY = re.compile(r"Credential|NoAuth|RefreshError|Token|ClientAuthentication")
"""Errors of drivers, by the name of their class, for a key that is missing or does not work."""

_S3_KEY = "give a key: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run: aws configure"


_md5 = partial(hashlib.md5, usedforsecurity=False)


def is_url(place: str) -> bool:
    """Return whether a place is a URL rather than a folder."""
    return _URL.match(place) is not None


def export_to_url(
    dataset: Dataset,
    url: str,
    options: ExportOptions,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> ExportResult:
    """Write an export to a URL; the counts. What is there already is not sent again.

    Raises `InputUnusable` where the URL holds files that are not from an export, and what the
    server says.
    """
    if options.link:
        raise UsageError(f"nothing can be linked into {url}", "leave --link out")
    progress = progress or Progress()
    target = UploadTarget.from_url(url)
    target.check_replaceable()
    with ExitStack() as resources:
        if dataset.read_only:
            cache = Path(resources.enter_context(TemporaryDirectory(prefix="gleanset-export-")))
        else:
            resources.enter_context(dataset.stage("upload"))
            cache = dataset.cache / "exports"
            cache.mkdir(parents=True, exist_ok=True)
        # Kept: the next export makes only what has changed.
        folder = cache / hash_bytes(target.url.encode())[:16]
        result = export(dataset, folder, options, workers=workers, progress=progress)
        result.sent = target.upload(folder, progress)
    result.to = target.url
    return result


class UploadTarget(NamedTuple):
    """A folder of a filesystem of fsspec; `root` is its path there."""

    url: str
    filesystem: Any
    root: str

    @classmethod
    def from_url(cls, url: str) -> UploadTarget:
        """Open a URL. Raises `MissingComponent` without its driver, and `UsageError`."""
        scheme, url = url.partition("://")[0], url.rstrip("/")
        missing = f"install the fsspec driver of {scheme}://, such as gcsfs for gs://"
        hint = install_command("s3") if scheme == "s3" else missing
        try:
            from fsspec.core import url_to_fs

            options = {"auto_mkdir": True} if scheme in ("file", "local") else {}
            filesystem, root = url_to_fs(
                url, use_listings_cache=False, skip_instance_cache=True, **options
            )
        except ImportError as error:
            raise MissingComponent(f"cannot write to {scheme}://: {error}", hint) from error
        except ValueError as error:
            raise UsageError(
                f"cannot write to {url}: {error}", "name s3://BUCKET/PREFIX"
            ) from error
        return cls(url, filesystem, root.rstrip("/"))

    def check_replaceable(self) -> set[str]:
        """Return the files of an earlier export, all there are. Raises `InputUnusable`."""
        own_files = {MARKER}
        with self._errors():
            paths = self.filesystem.find(self.root)
            names = {path.removeprefix(self.root).lstrip("/") for path in paths}
            if MARKER in names:
                listed = json.loads(self.filesystem.cat_file(self._path(MARKER))).get("files")
                own_files.update(map(str, listed) if isinstance(listed, list) else ())
        if foreign := sorted(names - own_files):
            raise InputUnusable(
                f"{self.url} holds files that are not from an export, such as {foreign[0]}",
                "export to another prefix, or move them away",
            )
        return names

    def upload(self, folder: Path, progress: Progress) -> int:
        """Send the export in `folder`, and remove what is left of an earlier one; files sent."""
        existing = self.check_replaceable()
        new = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        first = sorted(new - {MARKER, _SENT_LAST})
        with self._errors():
            # An upload that is stopped must be recognised as ours, and as incomplete.
            start_marker = {"begun": True, "files": sorted((existing | new) - {MARKER})}
            self.filesystem.pipe_file(self._path(MARKER), json.dumps(start_marker).encode())
            if _SENT_LAST in existing:
                self.filesystem.rm_file(self._path(_SENT_LAST))
            with ThreadPoolExecutor(_UPLOADS) as pool:
                results = pool.map(partial(self._send, folder), first)
                sent = sum(progress.over(results, "upload", total=len(first), unit=" files"))
            for name in sorted(existing - new - {MARKER}):
                self.filesystem.rm_file(self._path(name))
            for name in (_SENT_LAST, MARKER):
                if name in new:
                    self._send(folder, name)
        return sent

    def _send(self, folder: Path, name: str) -> bool:
        """Send a file until the server holds it as it is; False where it did already."""
        source, digests = folder / name, _digests(folder / name)
        if self._has_file(name, source, digests):
            return False
        for pause in (*_PAUSES_SECONDS, None):
            problem = "the server holds other bytes than were sent"
            try:
                self.filesystem.put_file(str(source), self._path(name))
                if self._has_file(name, source, digests):
                    return True
            except (FileNotFoundError, PermissionError):
                raise
            except Exception as error:
                if pause is None or _NO_KEY.search(type(error).__name__):
                    raise
                problem = str(error)
            time.sleep(pause or 0)
        raise Unreachable(f"{self.url}/{name}: {problem}", "run the same command again")

    def _has_file(self, name: str, source: Path, digests: set[str]) -> bool:
        """Return whether the server has a file: by its own checksum, else by reading it back."""
        try:
            info = self.filesystem.info(self._path(name))
        except FileNotFoundError:
            return False
        if info.get("size") != source.stat().st_size:
            return False
        if str(info.get("ETag", "")).strip('"') in digests:
            return True
        with self.filesystem.open(self._path(name), "rb") as file:
            return hashlib.file_digest(file, _md5).hexdigest() in digests

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what a driver raises into an error with a hint: each driver has its own classes."""
        try:
            yield
        except GleansetError:
            raise
        except FileNotFoundError as error:
            raise InputUnusable(
                f"there is no such bucket or folder: {self.url}", "make the bucket first"
            ) from error
        except Exception as error:
            if isinstance(error, PermissionError) or _NO_KEY.search(type(error).__name__):
                other = "log in as the driver of fsspec documents it"
                hint = _S3_KEY if self.url.startswith("s3://") else other
                raise NeedsLogin(f"{self.url} refuses access: {error}", hint) from error
            raise Unreachable(
                f"{self.url}: {error}",
                "run the same command again: what is there is not sent again",
            ) from error


def _digests(path: Path) -> set[str]:
    """Return the checksums that S3 gives for a file, sent at once or in parts."""
    total, parts = _md5(), list[bytes]()
    with path.open("rb") as file:
        while part := file.read(_PART_BYTES):
            total.update(part)
            parts.append(_md5(part).digest())
    return {total.hexdigest(), f"{_md5(b''.join(parts)).hexdigest()}-{len(parts)}"}
