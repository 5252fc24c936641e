-- revision: 3da73c924c2f
-- down: 71994744cf8e
-- title: add outputs to dataset record

ALTER TABLE evaluation_dataset_records ADD COLUMN outputs JSON;
