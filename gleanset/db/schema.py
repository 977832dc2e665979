"""The schema that all migrations come to, with which a new catalogue begins.

What the columns mean stands at the migration that brought them. `tests/gleanset/test_connection.py`
holds both together: who appends a migration writes here what it makes of the tables.
"""

from __future__ import annotations

SCHEMA = """
CREATE TABLE image(
    id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL UNIQUE, format TEXT NOT NULL,
    bytes INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    frames INTEGER NOT NULL, orientation INTEGER NOT NULL, phash INTEGER NOT NULL,
    sharpness REAL NOT NULL, state TEXT NOT NULL DEFAULT 'ok');

CREATE TABLE origin(
    id INTEGER PRIMARY KEY, image INTEGER NOT NULL REFERENCES image(id), source TEXT NOT NULL,
    key TEXT NOT NULL, url TEXT, page_url TEXT, path TEXT, video TEXT, time REAL, frame INTEGER,
    scene INTEGER, post TEXT, query TEXT, hint TEXT, author TEXT, licence TEXT, title TEXT,
    tags TEXT NOT NULL DEFAULT '[]', rating TEXT, ai INTEGER, original_path TEXT);
CREATE UNIQUE INDEX origin_once ON origin(image, source, key, ifnull(query,''), ifnull(hint,''));
CREATE INDEX origin_source ON origin(source, image);
CREATE INDEX origin_key ON origin(source, key);
CREATE INDEX origin_video ON origin(video, image) WHERE video IS NOT NULL;
CREATE INDEX origin_licence ON origin(licence, image) WHERE licence IS NOT NULL;
CREATE INDEX origin_hint ON origin(hint, image) WHERE hint IS NOT NULL;

CREATE TABLE video(
    id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, name TEXT NOT NULL, settings TEXT NOT NULL,
    duration REAL, frames INTEGER NOT NULL, url TEXT, state TEXT, done INTEGER NOT NULL DEFAULT 1,
    UNIQUE(sha256, settings));
CREATE INDEX video_url ON video(url) WHERE url IS NOT NULL;

CREATE TABLE fetch(
    source TEXT NOT NULL, key TEXT NOT NULL, stamp TEXT NOT NULL DEFAULT '', url TEXT, query TEXT,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 1, image INTEGER REFERENCES image(id),
    candidate TEXT, PRIMARY KEY(source, key)) WITHOUT ROWID;

CREATE TABLE rejection(
    stage TEXT NOT NULL, what TEXT NOT NULL, source TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL,
    detail TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY(stage, what, source)) WITHOUT ROWID;

CREATE TABLE scan(
    image INTEGER NOT NULL REFERENCES image(id), detector TEXT NOT NULL, settings TEXT NOT NULL,
    at TEXT NOT NULL, cut TEXT NOT NULL DEFAULT '', PRIMARY KEY(image, detector)) WITHOUT ROWID;

CREATE TABLE face(
    id INTEGER PRIMARY KEY AUTOINCREMENT, image INTEGER NOT NULL REFERENCES image(id),
    detector TEXT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL,
    h INTEGER NOT NULL, score REAL NOT NULL, landmarks TEXT NOT NULL DEFAULT '[]', evidence TEXT,
    gone INTEGER NOT NULL DEFAULT 0);
CREATE INDEX face_image ON face(image, detector);

CREATE TABLE class(
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, show TEXT, aliases TEXT,
    merged_into INTEGER REFERENCES class(id));

CREATE TABLE sample(
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
    image INTEGER NOT NULL REFERENCES image(id),
    face INTEGER REFERENCES face(id) ON DELETE SET NULL, detector TEXT NOT NULL, score REAL,
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    phash INTEGER NOT NULL, sharpness REAL NOT NULL, label INTEGER REFERENCES class(id),
    status TEXT NOT NULL DEFAULT 'queue', kept INTEGER NOT NULL DEFAULT 1, grp TEXT, moment TEXT,
    split TEXT, angle REAL NOT NULL DEFAULT 0, size INTEGER GENERATED ALWAYS AS (min(w, h)) VIRTUAL,
    fold INTEGER);
CREATE INDEX sample_image ON sample(image);
CREATE INDEX sample_face ON sample(face);
CREATE INDEX sample_label ON sample(label, image);
CREATE INDEX sample_status ON sample(status, image);
CREATE INDEX sample_split ON sample(split, image);
CREATE INDEX sample_score ON sample(score, image);
CREATE INDEX sample_group ON sample(grp) WHERE grp IS NOT NULL;
CREATE INDEX sample_sharpness ON sample(sharpness, image);
CREATE INDEX sample_size ON sample(size, image);
CREATE INDEX sample_kept ON sample(kept, image) WHERE NOT kept;

CREATE TABLE step(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, who TEXT NOT NULL, name TEXT NOT NULL,
    undoes INTEGER UNIQUE REFERENCES step(id), kind TEXT, arguments TEXT,
    merged INTEGER NOT NULL DEFAULT 0);

CREATE TABLE decision(
    id INTEGER PRIMARY KEY AUTOINCREMENT, step INTEGER NOT NULL REFERENCES step(id),
    sample INTEGER NOT NULL REFERENCES sample(id), action TEXT NOT NULL,
    value INTEGER REFERENCES class(id), before_status TEXT NOT NULL,
    before_label INTEGER REFERENCES class(id), provenance TEXT NOT NULL);
CREATE INDEX decision_step ON decision(step);
CREATE INDEX decision_sample ON decision(sample);

CREATE TABLE split_plan( id INTEGER PRIMARY KEY, settings TEXT NOT NULL, at TEXT NOT NULL);

CREATE TABLE run(
    id TEXT PRIMARY KEY, room TEXT NOT NULL, settings TEXT NOT NULL, started TEXT NOT NULL,
    ended TEXT, status TEXT NOT NULL, result TEXT NOT NULL DEFAULT '{}',
    snapshot TEXT NOT NULL DEFAULT '{}');

CREATE TABLE tombstone(sha256 TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE look(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), version INTEGER NOT NULL, x INTEGER NOT NULL,
    y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL, angle REAL NOT NULL,
    plain INTEGER NOT NULL, flipped INTEGER NOT NULL, filled REAL NOT NULL, points BLOB NOT NULL,
    shapes BLOB NOT NULL, searched INTEGER NOT NULL DEFAULT 0);
CREATE INDEX look_searched ON look(searched, sample);

CREATE TABLE pair(
    a INTEGER NOT NULL REFERENCES sample(id), b INTEGER NOT NULL REFERENCES sample(id),
    kind TEXT NOT NULL, distance REAL, verdict TEXT NOT NULL, step INTEGER REFERENCES step(id),
    overlap REAL, PRIMARY KEY(a, b, kind), CHECK(a < b)) WITHOUT ROWID;
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

CREATE TABLE balance(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), copies INTEGER NOT NULL,
    weight REAL NOT NULL);

CREATE TABLE balance_plan(id INTEGER PRIMARY KEY, settings TEXT NOT NULL, at TEXT NOT NULL);

CREATE TABLE quality(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), version INTEGER NOT NULL, x INTEGER NOT NULL,
    y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL, angle REAL NOT NULL,
    blur REAL NOT NULL, darkest REAL NOT NULL, lightest REAL NOT NULL, text REAL NOT NULL,
    photo REAL NOT NULL, traits BLOB NOT NULL, outlier REAL, label INTEGER);
CREATE INDEX quality_blur ON quality(blur, sample);
CREATE INDEX quality_text ON quality(text, sample);
CREATE INDEX quality_photo ON quality(photo, sample);
CREATE INDEX quality_outlier ON quality(outlier, sample) WHERE outlier IS NOT NULL;

CREATE TABLE presort(id INTEGER PRIMARY KEY, at TEXT NOT NULL, run TEXT, facts TEXT NOT NULL);

CREATE TABLE standing(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), place INTEGER NOT NULL, cluster INTEGER,
    outlier REAL, ask INTEGER);
CREATE INDEX standing_place ON standing(place, sample);

CREATE TABLE proposal(
    sample INTEGER NOT NULL REFERENCES sample(id), rank INTEGER NOT NULL,
    label INTEGER NOT NULL REFERENCES class(id), confidence REAL NOT NULL,
    PRIMARY KEY(sample, rank)) WITHOUT ROWID;
CREATE INDEX proposal_label ON proposal(label, confidence) WHERE rank=1;

CREATE TABLE mark(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), mark TEXT, refused TEXT, bond INTEGER,
    apart TEXT);
CREATE INDEX mark_mark ON mark(mark, sample) WHERE mark IS NOT NULL;
CREATE INDEX mark_bond ON mark(sample) WHERE bond IS NOT NULL OR apart IS NOT NULL;

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

CREATE TABLE doubt(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), given INTEGER NOT NULL REFERENCES class(id),
    suggested INTEGER NOT NULL REFERENCES class(id), confidence REAL NOT NULL, margin REAL NOT NULL,
    run TEXT NOT NULL, seen INTEGER NOT NULL);
CREATE INDEX doubt_margin ON doubt(margin, sample);

CREATE TABLE peek(
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, split TEXT NOT NULL, data TEXT NOT NULL,
    why TEXT NOT NULL, at TEXT NOT NULL);
CREATE INDEX peek_split ON peek(split, data);

CREATE TABLE report(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, sha256 TEXT NOT NULL,
    format TEXT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL,
    h INTEGER NOT NULL, claimed TEXT NOT NULL, run TEXT NOT NULL, answer TEXT, confidence REAL,
    note TEXT NOT NULL DEFAULT '', status TEXT NOT NULL DEFAULT 'pending',
    UNIQUE(sha256, x, y, w, h, claimed));
CREATE INDEX report_status ON report(status, id);

CREATE TABLE takedown(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, page TEXT NOT NULL,
    sha256 TEXT NOT NULL, phash INTEGER, words TEXT NOT NULL, reason TEXT NOT NULL,
    contact TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'pending');

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
"""
