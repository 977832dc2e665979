"""`labeler dedup`, `groups`, `audit`, `quality`, `split`, `import` and `export`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from click.core import ParameterSource

from gleanset import Dataset
from gleanset.cli import CommandGroup, CommandJob, workers_option
from gleanset.command_result import CommandResult, JsonDict
from gleanset.dataset import is_dataset
from gleanset.errors import DoneInPart, InputUnusable, UsageError
from gleanset.named_files import find_location
from gleanset.request import request_options
from gleanset.settings import SplitSettings
from labeler.duplicates.advantages import describe_reasons
from labeler.export.options import ExportOptions
from labeler.requests import ImportRequest

if TYPE_CHECKING:
    from labeler.duplicates.plan import DuplicateSet

_SMALL_DIFFERENCE = "equal except for a small area or an overlay"
_COMMON_PART = "they share a part that also occurs in images that are not the same"

commands = CommandGroup()


@commands.job(simulate=True)
@workers_option
def dedup(job: CommandJob, workers: int | None) -> CommandResult:
    """Find duplicates and keep the best copy of each image.

    Copies may be cropped, framed, mirrored, watermarked, recolored or re-encoded. Pairs that differ
    only in a small area, and copies with a sticker or subtitles, in a collage or photographed from
    a screen, are not marked, but listed by labeler groups --doubtful; in faces of less than 100
    pixels such a difference may be too small to detect. Labels move to the best copy; copies with
    different labels are listed by labeler groups --conflicts. Nothing is deleted, and labeler undo
    reverts it. --simulate stores the comparisons, but marks nothing.

    Example: labeler dedup --simulate -d my-dataset
    """
    from labeler.duplicates.finder import DuplicateFinder

    with job.open() as dataset:
        finder = DuplicateFinder(dataset, workers=workers or 0, progress=job.progress)
        return finder.search_and_mark(simulate=job.simulate)


_PAIR = "SAMPLE SAMPLE"


class PairDecision(CommandResult):
    """The decision of a person whether two samples are copies of one image."""

    step: int
    same: bool

    def summary(self) -> JsonDict:
        """Return the decision in words."""
        return {
            "decided": "copies of one image" if self.same else "different images",
            "step": self.step,
        }


@commands.job()
@click.option(
    "--conflicts", is_flag=True, help="Only sets with different labels or weak labels."
)
@click.option("--doubtful", is_flag=True, help="Only undecided pairs.")
@click.option(
    "--same", nargs=2, metavar=_PAIR, help="Mark two samples as copies of one image."
)
@click.option(
    "--differ", nargs=2, metavar=_PAIR, help="Mark two samples as different images."
)
def groups(
    job: CommandJob,
    conflicts: bool,
    doubtful: bool,
    same: tuple[str, str] | None,
    differ: tuple[str, str] | None,
) -> PairDecision | None:
    """Print duplicate sets as JSON Lines, with the reasons.

    If copies are labelled differently, give all of them one label: labeler label CLASS SAMPLE...
    `files` are the original paths, the best copy first. Undecided pairs come last, and both samples
    are kept: decide with --same or --differ, then run labeler dedup. Such decisions are permanent.

    Example: labeler groups --conflicts -d my-dataset
    """
    from labeler.duplicates.finder import DuplicateFinder
    from labeler.duplicates.plan import judge

    if same and differ:
        raise UsageError("--same and --differ do not go together", "choose one of them")
    # A decision about two samples, and nothing is printed about others.
    if same or differ:
        with job.open() as dataset:
            a, b = map(
                dataset.samples.resolve_key,
                same or differ or (),
            )
            return PairDecision(
                step=judge(dataset, a, b, same=bool(same)), same=bool(same)
            )

    with job.open(rehearse=True) as dataset:
        plan = DuplicateFinder(dataset, progress=job.progress).plan()
        # Without an option, all sets and pairs; with both, conflicting sets and undecided pairs.
        if conflicts or not doubtful:
            for group in plan.sets:
                if group.conflict or group.hints or not conflicts:
                    job.show_json(_make_set_line(dataset, group))
        if doubtful or not conflicts:
            for doubt in plan.doubts:
                job.show_json(_make_doubt_line(dataset, doubt))
    return None


def _make_set_line(dataset: Dataset, group: "DuplicateSet") -> JsonDict:
    """Return the line of a duplicate set."""
    line = {
        "kept": group.best_key,
        "others": group.others,
        "reason": describe_reasons(group.reasons),
        "conflict": group.conflict,
        "decisions": group.decisions,
        **_list_locations(dataset, [member.key for member in group.members]),
    }
    if group.hints:
        line["hints"] = group.hints
    return line


def _make_doubt_line(dataset: Dataset, doubt: "DuplicateSet") -> JsonDict:
    """Return the line of a pair; the best copy is not first, as nothing is decided yet."""
    members = sorted(doubt.members, key=lambda member: member.id)
    samples = [member.key for member in members]
    return {
        "doubtful": True,
        "samples": samples,
        "reason": _COMMON_PART if doubt.is_contested else _SMALL_DIFFERENCE,
        **_list_locations(dataset, samples),
    }


def _list_locations(dataset: Dataset, keys: Sequence[str]) -> dict[str, list[Any]]:
    """Return the original files of samples, and the times of frames."""
    locations = [find_location(dataset, key) for key in keys]
    lists: dict[str, list[Any]] = {"files": [location.path for location in locations]}
    times = [location.time for location in locations]
    if any(time is not None for time in times):
        lists["times"] = times
    return lists


@commands.job()
@click.argument("tree", required=False, type=click.Path(path_type=Path))
@click.option("--fail", is_flag=True, help="Exit with code 3 if there is a leak.")
@workers_option
def audit(
    job: CommandJob, tree: Path | None, fail: bool, workers: int | None
) -> CommandResult:
    """Find leaks: images of one split with copies in another split.

    TREE has folders train, val or test on its first level (or images/train and so on). Default:
    the dataset itself. Nothing is changed. Images that differ only in a small area are possible
    copies; images that are only alike are not leaks.

    Example: labeler audit ~/their-dataset --fail
    """
    from labeler.audit import collect_dataset, collect_tree, find_leaks

    find = partial(find_leaks, workers=workers or 0, progress=job.progress)
    if tree is not None and not is_dataset(tree):
        result = find(collect_tree(tree)).result()
    else:
        with Dataset.open(tree) if tree else job.open() as dataset:
            result = find(collect_dataset(dataset), dataset).result()

    if fail and result.leaks:
        raise DoneInPart(
            f"{result.leaks} leaks: pairs of images in two splits",
            "mark the copies, then split again: labeler dedup",
            result,
        )
    return result


@commands.job()
@workers_option
def quality(job: CommandJob, workers: int | None) -> CommandResult:
    """Count samples that are blurred, black, white or tiny.

    Only new and re-cropped samples are measured, and no labels change. List the samples with
    `gleanset list samples --where flags=blurred`.

    Example: labeler quality -d my-dataset
    """
    from labeler.quality.assessment import assess_quality

    with job.open() as dataset:
        if not dataset.samples.count():
            raise InputUnusable(
                "nothing to measure: there are no samples yet",
                dataset.status_advice,
            )
        return assess_quality(dataset, workers=workers or 0, progress=job.progress)


@commands.job(simulate=True)
@request_options(SplitSettings)
def split(job: CommandJob, request: SplitSettings) -> CommandResult:
    """Assign labelled samples to train, val and test, without leaks.

    Each group stays in one split. With unchanged settings only new samples are assigned, and
    val and test are kept; if a new image connects a group of train with one of test, the one of
    train is left out. Without options, the settings of the last split are kept; before it, those of
    [split] in dataset.toml are used. Samples that were not compared by labeler dedup are compared
    first, so that copies stay together; the comparisons are stored, also with --simulate.

    Example: labeler split --ratio 8:1:1 --seed 0 -d my-dataset
    """
    from labeler.splits.job import split_dataset

    # Only options that were typed replace the settings.
    context = click.get_current_context()
    options = {
        name: getattr(request, name)
        for name in request.__struct_fields__
        if context.get_parameter_source(name) == ParameterSource.COMMANDLINE
    }
    with job.open() as dataset:
        base = dataset.settings.split
        if not options:
            base = dataset.samples.get_split_settings() or base
        return split_dataset(
            dataset,
            msgspec.structs.replace(base, **options),
            simulate=job.simulate,
            progress=job.progress,
        )


@commands.job("import", simulate=True)
@request_options(ImportRequest)
def import_(job: CommandJob, request: ImportRequest) -> CommandResult:
    """Import labelled images from class folders, COCO, YOLO or tables.

    Tables may be CSV or metadata.jsonl. Class folders are the outermost folders (below
    train|val|test, if there are any) or those at --class-level. Boxes become faces. An export
    of this dataset is read back: images that were moved to another class folder are relabelled,
    and captions that were edited become tags. A sources.csv next to the images gives the credit
    (columns file, author, licence, page) and the group of each image, name.txt or metadata.jsonl
    its tags and caption; importing again updates them. labeler undo reverts an import.

    Example: labeler import ~/sorted-images -d my-dataset
    """
    from labeler.importing.job import import_labelled
    from labeler.importing.reading import check_importable

    check_importable(Path(request.path))
    with job.create() as dataset:
        return import_labelled(
            dataset,
            request,
            simulate=job.simulate,
            progress=job.progress,
        )


@commands.job(simulate=True)
@click.argument("out", required=False, metavar="[OUT]")
@workers_option
@request_options(ExportOptions)
def export(
    job: CommandJob, request: ExportOptions, out: str | None, workers: int | None
) -> CommandResult:
    """Export the labelled samples for another tool (docs/export.md).

    Default for OUT: a folder in the dataset's exports. OUT is replaced once the export is complete;
    other files in it are never replaced. Complete shards of an interrupted export are kept.

    Example: labeler export out --format yolo-detect -d my-dataset
    """
    from labeler.export.job import export as export_to_folder
    from labeler.export.job import simulate_export
    from labeler.export.tree import check_replaceable, resolve_target

    with job.open() as dataset:
        if out is not None and "://" in out:
            raise UsageError(
                f"not a folder: {out}",
                "export to a folder, then copy it, for instance with rclone or aws s3 sync",
            )

        target = Path(out or dataset.root / "exports" / request.format)
        if job.simulate:
            check_replaceable(resolve_target(target))
            return simulate_export(dataset, request)

        result = export_to_folder(
            dataset,
            target,
            request,
            workers=workers or 0,
            progress=job.progress,
        )
        if result.error is not None:
            raise result.error
        return result
