-- Export, first half: what differs between two sites. `here` is the site that exports, `there` the one it exports to.
-- Temporary tables belong to one transaction. Statements that COPY take no values: what they are about stands in such tables.

-- export_identity: which database this is
SELECT s.system_identifier, d.oid AS database FROM pg_control_system() s, pg_database d WHERE d.datname = current_database();

-- export_schema: its version, the order of its columns, and whether its server hashes rows as another does
SELECT max(name) AS newest, md5(string_agg(name || digest, ',' ORDER BY name COLLATE "C")) AS digest,
       (SELECT md5(string_agg(concat(attrelid::regclass, attname, format_type(atttypid, atttypmod)), ',' ORDER BY attrelid::regclass::text, attnum))
        FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped
          AND attrelid = ANY ('{granule,asset,granule_asset,footprint_master,footprint_archive}'::regclass[])) AS columns,
       current_setting('server_version') AS server,
       hash_record_extended(ROW('a'::text, 1::bigint, 0.1::float8, '{"a": [1, "é"]}'::jsonb, '2024-02-10T12:00Z'::timestamptz,
                                '\x00ff'::bytea, tstzrange('2024-02-10Z', NULL), true, NULL::text), 0) AS hashing
FROM schema_migration;

-- export_in_flight: granules that are just arriving: when they will stand, they are another export's
SELECT id FROM granule WHERE state = 'stored' ORDER BY id;

-- export_now: the database's clock
SELECT clock_timestamp() AS now;

-- export_create_found: what differs
CREATE TEMP TABLE export_found (granule_id bigint, there_id bigint, action text, digest bigint, before bigint, why text) ON COMMIT DROP;

-- export_copy_found: feed it
COPY export_found (granule_id, there_id, action, digest, before, why) FROM STDIN (FORMAT binary);

-- export_weigh_found: tell the planner how many they are
ANALYZE export_found;

-- export_spread_conflicts: the images between which an evaluation has chosen go together, or stay
UPDATE export_found f SET action = 'conflict', why = 'an image it was chosen with is a conflict' FROM (
    SELECT a.granule_id AS id FROM export_found x JOIN footprint_archive a ON a.keeper_id = x.granule_id WHERE x.action = 'conflict'
    UNION SELECT a.keeper_id FROM export_found x JOIN footprint_archive a ON a.granule_id = x.granule_id WHERE x.action = 'conflict') o
WHERE f.granule_id = o.id AND f.action IN ('added', 'changed');

-- export_spread_kept: an image does not stand aside for one that is not held there any more
UPDATE export_found f SET action = 'kept', why = 'the image that is preferred to it here stays as it is there'
FROM export_found x JOIN footprint_archive a ON a.keeper_id = x.granule_id
WHERE x.action = 'kept' AND f.granule_id = a.granule_id AND f.action IN ('added', 'changed', 'conflict');

-- export_found_losing: granules there that would lose files, and which: null means all
COPY (SELECT f.granule_id, f.there_id, NULL::text AS path FROM export_found f WHERE f.action = 'removed'
      UNION ALL
      SELECT f.granule_id, f.there_id, d.path FROM export_found f JOIN granule g ON g.id = f.granule_id
      CROSS JOIN LATERAL (SELECT t.id FROM granule t WHERE t.key = g.key AND t.version_rank = g.version_rank
                          AND t.created IS NOT DISTINCT FROM g.created AND (t.id = g.id OR t.state = 'deleted') OFFSET 0) t
      JOIN granule_asset l ON l.granule_id = t.id JOIN asset d ON d.id = l.asset_id AND d.state = 'deleted' AND d.removal <> 'withdrawn'
      WHERE f.action = 'changed'
        AND NOT EXISTS (SELECT FROM asset v WHERE v.path = d.path AND v.digest = d.digest AND v.state <> 'deleted')) TO STDOUT (FORMAT binary);

-- export_create_losing: where they go
CREATE TEMP TABLE export_losing (granule_id bigint, there_id bigint, path text) ON COMMIT DROP;

-- export_copy_losing: feed it
COPY export_losing FROM STDIN (FORMAT binary);

-- export_losing: the next of them
SELECT DISTINCT granule_id, there_id FROM export_losing WHERE there_id > %(after)s ORDER BY there_id LIMIT %(limit)s;

-- export_sharing: of these, whose files hold other granules there, too
SELECT x.there_id AS granule_id, min(concat(s.path, ' also holds ', g.key)) AS why FROM export_losing x
JOIN granule_asset l ON l.granule_id = x.there_id
JOIN asset s ON s.id = l.asset_id AND s.state <> 'deleted' AND s.role IN ('data', 'manifest', 'document') AND (x.path IS NULL OR x.path = s.path)
JOIN granule_asset o ON o.asset_id = l.asset_id AND o.granule_id <> l.granule_id
JOIN granule g ON g.id = o.granule_id AND g.state <> 'deleted'
WHERE x.there_id = ANY (%(granules)s::bigint[]) AND NOT EXISTS (SELECT FROM export_losing y WHERE y.there_id = o.granule_id) GROUP BY x.there_id;

-- export_keep_needed: what somebody there needs stays there
UPDATE export_found f SET action = 'kept', why = 'the other side needs it: ' || t.why
FROM unnest(%(granules)s::bigint[], %(whys)s::text[]) AS t (granule_id, why) WHERE f.granule_id = t.granule_id;

-- export_note_findings: what a person must decide
INSERT INTO export_finding (site, granule_id, why) SELECT %(site)s, granule_id, why FROM export_found WHERE action = 'conflict'
ON CONFLICT (site, granule_id) DO UPDATE SET why = excluded.why, last_seen = now();

-- export_close_findings: of what was looked at, what is no conflict any more
DELETE FROM export_finding f USING granule g WHERE g.id = f.granule_id AND f.site = %(site)s
  AND (%(products)s::text[] IS NULL OR g.product = ANY (%(products)s::text[]) OR g.source = ANY (%(sources)s::text[]))
  AND (%(sensors)s::text[] IS NULL OR g.sensor = ANY (%(sensors)s::text[]))
  AND (%(sensed)s::tstzrange IS NULL OR lower(g.sensing) <@ %(sensed)s::tstzrange)
  AND (%(ingested)s::tstzrange IS NULL OR g.stored_at <@ %(ingested)s::tstzrange)
  AND NOT EXISTS (SELECT FROM export_found x WHERE x.granule_id = f.granule_id AND x.action = 'conflict');

-- export_findings: what a person must decide, by site
SELECT f.site, g.key, g.version, f.why, f.first_seen, f.last_seen FROM export_finding f JOIN granule g ON g.id = f.granule_id
ORDER BY f.site, f.first_seen, g.key COLLATE "C" LIMIT %(limit)s;

-- export_counts: what differs, by sensor
SELECT g.sensor, count(*) FILTER (WHERE f.action = 'added') AS added, count(*) FILTER (WHERE f.action = 'changed') AS changed,
       count(*) FILTER (WHERE f.action = 'removed') AS removed, count(*) FILTER (WHERE f.action = 'conflict') AS conflicts,
       count(*) FILTER (WHERE f.action = 'kept') AS kept, count(*) FILTER (WHERE f.action = 'held') AS held
FROM export_found f JOIN granule g ON g.id = f.granule_id GROUP BY g.sensor ORDER BY g.sensor COLLATE "C";

-- export_bytes: files that come with what is added or changed
SELECT count(*) AS files, coalesce(sum(size), 0)::bigint AS bytes FROM (
    SELECT DISTINCT s.id, s.size FROM export_found f JOIN granule_asset l ON l.granule_id = f.granule_id
    JOIN asset s ON s.id = l.asset_id AND s.state = 'archived' AND NOT s.in_place WHERE f.action IN ('added', 'changed')) s;

-- export_held: how many granules of each sensor stand there
SELECT sensor, count(*) AS held FROM granule WHERE state = 'archived' AND sensor = ANY (%(sensors)s) GROUP BY sensor;

-- export_whys: why granules stay, and how many
SELECT action, why, count(*) AS granules FROM export_found WHERE why IS NOT NULL GROUP BY action, why ORDER BY action, granules DESC, why;

-- export_samples: the first of each kind
SELECT f.granule_id, f.there_id, f.action, f.why, g.key, g.version, g.sensor FROM (
    SELECT f.*, row_number() OVER (PARTITION BY f.action ORDER BY f.granule_id) AS place FROM export_found f) f
JOIN granule g ON g.id = f.granule_id WHERE f.place <= %(each)s ORDER BY f.action, f.place;

-- export_differences: everything that differs, for a list
SELECT f.action, g.sensor, g.product, g.key, g.version, g.created, f.why FROM export_found f JOIN granule g ON g.id = f.granule_id
ORDER BY f.action, g.sensor COLLATE "C", g.key COLLATE "C", g.version_rank;

-- export_own_columns: columns of footprints that each site has for itself
SELECT export_own_columns() AS names;

-- export_rows_of: all rows of these granules
SELECT granule_id, rows FROM export_rows(%(granules)s::bigint[]);

-- export_keep: keep what was shown; a repetition of the same replaces it
INSERT INTO export (direction, site, hash, files, selection, counts, actor)
SELECT 'out', %(site)s, %(hash)s, %(files)s, %(selection)s::jsonb, %(counts)s::jsonb, %(actor)s RETURNING id;

-- export_forget: previews that nobody took up, of the same hash or old
DELETE FROM export WHERE direction = 'out' AND state = 'previewed' AND (hash = %(hash)s AND site = %(site)s OR made_at < now() - interval '30 days');

-- export_find: the newest export of a hash to a site
SELECT *, encode(hash, 'hex') AS hex FROM export WHERE direction = 'out' AND hash = %(hash)s AND site = %(site)s ORDER BY id DESC LIMIT 1;

-- export_get: one export by its number here
SELECT *, encode(hash, 'hex') AS hex FROM export WHERE id = %(id)s;

-- export_by_token: one export by what both sides call it
SELECT *, encode(hash, 'hex') AS hex FROM export WHERE token = %(token)s;

-- export_history: the newest exports, out and in
SELECT e.id, e.direction, e.site, encode(e.hash, 'hex') AS hash, e.state, e.files, e.actor, e.approval, e.made_at, e.started_at, e.finished_at,
       e.counts - 'samples' AS counts, (SELECT coalesce(sum(b.rows), 0)::bigint FROM export_batch b WHERE b.export_id = e.id AND b.state <> 'undone') AS rows
FROM export e ORDER BY e.id DESC LIMIT %(limit)s;

-- export_products: product ids that are held
WITH RECURSIVE next AS (
    (SELECT product FROM granule ORDER BY product LIMIT 1)
    UNION ALL
    SELECT (SELECT g.product FROM granule g WHERE g.product > n.product ORDER BY g.product LIMIT 1) FROM next n WHERE n.product IS NOT NULL
)
SELECT product FROM next WHERE product IS NOT NULL;

-- export_undone_tokens: exports that were taken back there
SELECT token FROM export WHERE direction = 'in' AND state = 'undone';

-- export_follow_undone: so they are here
UPDATE export SET state = 'undone' WHERE direction = 'out' AND token = ANY (%(tokens)s::uuid[]) AND state IN ('running', 'done');

-- export_undoing: an export that is being taken back
SELECT id FROM export WHERE direction = 'in' AND state = 'undoing' ORDER BY id LIMIT 1;

-- export_bag_files: the next files of what is chosen, in the order of their paths
SELECT s.path, s.size, s.digest FROM asset s
WHERE s.state = 'archived' AND s.path COLLATE "C" > %(after)s
  AND EXISTS (SELECT FROM granule_asset l JOIN export_chosen c ON c.id = l.granule_id JOIN granule g ON g.id = c.id AND g.state = 'archived'
              WHERE l.asset_id = s.id)
ORDER BY s.path COLLATE "C" LIMIT %(limit)s;

-- export_asset_roles: files of what is chosen and archived, by role: the most that one granule has
SELECT role, max(n)::int AS most FROM (
    SELECT l.granule_id, s.role, count(*) AS n FROM export_chosen c JOIN granule g ON g.id = c.id AND g.state = 'archived'
    JOIN granule_asset l ON l.granule_id = g.id JOIN asset s ON s.id = l.asset_id AND s.state = 'archived' GROUP BY 1, 2) r
GROUP BY role ORDER BY role;

-- export_items: what is chosen and archived, as STAC tells items; what has no time of sensing is dated by when it came
SELECT concat_ws(' ', g.key, nullif(g.version, ''), CASE WHEN count(*) OVER (PARTITION BY g.key, g.version) > 1
                 THEN to_char(g.created AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS.US"Z"') END) AS id,
       'Feature' AS type, '1.1.0' AS stac_version, coalesce(nullif(g.collection, ''), g.product) AS collection,
       coalesce(lower(g.sensing), g.created, g.stored_at) AS datetime, lower(g.sensing) AS start_datetime,
       upper(g.sensing) AS end_datetime, g.created, coalesce(nullif(g.platform, ''), g.sensor) AS platform, ARRAY[g.sensor] AS instruments,
       g.version, g.orbit, g.area_km2, g.classification, g.search,
       (SELECT jsonb_agg(jsonb_build_object('href', 'data/' || ltrim(s.path, '/'), 'roles', jsonb_build_array(s.role),
                                            'file:size', s.size, 'file:checksum', '1e20' || encode(s.digest, 'hex')) ORDER BY s.path)
        FROM granule_asset l JOIN asset s ON s.id = l.asset_id AND s.state = 'archived' WHERE l.granule_id = g.id) AS assets,
       ST_AsBinary(g.footprint) AS wkb, ST_XMin(g.footprint) AS west, ST_YMin(g.footprint) AS south,
       ST_XMax(g.footprint) AS east, ST_YMax(g.footprint) AS north
FROM export_chosen c JOIN granule g USING (id) WHERE g.state = 'archived' ORDER BY g.key COLLATE "C", g.version_rank, g.id;
