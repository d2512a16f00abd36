-- Reports of evaluations: what a run found, how that differs from the run before, and footprints for maps and GIS.

-- mfp_report_previous: the newest earlier run among those that looked at most of the same sensors
SELECT id, finished_at, sensors FROM (
    SELECT r.id, r.finished_at,
           ARRAY(SELECT s FROM jsonb_array_elements_text(r.params -> 'sensors') s WHERE s = ANY (%(sensors)s) ORDER BY s COLLATE "C") AS sensors
    FROM mfp_run r WHERE r.id < %(run)s AND r.finished_at IS NOT NULL ORDER BY r.id DESC LIMIT 100) earlier
WHERE sensors <> '{}' ORDER BY cardinality(sensors) DESC, id DESC LIMIT 1;

-- mfp_report_codes: findings by code and level, of this run and of the one before
SELECT code, level, count(*) FILTER (WHERE run_id = %(run)s) AS now, count(*) FILTER (WHERE run_id = %(previous)s) AS before
FROM mfp_finding WHERE run_id IN (%(run)s, %(previous)s) AND sensor = ANY (%(sensors)s)
GROUP BY code, level ORDER BY array_position(ARRAY['error', 'warning', 'info'], level), code;

-- mfp_report_turnover: files and images of which this run says something that the one before did not, and the other way round
SELECT code, level, count(*) FILTER (WHERE NOT earlier) AS fresh, count(*) FILTER (WHERE NOT later) AS gone FROM (
    SELECT code, level, bool_or(run_id = %(run)s) AS later, bool_or(run_id = %(previous)s) AS earlier
    FROM mfp_finding WHERE run_id IN (%(run)s, %(previous)s) AND sensor = ANY (%(sensors)s)
    GROUP BY sensor, code, level, key) f
GROUP BY code, level;

-- mfp_report_history: the newest runs that looked at all of these sensors, and what they found about them
SELECT r.id, r.finished_at, f.errors, f.warnings,
       (SELECT sum((r.counts -> 'sensors' -> s ->> 'rows')::bigint) FROM unnest(%(sensors)s) s)::bigint AS rows
FROM mfp_run r CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE level = 'error') AS errors, count(*) FILTER (WHERE level = 'warning') AS warnings
    FROM mfp_finding WHERE run_id = r.id AND sensor = ANY (%(sensors)s)) f
WHERE r.id <= %(run)s AND r.finished_at IS NOT NULL AND r.params -> 'sensors' @> to_jsonb(%(sensors)s)
ORDER BY r.id DESC LIMIT %(limit)s;

-- mfp_report_statistics: figures of a run and of the one before, by sensor and year
SELECT n.sensor, n.year, n.rows, n.area_km2, n.union_km2, n.cloud_free, b.rows AS rows_before, b.union_km2 AS union_before
FROM mfp_statistic n
LEFT JOIN mfp_statistic b ON b.run_id = %(previous)s AND b.sensor = n.sensor AND b.year IS NOT DISTINCT FROM n.year
WHERE n.run_id = %(run)s ORDER BY n.sensor COLLATE "C", n.year;

-- mfp_report_findings: all findings of a run, the gravest first, with their places
SELECT level, code, sensor, key, reason, hint, ST_X(place) AS longitude, ST_Y(place) AS latitude, ST_AsBinary(place) AS wkb
FROM mfp_finding WHERE run_id = %(run)s
ORDER BY array_position(ARRAY['error', 'warning', 'info'], level), code, sensor COLLATE "C", key COLLATE "C", reason COLLATE "C";

-- mfp_report_first_findings: the first of each code
SELECT level, code, sensor, key, reason, hint, longitude, latitude FROM (
    SELECT level, code, sensor, key, reason, hint, ST_X(place) AS longitude, ST_Y(place) AS latitude,
           row_number() OVER (PARTITION BY level, code ORDER BY sensor COLLATE "C", key COLLATE "C", reason COLLATE "C") AS place
    FROM mfp_finding WHERE run_id = %(run)s) f
WHERE place <= %(each)s ORDER BY array_position(ARRAY['error', 'warning', 'info'], level), code, place;

-- mfp_report_marks: findings by place, those of one cell of so many degrees together, in their middle
SELECT level, round(avg(ST_X(place))::numeric, 4)::float8 AS longitude, round(avg(ST_Y(place))::numeric, 4)::float8 AS latitude,
       count(*) AS findings, array_agg(DISTINCT code) AS codes, min(key COLLATE "C") AS key
FROM mfp_finding WHERE run_id = %(run)s AND place IS NOT NULL
GROUP BY level, floor(ST_X(place) / %(cell)s), floor(ST_Y(place) / %(cell)s)
ORDER BY array_position(ARRAY['error', 'warning', 'info'], level), findings DESC, key LIMIT %(limit)s;

-- mfp_report_placed: findings of a run that have a place
SELECT count(*) AS findings FROM mfp_finding WHERE run_id = %(run)s AND place IS NOT NULL;

-- mfp_report_cells: preferred footprints whose centre lies in each cell of so many degrees
SELECT column_ AS "column", row_ AS "row", count(*) AS rows FROM (
    SELECT floor((least(coalesce(cent_long, (ST_XMin(shape) + ST_XMax(shape)) / 2), 179.999999) + 180) / %(cell)s)::integer AS column_,
           floor((least(coalesce(cent_lat, (ST_YMin(shape) + ST_YMax(shape)) / 2), 89.999999) + 90) / %(cell)s)::integer AS row_
    FROM footprint_master
    WHERE sensor = ANY (%(sensors)s) AND coalesce(cent_long, (ST_XMin(shape) + ST_XMax(shape)) / 2) BETWEEN -180 AND 180
      AND coalesce(cent_lat, (ST_YMin(shape) + ST_YMax(shape)) / 2) BETWEEN -90 AND 90) c
GROUP BY 1, 2 ORDER BY 1, 2;

-- mfp_report_outlines: sound outlines of footprints that something was found about, then of others
SELECT ST_AsBinary(f.shape) AS wkb, coalesce(d.level, 'none') AS level FROM footprint_all f
LEFT JOIN (SELECT granule_id, (ARRAY['error', 'warning', 'info'])[min(array_position(ARRAY['error', 'warning', 'info'], level))] AS level
           FROM mfp_finding WHERE run_id = %(run)s AND granule_id IS NOT NULL GROUP BY granule_id) d USING (granule_id)
WHERE f.sensor = ANY (%(sensors)s) AND (d.level IS NOT NULL OR %(everything)s AND f.preferred)
  AND ST_XMin(f.shape) >= -180 AND ST_XMax(f.shape) <= 180 AND ST_YMin(f.shape) >= -90 AND ST_YMax(f.shape) <= 90 AND ST_IsValid(f.shape)
ORDER BY array_position(ARRAY['error', 'warning', 'info'], d.level), f.fpuid LIMIT %(limit)s;

-- mfp_report_land: countries in few points
SELECT ST_AsBinary(ST_Multi(ST_CollectionExtract(ST_MakeValid(ST_SimplifyPreserveTopology(boundary, 0.02)), 3))) AS wkb FROM country ORDER BY name;

-- mfp_report_aside: images that stand aside for another delivery of the same scene, the newest first
SELECT coalesce(a.scene_id, g.key) AS image, coalesce(k.scene_id, kg.key) AS keeper, a.sensor, a.reason, a.moved_at, count(*) OVER () AS total
FROM footprint_archive a JOIN granule g ON g.id = a.granule_id
LEFT JOIN footprint_master k ON k.granule_id = a.keeper_id LEFT JOIN granule kg ON kg.id = a.keeper_id
WHERE a.sensor = ANY (%(sensors)s) AND a.reason IN ('re-order', 're-delivery')
ORDER BY a.moved_at DESC, a.fpuid DESC LIMIT %(limit)s;

-- mfp_report_columns: what is known of a footprint, and as what
SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute
WHERE attrelid = 'footprint_all'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'shape' ORDER BY attnum;

-- mfp_report_footprints: all footprints of these sensors, neighbours together (PostGIS sorts shapes along a Hilbert curve)
SELECT f.*, ST_AsBinary(f.shape) AS wkb, ST_XMin(f.shape) AS west, ST_YMin(f.shape) AS south, ST_XMax(f.shape) AS east, ST_YMax(f.shape) AS north
FROM footprint_all f WHERE f.sensor = ANY (%(sensors)s) ORDER BY f.shape, f.fpuid;
