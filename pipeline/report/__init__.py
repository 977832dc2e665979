"""The report of a dataset: one HTML file that can be mailed, printed and opened offline.

It shows where the pictures came from, what was left out and why, how the classes were
split, how a network learned them, and where it still errs. `write_report` gathers the
facts (`gather`, `found`, `classes`, `results`), draws them (`thumbnails`, `charts`) and
fills the template (`render`).
"""

from pipeline.report.render import write_report

__all__ = ["write_report"]
