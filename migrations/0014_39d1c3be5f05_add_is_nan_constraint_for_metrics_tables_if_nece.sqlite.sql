-- revision: 39d1c3be5f05
-- down: a8c4a736bde6
-- title: add_is_nan_constraint_for_metrics_tables_if_necessary

CREATE TABLE _ml_new_latest_metrics (
    key VARCHAR(250) NOT NULL,
    value FLOAT NOT NULL,
    timestamp BIGINT,
    step BIGINT NOT NULL,
    is_nan BOOLEAN NOT NULL,
    run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT latest_metric_pk PRIMARY KEY (key, run_uuid),
    CHECK (is_nan IN (0, 1)),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO _ml_new_latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT key, value, timestamp, step, is_nan, run_uuid
FROM latest_metrics;
DROP TABLE latest_metrics;
ALTER TABLE _ml_new_latest_metrics RENAME TO latest_metrics;
CREATE TABLE _ml_new_metrics (
    key VARCHAR(250) NOT NULL,
    value FLOAT NOT NULL,
    timestamp BIGINT NOT NULL,
    run_uuid VARCHAR(32) NOT NULL,
    step BIGINT DEFAULT '0' NOT NULL,
    is_nan BOOLEAN DEFAULT '0' NOT NULL,
    CONSTRAINT metric_pk PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan),
    CHECK (is_nan IN (0, 1)),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO _ml_new_metrics (key, value, timestamp, run_uuid, step, is_nan)
SELECT key, value, timestamp, run_uuid, step, is_nan
FROM metrics;
DROP TABLE metrics;
ALTER TABLE _ml_new_metrics RENAME TO metrics;
