-- revision: 2d6e25af4d3e
-- down: 7f2a7d5fae7d
-- title: increase max param val length from 500 to 8000

ALTER TABLE params ALTER COLUMN value TYPE VARCHAR(8000);
