-- revision: 5d2d30f0abce
-- down: b7c8d9e0f1a2
-- title: update job table

DROP INDEX index_jobs_function_status_creation_time;
ALTER TABLE jobs RENAME COLUMN function_fullname TO job_name;
CREATE INDEX index_jobs_name_status_creation_time ON jobs (job_name, status, creation_time);
