-- revision: acf3f17fdcc7
-- down: 2d6e25af4d3e
-- title: add storage location field to model versions

ALTER TABLE model_versions ADD COLUMN storage_location VARCHAR(500);
