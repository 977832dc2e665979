"""Filling a template: everything from outside is escaped, in text and in attributes."""

from __future__ import annotations

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from gleanset.html import words


@cache
def templates(package: str) -> Environment:
    """Return the templates of a package and the shared ones, with filters of `html.words`."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("gleanset.html", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=words.number,
        percent=words.percent,
        figure=words.figure,
        shortened=words.shortened,
        duration=words.duration,
    )
    environment.globals.update(count=words.count)
    return environment


def as_bytes(page: str) -> bytes:
    """Return the page as UTF-8; what that cannot hold, as in names of files, is spelled out."""
    return page.encode("utf-8", "backslashreplace")
