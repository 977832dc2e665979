"""Where keys and tokens live: the environment, the system's keyring, or a file of 0600.

They never go into a flag, a log, a dataset or the text of an error; `redacted` cleans texts
that other programs wrote.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import quote

import platformdirs

from gleanset.errors import NeedsLogin, UsageError
from gleanset.files.atomic import PARTIAL, disk_errors
from gleanset.platform import replace_file, sync_folder

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

VARIABLES = {
    "flickr.key": "FLICKR_API_KEY",
    "flickr.secret": "FLICKR_API_SECRET",
    "pixiv.refresh_token": "PIXIV_REFRESH_TOKEN",
}
FLICKR_KEYS_PAGE = "https://www.flickr.com/services/apps/create/"
# What a site's error says to whoever is not logged in.
LOGIN_HELP = {
    "flickr": "Run harvest login flickr, or set FLICKR_API_KEY and FLICKR_API_SECRET. A key is "
    f"made at {FLICKR_KEYS_PAGE} (new ones need Flickr Pro).",
    "pixiv": "Run harvest login pixiv, or set PIXIV_REFRESH_TOKEN.",
}
SERVICE = "gleanset"
FILE = "secrets.json"
# A keyring may ask the person to unlock it, but one without a screen may also hang for ever.
_PATIENCE, _WAIT = 20.0, 0.25
# Anything shorter is no key of any site, and would be cut out of ordinary words.
_SHORTEST = 4

_Answer = TypeVar("_Answer")
# What this process has handed out or stored, for `redacted`.
_seen: set[str] = set()


class SecretStore:
    """The three places as one. `patience`: seconds that the keyring may take to answer.

    `folder` holds the file; by default the user's configuration folder.
    """

    def __init__(self, folder: Path | None = None, patience: float = _PATIENCE) -> None:
        self._folder = folder
        self._patience = patience
        self._no_keyring = False

    def read(self, name: str) -> str | None:
        """Return the secret, None where there is none. Raises `NeedsLogin` for an unsafe file."""
        variable = VARIABLES.get(name, "")
        value = os.environ.get(variable, "").strip() or self._from_keyring(name)
        value = value or _read_file(self.file).get(name)
        if value:
            _seen.add(value)
        return value or None

    def keep(self, name: str, value: str) -> str:
        """Store a secret; where it is now, in words."""
        value = value.strip()
        if not value:
            raise UsageError(f"The secret {name} is empty.", "Give its value.")
        _seen.add(value)
        if self._to_keyring(name, value):
            # An older value in the file would be found once the keyring is gone.
            self._drop_from_file(name)
            return "the system's keyring"
        _write_file(self.file, _read_file(self.file) | {name: value})
        return str(self.file)

    @property
    def file(self) -> Path:
        """Return the file that is used where no keyring works."""
        return (self._folder or Path(platformdirs.user_config_dir("gleanset"))) / FILE

    def _from_keyring(self, name: str) -> str | None:
        return self._ask(lambda ring: ring.get_password(SERVICE, name)) or None

    def _to_keyring(self, name: str, value: str) -> bool:
        self._ask(lambda ring: ring.set_password(SERVICE, name, value))
        # Some keyrings take everything and keep nothing.
        return self._from_keyring(name) == value

    def _drop_from_file(self, name: str) -> None:
        kept = _read_file(self.file)
        if kept.pop(name, None) is not None:
            _write_file(self.file, kept)

    def _ask(self, call: Callable[[KeyringBackend], _Answer]) -> _Answer | None:
        """Return what the keyring says; None where it is absent, raises or hangs."""
        if self._no_keyring:
            return None
        answers: list[_Answer] = []
        # No pool: its threads would be waited for at the end of the program.
        asking = threading.Thread(target=_answer_of, args=(call, answers), daemon=True)
        asking.start()
        # In short waits: a machine that was asleep meanwhile has not used its patience up.
        for _ in range(max(1, round(self._patience / _WAIT))):
            asking.join(min(_WAIT, self._patience))
        # One that hangs is not asked again, each time would cost the same patience.
        self._no_keyring = asking.is_alive()
        return answers[0] if answers else None


_vault = SecretStore()


def secret(name: str) -> str | None:
    """Return the secret called `name`: from the environment, else the keyring, else the file.

    Raises `NeedsLogin` when the file may be read by others or is damaged.
    """
    return _vault.read(name)


def store_secret(name: str, value: str) -> str:
    """Store a secret in the keyring, else in the file; where it is now, in words."""
    return _vault.keep(name, value)


def redact_secrets(text: str) -> str:
    """Return `text` with every secret that this program has handled replaced by `***`."""
    known = _seen | {os.environ.get(variable, "").strip() for variable in VARIABLES.values()}
    long_enough = [value for value in known if len(value) >= _SHORTEST]
    spelled = {form for value in long_enough for form in (value, quote(value, safe=""))}
    for value in sorted(spelled, key=len, reverse=True):
        text = text.replace(value, "***")
    return text


def _answer_of(call: Callable[[KeyringBackend], _Answer], answers: list[_Answer]) -> None:
    # Whatever a backend raises, it is of no use, and its text might hold the secret.
    with suppress(Exception):
        import keyring

        answers.append(call(keyring.get_keyring()))


def _read_file(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8") as file:
            _check_private(path, os.fstat(file.fileno()))
            kept = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise NeedsLogin(
            f"The file of secrets {path} cannot be read: {error.strerror}.", f"chmod 600 {path}"
        ) from error
    except ValueError:
        # Not chained: the exception carries the whole text of the file.
        raise _damaged(path) from None
    if not isinstance(kept, dict) or not all(isinstance(value, str) for value in kept.values()):
        raise _damaged(path)
    return kept


def _check_private(path: Path, status: os.stat_result) -> None:
    others = stat.S_IRWXG | stat.S_IRWXO
    if os.name == "posix" and status.st_mode & others:
        raise NeedsLogin(
            f"The file of secrets {path} can be read or written by others, so it is not used.",
            f"Run chmod 600 {path}, and change the keys in it if the machine is shared.",
        )


def _damaged(path: Path) -> NeedsLogin:
    return NeedsLogin(
        f"The file of secrets {path} is damaged.", "Delete it and run harvest login again."
    )


def _write_file(path: Path, kept: dict[str, str]) -> None:
    # Not `write_atomic`: this file must be private before its first byte is written.
    with disk_errors(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Its mode is 0600 from the start, whatever the umask.
        handle, name = tempfile.mkstemp(prefix=PARTIAL, dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(kept, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            replace_file(Path(name), path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


class Ask(Protocol):
    """Puts a question to the person; `hidden` answers are not shown while typed.

    A front end that cannot get an answer raises what ends its program.
    """

    def __call__(self, question: str, *, hidden: bool = False) -> str:
        """Return the answer."""


def check_pasted_secret(pasted: str, what: str) -> str:
    """Return what a person pasted, without spaces around it; `what` it is goes into the error.

    Raises `NeedsLogin` for a text that can be no key or token.
    """
    text = pasted.strip()
    if not text or not text.isascii() or not text.isprintable():
        raise NeedsLogin(
            f"That is no {what}: it is empty or has characters that no {what} has.",
            "Run the same command again and paste it whole.",
        )
    return text


def store_login(site: str, secrets: Mapping[str, str], **details: object) -> dict[str, object]:
    """Store secrets that were tried, by their names; return the result of the command.

    `details` are what else it tells. Raises what `store_secret` raises.
    """
    places = dict.fromkeys(store_secret(name, value) for name, value in secrets.items())
    result = {"logged_in": site, "kept_in": " and ".join(places), **details}
    # The environment goes before what is kept: an old value there would be used on.
    if any(secret(name) != value for name, value in secrets.items()):
        result["note"] = "another value is set in the environment and goes before the kept one"
    return result
