-- revision: c1d2e3f4a5b6
-- down: a8b9c0d1e2f3
-- title: add span experiment and start time index

DROP INDEX index_spans_experiment_id;
CREATE INDEX index_spans_experiment_id_start_time ON spans (experiment_id, start_time_unix_nano);
