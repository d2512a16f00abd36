-- Mirror: second copies of files, by the mirror in which they stand.

-- mirror_any: whether a mirror holds copies
SELECT true AS holds FROM mirror_copy WHERE mirror = %(mirror)s LIMIT 1;

-- mirror_number: by what number a mirror knows its folder
SELECT number::text AS number FROM mirror WHERE name = %(mirror)s;

-- mirror_enter: give it one
INSERT INTO mirror (name) VALUES (%(mirror)s) ON CONFLICT DO NOTHING;

-- mirror_products: sources and products of which the archive has, or had, something
WITH RECURSIVE pair AS (
    (SELECT product, source FROM granule ORDER BY product, source LIMIT 1)
    UNION ALL
    SELECT n.product, n.source FROM pair p CROSS JOIN LATERAL (
        SELECT g.product, g.source FROM granule g WHERE (g.product, g.source) > (p.product, p.source) ORDER BY g.product, g.source LIMIT 1) n
)
SELECT source, product FROM pair;

-- mirror_pass: the moment, and since when files were archived that no pass has met; null: a whole pass is due, once a day or for other products
SELECT clock_timestamp() AS moment,
       (SELECT passed_at - interval '1 hour' FROM mirror  -- so long a transaction that archives may take
        WHERE name = %(mirror)s AND products = %(wanted)s::text[] AND whole_at > now() - interval '1 day') AS since;

-- mirror_passed: all that a pass had to do is done
UPDATE mirror SET passed_at = %(moment)s, products = %(wanted)s::text[], whole_at = CASE WHEN %(whole)s THEN %(moment)s ELSE whole_at END
WHERE name = %(mirror)s;

-- mirror_due: the next archived files of these products of which a mirror holds no good copy
SELECT s.id, s.path, s.size, s.digest, s.in_place FROM asset s
WHERE s.state = 'archived' AND s.id > %(after)s
  AND NOT EXISTS (SELECT FROM mirror_copy c WHERE c.mirror = %(mirror)s AND c.asset_id = s.id AND c.verified_at IS NOT NULL)
  AND EXISTS (SELECT FROM granule_asset l JOIN granule g ON g.id = l.granule_id
              WHERE l.asset_id = s.id AND g.state = 'archived' AND (g.source, g.product) IN (SELECT * FROM unnest(%(sources)s::text[], %(products)s::text[])))
ORDER BY s.id LIMIT %(limit)s;

-- mirror_due_since: the same of those that were archived, or read, since a moment, and of bad copies
SELECT s.id, s.path, s.size, s.digest, s.in_place FROM asset s
WHERE s.state = 'archived' AND s.id > %(after)s
  AND s.id IN (SELECT r.id FROM asset r WHERE r.state IN ('archived', 'suspect') AND r.fixity_at >= %(since)s
               UNION SELECT b.asset_id FROM mirror_copy b WHERE b.mirror = %(mirror)s AND b.verified_at IS NULL)
  AND NOT EXISTS (SELECT FROM mirror_copy c WHERE c.mirror = %(mirror)s AND c.asset_id = s.id AND c.verified_at IS NOT NULL)
  AND EXISTS (SELECT FROM granule_asset l JOIN granule g ON g.id = l.granule_id
              WHERE l.asset_id = s.id AND g.state = 'archived' AND (g.source, g.product) IN (SELECT * FROM unnest(%(sources)s::text[], %(products)s::text[])))
ORDER BY s.id LIMIT %(limit)s;

-- mirror_keep: these files stand in a mirror now; a removed file of the same path no longer does. Of one whose row has gone
-- meanwhile the copy is nobody's
WITH new AS (SELECT a.id, a.path FROM asset a WHERE a.id = ANY (%(assets)s::bigint[]) ORDER BY a.id FOR KEY SHARE),
lost AS (INSERT INTO mirror_orphan (mirror, path) SELECT %(mirror)s, n.path FROM unnest(%(assets)s::bigint[], %(paths)s::text[]) AS n (id, path)
         WHERE NOT EXISTS (SELECT FROM new WHERE new.id = n.id) ON CONFLICT DO NOTHING),
old AS (DELETE FROM mirror_copy c USING asset a, new n
        WHERE c.mirror = %(mirror)s AND a.id = c.asset_id AND a.path = n.path AND a.id <> n.id)
INSERT INTO mirror_copy (mirror, asset_id) SELECT %(mirror)s, id FROM new ORDER BY id
ON CONFLICT (mirror, asset_id) DO UPDATE SET copied_at = now(), verified_at = now();

-- mirror_copies: mirrors that hold a copy of these files, the newest verified first, those that were bad last
SELECT c.asset_id, c.mirror FROM mirror_copy c WHERE c.asset_id = ANY (%(assets)s) ORDER BY c.asset_id, c.verified_at DESC NULLS LAST, c.mirror;

-- mirror_verified: the copy of a file was read and agrees
UPDATE mirror_copy SET verified_at = clock_timestamp() WHERE mirror = %(mirror)s AND asset_id = ANY (%(assets)s);

-- mirror_bad: it does not; it is made anew, and looked at again when it is all there is
UPDATE mirror_copy SET verified_at = NULL WHERE mirror = %(mirror)s AND asset_id = ANY (%(assets)s);

-- mirror_forget: copies that stand there no more
DELETE FROM mirror_copy WHERE mirror = %(mirror)s AND asset_id = ANY (%(assets)s);

-- mirror_disown: the rows of these files are about to go: their copies are removed by path
WITH gone AS (DELETE FROM mirror_copy c USING asset a WHERE a.id = c.asset_id AND c.asset_id = ANY (%(assets)s) RETURNING c.mirror, a.path)
INSERT INTO mirror_orphan (mirror, path) SELECT mirror, path FROM gone ON CONFLICT DO NOTHING;

-- mirror_orphans: the next copies of files whose rows are gone
SELECT o.path, EXISTS (SELECT FROM asset a WHERE a.path = o.path AND a.state <> 'deleted') AS taken
FROM mirror_orphan o WHERE o.mirror = %(mirror)s AND o.path > %(after)s ORDER BY o.path LIMIT %(limit)s;

-- mirror_orphans_gone: they stand there no more
DELETE FROM mirror_orphan WHERE mirror = %(mirror)s AND path = ANY (%(paths)s);

-- mirror_removed: the next copies of files that left the archive and, as the inventory says, the trash; what was replaced may stand there still
SELECT c.asset_id AS id, a.path, t.asset_id IS NULL AS replaced,
       EXISTS (SELECT FROM asset o WHERE o.path = a.path AND o.id <> a.id AND o.state <> 'deleted') AS taken
FROM mirror_copy c JOIN asset a ON a.id = c.asset_id AND a.state = 'deleted'
LEFT JOIN LATERAL (SELECT i.asset_id, i.trash_path FROM removal_item i  -- plans that nobody took up say nothing
                   WHERE i.asset_id = a.id AND i.state IN ('marked', 'trashed', 'emptied') ORDER BY i.trash_path LIMIT 1) t ON true
WHERE c.mirror = %(mirror)s AND c.asset_id > %(after)s AND t.trash_path IS NULL ORDER BY c.asset_id LIMIT %(limit)s;

-- mirror_figures: files and bytes that stand in a mirror, when its copies were last read, and those that were bad then
SELECT count(*) AS files, coalesce(sum(a.size), 0)::bigint AS bytes, min(c.verified_at) AS oldest_verified,
       count(*) FILTER (WHERE a.state = 'deleted') AS left_archive,
       count(*) FILTER (WHERE a.state <> 'deleted' AND c.verified_at IS NULL) AS bad
FROM mirror_copy c JOIN asset a ON a.id = c.asset_id WHERE c.mirror = %(mirror)s;

-- mirror_waiting: files and bytes that a mirror does not hold yet
SELECT count(*) AS files, coalesce(sum(s.size), 0)::bigint AS bytes FROM asset s
WHERE s.state = 'archived' AND NOT EXISTS (SELECT FROM mirror_copy c WHERE c.mirror = %(mirror)s AND c.asset_id = s.id AND c.verified_at IS NOT NULL)
  AND EXISTS (SELECT FROM granule_asset l JOIN granule g ON g.id = l.granule_id
              WHERE l.asset_id = s.id AND g.state = 'archived' AND (g.source, g.product) IN (SELECT * FROM unnest(%(sources)s::text[], %(products)s::text[])));

-- mirror_held: the next files of the archive that have a copy, in order of their numbers
SELECT DISTINCT a.id, a.path, a.state, a.size, a.digest, a.in_place FROM mirror_copy c JOIN asset a ON a.id = c.asset_id
WHERE a.state IN ('archived', 'suspect') AND a.id > %(after)s ORDER BY a.id LIMIT %(limit)s;

-- mirror_oldest: the copies of a mirror longest unread
SELECT c.asset_id AS id, a.path, a.size, a.digest, c.verified_at FROM mirror_copy c JOIN asset a ON a.id = c.asset_id
WHERE c.mirror = %(mirror)s AND a.state <> 'deleted' AND c.verified_at < %(since)s AND (c.verified_at, c.asset_id) > (%(after)s, %(after_id)s)
ORDER BY c.verified_at, c.asset_id LIMIT %(limit)s;

-- mirror_spent: bytes of copies that were read again today (UTC), its midnight, and how much of it has begun, by the hour
SELECT m.midnight, ceil(extract(epoch FROM now() - m.midnight + interval '1 second') / 3600) / 24 AS share,
       (SELECT coalesce(sum(a.size), 0)::bigint FROM mirror_copy c JOIN asset a ON a.id = c.asset_id
        WHERE c.mirror = %(mirror)s AND c.verified_at >= m.midnight AND c.copied_at < m.midnight) AS bytes
FROM (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS midnight) m;

-- repair_rows: files as the inventory knows them
SELECT id, path, state, size, digest, in_place FROM asset WHERE id = ANY (%(assets)s) ORDER BY id;

-- repair_named: files by their path, or by the name they were delivered under
SELECT id FROM asset WHERE path = %(name)s AND state IN ('archived', 'suspect')
UNION SELECT a.asset_id FROM arrival a JOIN asset s ON s.id = a.asset_id AND s.state IN ('archived', 'suspect')
WHERE a.name = %(name)s AND a.state = 'archived'
UNION SELECT l.asset_id FROM granule g JOIN granule_asset l ON l.granule_id = g.id JOIN asset s ON s.id = l.asset_id AND s.state IN ('archived', 'suspect')
WHERE g.key = %(name)s ORDER BY 1;

-- repair_finding: what is open about a file; its number names the folder of what is damaged
SELECT id FROM scan_finding WHERE asset_id = %(asset)s AND closed_at IS NULL ORDER BY kind = 'damaged' DESC, id LIMIT 1;

-- mirror_today: the day (UTC), by the database's clock
SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day;
