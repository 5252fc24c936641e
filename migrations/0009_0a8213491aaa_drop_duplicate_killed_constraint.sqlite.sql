-- revision: 0a8213491aaa
-- down: cfd24bdc0731
-- title: drop_duplicate_killed_constraint

-- Nothing to do.
