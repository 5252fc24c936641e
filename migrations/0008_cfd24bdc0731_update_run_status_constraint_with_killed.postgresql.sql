-- revision: cfd24bdc0731
-- down: 2b4d017a5e9b
-- title: Update run status constraint with killed

ALTER TABLE runs DROP CONSTRAINT IF EXISTS status;
ALTER TABLE runs ALTER COLUMN status TYPE VARCHAR(9);
ALTER TABLE runs ADD CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'));
