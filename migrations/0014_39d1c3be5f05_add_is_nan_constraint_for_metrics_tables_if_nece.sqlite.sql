-- revision: 39d1c3be5f05
-- down: a8c4a736bde6
-- title: add_is_nan_constraint_for_metrics_tables_if_necessary

-- A CHECK is no part of the rows: it goes into the text of the tables, and the rows are only looked at.
CREATE TEMP TABLE _ml_is_nan (
    is_nan BOOLEAN,
    CHECK (is_nan IN (0, 1))
);
INSERT INTO temp._ml_is_nan (is_nan)
SELECT DISTINCT is_nan FROM metrics
UNION ALL
SELECT DISTINCT is_nan FROM latest_metrics;
DROP TABLE temp._ml_is_nan;

PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = rtrim(substr(sql, 1, length(sql) - 1), ' ' || char(9, 10, 13)) || ',' || char(10) || '    CHECK (is_nan IN (0, 1))' || char(10) || ')'
WHERE type = 'table' AND name IN ('metrics', 'latest_metrics') AND sql LIKE '%)'
    AND replace(sql, ' ', '') NOT LIKE '%CHECK(is_nanIN(0,1))%';
PRAGMA writable_schema = RESET;

-- A change of the schema's version, by which other connections learn of it.
CREATE TABLE _ml_schema_version (a);
DROP TABLE _ml_schema_version;
