-- revision: 7ac759974ad8
-- down: df50e92ffc5e
-- title: Update run tags with larger limit

ALTER TABLE tags ALTER COLUMN value TYPE VARCHAR(5000);
