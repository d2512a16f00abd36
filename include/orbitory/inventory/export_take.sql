-- Export, the batches and what one of them is made of: its rows, and the numbers that these get there.

-- export_cut: what is to go, in batches of so many that never part versions of a granule or orders of an image; sorted once
INSERT INTO export_item (export_id, batch, granule_id, there_id, action, digest, before)
SELECT %(export)s, dense_rank() OVER (ORDER BY sensor, (first - 1) / %(size)s), granule_id, there_id, action, digest, before
FROM (SELECT *, min(place) OVER (PARTITION BY sensor, family) AS first
      FROM (SELECT *, row_number() OVER (PARTITION BY sensor ORDER BY family, key, granule_id) AS place
            FROM (SELECT f.*, g.sensor COLLATE "C" AS sensor, coalesce(g.search ->> 'catalog_id', g.key) COLLATE "C" AS family,
                         g.key COLLATE "C" AS key
                  FROM export_found f JOIN granule g ON g.id = f.granule_id
                  WHERE f.action IN ('added', 'changed', 'removed')) n) p) b;

-- export_plan_batches: the batches of an export
INSERT INTO export_batch (export_id, number, part, items, state)
SELECT i.export_id, i.batch, min(g.sensor), count(*), 'planned' FROM export_item i JOIN granule g ON g.id = i.granule_id
WHERE i.export_id = %(export)s GROUP BY i.export_id, i.batch;

-- export_weigh_items: tell the planner how many they are
ANALYZE export_item;

-- export_begin: from here on it is at work
UPDATE export SET state = 'running', started_at = coalesce(started_at, now()), approval = %(approval)s, actor = %(actor)s WHERE id = %(id)s;

-- export_arrive: the same export on the other side
INSERT INTO export (token, direction, site, hash, state, files, selection, counts, actor, approval, started_at)
VALUES (%(token)s, 'in', %(site)s, %(hash)s, 'running', %(files)s, %(selection)s::jsonb, %(counts)s::jsonb, %(actor)s, %(approval)s, now())
ON CONFLICT (token) DO UPDATE SET approval = excluded.approval RETURNING id;

-- export_parts: what is left to do, by sensor
SELECT part, count(*) AS batches, sum(items)::bigint AS items FROM export_batch
WHERE export_id = %(export)s AND state = 'planned' GROUP BY part ORDER BY part COLLATE "C";

-- export_next: the next batch of a part
SELECT number, part, items FROM export_batch WHERE export_id = %(export)s AND state = 'planned' AND (%(part)s::text IS NULL OR part = %(part)s)
ORDER BY number LIMIT 1;

-- export_adding: batches of a part that take the place of nothing
SELECT number, part, items FROM export_batch b WHERE export_id = %(export)s AND state = 'planned' AND (%(part)s::text IS NULL OR part = %(part)s)
  AND NOT EXISTS (SELECT FROM export_item i WHERE i.export_id = b.export_id AND i.batch = b.number AND i.action <> 'added') ORDER BY number;

-- export_batch_state: how far a batch has come
SELECT state, rows, assets, arrivals, instances FROM export_batch WHERE export_id = %(export)s AND number = %(number)s;

-- export_living: granules of a batch that stand here
SELECT i.granule_id AS id FROM export_item i JOIN granule g ON g.id = i.granule_id AND g.state = 'archived'
WHERE i.export_id = %(export)s AND i.batch = %(number)s ORDER BY 1;

-- export_replaces: whether a batch takes the place of anything
SELECT EXISTS (SELECT FROM export_item WHERE export_id = %(export)s AND batch = %(number)s AND action <> 'added') AS any;

-- export_count_batch: granules of a batch that need a number there, and footprints that do
SELECT count(*) FILTER (WHERE i.there_id IS NULL) AS granules,
       count(*) FILTER (WHERE EXISTS (SELECT FROM footprint_all f WHERE f.granule_id = i.granule_id)) AS footprints
FROM export_item i WHERE export_id = %(export)s AND batch = %(number)s;

-- export_granule_numbers: give them out
SELECT coalesce(range_agg(int8range(id, id, '[]')), '{}')::text AS ids
FROM (SELECT nextval((SELECT pg_get_serial_sequence('granule', 'id'))::regclass) AS id FROM generate_series(1, %(count)s)) n;

-- export_footprint_numbers: likewise
SELECT coalesce(range_agg(int8range(id, id, '[]')), '{}')::text AS ids FROM (SELECT nextval('footprint_fpuid') AS id FROM generate_series(1, %(count)s)) n;

-- export_asset_numbers: likewise
SELECT coalesce(range_agg(int8range(id, id, '[]')), '{}')::text AS ids
FROM (SELECT nextval((SELECT pg_get_serial_sequence('asset', 'id'))::regclass) AS id FROM generate_series(1, %(count)s)) n;

-- export_arrival_numbers: likewise
SELECT coalesce(range_agg(int8range(id, id, '[]')), '{}')::text AS ids
FROM (SELECT nextval((SELECT pg_get_serial_sequence('arrival', 'id'))::regclass) AS id FROM generate_series(1, %(count)s)) n;

-- export_take_batch: the granules of a batch, numbered. `living`: the state in which they arrive there; roots of paths, here and there
CREATE TEMP TABLE export_now ON COMMIT DROP AS
WITH item AS (
    SELECT i.*, f.one, count(*) FILTER (WHERE i.there_id IS NULL) OVER w AS new, count(f.one) OVER w AS shown
    FROM export_item i LEFT JOIN LATERAL (SELECT 1 AS one FROM footprint_all f WHERE f.granule_id = i.granule_id LIMIT 1) f ON true
    WHERE i.export_id = %(export)s AND i.batch = %(number)s WINDOW w AS (ORDER BY i.granule_id)
), granule_number AS (
    SELECT id, row_number() OVER (ORDER BY id) AS place
    FROM unnest(%(granules)s::int8multirange) AS r, generate_series(lower(r), upper(r) - 1) AS id
), footprint_number AS (
    SELECT id, row_number() OVER (ORDER BY id) AS place
    FROM unnest(%(footprints)s::int8multirange) AS r, generate_series(lower(r), upper(r) - 1) AS id
)
SELECT i.granule_id, coalesce(i.there_id, n.id) AS there_id, p.id AS fpuid, i.action, i.digest, i.before, %(living)s::text AS living,
       %(linux)s::text AS linux, %(new_linux)s::text AS new_linux, %(windows)s::text AS windows, %(new_windows)s::text AS new_windows
FROM item i LEFT JOIN granule_number n ON i.there_id IS NULL AND n.place = i.new
LEFT JOIN footprint_number p ON i.one IS NOT NULL AND p.place = i.shown ORDER BY 2;

-- export_take_assets: with their files
CREATE TEMP TABLE export_file ON COMMIT DROP AS
SELECT s.id AS asset_id, s.path, s.digest, s.state = 'deleted' AS gone, l.living
FROM (SELECT DISTINCT l.asset_id, n.living FROM export_now n JOIN granule_asset l ON l.granule_id = n.granule_id) l
CROSS JOIN LATERAL (SELECT * FROM asset s WHERE s.id = l.asset_id OFFSET 0) s WHERE s.removal IS DISTINCT FROM 'withdrawn';

-- export_take_references: and the granules they refer to that are no part of the batch
CREATE TEMP TABLE export_reference ON COMMIT DROP AS
SELECT k.id AS granule_id, k.key, k.version_rank, k.created, NULL::bigint AS there_id FROM (
    SELECT g.superseded_by AS id FROM export_now n
    CROSS JOIN LATERAL (SELECT g.superseded_by FROM granule g WHERE g.id = n.granule_id OFFSET 0) g WHERE g.superseded_by IS NOT NULL
    UNION SELECT a.keeper_id FROM export_now n JOIN footprint_archive a ON a.granule_id = n.granule_id) r
JOIN granule k USING (id) WHERE NOT EXISTS (SELECT FROM export_now n WHERE n.granule_id = k.id);

-- export_weigh_batch: tell the planner how many they are
ANALYZE export_now (granule_id), export_file (asset_id), export_reference (granule_id);

-- export_references: by what others know them
SELECT granule_id, key, version_rank, created FROM export_reference;

-- export_find_granules: the same ones there; the living row of several
SELECT w.granule_id, g.id FROM unnest(%(numbers)s::bigint[], %(keys)s::text[], %(ranks)s::integer[], %(created)s::timestamptz[])
                               AS w (granule_id, key, version_rank, created)
CROSS JOIN LATERAL (SELECT g.id FROM granule g WHERE g.key = w.key AND g.version_rank = w.version_rank AND g.created IS NOT DISTINCT FROM w.created
                    ORDER BY g.state = 'deleted', g.id DESC LIMIT 1) g;

-- export_number_references: note them
UPDATE export_reference r SET there_id = t.there_id FROM unnest(%(numbers)s::bigint[], %(ids)s::bigint[]) AS t (granule_id, there_id)
WHERE r.granule_id = t.granule_id;

-- export_ask_assets: the files, for the other side
COPY (SELECT asset_id, path, digest, gone FROM export_file) TO STDOUT (FORMAT binary);

-- export_create_asked: where they go
CREATE TEMP TABLE export_asked (asset_id bigint, path text, digest bytea, gone boolean) ON COMMIT DROP;

-- export_copy_asked: feed it
COPY export_asked FROM STDIN (FORMAT binary);

-- export_weigh_asked: tell the planner how many they are
ANALYZE export_asked (asset_id);

-- export_met_assets: what stands under these names there, and, of what was removed here, what was removed there, too
SELECT q.asset_id, s.id, s.path, s.state IN ('stored', 'deleting') AS busy, s.digest = q.digest AS same, q.gone
FROM export_asked q JOIN asset s ON s.path = q.path AND s.state <> 'deleted'
UNION ALL
SELECT q.asset_id, d.id, d.path, false, true, true FROM export_asked q
CROSS JOIN LATERAL (SELECT x.id, x.path FROM asset x WHERE x.digest = q.digest AND x.path = q.path AND x.state = 'deleted'
                    ORDER BY x.id DESC LIMIT 1) d
WHERE q.gone AND NOT EXISTS (SELECT FROM asset v WHERE v.path = q.path AND v.state <> 'deleted' AND v.digest = q.digest)
ORDER BY path;

-- export_note_known: so that nothing that stays is lost
CREATE TEMP TABLE export_known ON COMMIT DROP AS
SELECT t.id, q.gone FROM unnest(%(numbers)s::bigint[], %(ids)s::bigint[]) AS t (asset_id, id) JOIN export_asked q USING (asset_id);

-- export_taken_paths: names that other files have there, and that do not leave them
SELECT s.path FROM export_asked q JOIN asset s ON s.path = q.path AND s.state <> 'deleted' AND s.digest <> q.digest
WHERE NOT q.gone ORDER BY s.path LIMIT %(limit)s;

-- export_count_files: files of the batch
SELECT count(*) AS files FROM export_file;

-- export_number_assets: their numbers there, known or new
CREATE TEMP TABLE export_now_asset ON COMMIT DROP AS
WITH file AS (
    SELECT f.asset_id, f.living, k.id, count(*) FILTER (WHERE k.id IS NULL) OVER (ORDER BY f.asset_id) AS new
    FROM export_file f LEFT JOIN unnest(%(numbers)s::bigint[], %(ids)s::bigint[]) AS k (asset_id, id) USING (asset_id)
), number AS (
    SELECT id, row_number() OVER (ORDER BY id) AS place
    FROM unnest(%(fresh)s::int8multirange) AS r, generate_series(lower(r), upper(r) - 1) AS id
)
SELECT f.asset_id, coalesce(f.id, n.id) AS there_id, f.id IS NULL AS fresh, f.living
FROM file f LEFT JOIN number n ON f.id IS NULL AND n.place = f.new ORDER BY 2;

-- export_weigh_assets: tell the planner how many they are
ANALYZE export_now_asset (asset_id);

-- export_take_arrivals: by which deliveries the new files came
CREATE TEMP TABLE export_arrived ON COMMIT DROP AS
SELECT a.id AS arrival_id, a.source, n.there_id AS asset_id, row_number() OVER (ORDER BY a.id) AS place
FROM export_now_asset n CROSS JOIN LATERAL (SELECT a.id, a.source, a.state FROM arrival a WHERE a.asset_id = n.asset_id OFFSET 0) a
WHERE n.fresh AND a.state IN ('archived', 'duplicate');

-- export_sources: where they came from, and how many
SELECT source, count(*) AS arrivals FROM export_arrived GROUP BY source ORDER BY source;

-- export_open_run: under which they are counted there; what is there already is not written, for another batch would wait for it
WITH known AS (
    SELECT id FROM ingest_run WHERE source = %(source)s AND actor = %(actor)s
), new AS (
    INSERT INTO ingest_run (source, actor, session, params, finished_at, verdict)
    SELECT %(source)s, %(actor)s, false, '{}', now(), 'success' WHERE NOT EXISTS (SELECT FROM known)
    ON CONFLICT (source, actor) DO UPDATE SET finished_at = now() RETURNING id
)
SELECT id FROM known UNION ALL SELECT id FROM new;

-- export_number_arrivals: their numbers there, and their runs
CREATE TEMP TABLE export_now_arrival ON COMMIT DROP AS
SELECT a.arrival_id, a.asset_id, t.id AS there_id, r.run AS run_id
FROM export_arrived a JOIN unnest(%(sources)s::text[], %(runs)s::bigint[]) AS r (source, run) USING (source)
JOIN (SELECT id, row_number() OVER (ORDER BY id) AS place
      FROM unnest(%(ids)s::int8multirange) AS m, generate_series(lower(m), upper(m) - 1) AS id) t USING (place) ORDER BY t.id;

-- export_weigh_arrivals: tell the planner how many they are
ANALYZE export_now_arrival (arrival_id);

-- export_out_arrivals: deliveries; nothing of them stands in a landing zone there
COPY (SELECT n.there_id, u.there_id, n.run_id, false, n.asset_id,
      a.source, a.path, a.name, a.role, a.reason, a.stage, a.detail, a.sensor, a.sensing_start, a.sensing_end, a.dev,
      a.ino, a.size, a.mtime_ns, a.ctime_ns, a.first_seen, a.changed_at, a.announced, a.digest, a.state
      FROM export_now_arrival n CROSS JOIN LATERAL (SELECT * FROM arrival a WHERE a.id = n.arrival_id OFFSET 0) a
      LEFT JOIN export_now_arrival u ON u.arrival_id = a.unit_id) TO STDOUT (FORMAT binary);

-- export_in_arrivals: likewise
COPY arrival (id, unit_id, run_id, landed, asset_id, source, path, name, role, reason, stage, detail, sensor, sensing_start, sensing_end, dev, ino, size, mtime_ns,
    ctime_ns, first_seen, changed_at, announced, digest, state) FROM STDIN (FORMAT binary);

-- export_count_arrivals: so that figures and ledger agree
INSERT INTO ingest_statistic (run_id, source, sensor, state, files, bytes)
SELECT r.id, r.source, a.sensor, a.state, count(*), sum(a.size)::bigint FROM unnest(%(arrivals)s::int8multirange) AS n
JOIN arrival a ON a.id >= lower(n) AND a.id < upper(n) JOIN ingest_run r ON r.id = a.run_id GROUP BY r.id, r.source, a.sensor, a.state ORDER BY r.id, a.sensor, a.state
ON CONFLICT (run_id, sensor, state)
DO UPDATE SET files = ingest_statistic.files + excluded.files, bytes = ingest_statistic.bytes + excluded.bytes;
