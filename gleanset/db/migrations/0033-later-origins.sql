ALTER TABLE origin ADD COLUMN later INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER origin_later AFTER INSERT ON origin WHEN
    (EXISTS(SELECT 1 FROM scan WHERE image=new.image)
    OR EXISTS(SELECT 1 FROM sample WHERE image=new.image AND status<>'retired'))
    AND NOT EXISTS(SELECT 1 FROM origin WHERE NOT later AND id<>new.id
    AND (image, source, key)=(new.image, new.source, new.key))
    BEGIN UPDATE origin SET later=1 WHERE id=new.id; END;
