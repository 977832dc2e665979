"""Jinja templates with autoescape: all values are escaped, in text and in attributes."""

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from gleanset.html import words


@cache
def get_templates(package: str) -> Environment:
    """Return the environment for a package's and shared templates, with `html.words` filters."""
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader(package, "."), PackageLoader("gleanset.html", ".")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "percent", "figure", "shorten", "duration"):
        environment.filters[name] = getattr(words, name)
    environment.globals.update(
        count=words.count, confidence_interval=words.confidence_interval
    )
    return environment


def encode_page(page: str) -> bytes:
    """Encode a page as UTF-8; escape surrogates, as in file names."""
    return page.encode("utf-8", "backslashreplace")
