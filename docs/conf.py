"""Sphinx configuration: sphinx-build -W docs site (needs the extra [docs], and no network).

The navigation is made from index.md: links below a heading become the menu section of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

PACKAGE = Path(__file__).resolve().parents[1] / "gleanset" / "__init__.py"

project = "Gleanset"
[release] = re.findall(
    r'^__version__ = "(.+)"', PACKAGE.read_text(encoding="utf-8"), re.MULTILINE
)
extensions = ["myst_parser", "sphinx.ext.autodoc"]
autodoc_typehints = "description"
exclude_patterns = ["images/*.py", "templates"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]
highlight_language = "text"
html_theme = "furo"
html_title = "Gleanset"
html_copy_source = False
html_use_index = False
html_show_sphinx = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_favicon = "../gleanset/web/page/icon.svg"

_PART = re.compile(r"^## (.+)\n((?:(?!## ).*\n?)*)", re.MULTILINE)
_PAGE = re.compile(r"\[([^]]+)\]\(([\w/-]+)\.md\)")
_OUTSIDE = re.compile(r"\[([^]]+)\]\(\.\./[\w/-]+\.md(?:#[\w-]+)?\)")


def setup(site: Sphinx) -> None:
    """Prepare each page before it is parsed."""
    site.connect("source-read", prepare)


def prepare(_: Sphinx, page: str, text: list[str]) -> None:
    """Add the menu to index.md; elsewhere name pages outside docs/, which the site lacks, only."""
    if page == "index":
        text[0] += "".join(menus(text[0]))
    elif "/" not in page:
        text[0] = _OUTSIDE.sub(r"\1", text[0])


def menus(index: str) -> Iterator[str]:
    """Put what each part of the index links to into a menu below its heading, by the same words."""
    for heading, part in _PART.findall(index):
        links = _PAGE.findall(part)
        pages = "\n".join(
            f"{words[0].upper()}{words[1:]} <{page}>" for words, page in links
        )
        yield f"\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{pages}\n```\n"
