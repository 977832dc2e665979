"""Model files that Gleanset may not distribute: from the user, or downloaded once.

They are downloaded from their publisher when such a detector is used, checked by SHA-256, and
stored in the user's cache folder.
"""

from pathlib import Path

from gleanset.errors import UsageError
from gleanset.files.fetch import PublishedFile, fetch_file
from gleanset.files.hub import has_hub_prefix

LBPCASCADE = PublishedFile(
    "https://raw.githubusercontent.com/nagadomi/lbpcascade_animeface/master/lbpcascade_animeface.xml",
    "9376d30ac38db6bda2a68b88b3b76bbd7e6aa33af47f7f5c76bc88ca75f1ce30",
)
"""nagadomi's cascade of 2011 (246,945 bytes, MIT licence in its header)."""


def find_weights(
    value: str, sha256: str, setting: str, default_file: PublishedFile | None = None
) -> Path:
    """Return the file for a path, URL, hub name, or `default_file`.

    `setting` names the file on the command line, such as "onnx:model=FILE". Raises `UsageError` for
    a missing file or a URL without hash, `MissingComponent` if it cannot be downloaded.
    """
    fix = f"give a copy of it with --detector {setting}"
    if has_hub_prefix(value) or value.startswith(("https://", "http://")):
        digest = sha256 or (default_file.sha256 if default_file else "")
        file = PublishedFile.from_setting(
            value,
            digest,
            f"{setting},sha256=…",
        )
        return fetch_file(file, fix)

    if value:
        path = Path(value).expanduser()
        if not path.is_file():
            raise UsageError(
                f"there is no file {path}",
                f"check the name in --detector {setting}",
            )
        return path.absolute()

    if default_file is None:
        raise UsageError("no model was given", f"name its file: --detector {setting}")
    return fetch_file(default_file, fix)
