-- revision: 0584bdc529eb
-- down: f5a4f2784254
-- title: add cascading deletion to datasets from experiments

-- The old key goes under whatever name it has.
DO $$
DECLARE
    old name;
BEGIN
    FOR old IN
        SELECT conname FROM pg_constraint
        WHERE contype = 'f' AND conrelid = 'datasets'::regclass AND confrelid = 'experiments'::regclass
    LOOP
        EXECUTE format('ALTER TABLE datasets DROP CONSTRAINT %I', old);
    END LOOP;
END
$$;
ALTER TABLE datasets ADD CONSTRAINT fk_datasets_experiment_id_experiments FOREIGN KEY (experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE;
