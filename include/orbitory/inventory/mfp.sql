-- Evaluation of the master footprints. Checks write what they find into a table of the session; results are kept at the end.

-- mfp_sensors: what there is to evaluate
SELECT sensor, sum(rows)::bigint AS rows FROM (
    SELECT sensor, count(*) AS rows FROM footprint_master GROUP BY sensor
    UNION ALL SELECT DISTINCT sensor, 0 FROM footprint_archive WHERE reason IN ('re-order', 're-delivery')
    UNION ALL SELECT DISTINCT sensor, 0 FROM granule WHERE state = 'archived' AND search ? 'image') s
GROUP BY sensor ORDER BY sensor COLLATE "C";

-- mfp_begin: open a run
INSERT INTO mfp_run (actor, params) VALUES (%(actor)s, %(params)s::jsonb) RETURNING id;

-- mfp_find_run: the run of this actor, if it was begun
SELECT id, params, verdict, extract(epoch FROM coalesce(finished_at, now()) - started_at)::float8 AS seconds, counts, coverage
FROM mfp_run WHERE actor = %(actor)s ORDER BY id DESC LIMIT 1;

-- mfp_run_of: one run, or the newest finished one
SELECT id, actor, started_at, finished_at, params, verdict, counts, coverage, encode(digest, 'hex') AS digest FROM mfp_run
WHERE CASE WHEN %(run)s::bigint IS NULL THEN finished_at IS NOT NULL ELSE id = %(run)s END ORDER BY id DESC LIMIT 1;

-- mfp_history: the newest runs
SELECT id, actor, started_at, finished_at, verdict, counts, encode(digest, 'hex') AS digest FROM mfp_run ORDER BY id DESC LIMIT %(limit)s;

-- mfp_drop_found: what an earlier evaluation of this session has left
DROP TABLE IF EXISTS mfp_found;

-- mfp_create_found: what the checks of this sensor find, until it is kept
CREATE TEMP TABLE mfp_found (fpuid bigint, granule_id bigint, key text, code text NOT NULL, level text NOT NULL, reason text NOT NULL,
                             hint text NOT NULL);

-- mfp_copy_found: load findings made outside of the database
COPY mfp_found (fpuid, granule_id, key, code, level, reason, hint) FROM STDIN;

-- mfp_analyze_found: so that what follows is planned for as many as there are
ANALYZE mfp_found;

-- mfp_snapshot: this moment, as the database knows it. Who takes it holds the lock of footprints: a snapshot does not list
-- the parts of transactions (savepoints) that are under way, only the transactions
SELECT pg_current_snapshot()::text AS snapshot;

-- mfp_drop_pairs: what an earlier evaluation of this session has left
DROP TABLE IF EXISTS mfp_pair;

-- mfp_create_pairs: pairs of rows that may be one image under two orders or names, by the share of the smaller that both
-- show (DOMAIN 4.5, class 3), with the share of each that the other one shows; parts and tiles of one order never are
CREATE TEMP TABLE mfp_pair AS
WITH known AS MATERIALIZED (
    SELECT f.granule_id, f.catalog_id, f.prod_code, left(f.order_id, 15) AS ordered, coalesce(f.part, '') AS part,
           coalesce(f.tile, '') AS tile, f.scene_id, f.acq_time
    FROM footprint_all f
    WHERE f.sensor = %(sensor)s AND (%(catalog_id)s::text IS NULL OR f.catalog_id = %(catalog_id)s) AND f.catalog_id IS NOT NULL AND f.prod_code IS NOT NULL AND f.acq_time IS NOT NULL
      AND f.shape IS NOT NULL AND f.granule_id IS NOT NULL AND (f.preferred OR f.reason IN ('re-order', 're-delivery'))
), several AS (
    SELECT catalog_id, prod_code FROM known GROUP BY catalog_id, prod_code
    HAVING count(*) > 1 AND (min(ordered) <> max(ordered) OR count(ordered) < count(*) OR count(*) > count(DISTINCT (part, tile)))
), pair AS MATERIALIZED (
    SELECT DISTINCT a.granule_id AS a, b.granule_id AS b
    FROM several JOIN known a USING (catalog_id, prod_code) JOIN known b USING (catalog_id, prod_code)
    WHERE a.granule_id < b.granule_id AND abs(extract(epoch FROM a.acq_time - b.acq_time)) <= 1
      AND a.scene_id IS DISTINCT FROM b.scene_id
      AND (a.ordered IS DISTINCT FROM b.ordered OR (a.part, a.tile) = (b.part, b.tile))
), held AS (
    SELECT p.a, p.b FROM pair p JOIN granule ga ON ga.id = p.a JOIN granule gb ON gb.id = p.b
    WHERE ga.state = 'archived' AND gb.state = 'archived'
      AND NOT EXISTS (SELECT FROM granule n WHERE n.id IN (ga.superseded_by, gb.superseded_by) AND n.state = 'archived')
)
SELECT h.a, h.b, o.both / o.area_a AS share_of_a, o.both / o.area_b AS share_of_b FROM held h
JOIN footprint_all fa ON fa.granule_id = h.a JOIN footprint_all fb ON fb.granule_id = h.b
CROSS JOIN LATERAL (
    SELECT ST_Area(fa.shape::geography, false) AS area_a, ST_Area(fb.shape::geography, false) AS area_b,
           ST_Area(ST_Intersection(fa.shape, fb.shape)::geography, false) AS both
    WHERE fa.shape && fb.shape AND ST_IsValid(fa.shape) AND ST_IsValid(fb.shape)) o
WHERE o.area_a > 0 AND o.area_b > 0 AND o.both >= %(overlap)s * least(o.area_a, o.area_b);

-- mfp_candidates: rows of all pairs, and rows that were put aside and have no rival any more
SELECT f.fpuid, f.granule_id, f.preferred, f.keeper_id, f.reason, f.scene_id, f.sensor, f.prod_code, f.order_id, f.cloudcover,
       f.sun_elev, f.off_nadir, f.tdi, f.acq_time, f.generated, f.area_km2,
       g.key || CASE WHEN g.version_rank > 0 THEN ' ' || g.version ELSE '' END AS key
FROM footprint_all f JOIN granule g ON g.id = f.granule_id
WHERE f.sensor = %(sensor)s AND (f.preferred OR f.reason IN ('re-order', 're-delivery')) AND g.state = 'archived'
  AND (%(catalog_id)s::text IS NULL OR f.catalog_id = %(catalog_id)s)
  AND (NOT f.preferred OR f.granule_id IN (SELECT a FROM mfp_pair UNION SELECT b FROM mfp_pair))
ORDER BY f.granule_id;

-- mfp_pairs: which of them show the same scene
SELECT a, b, share_of_a, share_of_b FROM mfp_pair;

-- mfp_unchanged: of these, held images whose rows are as they were at a moment. The number of the transaction that wrote a row
-- lacks its upper half: it is taken as the last one of that number. So a row of ages ago may count as changed, never the reverse.
SELECT f.granule_id FROM (
    SELECT granule_id, xmin FROM footprint_master WHERE granule_id = ANY (%(ids)s::bigint[])
    UNION ALL SELECT granule_id, xmin FROM footprint_archive WHERE granule_id = ANY (%(ids)s::bigint[])) f
JOIN granule g ON g.id = f.granule_id AND g.state = 'archived'
CROSS JOIN LATERAL (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::numeric AS next) n
WHERE pg_visible_in_snapshot((n.next - mod(n.next - f.xmin::text::numeric, 4294967296))::text::xid8, %(snapshot)s::pg_snapshot);

-- mfp_put_aside: rows that are preferred no longer, with their keepers and why
WITH lost AS (SELECT * FROM unnest(%(ids)s::bigint[], %(keepers)s::bigint[], %(reasons)s::text[]) AS l (id, keeper_id, reason)),
gone AS (
    DELETE FROM footprint_master m USING lost l
    WHERE m.granule_id = l.id AND NOT EXISTS (SELECT FROM footprint_archive a WHERE a.granule_id = l.id) RETURNING m.*
)
INSERT INTO footprint_archive SELECT g.*, l.keeper_id, l.reason, now() FROM gone g JOIN lost l ON l.id = g.granule_id;

-- mfp_bring_back: rows that are preferred again, or again
WITH back AS (
    DELETE FROM footprint_archive a WHERE a.granule_id = ANY (%(ids)s::bigint[]) AND a.reason IN ('re-order', 're-delivery')
       AND NOT EXISTS (SELECT FROM footprint_master m WHERE m.granule_id = a.granule_id) RETURNING a.*
)
INSERT INTO footprint_master (fpuid,
    strip_id, scene_id, status, catalog_id, order_id, prod_code, country, spec_type, acq_time, cloudcover, cent_lat,
    cent_long, columns, rows, bits_pixel, file_fmt, off_nadir, sun_elev, prod_gsd, ref_height, xtrackva, s_filename,
    s_filepath, sensor, bands, previewjpg, previewurl, added_date, file_sz, avsunazim, avtargetaz, stereopair,
    pairname, acq_date, acq_year, prod_short, det_pitch, intrackva, acq_month, zone_id, source, shape, granule_id,
    asset_id, tdi, part, tile, generated, area_km2, p_filepath)
SELECT fpuid,
    strip_id, scene_id, status, catalog_id, order_id, prod_code, country, spec_type, acq_time, cloudcover, cent_lat,
    cent_long, columns, rows, bits_pixel, file_fmt, off_nadir, sun_elev, prod_gsd, ref_height, xtrackva, s_filename,
    s_filepath, sensor, bands, previewjpg, previewurl, added_date, file_sz, avsunazim, avtargetaz, stereopair,
    pairname, acq_date, acq_year, prod_short, det_pitch, intrackva, acq_month, zone_id, source, shape, granule_id,
    asset_id, tdi, part, tile, generated, area_km2, p_filepath FROM back;

-- mfp_change_keepers: rows that stay aside, but for another row
UPDATE footprint_archive a SET keeper_id = l.keeper_id, reason = l.reason
FROM unnest(%(ids)s::bigint[], %(keepers)s::bigint[], %(reasons)s::text[]) AS l (id, keeper_id, reason)
WHERE a.granule_id = l.id AND (a.keeper_id, a.reason) IS DISTINCT FROM (l.keeper_id, l.reason);

-- mfp_folders: folders below which the files of a sensor stand: up to the one that is called like it, else their own
SELECT DISTINCT coalesce(substring(s.path FROM '^((?:[^/]+/)*?' || %(sensor)s || ')/'), regexp_replace(s.path, '/?[^/]*$', '')) AS folder
FROM footprint_all f JOIN asset s ON s.id = f.asset_id
WHERE f.sensor = %(sensor)s AND s.path NOT LIKE '/%%' AND s.state <> 'deleted' ORDER BY 1;

-- mfp_assets_below: the next files that should stand below a folder of storage, in byte order
SELECT s.id, s.path, s.state, s.size, s.role FROM asset s
WHERE s.path > %(after)s AND s.path < %(end)s AND s.state <> 'deleted' ORDER BY s.path LIMIT %(limit)s;

-- mfp_assets_in_place: of the next files that were registered where they stand, those of a sensor, and the last one of all;
-- a page of paths is taken first and then asked for its sensor: a join of all would be made and sorted anew for each page
WITH page AS MATERIALIZED (
    SELECT id, path, state, size, role FROM asset
    WHERE state = 'archived' AND in_place AND path > %(after)s AND path < '0' ORDER BY path LIMIT %(limit)s
)
SELECT p.id, p.path, p.state, p.size, p.role, f.ours
FROM page p
CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM granule_asset l JOIN granule g ON g.id = l.granule_id WHERE l.asset_id = p.id
                                   AND g.sensor = %(sensor)s AND g.search ? 'image' OFFSET 0) AS ours) f
WHERE f.ours OR p.path = (SELECT max(path) FROM page) ORDER BY p.path;

-- mfp_asset_at: what should stand under this path now
SELECT id, path, state, size, role FROM asset WHERE path = %(path)s AND state <> 'deleted';

-- mfp_rows_of_assets: footprints of images that these files hold or belong to; the first of several
SELECT DISTINCT ON (l.asset_id) l.asset_id, f.fpuid, f.granule_id, f.asset_id = l.asset_id AS image
FROM granule_asset l JOIN footprint_all f ON f.granule_id = l.granule_id
WHERE l.asset_id = ANY (%(assets)s) AND f.sensor = %(sensor)s AND (f.preferred OR f.reason IN ('re-order', 're-delivery'))
ORDER BY l.asset_id, f.preferred DESC, f.asset_id = l.asset_id DESC, f.fpuid;

-- mfp_sample: files whose bytes were looked at longest ago
SELECT s.id, s.path, s.size, s.digest FROM footprint_master m JOIN asset s ON s.id = m.asset_id
WHERE m.sensor = %(sensor)s AND s.state = 'archived' ORDER BY s.fixity_at, s.id LIMIT %(limit)s;

-- mfp_sound: their bytes are what they were
UPDATE asset SET fixity_at = now() WHERE id = ANY (%(assets)s) AND state = 'archived';

-- mfp_shapes: sound footprints by year, for the union of their areas
SELECT m.acq_year AS year, ST_AsBinary(m.shape) AS shape FROM footprint_master m
WHERE m.sensor = %(sensor)s AND m.shape IS NOT NULL
  AND NOT EXISTS (SELECT FROM mfp_found f WHERE f.fpuid = m.fpuid AND f.code IN ('E05', 'E10'))
ORDER BY m.acq_year;

-- mfp_years: rows, area and cloud-free share by year; an image of unknown cloud counts in no share
SELECT acq_year AS year, count(*) AS rows, coalesce(sum(area_km2), 0) AS area_km2,
       sum(area_km2 * (1 - cloudcover)) FILTER (WHERE cloudcover BETWEEN 0 AND 1)
       / nullif(sum(area_km2) FILTER (WHERE cloudcover BETWEEN 0 AND 1), 0) AS cloud_free
FROM (SELECT acq_year, cloudcover, CASE WHEN area_km2 BETWEEN 0 AND 1e6 THEN area_km2 END AS area_km2
      FROM footprint_master WHERE sensor = %(sensor)s) m
GROUP BY acq_year ORDER BY acq_year;

-- mfp_forget_findings: a repeated evaluation replaces what it found
DELETE FROM mfp_finding WHERE run_id = %(run)s AND sensor = %(sensor)s;

-- mfp_forget_statistics: and its figures
DELETE FROM mfp_statistic WHERE run_id = %(run)s AND sensor = %(sensor)s;

-- mfp_keep_findings: keep what was found, with the key and the place of each row
INSERT INTO mfp_finding (run_id, granule_id, key, sensor, code, level, reason, hint, place)
SELECT %(run)s, g.id, coalesce(f.key, g.key, r.scene_id, r.s_filename, 'fpuid ' || f.fpuid), %(sensor)s, f.code, f.level, f.reason, f.hint,
       CASE WHEN r.cent_lat BETWEEN -90 AND 90 AND r.cent_long BETWEEN -180 AND 180
            THEN ST_SetSRID(ST_MakePoint(r.cent_long, r.cent_lat), 4326)
            WHEN ST_XMin(r.shape) BETWEEN -180 AND 180 AND ST_YMin(r.shape) BETWEEN -90 AND 90
            THEN ST_SetSRID(ST_MakePoint(ST_XMin(r.shape), ST_YMin(r.shape)), 4326) END
FROM mfp_found f
LEFT JOIN LATERAL (SELECT a.scene_id, a.s_filename, a.cent_lat, a.cent_long, a.shape FROM footprint_all a
                   WHERE a.fpuid = f.fpuid ORDER BY a.preferred DESC LIMIT 1) r ON true
LEFT JOIN granule g ON g.id = f.granule_id;

-- mfp_keep_statistic: keep the figures of one year
INSERT INTO mfp_statistic (run_id, sensor, year, rows, area_km2, union_km2, cloud_free)
VALUES (%(run)s, %(sensor)s, %(year)s, %(rows)s, %(area_km2)s, %(union_km2)s, %(cloud_free)s);

-- mfp_judgements: rows of which this evaluation thinks otherwise than they say
SELECT m.fpuid, w.fpuid IS NOT NULL AS faulty FROM footprint_master m
LEFT JOIN (SELECT DISTINCT fpuid FROM mfp_found WHERE level = 'error') w USING (fpuid)
WHERE m.sensor = %(sensor)s AND m.status <> CASE WHEN w.fpuid IS NULL THEN 'validated' ELSE 'faulty' END
ORDER BY m.fpuid;

-- mfp_judge: write it down, beside rows that are as they were when they were checked (see mfp_unchanged); others are the next one's
UPDATE footprint_master m SET status = %(status)s
FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::numeric AS next) n
WHERE m.fpuid = ANY (%(fpuids)s)
  AND pg_visible_in_snapshot((n.next - mod(n.next - m.xmin::text::numeric, 4294967296))::text::xid8, %(snapshot)s::pg_snapshot);

-- mfp_forget_sensor: a part that is repeated counts only when it comes to its end again, and the run with it
UPDATE mfp_run SET counts = counts #- ARRAY['sensors', %(sensor)s], coverage = coverage #- ARRAY['sensors', %(sensor)s],
    verdict = NULL, finished_at = NULL
WHERE id = %(run)s;

-- mfp_note_sensor: figures of one sensor, beside those of the others
UPDATE mfp_run SET counts = jsonb_set(coalesce(counts, '{"sensors": {}}'), ARRAY['sensors', %(sensor)s], %(counts)s::jsonb),
    coverage = jsonb_set(coalesce(coverage, '{"sensors": {}}'), ARRAY['sensors', %(sensor)s], %(coverage)s::jsonb)
WHERE id = %(run)s;

-- mfp_totals: findings of a run by code and level
SELECT code, level, count(*) AS findings FROM mfp_finding WHERE run_id = %(run)s GROUP BY code, level ORDER BY code, level;

-- mfp_findings: findings of a run, the gravest first
SELECT code, level, key, sensor, reason, hint FROM mfp_finding WHERE run_id = %(run)s
ORDER BY level, code, sensor COLLATE "C", key COLLATE "C", reason COLLATE "C";

-- mfp_first_findings: the first of them
SELECT code, level, key, sensor, reason, hint FROM mfp_finding WHERE run_id = %(run)s AND level <> 'info'
ORDER BY level, code, sensor COLLATE "C", key COLLATE "C", reason COLLATE "C" LIMIT %(limit)s;

-- mfp_digest_findings: what was found, without what depends on which files or rows a run happened to look at
SELECT concat_ws(E'\t', sensor, code, level, key, reason) AS line FROM mfp_finding
WHERE run_id = %(run)s AND code NOT IN ('E12', 'E13') ORDER BY 1;

-- mfp_digest_choices: who stands aside for whom
SELECT concat_ws(E'\t', a.sensor, g.key, g.version, a.reason, k.key) AS line
FROM footprint_archive a JOIN granule g ON g.id = a.granule_id LEFT JOIN granule k ON k.id = a.keeper_id
WHERE a.sensor = ANY (%(sensors)s) AND a.reason IN ('re-order', 're-delivery') AND g.state = 'archived' ORDER BY 1;

-- mfp_digest_statistics: the figures, as far as arithmetic repeats itself
SELECT concat_ws(E'\t', sensor, coalesce(year::text, ''), rows, round(area_km2::numeric, 3), round(coalesce(union_km2, 0)::numeric, 3),
                 round(coalesce(cloud_free, -1)::numeric, 6)) AS line
FROM mfp_statistic WHERE run_id = %(run)s ORDER BY 1;

-- mfp_finish: the run's verdict
UPDATE mfp_run SET finished_at = now(), verdict = %(verdict)s, counts = %(counts)s::jsonb, coverage = %(coverage)s::jsonb, digest = %(digest)s
WHERE id = %(run)s;

-- mfp_of_catalog: every footprint of a catalog id, preferred or not; ids of letters and digits are written in either case
SELECT f.fpuid, f.granule_id, f.preferred, f.keeper_id, f.reason, f.scene_id, f.sensor, f.catalog_id, f.prod_code, f.order_id,
       f.cloudcover, f.sun_elev, f.off_nadir, f.tdi, f.acq_time, f.generated, f.area_km2, f.part, f.tile, f.status, f.s_filepath, f.p_filepath,
       g.key || CASE WHEN g.version_rank > 0 THEN ' ' || g.version ELSE '' END AS key, g.state
FROM footprint_all f JOIN granule g ON g.id = f.granule_id
WHERE f.catalog_id IN (%(catalog_id)s::text, upper(%(catalog_id)s::text), lower(%(catalog_id)s::text)) ORDER BY f.sensor, f.prod_code, f.acq_time, f.order_id, f.scene_id, f.granule_id;

-- mfp_aside: images that stand aside for another order of them, the first by name
SELECT g.key, k.key AS keeper, a.catalog_id, count(*) OVER () AS aside
FROM footprint_archive a JOIN granule g ON g.id = a.granule_id AND g.state = 'archived' JOIN granule k ON k.id = a.keeper_id
WHERE a.reason IN ('re-order', 're-delivery') ORDER BY g.key COLLATE "C" LIMIT %(limit)s;
