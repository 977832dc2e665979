-- Links between samples, shows of classes, folds and balances were of earlier versions.
DELETE FROM change
    WHERE what IN ('bond', 'apart', 'show', 'fold', 'copies', 'weight', 'balance plan');
DROP INDEX sorting_note_bond;
ALTER TABLE sorting_note DROP COLUMN bond;
ALTER TABLE sorting_note DROP COLUMN apart;
ALTER TABLE class DROP COLUMN show;
ALTER TABLE sample DROP COLUMN fold;
DROP TABLE balance;
DROP TABLE balance_plan;
UPDATE pair SET verdict='open' WHERE verdict='tied';
-- The images of such a step were removed for good, so it cannot be undone.
UPDATE step SET merged=1 WHERE kind='take-down';
