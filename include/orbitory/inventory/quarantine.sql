-- Quarantine: what stands there, and the way back to the landing zone.

-- quarantine_list: rejected and held files that stand in quarantine, oldest first, with the moment they were judged
SELECT a.id, coalesce(a.unit_id, a.id) AS unit, a.source, a.name, a.quarantine_path AS raw_path, a.state, a.reason, a.stage,
       a.detail, a.size, a.run_id AS run, coalesce(judged.at, a.first_seen) AS since
FROM arrival a
LEFT JOIN LATERAL (
    SELECT e.at FROM event e WHERE e.subject = 'arrival' AND e.ids @> a.id AND e.to_state = a.state
    ORDER BY e.id DESC LIMIT 1
) judged ON true
WHERE a.state IN ('rejected', 'conflict') AND a.quarantine_path IS NOT NULL AND a.expired_at IS NULL
  AND (%(source)s::text IS NULL OR a.source = %(source)s::text)
  AND (%(reason)s::text IS NULL OR a.reason = %(reason)s::text)
  AND (%(units)s::bigint[] IS NULL OR coalesce(a.unit_id, a.id) = ANY (%(units)s::bigint[]))
ORDER BY a.id;

-- quarantine_units: the units to which these arrivals belong
SELECT id, coalesce(unit_id, id) AS unit FROM arrival WHERE id = ANY (%(ids)s);

-- quarantine_page: the next units in quarantine above an id, one row a file, sidecars before their data file
WITH page AS (
    SELECT DISTINCT coalesce(unit_id, id) AS unit FROM arrival
    WHERE state IN ('rejected', 'conflict') AND quarantine_path IS NOT NULL AND NOT landed AND expired_at IS NULL
      AND coalesce(unit_id, id) > %(after)s
      AND (%(source)s::text IS NULL OR source = %(source)s::text)
      AND (%(reason)s::text IS NULL OR reason = %(reason)s::text)
      AND (%(units)s::bigint[] IS NULL OR coalesce(unit_id, id) = ANY (%(units)s::bigint[]))
    ORDER BY 1 LIMIT %(limit)s
)
SELECT a.id, p.unit, a.source, a.path AS raw_path, a.name, a.role, a.quarantine_path, a.size, a.mtime_ns, a.detail
FROM page p JOIN arrival a ON a.id = p.unit OR a.unit_id = p.unit
WHERE a.quarantine_path IS NOT NULL AND NOT a.landed AND a.expired_at IS NULL
ORDER BY p.unit, a.unit_id IS NULL, a.id;

-- quarantine_intend: note, before anything moves, which files are on their way back
UPDATE arrival SET detail = 're-driving: ' || coalesce(detail, '')
WHERE id = ANY (%(ids)s) AND quarantine_path IS NOT NULL AND coalesce(detail, '') NOT LIKE 're-driving: %%';

-- quarantine_returned: these files stand in the landing zone again, where the next run sees new arrivals
UPDATE arrival SET quarantine_path = NULL,
    detail = concat_ws(': ', 're-driven', nullif(regexp_replace(coalesce(detail, ''), '^re-driving: ', ''), ''))
WHERE id = ANY (%(ids)s) AND quarantine_path IS NOT NULL;

-- quarantine_kept: these files did not move after all
UPDATE arrival SET detail = nullif(regexp_replace(detail, '^re-driving: ', ''), '')
WHERE id = ANY (%(ids)s) AND quarantine_path IS NOT NULL AND detail LIKE 're-driving: %%';

-- quarantine_interrupted: files whose way back was cut short by a crash
SELECT id, source, path AS raw_path, name, quarantine_path FROM arrival
WHERE state IN ('rejected', 'conflict') AND quarantine_path IS NOT NULL AND detail LIKE 're-driving: %%' ORDER BY id;

-- quarantine_expected: the oldest files that should stand there
(SELECT quarantine_path AS path FROM arrival
 WHERE state IN ('rejected', 'conflict') AND quarantine_path IS NOT NULL AND NOT landed ORDER BY id LIMIT %(limit)s)
UNION ALL
(SELECT moved_to FROM scan_finding WHERE moved_to IS NOT NULL AND closed_at IS NOT NULL ORDER BY id LIMIT %(limit)s);
