"""The report of a dataset: one HTML file that can be mailed, printed and opened offline.

It shows where the pictures came from, what was left out and why, how the classes were
split, how a network learned them, and where it still errs. `write_report` gathers the
facts (`origins`, `classes`, `training`) and fills the template (`page`).
"""

from pipeline.report.page import write_report

__all__ = ["write_report"]
