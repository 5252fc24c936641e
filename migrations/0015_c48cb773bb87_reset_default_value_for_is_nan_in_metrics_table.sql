-- revision: c48cb773bb87
-- down: 39d1c3be5f05
-- title: reset_default_value_for_is_nan_in_metrics_table_for_mysql

-- Nothing to do here.
