-- Export, what both sites tell about themselves, in numbers; only where these differ, granule by granule.
-- Temporary tables belong to one transaction. Statements that COPY take no values: what they are about stands in such tables.

-- export_choose: granules that are asked for
CREATE TEMP TABLE export_chosen ON COMMIT DROP AS
SELECT g.id, g.key FROM granule g
WHERE (%(products)s::text[] IS NULL OR g.product = ANY (%(products)s::text[]) OR g.source = ANY (%(sources)s::text[]))
  AND (%(sensors)s::text[] IS NULL OR g.sensor = ANY (%(sensors)s::text[]))
  AND (%(sensed)s::tstzrange IS NULL OR lower(g.sensing) <@ %(sensed)s::tstzrange)
  AND (%(ingested)s::tstzrange IS NULL OR g.stored_at <@ %(ingested)s::tstzrange)
  AND (%(before)s::timestamptz IS NULL OR g.stored_at <= %(before)s) AND g.id <> ALL (%(without)s::bigint[]);

-- export_widen_versions: all versions of a granule go together
INSERT INTO export_chosen SELECT v.id, v.key FROM granule v
WHERE v.key IN (SELECT key FROM export_chosen) AND v.id <> ALL (%(without)s::bigint[])
  AND NOT EXISTS (SELECT FROM export_chosen c WHERE c.id = v.id);

-- export_widen_keepers: and so do an image that stands aside and the one that is preferred to it
INSERT INTO export_chosen SELECT DISTINCT k.id, k.key FROM export_chosen c JOIN footprint_archive a ON a.granule_id = c.id
JOIN granule k ON k.id = a.keeper_id WHERE NOT EXISTS (SELECT FROM export_chosen x WHERE x.id = k.id);

-- export_chosen_keys: their keys, for the other side
COPY (SELECT DISTINCT key FROM export_chosen) TO STDOUT (FORMAT binary);

-- export_create_key: where the keys go
CREATE TEMP TABLE export_key (key text) ON COMMIT DROP;

-- export_copy_key: feed it
COPY export_key FROM STDIN (FORMAT binary);

-- export_choose_keys: granules of these keys
CREATE TEMP TABLE export_chosen ON COMMIT DROP AS SELECT g.id, g.key FROM granule g WHERE g.key IN (SELECT key FROM export_key);

-- export_create_scope: of each whether it may go: a person or an evaluation has an open question about some
CREATE TEMP TABLE export_scope ON COMMIT DROP AS
WITH newest AS (
    SELECT DISTINCT ON (s.sensor) s.sensor, r.id FROM mfp_run r, jsonb_array_elements_text(r.params -> 'sensors') AS s (sensor)
    WHERE r.finished_at IS NOT NULL ORDER BY s.sensor, r.id DESC
), wrong AS (
    SELECT DISTINCT f.granule_id FROM mfp_finding f JOIN newest n ON n.id = f.run_id AND n.sensor = f.sensor
    WHERE f.level = 'error' AND f.granule_id IS NOT NULL
), bad AS (
    SELECT DISTINCT l.granule_id FROM validation v JOIN asset s ON s.id = v.asset_id AND s.state = 'archived'
    JOIN granule_asset l ON l.asset_id = v.asset_id WHERE v.verdict = 'bad'
), doubtful AS (
    SELECT DISTINCT l.granule_id FROM asset s JOIN granule_asset l ON l.asset_id = s.id
    WHERE s.state NOT IN ('archived', 'deleted') OR s.state = 'archived' AND s.findings @> '[{"level": "error"}]'
)
SELECT g.id, g.key, CASE
    WHEN g.state IN ('stored', 'deleting') THEN 'it is on its way in or out'
    WHEN g.state = 'deleted' THEN NULL
    WHEN g.state = 'withdrawn' THEN 'it was withdrawn here; whether it stays there is decided there (`orbitory withdraw`)'
    WHEN m.status <> 'validated' THEN 'its footprint is ' || m.status
    WHEN a.status = 'faulty' THEN 'its footprint is faulty'
    WHEN g.search ? 'image' AND m.fpuid IS NULL AND a.fpuid IS NULL THEN 'it has no footprint'
    WHEN w.granule_id IS NOT NULL THEN 'the newest evaluation has found an error in it'
    WHEN b.granule_id IS NOT NULL THEN 'its raster is bad'
    WHEN d.granule_id IS NOT NULL THEN 'one of its files is in doubt'
    END AS why
FROM export_chosen c JOIN granule g USING (id)
LEFT JOIN footprint_master m ON m.granule_id = g.id LEFT JOIN footprint_archive a ON a.granule_id = g.id
LEFT JOIN wrong w ON w.granule_id = g.id LEFT JOIN bad b ON b.granule_id = g.id LEFT JOIN doubtful d ON d.granule_id = g.id;

-- export_weigh_chosen: tell the planner how many they are
ANALYZE export_chosen;

-- export_weigh_scope: tell the planner how many they are
ANALYZE export_scope;

-- export_hold_keepers: an image that stands aside does not go without the one that is preferred to it
UPDATE export_scope s SET why = 'the image that is preferred to it stays' FROM footprint_archive a JOIN export_scope k ON k.id = a.keeper_id
WHERE a.granule_id = s.id AND s.why IS NULL AND k.why IS NOT NULL;

-- export_hold_versions: nor a version without the others
UPDATE export_scope s SET why = 'another version of it stays' FROM (SELECT DISTINCT key FROM export_scope WHERE why IS NOT NULL) h
WHERE h.key = s.key AND s.why IS NULL;

-- export_tell_here: what may go and what stays. `odd`: it is looked at one by one even where both sides say the same: it stays,
-- or has another row of its identity
CREATE TEMP TABLE export_told ON COMMIT DROP AS
SELECT c.key, c.version_rank, c.created, c.digest, c.id, c.state, s.why, hashtextextended(c.key, 0) & 65535 AS bucket,
       s.why IS NOT NULL OR c.state = 'deleted' AND EXISTS (SELECT FROM granule o WHERE o.key = c.key AND o.version_rank = c.version_rank
                                                            AND o.id <> c.id) AS odd
FROM export_scope s JOIN export_content c USING (id);

-- export_tell_there: what stands at the other side; likewise, and what stands without its files
CREATE TEMP TABLE export_told ON COMMIT DROP AS
SELECT c.key, c.version_rank, c.created, c.digest, c.id, c.state, b.granule_id IS NOT NULL AS bare, hashtextextended(c.key, 0) & 65535 AS bucket,
       b.granule_id IS NOT NULL OR c.state = 'deleted' AND EXISTS (SELECT FROM granule o WHERE o.key = c.key AND o.version_rank = c.version_rank
                                                                   AND o.id <> c.id) AS odd
FROM export_chosen s JOIN export_content c USING (id) LEFT JOIN export_bare b ON b.granule_id = c.id;

-- export_sums: of each bucket one number: the same where all of its granules are the same; null: look at them
COPY (SELECT bucket, CASE WHEN NOT bool_or(odd) THEN sum(hash_record_extended(ROW(key, version_rank, created), digest)) END
      FROM export_told GROUP BY bucket) TO STDOUT (FORMAT binary);

-- export_create_sum: where the other side's go
CREATE TEMP TABLE export_sum (bucket bigint, total numeric) ON COMMIT DROP;

-- export_copy_sum: feed it
COPY export_sum FROM STDIN (FORMAT binary);

-- export_create_unlike: buckets here that differ
CREATE TEMP TABLE export_bucket ON COMMIT DROP AS
SELECT bucket FROM (SELECT bucket, bool_or(odd) AS odd, sum(hash_record_extended(ROW(key, version_rank, created), digest)) AS total
                    FROM export_told GROUP BY bucket) h
LEFT JOIN export_sum t USING (bucket) WHERE h.odd OR (h.total = t.total) IS NOT TRUE;

-- export_buckets: they, for the other side
COPY export_bucket TO STDOUT (FORMAT binary);

-- export_create_bucket: where they go
CREATE TEMP TABLE export_bucket (bucket bigint) ON COMMIT DROP;

-- export_copy_bucket: feed it
COPY export_bucket FROM STDIN (FORMAT binary);

-- export_weigh_buckets: tell the planner how many they are
ANALYZE export_bucket;

-- export_contents_here: what is in these, in an order that is the same everywhere; of one identity the living row first
COPY (SELECT c.key, c.version_rank, c.created, c.digest, c.id,
             CASE WHEN c.state <> 'deleted' THEN 0
                  WHEN EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
                               WHERE l.granule_id = c.id AND s.removal = 'expired') THEN 2 ELSE 1 END AS gone, c.why
      FROM export_told c JOIN export_bucket USING (bucket)
      ORDER BY c.key COLLATE "C", c.version_rank, c.created NULLS FIRST, c.state = 'deleted', c.id DESC) TO STDOUT (FORMAT binary);

-- export_create_mine: exports by which this one has brought something there; only what they left is known to be ours
CREATE TEMP TABLE export_mine (token uuid) ON COMMIT DROP;

-- export_tokens: these exports
COPY (SELECT token FROM export WHERE direction = 'out') TO STDOUT (FORMAT binary);

-- export_copy_mine: feed it
COPY export_mine FROM STDIN (FORMAT binary);

-- export_weigh_mine: tell the planner how many they are
ANALYZE export_mine;

-- export_create_bare: granules whose files have not come with their rows, if files are asked for
CREATE TEMP TABLE export_bare ON COMMIT DROP AS
SELECT DISTINCT l.granule_id FROM unnest(export_without_file()) AS r
JOIN asset s ON s.id >= lower(r) AND s.id < upper(r) AND s.state = 'archived' AND NOT s.in_place
JOIN granule_asset l ON l.asset_id = s.id WHERE %(files)s;

-- export_weigh_bare: tell the planner how many they are
ANALYZE export_bare;

-- export_contents_there: likewise there, with what the newest export has left there. 0: it stands, 1: it was let go, 3: it was
-- withdrawn, 4: it stands without its files
COPY (SELECT c.key, c.version_rank, c.created, c.digest, c.id,
             CASE WHEN c.state IN ('deleting', 'deleted') THEN 1 WHEN c.state = 'withdrawn' THEN 3 WHEN c.bare THEN 4 ELSE 0 END AS gone,
             i.digest AS mark
      FROM export_told c JOIN export_bucket USING (bucket)
      LEFT JOIN LATERAL (SELECT CASE WHEN EXISTS (SELECT FROM export e JOIN export_mine m USING (token) WHERE e.id = x.export_id) THEN x.digest END AS digest
                         FROM export_item x WHERE x.granule_id = c.id ORDER BY x.export_id DESC LIMIT 1) i ON true
      ORDER BY c.key COLLATE "C", c.version_rank, c.created NULLS FIRST, c.state = 'deleted', c.id DESC) TO STDOUT (FORMAT binary);

-- export_drop_chosen: make room for the next comparison of the same transaction
DROP TABLE IF EXISTS export_chosen, export_key, export_mine, export_bare, export_told, export_bucket, export_losing;
