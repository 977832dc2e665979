"""Results of exports, and of their simulation."""

from collections.abc import Mapping

from gleanset.command_result import CommandResult, JsonDict
from gleanset.errors import DoneInPart
from gleanset.named_files import format_short_path, shorten_list, summarize_lines
from labeler.class_table import format_class_table


class ExportResult(CommandResult, kw_only=True):
    """Exported samples, and what users of the export should know.

    `failed` has the reason by unreadable image, and `see_failed` the command that lists them.
    """

    ONLY_PRINTED = ("see_failed",)
    ONLY_IN_FULL = ("splits", "files")
    WORDS = {
        "changes": "files",
        "short": "splits without a class",
        "images_without_a_face": "images without a face (not exported)",
    }

    to: str = ""
    exported: int
    images: int = 0
    splits: dict[str, int] = {}
    changes: dict[str, int]
    notes: list[str] = []
    short: list[str] = []
    failed: dict[str, str] = {}
    shards: int | None = None
    left_out: dict[str, int] = {}
    images_without_a_face: int = 0
    balance: dict[str, dict[str, int]] = {}
    kept_files: JsonDict = {}
    labelled_differently: JsonDict = {}
    see_failed: str = ""

    def summary(self) -> JsonDict:
        """Return the result with the first lines of long lists."""
        lines = [
            f"{format_short_path(path)}: {reason}"
            for path, reason in self.failed.items()
        ]
        return {
            **super().summary(),
            "splits without a class": shorten_list(self.short),
            "failed": summarize_lines(lines, self.see_failed),
            "balance": format_balance(self.balance),
        }

    @property
    def error(self) -> DoneInPart | None:
        """The error of an export that left out unreadable images."""
        return unreadable_images_error(len(self.failed), self) if self.failed else None


class ExportPreview(CommandResult, kw_only=True):
    """The paths of an export, its samples by class and split, and those left out by reason."""

    would_export: int
    classes: dict[str, dict[str, int]]
    left_out: dict[str, int] = {}
    balance: dict[str, dict[str, int]] = {}
    paths: list[str]

    def summary(self) -> JsonDict:
        """Return the result with a table of classes, without the paths."""
        # All rows have the same columns.
        heads = list(next(iter(self.classes.values()), {}))
        return self.to_json() | {
            "classes": format_class_table(heads, self.classes),
            "balance": format_balance(self.balance),
            "paths": [],
        }


def format_balance(sizes: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a table of the classes in train before and after balancing; empty without it."""
    return format_class_table(("before", "after"), sizes) if sizes else []


def unreadable_images_error(count: int, result: CommandResult) -> DoneInPart:
    """Return the error of a command that left out unreadable images, or clips of videos."""
    return DoneInPart(
        f"unreadable files are left out: {count}",
        "put videos back at their paths, and repair images: gleanset verify --repair",
        result,
    )
