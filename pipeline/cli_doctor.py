"""`gleanset doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from gleanset.cli import Command, Job, job_options
from gleanset.errors import MissingComponent


@click.command(cls=Command, epilog="Example: gleanset doctor")
@job_options()
def doctor(job: Job) -> None:
    """Say which parts are there on this machine, what each is for, and what mends it.

    Nothing is fetched, started or changed, and no site is asked. The exit code is 6 where a
    part is missing without which little works.
    """
    from pipeline.doctor import Part, examined

    def told(part: Part) -> str:
        line = f"{'ok' if part.ok else '--'}  {part.name:<10}  {part.there}"
        return line if part.ok else f"{line}\n    for {part.purpose}\n    -> {part.mend}"

    parts = []
    for part in examined(job.root):
        parts.append(part)
        if not job.as_json:
            job.show(told(part))
    if job.as_json:
        job.show(json.dumps({"parts": [asdict(part) for part in parts]}, ensure_ascii=False))
    if lacking := [part for part in parts if part.needed and not part.ok]:
        names = " and ".join(part.name for part in lacking)
        raise MissingComponent(f"{names}: little works without", lacking[0].mend)
