-- revision: cc1f77228345
-- down: 0c779009ac13
-- title: change param value length to 500

ALTER TABLE params ALTER COLUMN value TYPE VARCHAR(500);
