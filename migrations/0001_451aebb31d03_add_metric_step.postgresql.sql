-- revision: 451aebb31d03
-- down: base
-- title: add metric step

ALTER TABLE metrics DROP CONSTRAINT metric_pk;
ALTER TABLE metrics ADD COLUMN step BIGINT DEFAULT '0' NOT NULL;
ALTER TABLE metrics ADD CONSTRAINT metric_pk PRIMARY KEY (key, timestamp, step, run_uuid, value);
