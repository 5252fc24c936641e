-- revision: 90e64c465722
-- down: 451aebb31d03
-- title: migrate user column to tags

-- Every run's user becomes a tag; a tag that is there already wins.
INSERT INTO tags (key, value, run_uuid)
SELECT 'mlflow.user', user_id, run_uuid
FROM runs
WHERE user_id IS NOT NULL AND user_id <> ''
    AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND tags.key = 'mlflow.user');
