-- Taking an export back, all of it on the side where it had arrived.

-- export_mark: how far an export has come
UPDATE export SET state = %(state)s, finished_at = now() WHERE id = %(id)s;

-- export_let_go: granules that were held here while their files were on their way
UPDATE hold h SET released = now(), released_by = %(owner)s FROM export_item i
WHERE i.export_id = %(export)s AND h.granule_id = i.granule_id AND h.kind = 'export' AND h.released IS NULL
  AND h.reason LIKE 'export ' || %(export)s || ' to %%';

-- export_last: the newest batch that still stands
SELECT number, state FROM export_batch WHERE export_id = %(export)s AND state <> 'undone' ORDER BY number DESC LIMIT 1;

-- export_granules: the next granules that had come, or changed
SELECT granule_id FROM export_item WHERE export_id = %(export)s AND action <> 'removed' AND (%(number)s::int IS NULL OR batch = %(number)s)
  AND granule_id > %(after)s ORDER BY granule_id LIMIT %(limit)s;

-- export_lock_items: nobody changes them meanwhile
SELECT g.id FROM export_item i JOIN granule g ON g.id = i.granule_id WHERE i.export_id = %(export)s AND i.batch = %(number)s
ORDER BY g.id FOR UPDATE OF g;

-- export_lock_back: likewise, once nobody can refer to them anew
SELECT g.id FROM export_item i JOIN granule g ON g.id = i.granule_id WHERE i.export_id = %(export)s AND i.batch = %(number)s
ORDER BY g.id FOR NO KEY UPDATE OF g;

-- export_lock_files_back: and their files
SELECT s.id FROM asset s WHERE s.id IN (
    SELECT l.asset_id FROM export_item i JOIN granule_asset l USING (granule_id) WHERE i.export_id = %(export)s AND i.batch = %(number)s
    UNION SELECT (a ->> 'id')::bigint FROM export_item i, jsonb_array_elements(i.previous -> 'assets') AS a
    WHERE i.export_id = %(export)s AND i.batch = %(number)s) ORDER BY s.id FOR NO KEY UPDATE;

-- export_leaned_on: what came later and would lose its ground; number: of one batch alone. taking: it is half taken back already
WITH item AS MATERIALIZED (
    SELECT granule_id, action, digest FROM export_item WHERE export_id = %(export)s AND (%(number)s::int IS NULL OR batch = %(number)s)
), file AS MATERIALIZED (
    SELECT s.id, s.path FROM export_batch b, unnest(b.assets) AS r, asset s
    WHERE b.export_id = %(export)s AND (%(number)s::int IS NULL OR b.number = %(number)s) AND b.state <> 'undone'
      AND s.id >= lower(r) AND s.id < upper(r)
), made AS MATERIALIZED (
    SELECT r FROM export_batch b, unnest(b.instances) AS r
    WHERE b.export_id = %(export)s AND (%(number)s::int IS NULL OR b.number = %(number)s) AND b.state <> 'undone'
)
(SELECT c.key AS name, 'it was edited since' AS why FROM item i JOIN export_content c ON c.id = i.granule_id WHERE c.digest <> i.digest
   AND NOT (i.action = 'removed' AND c.state = 'deleting')
   AND NOT (%(taking)s AND EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id AND s.state = 'deleting' WHERE l.granule_id = i.granule_id))
   AND NOT EXISTS (SELECT FROM export_item x WHERE x.granule_id = i.granule_id AND x.export_id > %(export)s) LIMIT %(limit)s)
UNION ALL
(SELECT g.key, 'it is just leaving' FROM item i JOIN granule g ON g.id = i.granule_id
 WHERE NOT %(taking)s AND i.action <> 'removed' AND g.state = 'deleting' LIMIT %(limit)s)
UNION ALL
(SELECT g.key, concat('export ', x.export_id, ' has brought it again') FROM item i JOIN export_item x ON x.granule_id = i.granule_id AND x.export_id > %(export)s
 JOIN granule g ON g.id = i.granule_id LIMIT %(limit)s)
UNION ALL
(SELECT g.key, concat('PGE instance ', p.instance_id, ' was made from it') FROM item i JOIN pge_input p ON p.granule_id = i.granule_id
 JOIN granule g ON g.id = i.granule_id
 WHERE i.action = 'added' AND NOT EXISTS (SELECT FROM export_batch b WHERE b.export_id = %(export)s AND p.instance_id <@ b.instances) LIMIT %(limit)s)
UNION ALL
(SELECT g.key, concat('PGE instance ', o.instance_id, ' has made it') FROM item i JOIN pge_output o ON o.granule_id = i.granule_id
 JOIN granule g ON g.id = i.granule_id
 WHERE i.action = 'added' AND NOT EXISTS (SELECT FROM export_batch b WHERE b.export_id = %(export)s AND o.instance_id <@ b.instances) LIMIT %(limit)s)
UNION ALL
(SELECT concat(p.pge, ' ', p.period_key), concat('PGE instance ', p.id, ' has replaced it') FROM made, pge_instance p
 WHERE p.supersedes >= lower(made.r) AND p.supersedes < upper(made.r)
   AND NOT EXISTS (SELECT FROM export_batch b WHERE b.export_id = %(export)s AND p.id <@ b.instances) LIMIT %(limit)s)
UNION ALL
(SELECT f.path, concat('it also holds ', g.key) FROM file f JOIN granule_asset l ON l.asset_id = f.id JOIN granule g ON g.id = l.granule_id
 WHERE NOT EXISTS (SELECT FROM export_item x WHERE x.granule_id = l.granule_id AND x.export_id = %(export)s) LIMIT %(limit)s)
UNION ALL
(SELECT f.path, concat('arrival ', a.id, ' (', a.name, ') was taken for it') FROM file f JOIN arrival a ON a.asset_id = f.id
 WHERE NOT EXISTS (SELECT FROM ingest_run r, export e WHERE r.id = a.run_id AND e.id = %(export)s AND r.actor = 'export/' || e.token) LIMIT %(limit)s)
UNION ALL
(SELECT f.path, concat('reprocessing ', p.request_id, ' has found something in it') FROM file f JOIN reprocess_problem p ON p.asset_id = f.id LIMIT %(limit)s)
UNION ALL
(SELECT g.key, concat('its newer version is ', n.key, ' ', n.version, ' of this export') FROM item i JOIN granule g ON g.superseded_by = i.granule_id
 JOIN granule n ON n.id = i.granule_id
 WHERE i.action = 'added' AND NOT EXISTS (SELECT FROM export_item x WHERE x.granule_id = g.id AND x.export_id = %(export)s) LIMIT %(limit)s)
UNION ALL
(SELECT k.key, concat('it is preferred to ', g.key) FROM item i JOIN footprint_archive a ON a.keeper_id = i.granule_id JOIN granule g ON g.id = a.granule_id
 JOIN granule k ON k.id = i.granule_id
 WHERE i.action = 'added' AND NOT EXISTS (SELECT FROM export_item x WHERE x.granule_id = a.granule_id AND x.export_id = %(export)s) LIMIT %(limit)s)
UNION ALL
(SELECT k.key, concat('it stays in the place of ', g.key, ', which was removed') FROM item i JOIN removal_item m ON m.keeper_id = i.granule_id
 JOIN granule g ON g.id = m.granule_id JOIN granule k ON k.id = i.granule_id
 WHERE i.action = 'added' AND m.state IN ('marked', 'trashed', 'emptied') LIMIT %(limit)s)
UNION ALL
(SELECT m.path, 'its file was emptied from the trash' FROM item i JOIN removal_item m ON m.granule_id = i.granule_id
 JOIN removal_set r ON r.id = m.set_id AND r.hash = %(hash)s WHERE i.action <> 'added' AND m.state = 'emptied' LIMIT %(limit)s)
UNION ALL
(SELECT g.key, concat('removal ', encode(r.hash, 'hex'), ' is about it') FROM item i JOIN removal_item m ON m.granule_id = i.granule_id
 JOIN removal_set r ON r.id = m.set_id JOIN granule g ON g.id = i.granule_id
 WHERE i.action = 'added' AND m.state IN ('marked', 'trashed', 'emptied') LIMIT %(limit)s)
UNION ALL
(SELECT m.path, concat('removal ', encode(r.hash, 'hex'), ' is about it') FROM file f JOIN removal_item m ON m.asset_id = f.id
 JOIN removal_set r ON r.id = m.set_id WHERE r.hash <> %(hash)s AND m.state IN ('marked', 'trashed', 'emptied') LIMIT %(limit)s)
LIMIT %(limit)s;

-- export_hide_granules: what had come is on its way out
UPDATE granule g SET state = 'deleting' FROM export_item i
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND i.granule_id = g.id AND i.action = 'added' AND g.state IN ('stored', 'archived');

-- export_hide_assets: likewise
UPDATE asset s SET state = 'deleting' FROM export_batch b, unnest(b.assets) AS r
WHERE b.export_id = %(export)s AND b.number = %(number)s AND s.id >= lower(r) AND s.id < upper(r) AND s.state IN ('stored', 'archived');

-- export_exhume_assets: what had left is on its way back; what gave its name to others waits until these are gone
UPDATE asset s SET state = 'deleting', removal = NULL FROM export_item i, jsonb_array_elements(i.previous -> 'assets') AS a
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND s.id = (a ->> 'id')::bigint AND s.state = 'deleted' AND a ->> 'state' <> 'deleted'
  AND NOT EXISTS (SELECT FROM asset o WHERE o.path = s.path AND o.state <> 'deleted');

-- export_hide_fileless: nor is anything shown whose file is on its way
UPDATE granule g SET state = 'deleting' FROM export_item i
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND i.granule_id = g.id AND i.action = 'changed' AND g.state = 'archived'
  AND NOT EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id AND s.role IN ('data', 'manifest', 'document')
                  WHERE l.granule_id = g.id AND s.state IN ('archived', 'suspect'));

-- export_claim_trash: and nobody empties it from the trash meanwhile
UPDATE removal_item m SET state = 'marked' FROM export_item i, removal_set r
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND i.action <> 'added' AND m.granule_id = i.granule_id
  AND r.id = m.set_id AND r.hash = %(hash)s AND m.state = 'trashed';

-- export_taking: from here on the batch is being taken back
UPDATE export_batch SET state = 'taking' WHERE export_id = %(export)s AND number = %(number)s;

-- export_came: files that had come; of some the name belongs to what had left
SELECT s.id, s.path, s.in_place, s.size, s.digest, EXISTS (SELECT FROM asset o WHERE o.path = s.path AND o.id <> s.id) AS replaced
FROM export_batch b, unnest(b.assets + b.places) AS r, asset s
WHERE b.export_id = %(export)s AND b.number = %(number)s AND s.id >= lower(r) AND s.id < upper(r) AND s.state <> 'deleted' ORDER BY s.path;

-- export_left: files that had left, and stand in the trash
SELECT DISTINCT s.id, s.path, s.in_place, s.size, s.digest, m.trash_path FROM export_item i
CROSS JOIN jsonb_array_elements(i.previous -> 'assets') AS a JOIN asset s ON s.id = (a ->> 'id')::bigint
JOIN removal_item m ON m.asset_id = s.id AND m.granule_id = i.granule_id AND m.trash_path IS NOT NULL
JOIN removal_set r ON r.id = m.set_id AND r.hash = %(hash)s
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND a ->> 'state' <> 'deleted' ORDER BY s.path;

-- export_new_assets: numbers of files that had come
SELECT s.id FROM export_batch b, unnest(b.assets) AS r, asset s
WHERE b.export_id = %(export)s AND b.number = %(number)s AND s.id >= lower(r) AND s.id < upper(r) ORDER BY s.id;

-- export_undo_footprints: footprints are made anew from what was kept
DELETE FROM footprint_master WHERE granule_id IN (SELECT granule_id FROM export_item WHERE export_id = %(export)s AND batch = %(number)s);

-- export_undo_archived_footprints: likewise
DELETE FROM footprint_archive WHERE granule_id IN (SELECT granule_id FROM export_item WHERE export_id = %(export)s AND batch = %(number)s);

-- export_undo_findings: what was found about them keeps their key
UPDATE mfp_finding f SET granule_id = NULL FROM export_item i
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND i.action = 'added' AND f.granule_id = i.granule_id;

-- export_undo_ties: what was noted about them and is over: released holds, changes of expiry, undone withdrawals
WITH item AS (SELECT granule_id FROM export_item WHERE export_id = %(export)s AND batch = %(number)s AND action = 'added'),
     hold_over AS (DELETE FROM hold h USING item i WHERE h.granule_id = i.granule_id AND h.released IS NOT NULL),
     withdrawal_over AS (DELETE FROM withdrawal w USING item i WHERE w.granule_id = i.granule_id AND w.undone_at IS NOT NULL)
DELETE FROM expiry_change c USING item i WHERE c.granule_id = i.granule_id;

-- export_undo_plans: what was to leave and has not is in no plan any more
DELETE FROM removal_item m WHERE m.state IN ('planned', 'spared', 'undone') AND (
    m.granule_id IN (SELECT granule_id FROM export_item WHERE export_id = %(export)s AND batch = %(number)s AND action = 'added')
    OR m.keeper_id IN (SELECT granule_id FROM export_item WHERE export_id = %(export)s AND batch = %(number)s AND action = 'added')
    OR m.asset_id IN (SELECT s.id FROM export_batch b, unnest(b.assets) AS r, asset s
                      WHERE b.export_id = %(export)s AND b.number = %(number)s AND s.id >= lower(r) AND s.id < upper(r)));

-- export_undo_validations: verdicts on files go with these
DELETE FROM validation v USING export_batch b, unnest(b.assets) AS r
WHERE b.export_id = %(export)s AND b.number = %(number)s AND v.asset_id >= lower(r) AND v.asset_id < upper(r);

-- export_undo_removals: what had left has not
DELETE FROM removal_item m USING export_item i, removal_set r
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND i.action <> 'added' AND m.granule_id = i.granule_id AND r.id = m.set_id
  AND r.hash = %(hash)s;

-- export_undo_instances: lineage that had come; what had given way to it stands again
WITH gone AS (SELECT p.id, p.supersedes FROM export_batch b, unnest(b.instances) AS r, pge_instance p
              WHERE b.export_id = %(export)s AND b.number = %(number)s AND p.id >= lower(r) AND p.id < upper(r)),
     input AS (DELETE FROM pge_input WHERE instance_id IN (SELECT id FROM gone))
DELETE FROM pge_instance WHERE id IN (SELECT id FROM gone);

-- export_instances_back: likewise, before they go
SELECT DISTINCT o.id FROM export_batch b, unnest(b.instances) AS r, pge_instance p JOIN pge_instance o ON o.id = p.supersedes AND o.state = 'superseded'
WHERE b.export_id = %(export)s AND b.number = %(number)s AND p.id >= lower(r) AND p.id < upper(r) AND p.state = 'done'
  AND NOT EXISTS (SELECT FROM unnest(b.instances) AS q WHERE o.id >= lower(q) AND o.id < upper(q));

-- export_restore_instances: likewise
UPDATE pge_instance p SET state = CASE p.state WHEN 'superseded' THEN 'done' ELSE 'waiting' END,
    reason = CASE p.state WHEN 'superseded' THEN p.reason END, detail = CASE p.state WHEN 'superseded' THEN p.detail END
WHERE p.id = ANY (%(ids)s::bigint[])
   OR p.state = 'cancelled' AND p.reason = 'exported' AND p.detail LIKE 'export ' || %(token)s || ' %%'
      AND EXISTS (SELECT FROM export_batch b WHERE b.export_id = %(export)s AND b.number = %(number)s AND NOT isempty(b.instances));

-- export_undo_arrivals: deliveries that had come
DELETE FROM arrival a USING export_batch b, unnest(b.arrivals) AS r
WHERE b.export_id = %(export)s AND b.number = %(number)s AND a.id >= lower(r) AND a.id < upper(r);

-- export_undo_statistics: figures of the runs they counted for
UPDATE ingest_statistic s SET files = s.files - c.files, bytes = s.bytes - c.bytes FROM (
    SELECT a.run_id, a.sensor, a.state, count(*) AS files, sum(a.size)::bigint AS bytes FROM export_batch b, unnest(b.arrivals) AS r, arrival a
    WHERE b.export_id = %(export)s AND b.number = %(number)s AND a.id >= lower(r) AND a.id < upper(r) GROUP BY 1, 2, 3) c
WHERE s.run_id = c.run_id AND s.sensor = c.sensor AND s.state = c.state;

-- export_undo_empty_statistics: those of nothing
DELETE FROM ingest_statistic s USING ingest_run r, export e
WHERE e.id = %(export)s AND r.actor = 'export/' || e.token AND s.run_id = r.id AND s.files = 0 AND %(number)s > 0;

-- export_undo_runs: and runs without any
DELETE FROM ingest_run r USING export e WHERE e.id = %(export)s AND r.actor = 'export/' || e.token AND %(number)s > 0
  AND NOT EXISTS (SELECT FROM arrival a WHERE a.run_id = r.id);

-- export_undo_links: files that had come hold nothing, and what had changed is linked anew
DELETE FROM granule_asset WHERE granule_id IN (SELECT granule_id FROM export_item WHERE export_id = %(export)s AND batch = %(number)s);

-- export_undo_new_assets: files that had come
DELETE FROM asset s USING export_batch b, unnest(b.assets) AS r
WHERE b.export_id = %(export)s AND b.number = %(number)s AND s.id >= lower(r) AND s.id < upper(r);

-- export_create_was: rows as they were
CREATE TEMP TABLE export_was ON COMMIT DROP AS
SELECT DISTINCT p.* FROM export_item i, jsonb_array_elements(i.previous -> 'assets') AS a, jsonb_populate_record(NULL::asset, a) AS p
WHERE i.export_id = %(export)s AND i.batch = %(number)s;

-- export_create_was_granule: likewise
CREATE TEMP TABLE export_was_granule ON COMMIT DROP AS
SELECT p.* FROM export_item i, jsonb_populate_record(NULL::granule, i.previous -> 'granule') AS p
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND i.action <> 'added';

-- export_undo_assets: the others are what they were
SELECT export_renew('asset', 'export_was', '{path, in_place, size, digest, fixity_at}') AS rows;

-- export_undo_granules: and so are the granules; expiry stays what the site itself has ruled meanwhile
SELECT export_renew('granule', 'export_was_granule', '{expires_at, stored_at}') AS rows;

-- export_undo_old_links: linked as they were
INSERT INTO granule_asset (granule_id, asset_id, preferred)
SELECT i.granule_id, (a ->> 'id')::bigint, (a ->> 'preferred')::boolean FROM export_item i, jsonb_array_elements(i.previous -> 'assets') AS a
WHERE i.export_id = %(export)s AND i.batch = %(number)s;

-- export_undo_masters: with the footprints they had
INSERT INTO footprint_master SELECT p.* FROM export_item i, jsonb_populate_record(NULL::footprint_master, i.previous -> 'footprint_master') AS p
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND jsonb_typeof(i.previous -> 'footprint_master') = 'object';

-- export_undo_asides: likewise
INSERT INTO footprint_archive SELECT p.* FROM export_item i, jsonb_populate_record(NULL::footprint_archive, i.previous -> 'footprint_archive') AS p
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND jsonb_typeof(i.previous -> 'footprint_archive') = 'object';

-- export_undo_new_granules: granules that had come
DELETE FROM granule g USING export_item i
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND i.action = 'added' AND i.granule_id = g.id;

-- export_not_restored: granules that did not become what they were
SELECT g.key FROM export_item i JOIN granule g ON g.id = i.granule_id LEFT JOIN export_content c ON c.id = i.granule_id
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND c.digest IS DISTINCT FROM i.before ORDER BY g.key COLLATE "C" LIMIT %(limit)s;

-- export_forget_items: the ledger says no longer that they came
DELETE FROM export_item WHERE export_id = %(export)s AND batch = %(number)s;

-- export_taken: the batch was taken back
UPDATE export_batch SET state = 'undone' WHERE export_id = %(export)s AND number = %(number)s;

-- export_forget_set: by which nothing leaves any more
DELETE FROM removal_set r WHERE hash = %(hash)s AND NOT EXISTS (SELECT FROM removal_item m WHERE m.set_id = r.id);
