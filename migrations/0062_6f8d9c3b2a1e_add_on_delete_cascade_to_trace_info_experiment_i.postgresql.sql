-- revision: 6f8d9c3b2a1e
-- down: c3d9e7f1a2b4
-- title: Add ON DELETE CASCADE to `trace_info.experiment_id`.

ALTER TABLE trace_info DROP CONSTRAINT fk_trace_info_experiment_id;
ALTER TABLE trace_info ADD CONSTRAINT fk_trace_info_experiment_id FOREIGN KEY (experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE;
