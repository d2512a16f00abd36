-- Master footprints: rows follow the granules. Every statement works on a set; repeating it changes nothing.

-- lock_footprints: one at a time moves footprints, so that two never both prefer a version of the same granule
SELECT pg_advisory_xact_lock(7011);

-- images_among: whether any version of these granules, or of those that these files hold, is an image, or stands back for one of them
SELECT true AS found FROM (
    SELECT unnest(%(granules)s::bigint[]) AS id
    UNION SELECT granule_id FROM granule_asset WHERE asset_id = ANY (%(assets)s::bigint[])) t
CROSS JOIN LATERAL (SELECT key FROM granule WHERE id = t.id OFFSET 0) g
WHERE EXISTS (SELECT FROM granule v WHERE v.key = g.key AND v.search ? 'image' OFFSET 0)
   OR EXISTS (SELECT FROM footprint_archive a WHERE a.keeper_id = t.id OFFSET 0) LIMIT 1;

-- create_footprint_scope: the granules in question and where they lie: these, those that these files hold, all versions of
-- them, and those that stand back for them
CREATE TEMP TABLE footprint_scope ON COMMIT DROP AS
WITH touched AS (
    SELECT unnest(%(granules)s::bigint[]) AS id
    UNION SELECT granule_id FROM granule_asset WHERE asset_id = ANY (%(assets)s::bigint[])
), affected AS (
    SELECT v.id FROM touched t CROSS JOIN LATERAL (SELECT key FROM granule WHERE id = t.id OFFSET 0) g
    CROSS JOIN LATERAL (SELECT id FROM granule WHERE key = g.key AND search ? 'image' OFFSET 0) v
    UNION SELECT a.granule_id FROM touched t
    CROSS JOIN LATERAL (SELECT granule_id FROM footprint_archive WHERE keeper_id = t.id AND granule_id IS NOT NULL OFFSET 0) a
)
SELECT p.granule_id AS id, p.country, p.zone_id FROM footprint_places(ARRAY(SELECT id FROM affected), %(radius_km)s) p;

-- weigh_footprint_scope: tell the planner how many they are; it would take twenty thousand for a handful
ANALYZE footprint_scope;

-- create_footprint_change: what their footprints should be, only where that differs from what they are
-- (What an evaluation chose is handed on to the older version that takes the place of one that left.)
CREATE TEMP TABLE footprint_change ON COMMIT DROP AS
WITH known AS MATERIALIZED (
    SELECT f.*, w.country, w.zone_id, m.fpuid AS master_fpuid, a.fpuid AS archive_fpuid, newest.id AS newest, chosen.keeper_id AS chosen_keeper,
           coalesce(m.fpuid, a.fpuid) AS fpuid, coalesce(m.status, a.status) AS status, coalesce(m.previewurl, a.previewurl) AS previewurl,
           coalesce(m.stereopair, a.stereopair) AS stereopair, coalesce(m.pairname, a.pairname) AS pairname,
           CASE WHEN f.state = 'archived' AND f.asset_state = 'archived' THEN
                     CASE WHEN newest.id <> f.granule_id THEN 'superseded' WHEN chosen.kept THEN chosen.reason END
                ELSE coalesce(chosen.reason, CASE f.state WHEN 'withdrawn' THEN 'withdrawn' END, f.removal, 'removed') END AS reason
    FROM footprint_scope w JOIN footprint_fresh f ON f.granule_id = w.id JOIN granule g ON g.id = w.id
    LEFT JOIN footprint_master m ON m.granule_id = w.id
    LEFT JOIN footprint_archive a ON a.granule_id = w.id
    LEFT JOIN LATERAL (SELECT n.id FROM granule n WHERE n.key = g.key AND n.state = 'archived'
                       ORDER BY n.version_rank DESC, n.created DESC NULLS LAST, n.id DESC LIMIT 1) newest ON true
    LEFT JOIN LATERAL (SELECT o.keeper_id, o.reason, EXISTS (SELECT FROM granule k WHERE k.id = o.keeper_id AND k.state = 'archived') AS kept
                       FROM footprint_archive o WHERE o.reason IN ('re-order', 're-delivery') AND o.granule_id =
                            CASE WHEN a.reason = 'superseded' AND newest.id = w.id THEN a.keeper_id ELSE w.id END) chosen ON true
    WHERE f.state <> 'stored' AND (f.state = 'archived' OR m.fpuid IS NOT NULL OR a.fpuid IS NOT NULL)
), wanted AS (
    SELECT k.fpuid, k.strip_id, k.scene_id, k.status, k.catalog_id, k.order_id, k.prod_code, k.country, k.spec_type, k.acq_time,
           k.cloudcover, k.cent_lat, k.cent_long, k.columns, k.rows, k.bits_pixel, k.file_fmt, k.off_nadir, k.sun_elev,
           k.prod_gsd, k.ref_height, k.xtrackva, regexp_replace(k.path, '^.*/', '') AS s_filename,
           CASE WHEN k.path LIKE '/%%' THEN k.path ELSE %(linux_root)s || k.path END AS s_filepath, k.sensor, k.bands,
           CASE WHEN k.browse LIKE '/%%' THEN k.browse ELSE %(linux_root)s || k.browse END AS previewjpg, k.previewurl,
           k.added_date, k.file_sz, k.avsunazim, k.avtargetaz, k.stereopair, k.pairname, k.acq_date, k.acq_year, k.prod_short,
           k.det_pitch, k.intrackva, k.acq_month, k.zone_id, k.source, k.shape, k.granule_id, k.asset_id, k.tdi, k.part, k.tile,
           k.generated, k.area_km2, windows_path(k.path, %(windows_root)s) AS p_filepath,
           CASE k.reason WHEN 'superseded' THEN k.newest ELSE coalesce(k.chosen_keeper, nullif(k.newest, k.granule_id)) END AS keeper_id,
           k.reason, k.master_fpuid, k.archive_fpuid
    FROM known k
)
SELECT w.* FROM wanted w
LEFT JOIN footprint_all x ON x.granule_id = w.granule_id AND x.preferred = (w.reason IS NULL)
WHERE CASE WHEN w.reason IS NULL THEN w.archive_fpuid ELSE w.master_fpuid END IS NOT NULL
   OR x.granule_id IS NULL
   OR (w.strip_id, w.scene_id, w.catalog_id, w.order_id, w.prod_code, w.country, w.spec_type, w.acq_time,
       w.cloudcover, w.cent_lat, w.cent_long, w.columns, w.rows, w.bits_pixel, w.file_fmt, w.off_nadir, w.sun_elev,
       w.prod_gsd, w.ref_height, w.xtrackva, w.s_filename, w.s_filepath, w.sensor, w.bands, w.previewjpg,
       w.added_date, w.file_sz, w.avsunazim, w.avtargetaz, w.acq_date, w.acq_year, w.prod_short, w.det_pitch,
       w.intrackva, w.acq_month, w.zone_id, w.source, w.shape, w.asset_id, w.tdi, w.part, w.tile, w.generated,
       w.area_km2, w.p_filepath, w.reason)
      IS DISTINCT FROM
      (x.strip_id, x.scene_id, x.catalog_id, x.order_id, x.prod_code, x.country, x.spec_type, x.acq_time,
       x.cloudcover, x.cent_lat, x.cent_long, x.columns, x.rows, x.bits_pixel, x.file_fmt, x.off_nadir, x.sun_elev,
       x.prod_gsd, x.ref_height, x.xtrackva, x.s_filename, x.s_filepath, x.sensor, x.bands, x.previewjpg,
       x.added_date, x.file_sz, x.avsunazim, x.avtargetaz, x.acq_date, x.acq_year, x.prod_short, x.det_pitch,
       x.intrackva, x.acq_month, x.zone_id, x.source, x.shape, x.asset_id, x.tdi, x.part, x.tile, x.generated,
       x.area_km2, x.p_filepath, x.reason)
   OR w.reason IS NOT NULL AND x.keeper_id IS DISTINCT FROM w.keeper_id;

-- weigh_footprint_change: likewise
ANALYZE footprint_change;

-- forget_preferred: rows that change, or that stand back from now on
DELETE FROM footprint_master m USING footprint_change c WHERE m.granule_id = c.granule_id;

-- forget_put_aside: rows that change, or that are preferred from now on
DELETE FROM footprint_archive a USING footprint_change c WHERE a.granule_id = c.granule_id;

-- prefer_footprints: rows as they should be; no evaluation has looked at them as they are now
INSERT INTO footprint_master (fpuid,
    strip_id, scene_id, status, catalog_id, order_id, prod_code, country, spec_type, acq_time, cloudcover, cent_lat,
    cent_long, columns, rows, bits_pixel, file_fmt, off_nadir, sun_elev, prod_gsd, ref_height, xtrackva, s_filename,
    s_filepath, sensor, bands, previewjpg, previewurl, added_date, file_sz, avsunazim, avtargetaz, stereopair,
    pairname, acq_date, acq_year, prod_short, det_pitch, intrackva, acq_month, zone_id, source, shape, granule_id,
    asset_id, tdi, part, tile, generated, area_km2, p_filepath)
SELECT coalesce(fpuid, nextval('footprint_fpuid')),
    strip_id, scene_id, 'unvalidated', catalog_id, order_id, prod_code, country, spec_type, acq_time, cloudcover, cent_lat,
    cent_long, columns, rows, bits_pixel, file_fmt, off_nadir, sun_elev, prod_gsd, ref_height, xtrackva, s_filename,
    s_filepath, sensor, bands, previewjpg, previewurl, added_date, file_sz, avsunazim, avtargetaz, stereopair,
    pairname, acq_date, acq_year, prod_short, det_pitch, intrackva, acq_month, zone_id, source, shape, granule_id,
    asset_id, tdi, part, tile, generated, area_km2, p_filepath
FROM footprint_change WHERE reason IS NULL ORDER BY granule_id;

-- put_footprints_aside: likewise, with the row that is preferred and why
INSERT INTO footprint_archive (fpuid,
    strip_id, scene_id, status, catalog_id, order_id, prod_code, country, spec_type, acq_time, cloudcover, cent_lat,
    cent_long, columns, rows, bits_pixel, file_fmt, off_nadir, sun_elev, prod_gsd, ref_height, xtrackva, s_filename,
    s_filepath, sensor, bands, previewjpg, previewurl, added_date, file_sz, avsunazim, avtargetaz, stereopair,
    pairname, acq_date, acq_year, prod_short, det_pitch, intrackva, acq_month, zone_id, source, shape, granule_id,
    asset_id, tdi, part, tile, generated, area_km2, p_filepath,
    keeper_id, reason)
SELECT coalesce(fpuid, nextval('footprint_fpuid')),
    strip_id, scene_id, 'unvalidated', catalog_id, order_id, prod_code, country, spec_type, acq_time, cloudcover, cent_lat,
    cent_long, columns, rows, bits_pixel, file_fmt, off_nadir, sun_elev, prod_gsd, ref_height, xtrackva, s_filename,
    s_filepath, sensor, bands, previewjpg, previewurl, added_date, file_sz, avsunazim, avtargetaz, stereopair,
    pairname, acq_date, acq_year, prod_short, det_pitch, intrackva, acq_month, zone_id, source, shape, granule_id,
    asset_id, tdi, part, tile, generated, area_km2, p_filepath,
    keeper_id, reason
FROM footprint_change WHERE reason IS NOT NULL ORDER BY granule_id;

-- pair_footprints: stereo partners of what changed and of what lies beside it: another image of the same satellite's pass
-- and bands that shows at least a tenth of it; of several the one that shows most; a broken footprint shows nothing
-- (Neighbours are looked up row by row: without statistics the planner would compare all rows of a satellite with all.)
WITH near AS MATERIALIZED (
    SELECT o.granule_id FROM footprint_change c
    CROSS JOIN LATERAL (SELECT m.granule_id FROM footprint_master m WHERE m.shape && c.shape AND m.sensor = c.sensor
                        AND m.acq_time BETWEEN c.acq_time - %(pass)s::interval AND c.acq_time + %(pass)s::interval OFFSET 0) o
    UNION SELECT m.granule_id FROM footprint_change c JOIN footprint_master m ON m.stereopair = c.catalog_id AND m.sensor = c.sensor
    UNION SELECT c.granule_id FROM footprint_change c WHERE c.reason IS NULL AND c.stereopair IS NOT NULL
), pair AS (
    SELECT DISTINCT ON (a.granule_id) a.granule_id, b.catalog_id AS partner,
           concat_ws('_', a.sensor, to_char(least(a.acq_time, b.acq_time) AT TIME ZONE 'UTC', 'YYYYMMDD'),
                     CASE WHEN (a.acq_time, a.catalog_id) < (b.acq_time, b.catalog_id) THEN a.catalog_id ELSE b.catalog_id END,
                     CASE WHEN (a.acq_time, a.catalog_id) < (b.acq_time, b.catalog_id) THEN b.catalog_id ELSE a.catalog_id END) AS name
    FROM near JOIN footprint_master a USING (granule_id)
    CROSS JOIN LATERAL (SELECT m.shape, m.acq_time, m.catalog_id FROM footprint_master m WHERE m.shape && a.shape
                        AND m.sensor = a.sensor AND m.spec_type = a.spec_type AND m.catalog_id <> a.catalog_id
                        AND m.acq_time BETWEEN a.acq_time - %(pass)s::interval AND a.acq_time + %(pass)s::interval OFFSET 0) b
    CROSS JOIN LATERAL (SELECT CASE WHEN ST_IsValid(a.shape) AND ST_IsValid(b.shape)
                                    THEN ST_Area(ST_Intersection(a.shape, b.shape)) END AS degrees) shown
    WHERE shown.degrees >= %(share)s * least(ST_Area(a.shape), ST_Area(b.shape))
    ORDER BY a.granule_id, shown.degrees DESC, b.catalog_id, b.acq_time
)
UPDATE footprint_master m SET stereopair = p.partner, pairname = p.name
FROM near n LEFT JOIN pair p USING (granule_id)
WHERE m.granule_id = n.granule_id AND (m.stereopair, m.pairname) IS DISTINCT FROM (p.partner, p.name);

-- drop_footprint_change: make room for the next change of the same transaction
DROP TABLE footprint_scope, footprint_change;

-- next_images: the next granules that are strip images, and those that still have a footprint although they are gone
SELECT id FROM granule WHERE id > %(after)s AND search ? 'image' AND state <> 'stored' ORDER BY id LIMIT %(limit)s;

-- places_known: whether there are boundaries to join with
SELECT EXISTS (SELECT FROM country) AS countries, EXISTS (SELECT FROM data_zone) AS zones;

-- lock_places: one at a time replaces boundaries
SELECT pg_advisory_xact_lock(7007);

-- forget_countries: they are replaced as a whole
DELETE FROM country;

-- fill_countries: those of the file
INSERT INTO country (name, iso_a3, boundary)
SELECT name, code, shape::geometry FROM unnest(%(names)s::text[], %(codes)s::text[], %(shapes)s::text[]) AS f (name, code, shape);

-- cut_countries: their pieces
INSERT INTO country_piece (name, piece) SELECT name, ST_Subdivide(boundary, 24)::geography FROM country ORDER BY name;

-- forget_zones: they are replaced as a whole
DELETE FROM data_zone;

-- fill_zones: those of the file
INSERT INTO data_zone (zone_id, name, boundary)
SELECT zone, name, shape::geometry FROM unnest(%(zones)s::integer[], %(names)s::text[], %(shapes)s::text[]) AS f (zone, name, shape);

-- fill_own_zones: UTM's sixty zones north and south of the equator up to 84 and 80 degrees, and the polar caps, numbered
-- like their coordinate systems (EPSG 32601 to 32660, 32701 to 32760, and one above each for the cap)
INSERT INTO data_zone (zone_id, name, boundary)
SELECT 32600 + n, n || 'N', ST_Multi(ST_MakeEnvelope(n * 6 - 186, 0, n * 6 - 180, 84, 4326)) FROM generate_series(1, 60) AS n
UNION ALL
SELECT 32700 + n, n || 'S', ST_Multi(ST_MakeEnvelope(n * 6 - 186, -80, n * 6 - 180, 0, 4326)) FROM generate_series(1, 60) AS n
UNION ALL
SELECT 32661, 'north pole', ST_Multi(ST_MakeEnvelope(-180, 84, 180, 90, 4326))
UNION ALL
SELECT 32761, 'south pole', ST_Multi(ST_MakeEnvelope(-180, -90, 180, -80, 4326));
