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
-- Only the points of the greatest step are sorted.
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT DISTINCT ON (m.run_uuid, m.key) m.key, m.value, m.timestamp, m.step, m.is_nan, m.run_uuid
FROM metrics m
JOIN (SELECT run_uuid, key, max(step) AS step FROM metrics GROUP BY run_uuid, key) l
    ON l.run_uuid = m.run_uuid AND l.key = m.key AND l.step = m.step
ORDER BY m.run_uuid, m.key, m.timestamp DESC, m.value DESC, m.is_nan;
