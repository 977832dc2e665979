"""Keys and tokens, stored in the environment, the system's keyring, or a file with mode 0600.

They never appear in an option, a log, a dataset or an error message; `redact_secrets` removes them
from texts of other programs.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import quote

import platformdirs

from gleanset.errors import NeedsLogin, UsageError
from gleanset.files.atomic import atomic_file, disk_errors

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

VARIABLES = {
    "flickr.key": "FLICKR_API_KEY",
    "flickr.secret": "FLICKR_API_SECRET",
    "pixiv.refresh_token": "PIXIV_REFRESH_TOKEN",
}
FLICKR_KEYS_PAGE = "https://www.flickr.com/services/apps/create/"
# Fixes in errors of a site without a login.
LOGIN_HELP = {
    "flickr": "run harvest login flickr, or set FLICKR_API_KEY and FLICKR_API_SECRET; create a key "
    f"at {FLICKR_KEYS_PAGE} (new ones need Flickr Pro)",
    "pixiv": "run harvest login pixiv, or set PIXIV_REFRESH_TOKEN",
}
SERVICE = "gleanset"
FILE = "secrets.json"
# A keyring may ask the user to unlock it; without a screen it may hang.
_KEYRING_TIMEOUT_SECONDS, _WAIT_SECONDS = 20.0, 0.25
# Shorter texts are not keys of any site, and would be removed from ordinary words.
_MIN_SECRET_LENGTH = 4

_Result = TypeVar("_Result")
# Secrets read or stored by this process, for `redact_secrets`.
_known_secrets: set[str] = set()


class SecretStore:
    """The environment, the keyring and the file as one store.

    `timeout`: seconds to wait for the keyring. `folder` of the file: by default the user's
    configuration folder.
    """

    def __init__(
        self, folder: Path | None = None, timeout: float = _KEYRING_TIMEOUT_SECONDS
    ) -> None:
        self._folder = folder
        self._timeout = timeout
        self._is_keyring_hung = False

    def read(self, name: str) -> str | None:
        """Return the secret, if any. Raises `NeedsLogin` for an unsafe or damaged file."""
        variable = VARIABLES.get(name, "")
        value = os.environ.get(variable, "").strip() or self._from_keyring(name)
        value = value or _read_file(self.file).get(name)
        if value:
            _known_secrets.add(value)
        return value or None

    def store(self, name: str, value: str) -> str:
        """Store a secret; return where it is stored, for display."""
        value = value.strip()
        if not value:
            raise UsageError(f"the secret {name} is empty", "give its value")
        _known_secrets.add(value)
        self._ask_keyring(lambda ring: ring.set_password(SERVICE, name, value))
        in_file = _read_file(self.file)
        # Some keyrings accept everything and store nothing.
        if self._from_keyring(name) == value:
            # An older value in the file would be used once the keyring is gone.
            if in_file.pop(name, None) is not None:
                _write_file(self.file, in_file)
            return "the system's keyring"
        _write_file(self.file, in_file | {name: value})
        return str(self.file)

    @property
    def file(self) -> Path:
        """The file that is used without a working keyring."""
        return (self._folder or Path(platformdirs.user_config_dir("gleanset"))) / FILE

    def _from_keyring(self, name: str) -> str | None:
        return self._ask_keyring(lambda ring: ring.get_password(SERVICE, name)) or None

    def _ask_keyring(self, call: Callable[[KeyringBackend], _Result]) -> _Result | None:
        """Return the result of a keyring call; None without a keyring, or if it fails or hangs."""
        if self._is_keyring_hung:
            return None
        results: list[_Result] = []

        def run() -> None:
            # The text of a backend's error might contain the secret.
            with suppress(Exception):
                import keyring

                results.append(call(keyring.get_keyring()))

        # Not a pool: the end of the program would wait for its threads.
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        # In short waits, so that the time of a suspended machine does not count.
        for _ in range(max(1, round(self._timeout / _WAIT_SECONDS))):
            thread.join(min(_WAIT_SECONDS, self._timeout))
        self._is_keyring_hung = thread.is_alive()
        return results[0] if results else None


_store = SecretStore()


def read_secret(name: str) -> str | None:
    """Return a secret from the environment, else the keyring, else the file.

    Raises `NeedsLogin` when others can read the file or it is damaged.
    """
    return _store.read(name)


def store_secret(name: str, value: str) -> str:
    """Store a secret in the keyring, else in the file; return where, for display."""
    return _store.store(name, value)


def redact_secrets(text: str) -> str:
    """Return `text` with every secret known to this process replaced by `***`."""
    values = _known_secrets | {os.environ.get(name, "").strip() for name in VARIABLES.values()}
    long_values = [value for value in values if len(value) >= _MIN_SECRET_LENGTH]
    forms = {form for value in long_values for form in (value, quote(value, safe=""))}
    for value in sorted(forms, key=len, reverse=True):
        text = text.replace(value, "***")
    return text


def _read_file(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8") as file:
            _check_private(path, os.fstat(file.fileno()))
            values = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise NeedsLogin(
            f"cannot read the secrets in {path}: {error.strerror}", f"chmod 600 {path}"
        ) from error
    except ValueError:
        # Not chained: the exception holds the whole text of the file.
        raise _damaged(path) from None
    if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
        raise _damaged(path)
    return values


def _check_private(path: Path, status: os.stat_result) -> None:
    other_users = stat.S_IRWXG | stat.S_IRWXO
    if os.name == "posix" and status.st_mode & other_users:
        raise NeedsLogin(
            f"other users can read or write the secrets in {path}",
            f"run chmod 600 {path}, and change the keys if the machine is shared",
        )


def _damaged(path: Path) -> NeedsLogin:
    return NeedsLogin(
        f"the file of secrets {path} is damaged", "delete it and run harvest login again"
    )


def _write_file(path: Path, values: dict[str, str]) -> None:
    with disk_errors(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with atomic_file(path) as partial:
        partial.touch(mode=0o600)  # private before its first byte is written
        partial.write_text(json.dumps(values, indent=2), encoding="utf-8")


class Ask(Protocol):
    """Asks the user a question; `hidden` answers are not shown while typed."""

    def __call__(self, question: str, *, hidden: bool = False) -> str:
        """Return the answer."""


def check_pasted_secret(pasted: str, kind: str) -> str:
    """Return a pasted key or token without surrounding spaces; `kind` names it in the error.

    Raises `NeedsLogin` for a text that cannot be one.
    """
    text = pasted.strip()
    if not text or not text.isascii() or not text.isprintable():
        raise NeedsLogin(
            f"not a valid {kind}: it is empty or has invalid characters",
            "run the same command again and paste it whole",
        )
    return text


def store_login(site: str, secrets: Mapping[str, str], **details: object) -> dict[str, object]:
    """Store verified secrets by name; return the result of the command with `details`."""
    locations = dict.fromkeys(store_secret(name, value) for name, value in secrets.items())
    result = {"logged_in": site, "kept_in": " and ".join(locations), **details}
    # The environment takes precedence: an old value there would still be used.
    if any(read_secret(name) != value for name, value in secrets.items()):
        result["note"] = (
            "the environment has another value, which takes precedence over the stored one"
        )
    return result
