ALTER TABLE sample ADD COLUMN last_split TEXT;
UPDATE sample SET last_split=split;
CREATE TRIGGER sample_last_split AFTER UPDATE OF split ON sample WHEN new.split IS NOT NULL
    BEGIN UPDATE sample SET last_split=new.split WHERE id=new.id; END;
