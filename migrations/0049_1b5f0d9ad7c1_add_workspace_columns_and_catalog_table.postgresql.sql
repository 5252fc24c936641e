-- revision: 1b5f0d9ad7c1
-- down: c8d9e0f1a2b3
-- title: Add workspace columns and catalog table

CREATE TABLE workspaces (
    name VARCHAR(63) NOT NULL,
    description TEXT,
    default_artifact_root TEXT,
    CONSTRAINT workspaces_pk PRIMARY KEY (name)
);

-- The keys that a workspace now becomes part of. They are found by what they are, since their names differ among
-- databases: a unique name may be a constraint or an index.
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT c.conrelid::regclass AS tab, c.conname AS name
        FROM pg_constraint c
        WHERE c.contype = 'f'
            AND (c.conrelid IN ('model_versions'::regclass, 'registered_model_tags'::regclass,
                                'registered_model_aliases'::regclass) AND c.confrelid = 'registered_models'::regclass
                 OR c.conrelid = 'model_version_tags'::regclass AND c.confrelid = 'model_versions'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', old.tab, old.name);
    END LOOP;
    FOR old IN
        SELECT c.conrelid::regclass AS tab, c.conname AS name
        FROM pg_constraint c
        WHERE c.contype = 'p'
            AND c.conrelid IN ('registered_models'::regclass, 'model_versions'::regclass,
                               'registered_model_tags'::regclass, 'model_version_tags'::regclass,
                               'registered_model_aliases'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', old.tab, old.name);
    END LOOP;
    FOR old IN
        SELECT t.tab::regclass AS tab, i.indexrelid::regclass AS index, c.conname AS name
        FROM (VALUES ('experiments', 'name'), ('registered_models', 'name'), ('secrets', 'secret_name'),
                     ('endpoints', 'name'), ('model_definitions', 'name')) AS t (tab, col)
        JOIN pg_attribute a ON a.attrelid = t.tab::regclass AND a.attname = t.col
        JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisunique AND i.indnatts = 1 AND i.indkey[0] = a.attnum
            AND i.indpred IS NULL
        LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype = 'u'
    LOOP
        IF old.name IS NULL THEN
            EXECUTE format('DROP INDEX %s', old.index);
        ELSE
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', old.tab, old.name);
        END IF;
    END LOOP;
END
$$;

DROP INDEX index_jobs_name_status_creation_time;
ALTER TABLE evaluation_datasets ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE experiments ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE endpoints ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE jobs ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE registered_models ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE model_versions ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE model_version_tags ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE registered_model_aliases ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE registered_model_tags ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE secrets ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE model_definitions ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE webhooks ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE experiments ADD CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name);
ALTER TABLE endpoints ADD CONSTRAINT uq_endpoints_workspace_name UNIQUE (workspace, name);
ALTER TABLE registered_models ADD CONSTRAINT registered_model_pk PRIMARY KEY (workspace, name);
ALTER TABLE model_versions ADD CONSTRAINT model_version_pk PRIMARY KEY (workspace, name, version);
ALTER TABLE model_version_tags ADD CONSTRAINT model_version_tag_pk PRIMARY KEY (workspace, key, name, version);
ALTER TABLE registered_model_aliases ADD CONSTRAINT registered_model_alias_pk PRIMARY KEY (workspace, name, alias);
ALTER TABLE registered_model_tags ADD CONSTRAINT registered_model_tag_pk PRIMARY KEY (workspace, key, name);
ALTER TABLE secrets ADD CONSTRAINT uq_secrets_workspace_secret_name UNIQUE (workspace, secret_name);
ALTER TABLE model_definitions ADD CONSTRAINT uq_model_definitions_workspace_name UNIQUE (workspace, name);
ALTER TABLE model_versions ADD CONSTRAINT fk_model_versions_registered_models FOREIGN KEY (workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE;
ALTER TABLE model_version_tags ADD CONSTRAINT fk_model_version_tags_model_versions FOREIGN KEY (workspace, name, version) REFERENCES model_versions (workspace, name, version) ON UPDATE CASCADE;
ALTER TABLE registered_model_aliases ADD CONSTRAINT fk_registered_model_aliases_registered_models FOREIGN KEY (workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE registered_model_tags ADD CONSTRAINT fk_registered_model_tags_registered_models FOREIGN KEY (workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE;
CREATE INDEX idx_evaluation_datasets_workspace ON evaluation_datasets (workspace);
CREATE INDEX idx_experiments_workspace ON experiments (workspace);
CREATE INDEX idx_experiments_workspace_creation_time ON experiments (workspace, creation_time);
CREATE INDEX idx_endpoints_workspace ON endpoints (workspace);
CREATE INDEX index_jobs_name_status_creation_time ON jobs (job_name, workspace, status, creation_time);
CREATE INDEX idx_registered_models_workspace ON registered_models (workspace);
CREATE INDEX idx_secrets_workspace ON secrets (workspace);
CREATE INDEX idx_model_definitions_workspace ON model_definitions (workspace);
CREATE INDEX idx_webhooks_workspace ON webhooks (workspace);

INSERT INTO workspaces (name, description, default_artifact_root)
VALUES ('default', 'Default workspace for legacy resources', NULL);
