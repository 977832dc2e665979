"""Files that a detector needs and that are not ours to give away: given, or fetched once.

Choosing such a detector is asking for its file. It comes from its publisher, is known by
its SHA-256, and is kept in the user's cache folder.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from gleanset.errors import UsageError
from gleanset.files.fetch import Published, fetched

LBPCASCADE = Published(
    "https://raw.githubusercontent.com/nagadomi/lbpcascade_animeface/master/lbpcascade_animeface.xml",
    "9376d30ac38db6bda2a68b88b3b76bbd7e6aa33af47f7f5c76bc88ca75f1ce30",
)
"""nagadomi's cascade of 2011, 246,945 bytes, MIT licence in its header."""


def weights_file(value: str, sha256: str, option: str, published: Published | None = None) -> Path:
    """Return the file behind a setting: a path, an address with its hash, or what is `published`.

    `option` is how a person gives it on the command line. Raises `UsageError` for no such
    file and an address without hash, `MissingComponent` where it cannot be fetched.
    """
    if value.startswith(("https://", "http://")):
        known = sha256 or (published.sha256 if published else "")
        return fetched(_described(value, known, option), f"give a copy of it with {option}FILE")
    if value:
        return _given(Path(value).expanduser(), option)
    if published is None:
        raise UsageError("no model was given", f"name its file with {option}FILE")
    return fetched(published, f"give a copy of it with {option}FILE")


def _given(path: Path, option: str) -> Path:
    if not path.is_file():
        raise UsageError(f"there is no file {path}", f"check the name given with {option.rstrip()}")
    return path.absolute()


def _described(url: str, sha256: str, option: str) -> Published:
    word = sha256.lower().removeprefix("sha256:")
    if len(word) != 64 or set(word) - set("0123456789abcdef"):
        setting = option.split("=")[0].rpartition(".")[0].strip() + ".sha256="
        raise UsageError(
            f"{url} needs its SHA-256 (64 hex digits): what is fetched is checked",
            f"copy it from the publisher's page of that file and add: {setting}…",
        )
    if not unquote(urlsplit(url).path).rpartition("/")[2]:
        raise UsageError(f"{url} names no file", "give the address of the file itself")
    return Published(url, word)
