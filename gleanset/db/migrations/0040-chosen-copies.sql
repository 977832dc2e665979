-- Which copy a person chose to keep was known by the text of the reason alone.
ALTER TABLE placement ADD COLUMN chosen INTEGER NOT NULL DEFAULT 0;
UPDATE placement SET chosen=1 WHERE kept AND reason='kept: chosen by a person';
ALTER TABLE placement DROP COLUMN reason;
