-- Scan: the rolling audit of storage: what is due, what was found, and what was done about it.

-- scan_folders: where the first two folders of paths in the inventory change, without reading all of its rows; so many at most
WITH RECURSIVE step AS (
    -- What was registered in place has a path that begins with a slash, and is in no folder of storage.
    (SELECT 1 AS number, path FROM asset WHERE state <> 'deleted' AND path >= '0' ORDER BY path LIMIT 1)
    UNION ALL
    SELECT s.number + 1, n.path FROM step s CROSS JOIN LATERAL (
        SELECT a.path FROM asset a
        WHERE a.state <> 'deleted' AND a.path > coalesce(rtrim(substring(s.path FROM '^[^/]*/[^/]*/'), '/') || '0', s.path)
        ORDER BY a.path LIMIT 1) n
    WHERE s.number < %(limit)s
)
SELECT DISTINCT coalesce(substring(path FROM '^[^/]*/[^/]*/'), substring(path FROM '^[^/]*/')) AS folder FROM step WHERE path LIKE '%%/%%';

-- scan_begin: one pass of a run over a partition, begun anew
INSERT INTO scan (kind, partition, actor) VALUES (%(kind)s, %(partition)s, %(actor)s)
ON CONFLICT (actor, kind, partition) DO UPDATE SET finished_at = NULL, started_at = now(), files = 0, bytes = 0 WHERE scan.kind = 'reconcile'
RETURNING id;

-- scan_known: the same of a pass that goes on where it was cut short
SELECT id, files, bytes, finished_at FROM scan WHERE kind = %(kind)s AND partition = %(partition)s AND actor = %(actor)s;

-- scan_progress: so much more was seen or read
UPDATE scan SET files = files + %(files)s, bytes = bytes + %(bytes)s WHERE id = %(id)s;

-- scan_finish: the whole range was seen
UPDATE scan SET finished_at = clock_timestamp() WHERE id = %(id)s;

-- scan_page: the next files that storage should or may hold, in byte order of their path, as lines of path and size (or state)
SELECT string_agg(line, E'\n') AS lines, max(path) AS last
FROM (SELECT path, path || E'\t' || CASE state WHEN 'archived' THEN size::text ELSE state END AS line FROM asset
      WHERE state IN ('stored', 'archived', 'suspect', 'deleting')
        AND path >= %(low)s AND path > %(after)s AND (%(high)s::text IS NULL OR path < %(high)s)
      ORDER BY path LIMIT %(limit)s) page;

-- scan_rows_at: the same of these paths, at this moment; a damaged one that was read and differs says so
SELECT a.id, a.path, a.state, a.size, a.digest, a.in_place,
       EXISTS (SELECT FROM scan_finding f WHERE f.asset_id = a.id AND f.closed_at IS NULL AND f.kind = 'damaged' AND f.size = a.size) AS differs
FROM asset a WHERE a.path = ANY (%(paths)s::text[]) AND a.state IN ('stored', 'archived', 'suspect', 'deleting');

-- scan_below: those of these paths below which the inventory has files, as if each were a folder
SELECT n.path FROM unnest(%(paths)s::text[]) AS n (path)
WHERE EXISTS (SELECT FROM asset a WHERE a.state <> 'deleted' AND a.path > n.path || '/' AND a.path < n.path || '0');

-- scan_supersede: what was found at these paths was about another file
UPDATE scan_finding f SET closed_at = clock_timestamp(), outcome = 'gone'
FROM unnest(%(paths)s::bytea[], %(assets)s::bigint[]) AS n (path, asset_id)
WHERE f.path = n.path AND f.closed_at IS NULL AND f.asset_id IS DISTINCT FROM n.asset_id AND NOT (f.kind = 'dark' AND f.moved_to IS NOT NULL);

-- scan_observe: what a look found; another run that finds the same some time later agrees with it
INSERT INTO scan_finding AS f (kind, path, name, asset_id, size, detail, scans, actor)
SELECT n.kind, n.path, n.name, n.asset_id, n.size, n.detail, n.scans, %(actor)s
FROM unnest(%(kinds)s::text[], %(paths)s::bytea[], %(names)s::text[], %(assets)s::bigint[], %(sizes)s::bigint[], %(details)s::text[],
            %(scans)s::integer[]) AS n (kind, path, name, asset_id, size, detail, scans)
ORDER BY n.path
ON CONFLICT (path) WHERE closed_at IS NULL DO UPDATE SET kind = excluded.kind, last_seen = clock_timestamp(), detail = excluded.detail,
    size = excluded.size, actor = excluded.actor,
    (scans, agreed_at) = (SELECT
        CASE WHEN f.kind <> excluded.kind THEN excluded.scans
             WHEN look.counts THEN greatest(f.scans + 1, excluded.scans) ELSE greatest(f.scans, excluded.scans) END,
        CASE WHEN f.kind <> excluded.kind OR look.counts THEN clock_timestamp() ELSE f.agreed_at END
        FROM (SELECT f.actor <> excluded.actor AND f.agreed_at < clock_timestamp() - %(apart)s::interval AS counts) AS look)
WHERE f.asset_id IS NOT DISTINCT FROM excluded.asset_id AND NOT (f.kind = 'dark' AND f.moved_to IS NOT NULL);

-- scan_close_unseen: what a whole pass over a range, but some folders, no longer found; what is suspect, or was read and differs, closes when it was read and is whole
UPDATE scan_finding f SET closed_at = clock_timestamp(), outcome = CASE f.kind WHEN 'dark' THEN 'gone' ELSE 'whole' END
WHERE f.closed_at IS NULL AND f.last_seen < %(since)s AND f.path >= %(low)s AND (%(high)s::bytea IS NULL OR f.path < %(high)s)
  AND NOT EXISTS (SELECT FROM unnest(%(unread)s::bytea[]) AS u (folder) WHERE substring(f.path FOR length(u.folder)) = u.folder)
  AND CASE WHEN f.kind = 'dark' THEN f.moved_to IS NULL
      ELSE EXISTS (SELECT FROM asset a WHERE a.id = f.asset_id AND a.state = 'archived' AND NOT a.in_place
                   AND (f.kind = 'missing' OR f.size IS DISTINCT FROM a.size)) END;

-- scan_close_gone: findings about files that have left the archive since
UPDATE scan_finding f SET closed_at = clock_timestamp(), outcome = 'gone' FROM asset a
WHERE f.closed_at IS NULL AND a.id = f.asset_id AND a.state IN ('deleting', 'deleted');

-- scan_close: findings about files that are whole again
UPDATE scan_finding SET closed_at = clock_timestamp(), outcome = %(outcome)s WHERE asset_id = ANY (%(assets)s) AND closed_at IS NULL;

-- scan_disown: the rows of these files are about to go
DELETE FROM scan_finding WHERE asset_id = ANY (%(assets)s);

-- scan_open: of each kind: open findings and files set aside within a week, in a range and everywhere; those of the range about which nothing was done
SELECT kind, count(*) AS everywhere, count(*) FILTER (WHERE path >= %(low)s AND (%(high)s::bytea IS NULL OR path < %(high)s)) AS here,
       count(*) FILTER (WHERE closed_at IS NULL AND acted_at IS NULL AND path >= %(low)s AND (%(high)s::bytea IS NULL OR path < %(high)s)) AS fresh
FROM scan_finding
WHERE closed_at IS NULL OR closed_at > now() - interval '7 days' AND outcome = 'quarantined' AND moved_to IS NOT NULL GROUP BY kind;

-- scan_held: files that storage should hold, in a range and in all
SELECT count(*) FILTER (WHERE path >= %(low)s AND (%(high)s::text IS NULL OR path < %(high)s)) AS here, count(*) AS archive
FROM asset WHERE state IN ('archived', 'suspect');

-- scan_ready: findings of this run, of a range: those that enough looks agree on and about which nothing was done yet, or those about suspect files
SELECT f.id, f.kind, f.path, f.name, f.asset_id, f.size, f.detail, f.moved_to, f.first_seen, f.scans FROM scan_finding f
WHERE f.closed_at IS NULL AND f.actor = %(actor)s AND f.kind = ANY (%(kinds)s)
  AND CASE WHEN %(anew)s THEN f.acted_at IS NULL AND f.scans >= %(agreeing)s ELSE f.acted_at IS NOT NULL END
  AND f.path >= %(low)s AND (%(high)s::bytea IS NULL OR f.path < %(high)s) AND f.id > %(after)s ORDER BY f.id LIMIT %(limit)s;

-- scan_half_moved: dark files whose way into quarantine was begun
SELECT id, path, name, size, detail, moved_to, first_seen, scans FROM scan_finding
WHERE kind = 'dark' AND closed_at IS NULL AND moved_to IS NOT NULL ORDER BY id;

-- scan_intend: where a dark or damaged file is about to stand in quarantine
UPDATE scan_finding SET moved_to = %(target)s WHERE id = %(id)s;

-- scan_moved: it stands there
UPDATE scan_finding SET acted_at = clock_timestamp(), closed_at = clock_timestamp(), outcome = 'quarantined' WHERE id = ANY (%(ids)s) AND closed_at IS NULL;

-- scan_stayed: it did not move after all
UPDATE scan_finding SET moved_to = NULL WHERE id = ANY (%(ids)s) AND closed_at IS NULL;

-- scan_lock_assets: files that are about to change state, as they are now
SELECT id, path, state, size, digest, in_place FROM asset WHERE id = ANY (%(assets)s) ORDER BY id FOR NO KEY UPDATE;

-- scan_suspect: nobody is given these any more
UPDATE asset SET state = 'suspect' WHERE id = ANY (%(assets)s) AND state = 'archived';

-- scan_acted: what was found about them is known to everybody
UPDATE scan_finding SET acted_at = clock_timestamp() WHERE asset_id = ANY (%(assets)s) AND closed_at IS NULL AND acted_at IS NULL;

-- scan_whole: read again and as the inventory says
UPDATE asset SET state = 'archived', fixity_at = clock_timestamp() WHERE id = ANY (%(assets)s) AND state = 'suspect';

-- scan_read: likewise, of files that nobody doubted
UPDATE asset SET fixity_at = clock_timestamp() WHERE id = ANY (%(assets)s) AND state = 'archived';

-- scan_spent: bytes that were read today (UTC), and the moment
SELECT clock_timestamp() AS moment, coalesce(sum(bytes), 0)::bigint AS bytes FROM scan
WHERE kind = 'fixity' AND started_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';

-- scan_oldest: files longest unread first; those that something is wrong with have a queue of their own
SELECT a.id, a.path, a.size, a.fixity_at FROM asset a
WHERE a.state IN ('archived', 'suspect') AND a.fixity_at < %(since)s
  AND NOT EXISTS (SELECT FROM scan_finding f WHERE f.asset_id = a.id AND f.closed_at IS NULL)
ORDER BY a.fixity_at, a.id;

-- scan_due: the next of these in a range, up to where the plan came
SELECT a.id, a.path, a.state, a.size, a.digest, a.in_place, a.fixity_at FROM asset a
WHERE a.state IN ('archived', 'suspect') AND (a.fixity_at, a.id) > (%(after)s, %(after_id)s) AND (a.fixity_at, a.id) <= (%(until)s, %(until_id)s)
  AND a.path >= %(low)s AND (%(high)s::text IS NULL OR a.path < %(high)s)
  AND NOT EXISTS (SELECT FROM scan_finding f WHERE f.asset_id = a.id AND f.closed_at IS NULL)
ORDER BY a.fixity_at, a.id LIMIT %(limit)s;

-- scan_doubtful: files that something is wrong with, those longest not looked at first; what is missing in storage is for the comparison to find again
SELECT a.id, a.path, a.state, a.size, a.digest, a.in_place, f.last_seen, f.id AS finding
FROM scan_finding f JOIN asset a ON a.id = f.asset_id
WHERE f.closed_at IS NULL AND a.state IN ('archived', 'suspect') AND (f.kind = 'damaged' OR a.in_place) AND f.last_seen < %(since)s
  AND f.path >= %(low)s AND (%(high)s::bytea IS NULL OR f.path < %(high)s) AND (f.last_seen, f.id) > (%(after)s, %(after_id)s)
ORDER BY f.last_seen, f.id LIMIT %(limit)s;

-- scan_roots: folders that were registered in place, of these files
SELECT a.asset_id AS asset, b.root FROM arrival a JOIN batch b ON b.id = a.batch_id
WHERE a.asset_id = ANY (%(assets)s) AND a.state = 'archived' AND b.root IS NOT NULL;

-- scan_cycle: how much there is to read, and how long ago the oldest of it was read, in days
SELECT count(*) AS files, coalesce(sum(size), 0)::bigint AS bytes,
       extract(epoch FROM now() - min(fixity_at))::float8 / 86400 AS oldest_days,
       coalesce(sum(size) FILTER (WHERE fixity_at > now() - interval '90 days'), 0)::bigint AS recent
FROM asset WHERE state IN ('archived', 'suspect');

-- scan_of_run: what the passes of a run saw
SELECT kind, count(*) AS passes, count(*) FILTER (WHERE finished_at IS NULL) AS unfinished,
       sum(files)::bigint AS files, sum(bytes)::bigint AS bytes FROM scan WHERE actor = %(actor)s GROUP BY kind;

-- scan_counts: what is open, and what a run has done, by kind and outcome
SELECT kind, outcome, count(*) AS files FROM scan_finding
WHERE closed_at IS NULL OR actor = %(actor)s AND outcome IN ('quarantined', 'repaired', 'whole') GROUP BY kind, outcome;

-- scan_findings: the first of them in order of paths, what is open before what was done
SELECT f.id, f.kind, f.name, f.asset_id, f.size, f.detail, f.first_seen, f.last_seen, f.scans, f.acted_at, f.moved_to, f.closed_at, f.outcome
FROM scan_finding f
WHERE f.closed_at IS NULL OR f.actor = %(actor)s AND f.outcome IN ('quarantined', 'repaired', 'whole')
ORDER BY f.closed_at IS NOT NULL, f.path, f.id LIMIT %(limit)s;

-- scan_quarantined: dark files that were moved into quarantine, and damaged ones that a repair has replaced
SELECT NULL::bigint AS id, NULL::bigint AS unit, split_part(name, '/', 1) AS source, name, moved_to AS raw_path, outcome AS state,
       f.reason, 'audit' AS stage, detail, size, NULL::bigint AS run, closed_at AS since
FROM scan_finding CROSS JOIN LATERAL (SELECT CASE outcome WHEN 'quarantined' THEN 'dark' ELSE 'damaged' END AS reason) f
WHERE moved_to IS NOT NULL AND closed_at IS NOT NULL
  AND (%(source)s::text IS NULL OR split_part(name, '/', 1) = %(source)s::text) AND (%(reason)s::text IS NULL OR f.reason = %(reason)s::text)
ORDER BY scan_finding.id;

-- scan_dark: the next dark files in quarantine, of a source or all
SELECT id, path, name, moved_to, split_part(name, '/', 1) AS source FROM scan_finding
WHERE kind = 'dark' AND moved_to IS NOT NULL AND closed_at IS NOT NULL AND id > %(after)s
  AND (%(source)s::text IS NULL OR split_part(name, '/', 1) = %(source)s::text) ORDER BY id LIMIT %(limit)s;

-- scan_held_back: the next dark files that enough looks agree on and that still stand in storage, of a source or all
SELECT id, kind, path, name, asset_id, size, detail, moved_to, first_seen, scans FROM scan_finding
WHERE kind = 'dark' AND closed_at IS NULL AND scans >= %(agreeing)s AND id > %(after)s
  AND (%(source)s::text IS NULL OR split_part(name, '/', 1) = %(source)s::text) ORDER BY id LIMIT %(limit)s;

-- scan_returned: it went from there to the landing zone
UPDATE scan_finding SET moved_to = NULL WHERE id = %(id)s;

-- scan_lazily: until this transaction ends: what a crash of the server takes back is read once more
SELECT set_config('synchronous_commit', 'off', true);
