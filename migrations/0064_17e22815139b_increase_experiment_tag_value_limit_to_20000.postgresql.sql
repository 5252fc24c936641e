-- revision: 17e22815139b
-- down: 1971f2d9a75b
-- title: increase experiment tag value limit to 20000

ALTER TABLE experiment_tags ALTER COLUMN value TYPE TEXT;
