-- Running of PGE instances: who may, what they are made from, what became of them, and what came of it.

-- pge_lock: one instance as it stands, locked until the transaction ends
SELECT id, pge, version, period_key, lower(sensing) AS sensing_start, upper(sensing) AS sensing_end, state, reason, detail,
       tries, ready_at, started_at, claim, owner, folder, delivery, run, lease_until < now() AS lapsed, coalesce((run ->> 'lost')::int, 0) AS lost
FROM pge_instance WHERE id = %(instance)s FOR UPDATE;

-- pge_rival: another live instance for the same period
SELECT o.id, o.state FROM pge_instance i JOIN pge_instance o USING (pge, version, period_key)
WHERE i.id = %(instance)s AND o.id <> i.id AND o.state IN ('waiting', 'ready', 'running', 'delivered', 'done', 'failed');

-- pge_take: this worker runs the instance from now on; who held it before can write no more. Afresh, it delivers another edition
UPDATE pge_instance SET state = 'running', claim = gen_random_uuid(), owner = %(owner)s, tries = %(tries)s,
    lease_until = now() + %(lease)s::interval, started_at = now(), finished_at = NULL, reason = NULL, detail = NULL,
    run = jsonb_build_object('lost', %(lost)s::int), log_tail = NULL, folder = %(folder)s,
    delivery = delivery + %(afresh)s::int, ready_at = CASE WHEN %(afresh)s THEN now() ELSE ready_at END
WHERE id = %(instance)s
RETURNING id, pge, version, period_key, lower(sensing) AS sensing_start, upper(sensing) AS sensing_end, claim, folder,
          delivery, tries, coalesce(ready_at, created_at) AS ready_at;

-- pge_fence: the claim holds, and so do the rights that come with it until the transaction ends; renews the lease
UPDATE pge_instance SET lease_until = now() + %(lease)s::interval
WHERE id = %(instance)s AND claim = %(claim)s AND state = 'running';

-- pge_inputs: what the instance is made from, in the order in which the PGE gets it
SELECT i.input, i.digest, i.path AS static, s.path, s.state AS asset_state, s.role, s.size, g.key, g.product, g.platform,
       lower(g.sensing) AS sensing_start, upper(g.sensing) AS sensing_end
FROM pge_input i LEFT JOIN asset s ON s.id = i.asset_id LEFT JOIN granule g ON g.id = i.granule_id
WHERE i.instance_id = %(instance)s ORDER BY i.input, i.ordinal;

-- pge_forget_outputs: what an earlier try meant to deliver
DELETE FROM pge_output WHERE instance_id = %(instance)s;

-- pge_copy_outputs: what this try delivers
COPY pge_output (instance_id, name, product, digest, size) FROM STDIN;

-- pge_outputs: what the instance delivers
SELECT name FROM pge_output WHERE instance_id = %(instance)s ORDER BY name;

-- pge_arrived: whether the ingest has seen one of these files
SELECT id FROM arrival WHERE source = %(source)s AND name = ANY (%(names)s) LIMIT 1;

-- pge_ran: how the run went whose outputs are delivered next
UPDATE pge_instance SET run = coalesce(run, '{}') || %(run)s::jsonb, log_tail = %(log_tail)s, finished_at = now()
WHERE id = %(instance)s AND state = 'running';

-- pge_delivered: its outputs stand in the landing zone, whole
UPDATE pge_instance SET state = 'delivered', claim = NULL, lease_until = NULL, finished_at = now(), reason = NULL,
    detail = NULL
WHERE id = %(instance)s AND state IN ('running', 'ready', 'failed', 'cancelled');

-- pge_ended: it ended without a delivery; a later try waits for its turn until the lease has passed
UPDATE pge_instance SET state = %(state)s, claim = NULL, reason = %(reason)s, detail = %(detail)s,
    lease_until = CASE WHEN %(state)s = 'ready' THEN now() + %(pause)s::interval END,
    finished_at = now(), run = coalesce(run, '{}') || %(run)s::jsonb, log_tail = coalesce(%(log_tail)s, log_tail)
WHERE id = %(instance)s AND state = 'running';

-- pge_untry: the machine was at fault, so this try does not count
UPDATE pge_instance SET tries = tries - 1 WHERE id = %(instance)s;

-- pge_lost: its worker was lost: it waits for its turn again
UPDATE pge_instance SET state = 'ready', claim = NULL, lease_until = NULL, reason = 'lost',
    detail = 'its worker was lost: ' || owner, run = jsonb_build_object('lost', coalesce((run ->> 'lost')::int, 0) + 1)
WHERE id = %(instance)s AND state = 'running';

-- pge_told: what people are told of an instance's last try
SELECT log_tail, run FROM pge_instance WHERE id = %(instance)s;

-- pge_lapsed: instances whose workers gave no sign of life for longer than their lease
SELECT id FROM pge_instance WHERE state = 'running' AND lease_until < now() ORDER BY id FOR UPDATE SKIP LOCKED;

-- pge_cancel: not wanted any more; a worker that runs it learns it by its fence
UPDATE pge_instance SET state = 'cancelled', claim = NULL, lease_until = NULL, finished_at = now(), reason = 'cancelled',
    detail = %(detail)s
WHERE id = %(instance)s AND state IN ('waiting', 'ready', 'running', 'failed') RETURNING id;

-- pge_lock_queue: one at a time decides what of a queue runs next
SELECT pg_advisory_xact_lock(7010, hashtext(%(queue)s));

-- pge_ready: what waits for its turn in a queue, the first of each PGE; handed out ones wait until their lease has passed
SELECT id, pge, period_key, priority, ready_at, extract(epoch FROM now() - ready_at)::float AS waited, tries
FROM (SELECT *, row_number() OVER (PARTITION BY pge ORDER BY priority DESC, ready_at, id) AS place FROM pge_instance
      WHERE state = 'ready' AND queue = %(queue)s AND (lease_until IS NULL OR lease_until < now())
        AND pge = ANY (%(pges)s)) AS waiting
WHERE place <= %(most)s ORDER BY priority DESC, ready_at, id;

-- pge_busy: what of a queue runs or was handed out to be run
SELECT id, pge, coalesce(owner, '') AS owner FROM pge_instance
WHERE queue = %(queue)s AND (state = 'running' OR state = 'ready' AND lease_until >= now());

-- pge_hand_out: these will be run; nobody else takes them until the lease has passed
UPDATE pge_instance SET owner = %(owner)s, lease_until = now() + %(lease)s::interval
WHERE id = ANY (%(instances)s) AND state = 'ready' RETURNING id;

-- pge_link_outputs: outputs whose delivery is archived with the bytes that were delivered, with their granules, their own first
UPDATE pge_output o SET granule_id = found.granule_id
FROM (SELECT DISTINCT ON (p.instance_id, p.name) p.instance_id, p.name, g.id AS granule_id
      FROM pge_instance i JOIN pge_output p ON p.instance_id = i.id AND p.granule_id IS NULL
      JOIN arrival a ON a.source = %(source)s AND a.name = i.id || '-' || i.delivery || '/' || p.name AND a.state IN ('archived', 'duplicate')
      JOIN asset s ON s.id = a.asset_id AND s.digest = p.digest
      JOIN granule_asset l ON l.asset_id = s.id JOIN granule g ON g.id = l.granule_id AND g.state = 'archived'
      WHERE i.state IN ('delivered', 'failed') AND (i.state = 'delivered' OR i.reason IN ('output_rejected', 'output_lost'))
      ORDER BY p.instance_id, p.name, NOT starts_with(p.name, concat_ws('.', split_part(g.key, '/', 2), i.pge, i.version, split_part(g.key, '/', 4), '')),
               g.id) AS found
WHERE o.instance_id = found.instance_id AND o.name = found.name;

-- pge_settle: delivered instances all of whose outputs are linked are done; one that was refused fails them
WITH fate AS (
    SELECT i.id, coalesce(bool_and(p.granule_id IS NOT NULL) FILTER (WHERE p.name IS NOT NULL), true) AS whole,
           string_agg(p.name || CASE WHEN a.state IN ('archived', 'duplicate') THEN ' came to the ingest with other bytes than it was delivered with'
                                ELSE ' is ' || a.state || coalesce(', ' || a.reason, '') || coalesce(': ' || a.detail, '') END, '; ' ORDER BY p.name)
               FILTER (WHERE p.granule_id IS NULL AND (a.state IN ('rejected', 'conflict', 'lost')
                                                       OR a.state IN ('archived', 'duplicate') AND a.digest <> p.digest)) AS refused
    FROM pge_instance i LEFT JOIN pge_output p ON p.instance_id = i.id
    LEFT JOIN LATERAL (SELECT state, reason, detail, digest FROM arrival
                       WHERE source = %(source)s AND name = i.id || '-' || i.delivery || '/' || p.name ORDER BY id DESC LIMIT 1) a ON true
    WHERE i.state IN ('delivered', 'failed') AND (i.state = 'delivered' OR i.reason IN ('output_rejected', 'output_lost'))
    GROUP BY i.id
)
UPDATE pge_instance i SET state = CASE WHEN f.whole THEN 'done' ELSE 'failed' END,
    reason = CASE WHEN NOT f.whole THEN 'output_rejected' END, detail = CASE WHEN NOT f.whole THEN left(f.refused, 2000) END
FROM fate f
WHERE i.id = f.id AND i.state IN ('delivered', 'failed') AND (f.whole OR (f.refused IS NOT NULL AND i.state = 'delivered'))
RETURNING i.id, i.pge, i.period_key, i.tries, i.delivery, i.state, i.reason, i.detail;

-- pge_unseen: outputs that were delivered a while ago and of which the ingest has written nothing down
SELECT i.id, i.id || '-' || i.delivery || '/' || p.name AS name FROM pge_instance i JOIN pge_output p ON p.instance_id = i.id
WHERE i.state = 'delivered' AND i.finished_at < now() - %(grace)s::interval AND p.granule_id IS NULL
  AND NOT EXISTS (SELECT FROM arrival a WHERE a.source = %(source)s AND a.name = i.id || '-' || i.delivery || '/' || p.name);

-- pge_vanished: these delivered instances lost an output that stands nowhere, unless the ingest has written of it meanwhile
UPDATE pge_instance i SET state = 'failed', reason = 'output_lost',
    detail = 'neither in the landing zone nor known to the ingest: ' || array_to_string(%(names)s::text[], ', ')
WHERE i.id = %(instance)s AND i.state = 'delivered'
  AND NOT EXISTS (SELECT FROM arrival a WHERE a.source = %(source)s AND a.name = ANY (%(names)s::text[]))
RETURNING i.id, i.pge, i.period_key, i.tries, i.delivery, i.state, i.reason, i.detail;

-- pge_folders_in_use: work folders in which somebody works
SELECT folder FROM pge_instance WHERE folder IS NOT NULL AND state = 'running';

-- pge_lineage_of_name: instances that made or used what is called so: a number, a file, an archived path or a granule
SELECT i.id FROM pge_instance i WHERE i.id = %(number)s::bigint
UNION SELECT instance_id FROM pge_output WHERE name = %(file)s AND (%(instance)s::bigint IS NULL OR instance_id = %(instance)s)
UNION SELECT o.instance_id FROM pge_output o JOIN granule g ON g.id = o.granule_id WHERE g.key = %(name)s
UNION SELECT o.instance_id FROM pge_output o JOIN asset s ON s.digest = o.digest WHERE s.path = %(name)s
UNION SELECT n.instance_id FROM pge_input n JOIN granule g ON g.id = n.granule_id WHERE g.key = %(name)s
UNION SELECT n.instance_id FROM pge_input n JOIN asset s ON s.id = n.asset_id
      WHERE s.path = %(name)s OR (%(name)s !~ '/' AND s.path LIKE '%%/' || %(pattern)s)
ORDER BY 1;

-- pge_lineage_steps: these instances
SELECT id, pge, version, period_key AS period, state, reason, encode(input_hash, 'hex') AS input_hash,
       lower(sensing) AS sensing_start, upper(sensing) AS sensing_end, started_at, finished_at, supersedes
FROM pge_instance WHERE id = ANY (%(instances)s) ORDER BY id;

-- pge_lineage_inputs: what these instances were made from
SELECT i.instance_id, i.input, g.key AS granule, coalesce(s.path, i.path) AS file, i.digest, i.granule_id
FROM pge_input i LEFT JOIN asset s ON s.id = i.asset_id LEFT JOIN granule g ON g.id = i.granule_id
WHERE i.instance_id = ANY (%(instances)s) ORDER BY i.instance_id, i.input, i.ordinal;

-- pge_lineage_outputs: what these instances made, and where it stands now
SELECT o.instance_id, o.name, o.product, o.digest, o.size, g.key AS granule, o.granule_id,
       (SELECT s.path FROM arrival a JOIN asset s ON s.id = a.asset_id
        WHERE a.source = %(source)s AND a.name = o.instance_id || '-' || i.delivery || '/' || o.name AND a.state IN ('archived', 'duplicate')
        ORDER BY a.id DESC LIMIT 1) AS path
FROM pge_output o JOIN pge_instance i ON i.id = o.instance_id LEFT JOIN granule g ON g.id = o.granule_id
WHERE o.instance_id = ANY (%(instances)s) ORDER BY o.instance_id, o.name;

-- pge_lineage_makers: instances that made these granules
SELECT DISTINCT instance_id FROM pge_output WHERE granule_id = ANY (%(granules)s);

-- pge_lineage_users: instances that were made from these granules
SELECT DISTINCT instance_id FROM pge_input WHERE granule_id = ANY (%(granules)s);

-- pge_states: instances of each PGE by state
SELECT pge, state, count(*)::int AS instances FROM pge_instance GROUP BY 1, 2 ORDER BY 1, 2;

-- pge_newest_output: an output of the PGE's newest instance that is done
SELECT o.instance_id, o.name FROM pge_output o JOIN pge_instance i ON i.id = o.instance_id
WHERE i.pge = %(pge)s AND i.state = 'done' ORDER BY o.instance_id DESC, o.name DESC LIMIT 1;

-- pge_throughput: by hour or day and PGE: tries begun, instances delivered and failed, and how many were ready at its end
SELECT date_trunc(%(per)s, e.at, 'UTC') AS since, i.pge, (count(*) FILTER (WHERE e.to_state = 'running'))::int AS started,
       (count(*) FILTER (WHERE e.to_state = 'delivered'))::int AS completed,
       (count(*) FILTER (WHERE e.to_state = 'failed'))::int AS failed,
       (sum(count(*) FILTER (WHERE e.to_state = 'ready') - count(*) FILTER (WHERE e.from_state = 'ready'))
            OVER (PARTITION BY i.pge ORDER BY date_trunc(%(per)s, e.at, 'UTC')))::int AS backlog
FROM event e, unnest(e.ids) AS r, generate_series(lower(r), upper(r) - 1) AS n JOIN pge_instance i ON i.id = n
WHERE e.subject = 'pge_instance' GROUP BY 1, 2 ORDER BY 1, 2;

-- pge_runs: by hour or day and PGE: how the last tries that began then ended, their seconds, and those beside the program
SELECT date_trunc(%(per)s, started_at, 'UTC') AS since, pge, sum(runs)::int AS runs,
       jsonb_object_agg(ended, runs ORDER BY ended) AS ended, sum(wall)::float AS wall_seconds, max(longest)::float AS longest_seconds,
       sum(cpu)::float AS cpu_seconds, sum(beside)::float AS beside_seconds, max(peak) AS peak_bytes
FROM (SELECT date_trunc(%(per)s, started_at, 'UTC') AS started_at, pge, count(*) AS runs,
             coalesce(run ->> 'exit_status', 'signal ' || (run ->> 'signal'), reason, 'unknown') AS ended,
             sum((run ->> 'wall_seconds')::numeric) AS wall, max((run ->> 'wall_seconds')::numeric) AS longest,
             sum((run ->> 'cpu_seconds')::numeric) AS cpu, max((run ->> 'peak_bytes')::bigint) AS peak,
             sum(extract(epoch FROM finished_at - started_at) - (run ->> 'wall_seconds')::numeric) AS beside
      FROM pge_instance WHERE run ? 'wall_seconds' AND started_at IS NOT NULL GROUP BY 1, 2, 4) AS ran
GROUP BY 1, 2 ORDER BY 1, 2;

-- pge_backlog: what waits or runs now, by queue, PGE and state, and for how long the oldest has
SELECT queue, pge, state, count(*)::int AS instances,
       extract(epoch FROM now() - min(coalesce(ready_at, created_at)))::float AS oldest_seconds
FROM pge_instance WHERE state IN ('waiting', 'ready', 'running', 'delivered') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
