-- revision: d3e4f5a6b7c8
-- down: 2c33131f4dae
-- title: add display_name to endpoint_bindings

ALTER TABLE endpoint_bindings ADD COLUMN display_name VARCHAR(255);
