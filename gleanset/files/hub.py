"""Files on a Hugging Face hub: their names, and the commit and SHA-256 of a name.

A name is `hub:OWNER/REPOSITORY/PATH`, optionally with `@REVISION`: a branch, a tag or a commit. The
hub (`HF_ENDPOINT`) returns the commit and the SHA-256; `fetch.py` then downloads exactly these
bytes, so that neither a moved branch nor a replaced file changes the result.
"""

import re
import tomllib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import msgspec

from gleanset.config import TomlTable
from gleanset.errors import InputUnusable, MissingComponent, UsageError
from gleanset.installation import install_command

PREFIX = "hub:"
MAX_FILE_BYTES = 1_500_000_000
"""Limit for a downloaded file: an ONNX file must stay below 2 GiB after an export adds to it."""
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.(?!\.)){0,95}"
_PATH = rf"{_PART}(?:/{_PART}){{0,9}}"
_NAME = re.compile(rf"{PREFIX}({_PART}/{_PART})/({_PATH})(?:@({_PATH}))?")
_COMMIT = re.compile("[0-9a-f]{40}")
_SHA256 = re.compile("[0-9a-f]{64}")
_FIX = (
    "check its page, the net, HTTPS_PROXY and HF_ENDPOINT, or download the file and name that; a "
    "dataset that used it once needs no net"
)


class HubPin(TomlTable, frozen=True):
    """The commit and SHA-256 of a hub file."""

    commit: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{40}$")]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class HubFile(NamedTuple):
    """An ONNX file in a hub repository; `revision` is empty if not specified."""

    repository: str
    path: str
    revision: str = ""

    @classmethod
    def parse(cls, name: str, usual: str = "model.onnx") -> Self:
        """Parse a name; for a folder, take its file `usual`. Raises `UsageError`."""
        match = _NAME.fullmatch(name)
        if not match:
            raise UsageError(
                f"'{name}' is not a file on a hub",
                f"write {PREFIX}OWNER/REPOSITORY/PATH, of letters, digits and -_. alone",
            )

        repository, path, revision = match.groups("")  # "" without a revision
        if not path.lower().endswith(".onnx"):
            path = f"{path}/{usual}"
        return cls(repository, path, revision)

    def __str__(self) -> str:
        name = f"{PREFIX}{self.key}"
        return f"{name}@{self.revision}" if self.revision else name

    @property
    def key(self) -> str:
        """Its key in the table `[hub]` of `dataset.toml`."""
        return f"{self.repository}/{self.path}"

    @property
    def url(self) -> str:
        """Its URL on the hub."""
        revision = self.revision or None
        return str(
            _import_client().hf_hub_url(self.repository, self.path, revision=revision)
        )

    def find_cached(self) -> Path | None:
        """Return its path in the local cache of huggingface_hub, if it is there."""
        path = _import_client().try_to_load_from_cache(
            self.repository, self.path, revision=self.revision
        )
        return Path(path) if isinstance(path, str) else None


def has_hub_prefix(name: str) -> bool:
    """Return whether a name begins with `hub:`."""
    return name.startswith(PREFIX)


def load_hub_models(package: str) -> dict[str, Any]:
    """Return the known hub models of a package, from its `on_hub.toml`."""
    return tomllib.loads((resources.files(package) / "on_hub.toml").read_text("utf-8"))


def query_hub(file: HubFile) -> HubPin:
    """Query commit and hash. Raises `UsageError`, `MissingComponent`, `InputUnusable`."""
    hub = _import_client()
    try:
        facts = hub.get_hf_file_metadata(file.url, token=False)
    except Exception as error:  # huggingface_hub raises many types of errors
        unknown_name = (
            hub.errors.EntryNotFoundError,
            hub.errors.RevisionNotFoundError,
            hub.errors.RepositoryNotFoundError,
        )
        error_type = UsageError if isinstance(error, unknown_name) else MissingComponent
        *_, last_line = str(error).strip().split("\n")
        raise error_type(
            f"the hub has no {file}: {last_line}",
            _FIX,
        ) from error

    # The ETag of a large file (in LFS) is its SHA-256, that of another file is not.
    commit, sha256 = str(facts.commit_hash), str(facts.etag)
    is_valid = _COMMIT.fullmatch(commit) and _SHA256.fullmatch(sha256)
    # A revision that is a commit, not a branch or tag, must be the one that comes back.
    is_other = _COMMIT.fullmatch(file.revision) and commit != file.revision
    if not is_valid or is_other:
        answer = f"the hub reports commit '{commit}' and SHA-256 '{sha256}'"
        raise InputUnusable(f"{file} cannot be checked: {answer}", _FIX)
    if (facts.size or 0) > MAX_FILE_BYTES:
        raise InputUnusable(
            f"{file} has more than {MAX_FILE_BYTES / 1e9:g} GB", "name a smaller one"
        )
    return HubPin(commit, sha256)


def pin_hub_name(
    name: str, sha256: str, ask: Callable[[HubFile], HubPin] = query_hub
) -> tuple[str, str]:
    """Return a hub name with its commit, and its SHA-256; any other name is not changed.

    `ask` is called if the commit or the SHA-256 ("" for none) is missing.
    """
    if not has_hub_prefix(name):
        return name, sha256
    file = HubFile.parse(name)
    if not (_COMMIT.fullmatch(file.revision) and sha256):
        pin = ask(file)
        file = file._replace(revision=pin.commit)
        sha256 = sha256 or pin.sha256
    return str(file), sha256


def _import_client() -> Any:
    try:
        import huggingface_hub.errors
    except ImportError as error:
        raise MissingComponent(
            f"hub: needs huggingface_hub: {error}", install_command("onnx")
        ) from error
    return huggingface_hub
