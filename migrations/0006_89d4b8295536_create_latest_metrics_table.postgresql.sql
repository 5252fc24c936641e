-- revision: 89d4b8295536
-- down: 7ac759974ad8
-- title: create latest metrics table

-- Of each metric of a run the point with the greatest step, then timestamp, then value; of a number and a NaN that tie
-- (a NaN's value is stored as 0) the number, so that there is one row. One pass, which the server may share among
-- workers (no INSERT could be): what is compared lies in an array, 64-bit numbers as two halves, which a double holds.
CREATE TABLE latest_metrics AS
SELECT key, best[5] AS value, best[3]::bigint << 32 | best[4]::bigint AS timestamp,
    best[1]::bigint << 32 | best[2]::bigint AS step, best[6] = 0 AS is_nan, run_uuid
FROM (
    SELECT key, run_uuid, max(ARRAY[
        (step >> 32)::float8, (step & 4294967295)::float8, (timestamp >> 32)::float8, (timestamp & 4294967295)::float8,
        value, (NOT is_nan)::int::float8]) AS best
    FROM metrics
    GROUP BY run_uuid, key
) AS latest;
ALTER TABLE latest_metrics
    ALTER COLUMN key SET NOT NULL,
    ALTER COLUMN value SET NOT NULL,
    ALTER COLUMN step SET NOT NULL,
    ALTER COLUMN is_nan SET NOT NULL,
    ALTER COLUMN run_uuid SET NOT NULL,
    ADD CONSTRAINT latest_metric_pk PRIMARY KEY (key, run_uuid),
    ADD FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid);
