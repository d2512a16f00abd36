-- Reprocessing: archived files are read again. Rows are written only where their values differ, so that a repeated,
-- cancelled or overlapping request ends in the same state.

-- reprocess_known_product: whether the archive has ever held such a product
SELECT EXISTS (SELECT FROM granule WHERE product = %(product)s) AS known;

-- reprocess_plan: the selected units, cut along sensing time into slices of bounded files and bytes
WITH units AS (
    SELECT unit_id, min(sensing_start) AS start FROM granule_unit
    WHERE sensing_start >= %(start)s AND sensing_start < %(stop)s
      AND (%(products)s::text[] IS NULL AND %(sources)s::text[] IS NULL
           OR product = ANY (%(products)s::text[]) OR source = ANY (%(sources)s::text[]))
      AND (%(sensors)s::text[] IS NULL OR sensor = ANY (%(sensors)s::text[]))
      AND (%(names)s::text[] IS NULL OR name = ANY (%(names)s::text[]))
    GROUP BY unit_id
), sized AS (
    SELECT u.start, count(*) AS files, sum(s.size) AS bytes,
           greatest(count(*) / %(most_files)s::float, sum(s.size) / %(most_bytes)s::float) AS cost
    FROM units u
    CROSS JOIN LATERAL (SELECT state, asset_id FROM arrival WHERE id = u.unit_id
                        UNION ALL SELECT state, asset_id FROM arrival WHERE unit_id = u.unit_id) a
    JOIN asset s ON s.id = a.asset_id AND s.state = 'archived'
    WHERE a.state = 'archived'
    GROUP BY u.unit_id, u.start
), reached AS (  -- what is sensed at one instant stays together
    SELECT *, sum(cost) OVER (ORDER BY start) AS cost_so_far, sum(cost) OVER () AS whole_cost FROM sized
)
SELECT min(start) AS start, sum(files)::bigint AS files, sum(bytes)::bigint AS bytes FROM reached
GROUP BY ceil(cost_so_far * least(1, %(most_batches)s / whole_cost)) ORDER BY 1;

-- reprocess_request: write down who asks for what
INSERT INTO reprocess_request (mode, products, sensors, names, sensing, reason, actor, code, files, bytes)
VALUES (%(mode)s, %(products)s, %(sensors)s, %(names)s, tstzrange(%(start)s, %(stop)s), %(reason)s, %(actor)s, %(code)s,
        %(files)s, %(bytes)s)
RETURNING id;

-- copy_reprocess_batch: the slices of the request
COPY reprocess_batch (request_id, number, sensing, files, bytes) FROM STDIN;

-- reprocess_latest: the newest request of this actor
SELECT max(id) AS id FROM reprocess_request WHERE actor = %(actor)s;

-- reprocess_batch: one slice with what its request asks for
SELECT r.mode, r.products, r.sensors, r.names, lower(b.sensing) AS start, upper(b.sensing) AS stop, b.files,
       b.done_at IS NOT NULL AS done
FROM reprocess_batch b JOIN reprocess_request r ON r.id = b.request_id
WHERE b.request_id = %(request)s AND b.number = %(number)s;

-- reprocess_forget_problems: what an earlier try of this slice found is looked for again
DELETE FROM reprocess_problem WHERE request_id = %(request)s AND number = %(number)s;

-- reprocess_page: the next units of a slice with their archived files, and with the equal copies of those that were
-- duplicates; the file that speaks for its unit first
WITH units AS (
    SELECT DISTINCT unit_id FROM granule_unit
    WHERE sensing_start >= %(start)s AND sensing_start < %(stop)s
      AND (%(products)s::text[] IS NULL AND %(sources)s::text[] IS NULL
           OR product = ANY (%(products)s::text[]) OR source = ANY (%(sources)s::text[]))
      AND (%(sensors)s::text[] IS NULL OR sensor = ANY (%(sensors)s::text[]))
      AND (%(names)s::text[] IS NULL OR name = ANY (%(names)s::text[]))
      AND unit_id > %(after)s
    ORDER BY unit_id LIMIT %(limit)s
)
SELECT u.unit_id, a.id, a.role, a.name, a.source, a.announced @? '$[*] ? (@.algorithm != "size")' AS checksummed, a.state = 'archived' AS own,
       a.asset_id, s.path, s.size, s.digest, b.root
FROM units u
CROSS JOIN LATERAL (SELECT * FROM arrival WHERE id = u.unit_id
                    UNION ALL SELECT * FROM arrival WHERE unit_id = u.unit_id) a
JOIN asset s ON s.id = a.asset_id AND s.state = 'archived'
LEFT JOIN batch b ON b.id = a.batch_id
WHERE a.state = 'archived' OR a.state = 'duplicate' AND a.digest = s.digest
ORDER BY u.unit_id, a.unit_id NULLS FIRST, a.id;

-- reprocess_sound: these files were read and are what they were
UPDATE asset s SET fixity_at = now()
FROM (SELECT id FROM asset WHERE id = ANY (%(assets)s) AND state = 'archived' ORDER BY id FOR NO KEY UPDATE) sound
WHERE s.id = sound.id;

-- reprocess_problems: what a person must look at; files that left the archive meanwhile are none
INSERT INTO reprocess_problem (request_id, number, asset_id, code, detail)
SELECT %(request)s, %(number)s, p.asset_id, p.code, p.detail
FROM unnest(%(assets)s::bigint[], %(codes)s::text[], %(details)s::text[]) AS p (asset_id, code, detail)
JOIN asset s ON s.id = p.asset_id AND s.state = 'archived'
ON CONFLICT (request_id, number, asset_id) DO NOTHING;

-- create_reread_file: what re-read files say about themselves, for this transaction
CREATE TEMP TABLE reread_file (unit_id bigint, asset_id bigint, kind text, header bytea, findings jsonb) ON COMMIT DROP;

-- create_reread_granule: what re-read files say about their granules, for this transaction
CREATE TEMP TABLE reread_granule (unit_id bigint, asset_id bigint, ordinal integer, product text, key text,
    version_rank integer, created timestamptz, sensor text, platform text, collection text, sensing_start timestamptz,
    sensing_end timestamptz, orbit integer, footprint geometry(MultiPolygon, 4326), area_km2 double precision,
    search jsonb) ON COMMIT DROP;

-- copy_reread_file: load them
COPY reread_file FROM STDIN;

-- copy_reread_granule: load them
COPY reread_granule FROM STDIN;

-- match_reread: rows with the facts that now hold for them; of several files that hold a granule the one stored first speaks
CREATE TEMP TABLE reread ON COMMIT DROP AS
SELECT DISTINCT ON (g.id) g.id, e.product, e.sensor, e.platform, e.collection, e.orbit, e.footprint, e.area_km2, e.search,
       CASE WHEN e.sensing_start IS NOT NULL THEN tstzrange(e.sensing_start, e.sensing_end, '[]') END AS sensing
FROM reread_granule e
JOIN granule g ON g.key = e.key AND g.version_rank = e.version_rank AND g.created IS NOT DISTINCT FROM e.created
              AND g.state = 'archived'
JOIN granule_asset l ON l.granule_id = g.id AND l.asset_id = e.asset_id
WHERE e.unit_id = (
    SELECT o.unit_id FROM (
        SELECT u.id AS unit_id, min(s.id) OVER (PARTITION BY u.batch_id) AS stored, u.sensing_start, u.path
        FROM granule_asset k
        JOIN asset s ON s.id = k.asset_id AND s.state = 'archived' AND s.role IN ('data', 'manifest', 'document')
        JOIN arrival a ON a.asset_id = s.id AND a.state = 'archived'
        JOIN arrival u ON u.id = coalesce(a.unit_id, a.id)
        WHERE k.granule_id = g.id) o
    ORDER BY o.stored, coalesce(o.sensing_start, '-infinity'), o.path LIMIT 1)
ORDER BY g.id, e.ordinal;

-- reread_strangers: granules that re-read files hold by the inventory or by this code alone; their rows stay
SELECT f.asset_id, 'reading it no longer finds granule ' || g.key AS detail
FROM reread_file f JOIN granule_asset l ON l.asset_id = f.asset_id JOIN granule g ON g.id = l.granule_id
WHERE g.state = 'archived'
  AND NOT EXISTS (SELECT FROM reread_granule e WHERE e.unit_id = f.unit_id AND e.key = g.key
                  AND e.version_rank = g.version_rank AND e.created IS NOT DISTINCT FROM g.created)
UNION ALL
SELECT e.asset_id, 'reading it finds granule ' || e.key || ', which the inventory does not know to be in it'
FROM reread_granule e
WHERE NOT EXISTS (SELECT FROM granule_asset l JOIN granule g ON g.id = l.granule_id
                  WHERE l.asset_id = e.asset_id AND g.key = e.key AND g.version_rank = e.version_rank
                    AND g.created IS NOT DISTINCT FROM e.created)
ORDER BY 1, 2;

-- keep_repairs: that a stored file was once repaired is no finding about its content: it stays
UPDATE reread_file f SET findings = f.findings || r.repairs
FROM (SELECT s.id, jsonb_agg(x.finding) AS repairs FROM reread_file o JOIN asset s ON s.id = o.asset_id
      CROSS JOIN LATERAL jsonb_array_elements(s.findings) AS x (finding)
      WHERE x.finding ->> 'code' = 'repaired' GROUP BY s.id) r
WHERE r.id = f.asset_id;

-- renew_assets: what the files are, where it differs
UPDATE asset s SET kind = f.kind, header = f.header, findings = f.findings
FROM reread_file f
WHERE s.id = f.asset_id AND s.state = 'archived'
  AND (s.kind, s.header, s.findings) IS DISTINCT FROM (f.kind, f.header, f.findings);

-- renew_granules: facts of the granules, where they differ
UPDATE granule g SET product = r.product, sensor = r.sensor, platform = r.platform, collection = r.collection,
    sensing = r.sensing, orbit = r.orbit, footprint = r.footprint, area_km2 = r.area_km2, search = r.search
FROM reread r
WHERE g.id = r.id AND g.state = 'archived'
  AND (g.product, g.sensor, g.platform, g.collection, g.sensing, g.orbit, g.area_km2, g.search, ST_AsEWKB(g.footprint))
      IS DISTINCT FROM
      (r.product, r.sensor, r.platform, r.collection, r.sensing, r.orbit, r.area_km2, r.search, ST_AsEWKB(r.footprint));

-- renew_footprints: footprints of the granules and their areas, where they differ
UPDATE granule g SET footprint = r.footprint, area_km2 = r.area_km2
FROM reread r
WHERE g.id = r.id AND g.state = 'archived'
  AND (g.area_km2, ST_AsEWKB(g.footprint)) IS DISTINCT FROM (r.area_km2, ST_AsEWKB(r.footprint));

-- reprocess_changed: count what was written, in the transaction that writes it
UPDATE reprocess_batch SET changed = changed + %(changed)s WHERE request_id = %(request)s AND number = %(number)s;

-- reprocess_done: the slice is finished
UPDATE reprocess_batch SET done_at = now() WHERE request_id = %(request)s AND number = %(number)s;

-- reprocess_figures: what became of the request so far
SELECT r.id AS request, r.mode, r.files, r.bytes,
       (SELECT count(*) FROM reprocess_batch b WHERE b.request_id = r.id AND b.done_at IS NULL) AS unfinished,
       (SELECT coalesce(sum(changed), 0)::bigint FROM reprocess_batch b WHERE b.request_id = r.id) AS changed,
       (SELECT count(DISTINCT asset_id) FROM reprocess_problem p WHERE p.request_id = r.id) AS problems
FROM reprocess_request r WHERE r.id = %(request)s;

-- reprocess_found: the first problems of the request
SELECT DISTINCT ON (s.path) s.path, p.code, p.detail FROM reprocess_problem p JOIN asset s ON s.id = p.asset_id
WHERE p.request_id = %(request)s ORDER BY s.path, p.number LIMIT %(limit)s;

-- reprocess_finish: the request's verdict
UPDATE reprocess_request SET finished_at = now(), verdict = %(verdict)s, counts = %(counts)s::jsonb WHERE id = %(request)s;
