"""The pages that a window has shown: for undo, PgUp and PgDn, and what was excluded from them."""

from collections.abc import Callable, Mapping, Set

from labeler.sorting.page_layout import ClassPage

Suggested = tuple[int, str | frozenset[int]]
"""A sample with the class that is suggested for it, or with all samples of its cluster."""


class PageHistory:
    """Pages that can be shown again, with the current names of their classes.

    `steps` has the page of each step (by its root) before the current page, `sent` the tiles of
    each, `earlier` those pages, `later` those that PgUp left, until something is decided.
    `excluded` has samples, each with the class, or the samples of the cluster, that it is not of.
    """

    def __init__(self) -> None:
        self.steps: dict[int, ClassPage] = {}
        self.sent: dict[int, list[int]] = {}
        self.earlier: list[ClassPage] = []
        self.later: list[ClassPage] = []
        self.excluded: set[Suggested] = set()

    def leave(self, page: ClassPage, sent: Mapping[int, list[int]], *roots: int) -> None:
        """Add a page, with the steps and the samples that were sent from it."""
        self.steps |= dict.fromkeys((*sent, *roots), page)
        self.sent |= sent
        self.earlier.append(page)

    def replace(self, change: Callable[[ClassPage], ClassPage]) -> None:
        """Change every page."""
        self.steps = {root: change(page) for root, page in self.steps.items()}
        self.earlier = [*map(change, self.earlier)]
        self.later = [*map(change, self.later)]

    def rename(self, names: Mapping[str, str]) -> None:
        """Rename classes (old to new name) on every page."""
        self.replace(lambda page: page.renamed(names))
        renamed = {(n, names.get(of, of) if isinstance(of, str) else of) for n, of in self.excluded}
        self.excluded = renamed

    def remove(self, classes: Set[str]) -> None:
        """Remove the pages of classes that no longer exist."""
        self.steps = {root: page for root, page in self.steps.items() if not page.labels & classes}
        self.earlier = [page for page in self.earlier if not page.labels & classes]
        self.later.clear()
