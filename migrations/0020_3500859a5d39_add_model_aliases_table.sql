-- revision: 3500859a5d39
-- down: 97727af70f4d
-- title: Add Model Aliases table

-- Some databases have the table already.
CREATE TABLE IF NOT EXISTS registered_model_aliases (
    alias VARCHAR(256) NOT NULL,
    version INTEGER NOT NULL,
    name VARCHAR(256) NOT NULL,
    CONSTRAINT registered_model_alias_pk PRIMARY KEY (name, alias),
    CONSTRAINT registered_model_alias_name_fkey FOREIGN KEY (name) REFERENCES registered_models (name) ON UPDATE CASCADE ON DELETE CASCADE
);

