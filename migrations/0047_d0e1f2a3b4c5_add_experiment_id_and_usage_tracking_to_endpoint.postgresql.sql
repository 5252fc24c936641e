-- revision: d0e1f2a3b4c5
-- down: d3e4f5a6b7c8
-- title: add experiment_id and usage_tracking to endpoints table

ALTER TABLE endpoints ADD COLUMN experiment_id INTEGER;
ALTER TABLE endpoints ADD COLUMN usage_tracking BOOLEAN DEFAULT false NOT NULL;
ALTER TABLE endpoints ADD CONSTRAINT fk_endpoints_experiment_id FOREIGN KEY (experiment_id) REFERENCES experiments (experiment_id) ON DELETE SET NULL;
