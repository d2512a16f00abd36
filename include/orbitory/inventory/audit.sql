-- Audit: each statement answers the rows that break an invariant, as (name, detail), at most %(limit)s of them.
-- The invariants are those of docs/operations.md; statements are called audit_<invariant>_<rule>.

-- audit_i1_lost: arrivals that are in no place any more
SELECT name, concat('arrival ', id, ' of ', source, ' is lost: it is neither in the landing zone nor in storage. ',
                    coalesce(detail, '')) AS detail
FROM arrival WHERE state = 'lost' ORDER BY id LIMIT %(limit)s;

-- audit_i1_without_file: archived arrivals and data duplicates that name no file holding their bytes
SELECT name, concat('arrival ', id, ' of ', source, ' is ', state, ' but names no file in storage') AS detail
FROM arrival WHERE asset_id IS NULL AND (state = 'archived' OR state = 'duplicate' AND role = 'data')
ORDER BY id LIMIT %(limit)s;

-- audit_i1_other_bytes: archived arrivals whose file in storage is recorded with another size or digest
SELECT a.name, concat('arrival ', a.id, ' came with ', a.size, ' bytes and BLAKE3 ', encode(a.digest, 'hex'), ', but ',
                      s.path, ' is recorded with ', s.size, ' bytes and ', encode(s.digest, 'hex')) AS detail
FROM arrival a JOIN asset s ON s.id = a.asset_id
WHERE a.state = 'archived' AND (a.size <> s.size OR a.digest IS DISTINCT FROM s.digest) ORDER BY a.id LIMIT %(limit)s;

-- audit_i1_nowhere: rejected and held arrivals that stand in no known place
SELECT name, concat('arrival ', id, ' of ', source, ' is ', state, ' (', reason, ') but stands neither in the landing ',
                    'zone nor in quarantine, and was not re-driven') AS detail
FROM arrival
WHERE state IN ('rejected', 'conflict') AND NOT landed AND quarantine_path IS NULL
  AND NOT EXISTS (SELECT FROM batch b WHERE b.id = arrival.batch_id AND b.root IS NOT NULL)  -- registered in place
  AND coalesce(detail, '') NOT LIKE 're-driven%%'
  AND coalesce(detail, '') NOT LIKE '%%its bytes were gone from landing before they could be moved aside'  -- its sender took it
ORDER BY id LIMIT %(limit)s;

-- audit_i2_without_file: visible granules that no archived data file holds
SELECT g.key AS name, concat('granule ', g.id, ' is archived but no archived data file holds it') AS detail
FROM granule g
WHERE g.state = 'archived' AND NOT EXISTS (
    SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
    WHERE l.granule_id = g.id AND s.state = 'archived' AND s.role IN ('data', 'manifest', 'document'))
ORDER BY g.id LIMIT %(limit)s;

-- audit_i2_pge_outputs: outputs of instances that are done, and that were never archived with the digest they were delivered with
SELECT concat(i.pge, ' ', i.period_key) AS name, concat('PGE instance ', i.id, ' is done, but ', CASE
           WHEN o.granule_id IS NULL THEN concat('its output ', o.name, ' belongs to no granule')
           ELSE concat('granule ', o.granule_id, ' never held a file with the BLAKE3 of its output ', o.name, ': ',
                       encode(o.digest, 'hex')) END) AS detail
FROM pge_instance i JOIN pge_output o ON o.instance_id = i.id
WHERE i.state = 'done' AND NOT EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
                                       WHERE l.granule_id = o.granule_id AND s.digest = o.digest AND s.state <> 'stored'
                                         AND s.removal IS DISTINCT FROM 'withdrawn')
ORDER BY i.id, o.name LIMIT %(limit)s;

-- audit_i2_pge_empty: instances of these PGEs, each with its version, that are done without having made anything
SELECT concat(i.pge, ' ', i.period_key) AS name, concat('PGE instance ', i.id, ' is done, but no output of it is known') AS detail
FROM pge_instance i
WHERE i.state = 'done' AND concat(i.pge, ' ', i.version) = ANY (%(promising)s)
  AND NOT EXISTS (SELECT FROM pge_output o WHERE o.instance_id = i.id)
ORDER BY i.id LIMIT %(limit)s;

-- audit_i2_pge_inputs: inputs that are held for an instance but are not archived as they were frozen, and instances without any
SELECT concat(i.pge, ' ', i.period_key) AS name, concat('PGE instance ', i.id, ' is ', i.state, CASE
           WHEN p.instance_id IS NULL THEN ' without any input'
           ELSE concat(', but its input ', p.input, ' (', coalesce(s.path, 'file ' || p.asset_id), ') ', CASE
               WHEN s.digest <> p.digest THEN concat('has BLAKE3 ', encode(s.digest, 'hex'), ' now, had ', encode(p.digest, 'hex'))
               ELSE concat('is ', coalesce(s.state, 'unknown')) END) END) AS detail
FROM pge_instance i LEFT JOIN pge_input p ON p.instance_id = i.id LEFT JOIN asset s ON s.id = p.asset_id
WHERE i.state IN ('ready', 'running', 'delivered')
  AND (p.instance_id IS NULL OR p.asset_id IS NOT NULL AND (s.state = 'archived' AND s.digest = p.digest) IS NOT TRUE)
ORDER BY i.id, p.input, p.ordinal LIMIT %(limit)s;

-- audit_i3_without_granule: archived files that belong to no granule, or to such alone that have left
SELECT s.path AS name, concat('file ', s.id, ' is archived but belongs to no granule', (
           SELECT concat(' that is held: ', min(g.key), ' was deleted') FROM granule_asset l JOIN granule g ON g.id = l.granule_id
           WHERE l.asset_id = s.id HAVING count(*) > 0)) AS detail
FROM asset s
WHERE s.state = 'archived' AND NOT EXISTS (SELECT FROM granule_asset l JOIN granule g ON g.id = l.granule_id
                                           WHERE l.asset_id = s.id AND g.state <> 'deleted')
ORDER BY s.id LIMIT %(limit)s;

-- audit_i5_left_early: arrivals that left the landing zone before they were archived, retired or quarantined
SELECT name, concat('arrival ', id, ' of ', source, ' is ', state, ' but its landing name was given up') AS detail
FROM arrival WHERE NOT landed AND state IN ('detected', 'verified', 'extracted', 'stored')
  AND NOT EXISTS (SELECT FROM batch b WHERE b.id = arrival.batch_id AND b.root IS NOT NULL) ORDER BY id LIMIT %(limit)s;

-- audit_i7_granule: granules once archived, now deleted or being deleted without a reason: not expired, superseded, or of a removed set
SELECT key AS name, concat('granule ', id, ' is ', state, ' although it was not superseded and ',
                           coalesce('expires only at ' || expires_at, 'never expires')) AS detail
FROM granule
WHERE state IN ('deleting', 'deleted') AND superseded_by IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
  AND EXISTS (SELECT FROM event e WHERE e.subject = 'granule' AND e.ids @> granule.id AND e.to_state = 'archived')
  AND NOT EXISTS (SELECT FROM removal_item i JOIN removal_set r ON r.id = i.set_id  -- somebody approved that it goes
                  WHERE i.granule_id = granule.id AND r.state <> 'planned' AND i.state IN ('marked', 'trashed'))
ORDER BY id LIMIT %(limit)s;

-- audit_i7_asset: files deleted, or being deleted, while a granule that nothing replaced still needs them
SELECT s.path AS name, concat('file ', s.id, ' is ', s.state, ' although granule ', g.key, ' (', g.state,
                              ') was neither superseded nor has expired and no other file holds it') AS detail
FROM asset s JOIN granule_asset l ON l.asset_id = s.id JOIN granule g ON g.id = l.granule_id
WHERE s.state IN ('deleting', 'deleted') AND s.role = 'data'
  AND EXISTS (SELECT FROM event e WHERE e.subject = 'asset' AND e.ids @> s.id AND e.to_state = 'archived')
  AND g.superseded_by IS NULL AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp())
  AND NOT EXISTS (SELECT FROM granule_asset o JOIN asset t ON t.id = o.asset_id
                  WHERE o.granule_id = g.id AND t.state = 'archived' AND t.role = 'data')
  AND NOT EXISTS (SELECT FROM removal_item i JOIN removal_set r ON r.id = i.set_id  -- somebody approved that it goes
                  WHERE i.asset_id = s.id AND r.state <> 'planned' AND i.state IN ('marked', 'trashed'))
ORDER BY s.id LIMIT %(limit)s;

-- audit_i8_highest: the highest id that a table or its history knows
SELECT greatest((SELECT max(id) FROM arrival WHERE %(subject)s = 'arrival'),
                (SELECT max(id) FROM granule WHERE %(subject)s = 'granule'),
                (SELECT max(id) FROM asset WHERE %(subject)s = 'asset'),
                (SELECT max(id) FROM pge_instance WHERE %(subject)s = 'pge_instance'),
                (SELECT max(upper(ids)) - 1 FROM event WHERE subject = %(subject)s), 0) AS id;

-- audit_i8_replay: rows with ids in [low, high) whose history is broken or does not lead to their present state
WITH step AS (
    SELECT n AS id, e.id AS event, e.from_state, e.to_state,
           lag(e.to_state) OVER history AS expected, lead(e.id) OVER history IS NULL AS last
    FROM event e, unnest(e.ids * int8multirange(int8range(%(low)s, %(high)s))) AS part,
         generate_series(lower(part), upper(part) - 1) AS n
    WHERE e.subject = %(subject)s AND e.ids && int8range(%(low)s, %(high)s)
    WINDOW history AS (PARTITION BY n ORDER BY e.id)
), present AS (
    SELECT id, state, name FROM arrival WHERE %(subject)s = 'arrival' AND id >= %(low)s AND id < %(high)s
    UNION ALL
    SELECT id, state, key FROM granule WHERE %(subject)s = 'granule' AND id >= %(low)s AND id < %(high)s
    UNION ALL
    SELECT id, state, path FROM asset WHERE %(subject)s = 'asset' AND id >= %(low)s AND id < %(high)s
    UNION ALL
    SELECT id, state, concat(pge, ' ', period_key) FROM pge_instance WHERE %(subject)s = 'pge_instance' AND id >= %(low)s AND id < %(high)s
)
SELECT coalesce(p.name, concat(%(subject)s, ' ', coalesce(s.id, p.id))) AS name,
       concat(%(subject)s, ' ', coalesce(s.id, p.id),
              CASE WHEN s.id IS NULL THEN concat(' is ', p.state, ' but has no history')
                   WHEN s.from_state IS DISTINCT FROM s.expected THEN
                       concat(': event ', s.event, ' starts from ', coalesce(s.from_state, 'nothing'), ' but the one before it ended in ',
                              coalesce(s.expected, 'nothing'))
                   WHEN p.id IS NULL AND s.to_state = 'gone' THEN concat(' was deleted while it was ', s.from_state)
                   WHEN p.id IS NULL THEN concat(' is gone although its history ends in ', s.to_state)
                   ELSE concat(' is ', p.state, ' but its history ends in ', s.to_state) END) AS detail
FROM step s FULL JOIN present p ON p.id = s.id AND s.last
WHERE s.id IS NULL OR s.from_state IS DISTINCT FROM s.expected
   OR s.last AND p.state IS DISTINCT FROM s.to_state
      -- A sender may withdraw or rename a file that was not complete yet.
      AND NOT (%(subject)s = 'arrival' AND p.id IS NULL AND s.from_state = 'waiting' AND s.to_state = 'gone')
ORDER BY coalesce(s.id, p.id), s.event LIMIT %(limit)s;

-- audit_i8_triggers: the guards of history that are absent, switched off, or open to the role that does the daily work
SELECT wanted.name, concat('trigger ', wanted.name, ' of table ', wanted.relation, ' is absent or switched off: ',
                           wanted.duty) AS detail
FROM (SELECT 'event' AS relation, 'event_append_only' AS name, 'history could be rewritten' AS duty
      UNION ALL
      SELECT relation, concat(relation, '_', change), 'changes of state are not recorded'
      FROM unnest(ARRAY['arrival', 'granule', 'asset', 'pge_instance']) AS relation, unnest(ARRAY['inserted', 'updated', 'deleted']) AS change
     ) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_trigger t
                  WHERE t.tgrelid = to_regclass(wanted.relation) AND t.tgname = wanted.name AND t.tgenabled IN ('O', 'A'))
UNION ALL
SELECT 'event', concat('role ', current_user, ' may ', privilege, ' history: run `orbitory migrate` to take the right away')
FROM unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
WHERE has_table_privilege('event', privilege)
  AND NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = 'event'::regclass), 'USAGE')
LIMIT %(limit)s;

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
ORDER BY s.id LIMIT %(limit)s;

-- audit_i10_intent_granule: granules waiting to appear although no file of theirs is on its way
SELECT g.key AS name, concat('granule ', g.id, ' is stored but no file of it is') AS detail
FROM granule g
WHERE g.state = 'stored' AND NOT EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
                                         WHERE l.granule_id = g.id AND s.state = 'stored')
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
                  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid = 0 AND l.objid = 7031904)
ORDER BY id LIMIT %(limit)s;

-- audit_i10_removal: sets that are on their way out, or back, and that nobody works on
SELECT concat('set ', encode(hash, 'hex')) AS name,
       concat(CASE state WHEN 'approved' THEN 'its removal' ELSE 'bringing it back' END, ' was cut short: repeat `--',
              CASE state WHEN 'approved' THEN 'apply' ELSE 'undo' END, '`') AS detail
FROM removal_set r
WHERE (state = 'approved' OR state = 'undone' AND EXISTS (SELECT FROM removal_item i JOIN asset s ON s.id = i.asset_id
                                                          WHERE i.set_id = r.id AND i.state IN ('marked', 'trashed') AND s.state = 'deleting'))
  AND NOT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
                  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid = 0 AND l.objid = 7012)
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

-- audit_any_asset: whether storage should hold anything
SELECT EXISTS (SELECT FROM asset WHERE state = 'archived') AS holds;

-- audit_assets: the next files that storage should or may hold, in byte order of their path; what was registered in place stays there
SELECT id, path, state, size, digest FROM asset
WHERE (state IN ('stored', 'archived', 'deleting')
       OR state = 'deleted' AND in_place AND removal = 'removed'
          AND NOT EXISTS (SELECT FROM asset n WHERE n.path = asset.path AND n.id > asset.id AND (n.state <> 'deleted' OR n.removal = 'removed')))
  AND path COLLATE "C" > %(after)s ORDER BY path COLLATE "C" LIMIT %(limit)s;

-- audit_asset: a file that storage should or may hold, as the inventory knows it at this moment
SELECT id, path, state, size, digest FROM asset
WHERE path = %(path)s AND (state IN ('stored', 'archived', 'deleting') OR state = 'deleted' AND in_place AND removal = 'removed')
ORDER BY state = 'deleted', id DESC;

-- audit_quarantined: the next files that quarantine should hold, in byte order of their path
SELECT id, name, quarantine_path AS path, size, landed, detail FROM arrival
WHERE state IN ('rejected', 'conflict') AND quarantine_path > %(after)s ORDER BY quarantine_path LIMIT %(limit)s;

-- audit_quarantined_at: what quarantine should hold at a path, at this moment
SELECT id, name, quarantine_path AS path, size, landed, detail FROM arrival
WHERE state IN ('rejected', 'conflict') AND quarantine_path = %(path)s;

-- audit_under_way: the next arrivals amid their steps, whose landing names must stand
SELECT id, source, path, name, state FROM arrival
WHERE landed AND state IN ('detected', 'verified', 'extracted', 'stored') AND id > %(after)s ORDER BY id LIMIT %(limit)s;

-- audit_unseen: outputs of delivered instances, by their landing names, of which the ingest has written nothing down
SELECT i.id, i.id || '-' || i.delivery || '/' || o.name AS file, concat(i.pge, ' ', i.period_key) AS name
FROM pge_instance i JOIN pge_output o ON o.instance_id = i.id
WHERE i.state = 'delivered' AND o.granule_id IS NULL AND (%(id)s::bigint IS NULL OR i.id = %(id)s)
  AND NOT EXISTS (SELECT FROM arrival a WHERE a.source = 'pge' AND a.name = i.id || '-' || i.delivery || '/' || o.name)
ORDER BY i.id, o.name LIMIT %(limit)s;

-- audit_state_of: the state of an arrival at this moment
SELECT state, landed FROM arrival WHERE id = %(id)s;
