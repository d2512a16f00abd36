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
WHERE state IN ('rejected', 'conflict') AND NOT landed AND quarantine_path IS NULL AND expired_at IS NULL
  AND NOT EXISTS (SELECT FROM batch b WHERE b.id = arrival.batch_id AND b.root IS NOT NULL)  -- registered in place
  AND coalesce(detail, '') NOT LIKE 're-driven%%'
  AND coalesce(detail, '') NOT LIKE '%%its bytes were gone from landing before they could be moved aside'  -- its sender took it
ORDER BY id LIMIT %(limit)s;

-- audit_i2_without_file: visible granules that no archived data file holds
SELECT g.key AS name, concat('granule ', g.id, ' is archived but no archived data file holds it') AS detail
FROM granule g
WHERE g.state = 'archived' AND NOT EXISTS (
    SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
    WHERE l.granule_id = g.id AND s.state IN ('archived', 'suspect') AND s.role IN ('data', 'manifest', 'document'))
ORDER BY g.id LIMIT %(limit)s;

-- audit_i2_suspect: files that the rolling audit found missing or damaged, and that nobody is given until they are whole
SELECT s.path AS name, concat('file ', s.id, ' is suspect: ', coalesce(f.detail, 'nothing is known of why'), '. Restore it (`orbitory repair`), ',
                              'let it be delivered again, or delete it') AS detail
FROM asset s LEFT JOIN LATERAL (SELECT detail FROM scan_finding f WHERE f.asset_id = s.id AND f.closed_at IS NULL ORDER BY f.id DESC LIMIT 1) f ON true
WHERE s.state = 'suspect' ORDER BY s.id LIMIT %(limit)s;

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
                  WHERE i.granule_id = granule.id AND r.state <> 'planned' AND i.state IN ('marked', 'trashed', 'emptied'))
  AND NOT EXISTS (SELECT FROM export_batch b WHERE b.state = 'taking' AND granule.id <@ b.granules)  -- an export is being taken back
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
                  WHERE i.asset_id = s.id AND r.state <> 'planned' AND i.state IN ('marked', 'trashed', 'emptied'))
  AND NOT EXISTS (SELECT FROM export_batch b WHERE b.state = 'taking' AND s.id <@ b.assets)  -- an export is being taken back
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
      -- An export that was taken back leaves nothing but its history.
      AND NOT (p.id IS NULL AND s.to_state = 'gone' AND EXISTS (
          SELECT FROM export_batch b WHERE b.state = 'undone' AND s.id <@ CASE %(subject)s
              WHEN 'granule' THEN b.granules WHEN 'asset' THEN b.assets WHEN 'arrival' THEN b.arrivals ELSE b.instances END))
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
