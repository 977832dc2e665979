"""Disjoint sets (union-find): connected components from pairs."""

from __future__ import annotations


class DisjointSets:
    """Disjoint sets with path halving (Tarjan and van Leeuwen, 1984)."""

    def __init__(self) -> None:
        self._parent: list[int] = []

    def __len__(self) -> int:
        return len(self._parent)

    def add(self) -> int:
        """Add an item in its own set; return its number (from 0)."""
        self._parent.append(len(self._parent))
        return len(self._parent) - 1

    def find(self, item: int) -> int:
        """Return the smallest item of the set that `item` is in."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def merge(self, a: int, b: int) -> None:
        """Merge the sets of `a` and `b`."""
        a, b = self.find(a), self.find(b)
        self._parent[max(a, b)] = min(a, b)
