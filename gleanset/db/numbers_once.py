"""The migration after which the number of a row is given once, also when the row is gone."""

from __future__ import annotations

# SQLite gives the greatest number of a table again after its row is gone, unless the table says
# AUTOINCREMENT, which takes a new table. So all that others point into are made anew: by
# references, `doubt.seen` (a decision) and `change.item` (a sample or class).
# https://www.sqlite.org/lang_altertable.html#otheralter
NUMBERS_ONCE = """
CREATE TABLE new_image(
    id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL UNIQUE, format TEXT NOT NULL,
    bytes INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    frames INTEGER NOT NULL, orientation INTEGER NOT NULL, phash INTEGER NOT NULL,
    sharpness REAL NOT NULL, state TEXT NOT NULL DEFAULT 'ok');
INSERT INTO new_image SELECT id, sha256, format, bytes, width, height, frames, orientation, phash,
    sharpness, state FROM image;
DROP TABLE image;
ALTER TABLE new_image RENAME TO image;

CREATE TABLE new_face(
    id INTEGER PRIMARY KEY AUTOINCREMENT, image INTEGER NOT NULL REFERENCES image(id),
    detector TEXT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL,
    w INTEGER NOT NULL, h INTEGER NOT NULL, score REAL NOT NULL,
    landmarks TEXT NOT NULL DEFAULT '[]', evidence TEXT, gone INTEGER NOT NULL DEFAULT 0);
INSERT INTO new_face SELECT id, image, detector, x, y, w, h, score, landmarks, evidence, gone
    FROM face;
DROP TABLE face;
ALTER TABLE new_face RENAME TO face;
CREATE INDEX face_image ON face(image, detector);

CREATE TABLE new_class(
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, show TEXT, aliases TEXT,
    merged_into INTEGER REFERENCES class(id));
INSERT INTO new_class SELECT id, name, show, aliases, merged_into FROM class;
DROP TABLE class;
ALTER TABLE new_class RENAME TO class;

CREATE TABLE new_sample(
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
    image INTEGER NOT NULL REFERENCES image(id),
    face INTEGER REFERENCES face(id) ON DELETE SET NULL,
    detector TEXT NOT NULL, score REAL, x INTEGER NOT NULL, y INTEGER NOT NULL,
    w INTEGER NOT NULL, h INTEGER NOT NULL, phash INTEGER NOT NULL,
    sharpness REAL NOT NULL, label INTEGER REFERENCES class(id),
    status TEXT NOT NULL DEFAULT 'queue', kept INTEGER NOT NULL DEFAULT 1,
    grp TEXT, moment TEXT, split TEXT, angle REAL NOT NULL DEFAULT 0,
    size INTEGER GENERATED ALWAYS AS (min(w, h)) VIRTUAL, fold INTEGER);
INSERT INTO new_sample(id, key, image, face, detector, score, x, y, w, h, phash, sharpness, label,
    status, kept, grp, moment, split, angle, fold) SELECT id, key, image, face, detector, score,
    x, y, w, h, phash, sharpness, label, status, kept, grp, moment, split, angle, fold FROM sample;
DROP TABLE sample;
ALTER TABLE new_sample RENAME TO sample;
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

CREATE TABLE new_step(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, who TEXT NOT NULL, name TEXT NOT NULL,
    undoes INTEGER UNIQUE REFERENCES step(id), kind TEXT, arguments TEXT);
INSERT INTO new_step SELECT id, at, who, name, undoes, kind, arguments FROM step;
DROP TABLE step;
ALTER TABLE new_step RENAME TO step;

CREATE TABLE new_decision(
    id INTEGER PRIMARY KEY AUTOINCREMENT, step INTEGER NOT NULL REFERENCES step(id),
    sample INTEGER NOT NULL REFERENCES sample(id), action TEXT NOT NULL,
    value INTEGER REFERENCES class(id), before_status TEXT NOT NULL,
    before_label INTEGER REFERENCES class(id), provenance TEXT NOT NULL);
INSERT INTO new_decision SELECT id, step, sample, action, value, before_status, before_label,
    provenance FROM decision;
DROP TABLE decision;
ALTER TABLE new_decision RENAME TO decision;
CREATE INDEX decision_step ON decision(step);
CREATE INDEX decision_sample ON decision(sample);

DELETE FROM sqlite_sequence WHERE name IN ('sample', 'decision');
INSERT INTO sqlite_sequence(name, seq) SELECT 'sample', max(
    (SELECT ifnull(max(id), 0) FROM sample),
    (SELECT ifnull(max(item), 0) FROM change WHERE what IN ('mark', 'refused')));
INSERT INTO sqlite_sequence(name, seq) SELECT 'decision', max(
    (SELECT ifnull(max(id), 0) FROM decision), (SELECT ifnull(max(seen), 0) FROM doubt));
DELETE FROM change WHERE what IN ('mark', 'refused') AND item NOT IN (SELECT id FROM sample);
"""
