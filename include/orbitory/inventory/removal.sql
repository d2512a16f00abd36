-- Guarded removal: planned sets leave, batch by batch, and come back.

-- removal_find: a set by its hash
SELECT id, encode(hash, 'hex') AS hash, kind, made_at, actor, state, counts, reason,
       EXISTS (SELECT FROM removal_item i WHERE i.set_id = s.id AND i.state IN ('marked', 'trashed', 'emptied')) AS begun
FROM removal_set s WHERE hash = %(hash)s;

-- removal_differences: granules that are in one of two sets alone
SELECT g.key, bool_or(i.set_id = %(old)s) AS gone, count(*) FILTER (WHERE i.set_id = %(old)s) AS files
FROM (SELECT granule_id, path, asset_id, bytes, keeper_id, reason FROM removal_item WHERE set_id IN (%(old)s, %(new)s)
      GROUP BY 1, 2, 3, 4, 5, 6 HAVING count(DISTINCT set_id) = 1) d
JOIN removal_item i USING (granule_id, asset_id) JOIN granule g ON g.id = i.granule_id
WHERE i.set_id IN (%(old)s, %(new)s) GROUP BY g.id ORDER BY g.key COLLATE "C" LIMIT %(limit)s;

-- removal_approve: from here on the set is to go
UPDATE removal_set SET state = 'approved', actor = %(actor)s, reason = %(reason)s WHERE id = %(id)s AND state = 'planned';

-- removal_next: the next granules of a set whose items are in these states, with all others of them that share a file with them
WITH RECURSIVE seed AS MATERIALIZED (
    SELECT DISTINCT granule_id FROM removal_item WHERE set_id = %(id)s AND state = ANY (%(states)s::text[]) AND granule_id > %(after)s
    ORDER BY granule_id LIMIT %(limit)s
), reached AS (
    SELECT granule_id FROM seed
    UNION
    SELECT o.granule_id FROM reached r  -- row by row through the indexes of granule and file: a fresh set has no statistics yet
    CROSS JOIN LATERAL (SELECT asset_id FROM removal_item
                        WHERE set_id = %(id)s AND granule_id = r.granule_id AND state = ANY (%(states)s::text[]) OFFSET 0) i
    CROSS JOIN LATERAL (SELECT granule_id FROM removal_item
                        WHERE set_id + 0 = %(id)s AND asset_id = i.asset_id AND state = ANY (%(states)s::text[]) OFFSET 0) o
)
SELECT (SELECT max(granule_id) FROM seed) AS upto, i.granule_id, g.key, i.asset_id, i.path, i.bytes, i.keeper_id, i.trash_path, i.state,
       i.suspect, s.state AS asset_state, s.in_place, s.digest
FROM reached r
CROSS JOIN LATERAL (SELECT * FROM removal_item
                    WHERE set_id = %(id)s AND granule_id = r.granule_id AND state = ANY (%(states)s::text[]) OFFSET 0) i
JOIN granule g ON g.id = i.granule_id JOIN asset s ON s.id = i.asset_id
ORDER BY i.granule_id, i.path;

-- removal_keepers: files of the granules that stay in the place of others
SELECT l.granule_id, g.key, s.path, s.digest FROM granule_asset l JOIN granule g ON g.id = l.granule_id
JOIN asset s ON s.id = l.asset_id AND s.state = 'archived'
WHERE l.granule_id = ANY (%(granules)s::bigint[]) AND g.state = 'archived'
  AND EXISTS (SELECT FROM footprint_master m WHERE m.granule_id = g.id) ORDER BY l.granule_id, s.path;

-- removal_keeping: of the granules that stay in the place of others, those that are held and preferred
SELECT g.id FROM granule g JOIN footprint_master m ON m.granule_id = g.id WHERE g.id = ANY (%(granules)s::bigint[]) AND g.state = 'archived';

-- removal_unlike: granules of a set that would not be planned like this now, and why
SELECT i.granule_id, coalesce(h.why, CASE WHEN p.granule_id IS NULL THEN 'it is not held, or not what was asked for, any more'
                                          ELSE 'its files are not those that were shown any more' END) AS why
FROM (SELECT granule_id, array_agg(concat_ws(' ', asset_id, keeper_id, bytes, path) ORDER BY asset_id) AS files FROM removal_item
      WHERE set_id = %(id)s AND granule_id = ANY (%(granules)s::bigint[]) GROUP BY granule_id) i
LEFT JOIN (SELECT granule_id, array_agg(concat_ws(' ', asset_id, keeper_id, bytes, path) ORDER BY asset_id) AS files FROM removal_planned
           GROUP BY granule_id) p USING (granule_id)
LEFT JOIN removal_held h USING (granule_id)
WHERE i.files IS DISTINCT FROM p.files;

-- removal_lock_rows: nobody changes them until they are marked
SELECT id, state, coalesce(expires_at <= now(), false) AS due FROM granule WHERE id = ANY (%(granules)s) ORDER BY id FOR NO KEY UPDATE;

-- removal_lock_free_rows: the same for those that nobody else is changing
SELECT id, state, coalesce(expires_at <= now(), false) AS due FROM granule WHERE id = ANY (%(granules)s) ORDER BY id
FOR NO KEY UPDATE SKIP LOCKED;

-- removal_beside: files that should stand next to a path, below the same folder of storage
(SELECT path FROM asset WHERE path < %(path)s AND path > %(top)s || '/' AND state = 'archived' ORDER BY path DESC LIMIT %(limit)s)
UNION ALL
(SELECT path FROM asset WHERE path > %(path)s AND path < %(top)s || '0' AND state = 'archived' ORDER BY path LIMIT %(limit)s);

-- removal_note_withdrawn: these were withdrawn before, and will be again if they come back
UPDATE removal_item SET withdrawn = true WHERE set_id = %(id)s AND granule_id = ANY (%(granules)s);

-- removal_mark_granules: they are about to leave
UPDATE granule SET state = 'deleting' WHERE id = ANY (%(granules)s) AND state IN ('archived', 'withdrawn');

-- removal_mark_items: where their files will stand
UPDATE removal_item i SET state = 'marked', trash_path = CASE WHEN s.in_place THEN NULL ELSE %(folder)s || i.path END,
    suspect = s.id = ANY (%(suspect)s::bigint[])
FROM asset s WHERE s.id = i.asset_id AND i.set_id = %(id)s AND i.granule_id = ANY (%(granules)s::bigint[]);

-- removal_spare_items: these stay, and the set is done with them
UPDATE removal_item i SET state = 'spared', why = l.why, trash_path = NULL
FROM unnest(%(granules)s::bigint[], %(whys)s::text[]) AS l (granule_id, why)
WHERE i.set_id = %(id)s AND i.granule_id = l.granule_id;

-- removal_spared: granules of a set that stayed, or were put back, and why
SELECT DISTINCT i.granule_id, g.key, coalesce(nullif(i.why, ''), 'it was put back') AS why FROM removal_item i JOIN granule g ON g.id = i.granule_id
WHERE i.set_id = %(id)s AND i.state IN ('spared', 'undone') ORDER BY g.key, why;

-- removal_bury_granules: they have left; the rows stay as tombstones
UPDATE granule SET state = 'deleted' WHERE id = ANY (%(granules)s) AND state = 'deleting';

-- removal_bury_items: likewise; what was missing already stands nowhere
UPDATE removal_item SET state = 'trashed', trashed_at = now(), trash_path = CASE WHEN asset_id = ANY (%(missing)s::bigint[]) THEN NULL ELSE trash_path END
FROM unnest(%(granules)s::bigint[]) AS n (id)
WHERE set_id = %(id)s AND granule_id = n.id;

-- removal_kin: keys of these granules of which a version is here; and whether any version is an image, or stands back for one of them
SELECT coalesce(array_agg(DISTINCT g.key) FILTER (WHERE v.here), '{}') AS keys,
       coalesce(bool_or(v.image OR EXISTS (SELECT FROM footprint_archive a WHERE a.keeper_id = n.id)), false) AS images
FROM unnest(%(granules)s::bigint[]) AS n (id) CROSS JOIN LATERAL (SELECT key FROM granule WHERE id = n.id OFFSET 0) g
CROSS JOIN LATERAL (SELECT bool_or(state IN ('stored', 'archived')) AS here, bool_or(search ? 'image') AS image FROM granule WHERE key = g.key) v;

-- removal_commit_later: this transaction may be lost if the machine stops in this very moment; the next run would do it again
SET LOCAL synchronous_commit = off;

-- removal_finish: nothing of the set is left to do
UPDATE removal_set SET state = 'applied' WHERE id = %(id)s AND state = 'approved'
  AND NOT EXISTS (SELECT FROM removal_item i WHERE i.set_id = %(id)s AND i.state IN ('planned', 'marked'));

-- removal_unfinished: sets of expired granules that were cut short
SELECT id, encode(hash, 'hex') AS hash FROM removal_set WHERE kind = 'expired' AND state = 'approved' ORDER BY id;

-- removal_forget_spared: what stayed of a set that nobody was asked about, and that is finished
DELETE FROM removal_item i USING removal_set r
WHERE r.id = %(id)s AND r.kind = 'expired' AND r.reason = 'expired' AND r.state = 'applied' AND i.set_id = r.id AND i.state = 'spared';

-- removal_forget_empty: and the set, when nothing of it has left
DELETE FROM removal_set r WHERE r.id = %(id)s AND r.kind = 'expired' AND r.reason = 'expired' AND r.state = 'applied'
  AND NOT EXISTS (SELECT FROM removal_item i WHERE i.set_id = r.id);

-- removal_unfinished_items: the granules that they still are to take
SELECT i.granule_id, g.key || CASE WHEN g.version_rank > 0 THEN ' ' || g.version ELSE '' END AS loser, min(i.reason) AS reason,
       sum(i.bytes)::bigint AS bytes, g.product, g.expires_at AS expires
FROM removal_set r JOIN removal_item i ON i.set_id = r.id AND i.state IN ('planned', 'marked') JOIN granule g ON g.id = i.granule_id
WHERE r.kind = 'expired' AND r.state = 'approved' GROUP BY i.granule_id, g.id ORDER BY g.key COLLATE "C", g.version_rank, g.id;

-- removal_trash_holds: whether the trash should hold anything: of a set, or what a newer version has replaced lately (0 days: ever)
SELECT EXISTS (SELECT FROM removal_item WHERE state IN ('marked', 'trashed', 'emptied') AND trash_path IS NOT NULL)
       OR EXISTS (SELECT FROM asset s JOIN event e ON e.ids @> s.id AND e.subject = 'asset' AND e.to_state = 'deleted'
                  WHERE s.state = 'deleted' AND s.removal = 'replaced' AND (%(days)s = 0 OR e.at > now() - %(days)s * interval '1 day')) AS holds;

-- removal_unmark_assets: files that could not leave after all, as they were before
UPDATE asset s SET state = CASE WHEN EXISTS (SELECT FROM removal_item i WHERE i.set_id = %(id)s AND i.asset_id = s.id AND i.suspect)
                                THEN 'suspect' ELSE 'archived' END
WHERE id = ANY (%(assets)s) AND state = 'deleting';

-- removal_emptied: whether files of a set have left the trash, too
SELECT count(DISTINCT asset_id)::int AS files, max(trashed_at) AS trashed_at FROM removal_item WHERE set_id = %(id)s AND state = 'emptied';

-- removal_figures: what has become of a set so far
SELECT count(DISTINCT i.granule_id) AS granules, count(DISTINCT i.granule_id) FILTER (WHERE i.state IN ('trashed', 'emptied')) AS gone,
       count(DISTINCT i.asset_id) FILTER (WHERE i.state IN ('trashed', 'emptied')) AS files,
       coalesce((SELECT sum(bytes) FROM (SELECT DISTINCT asset_id, bytes FROM removal_item
                                         WHERE set_id = %(id)s AND state = 'trashed' AND trash_path IS NOT NULL) t), 0)::bigint AS bytes
FROM removal_item i WHERE i.set_id = %(id)s;

-- removal_retaken: granules of a set whose key, or the path of a file of theirs, was given again since they left
SELECT i.granule_id, min(n.key) AS name FROM removal_item i JOIN granule g ON g.id = i.granule_id AND g.state = 'deleted'
JOIN granule n ON n.key = g.key AND n.version_rank = g.version_rank AND n.created IS NOT DISTINCT FROM g.created
              AND n.id <> g.id AND n.state <> 'deleted'
WHERE i.set_id = %(id)s AND i.granule_id = ANY (%(granules)s::bigint[]) GROUP BY i.granule_id
UNION ALL
SELECT i.granule_id, min(s.path) FROM removal_item i JOIN asset s ON s.id = i.asset_id AND s.state = 'deleted'
JOIN asset n ON n.path = s.path AND n.id <> s.id AND n.state <> 'deleted'
WHERE i.set_id = %(id)s AND i.granule_id = ANY (%(granules)s::bigint[]) GROUP BY i.granule_id;

-- removal_turn_back: from here on the set is to come back; what had not begun to leave stays
UPDATE removal_set SET state = 'undone' WHERE id = %(id)s;

-- removal_spare: what had not begun to leave stays
UPDATE removal_item SET state = 'undone' WHERE set_id = %(id)s AND state = 'planned';

-- removal_exhume_assets: files that are about to come back
UPDATE asset SET state = 'deleting', removal = NULL WHERE id = ANY (%(assets)s) AND state = 'deleted' AND removal IN ('removed', 'expired');

-- removal_exhume_granules: and their granules
UPDATE granule SET state = 'deleting' WHERE id = ANY (%(granules)s) AND state = 'deleted';

-- removal_restore_assets: they stand in storage again, read again
UPDATE asset SET state = 'archived', fixity_at = now() WHERE id = ANY (%(assets)s) AND state = 'deleting';

-- removal_restore_granules: and are visible again
UPDATE granule g SET state = CASE WHEN EXISTS (SELECT FROM removal_item i WHERE i.set_id = %(id)s AND i.granule_id = g.id AND i.withdrawn)
                                  THEN 'withdrawn' ELSE 'archived' END
WHERE id = ANY (%(granules)s) AND state = 'deleting';

-- removal_restore_items: likewise
UPDATE removal_item SET state = 'undone', trash_path = NULL WHERE set_id = %(id)s AND granule_id = ANY (%(granules)s);
