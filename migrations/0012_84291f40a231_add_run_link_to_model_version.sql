-- revision: 84291f40a231
-- down: 27a6a02d2cf1
-- title: add run_link to model_version

ALTER TABLE model_versions ADD COLUMN run_link VARCHAR(500);
