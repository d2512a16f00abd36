-- Planning of PGE instances. Every statement is bounded by what arrived or by what is asked for, never by the inventory:
-- granules are reached by id, or by product and time. LATERAL with OFFSET 0 and scalar subqueries keep it so whatever the
-- statistics say: the database may not turn them into a scan of all granules.

-- plan_lock: one planner at a time; the second waits and then finds nothing to do
SELECT pg_advisory_xact_lock(7005);

-- plan_telling: transactions that have made granules visible and are not committed yet; they hold lock 7006 shared
SELECT virtualtransaction AS transaction FROM pg_locks
WHERE locktype = 'advisory' AND classid = 0 AND objid = 7006 AND objsubid = 1 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- plan_horizon: the newest committed event about granules that became visible; older ones may still be committed
SELECT coalesce(max(id), 0) AS event_id FROM event WHERE subject = 'granule' AND to_state = 'archived';

-- plan_products: every product that the archive holds, by as many looks into an index
WITH RECURSIVE held AS (
    SELECT min(product) AS product FROM granule
    UNION ALL SELECT (SELECT min(g.product) FROM granule g WHERE g.product > h.product) FROM held h WHERE h.product IS NOT NULL)
SELECT product FROM held WHERE product IS NOT NULL;

-- plan_marks: up to where each PGE was planned; a new one begins where planning stands
SELECT n.pge, coalesce(own.event_id, everybody.event_id) AS event_id
FROM unnest(%(pges)s::text[]) n (pge)
JOIN pge_watermark everybody ON everybody.pge = ''
LEFT JOIN pge_watermark own ON own.pge = n.pge;

-- plan_advance: these PGEs were planned up to here
INSERT INTO pge_watermark (pge, event_id) SELECT n, %(event_id)s FROM unnest(%(pges)s::text[]) n
ON CONFLICT (pge) DO UPDATE SET event_id = EXCLUDED.event_id WHERE pge_watermark.event_id < EXCLUDED.event_id;

-- plan_events: the next granules that became visible, as ranges of numbers
SELECT id, ids FROM event
WHERE subject = 'granule' AND to_state = 'archived' AND id > %(after)s AND id <= %(horizon)s ORDER BY id LIMIT %(limit)s;

-- plan_arrived: these granules, those that may serve a PGE and are the newest of their kind
SELECT g.* FROM unnest(%(ids)s::bigint[]) n (id)
CROSS JOIN LATERAL (
    SELECT g.id, g.product, g.key, g.version_rank AS rank, g.created, g.platform, g.sensor, g.orbit,
           lower(g.sensing) AS start, upper(g.sensing) AS end
    FROM granule g
    WHERE g.id = n.id AND g.product = ANY (%(products)s::text[]) AND g.state = 'archived'
      AND isfinite(lower(g.sensing)) AND isfinite(upper(g.sensing))
      AND (SELECT v.state FROM granule v WHERE v.id = g.superseded_by) IS DISTINCT FROM 'archived'
    OFFSET 0) g;

-- plan_candidates: granules by product that start in these spans of time, with the roles of the files that they have
SELECT g.*, f.roles FROM unnest(%(products)s::text[], %(starts)s::timestamptz[], %(stops)s::timestamptz[]) s (product, start, stop)
CROSS JOIN LATERAL (
    SELECT g.id, g.product, g.key, g.version_rank AS rank, g.created, g.platform, g.sensor, g.orbit,
           lower(g.sensing) AS start, upper(g.sensing) AS end
    FROM granule g
    WHERE g.product = s.product AND lower(g.sensing) >= s.start AND lower(g.sensing) < s.stop AND g.state = 'archived'
      AND isfinite(upper(g.sensing))
      AND (SELECT v.state FROM granule v WHERE v.id = g.superseded_by) IS DISTINCT FROM 'archived'
    OFFSET 0) g
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(DISTINCT s.role), '{}') AS roles
    FROM (SELECT asset_id FROM granule_asset WHERE granule_id = g.id OFFSET 0) l
    CROSS JOIN LATERAL (SELECT role, state FROM asset WHERE id = l.asset_id OFFSET 0) s WHERE s.state = 'archived'
    OFFSET 0) f;

-- plan_inside: those of these granules that touch the area
SELECT id FROM granule
WHERE id = ANY (%(ids)s::bigint[]) AND ST_Intersects(footprint, ST_GeomFromText(%(area)s, 4326));

-- plan_touched: instances whose periods touch these spans, each with its PGE and (null: any) its platform; a period that
-- touches starts no earlier than ``first``. Expired ones too: what they lacked may have come late
SELECT DISTINCT i.pge, i.period_key, i.platform, lower(i.sensing) AS starts, upper(i.sensing) AS ends,
       i.state = 'expired' AS expired
FROM unnest(%(pges)s::text[], %(versions)s::text[], %(platforms)s::text[], %(firsts)s::timestamptz[],
            %(starts)s::timestamptz[], %(stops)s::timestamptz[]) s (pge, version, platform, first, start, stop)
CROSS JOIN LATERAL (
    SELECT * FROM pge_instance i
    WHERE i.pge = s.pge AND lower(i.sensing) >= s.first AND lower(i.sensing) <= s.stop AND upper(i.sensing) >= s.start
      AND i.version = s.version AND (s.platform IS NULL OR i.platform IN ('', s.platform))
      AND i.state IN ('waiting', 'ready', 'running', 'delivered', 'done', 'failed', 'expired')
    OFFSET 0) i;

-- plan_woken: the next waiting instances whose fate time may have changed
SELECT id, pge, period_key, platform, lower(sensing) AS starts, upper(sensing) AS ends, wake_at FROM pge_instance
WHERE state = 'waiting' AND wake_at <= now() AND (wake_at, id) > (%(after)s, %(last)s)
  AND pge = ANY (%(pges)s::text[]) AND (pge || ' ' || version) = ANY (%(current)s::text[])
ORDER BY wake_at, id LIMIT %(limit)s;

-- plan_stale: the next instances that better inputs wait for and nobody works on: ended, or to be tried again. Of PGEs that
-- leave alone what is done (not ``replanned``), those that are not done
SELECT id, pge, period_key, platform, lower(sensing) AS starts, upper(sensing) AS ends, wake_at FROM pge_instance
WHERE stale_at IS NOT NULL AND wake_at <= now() AND (wake_at, id) > (%(after)s, %(last)s)
  AND (state IN ('ready', 'failed') OR state = 'done' AND pge = ANY (%(replanned)s::text[]))
  AND pge = ANY (%(pges)s::text[]) AND (pge || ' ' || version) = ANY (%(current)s::text[])
ORDER BY wake_at, id LIMIT %(limit)s;

-- plan_known: the live instances of these periods, held until the transaction ends. What may have been delivered already,
-- by a worker that was lost, keeps its inputs
SELECT i.id, i.pge, i.period_key, i.state, i.input_hash,
       i.claim IS NOT NULL OR EXISTS (SELECT FROM pge_output o WHERE o.instance_id = i.id) AS claimed,
       i.selected, i.missing, i.created_at,
       i.settled_at, i.expires_at, i.wake_at, i.stale_at, lower(i.sensing) AS starts, upper(i.sensing) AS ends
FROM unnest(%(pges)s::text[], %(versions)s::text[], %(keys)s::text[]) p (pge, version, key)
JOIN pge_instance i ON i.pge = p.pge AND i.version = p.version AND i.period_key = p.key
     AND i.state IN ('waiting', 'ready', 'running', 'delivered', 'done', 'failed')
ORDER BY i.id FOR NO KEY UPDATE OF i;

-- plan_made: instances that were ever made from these inputs
SELECT i.id, i.pge, i.input_hash, i.state
FROM unnest(%(pges)s::text[], %(versions)s::text[], %(hashes)s::bytea[]) p (pge, version, hash)
JOIN pge_instance i ON i.pge = p.pge AND i.version = p.version AND i.input_hash = p.hash;

-- plan_lost: instances one of whose inputs is neither in the archive any more nor in a newer version
SELECT i AS id FROM unnest(%(instances)s::bigint[]) i
WHERE (SELECT bool_or(coalesce((SELECT g.state FROM granule g WHERE g.id = p.granule_id), 'archived') <> 'archived'
                      AND (SELECT v.state FROM granule g JOIN granule v ON v.id = g.superseded_by
                           WHERE g.id = p.granule_id) IS DISTINCT FROM 'archived')
       FROM pge_input p WHERE p.instance_id = i);

-- plan_now: the time by which everything is decided
SELECT now() AS now;

-- plan_files: the archived files of these granules with the digests that they have now; of several that hold the same data
-- the preferred one, or the next best while that is on its way into the archive
SELECT f.* FROM unnest(%(granules)s::bigint[]) n (granule_id)
CROSS JOIN LATERAL (
    SELECT n.granule_id, s.id AS asset_id, s.role, s.digest, s.path,
           row_number() OVER (PARTITION BY s.role ORDER BY l.preferred DESC, s.path) AS place
    FROM (SELECT asset_id, preferred FROM granule_asset WHERE granule_id = n.granule_id OFFSET 0) l
    CROSS JOIN LATERAL (SELECT id, role, digest, path, state FROM asset WHERE id = l.asset_id OFFSET 0) s
    WHERE s.state = 'archived'
    OFFSET 0) f
WHERE f.role <> 'data' OR f.place = 1
ORDER BY f.granule_id, f.role <> 'data', f.path;

-- plan_statics: what is known of files outside the archive
SELECT path, mark, digest FROM pge_static WHERE path = ANY (%(paths)s::text[]);

-- plan_keep_static: remember a file's digest until its mark changes
INSERT INTO pge_static (path, mark, digest) VALUES (%(path)s, %(mark)s, %(digest)s)
ON CONFLICT (path) DO UPDATE SET mark = EXCLUDED.mark, digest = EXCLUDED.digest;

-- plan_numbers: numbers for so many new instances
SELECT nextval('pge_instance_id_seq') AS id FROM generate_series(1, %(count)s);

-- plan_copy_instances: new instances
COPY pge_instance (id, pge, version, period_key, platform, sensing, state, input_hash, selected, missing, priority, queue,
                   settled_at, ready_at, expires_at, wake_at, supersedes) FROM STDIN;

-- plan_copy_inputs: what they, and changed ones, are made from
COPY pge_input (instance_id, input, ordinal, granule_id, asset_id, path, digest) FROM STDIN;

-- plan_forget_inputs: those of instances that wait again, or get others
DELETE FROM pge_input WHERE instance_id = ANY (%(instances)s::bigint[]);

-- plan_create_changed: what becomes of instances that waited or were ready, for this transaction
CREATE TEMP TABLE plan_changed (id bigint, sensing tstzrange, state text, input_hash bytea, selected bytea, reason text,
    detail text, missing text, settled_at timestamptz, wake_at timestamptz) ON COMMIT DROP;

-- plan_copy_changed: load it
COPY plan_changed FROM STDIN;

-- plan_update: instances that waited, or were ready and nobody had begun
UPDATE pge_instance i SET sensing = c.sensing, state = c.state, input_hash = c.input_hash, selected = c.selected,
    reason = c.reason, detail = c.detail, missing = c.missing::jsonb, settled_at = c.settled_at, wake_at = c.wake_at,
    stale_at = NULL, ready_at = CASE WHEN c.state = 'ready' THEN coalesce(i.ready_at, now()) END,
    finished_at = CASE WHEN c.state NOT IN ('waiting', 'ready') THEN now() END
FROM plan_changed c WHERE i.id = c.id AND i.state IN ('waiting', 'ready');

-- plan_drop_changed: make room for the next changes of the same transaction
DROP TABLE plan_changed;

-- plan_supersede: these were made from inputs that there are better ones for
UPDATE pge_instance SET state = 'superseded', reason = 'better_inputs', stale_at = NULL, wake_at = NULL,
    finished_at = coalesce(finished_at, now())
WHERE id = ANY (%(instances)s::bigint[]) AND state IN ('done', 'failed');

-- plan_mark_stale: better inputs are known than those that these are made from; when to look again (null: not of itself)
UPDATE pge_instance i SET stale_at = coalesce(i.stale_at, now()), wake_at = m.wake_at
FROM unnest(%(instances)s::bigint[], %(wake)s::timestamptz[]) m (id, wake_at)
WHERE i.id = m.id AND (i.stale_at IS NULL OR i.wake_at IS DISTINCT FROM m.wake_at);

-- plan_mark_fresh: these are made from the best that there is
UPDATE pge_instance SET stale_at = NULL, wake_at = NULL WHERE id = ANY (%(instances)s::bigint[]) AND stale_at IS NOT NULL;

-- plan_retire: what waits for another version of a PGE than the catalogue has will never run. It gives its inputs back: they
-- may be used when that version comes again
UPDATE pge_instance SET state = 'superseded', reason = 'new_version', input_hash = NULL, wake_at = NULL, stale_at = NULL,
    finished_at = now()
WHERE id IN (SELECT id FROM pge_instance
             WHERE state IN ('waiting', 'ready') AND claim IS NULL AND pge = ANY (%(pges)s::text[])
               AND (pge || ' ' || version) <> ALL (%(current)s::text[])
               AND NOT EXISTS (SELECT FROM pge_output o WHERE o.instance_id = pge_instance.id) LIMIT %(limit)s)
  AND state IN ('waiting', 'ready') AND claim IS NULL
RETURNING pge, lower(sensing) AS starts, upper(sensing) AS ends;

-- plan_orphans: what waited too long for a PGE that is planned no more, or for its turn in one that is not there any more
UPDATE pge_instance SET state = 'expired', reason = 'expired', finished_at = now(), wake_at = NULL, stale_at = NULL,
    input_hash = NULL, detail = 'given up: the catalogue has no such PGE any more, or it is not enabled'
WHERE expires_at <= now() AND pge <> ALL (%(pges)s::text[])
  AND (state = 'waiting'
       OR state = 'ready' AND claim IS NULL AND (lease_until IS NULL OR lease_until < now()) AND pge <> ALL (%(everyone)s::text[]))
RETURNING id, pge, period_key, detail;

-- plan_route: what nobody has taken up yet waits where, and as urgently as, the catalogue says now
UPDATE pge_instance i SET queue = c.queue, priority = c.priority
FROM unnest(%(pges)s::text[], %(queues)s::text[], %(priorities)s::int[]) c (pge, queue, priority)
WHERE i.pge = c.pge AND (i.queue, i.priority) <> (c.queue, c.priority) AND i.state IN ('waiting', 'ready')
  AND i.claim IS NULL AND (i.lease_until IS NULL OR i.lease_until < now());

-- plan_range: the next granules of these products that start at or after a moment, and before another, in order of time
SELECT id, lower(sensing) AS start FROM granule
WHERE (lower(sensing), id) > (%(start)s, %(after)s) AND lower(sensing) < %(stop)s
  AND product = ANY (%(products)s::text[]) AND state = 'archived'
ORDER BY lower(sensing), id LIMIT %(limit)s;

-- plan_listed: instances that are not finished, oldest period first
SELECT id AS instance, pge, version, period_key AS period, state, encode(input_hash, 'hex') AS input_hash, missing, reason,
       detail, priority, queue, lower(sensing) AS sensing_start, upper(sensing) AS sensing_end, wake_at, supersedes
FROM pge_instance
WHERE (state IN ('waiting', 'ready', 'running', 'delivered', 'failed') OR %(everything)s)
ORDER BY pge, lower(sensing), period_key, id;

-- plan_counted: how many instances are in which state
SELECT state, count(*)::int AS instances FROM pge_instance
WHERE state IN ('waiting', 'ready', 'running', 'delivered', 'failed') GROUP BY state;

-- plan_why: one instance as it stands, and its place in the queue
SELECT i.id AS instance, i.pge, i.version, i.period_key AS period, i.platform, lower(i.sensing) AS sensing_start,
       upper(i.sensing) AS sensing_end, i.state, i.reason, i.detail, i.missing, i.queue, i.priority, i.tries, i.created_at,
       i.settled_at, i.ready_at, i.started_at, i.finished_at, i.expires_at, i.wake_at, i.stale_at, i.owner, i.supersedes,
       encode(i.input_hash, 'hex') AS input_hash,
       (SELECT n.id FROM pge_instance n WHERE n.supersedes = i.id ORDER BY n.id DESC LIMIT 1) AS superseded_by,
       (SELECT count(*)::int FROM pge_input p WHERE p.instance_id = i.id) AS inputs,
       CASE WHEN i.state = 'ready' THEN
           (SELECT count(*)::int FROM pge_instance o WHERE o.state = 'ready' AND o.queue = i.queue
            AND (o.priority, i.ready_at, i.id) > (i.priority, o.ready_at, o.id)) END AS ahead
FROM pge_instance i WHERE i.id = %(instance)s;

-- plan_stale_list: what was made from inputs that are not the newest any more, or by a version that is not, and not anew
SELECT i.id AS instance, i.pge, i.version, i.period_key AS period, i.state, i.stale_at,
       lower(i.sensing) AS sensing_start, upper(i.sensing) AS sensing_end,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('input', p.input, 'granule', g.key,
                   'version', coalesce(nullif(g.version, ''), g.created::text), 'state', g.state,
                   'newer', coalesce(nullif(n.version, ''), n.created::text, n.key)) ORDER BY p.input, p.ordinal), '[]')
        FROM pge_input p JOIN granule g ON g.id = p.granule_id LEFT JOIN granule n ON n.id = g.superseded_by AND n.state = 'archived'
        WHERE p.instance_id = i.id AND (n.id IS NOT NULL OR g.state <> 'archived')) AS inputs,
       (SELECT coalesce(jsonb_agg(o.name ORDER BY o.name), '[]') FROM pge_output o WHERE o.instance_id = i.id) AS outputs
FROM pge_instance i LEFT JOIN unnest(%(pges)s::text[], %(versions)s::text[]) c (pge, version) ON c.pge = i.pge
WHERE i.stale_at IS NOT NULL AND i.state IN ('running', 'delivered', 'done', 'failed')
   OR i.state = 'done' AND i.version <> c.version
      AND NOT EXISTS (SELECT FROM pge_instance n WHERE n.pge = i.pge AND n.version = c.version AND n.period_key = i.period_key
                      AND n.state = 'done')
ORDER BY i.pge, lower(i.sensing), i.id LIMIT %(limit)s;
