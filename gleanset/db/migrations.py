"""The schema, as named migrations that are only ever appended to.

An older catalogue is copied aside and brought up to date when it is opened; one that
knows migrations we do not was written by a newer Gleanset and is refused. A new one begins
with what they all come to (`schema.py`).
"""

from __future__ import annotations

from gleanset.db.numbers_once import NUMBERS_ONCE

FIRST = """
CREATE TABLE image(
    id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, format TEXT NOT NULL,
    bytes INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    frames INTEGER NOT NULL, orientation INTEGER NOT NULL, phash INTEGER NOT NULL,
    sharpness REAL NOT NULL, state TEXT NOT NULL DEFAULT 'ok');
CREATE TABLE origin(
    id INTEGER PRIMARY KEY, image INTEGER NOT NULL REFERENCES image(id),
    source TEXT NOT NULL, key TEXT NOT NULL, url TEXT, page_url TEXT, path TEXT,
    video TEXT, time REAL, frame INTEGER, scene INTEGER, post TEXT, query TEXT, hint TEXT,
    author TEXT, licence TEXT, title TEXT, tags TEXT NOT NULL DEFAULT '[]', rating TEXT,
    ai INTEGER);
CREATE UNIQUE INDEX origin_once
    ON origin(image, source, key, ifnull(query,''), ifnull(hint,''));
CREATE INDEX origin_source ON origin(source, image);
CREATE INDEX origin_key ON origin(source, key);
CREATE INDEX origin_video ON origin(video, image) WHERE video IS NOT NULL;
CREATE INDEX origin_licence ON origin(licence, image) WHERE licence IS NOT NULL;
CREATE INDEX origin_hint ON origin(hint, image) WHERE hint IS NOT NULL;
CREATE TABLE video(
    id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, name TEXT NOT NULL,
    settings TEXT NOT NULL, duration REAL, frames INTEGER NOT NULL,
    UNIQUE(sha256, settings));
CREATE TABLE fetch(
    source TEXT NOT NULL, key TEXT NOT NULL, stamp TEXT NOT NULL DEFAULT '',
    url TEXT, query TEXT, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 1,
    image INTEGER REFERENCES image(id), candidate TEXT,
    PRIMARY KEY(source, key)) WITHOUT ROWID;
CREATE TABLE rejection(
    stage TEXT NOT NULL, what TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
    at TEXT NOT NULL, PRIMARY KEY(stage, what)) WITHOUT ROWID;
CREATE TABLE scan(
    image INTEGER NOT NULL REFERENCES image(id), detector TEXT NOT NULL,
    settings TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY(image, detector)) WITHOUT ROWID;
CREATE TABLE face(
    id INTEGER PRIMARY KEY, image INTEGER NOT NULL REFERENCES image(id),
    detector TEXT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL,
    w INTEGER NOT NULL, h INTEGER NOT NULL, score REAL NOT NULL,
    landmarks TEXT NOT NULL DEFAULT '[]');
CREATE INDEX face_image ON face(image, detector);
CREATE TABLE class(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, show TEXT, aliases TEXT,
    merged_into INTEGER REFERENCES class(id));
CREATE TABLE sample(
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,
    image INTEGER NOT NULL REFERENCES image(id),
    face INTEGER REFERENCES face(id) ON DELETE SET NULL,
    detector TEXT NOT NULL, score REAL, x INTEGER NOT NULL, y INTEGER NOT NULL,
    w INTEGER NOT NULL, h INTEGER NOT NULL, phash INTEGER NOT NULL,
    sharpness REAL NOT NULL, label INTEGER REFERENCES class(id),
    status TEXT NOT NULL DEFAULT 'queue', kept INTEGER NOT NULL DEFAULT 1,
    grp TEXT, moment TEXT, split TEXT);
CREATE INDEX sample_image ON sample(image);
CREATE INDEX sample_face ON sample(face);
CREATE INDEX sample_label ON sample(label, image);
CREATE INDEX sample_status ON sample(status, image);
CREATE INDEX sample_split ON sample(split, image);
CREATE INDEX sample_score ON sample(score, image);
CREATE INDEX sample_group ON sample(grp) WHERE grp IS NOT NULL;
CREATE TABLE step(
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, who TEXT NOT NULL, name TEXT NOT NULL,
    undoes INTEGER UNIQUE REFERENCES step(id));
CREATE TABLE decision(
    id INTEGER PRIMARY KEY, step INTEGER NOT NULL REFERENCES step(id),
    sample INTEGER NOT NULL REFERENCES sample(id), action TEXT NOT NULL,
    value INTEGER REFERENCES class(id), before_status TEXT NOT NULL,
    before_label INTEGER REFERENCES class(id), provenance TEXT NOT NULL);
CREATE INDEX decision_step ON decision(step);
CREATE INDEX decision_sample ON decision(sample);
CREATE TABLE split_plan(
    id INTEGER PRIMARY KEY, settings TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE run(
    id TEXT PRIMARY KEY, room TEXT NOT NULL, settings TEXT NOT NULL,
    started TEXT NOT NULL, ended TEXT, status TEXT NOT NULL,
    result TEXT NOT NULL DEFAULT '{}');
CREATE TABLE tombstone(sha256 TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;
"""

# `video.state` is what a sampling that was stopped goes on from, or what the next one may ask.
FRAMES = """
ALTER TABLE video ADD COLUMN url TEXT;
ALTER TABLE video ADD COLUMN state TEXT;
ALTER TABLE video ADD COLUMN done INTEGER NOT NULL DEFAULT 1;
CREATE INDEX video_url ON video(url) WHERE url IS NOT NULL;
"""

# `scan.cut` is how the faces were cut, which was a part of `settings`; empty: cut again.
# A face that is `gone` is not found any more and kept for the decision on its sample.
FACES = """
ALTER TABLE face ADD COLUMN evidence TEXT;
ALTER TABLE face ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE scan ADD COLUMN cut TEXT NOT NULL DEFAULT '';
UPDATE scan SET cut=substr(settings, instr(settings, 'margin=')),
    settings=rtrim(substr(settings, 1, instr(settings, 'margin=') - 1))
    WHERE instr(settings, 'margin=');
ALTER TABLE sample ADD COLUMN angle REAL NOT NULL DEFAULT 0;
ALTER TABLE sample ADD COLUMN size INTEGER GENERATED ALWAYS AS (min(w, h)) VIRTUAL;
CREATE INDEX sample_sharpness ON sample(sharpness, image);
CREATE INDEX sample_size ON sample(size, image);
"""

# `look` is what the search for duplicates compares, made of the region (x, y, w, h, angle).
# `pair` keeps what was found of two samples for ever: 'open' until somebody has looked, then
# 'same', 'not' or 'doubtful'; a person's word stands above what the pixels say. `aside` and
# `verdict` are the journal of what curation did, as `decision` is of labels.
CURATION = """
CREATE TABLE look(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), version INTEGER NOT NULL,
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    angle REAL NOT NULL, plain INTEGER NOT NULL, flipped INTEGER NOT NULL,
    filled REAL NOT NULL, points BLOB NOT NULL,
    shapes BLOB NOT NULL, searched INTEGER NOT NULL DEFAULT 0);
CREATE INDEX look_searched ON look(searched, sample);
CREATE TABLE pair(
    a INTEGER NOT NULL REFERENCES sample(id), b INTEGER NOT NULL REFERENCES sample(id),
    kind TEXT NOT NULL, distance REAL, verdict TEXT NOT NULL, step INTEGER REFERENCES step(id),
    PRIMARY KEY(a, b, kind), CHECK(a < b)) WITHOUT ROWID;
CREATE INDEX pair_b ON pair(b);
CREATE INDEX pair_verdict ON pair(verdict, a);
CREATE TABLE aside(
    id INTEGER PRIMARY KEY, step INTEGER NOT NULL REFERENCES step(id),
    sample INTEGER NOT NULL REFERENCES sample(id), kept INTEGER NOT NULL, grp TEXT,
    before_kept INTEGER NOT NULL, before_grp TEXT, reason TEXT NOT NULL);
CREATE INDEX aside_step ON aside(step);
CREATE INDEX aside_sample ON aside(sample);
CREATE TABLE verdict(
    id INTEGER PRIMARY KEY, step INTEGER NOT NULL REFERENCES step(id),
    a INTEGER NOT NULL REFERENCES sample(id), b INTEGER NOT NULL REFERENCES sample(id),
    verdict TEXT, before_verdict TEXT);
CREATE INDEX verdict_step ON verdict(step);
CREATE INDEX verdict_a ON verdict(a);
CREATE INDEX verdict_b ON verdict(b);
CREATE INDEX sample_kept ON sample(kept, image) WHERE NOT kept;
"""

# How often a sample of train counts: 0 leaves it out, 2 and more are copies.
BALANCE = """
CREATE TABLE balance(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), copies INTEGER NOT NULL,
    weight REAL NOT NULL);
CREATE TABLE balance_plan(id INTEGER PRIMARY KEY, settings TEXT NOT NULL, at TEXT NOT NULL);
"""

# Which part of a k-fold split a sample is in, from 1 on.
SPLITS = """
ALTER TABLE sample ADD COLUMN fold INTEGER;
"""

# What the pixels of a region say of a sample's quality, and how far it is from its class, which
# was `label` then. The indices are what a window sorts by.
QUALITY = """
CREATE TABLE quality(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), version INTEGER NOT NULL,
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    angle REAL NOT NULL, blur REAL NOT NULL, darkest REAL NOT NULL, lightest REAL NOT NULL,
    text REAL NOT NULL, photo REAL NOT NULL, traits BLOB NOT NULL, outlier REAL, label INTEGER);
CREATE INDEX quality_blur ON quality(blur, sample);
CREATE INDEX quality_text ON quality(text, sample);
CREATE INDEX quality_photo ON quality(photo, sample);
CREATE INDEX quality_outlier ON quality(outlier, sample) WHERE outlier IS NOT NULL;
"""

# What part of the larger picture two copies both show, 0..1.
OVERLAP = """
ALTER TABLE pair ADD COLUMN overlap REAL;
"""

# What the newest presort says of the samples. `place` puts look-alikes side by side.
PRESORT = """
CREATE TABLE presort(id INTEGER PRIMARY KEY, at TEXT NOT NULL, run TEXT, facts TEXT NOT NULL);
CREATE TABLE standing(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), place INTEGER NOT NULL,
    cluster INTEGER, outlier REAL, ask INTEGER);
CREATE INDEX standing_place ON standing(place, sample);
CREATE TABLE proposal(
    sample INTEGER NOT NULL REFERENCES sample(id), rank INTEGER NOT NULL,
    label INTEGER NOT NULL REFERENCES class(id), confidence REAL NOT NULL,
    PRIMARY KEY(sample, rank)) WITHOUT ROWID;
CREATE INDEX proposal_label ON proposal(label, confidence) WHERE rank=1;
"""

# What sorting knows of samples besides labels (`mark` is 'other' or 'later', `refused` the classes
# that a person said it is not), and `change`, the journal of that and of classes' names: a class
# that was merged into itself is hidden. `checked` are blind second looks at what was filed with a
# page, `effort` the gestures and seconds that people spent.
SORTING = """
CREATE TABLE mark(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), mark TEXT, refused TEXT);
CREATE INDEX mark_mark ON mark(mark, sample) WHERE mark IS NOT NULL;
CREATE TABLE change(
    id INTEGER PRIMARY KEY, step INTEGER NOT NULL REFERENCES step(id), what TEXT NOT NULL,
    item INTEGER NOT NULL, before, after);
CREATE INDEX change_step ON change(step);
CREATE INDEX change_name ON change(before) WHERE what='name';
CREATE TABLE checked(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), label INTEGER NOT NULL REFERENCES class(id),
    held INTEGER NOT NULL, at TEXT NOT NULL);
CREATE TABLE effort(
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, gestures INTEGER NOT NULL, seconds REAL NOT NULL);
"""

# Labels that are likely wrong, as the newest search said: `given` was the label then and `seen` the
# last decision, so that a doubt counts only until somebody has looked. `peek` are the times that
# a run was judged on a split; `data` tells which samples were in it.
DOUBTS = """
CREATE TABLE doubt(
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    given INTEGER NOT NULL REFERENCES class(id), suggested INTEGER NOT NULL REFERENCES class(id),
    confidence REAL NOT NULL, margin REAL NOT NULL, run TEXT NOT NULL, seen INTEGER NOT NULL);
CREATE INDEX doubt_margin ON doubt(margin, sample);
CREATE TABLE peek(
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, split TEXT NOT NULL, data TEXT NOT NULL,
    why TEXT NOT NULL, at TEXT NOT NULL);
CREATE INDEX peek_split ON peek(split, data);
"""

# Pictures that pixels called the same before there was a close look are looked at once more.
# What a person said stays.
LOOK_AGAIN = """
UPDATE pair SET verdict='open' WHERE kind='pixels' AND verdict='same' AND NOT EXISTS(
    SELECT 1 FROM pair q WHERE q.a=pair.a AND q.b=pair.b AND q.kind='person');
"""

# What a step did as a kind and JSON arguments. Rows from before have their `name` alone, an English
# sentence, and in later ones it is empty.
OPERATIONS = """
ALTER TABLE step ADD COLUMN kind TEXT;
ALTER TABLE step ADD COLUMN arguments TEXT;
"""

# A place is refused by its source: two sources may offer the same address. Rows from before are
# those of every source whose fetch of it failed; a failure that the success of another source
# had wiped out is told again, or `harvest retry` would not see it.
REJECTED_BY_SOURCE = """
CREATE TABLE new_rejection(
    stage TEXT NOT NULL, what TEXT NOT NULL, source TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL, detail TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY(stage, what, source)) WITHOUT ROWID;
CREATE TEMP TABLE refused AS SELECT f.source, f.key, f.candidate, 'harvest-' || CASE f.source
    WHEN 'urls' THEN 'urls' WHEN 'folder' THEN 'folder' WHEN 'archive' THEN 'archive'
    WHEN 'video' THEN 'frames' ELSE 'keyword' END AS stage FROM fetch f WHERE f.state<>'done';
CREATE INDEX temp.refused_key ON refused(key, stage);
INSERT INTO new_rejection(stage, what, source, reason, detail, at)
    SELECT r.stage, r.what, ifnull(f.source, ''), r.reason, r.detail, r.at
    FROM rejection r LEFT JOIN temp.refused f ON f.key=r.what AND f.stage=r.stage;
INSERT OR IGNORE INTO new_rejection(stage, what, source, reason, detail, at)
    SELECT stage, key, source, 'not recorded', 'another source gave it', datetime('now')
    FROM temp.refused WHERE candidate IS NOT NULL;
DROP TABLE temp.refused;
DROP TABLE rejection;
ALTER TABLE new_rejection RENAME TO rejection;
"""

# A step of another dataset, which came with a merge: what the merge made of it is a step of ours,
# and that is what an undo takes back.
MERGED_STEPS = """
ALTER TABLE step ADD COLUMN merged INTEGER NOT NULL DEFAULT 0;
"""

# What a person said of faces without a name: samples with one `bond` (a number) are of one person,
# and a sample is of another one than those in `apart` (rows, with commas).
BONDS = """
ALTER TABLE mark ADD COLUMN bond INTEGER;
ALTER TABLE mark ADD COLUMN apart TEXT;
CREATE INDEX mark_bond ON mark(sample) WHERE bond IS NOT NULL OR apart IS NOT NULL;
"""

# What visitors of the page claim: a picture (kept by its hash), the box of a face, and who it is.
# `status` is pending, accepted or refused, and changes with a step of the journal.
REPORTS = """
CREATE TABLE report(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, sha256 TEXT NOT NULL,
    format TEXT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL,
    h INTEGER NOT NULL, claimed TEXT NOT NULL, run TEXT NOT NULL, answer TEXT, confidence REAL,
    note TEXT NOT NULL DEFAULT '', status TEXT NOT NULL DEFAULT 'pending',
    UNIQUE(sha256, x, y, w, h, claimed));
CREATE INDEX report_status ON report(status, id);
"""

# What visitors of the page ask to be removed: by the page it came from, by a picture of which only
# the hashes are kept, or in words. `status` is as that of a report.
TAKE_DOWNS = """
CREATE TABLE takedown(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, page TEXT NOT NULL,
    sha256 TEXT NOT NULL, phash INTEGER, words TEXT NOT NULL, reason TEXT NOT NULL,
    contact TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'pending');
"""

# Snapshots, and the states that samples had in them: `since` one snapshot, `until` another one that
# has it no more (NULL: still). `classes` is a JSON list, `settings` the text of dataset.toml; the
# images are all up to row `last_image`, `last_step` is the newest step then. A moment that has the
# key of its sample is '='. `run.snapshot` is JSON: how the data of a run differ from a snapshot.
SNAPSHOTS = """
CREATE TABLE snapshot(
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, at TEXT NOT NULL,
    who TEXT NOT NULL, note TEXT NOT NULL, counts TEXT NOT NULL, last_image INTEGER NOT NULL,
    last_step INTEGER NOT NULL, classes TEXT NOT NULL, settings TEXT NOT NULL,
    split_plan TEXT NOT NULL, balance_plan TEXT NOT NULL);
CREATE TABLE snapped(
    sample INTEGER NOT NULL REFERENCES sample(id), since INTEGER NOT NULL, until INTEGER,
    status TEXT NOT NULL, label INTEGER, kept INTEGER NOT NULL, grp TEXT, moment TEXT, split TEXT,
    fold INTEGER, copies INTEGER, weight REAL, mark TEXT, refused TEXT, bond INTEGER, apart TEXT,
    PRIMARY KEY(sample, since)) WITHOUT ROWID;
ALTER TABLE run ADD COLUMN snapshot TEXT NOT NULL DEFAULT '{}';
"""

# The path of a file below the folder that was named, or inside its archive; unknown for what came
# before.
ORIGINAL_PATHS = """
ALTER TABLE origin ADD COLUMN original_path TEXT;
"""

MIGRATIONS: tuple[tuple[str, str], ...] = (
    ("0001-first", FIRST),
    ("0002-frames", FRAMES),
    ("0003-faces", FACES),
    ("0004-curation", CURATION),
    ("0005-balance", BALANCE),
    ("0006-splits", SPLITS),
    ("0007-quality", QUALITY),
    ("0008-overlap", OVERLAP),
    ("0009-presort", PRESORT),
    ("0010-sorting", SORTING),
    ("0011-doubts", DOUBTS),
    ("0012-look-again", LOOK_AGAIN),
    ("0013-operations", OPERATIONS),
    ("0014-numbers-once", NUMBERS_ONCE),
    ("0015-rejected-by-source", REJECTED_BY_SOURCE),
    ("0016-merged-steps", MERGED_STEPS),
    ("0017-bonds", BONDS),
    ("0018-reports", REPORTS),
    ("0019-take-downs", TAKE_DOWNS),
    ("0020-snapshots", SNAPSHOTS),
    ("0021-original-paths", ORIGINAL_PATHS),
)


def statements(sql: str) -> list[str]:
    """Return the single statements of a migration; our schema has no `;` inside a literal."""
    return [part.strip() for part in sql.split(";") if part.strip()]
