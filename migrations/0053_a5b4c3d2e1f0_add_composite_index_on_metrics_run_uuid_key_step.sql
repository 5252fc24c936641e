-- revision: a5b4c3d2e1f0
-- down: c3d6457b6d8a
-- title: add composite index on metrics (run_uuid, key, step)

CREATE INDEX index_metrics_run_uuid_key_step ON metrics (run_uuid, key, step);
