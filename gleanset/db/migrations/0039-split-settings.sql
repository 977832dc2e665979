-- Settings of a split were words such as `ratio=8:1:1 seed=0 'hold-out=video=my show.mkv'`.
CREATE TEMP TABLE word AS
WITH RECURSIVE parsed(plan, rest, word) AS (
    SELECT id, replace(settings, '''"''"''', char(1)) || ' ', NULL FROM split_plan
    UNION ALL
    SELECT plan,
        CASE WHEN rest LIKE '''%' THEN substr(rest, instr(substr(rest, 2), '''') + 3)
            ELSE substr(rest, instr(rest, ' ') + 1) END,
        CASE WHEN rest LIKE '''%' THEN substr(rest, 2, instr(substr(rest, 2), '''') - 1)
            ELSE substr(rest, 1, instr(rest, ' ') - 1) END
    FROM parsed WHERE rest <> '')
SELECT plan, substr(word, 1, instr(word, '=') - 1) AS name,
    replace(substr(word, instr(word, '=') + 1), char(1), '''') AS value
FROM parsed WHERE word LIKE '%=%';
UPDATE split_plan SET settings = (
    SELECT json_object(
        'ratio', max(value) FILTER (WHERE name = 'ratio'),
        'seed', CAST(max(value) FILTER (WHERE name = 'seed') AS INTEGER),
        'hold_out', json(coalesce(
            json_group_array(value) FILTER (WHERE name = 'hold-out'), '[]')),
        'test_per_class', CAST(max(value) FILTER (WHERE name = 'test-per-class') AS INTEGER))
    FROM word WHERE plan = split_plan.id)
WHERE id IN (SELECT plan FROM word WHERE name = 'ratio')
    AND id IN (SELECT plan FROM word WHERE name = 'seed');
-- Only earlier versions split without a ratio; they also wrote such changes.
UPDATE split_plan SET settings = 'null' WHERE settings NOT LIKE '{%';
DELETE FROM change WHERE what = 'split plan';
DROP TABLE word;
