-- revision: c3d9e7f1a2b4
-- down: c1d2e3f4a5b6
-- title: add target_value to budget_policies

ALTER TABLE budget_policies ADD COLUMN target_value VARCHAR(255);
CREATE INDEX idx_budget_policies_target_value ON budget_policies (target_value);
