BEGIN TRANSACTION;
CREATE TABLE balance(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), copies INTEGER NOT NULL,
    weight REAL NOT NULL);
INSERT INTO "balance" VALUES(1,1,0.25);
INSERT INTO "balance" VALUES(2,2,0.5);
CREATE TABLE balance_plan(id INTEGER PRIMARY KEY, settings TEXT NOT NULL, at TEXT NOT NULL);
INSERT INTO "balance_plan" VALUES(1,'{}','at 1');
INSERT INTO "balance_plan" VALUES(2,'{}','at 2');
CREATE TABLE change(
    id INTEGER PRIMARY KEY, step INTEGER NOT NULL REFERENCES step(id), what TEXT NOT NULL,
    item INTEGER NOT NULL, before, after);
INSERT INTO "change" VALUES(1,1,'merged',1,1,NULL);
INSERT INTO "change" VALUES(2,1,'merged',2,2,NULL);
INSERT INTO "change" VALUES(3,4,'mark',4,NULL,'later');
INSERT INTO "change" VALUES(4,4,'refused',3,NULL,'1');
INSERT INTO "change" VALUES(5,4,'merged',2,NULL,1);
INSERT INTO "change" VALUES(6,4,'moment',1,NULL,'a');
CREATE TABLE class(
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, show TEXT, merged_into INTEGER REFERENCES class(id));
INSERT INTO "class" VALUES(1,'c0',NULL,NULL);
INSERT INTO "class" VALUES(2,'c1',NULL,1);
CREATE TABLE decision(
    id INTEGER PRIMARY KEY AUTOINCREMENT, step INTEGER NOT NULL REFERENCES step(id),
    sample INTEGER NOT NULL REFERENCES sample(id), action TEXT NOT NULL,
    value INTEGER REFERENCES class(id), before_status TEXT NOT NULL,
    before_label INTEGER REFERENCES class(id), provenance TEXT NOT NULL);
INSERT INTO "decision" VALUES(1,1,1,'label',1,'queue',NULL,'person');
INSERT INTO "decision" VALUES(2,1,2,'label',2,'queue',NULL,'person');
INSERT INTO "decision" VALUES(3,1,3,'label',1,'queue',NULL,'person');
INSERT INTO "decision" VALUES(4,1,4,'label',2,'queue',NULL,'person');
INSERT INTO "decision" VALUES(5,2,4,'reject',NULL,'labelled',2,'person');
INSERT INTO "decision" VALUES(6,3,4,'label',2,'rejected',NULL,'undo');
CREATE TABLE doubt(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), given INTEGER NOT NULL REFERENCES class(id),
    suggested INTEGER NOT NULL REFERENCES class(id), confidence REAL NOT NULL, margin REAL NOT NULL,
    run TEXT NOT NULL, seen INTEGER NOT NULL);
INSERT INTO "doubt" VALUES(1,1,2,0.9,0.5,'run',6);
INSERT INTO "doubt" VALUES(2,1,2,0.9,0.5,'run',6);
INSERT INTO "doubt" VALUES(3,1,2,0.9,0.5,'run',6);
INSERT INTO "doubt" VALUES(4,1,2,0.9,0.5,'run',6);
CREATE TABLE face(
    id INTEGER PRIMARY KEY AUTOINCREMENT, image INTEGER NOT NULL REFERENCES image(id),
    detector TEXT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL,
    h INTEGER NOT NULL, score REAL NOT NULL, landmarks TEXT NOT NULL DEFAULT '[]', evidence TEXT,
    gone INTEGER NOT NULL DEFAULT 0);
INSERT INTO "face" VALUES(1,1,'test',0,0,10,10,0.5,'[]',NULL,0);
INSERT INTO "face" VALUES(2,2,'test',0,0,10,10,0.5,'[]',NULL,0);
INSERT INTO "face" VALUES(3,3,'test',0,0,10,10,0.5,'[]',NULL,0);
INSERT INTO "face" VALUES(4,4,'test',0,0,10,10,0.5,'[]',NULL,1);
CREATE TABLE fetch(
    source TEXT NOT NULL, key TEXT NOT NULL, stamp TEXT NOT NULL DEFAULT '', url TEXT, query TEXT,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 1, image INTEGER REFERENCES image(id),
    candidate TEXT, PRIMARY KEY(source, key)) WITHOUT ROWID;
INSERT INTO "fetch" VALUES('source 1','key 1','stamp 1','url 1','query 1','state 1',1,1,'candidate 1');
INSERT INTO "fetch" VALUES('source 2','key 2','stamp 2','url 2','query 2','state 2',2,2,'candidate 2');
CREATE TABLE image(
    id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL UNIQUE, format TEXT NOT NULL,
    bytes INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    frames INTEGER NOT NULL, orientation INTEGER NOT NULL, phash INTEGER NOT NULL,
    sharpness REAL NOT NULL, state TEXT NOT NULL DEFAULT 'ok');
INSERT INTO "image" VALUES(1,'0000000000000000000000000000000000000000000000000000000000000000','JPEG',1000,640,480,1,1,0,12.5,'ok');
INSERT INTO "image" VALUES(2,'0000000000000000000000000000000000000000000000000000000000000001','JPEG',1001,640,480,1,1,0,12.5,'ok');
INSERT INTO "image" VALUES(3,'0000000000000000000000000000000000000000000000000000000000000002','JPEG',1002,640,480,1,1,0,12.5,'ok');
INSERT INTO "image" VALUES(4,'0000000000000000000000000000000000000000000000000000000000000003','JPEG',1003,640,480,1,1,0,12.5,'ok');
CREATE TABLE migration(name TEXT PRIMARY KEY, at TEXT NOT NULL);
INSERT INTO "migration" VALUES('0001-first','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0002-frames','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0003-faces','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0004-curation','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0005-balance','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0006-splits','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0007-quality','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0008-overlap','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0009-presort','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0010-sorting','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0011-doubts','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0012-look-again','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0013-operations','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0014-numbers-once','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0015-rejected-by-source','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0016-merged-steps','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0017-bonds','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0018-reports','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0019-take-downs','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0020-snapshots','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0021-original-paths','2026-11-23 16:12:26');
INSERT INTO "migration" VALUES('0022-plain-names','2026-11-27 21:12:54');
INSERT INTO "migration" VALUES('0023-tracks','2026-11-27 21:12:54');
INSERT INTO "migration" VALUES('0024-presorts','2026-11-27 21:12:54');
INSERT INTO "migration" VALUES('0025-relations','2026-11-27 21:12:54');
INSERT INTO "migration" VALUES('0026-fewer-flags','2026-11-27 21:12:54');
INSERT INTO "migration" VALUES('0027-snapshot-files','2026-11-27 21:12:54');
INSERT INTO "migration" VALUES('0028-no-checks','2026-11-27 21:12:54');
INSERT INTO "migration" VALUES('0029-removal-reports','2026-11-27 21:12:54');
INSERT INTO "migration" VALUES('0030-no-outliers','2026-11-27 21:12:54');
CREATE TABLE origin(
    id INTEGER PRIMARY KEY, image INTEGER NOT NULL REFERENCES image(id), source TEXT NOT NULL,
    key TEXT NOT NULL, url TEXT, page_url TEXT, path TEXT, video TEXT, time REAL, frame INTEGER,
    scene INTEGER, post TEXT, query TEXT, hint TEXT, author TEXT, licence TEXT, title TEXT,
    tags TEXT NOT NULL DEFAULT '[]', rating TEXT, ai INTEGER, original_path TEXT);
INSERT INTO "origin" VALUES(1,1,'test','0',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',NULL,NULL,NULL);
INSERT INTO "origin" VALUES(2,2,'test','1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',NULL,NULL,NULL);
INSERT INTO "origin" VALUES(3,3,'test','2',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',NULL,NULL,NULL);
INSERT INTO "origin" VALUES(4,4,'test','3',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',NULL,NULL,NULL);
CREATE TABLE pair(
    a INTEGER NOT NULL REFERENCES sample(id), b INTEGER NOT NULL REFERENCES sample(id),
    kind TEXT NOT NULL, distance REAL, verdict TEXT NOT NULL, step INTEGER REFERENCES step(id),
    overlap REAL, relation INTEGER, PRIMARY KEY(a, b, kind), CHECK(a < b)) WITHOUT ROWID;
INSERT INTO "pair" VALUES(1,2,'person',NULL,'same',4,NULL,NULL);
CREATE TABLE "placement"(
    id INTEGER PRIMARY KEY, step INTEGER NOT NULL REFERENCES step(id),
    sample INTEGER NOT NULL REFERENCES sample(id), kept INTEGER NOT NULL, grp TEXT,
    before_kept INTEGER NOT NULL, before_grp TEXT, reason TEXT NOT NULL);
INSERT INTO "placement" VALUES(1,4,2,0,'g',1,NULL,'a copy');
CREATE TABLE presort(id INTEGER PRIMARY KEY, at TEXT NOT NULL, facts TEXT NOT NULL);
INSERT INTO "presort" VALUES(1,'at 1','{}');
INSERT INTO "presort" VALUES(2,'at 2','{}');
CREATE TABLE presorted(sample INTEGER PRIMARY KEY REFERENCES sample(id), place INTEGER NOT NULL,
    cluster INTEGER, outlier REAL);
INSERT INTO "presorted" VALUES(1,1,1,0.25);
INSERT INTO "presorted" VALUES(2,2,2,0.5);
CREATE TABLE proposal(
    sample INTEGER NOT NULL REFERENCES sample(id), rank INTEGER NOT NULL,
    label INTEGER NOT NULL REFERENCES class(id), confidence REAL NOT NULL,
    PRIMARY KEY(sample, rank)) WITHOUT ROWID;
INSERT INTO "proposal" VALUES(1,1,1,0.25);
INSERT INTO "proposal" VALUES(2,2,2,0.5);
CREATE TABLE quality(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), version INTEGER NOT NULL, x INTEGER NOT NULL,
    y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL, angle REAL NOT NULL,
    blur REAL NOT NULL, darkest REAL NOT NULL, lightest REAL NOT NULL, photo REAL NOT NULL, traits BLOB NOT NULL);
INSERT INTO "quality" VALUES(1,1,1,1,1,1,0.25,0.25,0.25,0.25,0.25,X'0102');
INSERT INTO "quality" VALUES(2,2,2,2,2,2,0.5,0.5,0.5,0.5,0.5,X'0102');
CREATE TABLE rejection(
    stage TEXT NOT NULL, what TEXT NOT NULL, source TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL,
    detail TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY(stage, what, source)) WITHOUT ROWID;
INSERT INTO "rejection" VALUES('stage 1','what 1','source 1','reason 1','detail 1','at 1');
INSERT INTO "rejection" VALUES('presort','what 2','source 2','reason 2','detail 2','at 2');
CREATE TABLE report(id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT 'wrong answer', sha256 TEXT NOT NULL, format TEXT NOT NULL,
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    claimed TEXT NOT NULL, run TEXT NOT NULL, answer TEXT, confidence REAL,
    note TEXT NOT NULL DEFAULT '', phash INTEGER, status TEXT NOT NULL DEFAULT 'pending');
INSERT INTO "report" VALUES(1,'at 1','wrong answer','sha256 1','format 1',1,1,1,1,'claimed 1','run 1','answer 1',0.25,'note 1',NULL,'status 1');
INSERT INTO "report" VALUES(2,'at 2','wrong answer','sha256 2','format 2',2,2,2,2,'claimed 2','run 2','answer 2',0.5,'note 2',NULL,'status 2');
INSERT INTO "report" VALUES(3,'at 1','removal','sha256 1','JPEG',0,0,0,0,'','',NULL,NULL,'words 1
reason 1
page 1
contact 1',1,'status 1');
INSERT INTO "report" VALUES(4,'at 2','removal','sha256 2','JPEG',0,0,0,0,'','',NULL,NULL,'words 2
reason 2
page 2
contact 2',2,'status 2');
CREATE TABLE run(
    id TEXT PRIMARY KEY, room TEXT NOT NULL, settings TEXT NOT NULL, started TEXT NOT NULL,
    ended TEXT, status TEXT NOT NULL, result TEXT NOT NULL DEFAULT '{}');
INSERT INTO "run" VALUES('id 1','room 1','{}','started 1','ended 1','status 1','{}');
INSERT INTO "run" VALUES('id 2','room 2','{}','started 2','ended 2','status 2','{}');
CREATE TABLE sample(
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
    image INTEGER NOT NULL REFERENCES image(id),
    face INTEGER REFERENCES face(id) ON DELETE SET NULL, detector TEXT NOT NULL, score REAL,
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    phash INTEGER NOT NULL, sharpness REAL NOT NULL, label INTEGER REFERENCES class(id),
    status TEXT NOT NULL DEFAULT 'queue', kept INTEGER NOT NULL DEFAULT 1, grp TEXT, moment TEXT,
    split TEXT, angle REAL NOT NULL DEFAULT 0, size INTEGER GENERATED ALWAYS AS (min(w, h)) VIRTUAL,
    fold INTEGER, track TEXT);
INSERT INTO "sample" VALUES(1,'f9fcf8aeae0668d48f0dfece946fd3b8',1,1,'test',0.5,0,0,10,10,0,1.0,1,'labelled',1,NULL,'m','train',0.0,NULL,NULL);
INSERT INTO "sample" VALUES(2,'84fad3fbad4932bd1187ade06ecf3d0e',2,2,'test',0.5,0,0,10,10,1,1.0,2,'labelled',0,'g','n','test',0.0,NULL,NULL);
INSERT INTO "sample" VALUES(3,'fb000b1ae4ba75d30c255026ec53b44a',3,3,'test',0.5,0,0,10,10,2,1.0,1,'labelled',1,NULL,NULL,NULL,0.0,NULL,NULL);
INSERT INTO "sample" VALUES(4,'2d19a3da7f4912a2b9415153e38ed93a',4,NULL,'test',0.5,0,0,10,10,3,1.0,2,'labelled',1,NULL,NULL,NULL,0.0,NULL,NULL);
CREATE TABLE "sample_hash"(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), version INTEGER NOT NULL, x INTEGER NOT NULL,
    y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL, angle REAL NOT NULL,
    plain INTEGER NOT NULL, flipped INTEGER NOT NULL, filled REAL NOT NULL, points BLOB NOT NULL,
    shapes BLOB NOT NULL, searched INTEGER NOT NULL DEFAULT 0);
INSERT INTO "sample_hash" VALUES(1,1,1,1,1,1,0.25,1,1,0.25,X'0102',X'0102',1);
INSERT INTO "sample_hash" VALUES(2,2,2,2,2,2,0.5,2,2,0.5,X'0102',X'0102',2);
CREATE TABLE scan(
    image INTEGER NOT NULL REFERENCES image(id), detector TEXT NOT NULL, settings TEXT NOT NULL,
    at TEXT NOT NULL, cut TEXT NOT NULL DEFAULT '', PRIMARY KEY(image, detector)) WITHOUT ROWID;
INSERT INTO "scan" VALUES(1,'test','','2026-11-23T16:12:26Z','');
INSERT INTO "scan" VALUES(2,'test','','2026-11-23T16:12:26Z','');
INSERT INTO "scan" VALUES(3,'test','','2026-11-23T16:12:26Z','');
INSERT INTO "scan" VALUES(4,'test','again','2026-11-23T16:12:26Z','');
CREATE TABLE snapshot(
    at TEXT NOT NULL, who TEXT NOT NULL, note TEXT NOT NULL, counts TEXT NOT NULL);
CREATE TABLE "sorting_note"(
    sample INTEGER PRIMARY KEY REFERENCES sample(id), mark TEXT, refused TEXT, bond INTEGER,
    apart TEXT);
INSERT INTO "sorting_note" VALUES(3,NULL,'1',NULL,NULL);
INSERT INTO "sorting_note" VALUES(4,'later',NULL,NULL,NULL);
CREATE TABLE "split_evaluation"(
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, split TEXT NOT NULL, data TEXT NOT NULL,
    why TEXT NOT NULL, at TEXT NOT NULL);
INSERT INTO "split_evaluation" VALUES(1,'run 1','split 1','data 1','why 1','at 1');
INSERT INTO "split_evaluation" VALUES(2,'run 2','split 2','data 2','doubts','at 2');
CREATE TABLE split_plan( id INTEGER PRIMARY KEY, settings TEXT NOT NULL, at TEXT NOT NULL);
INSERT INTO "split_plan" VALUES(1,'seed 0','2026-11-23T16:12:26Z');
CREATE TABLE step(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, who TEXT NOT NULL, undoes INTEGER UNIQUE REFERENCES step(id), kind TEXT, arguments TEXT,
    merged INTEGER NOT NULL DEFAULT 0);
INSERT INTO "step" VALUES(1,'2026-11-23T16:12:26Z','Ann',NULL,'named','{"name":"Label"}',0);
INSERT INTO "step" VALUES(2,'2026-11-23T16:12:26Z','Ann',NULL,'named','{"name":"Reject"}',0);
INSERT INTO "step" VALUES(3,'2026-11-23T16:12:26Z','Ann',2,'undo','{"of":{"arguments":{"name":"Reject"},"kind":"named"}}',0);
INSERT INTO "step" VALUES(4,'2026-11-23T16:12:26Z','Ann',NULL,'named','{"name":"Later"}',0);
INSERT INTO "step" VALUES(5,'2026-01-01T00:00:00Z','Bo',NULL,'named','{"name":"Rename \"A to B\" to C"}',0);
CREATE TABLE tombstone(sha256 TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "tombstone" VALUES('sha256 1','reason 1');
INSERT INTO "tombstone" VALUES('sha256 2','reason 2');
CREATE TABLE track(name TEXT PRIMARY KEY, video TEXT NOT NULL, scene INTEGER NOT NULL,
    begun REAL NOT NULL, ended REAL NOT NULL, frames INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE verdict(
    id INTEGER PRIMARY KEY, step INTEGER NOT NULL REFERENCES step(id),
    a INTEGER NOT NULL REFERENCES sample(id), b INTEGER NOT NULL REFERENCES sample(id),
    verdict TEXT, before_verdict TEXT);
INSERT INTO "verdict" VALUES(1,4,1,2,'same',NULL);
CREATE TABLE video(
    id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, name TEXT NOT NULL, settings TEXT NOT NULL,
    duration REAL, frames INTEGER NOT NULL, url TEXT, state TEXT, done INTEGER NOT NULL DEFAULT 1,
    UNIQUE(sha256, settings));
INSERT INTO "video" VALUES(1,'sha256 1','name 1','{}',0.25,1,'url 1','state 1',1);
INSERT INTO "video" VALUES(2,'sha256 2','name 2','{}',0.5,2,'url 2','state 2',2);
CREATE UNIQUE INDEX origin_once ON origin(image, source, key, ifnull(query,''), ifnull(hint,''));
CREATE INDEX origin_source ON origin(source, image);
CREATE INDEX origin_key ON origin(source, key);
CREATE INDEX origin_video ON origin(video, image) WHERE video IS NOT NULL;
CREATE INDEX origin_licence ON origin(licence, image) WHERE licence IS NOT NULL;
CREATE INDEX origin_hint ON origin(hint, image) WHERE hint IS NOT NULL;
CREATE INDEX video_url ON video(url) WHERE url IS NOT NULL;
CREATE INDEX face_image ON face(image, detector);
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
CREATE INDEX decision_step ON decision(step);
CREATE INDEX decision_sample ON decision(sample);
CREATE INDEX pair_b ON pair(b);
CREATE INDEX pair_verdict ON pair(verdict, a);
CREATE INDEX verdict_step ON verdict(step);
CREATE INDEX verdict_a ON verdict(a);
CREATE INDEX verdict_b ON verdict(b);
CREATE INDEX quality_blur ON quality(blur, sample);
CREATE INDEX proposal_label ON proposal(label, confidence) WHERE rank=1;
CREATE INDEX change_step ON change(step);
CREATE INDEX change_name ON change(before) WHERE what='name';
CREATE INDEX doubt_margin ON doubt(margin, sample);
CREATE INDEX sample_hash_searched ON sample_hash(searched, sample);
CREATE INDEX sorting_note_mark ON sorting_note(mark, sample) WHERE mark IS NOT NULL;
CREATE INDEX sorting_note_bond ON sorting_note(sample)
    WHERE bond IS NOT NULL OR apart IS NOT NULL;
CREATE INDEX split_evaluation_split ON split_evaluation(split, data);
CREATE INDEX placement_step ON placement(step);
CREATE INDEX placement_sample ON placement(sample);
CREATE INDEX sample_track ON sample(track) WHERE track IS NOT NULL;
CREATE INDEX presorted_place ON presorted(place, sample);
CREATE UNIQUE INDEX report_once ON report(sha256, x, y, w, h, claimed) WHERE kind='wrong answer';
CREATE INDEX report_sha256 ON report(sha256);
CREATE INDEX report_status ON report(status, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('image',4);
INSERT INTO "sqlite_sequence" VALUES('face',4);
INSERT INTO "sqlite_sequence" VALUES('sample',4);
INSERT INTO "sqlite_sequence" VALUES('class',2);
INSERT INTO "sqlite_sequence" VALUES('step',5);
INSERT INTO "sqlite_sequence" VALUES('decision',6);
INSERT INTO "sqlite_sequence" VALUES('report',4);
COMMIT;
