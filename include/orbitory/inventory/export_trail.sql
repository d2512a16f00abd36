-- Export, lineage: the PGE instances that made what was ever brought to a site, with their inputs and outputs.

-- export_take_instances: the next of those that made what stands there, and were not brought yet
CREATE TEMP TABLE export_instance ON COMMIT DROP AS
WITH brought AS (
    SELECT coalesce(range_agg(r), '{}') AS ids FROM export e JOIN export_batch b ON b.export_id = e.id, unnest(b.instances) AS r
    WHERE e.direction = 'out' AND e.site = %(site)s AND e.state <> 'undone'
)
SELECT i.id AS instance_id, NULL::bigint AS there_id FROM pge_instance i, brought
WHERE i.id > %(after)s AND i.state IN ('done', 'superseded') AND NOT i.id <@ brought.ids
  AND EXISTS (SELECT FROM pge_output o JOIN export_item x ON x.granule_id = o.granule_id AND x.action <> 'removed'
              JOIN export e ON e.id = x.export_id AND e.direction = 'out' AND e.site = %(site)s AND e.state <> 'undone'
              WHERE o.instance_id = i.id)
ORDER BY i.id LIMIT %(limit)s;

-- export_last_taken: where the next ones begin
SELECT max(instance_id) AS id FROM export_instance;

-- export_take_near: the same of those alone that made what a batch has brought, or were made from it
CREATE TEMP TABLE export_instance ON COMMIT DROP AS
WITH near AS MATERIALIZED (
    SELECT o.instance_id AS id FROM export_item x JOIN pge_output o USING (granule_id) WHERE x.export_id = %(export)s AND x.batch = %(batch)s
    UNION SELECT p.instance_id FROM export_item x JOIN pge_input p USING (granule_id) WHERE x.export_id = %(export)s AND x.batch = %(batch)s
), brought AS (
    SELECT coalesce(range_agg(r), '{}') AS ids FROM export e JOIN export_batch b ON b.export_id = e.id, unnest(b.instances) AS r
    WHERE e.direction = 'out' AND e.site = %(site)s AND e.state <> 'undone' AND EXISTS (SELECT FROM near)
)
SELECT i.id AS instance_id, NULL::bigint AS there_id FROM near JOIN pge_instance i USING (id), brought
WHERE i.id > %(after)s AND i.state IN ('done', 'superseded') AND NOT i.id <@ brought.ids
  AND EXISTS (SELECT FROM pge_output o JOIN export_item x ON x.granule_id = o.granule_id AND x.action <> 'removed'
              JOIN export e ON e.id = x.export_id AND e.direction = 'out' AND e.site = %(site)s AND e.state <> 'undone'
              WHERE o.instance_id = i.id)
ORDER BY i.id LIMIT %(limit)s;

-- export_drop_instances: make room for the next ones of the same transaction
DROP TABLE IF EXISTS export_instance, export_answer;

-- export_drop_asked: likewise
DROP TABLE IF EXISTS export_asked_instance, export_asked_granule, export_asked_file;

-- export_create_answers: numbers of the same things there
CREATE TEMP TABLE export_answer (kind text, here_id bigint, there_id bigint) ON COMMIT DROP;

-- export_copy_answers: feed it
COPY export_answer FROM STDIN (FORMAT binary);

-- export_create_asked_instances: instances, as others know them
CREATE TEMP TABLE export_asked_instance (id bigint, pge text, version text, input_hash bytea, period_key text, state text) ON COMMIT DROP;

-- export_ask_instances: those of the export, and those they replace
COPY (SELECT DISTINCT i.id, i.pge, i.version, i.input_hash, i.period_key, i.state FROM export_instance e
      JOIN pge_instance n ON n.id = e.instance_id JOIN pge_instance i ON i.id IN (n.id, n.supersedes)) TO STDOUT (FORMAT binary);

-- export_copy_asked_instances: feed it
COPY export_asked_instance FROM STDIN (FORMAT binary);

-- export_answer_instances: those that stand there; and others that stand for the same period, if ours is the valid one
COPY (SELECT CASE WHEN i.input_hash = a.input_hash THEN 'instance' WHEN i.state = 'waiting' THEN 'waiting' ELSE 'other' END, a.id, i.id
      FROM export_asked_instance a JOIN pge_instance i ON i.pge = a.pge AND i.version = a.version
      AND (i.input_hash = a.input_hash OR i.period_key = a.period_key AND a.state = 'done'
           AND i.state IN ('waiting', 'ready', 'running', 'delivered', 'done', 'failed'))) TO STDOUT (FORMAT binary);

-- export_create_asked_granules: granules, as others know them
CREATE TEMP TABLE export_asked_granule (id bigint, key text, version_rank integer, created timestamptz) ON COMMIT DROP;

-- export_ask_granules: from what they were made, and what they made
COPY (SELECT g.id, g.key, g.version_rank, g.created FROM granule g WHERE g.id IN (
          SELECT p.granule_id FROM export_instance e JOIN pge_input p USING (instance_id)
          UNION SELECT o.granule_id FROM export_instance e JOIN pge_output o USING (instance_id))) TO STDOUT (FORMAT binary);

-- export_copy_asked_granules: feed it
COPY export_asked_granule FROM STDIN (FORMAT binary);

-- export_answer_granules: those that stand there; the living row of several
COPY (SELECT 'granule'::text, a.id, g.id FROM export_asked_granule a CROSS JOIN LATERAL (
          SELECT g.id FROM granule g WHERE g.key = a.key AND g.version_rank = a.version_rank AND g.created IS NOT DISTINCT FROM a.created
          ORDER BY g.state = 'deleted', g.id DESC LIMIT 1) g) TO STDOUT (FORMAT binary);

-- export_create_asked_files: files, as others know them
CREATE TEMP TABLE export_asked_file (id bigint, path text, digest bytea) ON COMMIT DROP;

-- export_ask_files: those that were read
COPY (SELECT s.id, s.path, s.digest FROM asset s WHERE s.id IN (
          SELECT p.asset_id FROM export_instance e JOIN pge_input p USING (instance_id))) TO STDOUT (FORMAT binary);

-- export_copy_asked_files: feed it
COPY export_asked_file FROM STDIN (FORMAT binary);

-- export_answer_files: those that are known there
COPY (SELECT 'file'::text, a.id, s.id FROM export_asked_file a CROSS JOIN LATERAL (
          SELECT s.id FROM asset s WHERE s.digest = a.digest AND s.path = a.path ORDER BY s.state = 'deleted', s.id DESC LIMIT 1) s)
TO STDOUT (FORMAT binary);

-- export_drop_known_instances: what stands there is not brought again, nor what was made there by others for the same period,
-- unless that is what ours has replaced
DELETE FROM export_instance e USING export_answer a, pge_instance i WHERE i.id = e.instance_id AND a.here_id = e.instance_id
  AND (a.kind = 'instance' OR a.kind = 'other' AND NOT EXISTS (
       SELECT FROM export_answer o WHERE o.kind = 'instance' AND o.here_id = i.supersedes AND o.there_id = a.there_id));

-- export_drop_unready_instances: nor what would be without one of its outputs, or without an input that is still to come
DELETE FROM export_instance e WHERE EXISTS (
    SELECT FROM pge_output o LEFT JOIN export_answer a ON a.kind = 'granule' AND a.here_id = o.granule_id
    WHERE o.instance_id = e.instance_id AND a.there_id IS NULL)
OR EXISTS (
    SELECT FROM pge_input p JOIN export_item x ON x.granule_id = p.granule_id
    JOIN export_batch b ON b.export_id = x.export_id AND b.number = x.batch AND b.state = 'planned'
    JOIN export n ON n.id = x.export_id AND n.direction = 'out' AND n.state = 'running' AND n.site = %(site)s
    WHERE p.instance_id = e.instance_id);

-- export_giving_way: what stands there in their way: replaced here, or still waiting there to make the same
SELECT a.kind, a.there_id AS id FROM export_instance e JOIN export_answer a ON a.here_id = e.instance_id WHERE a.kind IN ('other', 'waiting')
UNION SELECT 'other', a.there_id FROM export_instance e JOIN pge_instance i ON i.id = e.instance_id
JOIN pge_instance o ON o.id = i.supersedes AND o.state = 'superseded' JOIN export_answer a ON a.kind = 'instance' AND a.here_id = o.id;

-- export_give_way: it does so
UPDATE pge_instance SET state = CASE state WHEN 'done' THEN 'superseded' ELSE 'cancelled' END,
    reason = CASE state WHEN 'done' THEN reason ELSE 'exported' END,
    detail = CASE state WHEN 'done' THEN detail ELSE 'export ' || %(token)s || ' has brought what it waits to make' END
WHERE id = ANY (%(superseded)s::bigint[]) AND state = 'done' OR id = ANY (%(waiting)s::bigint[]) AND state = 'waiting';

-- export_count_instances: how many remain
SELECT count(*) AS instances FROM export_instance;

-- export_instance_numbers: give them out
SELECT array_agg(nextval((SELECT pg_get_serial_sequence('pge_instance', 'id'))::regclass)) AS ids FROM generate_series(1, %(count)s);

-- export_number_instances: note them
UPDATE export_instance e SET there_id = t.there_id
FROM (SELECT instance_id, row_number() OVER (ORDER BY instance_id) AS place FROM export_instance) w
JOIN unnest(%(ids)s::bigint[]) WITH ORDINALITY AS t (there_id, place) USING (place) WHERE e.instance_id = w.instance_id;

-- export_out_instances: instances; who worked on them, and where, is of no concern there
COPY (SELECT e.there_id, coalesce(n.there_id, (SELECT min(a.there_id) FROM export_answer a WHERE a.kind = 'instance' AND a.here_id = i.supersedes)),
      i.pge, i.version, i.period_key, i.platform, i.sensing, i.state, i.input_hash, i.selected, i.reason, i.detail,
      i.missing, i.priority, i.queue, i.tries, i.created_at, i.settled_at, i.ready_at, i.started_at, i.finished_at,
      i.expires_at, i.run, i.log_tail, i.delivery
      FROM export_instance e JOIN pge_instance i ON i.id = e.instance_id
      LEFT JOIN export_instance n ON n.instance_id = i.supersedes ORDER BY e.there_id) TO STDOUT (FORMAT binary);

-- export_in_instances: likewise
COPY pge_instance (id, supersedes, pge, version, period_key, platform, sensing, state, input_hash, selected, reason, detail, missing, priority, queue,
      tries, created_at, settled_at, ready_at, started_at, finished_at, expires_at, run, log_tail, delivery) FROM STDIN (FORMAT binary);

-- export_out_inputs: from what they were made; what did not come along is told by its file
COPY (SELECT e.there_id, p.input, p.ordinal, CASE WHEN f.there_id IS NOT NULL THEN g.there_id END,
             CASE WHEN g.there_id IS NOT NULL THEN f.there_id END,
             CASE WHEN g.there_id IS NULL OR f.there_id IS NULL THEN coalesce(p.path, s.path) END, p.digest
      FROM export_instance e JOIN pge_input p USING (instance_id) LEFT JOIN asset s ON s.id = p.asset_id
      LEFT JOIN export_answer g ON g.kind = 'granule' AND g.here_id = p.granule_id
      LEFT JOIN export_answer f ON f.kind = 'file' AND f.here_id = p.asset_id ORDER BY e.there_id, p.input, p.ordinal) TO STDOUT (FORMAT binary);

-- export_in_inputs: likewise
COPY pge_input (instance_id, input, ordinal, granule_id, asset_id, path, digest) FROM STDIN (FORMAT binary);

-- export_out_outputs: and what they made
COPY (SELECT e.there_id, o.name, o.product, o.digest, o.size, a.there_id FROM export_instance e JOIN pge_output o USING (instance_id)
      LEFT JOIN export_answer a ON a.kind = 'granule' AND a.here_id = o.granule_id ORDER BY e.there_id, o.name) TO STDOUT (FORMAT binary);

-- export_in_outputs: likewise
COPY pge_output (instance_id, name, product, digest, size, granule_id) FROM STDIN (FORMAT binary);

-- export_last_number: of its batches
SELECT coalesce(max(number), 0) AS number FROM export_batch WHERE export_id = %(export)s;

-- export_brought: numbers here of those that are brought
SELECT instance_id AS id FROM export_instance ORDER BY 1;

-- export_note_trail: what came last
INSERT INTO export_batch (export_id, number, part, items, rows, instances, state, done_at)
VALUES (%(export)s, %(number)s, %(part)s, %(items)s, %(rows)s,
        coalesce((SELECT range_agg(int8range(id, id, '[]')) FROM unnest(%(instances)s::bigint[]) AS n (id)), '{}'), 'done', now());
