-- revision: 0c779009ac13
-- down: bd07f7e963c5
-- title: add deleted_time field to runs table

ALTER TABLE runs ADD COLUMN deleted_time BIGINT;
