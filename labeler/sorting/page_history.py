"""The pages that a window has shown: for undo, PgUp and PgDn, and what was excluded from them."""

from collections.abc import Callable, Mapping, Sequence, Set

from labeler.sorting.page_layout import ClassPage

Suggested = tuple[Sequence[int], str | frozenset[int]]
"""The samples of a tile with the class suggested for them, or with all samples of its cluster."""


def is_same(of: str | frozenset[int], before: str | frozenset[int]) -> bool:
    """Return whether two suggestions are of one class, or the cluster has most of the other."""
    if isinstance(of, str) or isinstance(before, str):
        return of == before
    return 2 * len(of & before) > len(before)


class PageHistory:
    """Pages that can be shown again, with the current names of their classes.

    `steps` has the page of each step (by its root) before the current page, `sent` the tiles of
    each, `earlier` those pages, `later` those that PgUp left, until something is decided.
    `excluded` has the classes and clusters that each sample was excluded from.
    """

    def __init__(self) -> None:
        self.steps: dict[int, ClassPage] = {}
        self.sent: dict[int, list[int]] = {}
        self.earlier: list[ClassPage] = []
        self.later: list[ClassPage] = []
        self.excluded: dict[int, set[str | frozenset[int]]] = {}

    def leave(
        self, page: ClassPage, sent: Mapping[int, list[int]], *roots: int
    ) -> None:
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
        for row, before in self.excluded.items():
            self.excluded[row] = {
                names.get(of, of) if isinstance(of, str) else of for of in before
            }

    def exclude(self, suggested: Suggested, excluded: bool) -> None:
        """Note whether a tile is excluded from what is suggested for it."""
        samples, of = suggested
        for sample in samples:
            before = self.excluded.pop(sample, set())
            others = {other for other in before if not is_same(of, other)}
            if excluded or others:
                self.excluded[sample] = others | ({of} if excluded else set())

    def is_excluded(self, suggested: Suggested) -> bool:
        """Return whether a tile was excluded from what is suggested for it."""
        samples, of = suggested
        return any(
            is_same(of, other) for n in samples for other in self.excluded.get(n, ())
        )

    def remove(self, classes: Set[str]) -> None:
        """Remove the pages of classes that no longer exist."""
        self.steps = {
            root: page for root, page in self.steps.items() if not page.labels & classes
        }
        self.earlier = [page for page in self.earlier if not page.labels & classes]
        self.later.clear()
