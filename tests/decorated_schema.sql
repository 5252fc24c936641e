-- For psql, as a superuser: gives MLflow's schema, which belongs to role mlflow, all that pg_dump writes of tables, columns,
-- keys, indexes and constraints. psql's variable `name` is that of a new role and a new tablespace.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = error;
SET allow_in_place_tablespaces = on;
CREATE ROLE :name;
CREATE TABLESPACE :name LOCATION '';
GRANT CREATE ON TABLESPACE :name TO mlflow;
CREATE PUBLICATION everything FOR ALL TABLES;
ALTER DATABASE :"DBNAME" SET default_tablespace = :name;
SET ROLE mlflow;

-- Keys: storage parameters, tablespace, INCLUDE, NULLS NOT DISTINCT, deferred, comments, collation, exclusion.
ALTER TABLE metrics DROP CONSTRAINT metric_pk;
ALTER TABLE metrics ADD CONSTRAINT metric_pk PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan) WITH (fillfactor = 70)
    USING INDEX TABLESPACE :name;
ALTER TABLE tags DROP CONSTRAINT tag_pk;
ALTER TABLE tags ADD CONSTRAINT "Tag's ""key""" PRIMARY KEY (key, run_uuid) INCLUDE (value) WITH (deduplicate_items = off)
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE latest_metrics DROP CONSTRAINT latest_metric_pk;
ALTER TABLE latest_metrics ALTER key TYPE varchar(250) COLLATE "C";
ALTER TABLE latest_metrics ADD CONSTRAINT latest_metric_pk PRIMARY KEY (key, run_uuid);
ALTER TABLE params ADD CONSTRAINT params_unique UNIQUE NULLS NOT DISTINCT (run_uuid, key, value) WITH (fillfactor = 60) DEFERRABLE;
ALTER TABLE runs ADD CONSTRAINT runs_unique UNIQUE (run_uuid, experiment_id);
ALTER TABLE runs ADD CONSTRAINT runs_apart EXCLUDE USING btree (run_uuid WITH =) DEFERRABLE INITIALLY DEFERRED;
COMMENT ON CONSTRAINT metric_pk ON metrics IS E'back\\slash, quote'' and\nline';
COMMENT ON INDEX metric_pk IS 'the index of the key';
COMMENT ON CONSTRAINT "Tag's ""key""" ON tags IS 'quoted';
COMMENT ON CONSTRAINT runs_apart ON runs IS 'excludes';
COMMENT ON CONSTRAINT runs_status_check ON runs IS 'checks';
ALTER INDEX run_pk DEPENDS ON EXTENSION plpgsql;

-- Indexes: operator class and its parameters, collation, order, expression with its statistics, predicate, parameters,
-- tablespace, method, comment.
CREATE INDEX "runs by ""user"" 50%" ON runs (lower(user_id) COLLATE "C" text_pattern_ops DESC NULLS LAST, (start_time / 1000))
    INCLUDE (name) WITH (fillfactor = 55) TABLESPACE :name WHERE lifecycle_stage <> 'deleted';
ALTER INDEX "runs by ""user"" 50%" ALTER COLUMN 1 SET STATISTICS 321, ALTER COLUMN 2 SET STATISTICS 0;
ALTER INDEX "runs by ""user"" 50%" DEPENDS ON EXTENSION plpgsql;
COMMENT ON INDEX "runs by ""user"" 50%" IS 'an index''s';
CREATE INDEX metrics_brin ON metrics USING brin (timestamp int8_minmax_multi_ops (values_per_range = 16), step) WITH (pages_per_range = 4);
CREATE INDEX params_gin ON params USING gin (to_tsvector('english', value)) WITH (fastupdate = off);
CREATE INDEX params_hash ON params USING hash (key);
CREATE UNIQUE INDEX experiments_replica ON experiments (experiment_id, name);
ALTER INDEX index_params_run_uuid SET TABLESPACE :name;
ALTER INDEX index_metrics_run_uuid SET (fillfactor = 75);

-- What a table says of its indexes.
ALTER TABLE runs CLUSTER ON run_pk;
ALTER TABLE metrics CLUSTER ON index_metrics_run_uuid;
ALTER TABLE params REPLICA IDENTITY FULL;
ALTER TABLE experiments ALTER name SET NOT NULL, REPLICA IDENTITY USING INDEX experiments_replica;
ALTER TABLE latest_metrics REPLICA IDENTITY USING INDEX latest_metric_pk;

-- Foreign keys: deferred, not valid, actions, match, comments; to a unique index, from other tables, partitioned ones too.
ALTER TABLE runs DROP CONSTRAINT runs_experiment_id_fkey;
ALTER TABLE runs ADD CONSTRAINT runs_experiment_id_fkey FOREIGN KEY (experiment_id) REFERENCES experiments DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE tags DROP CONSTRAINT tags_run_uuid_fkey;
ALTER TABLE tags ADD CONSTRAINT tags_run_uuid_fkey FOREIGN KEY (run_uuid) REFERENCES runs MATCH FULL ON UPDATE CASCADE ON DELETE RESTRICT
    DEFERRABLE NOT VALID;
CREATE UNIQUE INDEX runs_reversed ON runs (experiment_id, run_uuid);
CREATE TABLE "My notes" (run varchar(32) CONSTRAINT "of a run" REFERENCES runs, experiment integer, n integer PRIMARY KEY,
    FOREIGN KEY (experiment, run) REFERENCES runs (experiment_id, run_uuid) ON DELETE SET NULL (run));
CREATE TABLE parted (run varchar(32), n integer, CONSTRAINT parted_run FOREIGN KEY (run) REFERENCES runs) PARTITION BY RANGE (n);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (9);
CREATE TABLE parted_2 (LIKE parted, CONSTRAINT own_name FOREIGN KEY (run) REFERENCES runs);
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (9) TO (18);
COMMENT ON CONSTRAINT runs_experiment_id_fkey ON runs IS 'deferred';
COMMENT ON CONSTRAINT "of a run" ON "My notes" IS 'another table''s';
COMMENT ON CONSTRAINT parted_run ON parted IS 'of partitions';

-- Checks, statistics, triggers, rules, rights, columns.
ALTER TABLE params ADD CONSTRAINT params_check CHECK (length(key) > 0) NOT VALID;
CREATE STATISTICS runs_statistics (ndistinct, dependencies) ON user_id, status FROM runs;
ALTER STATISTICS runs_statistics SET STATISTICS 77;
COMMENT ON STATISTICS runs_statistics IS 'extended';
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER disabled BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TRIGGER replica AFTER UPDATE OF name ON runs FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TRIGGER always AFTER DELETE ON params REFERENCING OLD TABLE AS o EXECUTE FUNCTION nothing();
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT OR UPDATE OR DELETE ON runs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE CONSTRAINT TRIGGER deferred AFTER DELETE ON experiments DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TABLE runs DISABLE TRIGGER disabled, ENABLE REPLICA TRIGGER replica;
ALTER TABLE params ENABLE ALWAYS TRIGGER always;
CREATE RULE tags_rule AS ON DELETE TO tags WHERE old.key = 'keep' DO INSTEAD NOTHING;
CREATE VIEW my_view AS SELECT run_uuid, count(*) AS n FROM params GROUP BY 1;
GRANT SELECT, INSERT ON runs TO :name WITH GRANT OPTION;
GRANT UPDATE (name) ON runs TO :name;
CREATE POLICY mine ON tags TO :name USING (key <> 'secret');
ALTER TABLE tags SET (autovacuum_enabled = off, fillfactor = 90), SET TABLESPACE :name;
ALTER TABLE tags ALTER value SET STATISTICS 500, ALTER value SET STORAGE EXTERNAL, ALTER value SET COMPRESSION pglz,
    ALTER run_uuid SET (n_distinct = -0.5);
COMMENT ON COLUMN tags.value IS 'a column''s';
