-- Schema of the catalogue, with the meaning of each table and column.
--
-- Terms are defined in docs/glossary.md. Times are ISO 8601 in UTC; 64-bit hashes are stored as signed
-- integers; a box is x, y, w, h in pixels of the upright image, and `angle` its rotation about the
-- center in degrees. To change a table, change it here for new catalogues, and add a file to
-- `migrations/` for existing ones.

-- Collected images.

CREATE TABLE image(  -- an original file, stored once
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 TEXT NOT NULL UNIQUE,  -- of its bytes; also its file name
    format TEXT NOT NULL,  -- Pillow's name
    bytes INTEGER NOT NULL,
    width INTEGER NOT NULL,  -- upright
    height INTEGER NOT NULL,
    frames INTEGER NOT NULL,  -- of an animation; 1 for a still
    orientation INTEGER NOT NULL,  -- of EXIF; it is applied to all pixels and boxes
    phash INTEGER NOT NULL,  -- perceptual hash
    sharpness REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'ok');  -- or 'missing' if its file was not found

CREATE TABLE origin(  -- a place where an image was found
    id INTEGER PRIMARY KEY,
    image INTEGER NOT NULL REFERENCES image(id),
    source TEXT NOT NULL,
    key TEXT NOT NULL,  -- the id there
    url TEXT, page_url TEXT, path TEXT,
    video TEXT, time REAL, frame INTEGER, scene INTEGER,  -- SHA-256 of the video, seconds, numbers
    post TEXT,  -- or a group of files defined by the user
    query TEXT,
    hint TEXT,  -- weak label: the class that a query or folder suggests
    author TEXT, licence TEXT, title TEXT,
    tags TEXT NOT NULL DEFAULT '[]',  -- JSON list
    rating TEXT,
    ai INTEGER,  -- whether a model generated it, if the source states it
    original_path TEXT,  -- relative to the imported folder or archive
    later INTEGER NOT NULL DEFAULT 0,  -- added when the image had been searched or had a sample
    collection TEXT);  -- name of the imported set of images
CREATE UNIQUE INDEX origin_once ON origin(image, source, key, ifnull(query,''), ifnull(hint,''));
CREATE INDEX origin_source ON origin(source, image);
CREATE INDEX origin_key ON origin(source, key);
CREATE INDEX origin_video ON origin(video, image) WHERE video IS NOT NULL;
CREATE INDEX origin_licence ON origin(licence, image) WHERE licence IS NOT NULL;
CREATE INDEX origin_hint ON origin(hint, image) WHERE hint IS NOT NULL;

CREATE TABLE collection(  -- an imported set of images that has a licence
    name TEXT PRIMARY KEY,
    licence TEXT NOT NULL) WITHOUT ROWID;  -- text of its licence files

CREATE TABLE video(  -- a video with one way of sampling it
    id INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL, name TEXT NOT NULL,
    settings TEXT NOT NULL,  -- of the sampling
    duration REAL,  -- seconds
    frames INTEGER NOT NULL,  -- sampled frames
    url TEXT,
    state TEXT,  -- JSON: state to resume from
    done INTEGER NOT NULL DEFAULT 1,
    UNIQUE(sha256, settings));
CREATE INDEX video_url ON video(url) WHERE url IS NOT NULL;

CREATE TABLE fetch(  -- requested items and their outcome
    source TEXT NOT NULL, key TEXT NOT NULL,
    stamp TEXT NOT NULL DEFAULT '',  -- detects changed files
    url TEXT, query TEXT,
    state TEXT NOT NULL,  -- done, rejected, failed (can be retried) or unsettled (not its fault)
    attempts INTEGER NOT NULL DEFAULT 1,
    image INTEGER REFERENCES image(id),
    candidate TEXT,  -- JSON: the candidate, for retries
    PRIMARY KEY(source, key)) WITHOUT ROWID;

CREATE TABLE rejection(  -- an item that a stage could not use, and why
    stage TEXT NOT NULL, item TEXT NOT NULL,
    source TEXT NOT NULL DEFAULT '',  -- two sources may have the same URL
    reason TEXT NOT NULL, detail TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY(stage, item, source)) WITHOUT ROWID;

CREATE TABLE tombstone(  -- an image removed for good
    sha256 TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;

-- Faces and samples.

CREATE TABLE scan(  -- a search of an image for faces
    image INTEGER NOT NULL REFERENCES image(id),
    detector TEXT NOT NULL, settings TEXT NOT NULL,
    at TEXT NOT NULL,
    cut TEXT NOT NULL DEFAULT '',  -- settings of the crops; empty: to be cropped again
    PRIMARY KEY(image, detector)) WITHOUT ROWID;

CREATE TABLE face(  -- a box of a detector, or drawn by a person
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image INTEGER NOT NULL REFERENCES image(id),
    detector TEXT NOT NULL,
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    score REAL NOT NULL,
    landmarks TEXT NOT NULL DEFAULT '[]',  -- JSON: name, x, y of each
    evidence TEXT,  -- JSON: other output of the detector, such as colors
    gone INTEGER NOT NULL DEFAULT 0);  -- no longer detected, kept for the decision on its sample
CREATE INDEX face_image ON face(image, detector);

CREATE TABLE class(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    merged_into INTEGER REFERENCES class(id));  -- itself: hidden

CREATE TABLE sample(  -- the crop of a face, or a whole image
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,  -- a hash of its image and face box
    image INTEGER NOT NULL REFERENCES image(id),
    face INTEGER REFERENCES face(id) ON DELETE SET NULL,
    detector TEXT NOT NULL, score REAL,
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,  -- of the crop
    phash INTEGER NOT NULL, sharpness REAL NOT NULL,
    label INTEGER REFERENCES class(id),
    status TEXT NOT NULL DEFAULT 'queue',  -- labelled, rejected, or retired (no longer detected)
    kept INTEGER NOT NULL DEFAULT 1,  -- 0: a duplicate
    duplicate_set TEXT,
    split_group TEXT, split TEXT,  -- by the split plan in force
    angle REAL NOT NULL DEFAULT 0,
    size INTEGER GENERATED ALWAYS AS (min(w, h)) VIRTUAL,
    track TEXT,  -- its samples show one person
    last_split TEXT);  -- the last one by the split plan in force, also if it was left out since
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
CREATE TRIGGER sample_last_split AFTER UPDATE OF split ON sample WHEN new.split IS NOT NULL
    BEGIN UPDATE sample SET last_split=new.split WHERE id=new.id; END;
CREATE TRIGGER origin_later AFTER INSERT ON origin WHEN
    (EXISTS(SELECT 1 FROM scan WHERE image=new.image)
    OR EXISTS(SELECT 1 FROM sample WHERE image=new.image AND status<>'retired'))
    AND NOT EXISTS(SELECT 1 FROM origin WHERE NOT later AND id<>new.id
    AND (image, source, key)=(new.image, new.source, new.key))
    BEGIN UPDATE origin SET later=1 WHERE id=new.id; END;

CREATE TABLE track(  -- a face tracked within a shot of a video
    name TEXT PRIMARY KEY,
    video TEXT NOT NULL, scene INTEGER NOT NULL,
    started REAL NOT NULL, ended REAL NOT NULL,  -- seconds, from its first frame to its last one
    frames INTEGER NOT NULL,  -- searched frames with this face
    boxes TEXT NOT NULL DEFAULT '[]') WITHOUT ROWID;  -- [[seconds, x, y, w, h], …] by time

-- The journal: steps and four kinds of changes. No row is ever rewritten.

CREATE TABLE step(  -- changes made at once
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL, user TEXT NOT NULL,
    undoes INTEGER UNIQUE REFERENCES step(id),
    kind TEXT, arguments TEXT,  -- the operation; its arguments as JSON
    merged INTEGER NOT NULL DEFAULT 0,  -- of another dataset: cannot be undone here
    person TEXT,  -- who was invited to the browser page; NULL: the user
    request TEXT);  -- the id of the browser's request, which is never repeated
CREATE UNIQUE INDEX step_request ON step(request);

CREATE TABLE decision(  -- labelled or rejected a sample, or reverted that
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    step INTEGER NOT NULL REFERENCES step(id),
    sample INTEGER NOT NULL REFERENCES sample(id),
    action TEXT NOT NULL,  -- label, reject, clear, add or remove
    value INTEGER REFERENCES class(id),
    before_status TEXT NOT NULL, before_label INTEGER REFERENCES class(id),
    provenance TEXT NOT NULL);  -- a person, a hint, a model, an import, ...
CREATE INDEX decision_step ON decision(step);
CREATE INDEX decision_sample ON decision(sample);

CREATE TABLE change(  -- changed another column of a sample, class, plan or report
    id INTEGER PRIMARY KEY,
    step INTEGER NOT NULL REFERENCES step(id),
    what TEXT NOT NULL,  -- a column (keys of `_PLACES` in classes.py)
    item INTEGER NOT NULL,  -- the row
    before, after);
CREATE INDEX change_step ON change(step);
CREATE INDEX change_name ON change(before) WHERE what='name';
CREATE INDEX change_tags ON change(item) WHERE what='tags';

CREATE TABLE placement(  -- marked a sample as best copy or duplicate
    id INTEGER PRIMARY KEY,
    step INTEGER NOT NULL REFERENCES step(id),
    sample INTEGER NOT NULL REFERENCES sample(id),
    kept INTEGER NOT NULL, duplicate_set TEXT,
    before_kept INTEGER NOT NULL, before_duplicate_set TEXT,
    chosen INTEGER NOT NULL DEFAULT 0);  -- a person chose to keep this copy
CREATE INDEX placement_step ON placement(step);
CREATE INDEX placement_sample ON placement(sample);

CREATE TABLE verdict(  -- a person's verdict on two samples
    id INTEGER PRIMARY KEY,
    step INTEGER NOT NULL REFERENCES step(id),
    a INTEGER NOT NULL REFERENCES sample(id), b INTEGER NOT NULL REFERENCES sample(id),
    verdict TEXT, before_verdict TEXT);
CREATE INDEX verdict_step ON verdict(step);
CREATE INDEX verdict_a ON verdict(a);
CREATE INDEX verdict_b ON verdict(b);

-- Other decisions of people on samples.

CREATE TABLE sorting_note(
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    mark TEXT,  -- other (a face of no class) or later (skipped)
    refused TEXT);  -- classes that it is not (rows, with commas)
CREATE INDEX sorting_note_mark ON sorting_note(mark, sample) WHERE mark IS NOT NULL;

CREATE TABLE handed_page(  -- a page that somebody sorts in the browser, or has left
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    person TEXT,  -- who was invited to the browser page; NULL: the owner
    page TEXT NOT NULL);  -- JSON: its samples, and what was done on it
CREATE TRIGGER handed_page_limit AFTER INSERT ON handed_page  -- the last 100 of a person
    BEGIN DELETE FROM handed_page WHERE person IS new.person AND number<=(
    SELECT number FROM handed_page WHERE person IS new.person ORDER BY number DESC
    LIMIT 1 OFFSET 100); END;

-- Duplicates.

CREATE TABLE sample_hash(  -- hashes to compare samples, of a region of the image
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    version INTEGER NOT NULL,  -- of the algorithm
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    angle REAL NOT NULL,
    plain INTEGER NOT NULL, flipped INTEGER NOT NULL,  -- perceptual hashes, also mirrored
    filled REAL NOT NULL,  -- share without uniform borders, 0..1
    points BLOB NOT NULL, shapes BLOB NOT NULL,  -- 8 and 3 bytes for each distinct place
    searched INTEGER NOT NULL DEFAULT 0);  -- whether all its pairs were searched
CREATE INDEX sample_hash_searched ON sample_hash(searched, sample);

CREATE TABLE pair(  -- two possible duplicates and the verdict on them
    a INTEGER NOT NULL REFERENCES sample(id), b INTEGER NOT NULL REFERENCES sample(id),
    kind TEXT NOT NULL,  -- source of the verdict: pixels, detail, or person (takes precedence)
    distance REAL,  -- after alignment
    -- same, not, doubtful; open if not compared; of details first, second, even
    verdict TEXT NOT NULL,
    step INTEGER REFERENCES step(id),
    overlap REAL,  -- share of the larger image that both show, 0..1
    relation INTEGER,  -- differences: bits of `Relation`
    version INTEGER NOT NULL DEFAULT 0,  -- of the comparison, for pixels and detail
    PRIMARY KEY(a, b, kind), CHECK(a < b)) WITHOUT ROWID;
CREATE INDEX pair_b ON pair(b);
CREATE INDEX pair_verdict ON pair(verdict, a);

-- Quality, and label issues.

CREATE TABLE quality(  -- measures of a sample's region
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    version INTEGER NOT NULL,  -- of the algorithm
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    angle REAL NOT NULL,
    blur REAL NOT NULL, darkest REAL NOT NULL, lightest REAL NOT NULL,
    photo REAL NOT NULL,
    traits BLOB NOT NULL);  -- the descriptor
CREATE INDEX quality_blur ON quality(blur, sample);

CREATE TABLE label_issue(  -- a label that the latest search contradicts
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    label INTEGER NOT NULL REFERENCES class(id), suggested INTEGER NOT NULL REFERENCES class(id),
    confidence REAL NOT NULL, margin REAL NOT NULL,
    run TEXT NOT NULL,
    last_decision INTEGER NOT NULL,  -- at the time of the search; later ones settle the issue
    confident INTEGER NOT NULL DEFAULT 1);
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
    rank INTEGER NOT NULL,  -- from 1, the most confident first
    label INTEGER NOT NULL REFERENCES class(id),
    confidence REAL NOT NULL,
    PRIMARY KEY(sample, rank)) WITHOUT ROWID;
CREATE INDEX proposal_label ON proposal(label, confidence) WHERE rank=1;

-- Splits and trainings.

CREATE TABLE split_plan(  -- the newest is in force
    id INTEGER PRIMARY KEY, settings TEXT NOT NULL,  -- JSON of SplitSettings; null: split by other means
    at TEXT NOT NULL);

CREATE TABLE run(  -- a training
    id TEXT PRIMARY KEY,  -- its folder
    room TEXT NOT NULL,
    settings TEXT NOT NULL,  -- JSON
    started TEXT NOT NULL, ended TEXT,
    status TEXT NOT NULL,  -- running, interrupted, done, failed, given up or deleted
    result TEXT NOT NULL DEFAULT '{}');  -- JSON

CREATE TABLE split_evaluation(  -- an evaluation of a run on a split
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL, split TEXT NOT NULL,
    data TEXT NOT NULL,  -- hash of its samples
    why TEXT NOT NULL, at TEXT NOT NULL);
CREATE INDEX split_evaluation_split ON split_evaluation(split, data);

-- Reports of users of the page. `status` is pending, accepted or refused, set by a step.

CREATE TABLE report(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT 'wrong answer',  -- or 'removal' of the image
    sha256 TEXT NOT NULL, format TEXT NOT NULL,  -- its file is in web/reports/
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    claimed TEXT NOT NULL,  -- the class; empty for a removal
    run TEXT NOT NULL, answer TEXT, confidence REAL,  -- the prediction
    note TEXT NOT NULL DEFAULT '',
    phash INTEGER,  -- perceptual hash of an image to be removed
    status TEXT NOT NULL DEFAULT 'pending');
CREATE UNIQUE INDEX report_once ON report(sha256, x, y, w, h, claimed) WHERE kind='wrong answer';
CREATE INDEX report_sha256 ON report(sha256);
CREATE INDEX report_status ON report(status, id);

CREATE TABLE snapshot(  -- description of this snapshot; empty in the catalogue itself
    at TEXT NOT NULL, user TEXT NOT NULL, note TEXT NOT NULL,
    counts TEXT NOT NULL);  -- JSON
