-- revision: f5a4f2784254
-- down: 4465047574b1
-- title: increase run tag value limit to 8000

ALTER TABLE tags ALTER COLUMN value TYPE VARCHAR(8000);
