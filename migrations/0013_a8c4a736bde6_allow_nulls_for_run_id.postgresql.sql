-- revision: a8c4a736bde6
-- down: 84291f40a231
-- title: allow nulls for run_id

ALTER TABLE model_versions ALTER COLUMN run_id DROP NOT NULL;
