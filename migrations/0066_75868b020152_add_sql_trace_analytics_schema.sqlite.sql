-- revision: 75868b020152
-- down: b7e2c1a4d9f3
-- title: add sql trace analytics schema

-- call: trace_analytics_check
CREATE TABLE sql_assessment_daily_rollups (
    id INTEGER NOT NULL,
    experiment_id INTEGER NOT NULL,
    rollup_day DATE NOT NULL,
    metric_name VARCHAR(250) NOT NULL,
    grouping_set VARCHAR(50) NOT NULL,
    sample_count BIGINT NOT NULL,
    sum_value FLOAT,
    min_value FLOAT,
    max_value FLOAT,
    CONSTRAINT sql_assessment_daily_rollups_pk PRIMARY KEY (id)
);
CREATE INDEX idx_assessment_rollups_lookup ON sql_assessment_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set);

CREATE TABLE sql_span_cost_daily_rollups (
    id INTEGER NOT NULL,
    experiment_id INTEGER NOT NULL,
    rollup_day DATE NOT NULL,
    metric_name VARCHAR(250) NOT NULL,
    grouping_set VARCHAR(50) NOT NULL,
    model_name VARCHAR(500),
    model_provider VARCHAR(500),
    sample_count BIGINT NOT NULL,
    sum_value FLOAT,
    min_value FLOAT,
    max_value FLOAT,
    CONSTRAINT sql_span_cost_daily_rollups_pk PRIMARY KEY (id)
);
CREATE INDEX idx_span_cost_rollups_lookup ON sql_span_cost_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, model_name, model_provider);

CREATE TABLE sql_trace_metric_daily_rollups (
    id INTEGER NOT NULL,
    experiment_id INTEGER NOT NULL,
    rollup_day DATE NOT NULL,
    metric_name VARCHAR(250) NOT NULL,
    grouping_set VARCHAR(50) NOT NULL,
    trace_status VARCHAR(50),
    sample_count BIGINT NOT NULL,
    sum_value FLOAT,
    min_value FLOAT,
    max_value FLOAT,
    p50_value FLOAT,
    p90_value FLOAT,
    p99_value FLOAT,
    CONSTRAINT sql_trace_metric_daily_rollups_pk PRIMARY KEY (id)
);
CREATE INDEX idx_trace_rollups_lookup ON sql_trace_metric_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, trace_status);

CREATE TABLE sql_trace_rollup_rebuild_queue (
    experiment_id INTEGER NOT NULL,
    rollup_day DATE NOT NULL,
    rollup_family VARCHAR(50) NOT NULL,
    CONSTRAINT sql_trace_rollup_rebuild_queue_pk PRIMARY KEY (experiment_id, rollup_day, rollup_family)
);

-- Columns that are here already were made by MLflow's `db prepopulate-trace-analytics`.
-- unless: trace_info.trace_name
ALTER TABLE trace_info ADD COLUMN trace_name VARCHAR(4096);
-- unless: trace_info.session_id
ALTER TABLE trace_info ADD COLUMN session_id VARCHAR(250);
-- unless: trace_info.input_tokens
ALTER TABLE trace_info ADD COLUMN input_tokens BIGINT;
-- unless: trace_info.output_tokens
ALTER TABLE trace_info ADD COLUMN output_tokens BIGINT;
-- unless: trace_info.total_tokens
ALTER TABLE trace_info ADD COLUMN total_tokens BIGINT;
-- unless: trace_info.cache_read_input_tokens
ALTER TABLE trace_info ADD COLUMN cache_read_input_tokens BIGINT;
-- unless: trace_info.cache_creation_input_tokens
ALTER TABLE trace_info ADD COLUMN cache_creation_input_tokens BIGINT;
-- unless: trace_info.cache_creation_input_tokens_above_1hr
ALTER TABLE trace_info ADD COLUMN cache_creation_input_tokens_above_1hr BIGINT;
-- unless: trace_info.input_cost
ALTER TABLE trace_info ADD COLUMN input_cost FLOAT;
-- unless: trace_info.output_cost
ALTER TABLE trace_info ADD COLUMN output_cost FLOAT;
-- unless: trace_info.total_cost
ALTER TABLE trace_info ADD COLUMN total_cost FLOAT;
-- unless: assessments.experiment_id
ALTER TABLE assessments ADD COLUMN experiment_id INTEGER;
-- unless: assessments.trace_timestamp_ms
ALTER TABLE assessments ADD COLUMN trace_timestamp_ms BIGINT;
-- unless: assessments.aggregate_value
ALTER TABLE assessments ADD COLUMN aggregate_value FLOAT;
-- unless: assessments.is_numeric_value
ALTER TABLE assessments ADD COLUMN is_numeric_value BOOLEAN DEFAULT 0 NOT NULL;
-- unless: spans.input_cost
ALTER TABLE spans ADD COLUMN input_cost FLOAT;
-- unless: spans.output_cost
ALTER TABLE spans ADD COLUMN output_cost FLOAT;
-- unless: spans.total_cost
ALTER TABLE spans ADD COLUMN total_cost FLOAT;
-- unless: spans.model_name
ALTER TABLE spans ADD COLUMN model_name VARCHAR(500);
-- unless: spans.model_provider
ALTER TABLE spans ADD COLUMN model_provider VARCHAR(500);

-- The values move into columns of their own; what JSON and numbers mean in them is more than SQL can say.
-- call: trace_analytics

DELETE FROM trace_tags WHERE key = 'mlflow.traceName';
DELETE FROM trace_request_metadata WHERE key IN ('mlflow.trace.session', 'mlflow.trace.tokenUsage', 'mlflow.trace.cost');
DELETE FROM trace_metrics
WHERE key IN ('input_tokens', 'output_tokens', 'total_tokens', 'cache_read_input_tokens', 'cache_creation_input_tokens',
              'cache_creation_input_tokens_above_1hr');
DELETE FROM span_metrics WHERE key IN ('input_cost', 'output_cost', 'total_cost');

ALTER TABLE spans DROP COLUMN dimension_attributes;
CREATE INDEX index_trace_info_experiment_id_session_id ON trace_info (experiment_id, session_id);
CREATE INDEX idx_assessments_exp_name_valid ON assessments (experiment_id, name, valid);
CREATE INDEX idx_assessments_exp_trace_ts ON assessments (experiment_id, trace_timestamp_ms);
CREATE INDEX idx_assessments_exp_trace_ts_name ON assessments (experiment_id, trace_timestamp_ms, name);
CREATE INDEX idx_spans_cost_exp_time_cover ON spans (experiment_id, start_time_unix_nano);
CREATE INDEX idx_spans_cost_trace_time_cover ON spans (trace_id, start_time_unix_nano);
