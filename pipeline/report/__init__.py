"""`gleanset report`: a dataset and its model as one HTML file."""

from pipeline.report.page import write_report

__all__ = ["write_report"]
