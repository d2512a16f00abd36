-- Notices: what a person is told about a run that failed. Nothing here changes a row.

-- notice_run: the run that this actor started for this source
SELECT id, started_at FROM ingest_run WHERE source = %(source)s AND actor = %(actor)s ORDER BY id DESC LIMIT 1;

-- notice_counts: files of a run by state
SELECT state, count(*) AS files FROM arrival WHERE run_id = %(run)s GROUP BY state;

-- notice_reasons: why files of a run were rejected, held or lost, the most frequent first
SELECT coalesce(reason, state) AS reason, count(*) AS files FROM arrival
WHERE run_id = %(run)s AND state IN ('rejected', 'conflict', 'lost') GROUP BY 1 ORDER BY 2 DESC, 1;

-- notice_errors: the first rejected, held or lost files of a run; sidecars share the fate of their data file and are left out
SELECT name, coalesce(reason, state) AS reason, coalesce(stage, '') AS stage, coalesce(detail, '') AS detail FROM arrival
WHERE run_id = %(run)s AND state IN ('rejected', 'conflict', 'lost') AND unit_id IS NULL ORDER BY id LIMIT %(most)s;
