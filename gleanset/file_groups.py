"""Groups of files given by the user: `--group-by`, and the column `group` of `sources.csv`.

A group, such as faces cropped from one image or photos of one animal or session, stays together in
every split and fold. Its name is stored as the `post` of the file's origin; the same name means the
same group in every import of a dataset.
"""

import re
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
_NAMES_PER_SEARCH = 1000
_EXAMPLE = r"for instance --group-by '(.+)-\d+\.' for X-1.jpg and X-2.jpg"
_NUMBERED_NAME = re.compile(r"(.+[-_])\d{1,2}\.\w+")
"""Matches the stem of a file name, with its separator, before a number."""
# Files look like crops if at least `_MIN_IMAGES` images have several parts, at most `_MAX_PARTS`
# each, and the parts are at least `_MIN_PARTS_SHARE` of all files.
_MIN_IMAGES = 3
_MAX_PARTS = 10
_MIN_PARTS_SHARE = 0.2


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
        self._group_by_name: dict[str, str] = {}
        if by and by != FOLDER:
            self._group_by_name = _search_names(by, names)
        self._groups = set[str]()
        self._ungrouped_count = 0
        # Of files without a group that have a numbered name.
        self._names_by_stem = defaultdict[str, set[str]](set)
        self._stems_by_folder = defaultdict[str, Counter[str]](Counter)

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
        one that names the class (1: outermost, 0: innermost, None: no folder). The class folder and
        a leading split folder are not groups.
        """
        if not self._by:
            return None
        if self._by != FOLDER:
            return self._group_by_name.get(name)

        folders = strip_split_folder(inside, splits)
        if level is None:
            is_in_class_folder = bool(inside) and not folders
        else:
            is_in_class_folder = level == 0 or len(folders) <= level
        return None if is_in_class_folder else _normalize_name(folder)

    def note(self, origin: Origin) -> None:
        """Count an image that was imported or already known."""
        if origin.post is not None:
            self._groups.add(origin.post)
            return

        self._ungrouped_count += 1
        path = PurePath(origin.key)
        name = origin.title or path.name
        match = _NUMBERED_NAME.fullmatch(name[:MAX_SEARCHED_CHARACTERS])
        if match:
            self._names_by_stem[match[1]].add(name)
            self._stems_by_folder[str(path.parent)][match[1]] += 1

    def summary(self) -> dict[str, object]:
        """Return summary entries: groups, ungrouped images, likely parts of one image."""
        if not self._by and not self._groups:
            return self._suggest_groups()

        summary: dict[str, object] = {"groups": len(self._groups)}
        if self._ungrouped_count:
            summary["without_group"] = self._ungrouped_count
        if self._by == FOLDER and self._ungrouped_count and not self._groups:
            summary["note"] = (
                "no folders below the class folders, so there are no groups"
            )
        return summary

    def _suggest_groups(self) -> dict[str, object]:
        """Return a warning if many files look like parts of images, which a split would separate.

        Ordinary numbered files look different: few names with many numbers each.
        """
        parts = {
            stem: sorted(names)
            for stem, names in self._names_by_stem.items()
            if 1 < len(names) <= _MAX_PARTS
        }
        for stems in self._stems_by_folder.values():
            # A folder whose files all share one stem is just numbered: drop its only stem.
            if len(stems) == 1 and stems.total() > _MIN_IMAGES:
                parts.pop(min(stems), None)

        part_count = sum(map(len, parts.values()))
        min_count = _MIN_PARTS_SHARE * self._ungrouped_count
        if len(parts) < _MIN_IMAGES or part_count < min_count:
            return {}
        return {
            "maybe_parts_of_one_image": {
                "files": part_count,
                "names": ", ".join(min(parts.values())[:2]),
                "then": r"run it again with --group-by '(.+)[-_]\d+\.'",
            }
        }


def _search_names(pattern: str, names: Iterable[str]) -> dict[str, str]:
    # Imported here: most commands start no workers.
    from gleanset.work.pool import Processes, run_over

    unique_names = sorted(set(names))
    batches = (
        unique_names[first : first + _NAMES_PER_SEARCH]
        for first in range(0, len(unique_names), _NAMES_PER_SEARCH)
    )
    search = partial(_search_batch, pattern)
    # In a process, which can be ended: a search may take exponential time.
    worker = Processes(1, SEARCH_TIMEOUT_SECONDS)
    groups: dict[str, str] = {}
    for outcome in run_over(search, batches, worker):
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


def _search_batch(pattern: str, names: Sequence[str]) -> dict[str, str]:
    groups = {}
    for name in names:
        match = re.search(pattern, name[:MAX_SEARCHED_CHARACTERS])
        group = _normalize_name(match[1] or "") if match else ""
        if group:
            groups[name] = group
    return groups


def _normalize_name(text: str) -> str:
    return unicodedata.normalize("NFC", clean(text) or "").strip()
