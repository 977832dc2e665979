"""Notices of a host, such as "removed.png", that come instead of images."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from gleanset.records import Candidate
from gleanset.work.pool import Outcome

Result = TypeVar("Result")
# Reasons of rejections.
NOT_ASKED = "not asked: host refuses"
NOTICE = "redirected to a notice"
# Two addresses may well lead to one image; three different ones do not.
_MIN_REDIRECTS = 3
_MAX_TARGETS = 10_000


@dataclass(frozen=True)
class RedirectedOutcome(Outcome[Candidate, Result]):
    """Outcome of a candidate that was redirected to `final_url`."""

    final_url: str = ""


class RedirectTargets:
    """The addresses that the results of one run were redirected to, and repeated images.

    `imports` are functions that undo imports of redirected images, by target.
    """

    def __init__(self) -> None:
        self._urls: dict[str, set[str]] = {}
        self.imports = defaultdict[str, list[Callable[[], None]]](list)

    def record_address(self, target: str, url: str) -> bool:
        """Record that `url` led to `target`, a redirect or an image that was there before.

        Return whether different addresses did: then a target of redirects is a notice, not an
        image. An address with the file name of the target is the same image at another place.
        """
        # The latest target is the last one of the dictionary, to be dropped last.
        urls = self._urls.pop(target, set())
        self._urls[target] = urls
        if len(self._urls) > _MAX_TARGETS:
            oldest = next(iter(self._urls))
            del self._urls[oldest]
            self.imports.pop(oldest, None)

        # Three addresses are enough to know; more would only take memory.
        if len(urls) < _MIN_REDIRECTS and _file_name(url) != _file_name(target):
            urls.add(url)
        return self.is_repeated(target)

    def is_repeated(self, target: str) -> bool:
        """Return whether different addresses lead to `target`."""
        return len(self._urls.get(target, ())) >= _MIN_REDIRECTS


def make_target_key(url: str, image: str) -> str:
    """Return what a redirect leads to: an address, with its image instead of its query.

    A host may append the requested address to that of its notice; other queries name an image.
    """
    address, query, _ = url.partition("?")
    return f"{address}#{image}" if query else address


def _file_name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2].casefold()
