-- revision: 6953534de441
-- down: 400f98739977
-- title: add step to inputs table

ALTER TABLE inputs ADD COLUMN step BIGINT DEFAULT '0' NOT NULL;
