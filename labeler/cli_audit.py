"""`labeler audit`: leaks between splits, in any folder tree or in the dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gleanset import Dataset
from gleanset.cli import Command, Job, Result, job_options
from gleanset.errors import Leaking
from gleanset.settings import FILE

if TYPE_CHECKING:
    from labeler.audit import Audit

_SHOWN = 50
_FOLDER = click.Path(path_type=Path)


@click.command(cls=Command, epilog="Example: labeler audit ~/their-dataset --sheet leaks.png")
@job_options()
@click.argument("tree", required=False, type=_FOLDER)
@click.option("--against", type=_FOLDER, metavar="OTHER", help="Compare with this tree instead.")
@click.option("--sheet", type=_FOLDER, metavar="FILE", help="Draw the pairs into this PNG.")
@click.option("--fail", is_flag=True, help="End with exit code 3 where there is a leak.")
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes.")
def audit(
    job: Job,
    tree: Path | None,
    against: Path | None,
    sheet: Path | None,
    fail: bool,
    workers: int | None,
) -> Result:
    """Find pictures of one split that are in another one as well.

    TREE has folders train, val or test on its first level (or images/train and so on); it may
    be any tool's. Without TREE it is the dataset itself. With --against all pictures of TREE are
    compared with all of OTHER. Nothing is changed. For a script: --fail ends with exit code 3
    when any picture leaks; what is only alike does not count.
    """
    from labeler.audit import check_leak_sheet, write_leak_sheet

    if sheet is not None:
        check_leak_sheet(sheet)
    found = _audit(job, tree, against, workers or 0)
    result: dict[str, Any] = found.result()
    if sheet is not None and found.leaks:
        result |= {"sheet": str(sheet.absolute()), "on_sheet": write_leak_sheet(sheet, found.leaks)}
    told = result if job.as_json else _readable(result)
    if fail and result["leaks"]:
        raise Leaking(
            f"{result['leaks']} pairs of pictures are in two splits",
            "see the pairs above; split by moments: labeler dedup, then labeler split",
            told,
        )
    return told


def _audit(job: Job, tree: Path | None, against: Path | None, workers: int) -> Audit:
    from labeler.audit import find_leaks, straddling
    from labeler.audit_pictures import AuditSet, add_tree, of_dataset, of_tree

    root = tree if tree is not None and (tree / FILE).is_file() else None
    if tree is not None and root is None:
        audited = of_tree(tree) if against is None else AuditSet()
        if against is not None:
            add_tree(audited, tree, "first")
            add_tree(audited, against, "second")
        return find_leaks(audited, workers=workers, progress=job.progress)
    with Dataset.open(root) if root else job.open() as dataset:
        audited = of_dataset(dataset, None if against is None else "dataset")
        if against is not None:
            add_tree(audited, against, "second")
        also = list(straddling(dataset, audited.pictures)) if against is None else []
        return find_leaks(audited, workers=workers, progress=job.progress, also=also)


def _readable(result: dict[str, Any]) -> Result:
    """For a person: a line for each pair, and not thousands of them."""
    lines = [
        f"{_told(pair['a'])}  =  {_told(pair['b'])}  ({pair['kind']}"
        + (", other labels" if pair["labels"][0] != pair["labels"][1] else "")
        + ")"
        for pair in result["pairs"]
    ]
    files = [f"{_told(row['file'])}: {row['reason']}" for row in result["not_read"]]
    return result | {"pairs": _few(lines), "not_read": _few(files)}


def _few(lines: list[str]) -> list[str]:
    more = [f"and {len(lines) - _SHOWN} more: see --json"] if len(lines) > _SHOWN else []
    return lines[:_SHOWN] + more


def _told(name: str) -> str:
    return name if name.isprintable() else repr(name)
