"""The one door to S3: a place in a bucket, its objects, and what the server says when it cannot.

Any server that speaks S3 will do. Keys come by the usual chain of AWS (environment, `~/.aws`, the
role of a machine), never from a dataset. A client is made where it is first needed, once a process.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from gleanset.errors import (
    DiskFull,
    GleansetError,
    InputUnusable,
    MissingComponent,
    NeedsLogin,
    Unreachable,
)

SCHEME = "s3://"
LARGEST = 5 * 2**30
"""Bytes that one PUT may carry, with AWS and most others."""

_HASH = "sha256"
_ATTEMPTS = 6
_CONNECTIONS = 64
_SECONDS = 60.0

_NO_KEYS = "give a key: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run: aws configure"
_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
_FULL = {
    "QuotaExceeded",
    "EntityTooLarge",
    "XMinioStorageFull",
    "InsufficientStorage",
    "413",
    "507",
}
_BUSY = {"SlowDown", "ServiceUnavailable", "RequestLimitExceeded", "Throttling", "503", "429"}
_CONFLICT = {"PreconditionFailed", "ConditionalRequestConflict", "412"}
_GONE = {"NoSuchKey", "NotFound", "404"}

_clients: dict[tuple[int, str | None, str | None], Any] = {}
_making = threading.Lock()


class Overtaken(Exception):
    """The object is no longer the one that was to be replaced: somebody else wrote it."""


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What a server tells of an object. `sha256` is what it was put with, '' where nobody said;
    `about` what else was written with it. A listing tells neither.
    """

    key: str
    bytes: int
    changed: datetime
    etag: str
    sha256: str = ""
    about: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """The place `s3://bucket/prefix`; small and picklable. Keys are relative to the prefix.

    Every method raises a `GleansetError` for what the server refuses, after it was tried again.
    """

    address: str
    endpoint: str | None = None
    region: str | None = None

    @property
    def name(self) -> str:
        """The bucket alone."""
        return self.address.removeprefix(SCHEME).partition("/")[0]

    def key(self, key: str) -> str:
        """Return a key as the server knows it."""
        prefix = self.address.removeprefix(SCHEME).partition("/")[2].strip("/")
        return f"{prefix}/{key}" if prefix else key

    def below(self, name: str) -> Bucket:
        """Return a place in this one."""
        return Bucket(f"{self.address.rstrip('/')}/{name}", self.endpoint, self.region)

    @property
    def beside(self) -> Bucket:
        """The place that this one is in."""
        return Bucket(self.address.rstrip("/").rpartition("/")[0], self.endpoint, self.region)

    def facts(self, key: str) -> ObjectFacts | None:
        """Return what is known of an object; None where there is none."""
        with self._told(key, "read"):
            try:
                told = self._client().head_object(Bucket=self.name, Key=self.key(key))
            except _client_error() as error:
                if _code(error) in _GONE:
                    return None
                raise
        return _facts(key, told)

    def get(self, key: str) -> tuple[bytes, ObjectFacts]:
        """Return an object. Raises `FileNotFoundError`."""
        with self._told(key, "read"), self._found(key):
            told = self._client().get_object(Bucket=self.name, Key=self.key(key))
            return told["Body"].read(), _facts(key, told)

    def fetch(self, key: str, target: Path) -> ObjectFacts:
        """Write an object to a file, some of it at a time. Raises `FileNotFoundError`."""
        with self._told(key, "read"), self._found(key):
            told = self._client().get_object(Bucket=self.name, Key=self.key(key))
            with target.open("wb") as file:
                for part in told["Body"].iter_chunks(2**20):
                    file.write(part)
            return _facts(key, told)

    def put(
        self,
        key: str,
        data: bytes | Path,
        *,
        about: Mapping[str, str] | None = None,
        replaces: ObjectFacts | None = None,
        only_new: bool = False,
    ) -> str:
        """Write an object whole or not at all; its SHA-256, which is kept with it.

        The server compares what arrives with a hash sent along. With `replaces`, or `only_new`,
        nothing is written where the object is another one by now, or there is one: `Overtaken`,
        with servers that know such conditions.
        """
        if isinstance(data, Path):
            with data.open("rb") as file:
                return self._put(key, file, _hashes(file), about, replaces, only_new)
        found = hashlib.sha256(data).hexdigest(), hashlib.md5(data, usedforsecurity=False).digest()
        return self._put(key, data, (*found, len(data)), about, replaces, only_new)

    def _put(
        self,
        key: str,
        body: bytes | BinaryIO,
        hashes: tuple[str, bytes, int],
        about: Mapping[str, str] | None,
        replaces: ObjectFacts | None,
        only_new: bool,
    ) -> str:
        sha256, md5, size = hashes
        if size > LARGEST:
            raise InputUnusable(
                f"{key} has {size} bytes, and one object takes {LARGEST}", "make smaller shards"
            )
        condition = {"IfMatch": replaces.etag} if replaces else {}
        condition |= {"IfNoneMatch": "*"} if only_new else {}
        plain = {
            "Bucket": self.name,
            "Key": self.key(key),
            "Body": body,
            "ContentMD5": base64.b64encode(md5).decode(),
            "Metadata": {_HASH: sha256, **(about or {})},
        }
        with self._told(key, "written"):
            try:
                self._client().put_object(**plain, **condition)
            except _client_error() as error:
                if condition and _code(error) in _CONFLICT:
                    raise Overtaken(self._where(key)) from error
                if not condition or _code(error) != "NotImplemented":
                    raise
                if not isinstance(body, bytes):
                    body.seek(0)
                self._client().put_object(**plain)
        return sha256

    def remove(self, key: str) -> None:
        """Remove an object, should there be one."""
        with self._told(key, "removed"):
            try:
                self._client().delete_object(Bucket=self.name, Key=self.key(key))
            except _client_error() as error:
                if _code(error) not in _GONE:
                    raise

    def each(self, start: str = "") -> Iterator[ObjectFacts]:
        """Yield the objects whose keys begin so, by key, a thousand a request."""
        whole, more = self.key(start), dict[str, str]()
        cut = len(self.key(""))
        while True:
            with self._told(start, "listed"):
                told = self._client().list_objects_v2(Bucket=self.name, Prefix=whole, **more)
            for one in told.get("Contents", ()):
                etag = one["ETag"].strip('"')
                yield ObjectFacts(one["Key"][cut:], one["Size"], one["LastModified"], etag)
            if not told.get("IsTruncated"):
                return
            more = {"ContinuationToken": told["NextContinuationToken"]}

    def _where(self, key: str) -> str:
        return f"{SCHEME}{self.name}/{self.key(key)}"

    def _client(self) -> Any:
        # A client that was inherited from another process would share its connections.
        here = (os.getpid(), self.endpoint, self.region)
        if (found := _clients.get(here)) is None:
            with _making:
                if (found := _clients.get(here)) is None:
                    found = _clients[here] = _made(self.endpoint, self.region)
        return found

    @contextmanager
    def _found(self, key: str) -> Iterator[None]:
        try:
            yield
        except _client_error() as error:
            if _code(error) in _GONE:
                raise FileNotFoundError(2, "there is no such object", self._where(key)) from error
            raise

    @contextmanager
    def _told(self, key: str, done: str) -> Iterator[None]:
        """Turn what the server, or the way there, says into an error with the mend in it."""
        from botocore import exceptions as said

        where = self._where(key)
        try:
            yield
        except said.ClientError as error:
            raise self._refused(error, where, done) from error
        except (said.NoCredentialsError, said.PartialCredentialsError) as error:
            raise NeedsLogin(f"there is no key for {where}", _NO_KEYS) from error
        except (said.ProfileNotFound, said.CredentialRetrievalError, said.TokenRetrievalError) as e:
            raise NeedsLogin(f"there is no key for {where}: {e}", _NO_KEYS) from e
        except (said.HTTPClientError, said.ConnectionError, said.IncompleteReadError) as error:
            raise Unreachable(
                f"{where} cannot be reached: {error}",
                "look at endpoint in [store] or AWS_ENDPOINT_URL and at the net, and run the "
                "command again: what was done is kept",
            ) from error
        except (said.BotoCoreError, ValueError) as error:
            raise InputUnusable(
                f"{where} cannot be {done}: {error}", "mend [store] in dataset.toml, or ~/.aws"
            ) from error

    def _refused(self, error: Any, where: str, done: str) -> GleansetError:
        code, message = _code(error), error.response.get("Error", {}).get("Message", "")
        told = f"the server says {code}{f' ({message})' if message else ''}"
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "NoSuchBucket":
            return InputUnusable(
                f"there is no bucket {self.name!r}",
                f"make it, for instance: aws s3 mb {SCHEME}{self.name}; or mend the address",
            )
        if code in _KEYS or status == 401:
            return NeedsLogin(f"the key for {where} is refused: {told}", _NO_KEYS)
        if code in _FULL or status in (413, 507):
            return DiskFull(
                f"no space left for {where}: {told}",
                "free some space or raise the quota, and run the command again",
            )
        if status == 403:
            return NeedsLogin(
                f"{where} may not be {done} with this key: {told}",
                "give it the rights in docs/storage.md, or take another key",
            )
        if code in _BUSY or status >= 500:
            return Unreachable(
                f"{where} could not be {done}, and was tried {_attempts()} times: {told}",
                "wait a while and run the command again: what was done is kept",
            )
        return InputUnusable(f"{where} cannot be {done}: {told}", "see docs/storage.md")


def _facts(key: str, told: Mapping[str, Any]) -> ObjectFacts:
    about = {name.lower(): value for name, value in told.get("Metadata", {}).items()}
    etag, sha256 = told["ETag"].strip('"'), about.pop(_HASH, "")
    return ObjectFacts(key, told["ContentLength"], told["LastModified"], etag, sha256, about)


def _hashes(file: BinaryIO) -> tuple[str, bytes, int]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    while part := file.read(2**20):
        sha256.update(part)
        md5.update(part)
    size = file.tell()
    file.seek(0)
    return sha256.hexdigest(), md5.digest(), size


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _client_error() -> type[Exception]:
    from botocore.exceptions import ClientError

    found: type[Exception] = ClientError
    return found


def _attempts() -> int:
    return int(os.environ.get("AWS_MAX_ATTEMPTS", _ATTEMPTS))


def _made(endpoint: str | None, region: str | None) -> Any:
    from boto3.session import Session
    from botocore.config import Config

    def client(style: str) -> Any:
        config = Config(
            retries={"mode": "standard", "total_max_attempts": _attempts()},
            max_pool_connections=_CONNECTIONS,
            connect_timeout=min(10.0, _SECONDS),
            read_timeout=_SECONDS,
            # Further checksums many servers do not know; the MD5 of every PUT all do.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": style},
        )
        return session.client("s3", endpoint_url=endpoint, config=config)

    session = Session()
    if region or not session.region_name:
        # Servers of one's own mostly take any; that of AWS redirects from here.
        session = Session(region_name=region or "us-east-1")
    found = client("auto")
    # Names of buckets below one's own server are rarely known to the DNS.
    return found if "amazonaws." in found.meta.endpoint_url else client("path")


def refuse_without_library() -> None:
    """Raise `MissingComponent` where boto3 is not installed."""
    from importlib.util import find_spec

    if find_spec("boto3") is None:
        raise MissingComponent("addresses like s3://… need boto3", "pip install 'gleanset[s3]'")
