"""Training runs, evaluations on splits, and label issues."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gleanset.db.connection import Row, Table
from gleanset.db.journal import last_decision_sql
from gleanset.db.rows import dump, load, now, record_from_row
from gleanset.records import Run


class Runs(Table):
    """The `run` table."""

    def start(self, run_id: str, room: str, settings: Mapping[str, object]) -> Run:
        """Start a run, or resume an unfinished one with the same settings.

        `room` is the kind of work, such as training or cross-validation.
        """
        text = dump(settings)
        with self._db.transaction():
            unfinished = "settings=? AND status IN ('running','interrupted')"
            run = self._find_newest(room, unfinished, text)
            if run:
                self._db.execute(
                    "UPDATE run SET status='running', ended=NULL WHERE id=?", (run.id,)
                )
                return run

            # Each room has one active run at a time: others marked as running were killed.
            self._db.execute(
                "UPDATE run SET status='given up' WHERE room=? AND status='running'",
                (room,),
            )
            self._db.execute(
                "INSERT INTO run(id,room,settings,started,status) VALUES(?,?,?,?,'running')",
                (run_id, room, text, now()),
            )

        run = self.get(run_id)
        assert run
        return run

    def finish(self, run_id: str, status: str, result: Mapping[str, object]) -> None:
        """Record the status (done, failed, interrupted or deleted) and the result of a run."""
        with self._db.transaction():
            self._db.execute(
                "UPDATE run SET status=?, ended=?, result=? WHERE id=?",
                (status, now(), dump(result), run_id),
            )

    def get(self, run_id: str) -> Run | None:
        """Return the run with this folder name, or None."""
        row = self._db.fetch_one("SELECT * FROM run WHERE id=?", (run_id,))
        return _run_from_row(row) if row else None

    def find_finished(self, room: str, settings: Mapping[str, object]) -> Run | None:
        """Return the newest successful run with these settings, if any."""
        return self._find_newest(room, "settings=? AND status='done'", dump(settings))

    def get_latest(self, room: str) -> Run | None:
        """Return the newest successful run, if any."""
        return self._find_newest(room, "status='done'")

    def _find_newest(self, room: str, condition: str, *values: str) -> Run | None:
        row = self._db.fetch_one(
            f"SELECT * FROM run WHERE room=? AND {condition} ORDER BY rowid DESC",
            (room, *values),
        )
        return _run_from_row(row) if row else None

    def iterate(self) -> Iterator[Run]:
        """Yield all runs in the order of their start, also if the clock was set back."""
        return map(
            _run_from_row, self._db.fetch_all("SELECT * FROM run ORDER BY rowid")
        )


def _run_from_row(row: Row) -> Run:
    return record_from_row(
        Run, row, settings=load(row["settings"]), result=load(row["result"])
    )


class EvaluationCounts(NamedTuple):
    """Evaluations on exactly these samples (`times`, by `runs`) and on others (`otherwise`)."""

    times: int
    otherwise: int
    runs: tuple[str, ...]


class SplitEvaluations(Table):
    """The `split_evaluation` table."""

    def get_for_run(self, run: str, split: str) -> EvaluationCounts | None:
        """Count evaluations on the samples of a run's first evaluation, with this one, if any."""
        data = self._db.fetch_text(
            "SELECT data FROM split_evaluation WHERE run=? AND split=? ORDER BY id LIMIT 1",
            (run, split),
        )
        return self._count_evaluations(split, data) if data else None

    def add(
        self, run: str, split: str, samples: Iterable[str], reason: str
    ) -> EvaluationCounts:
        """Record an evaluation; return counts of earlier ones."""
        data = fingerprint(samples)
        with self._db.transaction():
            # The evaluation of a training (`why` is 'train') is recorded once, even if it is
            # repeated. Others, such as those of `baseline evaluate`, are recorded each time.
            own_row = self._db.fetch_int(
                """
                SELECT id
                FROM split_evaluation
                WHERE run=? AND split=? AND data=? AND why=? AND why='train'
                """,
                (run, split, data, reason),
            )

            counts = self._count_evaluations(split, data, own_row, own=run)
            if not own_row:
                row = {
                    "run": run,
                    "split": split,
                    "data": data,
                    "why": reason,
                    "at": now(),
                }
                self._db.insert("split_evaluation", row)

        return counts

    def _count_evaluations(
        self, split: str, data: str, until: int = 0, own: str = ""
    ) -> EvaluationCounts:
        """Count evaluations on a split: on the samples with the hash `data`, and on others.

        With `until`, only those before that row count. The counts warn of a choice between runs by
        this split, which makes its accuracy too optimistic. So a run's `own` training and
        evaluations do not count, but its search for label issues does.
        """
        rows = self._db.fetch_all(
            """
            SELECT run, data=?4
            FROM split_evaluation
            WHERE split=?1
                AND (?2=0 OR id<?2)
                AND NOT (run=?3 AND why IN ('train', 'evaluate'))
            ORDER BY id
            """,
            (split, until, own, data),
        )

        runs = [run for run, is_same in rows if is_same]
        return EvaluationCounts(
            times=len(runs),
            otherwise=len(rows) - len(runs),
            runs=tuple(dict.fromkeys(runs)),
        )


def fingerprint(samples: Iterable[str]) -> str:
    """Return a hash of a set of samples, independent of order."""
    return hashlib.sha256("\n".join(sorted(set(samples))).encode()).hexdigest()[:16]


class LabelIssue(NamedTuple):
    """Label that the out-of-fold prediction contradicts.

    `margin` is the probability lead of the `suggested` class; `confident` if that class also
    reaches the threshold of confident learning.
    """

    sample: str
    label: str
    suggested: str
    confidence: float
    margin: float
    run: str
    confident: bool = True


class LabelIssues(Table):
    """The `label_issue` table."""

    def replace(self, issues: Sequence[LabelIssue]) -> None:
        """Replace all label issues, skipping unknown samples and classes."""
        with self._db.transaction():
            self._db.execute("DELETE FROM label_issue")
            decision = self._db.fetch_int("SELECT coalesce(max(id), 0) FROM decision")
            # The values are the fields of an issue; g is the given class, w the one suggested.
            self._db.execute_many(
                """
                INSERT INTO label_issue(
                    sample, label, suggested, confidence, margin, run, confident,
                    last_decision
                )
                SELECT s.id, g.id, w.id, ?4, ?5, ?6, ?7, ?8
                FROM sample s, class g, class w
                WHERE s.key=?1 AND g.name=?2 AND w.name=?3
                """,
                [(*issue, decision) for issue in issues],
            )

    def get_many(self, samples: Sequence[str]) -> dict[str, LabelIssue]:
        """Return unreviewed label issues of samples by key."""
        rows = self._db.iter_rows_in(
            f"{_ISSUE} AND s.key IN (:items)",
            samples,
        )
        return {row["key"]: _label_issue_from_row(row) for row in rows}

    def iterate(self) -> Iterator[LabelIssue]:
        """Yield unreviewed label issues by descending margin."""
        return map(
            _label_issue_from_row,
            self._db.fetch_all(f"{_ISSUE} ORDER BY d.margin DESC, d.sample"),
        )


OPEN_LABEL_ISSUES = f"""
    label_issue d
    JOIN sample s ON s.id=d.sample
    JOIN class c ON c.id=s.label
    JOIN class w ON w.id=d.suggested AND w.merged_into IS NOT w.id
    WHERE d.label=s.label
        AND s.kept
        AND s.status='labelled'
        AND (
            NOT EXISTS(
                SELECT 1
                FROM decision e
                WHERE e.sample=d.sample AND e.id>d.last_decision
            )
            OR {last_decision_sql("provenance")}='undo'
        )
    """
"""SQL: unreviewed label issues `d` of samples `s` in class `c`, with the suggested class `w`."""
_ISSUE = f"""
    SELECT s.key, c.name, w.name, d.confidence, d.margin, d.run, d.confident
    FROM {OPEN_LABEL_ISSUES}
    """


def _label_issue_from_row(row: Row) -> LabelIssue:
    issue = LabelIssue(*row)
    return issue._replace(confident=bool(issue.confident))
