-- revision: b7e2c1a4d9f3
-- down: 17e22815139b
-- title: add creator column to jobs

ALTER TABLE jobs ADD COLUMN creator VARCHAR(255);
