-- revision: 39d1c3be5f05
-- down: a8c4a736bde6
-- title: add_is_nan_constraint_for_metrics_tables_if_necessary

-- Nothing to do: is_nan has been a boolean from the start.
