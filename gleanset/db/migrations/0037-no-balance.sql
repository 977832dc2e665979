-- Links between samples, shows of classes, folds and balances were of earlier versions.
DELETE FROM change
    WHERE what IN ('bond', 'apart', 'show', 'fold', 'copies', 'weight', 'balance plan');
-- Copied: where the table has comments, SQLite cannot drop its last columns (it looks for a comma).
ALTER TABLE sorting_note RENAME TO old_note;
CREATE TABLE sorting_note(
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    mark TEXT,
    refused TEXT);
INSERT INTO sorting_note SELECT sample, mark, refused FROM old_note;
DROP TABLE old_note;
CREATE INDEX sorting_note_mark ON sorting_note(mark, sample) WHERE mark IS NOT NULL;
ALTER TABLE class DROP COLUMN show;
ALTER TABLE sample DROP COLUMN fold;
DROP TABLE balance;
DROP TABLE balance_plan;
UPDATE pair SET verdict='open' WHERE verdict='tied';
-- The images of such a step were removed for good, so it cannot be undone.
UPDATE step SET merged=1 WHERE kind='take-down';
