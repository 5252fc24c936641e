-- revision: 97727af70f4d
-- down: cc1f77228345
-- title: Add creation_time and last_update_time to experiments table

ALTER TABLE experiments ADD COLUMN creation_time BIGINT;
ALTER TABLE experiments ADD COLUMN last_update_time BIGINT;
