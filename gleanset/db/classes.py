"""Classes, and everything except decisions that a step of the journal changes.

`merged_into` is the class that a class was merged into, or the class itself if it is hidden because
the step that created it was undone. Undoing a step also reverts its changes to notes, class names,
splits, duplicates and duplicate verdicts.
"""

import json
import shlex
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection, Row, Table
from gleanset.db.rows import dump
from gleanset.errors import UsageError
from gleanset.operations import Operation

# Table, column and key column of everything that a change can set.
_PLACES = {
    "mark": ("sorting_note", "mark", "sample"),
    "refused": ("sorting_note", "refused", "sample"),
    "name": ("class", "name", "id"),
    "merged": ("class", "merged_into", "id"),
    "split": ("sample", "split", "id"),
    "split_group": ("sample", "split_group", "id"),
    "report": ("report", "status", "id"),
    "tags": ("origin", "tags", "id"),
}

SAMPLE_CHANGE_KINDS = "('mark','refused','split','split_group')"
"""SQL list: kinds of changes whose item is a sample."""

CLASS_CHANGE_KINDS = "('name','merged')"
"""SQL list: kinds of changes whose item is a class."""


class Change(NamedTuple):
    """New value `after` for `what` (a key of `_PLACES`) of an item (row)."""

    what: str
    item: int
    after: str | float | None


class Changes(Table):
    """The `change` and `sorting_note` tables."""

    def apply(self, step: int, changes: Iterable[Change]) -> None:
        """Apply changes as part of a step. Call inside a transaction."""
        kinds: dict[str, list[tuple[int, int, str | float | None]]] = {}
        for change in changes:
            kinds.setdefault(change.what, []).append((step, change.item, change.after))
        for kind, rows in kinds.items():
            table, column, key = _PLACES[kind]
            items = [(item,) for _, item, _ in rows]
            if table == "sorting_note":
                # It has rows for some samples only.
                self._db.execute_many(
                    "INSERT OR IGNORE INTO sorting_note(sample) VALUES(?)", items
                )
            self._db.execute_many(
                f"""
                INSERT INTO change(step, what, item, before, after)
                SELECT ?1, '{kind}', {key}, {column}, ?3
                FROM {table}
                WHERE {key}=?2
                """,
                rows,
            )

            if kind == "name":
                # Names are unique: without temporary names, two classes could not swap theirs.
                self._db.execute_many(
                    "UPDATE class SET name=char(0) || id WHERE id=?", items
                )
            self._db.execute_many(
                f"UPDATE {table} SET {column}=?2 WHERE {key}=?1",
                [(item, after) for _, item, after in rows],
            )

    def set_tags(self, step: int, tags: Mapping[str, Sequence[str]]) -> None:
        """Set the tags of all origins of images (SHA-256). Call inside a transaction."""
        rows = self._db.fetch_all(
            """
            SELECT o.id, e.value
            FROM json_each(?) e
            JOIN image i ON i.sha256=e.key
            JOIN origin o ON o.image=i.id
            """,
            (dump(tags),),
        )
        self.apply(
            step,
            [Change("tags", row, text) for row, text in rows],
        )

    def list_split_removals(self, samples: Sequence[int]) -> list[Change]:
        """Return changes that remove samples (rows) from splits and groups."""
        changes = []
        for what in ("split", "split_group"):
            rows = self._db.iter_rows_in(
                f"SELECT id FROM sample WHERE {what} IS NOT NULL AND id IN (:items)",
                samples,
            )
            changes += [Change(what, row["id"], after=None) for row in rows]
        return changes

    def revert(self, step: int, undoing: int) -> list[tuple[str, int]]:
        """Revert `step` as part of `undoing`; return (table, row) changed since."""
        rows = self._db.fetch_all(
            "SELECT what, item, before, after FROM change WHERE step=? ORDER BY id DESC",
            (step,),
        )
        rows_to_keep = [row for row in rows if self._keeps_class(row)]
        # A class that stays one keeps the names that it took along when it was an alias.
        staying_classes = {row["item"] for row in rows_to_keep}
        candidates = []
        for row in rows:
            is_alias = row["what"] == "merged" and row["before"] in staying_classes
            if row not in rows_to_keep and not is_alias:
                candidates.append(row)

        rows_in_force = list(filter(self._is_in_force, candidates))
        rows_to_revert = self._drop_taken_names(rows_in_force)
        changes = [
            Change(row["what"], row["item"], row["before"]) for row in rows_to_revert
        ]
        for row in rows_to_revert:
            if row["what"] == "name":
                # An alias that took the former name of its class gets the other name.
                alias = self._find_own_alias(row)
                if alias:
                    changes.append(Change("name", alias, row["after"]))
        self.apply(undoing, changes)

        reverted_items = {(row["what"], row["item"]) for row in rows_to_revert}
        return [
            self._get_changed_row(row)
            for row in candidates
            if (row["what"], row["item"]) not in reverted_items
        ]

    def _is_in_force(self, change: Row) -> bool:
        """Return whether an item still has the value that a change set."""
        table, column, key = _PLACES[change["what"]]
        sql = f"SELECT 1 FROM {table} WHERE {key}=? AND {column} IS ?"
        return self._db.has_rows(
            sql,
            (change["item"], change["after"]),
        )

    def _get_changed_row(self, change: Row) -> tuple[str, int]:
        table, _, key = _PLACES[change["what"]]
        # A note is that of its sample.
        owner = key if table == "sorting_note" else table
        return owner, change["item"]

    def _keeps_class(self, change: Row) -> bool:
        """Return whether a change of a class (`merged`) has to stay when its step is undone.

        That is where a class was hidden or shown, and is as before again; and where a former alias
        or hidden class is the label of samples by now. `before` is NULL for a class in use.
        """
        if change["what"] != "merged":
            return False
        item = change["item"]
        before = change["before"]
        row = self._db.fetch_one("SELECT merged_into FROM class WHERE id=?", (item,))
        # A hidden class is merged into itself.
        is_about_hiding = item in (before, change["after"])
        is_back = is_about_hiding and row is not None and row[0] == before
        if is_back or not before:
            return is_back
        return self._db.has_rows("SELECT 1 FROM sample WHERE label=?", (item,))

    def _drop_taken_names(self, rows: list[Row]) -> list[Row]:
        """Return changes without those of names that another class has now.

        A name of a class that is renamed by these changes itself is about to be free.
        """
        classes = {row["item"] for row in rows if row["what"] == "name"}
        free_rows = []
        for row in rows:
            is_taken = False
            if row["what"] == "name":
                name = (row["before"],)
                owner = self._db.fetch_value("SELECT id FROM class WHERE name=?", name)
                is_taken = owner is not None and owner not in classes
            if not is_taken or self._find_own_alias(row):
                free_rows.append(row)

        if len(free_rows) == len(rows):
            return rows
        # A class that keeps its name may block another one: check again.
        return self._drop_taken_names(free_rows)

    def _find_own_alias(self, change: Row) -> int | None:
        """Return the alias that has the former name of a renamed class: both can swap names."""
        sql = "SELECT id FROM class WHERE name=? AND merged_into=? AND id<>merged_into"
        return self._db.fetch_int(sql, (change["before"], change["item"])) or None

    def get_refused_classes(self, samples: Sequence[int]) -> dict[int, frozenset[int]]:
        """Return the classes (rows) that a person ruled out for these samples."""
        sql = "SELECT sample, refused FROM sorting_note WHERE refused<>'' AND sample IN (:items)"
        return {
            row["sample"]: frozenset(map(int, row["refused"].split(",")))
            for row in self._db.iter_rows_in(sql, samples)
        }


class Placement(NamedTuple):
    """Duplicate status of a sample (row): kept or not, and its duplicate set.

    `chosen`: a person chose to keep this copy, and no rule overrides it.
    """

    sample: int
    kept: bool
    group: str | None
    chosen: bool = False


class Placements(Table):
    """The `placement` and `verdict` tables."""

    def apply(self, step: int, rows: Sequence[Placement]) -> None:
        """Apply placements as part of a step. Call inside a transaction."""
        self._db.execute_many(
            """
            INSERT INTO placement(
                step, sample, kept, duplicate_set, before_kept, before_duplicate_set,
                chosen
            )
            SELECT ?1, id, ?3, ?4, kept, duplicate_set, ?5
            FROM sample
            WHERE id=?2
            """,
            [(step, *row) for row in rows],
        )

        self._db.execute_many(
            "UPDATE sample SET kept=?2, duplicate_set=?3 WHERE id=?1",
            [(row.sample, row.kept, row.group) for row in rows],
        )

    def record_verdict(self, step: int, a: int, b: int, verdict: str | None) -> None:
        """Record a person's verdict on two samples (rows); None removes it."""
        # A pair is stored once, by ascending rows.
        a, b = sorted((a, b))
        before = self._db.fetch_value(
            "SELECT verdict FROM pair WHERE a=? AND b=? AND kind='person'", (a, b)
        )
        verdict_row = {
            "step": step,
            "a": a,
            "b": b,
            "verdict": verdict,
        }
        self._db.insert(
            "verdict",
            verdict_row | {"before_verdict": before},
        )
        if not verdict:
            self._db.execute(
                "DELETE FROM pair WHERE a=? AND b=? AND kind='person'", (a, b)
            )
        else:
            self._db.insert(
                "pair", verdict_row | {"kind": "person"}, "INSERT OR REPLACE"
            )

    def revert(self, step: int, undoing: int) -> int:
        """Revert `step` as part of `undoing`; return how many changed since."""
        rows = self._db.fetch_all(
            """
            SELECT a.*, s.kept AS now_kept, s.duplicate_set AS now_set,
                (
                    SELECT chosen
                    FROM placement b
                    WHERE b.sample=a.sample AND b.id<a.id
                    ORDER BY b.id DESC
                    LIMIT 1
                ) AS before_chosen
            FROM placement a
            JOIN sample s ON s.id=a.sample
            WHERE step=?
            ORDER BY a.id DESC
            """,
            (step,),
        )

        placements = []
        for row in rows:
            is_same_set = row["now_set"] == row["duplicate_set"]
            if is_same_set and row["now_kept"] == row["kept"]:
                placement = Placement(
                    sample=row["sample"],
                    kept=bool(row["before_kept"]),
                    group=row["before_duplicate_set"],
                    chosen=bool(row["before_chosen"]),
                )
                placements.append(placement)

        self.apply(undoing, placements)

        verdicts = self._db.fetch_all(
            """
            SELECT v.*, p.verdict AS now
            FROM verdict v
            LEFT JOIN pair p ON p.a=v.a AND p.b=v.b AND p.kind='person'
            WHERE v.step=?
            ORDER BY v.id DESC
            """,
            (step,),
        )

        changed_since = len(rows) - len(placements)
        for row in verdicts:
            if row["now"] == row["verdict"]:
                self.record_verdict(
                    undoing,
                    row["a"],
                    row["b"],
                    row["before_verdict"],
                )
            else:
                changed_since += 1
        return changed_since


def class_after_merges_sql(column: str, condition: str, schema: str = "main") -> str:
    """Return SQL for a `column` of a class after following merges."""
    return f"""
        (
            WITH RECURSIVE chain(id, name, into_) AS (
                SELECT id, name, merged_into
                FROM {schema}.class
                WHERE {condition}
                UNION
                SELECT c.id, c.name, c.merged_into
                FROM chain
                JOIN {schema}.class c ON c.id=chain.into_
            )
            SELECT {column}
            FROM chain
            WHERE into_ IS NULL OR into_=id
        )
        """


def step_chains_sql(condition: str) -> str:
    """Return SQL that begins with a table `chain`: steps with their undos and redos.

    Depth 0 is the step itself (`root`), 1 its undo, 2 its redo: at an even depth it is in force.
    """
    return f"""
        WITH RECURSIVE chain(root, id, depth) AS (
            SELECT id, id, 0
            FROM step
            WHERE undoes IS NULL AND {condition}
            UNION ALL
            SELECT root, s.id, depth+1
            FROM chain
            JOIN step s ON s.undoes=chain.id
        )
        """


UNDONE_STEPS = f"""
    {step_chains_sql("id IN (SELECT undoes FROM step WHERE undoes>0)")}
    SELECT root
    FROM chain
    GROUP BY root
    HAVING max(depth)%2=1
    """
"""SQL: steps that were undone, and not redone since."""


def last_class_with_name_sql(name: str) -> str:
    """Return SQL for the class (row) that last had a name, by a renaming that is not undone.

    `name` is an SQL expression.
    """
    return f"""
        (
            SELECT item
            FROM change h
            JOIN step t ON t.id=h.step
            WHERE what='name'
                AND before={name}
                AND t.undoes IS NULL
                AND t.id NOT IN ({UNDONE_STEPS})
            ORDER BY h.id DESC
            LIMIT 1
        )
        """


def class_by_name_sql(name: str) -> str:
    """Return SQL for the class (row) that has a name, else for the one that last had it."""
    return f"ifnull((SELECT id FROM class WHERE name={name}), {last_class_with_name_sql(name)})"


class LabelClasses:
    """The `class` table. Call methods that change it inside a transaction, as part of a step."""

    def __init__(self, db: Connection):
        self._db = db
        self._changes = Changes(db)

    def __iter__(self) -> Iterator[str]:
        return iter(self.list_names())

    def __repr__(self) -> str:
        return repr(self.list_names())

    def list_by_creation(self) -> list[str]:
        """Return the names of all classes in use, in order of creation."""
        return self._db.fetch_column(
            "SELECT name FROM class WHERE merged_into IS NULL ORDER BY id"
        )

    def list_names(self) -> list[str]:
        """Return the names of all classes in use, in alphabetical order."""
        return sorted(self.list_by_creation())

    def get_id(self, name: str) -> int | None:
        """Return the row of a class by its current or former name."""
        return self._db.fetch_int(f"SELECT {class_by_name_sql('?1')}", (name,)) or None

    def resolve(self, name: str) -> str:
        """Return the current name of a known or new class. Raises `UsageError`."""
        return normalize_class_name(self.resolve_alias(name))

    def resolve_alias(self, alias: str) -> str:
        """Return the class that an alias means, also in other case, else the alias.

        Raises `UsageError`.
        """
        alias = normalize_alias(alias)
        # A merged class goes by the name of the class that it was merged into.
        sql = f"SELECT {class_after_merges_sql('name', 'id=?')}"
        name = self._db.fetch_text(sql, (self.get_id(alias),)) or alias
        in_use = "SELECT 1 FROM class WHERE name=? AND merged_into IS NULL"
        if self._db.has_rows(in_use, (name,)):
            return name
        return self._find_same(name) or name

    def find_renamed(self, name: str) -> str | None:
        """Return the current name of a class that was renamed from `name`, also by an undo."""
        sql = "SELECT item FROM change WHERE what='name' AND before=? ORDER BY id DESC LIMIT 1"
        return self._db.fetch_text(
            f"SELECT name FROM class WHERE id=({sql})",
            (name,),
        )

    def explain_aliases(self, names: Iterable[str], option: str) -> dict[str, str]:
        """Return which names mean classes of other names, and the command that changes this."""
        notes = []
        command = ""
        for name in dict.fromkeys(map(normalize_alias, names)):
            meaning = self.resolve_alias(name)
            if meaning == name:
                continue
            kind = "a former name" if self.find_renamed(name) else "an alias"
            notes.append(f"{name} is {kind} of {meaning}")
            # The command is for the first name that can become a class of its own: not one that
            # differs from another class in case only, and without forbidden characters.
            is_same = name.casefold() == meaning.casefold()
            if not (command or is_same or set(name) & set(_FORBIDDEN)):
                command = f"labeler classes add {shlex.quote(name)} {option}"

        texts = {"alias": ", ".join(notes), "to_make_it_a_class": command}
        return {key: text for key, text in texts.items() if text}

    def get_or_create(self, name: str) -> int:
        """Return the row of a class, creating a hidden one if needed.

        `unhide` shows it as part of a step, so that an undo hides it again.
        """
        return self.get_or_create_alias(self.resolve(name))

    def get_or_create_alias(self, alias: str) -> int:
        """Return the row of an alias's class; create it hidden if missing.

        A name that differs from a class in use in case alone becomes an alias of it.
        """
        alias = normalize_alias(alias)
        class_sql = f"SELECT {class_after_merges_sql('id', 'name=?')}"
        row = self._db.fetch_int(class_sql, (alias,)) or self._add_hidden(alias)
        if same := self._find_same(alias):
            self._db.execute(
                "UPDATE class SET merged_into=? WHERE id=? AND merged_into=id",
                (self.get_id(same), row),
            )
        return self._db.fetch_int(class_sql, (alias,))

    def _add_hidden(self, name: str, owner: int | None = None) -> int:
        """Create a class that is merged into `owner`, without one into itself: hidden."""
        row = self._db.insert("class", {"name": name})
        self._db.execute(
            "UPDATE class SET merged_into=? WHERE id=?", (owner or row, row)
        )
        return row

    def unhide(self, step: int, rows: Iterable[int]) -> None:
        """Unhide classes (rows); undoing the step hides them again."""
        hidden = set(self._db.fetch_column("SELECT id FROM class WHERE merged_into=id"))
        self._changes.apply(
            step, [Change("merged", row, None) for row in sorted(hidden & set(rows))]
        )

    def create(self, step: int, name: str) -> None:
        """Create a class; undoing hides it. Raises `UsageError` if in use, also in other case."""
        same = self._find_same(name)
        if same:
            raise UsageError(f"there is a class {same!r} already")

        # A former name of another class gets a row as its alias, and is that again after an undo.
        number = self._db.fetch_int("SELECT id FROM class WHERE name=?", (name,))
        if not number:
            number = self._add_hidden(name, self.get_id(name))
        self._changes.apply(
            step,
            [*self._leave_aliases(number), Change("merged", number, after=None)],
        )

    def _leave_aliases(self, row: int) -> list[Change]:
        """Return changes after which the names of an alias (row) lead to its class directly.

        Call before the alias becomes a class itself. Predictions of the alias become those of the
        class that it stood for.
        """
        owner = self._db.fetch_int(
            "SELECT merged_into FROM class WHERE id=? AND merged_into<>id", (row,)
        )
        if not owner:
            return []
        self._db.execute("UPDATE proposal SET label=? WHERE label=?", (owner, row))
        return [Change("merged", name, owner) for name in self._list_other_names(row)]

    def _list_other_names(self, row: int) -> list[int]:
        """Return the aliases (rows) of a class (row), also its former names, which become rows."""
        former_names = self._db.fetch_column(
            f"""
            SELECT DISTINCT before
            FROM change c
            WHERE what='name'
                AND item=?
                AND before NOT IN (SELECT name FROM class)
                AND {last_class_with_name_sql("c.before")}=c.item
            """,
            (row,),
        )

        for name in former_names:
            self._add_hidden(name, row)
        return self._db.fetch_column(
            "SELECT id FROM class WHERE merged_into=? AND id<>merged_into", (row,)
        )

    def find_successor(self, row: int, step: int) -> int | None:
        """Return the class (row) that images labelled with a class before a step belong to.

        It is another class if this one was merged into it since, and None if the name of this one
        was given to another class since.
        """
        change = self._db.fetch_one(
            """
            SELECT c.before, c.after, kind, arguments
            FROM change c
            JOIN step s ON s.id=c.step
            WHERE what='merged' AND item=? AND c.step>?
            ORDER BY c.id DESC
            LIMIT 1
            """,
            (row, step),
        )

        # Before and after are values of `merged_into`: NULL for a class in use, its own row for a
        # hidden one, else the class that it was an alias of.
        if change and change["before"] not in (None, change["after"]):
            operation = Operation(
                change["kind"],
                json.loads(change["arguments"]),
            )
            kind = operation.first().kind
            was_alias = change["before"] != row
            # Another class took the name of a hidden one.
            if kind == "rename-class" and not was_alias:
                return None
            # The alias became a class of its own: older images belong to what it stood for.
            if kind == "new-class" and was_alias and change["after"] is None:
                row = change["before"]

        return (
            self._db.fetch_int(f"SELECT {class_after_merges_sql('id', 'id=?')}", (row,))
            or None
        )

    def _find_same(self, name: str) -> str | None:
        """Return the class in use whose name is the same or differs in case only.

        Two such classes would share a folder on file systems that ignore case.
        """
        folded = name.casefold()
        for other in self.list_by_creation():
            if other.casefold() == folded:
                return other
        return None

    def rename(self, step: int, old: str, new: str) -> None:
        """Rename a class. Raises `UsageError` if it is unknown or another class has the name."""
        row = self.require_id(old)
        same = self._find_same(new)
        # The class, hidden class or alias with the new name.
        owner = self._db.fetch_one(
            "SELECT id, merged_into FROM class WHERE name=?", (new,)
        )
        is_hidden = owner is not None and owner["merged_into"] == owner["id"]
        # An alias of this class, directly or through classes that were merged into it, is free too.
        is_free = owner is None or is_hidden or self.get_or_create_alias(new) == row
        if not is_free or (same and self.require_id(same) != row):
            raise UsageError(
                f"there is a class {same or new!r} already",
                f"merge the two: labeler classes merge {shlex.join([old, same or new])}",
            )

        changes = [Change("name", row, new)]
        if owner:
            # A hidden class or an alias of this one: the old name becomes an alias.
            changes += [
                Change("name", owner["id"], old),
                Change("merged", owner["id"], row),
            ]
            if is_hidden:
                # What belonged to the hidden class does not belong to this one.
                self._db.execute("DELETE FROM proposal WHERE label=?", (owner["id"],))
                changes += [
                    Change("merged", name, name)
                    for name in self._list_other_names(owner["id"])
                ]
        self._changes.apply(step, changes)

    def merge(self, step: int, old: str, into: str) -> None:
        """Record that a class was merged into another. Raises `UsageError`."""
        source = self.require_id(old)
        target = self.require_id(into)
        if source == target:
            raise UsageError(
                f"cannot merge {old!r} into {into!r}",
                "name two classes that exist, as listed by: labeler classes list",
            )
        self._changes.apply(step, [Change("merged", source, target)])

    def hide(self, step: int, name: str) -> None:
        """Hide a class without samples, or an alias. Raises `UsageError` if unknown."""
        row = self.require_id(name)
        self._changes.apply(
            step, [*self._leave_aliases(row), Change("merged", row, row)]
        )

    def hide_corrected(self, step: int) -> None:
        """Hide classes that a mistyped name made, after it was corrected.

        They have no samples since the relabelling `step`, and were made by the only labelling that
        ever used them.
        """
        emptied = self._db.fetch_column(
            """
            SELECT DISTINCT before_label
            FROM decision d
            WHERE step=?
                AND action='label'
                AND before_label>0
                AND NOT EXISTS(SELECT 1 FROM sample WHERE label=before_label)
            """,
            (step,),
        )

        sql = """
            SELECT DISTINCT c.item
            FROM change c
            JOIN step s ON s.id=c.step
            WHERE c.what='merged'
                AND c.after IS NULL
                AND s.kind='label'
                AND NOT EXISTS(
                    SELECT 1
                    FROM decision d
                    WHERE d.value=c.item AND d.step>c.step
                )
                AND c.item IN (:items)
            """
        rows = [row["item"] for row in self._db.iter_rows_in(sql, emptied)]
        self._changes.apply(
            step,
            [Change("merged", row, row) for row in rows],
        )

    def require_id(self, name: str) -> int:
        """Return the row of a class by its current or former name. Raises `UsageError`."""
        row = self.get_id(name)
        if not row:
            raise UsageError(
                f"there is no class {name!r}", "list them: labeler classes list"
            )
        return row


# Characters that some file systems forbid, and Unicode characters that change text direction.
_FORBIDDEN = '/\\:*?"<>|\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'


def normalize_alias(name: str) -> str:
    """Normalize a name to NFC with single spaces. Raises `UsageError`."""
    alias = " ".join(unicodedata.normalize("NFC", name).split())
    categories = set(map(unicodedata.category, alias))
    is_visible = any(category[0] not in "CZ" for category in categories)
    if not is_visible or len(alias) > 100:
        raise UsageError(f"{name!r} is not a class name", "use 1 to 100 characters")
    if categories & {"Cc", "Cs"}:
        raise UsageError(
            f"{name!r} is not a class name", "leave out control characters"
        )
    return alias


def normalize_class_name(name: str) -> str:
    """Normalize a class name. Raises `UsageError` if not a portable folder name."""
    class_name = normalize_alias(name)
    forbidden = [
        letter if letter.isprintable() else f"U+{ord(letter):X}"
        for letter in dict.fromkeys(class_name)
        if letter in _FORBIDDEN
    ]
    if forbidden or class_name.startswith("."):
        characters = " ".join(forbidden) or "the dot at the beginning"
        raise UsageError(
            f"{name!r} is not a class name",
            f"leave out {characters}",
        )
    return class_name


MAX_CLASS_NAMES = 2000


def list_class_names(db: Connection) -> dict[str, str]:
    """Return the class of each name: classes by use, aliases, hints, then queries.

    A hint or query that is not a class means itself. Hidden classes are left out.
    """
    # `place` is the kind of a name: -1 for classes and their aliases, 0 for hints, 1 for queries.
    # `number` is its rank within the kind; at most `MAX_CLASS_NAMES` hints and queries each.
    others = " ".join(
        f"""
        UNION ALL
        SELECT {column}, {column}, {place},
            row_number() OVER (ORDER BY count(*) DESC, {column})
        FROM origin
        WHERE {column}<>''
        GROUP BY {column}
        """
        for place, column in enumerate(("hint", "query"))
    )
    return db.fetch_dict(
        f"""
        WITH names(name, meaning, place, number) AS (
            SELECT c.name, ifnull(i.name, c.name), -1, row_number() OVER (
                    ORDER BY c.merged_into IS NOT NULL,
                        (SELECT count(*) FROM sample s WHERE s.label=c.id) DESC, c.id
                )
            FROM class c
            LEFT JOIN class i ON i.id=c.merged_into
            WHERE c.merged_into IS NOT c.id
            {others}
        )
        SELECT name, meaning
        FROM (
            -- SQLite takes the other columns from the row with the smallest place.
            SELECT name, meaning, min(place) AS place, number
            FROM names
            WHERE place<0 OR number<={MAX_CLASS_NAMES}
            GROUP BY name
        )
        ORDER BY place, number
        """
    )


def list_aliases(
    db: Connection, *, with_former_names: bool = False
) -> dict[str, list[str]]:
    """Return by class the names of classes that were merged into it, or its former names too.

    Hidden classes, which are merged into themselves, are left out.
    """
    # A former name that no class has now, with the class (row) that last had it.
    former_names = f"""
        UNION
        SELECT before, {last_class_with_name_sql("c.before")} AS owner
        FROM change c
        WHERE what='name' AND before NOT IN (SELECT name FROM class) AND owner NOT NULL
        """
    others: dict[str, list[str]] = {}
    for row in db.fetch_all(
        f"""
        SELECT m.name, {class_after_merges_sql("name", "id=m.id")}
        FROM (
            SELECT name, id
            FROM class
            WHERE merged_into<>id {former_names if with_former_names else ""}
        ) m
        ORDER BY m.name
        """
    ):
        others.setdefault(row[1], []).append(row[0])

    return others
