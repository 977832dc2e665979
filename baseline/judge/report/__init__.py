"""The report of a run: `runs/<id>/report.html`, one file that can be mailed and opened offline.

It is made of what the run left in its folder and of the catalogue; torch is not needed.
"""

from baseline.judge.report.page import write_report

__all__ = ["write_report"]
