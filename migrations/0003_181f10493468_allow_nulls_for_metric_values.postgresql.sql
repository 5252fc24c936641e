-- revision: 181f10493468
-- down: 90e64c465722
-- title: allow nulls for metric values

ALTER TABLE metrics DROP CONSTRAINT metric_pk;
ALTER TABLE metrics ADD COLUMN is_nan BOOLEAN DEFAULT false NOT NULL;
ALTER TABLE metrics ADD CONSTRAINT metric_pk PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan);
