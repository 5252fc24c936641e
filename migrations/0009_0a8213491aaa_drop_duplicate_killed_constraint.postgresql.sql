-- revision: 0a8213491aaa
-- down: cfd24bdc0731
-- title: drop_duplicate_killed_constraint

-- MLflow 1.5.0 left the old list of statuses, which has no KILLED, beside the new one.
ALTER TABLE runs DROP CONSTRAINT IF EXISTS status;
