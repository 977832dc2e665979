"""What a node of a cluster is asked before it works: the same program, the same folders.

A file with a random mark is laid into each folder; a node says whether it reads that mark, and lays
one beside it, which is looked for here. So a folder that is another disk under the same name, or
can only be read, is found before any work.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gleanset.errors import InputUnusable
from gleanset.files.atomic import disk_errors
from gleanset.plugins import installed_plugins, used_plugins

# What decides how a picture is decoded, measured and cut.
PACKAGES = ("animeface", "numpy", "onnxruntime", "opencv-python-headless", "pillow")
ROOMS = ("gleanset", "curation", "harvest", "facecrop", "labeler", "baseline")
BEGINNING = 1 << 16
"""So many bytes of a file tell it from another one of its name and size."""


@dataclass(frozen=True, slots=True)
class NodeQuestion:
    """What a node is to find: `mark` in each of the `folders`, `files` with these fingerprints."""

    mark: str
    folders: tuple[Path, ...]
    files: Mapping[Path, str]

    def place(self, folder: Path, node: str = "") -> Path:
        """Return where the mark lies, or the answer of a node."""
        return folder / f".cluster-{self.mark}{node and '-'}{node}"


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node has installed, and what it does not find."""

    installed: Mapping[str, str]
    missing: tuple[str, ...]


def answer_question(question: NodeQuestion, node: str) -> NodeAnswer:
    """Look around on a node, and leave its answer in each folder."""
    troubles = [_trouble_of_folder(question, folder, node) for folder in question.folders]
    troubles += [_trouble_of_file(*file) for file in question.files.items()]
    return NodeAnswer(installed() | installed_plugins(), tuple(filter(None, troubles)))


def _trouble_of_folder(question: NodeQuestion, folder: Path, node: str) -> str:
    try:
        if question.place(folder).read_text() != question.mark:
            return f"sees another folder at {folder}"
    except OSError as error:
        return f"does not see {folder} ({error.strerror})"
    try:
        question.place(folder, node).write_text(question.mark)
    except OSError as error:
        return f"cannot write to {folder} ({error.strerror})"
    return ""


def _trouble_of_file(path: Path, fingerprint: str) -> str:
    try:
        return "" if _fingerprint(path) == fingerprint else f"sees another file at {path}"
    except OSError as error:
        return f"does not see {path} ({error.strerror})"


def _fingerprint(path: Path) -> str:
    with path.open("rb") as file:
        beginning = hashlib.sha256(file.read(BEGINNING)).hexdigest()
    return f"{path.stat().st_size} {beginning}"


@cache
def installed() -> dict[str, str]:
    """Return what decides the results: the version of each part, and a digest of our own code."""
    versions = {"Python": "{}.{}".format(*sys.version_info), "the code of gleanset": _code()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _code() -> str:
    """Return a digest of our own modules: two checkouts may have one version number."""
    root, digest = Path(__file__).parents[2], hashlib.sha256()
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """Asks nodes for `folders`, which they must be able to write to, and for `files`."""

    folders: tuple[Path, ...]
    files: tuple[Path, ...] = ()

    @contextmanager
    def asking(self) -> Iterator[NodeQuestion]:
        """Lay out the marks, and take all of them away again. Raises `NotWritable`, `DiskFull`."""
        files = {path: _fingerprint(path) for path in self.files}
        question = NodeQuestion(secrets.token_hex(8), self.folders, files)
        try:
            for folder in self.folders:
                with disk_errors(folder):
                    question.place(folder).write_text(question.mark)
            yield question
        finally:
            for folder in self.folders:
                for path in folder.glob(f".cluster-{question.mark}*"):
                    with suppress(OSError):
                        path.unlink()

    def troubles(self, question: NodeQuestion, node: str, answer: NodeAnswer) -> list[str]:
        """Return why a node cannot work; nothing where it can."""
        troubles = list(answer.missing)
        if not troubles:
            for folder in self.folders:
                with suppress(OSError):
                    if question.place(folder, node).read_text() == question.mark:
                        continue
                troubles.append(f"what it writes to {folder} does not arrive here")
        for name, here in (installed() | used_plugins()).items():
            if (there := answer.installed.get(name, "not installed")) != here:
                troubles.append(f"has {name} {there}, and {here} is here")
        return troubles


def unusable_nodes(troubles: Mapping[str, list[str]], number: int) -> InputUnusable:
    """Return the error that tells of each node, by its address, why it cannot work."""
    lines = [f"  {address}: {'; '.join(why)}" for address, why in sorted(troubles.items())]
    return InputUnusable(
        "\n".join((f"{len(troubles)} of {number} nodes cannot work on this dataset:", *lines)),
        "give every node the same folders under the same paths and the same versions, or take it "
        "out of the cluster there: ray stop",
    )
