-- revision: c3d6457b6d8a
-- down: 76601a5f987d
-- title: add status_details column to jobs table

ALTER TABLE jobs ADD COLUMN status_details JSON;
