-- Where a track's face was in each searched frame; of earlier tracks only the stored frames are known.
ALTER TABLE track ADD COLUMN boxes TEXT NOT NULL DEFAULT '[]';
UPDATE track SET boxes = (
    SELECT json_group_array(json_array(time, x, y, w, h))
    FROM (
        SELECT o.time, ifnull(f.x, s.x) AS x, ifnull(f.y, s.y) AS y, ifnull(f.w, s.w) AS w,
            ifnull(f.h, s.h) AS h
        FROM sample s
        JOIN origin o ON o.image = s.image AND o.video = track.video
        LEFT JOIN face f ON f.id = s.face
        WHERE s.track = track.name
        GROUP BY o.time
        ORDER BY o.time));
