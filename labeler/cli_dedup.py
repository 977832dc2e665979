"""`labeler dedup|groups|same|find`: duplicates, by command."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gleanset.cli import Command, Job, Result, job_options


@click.command(cls=Command, epilog="Example: labeler dedup --simulate -d my-dataset")
@job_options(simulate=True)
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Worker processes.")
def dedup(job: Job, workers: int | None) -> Result:
    """Find copies of one picture, keep the best of each and set the others aside.

    Copies are found also when they are cropped, framed, mirrored, marked or compressed anew.
    Drawn faces of which only a small mouth or the gaze differs may be taken for copies: look
    at labeler groups before you apply it to such pictures. Labels move to the one that is
    kept; copies with different labels wait for you (labeler groups --conflicts). Nothing is
    deleted, and labeler undo takes it back. With --simulate what was found is remembered, but
    nobody is set aside.
    """
    from labeler.duplicates.session import DuplicateSession

    with job.open() as dataset:
        session = DuplicateSession(dataset, workers=workers or 0, progress=job.progress)
        looked = session.look()
        plan = session.plan()
        if not job.simulate:
            session.apply(plan)
        return {"looked_at": looked.described, "pairs": looked.compared, **plan.result()} | (
            {"unreadable": looked.failed} if looked.failed else {}
        )


@click.command(cls=Command, epilog="Example: labeler groups --conflicts -d my-dataset | jq .")
@job_options()
@click.option("--conflicts", is_flag=True, help="Only those whose copies are labelled differently.")
def groups(job: Job, conflicts: bool) -> None:
    """Print the duplicate groups, one JSON object a line: who is kept, and why."""
    from labeler.duplicates.session import DuplicateSession

    with job.open() as dataset:
        for group in DuplicateSession(dataset, progress=job.progress).plan().groups:
            if group.conflict or not conflicts:
                told = {"kept": group.kept, "others": group.others, "reason": group.reason,
                        "conflict": group.conflict, "decisions": group.decisions}  # fmt: skip
                job.show(json.dumps(told, ensure_ascii=False))


@click.command(cls=Command, epilog="Example: labeler same 3f9a… 77c0… --no -d my-dataset")
@job_options()
@click.argument("one")
@click.argument("other")
@click.option("--yes/--no", "equal", default=True, show_default=True, help="What you say.")
def same(job: Job, one: str, other: str, equal: bool) -> Result:
    """Say whether two samples show the same picture. It is remembered for ever.

    Run labeler dedup afterwards to have it carried out.
    """
    from labeler.duplicates.session import DuplicateSession

    with job.open() as dataset:
        step = DuplicateSession(dataset).judge(one, other, same=equal)
        return {"step": step, "same": equal}


@click.command(cls=Command, epilog="Example: labeler find picture.jpg -d my-dataset --json")
@job_options()
@click.argument("image", type=click.Path(path_type=Path, dir_okay=False))
def find(job: Job, image: Path) -> Result:
    """Search by picture: the samples that show this one or a copy of it, the surest first."""
    from gleanset.errors import InputUnusable, Unreadable
    from gleanset.images.decode import decode
    from labeler.duplicates.session import DuplicateSession

    try:
        pixels = decode(image.read_bytes()).pixels
    except (OSError, Unreadable) as error:
        raise InputUnusable(f"cannot read {image}: {error}", "name a picture") from error
    with job.open() as dataset:
        session = DuplicateSession(dataset, progress=job.progress)
        session.look()
        found = session.find(pixels)
        return {"found": len(found), "samples": [one.sample for one in found]}


COMMANDS = (dedup, groups, same, find)
