"""How to cite a dataset: author, title and citation of `dataset.toml`, as BibTeX."""

import re

from gleanset import Dataset

CITATION_FILE = "CITATION.bib"
_ESCAPES = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def get_title(dataset: Dataset) -> str:
    """Return the full title of a dataset, or else its name."""
    return dataset.settings.title or dataset.name


def list_authors(dataset: Dataset) -> list[str]:
    """Return the authors; `author` separates them by "and", as BibTeX does."""
    text = " ".join((dataset.settings.author or "").split())
    return [author for author in re.split(r"\s+and\s+", text) if author]


def make_bibtex(dataset: Dataset) -> str:
    """Return an entry of BibTeX; empty if the settings do not say how to cite the dataset."""
    settings = dataset.settings
    citation = (settings.citation or "").strip()
    # An entry of BibTeX is used as it is.
    if citation.startswith("@"):
        return f"{citation}\n"
    if not (settings.title or settings.author or citation):
        return ""

    fields = {
        "title": f"{{{_escape(get_title(dataset))}}}",  # doubled braces keep capital letters
        "author": _escape(" and ".join(list_authors(dataset))),
        "note": _escape(citation),
    }
    key = re.sub(r"[^a-z0-9]+", "-", dataset.name.casefold()).strip("-") or "dataset"
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}"]) + "\n"


def _escape(text: str) -> str:
    """Return a text on one line, with the special characters of TeX escaped."""
    line = " ".join(text.split())
    return "".join(_ESCAPES.get(character, character) for character in line)
