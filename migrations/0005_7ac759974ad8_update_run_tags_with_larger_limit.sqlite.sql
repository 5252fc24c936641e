-- revision: 7ac759974ad8
-- down: df50e92ffc5e
-- title: Update run tags with larger limit

CREATE TABLE _ml_new_tags (
    key VARCHAR(250) NOT NULL,
    value VARCHAR(5000),
    run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT tag_pk PRIMARY KEY (key, run_uuid),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO _ml_new_tags (key, value, run_uuid)
SELECT key, value, run_uuid
FROM tags;
DROP TABLE tags;
ALTER TABLE _ml_new_tags RENAME TO tags;
