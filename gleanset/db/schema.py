"""Schema of the catalogue, with the meaning of each table and column.

Terms are defined in docs/glossary.md. Times are ISO 8601 in UTC; 64-bit hashes are stored as
signed integers; a box is x, y, w, h in pixels of the upright image, and `angle` its rotation about
the center in degrees. To change a table, change `TABLES` for new catalogues and append a migration
to `SCHEMA` for existing ones.
"""

from __future__ import annotations

from typing import NamedTuple

TABLES = """
-- What was gathered.

CREATE TABLE image(  -- an original file, stored once
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 TEXT NOT NULL UNIQUE,  -- of its bytes: its name in the store
    format TEXT NOT NULL,  -- as Pillow calls it
    bytes INTEGER NOT NULL,
    width INTEGER NOT NULL,  -- upright
    height INTEGER NOT NULL,
    frames INTEGER NOT NULL,  -- of an animation; 1 for a still
    orientation INTEGER NOT NULL,  -- what EXIF says, which is applied to all pixels we speak of
    phash INTEGER NOT NULL,  -- perceptual hash
    sharpness REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'ok');  -- or 'missing' once its file was found gone

CREATE TABLE origin(  -- a place where an image was found
    id INTEGER PRIMARY KEY,
    image INTEGER NOT NULL REFERENCES image(id),
    source TEXT NOT NULL,
    key TEXT NOT NULL,  -- the id there
    url TEXT, page_url TEXT, path TEXT,
    video TEXT, time REAL, frame INTEGER, scene INTEGER,  -- SHA-256 of the video, seconds, numbers
    post TEXT,  -- or the group of files that a person says belong together
    query TEXT,
    hint TEXT,  -- the class that a query or folder suggests
    author TEXT, licence TEXT, title TEXT,
    tags TEXT NOT NULL DEFAULT '[]',  -- JSON list
    rating TEXT,
    ai INTEGER,  -- whether a model drew it, as the source says; NULL where it does not say
    original_path TEXT);  -- below the folder that was named, or inside its archive
CREATE UNIQUE INDEX origin_once ON origin(image, source, key, ifnull(query,''), ifnull(hint,''));
CREATE INDEX origin_source ON origin(source, image);
CREATE INDEX origin_key ON origin(source, key);
CREATE INDEX origin_video ON origin(video, image) WHERE video IS NOT NULL;
CREATE INDEX origin_licence ON origin(licence, image) WHERE licence IS NOT NULL;
CREATE INDEX origin_hint ON origin(hint, image) WHERE hint IS NOT NULL;

CREATE TABLE video(  -- a video with one way of sampling it
    id INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL, name TEXT NOT NULL,
    settings TEXT NOT NULL,  -- of the sampling
    duration REAL,  -- seconds
    frames INTEGER NOT NULL,  -- that it gave so far
    url TEXT,
    state TEXT,  -- JSON: what a sampling that was stopped goes on from
    done INTEGER NOT NULL DEFAULT 1,
    UNIQUE(sha256, settings));
CREATE INDEX video_url ON video(url) WHERE url IS NOT NULL;

CREATE TABLE fetch(  -- what was asked for already, and how that ended
    source TEXT NOT NULL, key TEXT NOT NULL,
    stamp TEXT NOT NULL DEFAULT '',  -- tells a changed file at a known place
    url TEXT, query TEXT,
    state TEXT NOT NULL,  -- done, rejected, failed (worth another try) or unsettled (not its fault)
    attempts INTEGER NOT NULL DEFAULT 1,
    image INTEGER REFERENCES image(id),
    candidate TEXT,  -- JSON: as its source described it, to try it again
    PRIMARY KEY(source, key)) WITHOUT ROWID;

CREATE TABLE rejection(  -- an item that a stage could not use, and why
    stage TEXT NOT NULL, what TEXT NOT NULL,
    source TEXT NOT NULL DEFAULT '',  -- two sources may offer the same address
    reason TEXT NOT NULL, detail TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY(stage, what, source)) WITHOUT ROWID;

CREATE TABLE tombstone(  -- an image that was taken down, and never comes back
    sha256 TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;

-- Faces and samples.

CREATE TABLE scan(  -- a search of an image for faces
    image INTEGER NOT NULL REFERENCES image(id),
    detector TEXT NOT NULL, settings TEXT NOT NULL,
    at TEXT NOT NULL,
    cut TEXT NOT NULL DEFAULT '',  -- how its faces were cut; empty: to be cut again
    PRIMARY KEY(image, detector)) WITHOUT ROWID;

CREATE TABLE face(  -- a box that a detector found, or a person drew
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image INTEGER NOT NULL REFERENCES image(id),
    detector TEXT NOT NULL,
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    score REAL NOT NULL,
    landmarks TEXT NOT NULL DEFAULT '[]',  -- JSON: name, x, y of each
    evidence TEXT,  -- JSON: what else the detector said, such as colours
    gone INTEGER NOT NULL DEFAULT 0);  -- not found any more, kept for the decision on its sample
CREATE INDEX face_image ON face(image, detector);

CREATE TABLE class(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    show TEXT,
    merged_into INTEGER REFERENCES class(id));  -- itself: hidden, for nothing made it

CREATE TABLE sample(  -- what gets a label: the crop of a face, or a whole image
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,  -- a hash of its image and face box
    image INTEGER NOT NULL REFERENCES image(id),
    face INTEGER REFERENCES face(id) ON DELETE SET NULL,
    detector TEXT NOT NULL, score REAL,
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,  -- as it is cut
    phash INTEGER NOT NULL, sharpness REAL NOT NULL,
    label INTEGER REFERENCES class(id),
    status TEXT NOT NULL DEFAULT 'queue',  -- labelled, rejected, or retired (found no more)
    kept INTEGER NOT NULL DEFAULT 1,  -- 0: a duplicate
    duplicate_set TEXT,
    split_group TEXT, split TEXT,  -- by the split plan in force
    angle REAL NOT NULL DEFAULT 0,
    size INTEGER GENERATED ALWAYS AS (min(w, h)) VIRTUAL,
    fold INTEGER,  -- of a k-fold split, from 1 on
    track TEXT);  -- of a face that was followed: all samples of it are of one person
CREATE INDEX sample_image ON sample(image);
CREATE INDEX sample_face ON sample(face);
CREATE INDEX sample_label ON sample(label, image);
CREATE INDEX sample_status ON sample(status, image);
CREATE INDEX sample_split ON sample(split, image);
CREATE INDEX sample_score ON sample(score, image);
CREATE INDEX sample_duplicate_set ON sample(duplicate_set) WHERE duplicate_set IS NOT NULL;
CREATE INDEX sample_sharpness ON sample(sharpness, image);
CREATE INDEX sample_size ON sample(size, image);
CREATE INDEX sample_kept ON sample(kept, image) WHERE NOT kept;
CREATE INDEX sample_track ON sample(track) WHERE track IS NOT NULL;

CREATE TABLE track(  -- a face that was followed through a scene of a video
    name TEXT PRIMARY KEY,
    video TEXT NOT NULL, scene INTEGER NOT NULL,
    begun REAL NOT NULL, ended REAL NOT NULL,  -- seconds, from its first frame to its last one
    frames INTEGER NOT NULL) WITHOUT ROWID;  -- that it was seen in, of those that were searched

-- The journal: steps, and the four kinds of things that they did. No row is ever rewritten.

CREATE TABLE step(  -- what was decided at once
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL, who TEXT NOT NULL,
    undoes INTEGER UNIQUE REFERENCES step(id),
    kind TEXT, arguments TEXT,  -- the operation; its arguments as JSON
    merged INTEGER NOT NULL DEFAULT 0);  -- of another dataset: not ours to undo

CREATE TABLE decision(  -- gave a sample a label, rejected it, or took that back
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    step INTEGER NOT NULL REFERENCES step(id),
    sample INTEGER NOT NULL REFERENCES sample(id),
    action TEXT NOT NULL,  -- label, reject, clear, add or remove
    value INTEGER REFERENCES class(id),
    before_status TEXT NOT NULL, before_label INTEGER REFERENCES class(id),
    provenance TEXT NOT NULL);  -- who says so: a person, a hint, a model, an import, ...
CREATE INDEX decision_step ON decision(step);
CREATE INDEX decision_sample ON decision(sample);

CREATE TABLE change(  -- changed something else of a sample, class, plan or request
    id INTEGER PRIMARY KEY,
    step INTEGER NOT NULL REFERENCES step(id),
    what TEXT NOT NULL,  -- a column, as classes.py names them
    item INTEGER NOT NULL,  -- the row
    before, after);
CREATE INDEX change_step ON change(step);
CREATE INDEX change_name ON change(before) WHERE what='name';

CREATE TABLE placement(  -- kept a sample or set it aside as a copy, in a duplicate group
    id INTEGER PRIMARY KEY,
    step INTEGER NOT NULL REFERENCES step(id),
    sample INTEGER NOT NULL REFERENCES sample(id),
    kept INTEGER NOT NULL, duplicate_set TEXT,
    before_kept INTEGER NOT NULL, before_duplicate_set TEXT,
    reason TEXT NOT NULL);
CREATE INDEX placement_step ON placement(step);
CREATE INDEX placement_sample ON placement(sample);

CREATE TABLE verdict(  -- said whether two samples are the same
    id INTEGER PRIMARY KEY,
    step INTEGER NOT NULL REFERENCES step(id),
    a INTEGER NOT NULL REFERENCES sample(id), b INTEGER NOT NULL REFERENCES sample(id),
    verdict TEXT, before_verdict TEXT);
CREATE INDEX verdict_step ON verdict(step);
CREATE INDEX verdict_a ON verdict(a);
CREATE INDEX verdict_b ON verdict(b);

-- What people say of samples besides labels.

CREATE TABLE sorting_note(
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    mark TEXT,  -- other (a face, but of no class) or later (put off)
    refused TEXT,  -- classes (rows, with commas) that it is not
    bond INTEGER,  -- of earlier versions: samples with one number are of one person
    apart TEXT);  -- of earlier versions: samples (rows, with commas) that are of another person
CREATE INDEX sorting_note_mark ON sorting_note(mark, sample) WHERE mark IS NOT NULL;
CREATE INDEX sorting_note_bond ON sorting_note(sample)
    WHERE bond IS NOT NULL OR apart IS NOT NULL;

-- Copies.

CREATE TABLE sample_hash(  -- what samples are compared by, made of a region of the image
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    version INTEGER NOT NULL,  -- of the code that made it
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    angle REAL NOT NULL,
    plain INTEGER NOT NULL, flipped INTEGER NOT NULL,  -- perceptual hashes, of the mirror image too
    filled REAL NOT NULL,  -- the part of it that is no uniform border, 0..1
    points BLOB NOT NULL, shapes BLOB NOT NULL,  -- 8 and 3 bytes for each distinct place
    searched INTEGER NOT NULL DEFAULT 0);  -- whether all pairs with it are known
CREATE INDEX sample_hash_searched ON sample_hash(searched, sample);

CREATE TABLE pair(  -- two samples that may be copies, and what is known of that, for ever
    a INTEGER NOT NULL REFERENCES sample(id), b INTEGER NOT NULL REFERENCES sample(id),
    kind TEXT NOT NULL,  -- pixels, detail, or person, whose word counts more
    distance REAL,  -- how much differs once one lies over the other
    -- same, not, doubtful; open or tied while nobody has looked; of details first, second, even
    verdict TEXT NOT NULL,
    step INTEGER REFERENCES step(id),
    overlap REAL,  -- what part of the larger picture both show, 0..1
    relation INTEGER,  -- how they differ, the bits of `Relation`
    PRIMARY KEY(a, b, kind), CHECK(a < b)) WITHOUT ROWID;
CREATE INDEX pair_b ON pair(b);
CREATE INDEX pair_verdict ON pair(verdict, a);

-- Quality, and label issues.

CREATE TABLE quality(  -- what the pixels of a region say of a sample
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    version INTEGER NOT NULL,  -- of the code that measured
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    angle REAL NOT NULL,
    blur REAL NOT NULL, darkest REAL NOT NULL, lightest REAL NOT NULL,
    photo REAL NOT NULL,
    traits BLOB NOT NULL);  -- the descriptor
CREATE INDEX quality_blur ON quality(blur, sample);

CREATE TABLE label_issue(  -- a label that is probably wrong, by the latest search
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    label INTEGER NOT NULL REFERENCES class(id), suggested INTEGER NOT NULL REFERENCES class(id),
    confidence REAL NOT NULL, margin REAL NOT NULL,
    run TEXT NOT NULL,
    last_decision INTEGER NOT NULL);  -- at the time of the search; later ones settle the issue
CREATE INDEX label_issue_margin ON label_issue(margin, sample);

-- The latest prelabeling.

CREATE TABLE prelabeling(
    id INTEGER PRIMARY KEY, at TEXT NOT NULL,
    facts TEXT NOT NULL);  -- JSON: its figures

CREATE TABLE prelabelled(  -- a sample in it
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    position INTEGER NOT NULL,  -- in an order with similar samples adjacent
    cluster INTEGER,
    outlier REAL);  -- from 0, typical of the cluster or class, to 1
CREATE INDEX prelabelled_position ON prelabelled(position, sample);

CREATE TABLE proposal(
    sample INTEGER NOT NULL REFERENCES sample(id),
    rank INTEGER NOT NULL,  -- from 1, the surest first
    label INTEGER NOT NULL REFERENCES class(id),
    confidence REAL NOT NULL,
    PRIMARY KEY(sample, rank)) WITHOUT ROWID;
CREATE INDEX proposal_label ON proposal(label, confidence) WHERE rank=1;

-- Splits and trainings.

CREATE TABLE split_plan(  -- the newest is in force
    id INTEGER PRIMARY KEY, settings TEXT NOT NULL, at TEXT NOT NULL);

CREATE TABLE balance_plan(  -- the same
    id INTEGER PRIMARY KEY, settings TEXT NOT NULL, at TEXT NOT NULL);

CREATE TABLE balance(  -- what a sample of train counts for, where that is not once
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    copies INTEGER NOT NULL,  -- 0 leaves it out
    weight REAL NOT NULL);

CREATE TABLE run(  -- a training
    id TEXT PRIMARY KEY,  -- its folder
    room TEXT NOT NULL,
    settings TEXT NOT NULL,  -- JSON
    started TEXT NOT NULL, ended TEXT,
    status TEXT NOT NULL,  -- running, interrupted, done, failed or given up
    result TEXT NOT NULL DEFAULT '{}');  -- JSON

CREATE TABLE split_evaluation(  -- a time that a run was judged on a split
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL, split TEXT NOT NULL,
    data TEXT NOT NULL,  -- a hash of the samples that were in it
    why TEXT NOT NULL, at TEXT NOT NULL);
CREATE INDEX split_evaluation_split ON split_evaluation(split, data);

-- What visitors of the page send. `status` is pending, accepted or refused, by a step.

CREATE TABLE report(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT 'wrong answer',  -- who is in a box of the image; or 'removal' of it
    sha256 TEXT NOT NULL, format TEXT NOT NULL,  -- the picture lies in web/reports/
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    claimed TEXT NOT NULL,  -- the class; empty for a removal
    run TEXT NOT NULL, answer TEXT, confidence REAL,  -- which run answered what
    note TEXT NOT NULL DEFAULT '',
    phash INTEGER,  -- perceptual hash of an image to be removed
    status TEXT NOT NULL DEFAULT 'pending');
CREATE UNIQUE INDEX report_once ON report(sha256, x, y, w, h, claimed) WHERE kind='wrong answer';
CREATE INDEX report_sha256 ON report(sha256);
CREATE INDEX report_status ON report(status, id);

CREATE TABLE snapshot(  -- what this copy of the catalogue is; empty in the catalogue itself
    at TEXT NOT NULL, who TEXT NOT NULL, note TEXT NOT NULL,
    counts TEXT NOT NULL);  -- JSON
"""
_PLAIN_NAMES = """
ALTER TABLE look RENAME TO sample_hash;
DROP INDEX look_searched;
CREATE INDEX sample_hash_searched ON sample_hash(searched, sample);
ALTER TABLE mark RENAME TO sorting_note;
DROP INDEX mark_mark;
DROP INDEX mark_bond;
CREATE INDEX sorting_note_mark ON sorting_note(mark, sample) WHERE mark IS NOT NULL;
CREATE INDEX sorting_note_bond ON sorting_note(sample)
    WHERE bond IS NOT NULL OR apart IS NOT NULL;
ALTER TABLE standing RENAME TO presorted;
DROP INDEX standing_place;
CREATE INDEX presorted_place ON presorted(place, sample);
ALTER TABLE peek RENAME TO split_evaluation;
DROP INDEX peek_split;
CREATE INDEX split_evaluation_split ON split_evaluation(split, data);
ALTER TABLE aside RENAME TO placement;
DROP INDEX aside_step;
DROP INDEX aside_sample;
CREATE INDEX placement_step ON placement(step);
CREATE INDEX placement_sample ON placement(sample);
ALTER TABLE snapped RENAME TO snapshot_sample;
UPDATE step SET kind='named', arguments=json_object('name', name) WHERE kind IS NULL;
ALTER TABLE step DROP COLUMN name;
ALTER TABLE class DROP COLUMN aliases;
"""
_TRACKS = """
ALTER TABLE sample ADD COLUMN track TEXT;
CREATE INDEX sample_track ON sample(track) WHERE track IS NOT NULL;
CREATE TABLE track(name TEXT PRIMARY KEY, video TEXT NOT NULL, scene INTEGER NOT NULL,
    begun REAL NOT NULL, ended REAL NOT NULL, frames INTEGER NOT NULL) WITHOUT ROWID;
"""
_PRESORTS = """
ALTER TABLE presort DROP COLUMN run;
ALTER TABLE presorted RENAME TO presorted_before;
DROP INDEX presorted_place;
CREATE TABLE presorted(sample INTEGER PRIMARY KEY REFERENCES sample(id), place INTEGER NOT NULL,
    cluster INTEGER, outlier REAL);
INSERT INTO presorted SELECT sample, place, cluster, outlier FROM presorted_before;
DROP TABLE presorted_before;
CREATE INDEX presorted_place ON presorted(place, sample);
"""
_RELATIONS = """
ALTER TABLE pair ADD COLUMN relation INTEGER;
"""
_SNAPSHOT_FILES = """
DROP TABLE snapshot_sample;
DROP TABLE snapshot;
CREATE TABLE snapshot(
    at TEXT NOT NULL, who TEXT NOT NULL, note TEXT NOT NULL, counts TEXT NOT NULL);
ALTER TABLE run DROP COLUMN snapshot;
"""
_REMOVAL_REPORTS = """
ALTER TABLE report RENAME TO report_before;
DROP INDEX report_status;
CREATE TABLE report(id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT 'wrong answer', sha256 TEXT NOT NULL, format TEXT NOT NULL,
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    claimed TEXT NOT NULL, run TEXT NOT NULL, answer TEXT, confidence REAL,
    note TEXT NOT NULL DEFAULT '', phash INTEGER, status TEXT NOT NULL DEFAULT 'pending');
INSERT INTO report
    SELECT id, at, 'wrong answer', sha256, format, x, y, w, h, claimed, run, answer, confidence,
        note, NULL, status FROM report_before;
UPDATE change SET what='report',
    item=item+(SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name='report_before')
    WHERE what='takedown';
INSERT INTO report
    SELECT id+(SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name='report_before'),
        at, 'removal', sha256, 'JPEG', 0, 0, 0, 0, '', '', NULL, NULL,
        trim(words||char(10)||reason||char(10)||page||char(10)||contact, char(10)), phash, status
    FROM takedown;
DELETE FROM sqlite_sequence WHERE name='report';
INSERT INTO sqlite_sequence(name, seq)
    SELECT 'report', ifnull(sum(seq), 0) FROM sqlite_sequence
    WHERE name IN ('report_before', 'takedown');
DROP TABLE report_before;
DROP TABLE takedown;
CREATE UNIQUE INDEX report_once ON report(sha256, x, y, w, h, claimed) WHERE kind='wrong answer';
CREATE INDEX report_sha256 ON report(sha256);
CREATE INDEX report_status ON report(status, id);
"""
_FEWER_FLAGS = """
DROP INDEX IF EXISTS quality_text;
DROP INDEX IF EXISTS quality_photo;
ALTER TABLE quality DROP COLUMN text;
"""
_NO_CHECKS = """
DROP TABLE checked;
DROP TABLE effort;
"""
_NO_OUTLIERS = """
DROP INDEX quality_outlier;
ALTER TABLE quality DROP COLUMN outlier;
ALTER TABLE quality DROP COLUMN label;
"""


_PLAIN_COLUMNS = """
ALTER TABLE sample RENAME COLUMN grp TO duplicate_set;
DROP INDEX sample_group;
CREATE INDEX sample_duplicate_set ON sample(duplicate_set) WHERE duplicate_set IS NOT NULL;
ALTER TABLE sample RENAME COLUMN moment TO split_group;
ALTER TABLE placement RENAME COLUMN grp TO duplicate_set;
ALTER TABLE placement RENAME COLUMN before_grp TO before_duplicate_set;
UPDATE change SET what='split_group' WHERE what='moment';
ALTER TABLE doubt RENAME TO label_issue;
DROP INDEX doubt_margin;
ALTER TABLE label_issue RENAME COLUMN given TO label;
ALTER TABLE label_issue RENAME COLUMN seen TO last_decision;
CREATE INDEX label_issue_margin ON label_issue(margin, sample);
UPDATE split_evaluation SET why='label-issues' WHERE why='doubts';
ALTER TABLE presort RENAME TO prelabeling;
ALTER TABLE presorted RENAME TO prelabelled;
DROP INDEX presorted_place;
ALTER TABLE prelabelled RENAME COLUMN place TO position;
CREATE INDEX prelabelled_position ON prelabelled(position, sample);
UPDATE rejection SET stage='prelabel' WHERE stage='presort';
"""


class CatalogueSchema(NamedTuple):
    """SQL of a new catalogue (`tables`), and migrations (`steps`) for those since `oldest`."""

    tables: str
    oldest: str
    steps: tuple[tuple[str, str], ...] = ()

    @property
    def newest(self) -> str:
        """Name of the last migration; new catalogues already include it."""
        return self.steps[-1][0] if self.steps else self.oldest


SCHEMA = CatalogueSchema(
    TABLES,
    "0021-original-paths",
    (
        ("0022-plain-names", _PLAIN_NAMES),
        ("0023-tracks", _TRACKS),
        ("0024-presorts", _PRESORTS),
        ("0025-relations", _RELATIONS),
        ("0026-fewer-flags", _FEWER_FLAGS),
        ("0027-snapshot-files", _SNAPSHOT_FILES),
        ("0028-no-checks", _NO_CHECKS),
        ("0029-removal-reports", _REMOVAL_REPORTS),
        ("0030-no-outliers", _NO_OUTLIERS),
        ("0031-plain-columns", _PLAIN_COLUMNS),
    ),
)
OLDEST_COMMIT = "49a8f26"
"""Last development version that upgrades older catalogues to `oldest`."""
