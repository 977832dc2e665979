"""Groups of files given by the user: `--group-by`, and the column `group` of `sources.csv`.

A group, such as faces cropped from one image or photos of one animal or session, stays together in
every split and fold. Its name is stored as the `post` of the file's origin; the same name means the
same group in every import of a dataset.
"""

import re
import shlex
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence
from functools import partial
from pathlib import PurePath
from typing import Annotated

from gleanset.config import Param
from gleanset.db.rows import clean
from gleanset.errors import UsageError
from gleanset.files.names import strip_split_folder
from gleanset.records import Origin

FOLDER = "folder"
MAX_SEARCHED_CHARACTERS = 255
"""Characters of a file name that are searched."""
SEARCH_TIMEOUT_SECONDS = 10.0
"""Timeout for a thousand names: a regular expression can take exponential time."""
_AT_ONCE = 1000
_EXAMPLE = r"for instance --group-by '(.+)-\d+\.' for X-1.jpg and X-2.jpg"
_CUT = re.compile(r"(.+)([-_])(\d{1,2})\.\w+")
# Files look like crops if at least `_MIN_IMAGES` images have several parts, at most `_MAX_PARTS`
# each, and the parts are at least `_SHARE` of all files.
_MIN_IMAGES, _SHARE, _MAX_PARTS = 3, 0.2, 10


def validate_group_by(text: str) -> str:
    """Return `folder` or a regular expression with a group. Raises `UsageError`."""
    if text == FOLDER:
        return text
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"--group-by {text!r} is not a regular expression: {error}",
            f"write {_EXAMPLE}",
        ) from error
    if not pattern.groups:
        raise UsageError(
            f"--group-by {text!r} has no group in round brackets",
            f"put what names the group into brackets, {_EXAMPLE}; or write: {FOLDER}",
        )
    return text


GroupByOption = Annotated[
    str | None,
    Param(
        "Files that belong together, never in two splits: those of one folder, or those for which "
        "the first group of REGEX finds the same in the file name.",
        metavar="folder|REGEX",
        parse=validate_group_by,
    ),
]


class FileGroups:
    """Assignment of files to groups: by `folder`, or by the first group of a regular expression.

    The latter is searched in all `names`. Raises `UsageError`.
    """

    def __init__(self, by: str | None, names: Iterable[str] = ()):
        self._by = by
        self._name_matches = (
            {} if by in (None, FOLDER) else _search_names(str(by), names)
        )
        self._groups: set[str] = set()
        self._without: list[tuple[str, str]] = []

    def get_group(
        self,
        name: str,
        folder: str,
        inside: Sequence[str],
        level: int | None,
        splits: Container[str] | None = None,
    ) -> str | None:
        """Return a file's group, from its `name` or its `folder` path.

        `inside` is the path of folders from the one given by the user to the file; `level` is the
        one that names the class. The class folder and a leading split folder are not groups.
        """
        if self._by is None:
            return None
        if self._by != FOLDER:
            return self._name_matches.get(name)
        below = strip_split_folder(inside, splits)
        has_group = (
            len(below) > level if level is not None else bool(below or not inside)
        )
        return _tidy(folder) if has_group else None

    def note(self, origin: Origin) -> None:
        """Count an image that was imported or already known."""
        if origin.post is not None:
            self._groups.add(origin.post)
        else:
            place = PurePath(origin.key)
            self._without.append((str(place.parent), origin.title or place.name))

    def summary(self) -> dict[str, object]:
        """Return summary entries: groups, ungrouped images, likely parts of one image."""
        if self._by is None and not self._groups:
            return _summarize_likely_parts(self._without)
        summary: dict[str, object] = {"groups": len(self._groups)}
        if self._without:
            summary["without_group"] = len(self._without)
        if self._by == FOLDER and self._without and not self._groups:
            summary["note"] = (
                "no folders below the class folders, so there are no groups"
            )
        return summary


def _summarize_likely_parts(without: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Return summary entries if many files look like parts of images.

    Ordinary numbered files look different: few names with many numbers each.
    """
    parts_by_stem = _parts_of_one(without)
    files = sum(len(names) for names in parts_by_stem.values())
    if len(parts_by_stem) < _MIN_IMAGES or files < _SHARE * len(without):
        return {}
    sign = Counter(stem[-1] for stem in parts_by_stem).most_common(1)[0][0]
    names = next(
        names for stem, names in sorted(parts_by_stem.items()) if stem[-1] == sign
    )
    pattern = shlex.quote(rf"(.+){sign}\d+\.")
    parts = {"files": files, "names": ", ".join(sorted(names)[:2])}
    parts["then"] = f"run it again with --group-by {pattern}"
    return {"maybe_parts_of_one_image": parts}


def _parts_of_one(files: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    stems: dict[str, set[str]] = defaultdict(set)
    folders: dict[str, Counter[str]] = defaultdict(Counter)
    for folder, name in files:
        if match := _CUT.fullmatch(name[:MAX_SEARCHED_CHARACTERS]):
            stem = match[1] + match[2]
            stems[stem].add(name)
            folders[folder][stem] += 1
    # A folder whose files all share one stem is just numbered.
    through = {
        stem
        for counts in folders.values()
        for stem, number in counts.items()
        if len(counts) == 1 and number > _MIN_IMAGES
    }
    return {
        stem: names
        for stem, names in stems.items()
        if 1 < len(names) <= _MAX_PARTS and stem not in through
    }


def _search_names(pattern: str, names: Iterable[str]) -> dict[str, str]:
    # Imported here: most commands start no workers.
    from gleanset.work.pool import Processes, run_over

    unique_names = sorted(set(names))
    groups: dict[str, str] = {}
    parts = (
        unique_names[first : first + _AT_ONCE]
        for first in range(0, len(unique_names), _AT_ONCE)
    )
    search = partial(_search_part, pattern)
    worker = Processes(1, SEARCH_TIMEOUT_SECONDS)
    for outcome in run_over(search, parts, worker):
        if outcome.result is None:
            raise UsageError(
                f"--group-by {pattern!r} takes too long, on names such as {outcome.item[0]!r}",
                f"repeat nothing that is itself repeated, {_EXAMPLE}",
            )
        groups |= outcome.result
    if unique_names and not groups:
        raise UsageError(
            f"--group-by {pattern!r} finds nothing in any of {len(unique_names)} file names, "
            f"such as {unique_names[0]!r}",
            f"it is searched for in the name with its ending, {_EXAMPLE}",
        )
    return groups


def _search_part(pattern: str, names: Sequence[str]) -> dict[str, str]:
    groups = {}
    for name in names:
        match = re.search(pattern, name[:MAX_SEARCHED_CHARACTERS])
        if match is not None and (group := _tidy(match[1] or "")):
            groups[name] = group
    return groups


def _tidy(text: str) -> str:
    return unicodedata.normalize("NFC", clean(text) or "").strip()
