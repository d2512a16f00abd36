-- Export, one batch whose rows stand: its files, what it amounts to, and what is checked once all have arrived.

-- export_close_batch: it is done; the same statement on either side
UPDATE export_batch SET state = 'done', rows = %(rows)s, done_at = now() WHERE export_id = %(export)s AND number = %(number)s;

-- export_expected: files that come with a batch
SELECT s.id, s.path, s.digest, s.size FROM export_batch b, unnest(b.places) AS r, asset s
WHERE s.id >= lower(r) AND s.id < upper(r) AND b.export_id = %(export)s AND b.number = %(number)s AND s.state <> 'deleted' ORDER BY s.path;

-- export_departing: files of a batch that are on their way out; of some the name is given to others
SELECT DISTINCT s.id, s.path, s.in_place, s.size, s.digest, m.trash_path, s.state = 'deleted' AS replaced
FROM export_item i JOIN removal_item m ON m.granule_id = i.granule_id AND m.reason = 'export' AND m.state = 'marked' AND m.why <> 'stays'
JOIN removal_set r ON r.id = m.set_id AND r.hash = %(hash)s JOIN asset s ON s.id = m.asset_id
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND i.action <> 'added' ORDER BY s.path;

-- export_show_assets: they stand in storage
UPDATE asset s SET state = 'archived', fixity_at = now() FROM export_batch b, unnest(b.assets) AS r
WHERE b.export_id = %(export)s AND b.number = %(number)s AND s.id >= lower(r) AND s.id < upper(r) AND s.state = 'stored';

-- export_show_granules: and may be seen
UPDATE granule g SET state = 'archived' FROM export_item i
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND i.granule_id = g.id AND g.state = 'stored';

-- export_bury_assets: they have left
UPDATE asset SET state = 'deleted', removal = 'removed' WHERE id = ANY (%(assets)s::bigint[]) AND state = 'deleting';

-- export_bury_granules: and so have these
UPDATE granule g SET state = 'deleted' FROM export_item i
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND i.granule_id = g.id AND i.action = 'removed' AND g.state = 'deleting';

-- export_bury_items: the ledger of removals says so; what stood nowhere is not in the trash
UPDATE removal_item m SET state = 'trashed', trashed_at = now(), trash_path = CASE WHEN m.asset_id = ANY (%(missing)s::bigint[]) THEN NULL ELSE m.trash_path END
FROM export_item i, removal_set r WHERE i.export_id = %(export)s AND i.batch = %(number)s AND i.action <> 'added'
  AND m.granule_id = i.granule_id AND m.reason = 'export' AND m.state = 'marked' AND r.id = m.set_id AND r.hash = %(hash)s;

-- export_turned: granules of a batch that have left, or came back
SELECT i.granule_id AS id FROM export_item i WHERE i.export_id = %(export)s AND i.batch = %(number)s
  AND (i.action = 'removed' OR i.action = 'changed' AND i.previous #>> '{granule,state}' = 'deleted') ORDER BY 1;

-- export_removal_set: by whose decision they leave
INSERT INTO removal_set (hash, kind, actor, state, counts, reason) VALUES (%(hash)s, 'list', %(actor)s, 'applied', %(counts)s::jsonb, %(reason)s)
ON CONFLICT (hash) DO UPDATE SET state = 'applied' RETURNING id;

-- export_removal_items: what leaves with it; rows without a path stay with others
INSERT INTO removal_item (set_id, granule_id, asset_id, path, bytes, reason, trash_path, state, why)
SELECT %(set)s, l.granule_id, s.id, s.path, s.size, 'export', t.trash_path, 'marked', CASE WHEN t.asset_id IS NULL THEN 'stays' ELSE '' END
FROM export_coming c JOIN granule_asset l ON l.granule_id = c.there_id JOIN asset s ON s.id = l.asset_id
LEFT JOIN unnest(%(assets)s::bigint[], %(paths)s::text[]) AS t (asset_id, trash_path) ON t.asset_id = s.id
WHERE c.action = 'removed' OR c.action = 'changed' AND t.asset_id IS NOT NULL
ON CONFLICT (set_id, granule_id, asset_id) DO NOTHING;

-- export_finish: it has arrived as a whole
UPDATE export SET state = 'done', finished_at = now(), counts = counts || %(counts)s::jsonb WHERE id = %(id)s AND state = 'running';

-- export_close_runs: nothing more is counted under its runs
UPDATE ingest_run SET finished_at = now() WHERE actor = %(actor)s;

-- export_open_batches: batches that have not arrived
SELECT number FROM export_batch WHERE export_id = %(export)s AND state <> 'done' ORDER BY number LIMIT %(limit)s;

-- export_rows_written: rows of all tables, and granules
SELECT coalesce(sum(rows), 0)::bigint AS rows, coalesce(sum(items) FILTER (WHERE part <> '~instances'), 0)::bigint AS items
FROM export_batch WHERE export_id = %(export)s;

-- export_fresh: numbers of files that came with a batch
SELECT coalesce(range_agg(int8range(there_id, there_id, '[]')), '{}')::text AS ids FROM export_now_asset WHERE fresh;

-- export_unfinished: granules of a batch that did not become what they should
SELECT g.key FROM export_item i JOIN granule g ON g.id = i.granule_id LEFT JOIN export_content x ON x.id = i.granule_id
WHERE i.export_id = %(export)s AND i.batch = %(number)s AND (x.digest IS DISTINCT FROM i.digest OR g.state IN ('stored', 'deleting'))
ORDER BY g.key COLLATE "C" LIMIT %(limit)s;

-- export_drop_found: make room for the next comparison of the same transaction
DROP TABLE IF EXISTS export_found;

-- export_sent: granules of an export, as the side that sent them has counted
SELECT coalesce(sum(items), 0)::bigint AS items FROM export_batch WHERE export_id = %(export)s AND part <> '~instances';

-- export_check: granules of this export in the ledger there, and those that stand without a file or are not shown
SELECT count(*) AS items, count(*) FILTER (WHERE x.action <> 'removed' AND (g.state IN ('stored', 'deleting') OR g.state = 'archived'
       AND NOT EXISTS (SELECT FROM granule_asset l CROSS JOIN LATERAL (SELECT s.state FROM asset s WHERE s.id = l.asset_id OFFSET 0) s
                       WHERE l.granule_id = g.id AND s.state IN ('archived', 'suspect')))) AS orphans
FROM export_item x JOIN granule g ON g.id = x.granule_id WHERE x.export_id = %(export)s;

-- export_check_some: the number of each granule was compared batch by batch; some of all are again
WITH picked AS MATERIALIZED (
    SELECT granule_id, digest FROM export_item WHERE export_id = %(export)s ORDER BY md5(granule_id::text) LIMIT %(some)s
)
SELECT count(*) AS unlike, min(g.key COLLATE "C") AS first FROM picked i JOIN granule g ON g.id = i.granule_id
LEFT JOIN LATERAL (SELECT c.digest FROM export_content c WHERE c.id = i.granule_id OFFSET 0) c ON true WHERE c.digest IS DISTINCT FROM i.digest;

-- export_sample_files: some files of an export, spread over all of it
SELECT s.path, s.size, s.digest FROM (
    SELECT i.granule_id FROM export_item i WHERE i.export_id = %(export)s AND i.action <> 'removed' ORDER BY md5(i.granule_id::text) LIMIT %(limit)s) i
JOIN LATERAL (SELECT s.* FROM granule_asset l JOIN asset s ON s.id = l.asset_id WHERE l.granule_id = i.granule_id AND s.state = 'archived'
              ORDER BY s.id LIMIT 1) s ON true;

-- export_running: exports to a site that have begun and are not done
SELECT *, encode(hash, 'hex') AS hex FROM export WHERE direction = 'out' AND state = 'running' AND site = %(site)s ORDER BY id;

-- export_halfway: batches whose files are on their way, in or back
SELECT number, part, items, state FROM export_batch WHERE export_id = %(export)s AND state IN ('placing', 'taking') ORDER BY number;

-- export_gone: files that are not in the archive here any more, or in doubt
SELECT w.path FROM unnest(%(paths)s::text[], %(digests)s::bytea[]) AS w (path, digest)
WHERE NOT EXISTS (SELECT FROM asset s WHERE s.path = w.path AND s.digest = w.digest AND s.state = 'archived') ORDER BY w.path LIMIT 1;

-- export_by_index: a batch is small whatever the planner knows of tables that have just grown: row by row through indexes
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true);

-- export_without_scans: the same, where a batch's own tables are joined, too
SELECT set_config('enable_seqscan', 'off', true);

-- export_as_usual: for the rest of the transaction as the server is set
SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true), set_config('enable_seqscan', 'on', true);
