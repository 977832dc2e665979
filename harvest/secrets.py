"""Keys and tokens, in the environment or in a file with mode 0600.

They never appear in an option, a log, a dataset or an error message; `redact_secrets` removes them
from texts of other programs.
"""

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import platformdirs

from gleanset.errors import NeedsLogin
from gleanset.files.atomic import atomic_file, disk_errors
from harvest.results import LoginResult

VARIABLES = {
    "flickr.key": "FLICKR_API_KEY",
    "flickr.secret": "FLICKR_API_SECRET",
    "pixiv.refresh_token": "PIXIV_REFRESH_TOKEN",
}
FLICKR_KEYS_PAGE = "https://www.flickr.com/services/apps/create/"
# Fixes in errors of a site without a login.
LOGIN_HELP = {
    "flickr": f"create a key at {FLICKR_KEYS_PAGE} (new ones need Flickr Pro), then set "
    "FLICKR_API_KEY and FLICKR_API_SECRET, or store it: harvest login flickr",
    "pixiv": "set PIXIV_REFRESH_TOKEN, or log in: harvest login pixiv",
}
# Shorter texts are not keys of any site, and would be removed from ordinary words.
_MIN_SECRET_LENGTH = 4

# Secrets read or stored by this process, for `redact_secrets`.
_known_secrets: set[str] = set()


def read_secret(name: str) -> str | None:
    """Return a secret from the environment, else from the file.

    Raises `NeedsLogin` when others can read the file or it is damaged.
    """
    value = os.environ.get(VARIABLES.get(name, ""), "").strip()
    if not value:
        value = _read_file().get(name, "")
    if value:
        _known_secrets.add(value)
    return value or None


def store_secrets(secrets: Mapping[str, str]) -> None:
    """Store secrets by name in the file, all or none."""
    _known_secrets.update(secrets.values())
    values = {**_read_file(), **secrets}
    path = find_secrets_file()
    with disk_errors(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with atomic_file(path) as partial:
        partial.touch(mode=0o600)  # private before its first byte is written
        partial.write_text(json.dumps(values, indent=2), encoding="utf-8")


def find_secrets_file() -> Path:
    """Return the path of the file, in the user's configuration folder."""
    return Path(platformdirs.user_config_dir("gleanset")) / "secrets.json"


def redact_secrets(text: str) -> str:
    """Return `text` with every secret known to this process replaced by `***`."""
    in_environment = {os.environ.get(name, "") for name in VARIABLES.values()}
    forms = set[str]()
    for value in _known_secrets | set(map(str.strip, in_environment)):
        if len(value) >= _MIN_SECRET_LENGTH:
            forms.update((value, quote(value, safe="")))
    # The longest first: a secret may contain another one.
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def _read_file() -> dict[str, str]:
    path = find_secrets_file()
    try:
        with path.open(encoding="utf-8") as file:
            is_shared = os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO)
            if os.name == "posix" and is_shared:
                raise NeedsLogin(
                    f"other users can read or write the secrets in {path}",
                    f"run chmod 600 {path}, and change the keys if the machine is shared",
                )
            values = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise NeedsLogin(
            f"cannot read the secrets in {path}: {error.strerror}", f"chmod 600 {path}"
        ) from error
    except ValueError:
        values = None

    # Not chained to the exception, which holds the whole text of the file.
    if not isinstance(values, dict) or not all(
        isinstance(value, str) for value in values.values()
    ):
        raise NeedsLogin(
            f"the file of secrets {path} is damaged",
            "delete it and log in again: harvest login SITE",
        )
    return values


Ask = Callable[..., str]
"""Asks the user a question; with `hidden` the answer is not shown while typed."""


def check_pasted_secret(pasted: str, kind: str) -> str:
    """Return a pasted key or token without surrounding spaces; `kind` names it in the error.

    Raises `NeedsLogin` for a text that cannot be one.
    """
    text = pasted.strip()
    if not (text and text.isascii() and text.isprintable()):
        raise NeedsLogin(
            f"not a valid {kind}: it is empty or has invalid characters",
            "run the same command again and paste it whole",
        )
    return text


def store_login(
    site: str, secrets: Mapping[str, str], account: str = ""
) -> LoginResult:
    """Store verified secrets by name; return the result of the command."""
    store_secrets(secrets)
    result = LoginResult(
        logged_in=site, kept_in=str(find_secrets_file()), account=account
    )

    # `read_secret` prefers the environment: another value there is used instead of the stored one.
    if any(read_secret(name) != value for name, value in secrets.items()):
        result.note = (
            "the environment has another value, "
            "which takes precedence over the stored one"
        )
    return result
