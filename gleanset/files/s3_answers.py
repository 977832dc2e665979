"""What a server that speaks S3 says when it cannot: whether to ask again, and what to raise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gleanset.errors import DiskFull, GleansetError, InputUnusable, NeedsLogin, Unreachable

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


class DamagedOnTheWay(OSError):
    """What arrived is not what the server keeps."""


@contextmanager
def told_as_ours(where: str, done: str) -> Iterator[None]:
    """Turn what the server, or the way there, says into an error with the mend in it."""
    from botocore import exceptions as said

    try:
        yield
    except said.ClientError as error:
        raise _refused(error, where, done) from error
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


def _refused(error: Any, where: str, done: str) -> GleansetError:
    code, message = code_of(error), error.response.get("Error", {}).get("Message", "")
    told = f"the server says {code}{f' ({message})' if message else ''}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        name = where.removeprefix(SCHEME).partition("/")[0]
        return InputUnusable(
            f"there is no bucket {name!r}",
            f"make it, for instance: aws s3 mb {SCHEME}{name}; or mend the address",
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
    if may_pass(error):
        return Unreachable(
            f"{where} could not be {done}, and was tried {attempts()} times: {told}",
            "wait a while and run the command again: what was done is kept",
        )
    return InputUnusable(f"{where} cannot be {done}: {told}", "see docs/storage.md")


def may_pass(error: Exception) -> bool:
    """Return whether the same request may succeed: the server is busy, or the way there faulty."""
    from botocore import exceptions as known
    from botocore.parsers import ResponseParserError

    if isinstance(error, known.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = code_of(error)
        return code not in _FULL and (
            code in _BUSY | _DAMAGED or (status >= 500 and status not in (501, 507))
        )
    broken = known.HTTPClientError, known.ConnectionError, known.IncompleteReadError
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
