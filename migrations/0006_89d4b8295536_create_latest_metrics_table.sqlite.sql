-- revision: 89d4b8295536
-- down: 7ac759974ad8
-- title: create latest metrics table

CREATE TABLE latest_metrics (
    key VARCHAR(250) NOT NULL,
    value FLOAT NOT NULL,
    timestamp BIGINT,
    step BIGINT NOT NULL,
    is_nan BOOLEAN NOT NULL,
    run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT latest_metric_pk PRIMARY KEY (key, run_uuid),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)
);

-- Of each metric of a run the point with the greatest step, then timestamp, then value; of a number and a NaN that tie
-- (a NaN's value is stored as 0) the number, so that there is one row.
-- The primary key's index has all columns, and read backwards it gives most winners first.
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT key, value, timestamp, step, is_nan, run_uuid
FROM metrics
WHERE true
ORDER BY key DESC, timestamp DESC, step DESC, run_uuid DESC, value DESC, is_nan DESC
ON CONFLICT (key, run_uuid) DO UPDATE
SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan
WHERE (excluded.step, excluded.timestamp, excluded.value, -excluded.is_nan)
    > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value, -latest_metrics.is_nan);
