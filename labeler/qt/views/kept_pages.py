"""Pages that a person may come back to: those that were left, and by an undo those filed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from labeler.sorting.page_layout import ClassPage


class KeptPages:
    """Keeps pages with what was lifted on them, under the names that classes have now."""

    def __init__(self) -> None:
        self._filed: dict[int, ClassPage] = {}
        self._earlier: list[ClassPage] = []
        self._lifted: dict[ClassPage, Sequence[int]] = {}

    def file(self, root: int, page: ClassPage) -> None:
        """Keep a page that step `root` has filed."""
        self._filed[root] = page
        self._earlier.append(page)

    def leave(self, page: ClassPage) -> None:
        """Keep a page that was skipped."""
        self._earlier.append(page)

    def filed_by(self, root: int) -> ClassPage | None:
        """Return the page that a step has filed."""
        return self._filed.get(root)

    def turn_back(self) -> ClassPage | None:
        """Return the page before this one; None for none."""
        return self._earlier.pop() if self._earlier else None

    def keep_lifted(self, page: ClassPage | None, rows: Sequence[int]) -> None:
        """Keep what is lifted on a page, for when it is turned back to."""
        if page is not None and rows:
            self._lifted[page] = rows

    def lifted_on(self, page: ClassPage) -> Sequence[int]:
        """Return what was lifted on a page that is shown again."""
        return self._lifted.pop(page, ())

    def rename(self, names: Mapping[str, str]) -> None:
        """Call classes as they are called now."""
        self._filed = {root: page.renamed(names) for root, page in self._filed.items()}
        self._earlier = [page.renamed(names) for page in self._earlier]
        self._lifted = {page.renamed(names): rows for page, rows in self._lifted.items()}

    def forget(self, gone: Set[str]) -> None:
        """Keep no page that names a class which is gone."""
        self._filed = {root: page for root, page in self._filed.items() if not page.labels & gone}
        self._earlier = [page for page in self._earlier if not page.labels & gone]
        self._lifted = {page: rows for page, rows in self._lifted.items() if not page.labels & gone}
