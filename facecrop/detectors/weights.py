"""Files that a detector needs and that are not ours to give away: given, or fetched once.

Choosing such a detector is asking for its file. It comes from its publisher, is known by
its SHA-256, and is kept in the user's cache folder.
"""

from __future__ import annotations

from pathlib import Path

from gleanset.errors import UsageError
from gleanset.files.fetch import Published, fetched
from gleanset.files.hub import is_on_hub

LBPCASCADE = Published(
    "https://raw.githubusercontent.com/nagadomi/lbpcascade_animeface/master/lbpcascade_animeface.xml",
    "9376d30ac38db6bda2a68b88b3b76bbd7e6aa33af47f7f5c76bc88ca75f1ce30",
)
"""nagadomi's cascade of 2011, 246,945 bytes, MIT licence in its header."""


def weights_file(value: str, sha256: str, option: str, published: Published | None = None) -> Path:
    """Return the file behind a setting: a path, an address with its hash, or what is `published`.

    An address may be a pinned name on a hub.

    `option` is how a person gives it on the command line. Raises `UsageError` for no such
    file and an address without hash, `MissingComponent` where it cannot be fetched.
    """
    otherwise = f"give a copy of it with {option}FILE"
    if is_on_hub(value) or value.startswith(("https://", "http://")):
        known = sha256 or (published.sha256 if published else "")
        setting = f"{option.split('=')[0].rpartition('.')[0].strip()}.sha256=…"
        return fetched(Published.checked(value, known, setting), otherwise)
    if value:
        if not (path := Path(value).expanduser()).is_file():
            fix = f"check the name given with {option.rstrip()}"
            raise UsageError(f"there is no file {path}", fix)
        return path.absolute()
    if published is None:
        raise UsageError("no model was given", f"name its file with {option}FILE")
    return fetched(published, otherwise)
