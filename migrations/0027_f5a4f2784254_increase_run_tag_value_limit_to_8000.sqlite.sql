-- revision: f5a4f2784254
-- down: 4465047574b1
-- title: increase run tag value limit to 8000

CREATE TABLE _ml_new_tags (
    key VARCHAR(250) NOT NULL,
    value VARCHAR(8000),
    run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT tag_pk PRIMARY KEY (key, run_uuid),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO _ml_new_tags (key, value, run_uuid)
SELECT key, value, run_uuid
FROM tags;
DROP TABLE tags;
ALTER TABLE _ml_new_tags RENAME TO tags;
CREATE INDEX index_tags_run_uuid ON tags (run_uuid);
