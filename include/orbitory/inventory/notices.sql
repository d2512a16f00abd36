-- Notices: what a person is told about a run that failed. Nothing here changes a row.

-- notice_run: the run that this actor started for this source, with the seconds it took so far
SELECT id, extract(epoch FROM coalesce(finished_at, now()) - started_at)::float8 AS seconds FROM ingest_run
WHERE source = %(source)s AND actor = %(actor)s;

-- notice_counts: files and bytes of a run by sensor and state
SELECT sensor, state, count(*) AS files, coalesce(sum(size), 0)::bigint AS bytes FROM arrival WHERE run_id = %(run)s
GROUP BY sensor, state ORDER BY sensor, state;

-- notice_reasons: why files of a run were rejected, held or lost, the most frequent first
SELECT coalesce(reason, state) AS reason, count(*) AS files FROM arrival
WHERE run_id = %(run)s AND state IN ('rejected', 'conflict', 'lost') GROUP BY 1 ORDER BY 2 DESC, 1;

-- notice_errors: the first rejected, held or lost files of a run; sidecars share the fate of their data file and are left out
SELECT name, coalesce(reason, state) AS reason, coalesce(stage, '') AS stage, coalesce(detail, '') AS detail FROM arrival
WHERE run_id = %(run)s AND state IN ('rejected', 'conflict', 'lost') AND unit_id IS NULL ORDER BY id LIMIT %(most)s;

-- notice_files: every rejected, held or lost file of a run, its sidecars included
SELECT id, coalesce(unit_id, id) AS unit, name, sensor, size, state, coalesce(reason, state) AS reason,
       coalesce(stage, '') AS stage, coalesce(detail, '') AS detail,
       CASE WHEN quarantine_path IS NOT NULL THEN 'quarantine/' || source || '/' || coalesce(unit_id, id) ELSE '' END AS folder
FROM arrival WHERE run_id = %(run)s AND state IN ('rejected', 'conflict', 'lost') ORDER BY id;
