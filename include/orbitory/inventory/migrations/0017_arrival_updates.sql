-- A file that moves on is a new version of its row. As long as no index speaks of its state, the new version stays in the same
-- page and no index is written; seven of them were, at each step.
DROP INDEX arrival_run, arrival_quarantined;
CREATE INDEX arrival_run ON arrival (run_id);
CREATE INDEX arrival_quarantined ON arrival (source, id) WHERE quarantine_path IS NOT NULL;
ALTER TABLE arrival SET (fillfactor = 60);
