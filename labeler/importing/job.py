"""`labeler import`: adding labelled images as images, samples and decisions."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from gleanset import Dataset
from gleanset.class_names import fold_name
from gleanset.command_result import AliasedResult, JsonDict
from gleanset.db.classes import Changes
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, UsageError
from gleanset.file_groups import FileGroups
from gleanset.files.names import VIDEO_EXTENSIONS, format_path
from gleanset.html.words import count
from gleanset.labelled_images import (
    STAGE,
    add_labelled,
)
from gleanset.named_files import (
    format_short_path,
    rejections_command,
    shorten_list,
    summarize_lines,
)
from gleanset.operations import make_operation
from gleanset.records import (
    Origin,
    Rejection,
)
from gleanset.source_table import SourceTables, summarize_unmatched
from gleanset.tree import count_tags, summarize_ignored
from gleanset.work.progress import Progress
from labeler.export.tree import read_marker
from labeler.importing.labelled import (
    FILE_KINDS,
    LabelledFiles,
    SourceInfo,
)
from labeler.importing.reading import (
    MovesResult,
    class_level_error,
    find_moves,
    is_export_of,
    read_labelled,
)
from labeler.requests import SOURCE, ImportRequest


class ImportResult(AliasedResult, kw_only=True):
    """Imported images and labels, and what was left out; a simulation has no counts of images."""

    kind: str
    collections: list[str] = []
    licence_files: list[str] = []
    files: int
    rows_without_file: int = 0
    rows_without_file_names: JsonDict = {}
    check_classes: str = ""
    split_folders_not_taken_over: dict[str, int] = {}
    labelled_files: int | None = None
    added: int | None = None
    duplicate: int | None = None
    rejected: int | None = None
    labels: dict[str, int]
    disputed: int | None = None
    disputed_files: JsonDict = {}
    rejected_files: JsonDict = {}
    ignored: int | None = None
    ignored_reasons: dict[str, int] = {}
    unreadable_folders: int = 0
    missing: int = 0
    missing_files: list[str] = []
    ignored_annotations: dict[str, int] = {}
    annotations_of: list[str] = []
    groups: int | None = None
    without_group: int = 0
    note: str = ""
    maybe_parts_of_one_image: JsonDict = {}
    next: str = ""

    def summary(self) -> JsonDict:
        """Return counts that add up to the files, then what is counted in other units."""
        facts = self.to_json()
        kind = FILE_KINDS[facts.pop("kind")]
        if self.added is None:
            images = count(self.labelled_files or 0, "labelled image")
            facts["would import"] = f"{images} from {kind}"
        else:
            facts["imported"] = f"{count(self.added, 'new image')} from {kind}"

        # These do not count files, so they would not add up with the other counts.
        other_units = {}
        for name in ("unreadable_folders", "groups", "without_group"):
            if facts.get(name):
                other_units[name] = facts.pop(name)
        for name in ("disputed", "disputed_files", "missing", "missing_files"):
            facts.pop(name, None)
        return facts | {
            "also": other_units,
            count(self.disputed or 0, "disputed sample"): self.disputed_files,
            f"{count(self.missing, 'name')} without an image": self.missing_files,
        }


def import_labelled(
    dataset: Dataset,
    request: ImportRequest,
    *,
    simulate: bool,
    progress: Progress,
) -> ImportResult | MovesResult:
    """Import labelled images as one step that can be undone; return the counts.

    An export of this dataset is read back, everything else is added. A decided sample keeps its
    label, and a sample with several labels is queued; both are `disputed` if the labels differ.
    Raises `InputUnusable` if there are no labelled images, `UsageError` for a level without class
    folders or a pattern that matches no group.
    """
    path = Path(request.path).absolute()
    marker = read_marker(path)
    if is_export_of(dataset, marker):
        return _read_own_export(dataset, request, path, simulate=simulate)

    # What the folder says: labels, groups, credit, licence texts.
    files = read_labelled(path, request.class_level, request.encoding)
    classes = files.count_classes()
    groups = FileGroups(
        request.group_by,
        (image.path.name for image in files.images),
    )
    tables = SourceTables(path, encoding=request.encoding)
    tables.read(path)
    origins = _make_origins(
        files, tables, groups, request.class_level or 1, request.name or path.name
    )
    collections = {str(origin.collection) for origin in origins.values()}
    licence_texts = read_licence_files(path)
    _check_class_names(dataset, classes, distinct=bool(marker))

    # Splits of the folder are only counted: `labeler split` makes new ones, by groups.
    outermost = Counter(image.relative_to(path).parts[0] for image in origins)
    result = ImportResult(
        kind=files.kind,
        collections=sorted(collections),
        licence_files=list(licence_texts),
        files=files.tree.count(),
        split_folders_not_taken_over={
            name: outermost[name] for name in sorted(files.splits & outermost.keys())
        },
        labels=dict(sorted(classes.items())),
        check_classes=files.note,
    )
    result = result.with_facts(
        dataset.classes.explain_aliases(classes, dataset.option)
        | summarize_unmatched(tables.list_unmatched())
    )
    # A simulation reads no image, so it counts those that may be unreadable or known.
    if simulate:
        for origin in origins.values():
            groups.note(origin)
        result.labelled_files = len(origins)
    else:
        _record_unreadable_folders(dataset, files)
        if licence_texts:
            text = "\n\n".join(licence_texts.values())
            for name in collections:
                dataset.images.set_collection_licence(name, text)
        result = result.with_facts(
            _import_images(dataset, request, files, origins, groups, progress)
        )
        command = "labeler dedup" if result.added else "gleanset status"
        result.next = f"{command} {dataset.option}"
    return result.with_facts(_summarize_unused(files, tables) | groups.summary())


def _record_unreadable_folders(dataset: Dataset, files: LabelledFiles) -> None:
    """Add a rejection for each folder that cannot be listed."""
    for error in files.tree.unreadable:
        dataset.rejections.add(
            Rejection(
                STAGE,
                format_path(Path(str(error.filename))),
                "cannot be read",
                str(error.strerror),
            )
        )


def _summarize_unused(files: LabelledFiles, tables: SourceTables) -> JsonDict:
    """Return fields of `ImportResult` about files and annotations that are not imported."""
    ignored = files.count_ignored()
    # A table may also have the labels.
    for table in files.tables:
        tables.texts.pop(table, None)
    count_tags(tables.texts, ignored)
    counts = Counter(reason for _, reason in files.dropped)
    annotations = [f"{file}: {reason}" for file, reason in files.dropped]
    missing_files = [format_short_path(name) for name in files.missing]
    return {
        **summarize_ignored(ignored),
        "unreadable_folders": len(files.tree.unreadable),
        "missing": len(missing_files),
        "missing_files": shorten_list(missing_files),
        "ignored_annotations": dict(counts.most_common()),
        "annotations_of": shorten_list(annotations),
    }


def _make_origins(
    files: LabelledFiles,
    tables: SourceTables,
    groups: FileGroups,
    class_level: int,
    collection: str,
) -> dict[Path, Origin]:
    """Return the origin of each image: its names, credit and group.

    If folders name the classes, they are `class_level` folders deep.
    """
    level = splits = None
    if files.kind in ("tree", "export"):
        level = class_level
        splits = files.splits

    origins = {}
    for image in files.images:
        path = image.path
        info = files.sources.get(path, SourceInfo())
        source = tables.get_row(path)
        # A table next to the images is preferred to the credit of the files.
        credit = source.credit.fill_from(info.credit)
        inside = path.parent.relative_to(tables.top).parts
        group = source.group or groups.get_group(
            path.name,
            str(path.parent),
            inside,
            level,
            splits,
        )

        title = info.title or path.name
        # The title of a frame is that of its video, which all its frames share.
        if PurePath(title).suffix.lower() in VIDEO_EXTENSIONS:
            title = path.name

        origins[path] = Origin(
            SOURCE,
            str(path),
            path=str(path),
            title=title,
            author=credit.author,
            licence=credit.licence,
            page_url=credit.page,
            post=group,
            original_path=info.original_path or PurePath(*inside, path.name).as_posix(),
            collection=info.collection or collection,
            tags=source.tags,
        )
    return origins


def _check_class_names(
    dataset: Dataset, labels: Iterable[str], *, distinct: bool = False
) -> None:
    """Refuse invalid class names, and names that are nearly equal.

    Names that are `distinct` in another dataset are only compared with classes of this dataset.
    """
    classes = set(dataset.classes.list_names())
    names_by_fold = {fold_name(name): name for name in sorted(classes, reverse=True)}
    # Nothing is left of a name of symbols alone: such names are not compared.
    names_by_fold.pop("", None)

    for label in sorted(set(map(dataset.classes.resolve, labels)) - classes):
        fold = fold_name(label)
        similar_name = names_by_fold.get(fold)
        if similar_name is not None:
            raise UsageError(
                f"{label!r} and {similar_name!r} are nearly the same name",
                "add each to import them as two classes, or as one: labeler classes add "
                f"{shlex.quote(similar_name)} --alias {shlex.quote(label)} {dataset.option}",
            )
        if fold and not distinct:
            names_by_fold[fold] = label


def _read_own_export(
    dataset: Dataset, request: ImportRequest, path: Path, *, simulate: bool
) -> MovesResult:
    """Relabel moved files and tag those with edited captions, as one step; return the counts."""
    if request.class_level is not None:
        raise class_level_error(path)
    if request.group_by is not None:
        raise UsageError(
            f"{path} is an export of this dataset, whose groups are known",
            "leave out --group-by",
        )

    moves = find_moves(dataset, SourceTables(path, encoding=request.encoding))
    labels = moves.new_labels.values()
    _check_class_names(dataset, labels)
    result = moves.result.with_facts(
        dataset.classes.explain_aliases(labels, dataset.option)
    )
    if simulate:
        return result

    # Both labels of a dispute were given by a person: none of them is changed.
    for name, detail in moves.disputes.items():
        dataset.rejections.add(Rejection(STAGE, str(path / name), "disputed", detail))
    choices = [
        Choice(key, "label", dataset.classes.resolve(label), SOURCE)
        for key, label in moves.new_labels.items()
    ]
    # A file that was moved and edited has two changes.
    changes = len(choices) + len(moves.new_tags)
    if changes:
        operation = make_operation("import-moves", count=changes, folder=path.name)
        with dataset.db.transaction():
            step = dataset.journal.apply(operation, choices)
            Changes(dataset.db).set_tags(step, moves.new_tags)

    result.disputed_files = summarize_lines(
        [
            f"{format_short_path(name)}: {detail}"
            for name, detail in moves.disputes.items()
        ],
        rejections_command(dataset, STAGE),
    )
    return result


def _import_images(
    dataset: Dataset,
    request: ImportRequest,
    files: LabelledFiles,
    origins: Mapping[Path, Origin],
    groups: FileGroups,
    progress: Progress,
) -> JsonDict:
    """Add images with labelled samples, in one step; return the counts."""
    imported = add_labelled(
        dataset,
        files.images,
        origins,
        Path(request.path).absolute().name,
        workers=request.workers or 0,
        progress=progress,
    )
    for path, reason in imported.dropped:
        files.drop(path, reason)
    for path in imported.images:
        groups.note(origins[path])

    list_command = rejections_command(dataset, STAGE)
    rejections = imported.rejections
    if rejections and not imported.images:
        raise InputUnusable(
            f"none of the {len(rejections)} images could be read, such as {rejections[0]}",
            f"list the reasons: {list_command}",
        )

    added = sum(imported.images.values())
    return {
        "added": added,
        "duplicate": len(imported.images) - added,
        "rejected": len(rejections),
        "labels": dict(sorted(imported.labels.items())),
        "disputed": len(imported.disputes),
        "disputed_files": summarize_lines(imported.disputes, list_command),
        "rejected_files": summarize_lines(rejections, list_command),
    }


_LICENCE_NAME = re.compile(
    r"(.*[ _.-])?(licen[cs]es?|copying)([ _.-].*)?", re.IGNORECASE
)
_TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".xml")
"""Endings of tables, such as the LICENSES.csv of an export, whose rows are read for each image."""
MAX_LICENCE_BYTES = 5_000_000


def read_licence_files(folder: Path) -> dict[str, str]:
    """Return the text of each licence file directly in a folder, by name."""
    texts = {}
    for path in sorted(folder.iterdir()):
        is_licence = (
            _LICENCE_NAME.fullmatch(path.name)
            and path.suffix.lower() not in _TABLE_SUFFIXES
        )
        # Larger files are not licences, and the catalogue would store them.
        if is_licence and path.is_file() and path.stat().st_size <= MAX_LICENCE_BYTES:
            data = path.read_bytes()
            text = data.decode("utf-8", "replace").strip()
            # A file with NULs is a document in a binary format.
            if text and b"\0" not in data:
                texts[path.name] = text
    return texts
