-- revision: bda7b8c39065
-- down: 6953534de441
-- title: increase_model_version_tag_value_limit

ALTER TABLE model_version_tags ALTER COLUMN value TYPE TEXT;
