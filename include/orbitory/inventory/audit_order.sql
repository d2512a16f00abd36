-- Audit: the same of what is under way, of figures and of footprints (I10, I11, I13).

-- audit_i10_stuck: arrivals amid their steps that no live batch works on
SELECT a.name, concat('arrival ', a.id, ' of ', a.source, ' is ', a.state, CASE
           WHEN b.id IS NULL THEN ' but belongs to no batch'
           WHEN b.done_at IS NOT NULL THEN concat(' although batch ', b.id, ' is done')
           ELSE concat(' and the lease of batch ', b.id, ' ended ', b.lease_until) END) AS detail
FROM arrival a LEFT JOIN batch b ON b.id = a.batch_id
WHERE a.state IN ('detected', 'verified', 'extracted', 'stored')
  AND (b.id IS NULL OR b.done_at IS NOT NULL OR b.lease_until < clock_timestamp())
ORDER BY a.id LIMIT %(limit)s;

-- audit_i10_landed: arrivals that met their fate, still stand in the landing zone, and no live batch is about to remove
SELECT a.name, concat('arrival ', a.id, ' of ', a.source, ' is ', a.state, ' but still stands in the landing zone') AS detail
FROM arrival a LEFT JOIN batch b ON b.id = a.batch_id
WHERE a.landed AND a.state IN ('archived', 'rejected', 'duplicate', 'conflict', 'lost')
  AND (b.id IS NULL OR b.done_at IS NOT NULL OR b.lease_until < clock_timestamp())
ORDER BY a.id LIMIT %(limit)s;

-- audit_i10_intent: intents to archive a file that no arrival under way will finish
SELECT s.path AS name, concat('file ', s.id, ' is ', s.state, ' but no arrival is on its way to it') AS detail
FROM asset s
WHERE s.state = 'stored' AND NOT EXISTS (SELECT FROM arrival a WHERE a.asset_id = s.id AND a.state = 'stored')
  AND NOT EXISTS (SELECT FROM export_batch b WHERE b.state = 'placing' AND s.id <@ b.assets)
ORDER BY s.id LIMIT %(limit)s;

-- audit_i10_intent_granule: granules waiting to appear although no file of theirs is on its way
SELECT g.key AS name, concat('granule ', g.id, ' is stored but no file of it is') AS detail
FROM granule g
WHERE g.state = 'stored' AND NOT EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
                                         WHERE l.granule_id = g.id AND s.state = 'stored')
  AND NOT EXISTS (SELECT FROM export_batch b WHERE b.state = 'placing' AND g.id <@ b.granules)
ORDER BY g.id LIMIT %(limit)s;

-- audit_i10_pge: instances whose workers have long been silent
SELECT concat(pge, ' ', period_key) AS name, concat('PGE instance ', id, ' is running by ', owner, CASE
           WHEN claim IS NULL OR lease_until IS NULL THEN ', but nobody has a claim to it'
           ELSE concat(', whose lease ended ', lease_until) END) AS detail
FROM pge_instance
WHERE state = 'running' AND (claim IS NULL OR lease_until IS NULL OR lease_until < clock_timestamp() - interval '15 minutes')
ORDER BY id LIMIT %(limit)s;

-- audit_i10_redrive: files whose way back from quarantine was cut short
SELECT name, concat('arrival ', id, ' was on its way back to the landing zone of ', source,
                    ' when the command ended: `orbitory quarantine redrive` finishes it') AS detail
FROM arrival WHERE quarantine_path IS NOT NULL AND detail LIKE 're-driving: %%'
  AND NOT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
                  WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = 7013)
ORDER BY id LIMIT %(limit)s;

-- audit_i10_removal: sets that are on their way out, or back, and that nobody works on
SELECT concat('set ', encode(hash, 'hex')) AS name,
       concat(CASE state WHEN 'approved' THEN 'its removal' ELSE 'bringing it back' END, ' was cut short: repeat `--',
              CASE state WHEN 'approved' THEN 'apply' ELSE 'undo' END, '`') AS detail
FROM removal_set r
WHERE (state = 'approved' OR state = 'undone' AND EXISTS (SELECT FROM removal_item i JOIN asset s ON s.id = i.asset_id
                                                          WHERE i.set_id = r.id AND i.state IN ('marked', 'trashed') AND s.state = 'deleting'))
  AND NOT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
                  WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = 7012)
ORDER BY id LIMIT %(limit)s;

-- audit_i11_statistic: figures of finished runs that differ from the ledger, final states only
WITH finished AS (SELECT id FROM ingest_run WHERE finished_at IS NOT NULL),
ledger AS (
    SELECT a.run_id, a.sensor, a.state, count(*) AS files, sum(a.size)::bigint AS bytes
    FROM arrival a JOIN finished f ON f.id = a.run_id
    WHERE a.state IN ('archived', 'rejected', 'duplicate', 'conflict', 'lost') GROUP BY 1, 2, 3
), figure AS (
    SELECT s.run_id, s.sensor, s.state, s.files, s.bytes FROM ingest_statistic s JOIN finished f ON f.id = s.run_id
    WHERE s.state IN ('archived', 'rejected', 'duplicate', 'conflict', 'lost')
)
SELECT concat('run ', run_id) AS name,
       concat(state, ' of ', sensor, ': the statistics say ', coalesce(s.files, 0), ' files, ', coalesce(s.bytes, 0),
              ' bytes; the ledger says ', coalesce(l.files, 0), ' files, ', coalesce(l.bytes, 0), ' bytes') AS detail
FROM figure s FULL JOIN ledger l USING (run_id, sensor, state)
WHERE (s.files, s.bytes) IS DISTINCT FROM (l.files, l.bytes) AND (coalesce(s.files, 0) > 0 OR coalesce(l.files, 0) > 0)
ORDER BY run_id, sensor, state LIMIT %(limit)s;

-- audit_i11_counts: reports of finished runs that do not balance (a failed one may leave files open) or differ from the ledger
WITH told AS (
    SELECT r.id, r.verdict, r.counts, coalesce((r.counts ->> 'detected')::bigint, 0) AS detected,
           (SELECT sum(coalesce((r.counts ->> fate)::bigint, 0))
            FROM unnest(ARRAY['archived', 'duplicate', 'conflict', 'rejected', 'waiting']) AS fate) AS fates
    FROM ingest_run r WHERE r.finished_at IS NOT NULL AND r.counts IS NOT NULL
)
SELECT concat('run ', id) AS name,
       concat('the report says ', detected, ' detected, but its fates add up to ', fates) AS detail
FROM told WHERE detected < fates OR detected > fates AND verdict = 'success'
UNION ALL
SELECT concat('run ', t.id), concat('the report says ', coalesce(t.counts ->> fate, '0'), ' ', fate, ', the ledger says ', l.files)
FROM told t, unnest(ARRAY['archived', 'duplicate', 'conflict', 'rejected']) AS fate,
     LATERAL (SELECT count(*) AS files FROM arrival a WHERE a.run_id = t.id AND a.state = fate) AS l
WHERE coalesce((t.counts ->> fate)::bigint, 0) <> l.files
ORDER BY 1, 2 LIMIT %(limit)s;

-- audit_i13_geometry: footprints that are invalid, not finite, off the Earth, or wrongly unsplit at the antimeridian
WITH shape AS (
    SELECT id, key, footprint, area_km2,
           ST_XMin(footprint) >= -180 AND ST_XMax(footprint) <= 180
           AND ST_YMin(footprint) >= -90 AND ST_YMax(footprint) <= 90 AS on_earth
    FROM granule WHERE footprint IS NOT NULL AND state <> 'deleted'
), judged AS (
    SELECT id, key, CASE
        WHEN ST_IsEmpty(footprint) THEN 'is empty'
        WHEN on_earth IS NOT TRUE OR ST_AsText(footprint) ~* 'nan|inf' THEN 'has coordinates off the Earth or not finite'
        WHEN NOT ST_IsValid(footprint) THEN concat('is invalid: ', ST_IsValidReason(footprint))
        WHEN EXISTS (
            SELECT FROM ST_Dump(footprint) AS part, LATERAL ST_DumpSegments(part.geom) AS edge
            WHERE ST_XMax(part.geom) - ST_XMin(part.geom) > 180
              AND abs(ST_X(ST_StartPoint(edge.geom)) - ST_X(ST_EndPoint(edge.geom))) > 180
              AND NOT (abs(ST_Y(ST_StartPoint(edge.geom))) = 90 AND abs(ST_Y(ST_EndPoint(edge.geom))) = 90)
              AND NOT (abs(ST_X(ST_StartPoint(edge.geom))) = 180 AND abs(ST_X(ST_EndPoint(edge.geom))) = 180)
        ) THEN 'runs the long way round: an edge spans more than 180 degrees, so it is not split at the antimeridian'
        WHEN area_km2 IS NULL THEN 'has no area beside it'
        WHEN NOT (area_km2 > 0 AND area_km2 <= 510100000) THEN concat('has an impossible area of ', area_km2, ' km2')
        WHEN area_km2 > 1 AND NOT CASE
            -- Straight edges on the equal-area map and great circles differ by much on large footprints, so either will do;
            -- great circles of half the globe are not defined.
            WHEN mapped_km2 BETWEEN area_km2 / 2 AND area_km2 * 2 THEN true
            WHEN ST_XMax(footprint) - ST_XMin(footprint) < 170 AND ST_YMax(footprint) - ST_YMin(footprint) < 170
            THEN ST_Area(footprint::geography, false) / 1e6 BETWEEN area_km2 / 2 AND area_km2 * 2
            ELSE mapped_km2 BETWEEN area_km2 / 3 AND area_km2 * 3
        END THEN concat('covers about ', round(mapped_km2::numeric), ' km2, but ', round(area_km2::numeric),
                        ' km2 are recorded')
        END AS fault
    FROM shape, LATERAL (SELECT CASE WHEN on_earth AND ST_IsValid(footprint)
                                     THEN ST_Area(ST_Transform(footprint, 6933)) / 1e6 END AS mapped_km2) AS map
)
SELECT key AS name, concat('the footprint of granule ', id, ' ', fault) AS detail
FROM judged WHERE fault IS NOT NULL ORDER BY id LIMIT %(limit)s;

-- audit_i10_export: exports, and their taking back, that were cut short and nobody works on
SELECT concat('export ', id, ' from ', site) AS name,
       concat(CASE state WHEN 'running' THEN 'it' ELSE 'taking it back' END, ' was cut short: repeat `orbitory export ',
              CASE state WHEN 'running' THEN 'run' ELSE 'undo' END, '`') AS detail
FROM export WHERE direction = 'in'
  AND EXISTS (SELECT FROM export_batch b WHERE b.export_id = export.id AND b.state IN ('placing', 'taking'))
  AND NOT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
                  WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = 7014)
ORDER BY id LIMIT %(limit)s;
