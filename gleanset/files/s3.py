"""The one door to S3: a place in a bucket, its objects, and what the server says when it cannot.

Any server that speaks S3 will do. Keys come by the usual chain of AWS (environment, `~/.aws`, the
role of a machine), never from a dataset. A client is made where it is first needed, once a process.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any, TypeVar

from gleanset.errors import (
    DiskFull,
    GleansetError,
    InputUnusable,
    MissingComponent,
    NeedsLogin,
    Unreachable,
)

LARGEST = 5 * 2**30
"""Bytes that one PUT may carry, with AWS and most others."""

_HASH = "sha256"
_PAUSES = (0.5, 2.0, 6.0, 16.0, 32.0)
"""Seconds between attempts, each a quarter more or less: an outage of some forty is outlasted."""

_TOLD_FROM = 5.0
"""A pause of so many seconds is told, at most once in as many."""

_CONNECTIONS = 64
_SECONDS = 60.0

_MD5 = re.compile("[0-9a-f]{32}")
SCHEME = "s3://"
_ATTEMPTS = 6

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
CONFLICT = {"PreconditionFailed", "ConditionalRequestConflict", "412"}
GONE = {"NoSuchKey", "NotFound", "404"}
_DAMAGED = {"BadDigest", "IncompleteBody", "RequestTimeout", "XAmzContentSHA256Mismatch"}
_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_last_told = 0.0


class DamagedOnTheWay(OSError):
    """What arrived is not what the server keeps."""


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
        with told_as_ours(self._where(key), "read"):
            try:
                head = self._tried(key, lambda: self._call("head_object", key))
            except client_error() as error:
                if code_of(error) in GONE:
                    return None
                raise
        return _facts(key, head)

    def get(self, key: str, sha256: str = "") -> tuple[bytes, ObjectFacts]:
        """Return an object, as the server keeps it: what arrives otherwise is asked for again.

        Whether it does tell its `sha256`, where the caller knows it, the one it was put with, and
        the server's own checksum. Raises `FileNotFoundError`, and `OSError` (EIO) where every
        attempt arrived damaged.
        """

        def received() -> tuple[bytes, ObjectFacts]:
            data = BytesIO()
            arrival = self._received(key, data)
            if arrival.sha256 not in (sha256, arrival.facts.sha256):
                arrival.check(self._where(key))
            return data.getvalue(), arrival.facts

        with told_as_ours(self._where(key), "read"), self._found(key):
            return self._tried(key, received)

    def fetch(self, key: str, target: Path, mend: str) -> ObjectFacts:
        """Write an object to a file, some of it at a time.

        Raises `FileNotFoundError`, and `Unreachable` with a mend where every attempt arrived
        otherwise than it was written.
        """

        def received() -> ObjectFacts:
            with target.open("wb") as file:
                arrival = self._received(key, file)
            if arrival.facts.sha256 not in ("", arrival.sha256):
                raise DamagedOnTheWay(errno.EIO, "other bytes than were written", self._where(key))
            arrival.check(self._where(key))
            return arrival.facts

        try:
            with told_as_ours(self._where(key), "read"), self._found(key):
                return self._tried(key, received)
        except DamagedOnTheWay as error:
            raise Unreachable(
                f"{self._where(key)} has other bytes than were written",
                f"run the command again; if it stays so, {mend}",
            ) from error

    def _received(self, key: str, file: IO[bytes]) -> _Arrival:
        answer = self._call("get_object", key)
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        for part in answer["Body"].iter_chunks(2**20):
            file.write(part)
            md5.update(part)
            sha256.update(part)
        return _Arrival(_facts(key, answer), sha256.hexdigest(), md5.hexdigest(), answer)

    def copy(self, key: str, target: Bucket, name: str) -> None:
        """Copy an object to `name` in another place; its bytes never leave the server.

        Raises `FileNotFoundError`, and `OSError` (EIO) where the copy is not the same afterwards.
        """
        source = {"Bucket": self.name, "Key": self.key(key)}
        where = {"Bucket": target.name, "Key": target.key(name)}
        with told_as_ours(self._where(key), "copied"), self._found(key):
            self._tried(key, lambda: self._client().copy_object(CopySource=source, **where))
        original, made = self.facts(key), target.facts(name)
        if not (original and made and (original.etag, original.bytes) == (made.etag, made.bytes)):
            raise OSError(errno.EIO, "the server's copy is not the same", self._where(key))

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
        condition = {"IfMatch": replaces.etag} if replaces else {}
        condition |= {"IfNoneMatch": "*"} if only_new else {}
        with (
            data.open("rb") if isinstance(data, Path) else BytesIO(data) as file,
            told_as_ours(self._where(key), "written"),
        ):
            return self._put(key, file, about or {}, condition)

    def _put(
        self, key: str, file: IO[bytes], about: Mapping[str, str], condition: dict[str, str]
    ) -> str:
        sha256, md5, size = _hashes(file)
        if size > LARGEST:
            raise InputUnusable(
                f"{key} has {size} bytes, and one object takes {LARGEST}", "make smaller shards"
            )

        def sent(**condition: str) -> None:
            file.seek(0)
            self._client().put_object(
                Bucket=self.name,
                Key=self.key(key),
                Body=file,
                ContentMD5=base64.b64encode(md5).decode(),
                Metadata={_HASH: sha256, **about},
                **condition,
            )

        try:
            self._tried(key, lambda: sent(**condition))
        except client_error() as error:
            if condition and code_of(error) in CONFLICT:
                # An attempt whose answer was lost may have written it.
                if (facts := self.facts(key)) and facts.sha256 == sha256:
                    return sha256
                raise Overtaken(self._where(key)) from error
            if not condition or code_of(error) != "NotImplemented":
                raise
            self._tried(key, sent)
        return sha256

    def remove(self, key: str) -> None:
        """Remove an object, should there be one."""
        with told_as_ours(self._where(key), "removed"):
            try:
                self._tried(key, lambda: self._call("delete_object", key))
            except client_error() as error:
                if code_of(error) not in GONE:
                    raise

    def each(self, start: str = "") -> Iterator[ObjectFacts]:
        """Yield the objects whose keys begin so, by key, a thousand a request."""
        whole, more = self.key(start), dict[str, str]()
        cut = len(self.key(""))
        while True:
            wanted = {"Bucket": self.name, "Prefix": whole, **more}
            with told_as_ours(self._where(start), "listed"):
                page = self._tried(start, partial(self._client().list_objects_v2, **wanted))
            for entry in page.get("Contents", ()):
                etag = entry["ETag"].strip('"')
                yield ObjectFacts(entry["Key"][cut:], entry["Size"], entry["LastModified"], etag)
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _call(self, operation: str, key: str) -> Any:
        return getattr(self._client(), operation)(Bucket=self.name, Key=self.key(key))

    def _tried(self, key: str, request: Callable[[], _T]) -> _T:
        """Return what a request gives, made again ever later while its fault may pass."""
        for pause in _pauses():
            try:
                return request()
            except Exception as error:
                if not may_pass(error):
                    raise
                _tell_of_pause(self._where(key), error, pause)
                time.sleep(pause)
        return request()

    def _where(self, key: str) -> str:
        return f"{SCHEME}{self.name}/{self.key(key)}"

    def _client(self) -> Any:
        # A client that was inherited from another process would share its connections.
        return _client_of(os.getpid(), self.endpoint, self.region)

    @contextmanager
    def _found(self, key: str) -> Iterator[None]:
        try:
            yield
        except client_error() as error:
            if code_of(error) in GONE:
                raise FileNotFoundError(2, "there is no such object", self._where(key)) from error
            raise


def _pauses() -> Iterator[float]:
    """Yield the seconds between attempts; jitter keeps many workers from coming back at once."""
    for number in range(attempts() - 1):
        yield _PAUSES[min(number, len(_PAUSES) - 1)] * random.uniform(0.75, 1.25)  # noqa: S311


def _tell_of_pause(where: str, error: Exception, pause: float) -> None:
    global _last_told
    if pause >= _TOLD_FROM and time.monotonic() - _last_told > _TOLD_FROM:
        _last_told = time.monotonic()
        _log.error("%s: %s; asked again in %.0f s", where, error, pause)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """What came of an object: what is told of it, and the hashes of its bytes."""

    facts: ObjectFacts
    sha256: str
    md5: str
    answer: Mapping[str, Any]

    def check(self, where: str) -> None:
        """Raise `DamagedOnTheWay` where bytes are not those of the server's own checksum.

        The ETag is the MD5 of what it keeps, but of parts sent one by one and of keys of one's own.
        """
        encrypted = self.answer.get("SSECustomerAlgorithm") or self.answer.get("SSEKMSKeyId")
        if _MD5.fullmatch(self.facts.etag) and not encrypted and self.md5 != self.facts.etag:
            raise DamagedOnTheWay(
                errno.EIO, "what arrives is not what the server keeps, at every attempt", where
            )


def _facts(key: str, answer: Mapping[str, Any]) -> ObjectFacts:
    about = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
    etag, sha256 = answer["ETag"].strip('"'), about.pop(_HASH, "")
    return ObjectFacts(key, answer["ContentLength"], answer["LastModified"], etag, sha256, about)


def _hashes(file: IO[bytes]) -> tuple[str, bytes, int]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    while part := file.read(2**20):
        sha256.update(part)
        md5.update(part)
    return sha256.hexdigest(), md5.digest(), file.tell()


@cache
def _session_of(_process: int) -> Any:
    """Return what has read the user's keys, and what S3 can be asked: a quarter of a second."""
    from boto3.session import Session

    return Session()


@cache
def _client_of(process: int, endpoint: str | None, region: str | None) -> Any:
    from botocore.config import Config

    session = _session_of(process)
    # Servers of one's own mostly take any; that of AWS redirects from here.
    region = region or session.region_name or "us-east-1"

    def client(style: str) -> Any:
        config = Config(
            # `_tried` makes further attempts: botocore gives up within two seconds, and takes a
            # body that breaks off, or a PUT that arrives damaged, as final.
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=_CONNECTIONS,
            connect_timeout=min(10.0, _SECONDS),
            read_timeout=_SECONDS,
            # Further checksums many servers do not know; the MD5 of every PUT all do.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": style},
        )
        return session.client("s3", region, endpoint_url=endpoint, config=config)

    found = client("auto")
    # Names of buckets below one's own server are rarely known to the DNS.
    return found if "amazonaws." in found.meta.endpoint_url else client("path")


def refuse_without_library() -> None:
    """Raise `MissingComponent` where boto3 is not installed."""
    from importlib.util import find_spec

    if find_spec("boto3") is None:
        raise MissingComponent("addresses like s3://… need boto3", "pip install 'gleanset[s3]'")


@contextmanager
def told_as_ours(where: str, done: str) -> Iterator[None]:
    """Turn what the server, or the way there, says into an error with the mend in it."""
    from botocore import exceptions as boto

    try:
        yield
    except boto.ClientError as error:
        raise _refused(error, where, done) from error
    except (
        boto.NoCredentialsError,
        boto.PartialCredentialsError,
        boto.ProfileNotFound,
        boto.CredentialRetrievalError,
        boto.TokenRetrievalError,
    ) as error:
        raise NeedsLogin(f"there is no key for {where}: {error}", _NO_KEYS) from error
    except (
        boto.HTTPClientError,
        boto.ConnectionError,
        boto.IncompleteReadError,
    ) as error:
        raise Unreachable(
            f"{where} cannot be reached: {error}",
            "look at endpoint in [store] or AWS_ENDPOINT_URL and at the net, and run the "
            "command again: what was done is kept",
        ) from error
    except (boto.BotoCoreError, ValueError) as error:
        raise InputUnusable(
            f"{where} cannot be {done}: {error}", "mend [store] in dataset.toml, or ~/.aws"
        ) from error


def _refused(error: Any, where: str, done: str) -> GleansetError:
    code, message = code_of(error), error.response.get("Error", {}).get("Message", "")
    answer = f"the server says {code}{f' ({message})' if message else ''}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        name = where.removeprefix(SCHEME).partition("/")[0]
        return InputUnusable(
            f"there is no bucket {name!r}",
            f"make it, for instance: aws s3 mb {SCHEME}{name}; or mend the address",
        )
    if code in _KEYS or status == 401:
        return NeedsLogin(f"the key for {where} is refused: {answer}", _NO_KEYS)
    if code in _FULL or status in (413, 507):
        return DiskFull(
            f"no space left for {where}: {answer}",
            "free some space or raise the quota, and run the command again",
        )
    if status == 403:
        return NeedsLogin(
            f"{where} may not be {done} with this key: {answer}",
            "give it the rights in docs/storage.md, or take another key",
        )
    if may_pass(error):
        return Unreachable(
            f"{where} could not be {done}, and was tried {attempts()} times: {answer}",
            "wait a while and run the command again: what was done is kept",
        )
    return InputUnusable(f"{where} cannot be {done}: {answer}", "see docs/storage.md")


def may_pass(error: Exception) -> bool:
    """Return whether the same request may succeed: the server is busy, or the way there faulty."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    if isinstance(error, boto.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = code_of(error)
        return code not in _FULL and (
            code in _BUSY | _DAMAGED or (status >= 500 and status not in (501, 507))
        )
    broken = boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError
    # An answer that is no XML was cut, or is that of a proxy.
    return isinstance(error, (*broken, DamagedOnTheWay, ResponseParserError))


def code_of(error: Any) -> str:
    """Return the server's own word for what is wrong, such as `NoSuchKey`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def client_error() -> type[Exception]:
    """Return what botocore raises for an answer that says no; it takes a second to import."""
    from botocore.exceptions import ClientError

    found: type[Exception] = ClientError
    return found


def attempts() -> int:
    """Return how often a request is made in all: `$AWS_MAX_ATTEMPTS`, else six."""
    return int(os.environ.get("AWS_MAX_ATTEMPTS", _ATTEMPTS))
