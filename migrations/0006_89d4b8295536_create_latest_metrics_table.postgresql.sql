-- revision: 89d4b8295536
-- down: 7ac759974ad8
-- title: create latest metrics table

-- Of each metric of a run the point with the greatest step, then timestamp, then value; of a number and a NaN that tie
-- (a NaN's value is stored as 0) the number, so that there is one row. One pass, which the server may share among
-- workers (no INSERT could be): what is compared lies in an array of doubles, which hold 64-bit numbers in the right
-- order, and exactly those below 2^53. Bytes ("C") group as any collation does, and faster.
CREATE TABLE latest_metrics AS
SELECT key COLLATE "default" AS key, best[3] AS value,
    CASE WHEN abs(best[2]) < 9007199254740992 THEN best[2]::bigint END AS timestamp,
    CASE WHEN abs(best[1]) < 9007199254740992 THEN best[1]::bigint END AS step,
    best[4] = 0 AS is_nan, run_uuid COLLATE "default" AS run_uuid
FROM (
    SELECT key COLLATE "C" AS key, run_uuid COLLATE "C" AS run_uuid, max(ARRAY[
        step::float8, timestamp::float8, value, CASE WHEN is_nan THEN 0::float8 ELSE 1::float8 END]) AS best
    FROM metrics
    GROUP BY 1, 2
) AS latest;
-- Where all tables are published a row may be changed only if it can be told from others, and the key comes last.
ALTER TABLE latest_metrics REPLICA IDENTITY FULL;
-- The few metrics with greater numbers, by their points.
UPDATE latest_metrics AS latest
SET value = point.value, timestamp = point.timestamp, step = point.step, is_nan = point.is_nan
FROM (
    SELECT DISTINCT ON (run_uuid, key) run_uuid, key, value, timestamp, step, is_nan
    FROM metrics
    WHERE (run_uuid, key) IN (SELECT run_uuid, key FROM latest_metrics WHERE step IS NULL OR timestamp IS NULL)
    ORDER BY run_uuid, key, step DESC, timestamp DESC, value DESC, is_nan
) AS point
WHERE latest.run_uuid = point.run_uuid AND latest.key = point.key;
ALTER TABLE latest_metrics
    ALTER COLUMN key SET NOT NULL,
    ALTER COLUMN value SET NOT NULL,
    ALTER COLUMN step SET NOT NULL,
    ALTER COLUMN is_nan SET NOT NULL,
    ALTER COLUMN run_uuid SET NOT NULL,
    ADD CONSTRAINT latest_metric_pk PRIMARY KEY (key, run_uuid),
    ADD FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid),
    REPLICA IDENTITY DEFAULT;
