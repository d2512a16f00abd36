-- Checks of footprints in the master: each writes what it finds into the session's table mfp_found, a set at a time.

-- mfp_check_e01: rows that stand for no file
INSERT INTO mfp_found
SELECT m.fpuid, m.granule_id, NULL, 'E01', 'error',
       CASE WHEN g.id IS NULL THEN 'the row belongs to no granule'
            WHEN g.state <> 'archived' THEN 'its granule is ' || g.state
            WHEN s.id IS NULL THEN 'the row belongs to no file'
            ELSE 'its file is ' || s.state || coalesce(': ' || s.removal, '') END, 'run `orbitory audit`'
FROM footprint_master m LEFT JOIN granule g ON g.id = m.granule_id LEFT JOIN asset s ON s.id = m.asset_id
WHERE m.sensor = %(sensor)s AND (g.id IS NULL OR g.state <> 'archived' OR s.id IS NULL OR s.state <> 'archived');

-- mfp_check_missing: images that are held in their newest version and have no footprint where one belongs; of a sensor that
-- has none at all (an archive from before there were footprints) one finding
INSERT INTO mfp_found
WITH missing AS MATERIALIZED (
    SELECT g.id, a.reason FROM granule g
    LEFT JOIN footprint_master m ON m.granule_id = g.id LEFT JOIN footprint_archive a ON a.granule_id = g.id
    WHERE g.sensor = %(sensor)s AND g.state = 'archived' AND g.search ? 'image' AND m.granule_id IS NULL
      AND NOT (a.reason IS NOT NULL AND (
          a.reason IN ('re-order', 're-delivery') AND EXISTS (SELECT FROM granule k JOIN granule v ON v.key = k.key
                                                                  JOIN footprint_master x ON x.granule_id = v.id WHERE k.id = a.keeper_id)
          OR EXISTS (SELECT FROM granule n WHERE n.key = g.key AND n.id <> g.id AND n.state = 'archived')))
      AND EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
                  WHERE l.granule_id = g.id AND s.role = 'data' AND s.state = 'archived')
), known AS (
    SELECT EXISTS (SELECT FROM footprint_all WHERE sensor = %(sensor)s) AS any_row
)
SELECT NULL::bigint, id, NULL::text, 'E01', 'error',
       concat('the image is held, but it has no footprint in the master', ': it is put aside (' || reason || ') for none that is there'),
       'make the rows again: `orbitory mfp rows`'
FROM missing, known WHERE any_row
UNION ALL
SELECT NULL, NULL, %(sensor)s, 'E01', 'error', format('%%s images are held, and none of them has a footprint', count(*)),
       'make the rows: `orbitory mfp rows`'
FROM missing, known WHERE NOT any_row HAVING count(*) > 0;

-- mfp_check_e02: rows whose paths are not those of their file, or have no counterpart on Windows
INSERT INTO mfp_found
SELECT m.fpuid, m.granule_id, NULL, 'E02', 'error',
       CASE WHEN m.s_filepath <> p.path THEN format('s_filepath is %%s, its file stands at %%s', m.s_filepath, p.path)
            WHEN m.s_filename <> p.name THEN format('s_filename is %%s, its file is called %%s', m.s_filename, p.name)
            WHEN m.previewjpg NOT LIKE '/%%' THEN format('previewjpg is %%s, which is no whole path', m.previewjpg)
            WHEN m.p_filepath IS DISTINCT FROM p.windows
                 THEN format('p_filepath is %%s, for Windows its file stands at %%s', coalesce(m.p_filepath, 'empty'), coalesce(p.windows, 'no path'))
            ELSE format('Windows cannot hold the name of %%s', s.path) END,
       'linux_root and windows_root must be the roots that the rows were written with'
FROM footprint_master m JOIN asset s ON s.id = m.asset_id
CROSS JOIN LATERAL (SELECT CASE WHEN s.path LIKE '/%%' THEN s.path ELSE %(linux_root)s || s.path END AS path,
                           regexp_replace(s.path, '^.*/', '') AS name, windows_path(s.path, %(windows_root)s) AS windows) p
WHERE m.sensor = %(sensor)s
  AND (m.s_filepath <> p.path OR m.s_filename <> p.name OR m.previewjpg NOT LIKE '/%%'
       OR m.p_filepath IS DISTINCT FROM p.windows OR s.path NOT LIKE '/%%' AND p.windows IS NULL);

-- mfp_check_e03: rows that lack what they must tell, or tell a value that is none
INSERT INTO mfp_found
SELECT m.fpuid, m.granule_id, NULL, 'E03', CASE WHEN cardinality(w.needed) > 0 THEN 'error' ELSE 'warning' END,
       concat_ws('; ', 'not told: ' || nullif(array_to_string(w.needed || w.missing, ', '), ''),
                 'no such value: ' || nullif(array_to_string(w.wrong, ', '), '')),
       'read its metadata again: `orbitory reprocess`'
FROM footprint_master m
CROSS JOIN LATERAL (
    SELECT array_remove(ARRAY[CASE WHEN coalesce(m.scene_id, '') = '' THEN 'scene_id' END,
                              CASE WHEN coalesce(m.catalog_id, '') = '' THEN 'catalog_id' END,
                              CASE WHEN m.acq_time IS NULL THEN 'acq_time' END,
                              CASE WHEN coalesce(m.s_filename, '') = '' THEN 's_filename' END,
                              CASE WHEN coalesce(m.s_filepath, '') = '' THEN 's_filepath' END], NULL) AS needed,
           array_remove(ARRAY[CASE WHEN m.prod_code IS NULL AND m.sensor <> 'IK01' THEN 'prod_code' END,
                              CASE WHEN m.spec_type IS NULL THEN 'spec_type' END,
                              CASE WHEN m.sun_elev IS NULL THEN 'sun_elev' END,
                              CASE WHEN m.off_nadir IS NULL THEN 'off_nadir' END,
                              CASE WHEN m.prod_gsd IS NULL THEN 'prod_gsd' END,
                              CASE WHEN m.columns IS NULL THEN 'columns' END,
                              CASE WHEN m.rows IS NULL THEN 'rows' END,
                              CASE WHEN m.bits_pixel IS NULL THEN 'bits_pixel' END], NULL) AS missing,
           array_remove(ARRAY[CASE WHEN m.cloudcover NOT BETWEEN 0 AND 1 THEN 'cloudcover ' || m.cloudcover END,
                              CASE WHEN m.sun_elev NOT BETWEEN -90 AND 90 THEN 'sun_elev ' || m.sun_elev END,
                              CASE WHEN m.off_nadir NOT BETWEEN -90 AND 90 THEN 'off_nadir ' || m.off_nadir END,
                              CASE WHEN m.prod_gsd NOT BETWEEN 0.01 AND 1000 THEN 'prod_gsd ' || m.prod_gsd END,
                              CASE WHEN m.cent_lat NOT BETWEEN -90 AND 90 THEN 'cent_lat ' || m.cent_lat END,
                              CASE WHEN m.cent_long NOT BETWEEN -180 AND 180 THEN 'cent_long ' || m.cent_long END,
                              CASE WHEN m.columns < 1 THEN 'columns ' || m.columns END,
                              CASE WHEN m.rows < 1 THEN 'rows ' || m.rows END,
                              CASE WHEN m.bits_pixel NOT BETWEEN 1 AND 128 THEN 'bits_pixel ' || m.bits_pixel END], NULL) AS wrong
) w
WHERE m.sensor = %(sensor)s
  AND (m.scene_id IS NULL OR m.scene_id = '' OR m.catalog_id IS NULL OR m.catalog_id = '' OR m.acq_time IS NULL
       OR m.s_filename IS NULL OR m.s_filename = '' OR m.s_filepath IS NULL OR m.s_filepath = ''
       OR m.prod_code IS NULL AND m.sensor <> 'IK01' OR m.spec_type IS NULL OR m.sun_elev IS NULL OR m.off_nadir IS NULL
       OR m.prod_gsd IS NULL OR m.columns IS NULL OR m.rows IS NULL OR m.bits_pixel IS NULL
       OR m.cloudcover NOT BETWEEN 0 AND 1 OR m.sun_elev NOT BETWEEN -90 AND 90 OR m.off_nadir NOT BETWEEN -90 AND 90
       OR m.prod_gsd NOT BETWEEN 0.01 AND 1000 OR m.cent_lat NOT BETWEEN -90 AND 90 OR m.cent_long NOT BETWEEN -180 AND 180
       OR m.columns < 1 OR m.rows < 1 OR m.bits_pixel NOT BETWEEN 1 AND 128);

-- mfp_check_e04: rows that differ from what their granule and its files say of them; cells of which E03 has told are left out.
-- Shape, paths, size, country and zone have checks of their own, so of the browse image only which one it is.
INSERT INTO mfp_found
SELECT d.fpuid, d.granule_id, NULL, 'E04', 'error', d.reason, 'the row was changed by hand, or its upkeep was cut short'
FROM (
    SELECT m.fpuid, m.granule_id, string_agg(format('%%s: %%s in the row, %%s by its metadata', v.name,
                                                    coalesce(left(v.told, 200), 'nothing'), coalesce(left(v.fresh, 200), 'nothing')), '; ') AS reason
    FROM footprint_master m JOIN footprint_fresh f ON f.granule_id = m.granule_id
    LEFT JOIN mfp_found e ON e.fpuid = m.fpuid AND e.code = 'E03'
    CROSS JOIN LATERAL (VALUES
            ('strip_id', m.strip_id::text, f.strip_id::text), ('scene_id', m.scene_id::text, f.scene_id::text),
             ('catalog_id', m.catalog_id::text, f.catalog_id::text), ('order_id', m.order_id::text, f.order_id::text),
             ('prod_code', m.prod_code::text, f.prod_code::text), ('spec_type', m.spec_type::text, f.spec_type::text),
             ('prod_short', m.prod_short::text, f.prod_short::text), ('file_fmt', m.file_fmt::text, f.file_fmt::text),
             ('source', m.source::text, f.source::text), ('part', m.part::text, f.part::text),
             ('tile', m.tile::text, f.tile::text), ('acq_time', m.acq_time::text, f.acq_time::text),
             ('acq_date', m.acq_date::text, f.acq_date::text), ('acq_year', m.acq_year::text, f.acq_year::text),
             ('acq_month', m.acq_month::text, f.acq_month::text), ('added_date', m.added_date::text, f.added_date::text),
             ('generated', m.generated::text, f.generated::text), ('cloudcover', m.cloudcover::text, f.cloudcover::text),
             ('sun_elev', m.sun_elev::text, f.sun_elev::text), ('off_nadir', m.off_nadir::text, f.off_nadir::text),
             ('cent_lat', m.cent_lat::text, f.cent_lat::text), ('cent_long', m.cent_long::text, f.cent_long::text),
             ('avsunazim', m.avsunazim::text, f.avsunazim::text), ('avtargetaz', m.avtargetaz::text, f.avtargetaz::text),
             ('xtrackva', m.xtrackva::text, f.xtrackva::text), ('intrackva', m.intrackva::text, f.intrackva::text),
             ('prod_gsd', m.prod_gsd::text, f.prod_gsd::text), ('ref_height', m.ref_height::text, f.ref_height::text),
             ('det_pitch', m.det_pitch::text, f.det_pitch::text), ('columns', m.columns::text, f.columns::text),
             ('rows', m.rows::text, f.rows::text), ('bits_pixel', m.bits_pixel::text, f.bits_pixel::text),
             ('bands', m.bands::text, f.bands::text), ('tdi', m.tdi::text, f.tdi::text),
             ('area_km2', m.area_km2::text, f.area_km2::text), ('sensor', m.sensor::text, f.sensor::text),
             ('asset_id', m.asset_id::text, f.asset_id::text),
             ('previewjpg', m.previewjpg, f.browse)) AS v (name, told, fresh)
    WHERE m.sensor = %(sensor)s AND f.state = 'archived' AND f.asset_state = 'archived'
      AND ((m.strip_id, m.scene_id, m.catalog_id, m.order_id, m.prod_code, m.spec_type, m.prod_short, m.file_fmt, m.source, m.part,
        m.tile, m.acq_time, m.acq_date, m.acq_year, m.acq_month, m.added_date, m.generated, m.cloudcover, m.sun_elev,
        m.off_nadir, m.cent_lat, m.cent_long, m.avsunazim, m.avtargetaz, m.xtrackva, m.intrackva, m.prod_gsd, m.ref_height,
        m.det_pitch, m.columns, m.rows, m.bits_pixel, m.bands, m.tdi, m.area_km2, m.sensor, m.asset_id)
           IS DISTINCT FROM
           (f.strip_id, f.scene_id, f.catalog_id, f.order_id, f.prod_code, f.spec_type, f.prod_short, f.file_fmt, f.source, f.part,
        f.tile, f.acq_time, f.acq_date, f.acq_year, f.acq_month, f.added_date, f.generated, f.cloudcover, f.sun_elev,
        f.off_nadir, f.cent_lat, f.cent_long, f.avsunazim, f.avtargetaz, f.xtrackva, f.intrackva, f.prod_gsd, f.ref_height,
        f.det_pitch, f.columns, f.rows, f.bits_pixel, f.bands, f.tdi, f.area_km2, f.sensor, f.asset_id)
           OR (m.previewjpg IS NULL) <> (f.browse IS NULL) OR right(m.previewjpg, length(f.browse)) <> f.browse)
      AND CASE v.name WHEN 'previewjpg' THEN (v.told IS NULL) <> (v.fresh IS NULL) OR right(v.told, length(v.fresh)) <> v.fresh
                      ELSE v.told IS DISTINCT FROM v.fresh END
      AND coalesce(e.reason, '') !~ ('\m' || v.name || '\M')
    GROUP BY m.fpuid, m.granule_id) d;

-- mfp_check_stereo: rows whose stereo partner is none, or that are not named after it
INSERT INTO mfp_found
SELECT m.fpuid, m.granule_id, NULL, 'E04', 'error',
       format('stereo partner: %%s, called %%s, in the row', coalesce(m.stereopair, 'none'), coalesce(m.pairname, 'nothing')),
       'the row was changed by hand, or its upkeep was cut short'
FROM footprint_master m
WHERE m.sensor = %(sensor)s AND (m.stereopair IS NOT NULL OR m.pairname IS NOT NULL)
  AND NOT (right(m.pairname, length(m.stereopair) + length(m.catalog_id) + 1)
           IN (m.catalog_id || '_' || m.stereopair, m.stereopair || '_' || m.catalog_id)
           AND EXISTS (SELECT FROM footprint_all p WHERE p.catalog_id = m.stereopair AND p.sensor = m.sensor)) IS TRUE
  AND NOT EXISTS (SELECT FROM mfp_found f WHERE f.fpuid = m.fpuid AND f.code = 'E04');

-- mfp_doubtful_names: rows whose name does not plainly say the same as they do: only these are taken apart letter by letter
SELECT m.fpuid, m.granule_id, m.s_filename, m.source, m.sensor, m.catalog_id, m.order_id, m.prod_code, m.prod_short, m.spec_type,
       m.acq_time
FROM footprint_master m
WHERE m.sensor = %(sensor)s AND m.s_filename <> ''
  AND NOT EXISTS (SELECT FROM mfp_found f WHERE f.fpuid = m.fpuid AND f.code IN ('E02', 'E04'))
  AND NOT coalesce(
    m.prod_code ~ '^[PMS]' AND m.spec_type = CASE left(m.prod_code, 1) WHEN 'P' THEN 'Panchromatic' WHEN 'M' THEN 'Multispectral' ELSE 'Pan-sharpened' END
    AND m.prod_short = substr(m.prod_code, 2, 2)
    AND left(m.sensor, CASE WHEN m.catalog_id LIKE 'B1%%' THEN 2 ELSE 4 END)
        = CASE left(m.catalog_id, 3) WHEN '101' THEN 'QB02' WHEN '102' THEN 'WV01' WHEN '103' THEN 'WV02' WHEN '104' THEN 'WV03'
               WHEN '105' THEN 'GE01' WHEN '106' THEN 'WV04' ELSE CASE WHEN m.catalog_id LIKE 'B1%%' THEN 'LG' END END
    AND (m.sensor <> 'WV03' OR substr(m.catalog_id, 4, 1) NOT IN ('A', 'C')) AND (m.sensor <> 'WV01' OR m.prod_code LIKE 'P%%')
    AND (starts_with(m.s_filename, concat_ws('_', m.sensor, to_char(m.acq_time AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISS'), m.catalog_id,
             upper(to_char(m.acq_time AT TIME ZONE 'UTC', 'YYMONDDHH24MISS')) || '-' || m.prod_code || coalesce('_' || m.tile, '') || '-' || m.order_id))
         OR starts_with(m.s_filename, upper(to_char(m.acq_time AT TIME ZONE 'UTC', 'YYMONDD')) || m.sensor)
            AND substr(m.s_filename, 17) LIKE upper(to_char(m.acq_time AT TIME ZONE 'UTC', 'YYMONDDHH24MISS')) || '-' || m.prod_code || coalesce('_' || m.tile, '') || '-' || m.order_id || '%%'
         OR starts_with(m.s_filename, upper(to_char(m.acq_time AT TIME ZONE 'UTC', 'YYMONDDHH24MISS')) || '-' || m.prod_code || coalesce('_' || m.tile, '') || '-' || m.order_id)),
    false);

-- mfp_check_e05: footprints that are none, or not on the Earth
INSERT INTO mfp_found
SELECT fpuid, granule_id, NULL, 'E05', 'error', fault, 'read its metadata again: `orbitory reprocess --mode footprints`' FROM (
    SELECT m.fpuid, m.granule_id,
           CASE WHEN m.shape IS NULL THEN 'there is no footprint'
                WHEN ST_IsEmpty(m.shape) THEN 'the footprint is empty'
                WHEN NOT ST_IsValid(m.shape) THEN 'the footprint is invalid: ' || ST_IsValidReason(m.shape)
                WHEN NOT (ST_YMin(m.shape) >= -90 AND ST_YMax(m.shape) <= 90 AND ST_XMin(m.shape) >= -540 AND ST_XMax(m.shape) <= 540)
                     THEN format('off the Earth: %%s', left(ST_AsText(ST_Envelope(m.shape), 6), 200))
                WHEN NOT ST_Area(m.shape) > 0 THEN 'the footprint has no area'
                WHEN m.cent_lat BETWEEN -90 AND 90 AND m.cent_long BETWEEN -180 AND 180
                     AND NOT m.shape && ST_SetSRID(ST_MakePoint(m.cent_long, m.cent_lat), 4326)
                     AND m.shape && ST_SetSRID(ST_MakePoint(m.cent_lat, m.cent_long), 4326)
                     THEN 'latitude and longitude are exchanged: its centre lies in the mirrored footprint' END AS fault
    FROM footprint_master m WHERE m.sensor = %(sensor)s) f
WHERE fault IS NOT NULL;

-- mfp_check_e06: footprints that stand elsewhere than their metadata put them, in metres from corner to nearest corner
INSERT INTO mfp_found
SELECT moved.fpuid, moved.granule_id, NULL, 'E06', 'error',
       coalesce(format('the footprint stands %%s m from where its metadata put it', round(metres.far::numeric, 1)),
                'the metadata tell no footprint, but the row has one'),
       'read its metadata again: `orbitory reprocess --mode footprints`'
FROM (SELECT m.fpuid, m.granule_id, m.shape, g.footprint FROM footprint_master m JOIN granule g ON g.id = m.granule_id
      WHERE m.sensor = %(sensor)s AND m.shape IS NOT NULL AND (g.footprint IS NULL OR NOT m.shape = g.footprint)
        AND NOT EXISTS (SELECT FROM mfp_found f WHERE f.fpuid = m.fpuid AND f.code IN ('E05', 'E10'))) moved
CROSS JOIN LATERAL (
    SELECT max(d) AS far FROM (
        SELECT min(ST_DistanceSphere(p.geom, q.geom)) AS d FROM ST_DumpPoints(moved.shape) p, ST_DumpPoints(moved.footprint) q GROUP BY p.path
        UNION ALL
        SELECT min(ST_DistanceSphere(p.geom, q.geom)) FROM ST_DumpPoints(moved.shape) p, ST_DumpPoints(moved.footprint) q GROUP BY q.path) n
) metres
WHERE moved.footprint IS NULL OR metres.far > %(metres)s;

-- mfp_check_e07: rows that say they are an image that an older row says it is
INSERT INTO mfp_found
SELECT m.fpuid, m.granule_id, NULL, 'E07', 'error', format('%%s is in the master already: fpuid %%s', s.scene_id, s.first),
       'one of them must go: look at both with `orbitory mfp explain`'
FROM (SELECT scene_id, min(fpuid) AS first FROM footprint_master WHERE sensor = %(sensor)s AND scene_id <> ''
      GROUP BY scene_id HAVING count(*) > 1) s
JOIN footprint_master m ON m.sensor = %(sensor)s AND m.scene_id = s.scene_id AND m.fpuid > s.first;

-- mfp_check_e08: rows that are preferred and put aside at once
INSERT INTO mfp_found
SELECT m.fpuid, m.granule_id, NULL, 'E08', 'error', format('it is also in the archive of footprints: %%s', a.reason),
       'one of the two rows must go'
FROM footprint_master m JOIN footprint_archive a ON a.granule_id = m.granule_id WHERE m.sensor = %(sensor)s
UNION
SELECT m.fpuid, m.granule_id, NULL, 'E08', 'error', format('it is also in the archive of footprints: %%s', a.reason),
       'one of the two rows must go'
FROM footprint_master m JOIN footprint_archive a ON a.fpuid = m.fpuid WHERE m.sensor = %(sensor)s;

-- mfp_doubtful_places: rows that neither lie wholly within the country and the zone that they tell, nor tell none far from all.
-- Shapes of one country are asked one after the other, so that its boundary is unpacked and prepared once.
WITH told AS MATERIALIZED (
    SELECT m.granule_id, m.country, m.zone_id, g.footprint
    FROM footprint_master m JOIN granule g ON g.id = m.granule_id WHERE m.sensor = %(sensor)s AND g.footprint IS NOT NULL
), zone AS MATERIALIZED (
    SELECT zone_id, boundary, ST_Area(boundary) = ST_Area(ST_Envelope(boundary)) AS is_box FROM data_zone
)
SELECT granule_id FROM told
EXCEPT (
    (SELECT u.id FROM (SELECT country, array_agg(granule_id) AS ids, array_agg(footprint) AS shapes FROM told
                       WHERE country IS NOT NULL GROUP BY country, granule_id / 50000) t
     JOIN country c ON c.name = t.country CROSS JOIN LATERAL unnest(t.ids, t.shapes) AS u (id, shape)
     WHERE u.shape @ c.boundary AND ST_Covers(c.boundary, u.shape)
     UNION ALL
     SELECT t.granule_id FROM told t
     WHERE t.country IS NULL AND NOT EXISTS (SELECT FROM country_piece p
                                             WHERE ST_DWithin(p.piece, t.footprint::geography, %(radius_km)s * 1000, false)))
    INTERSECT
    SELECT t.granule_id FROM told t JOIN zone z USING (zone_id)
    WHERE t.footprint @ z.boundary AND (z.is_box OR ST_Covers(z.boundary, t.footprint)));

-- mfp_check_e09: of these rows, those whose country or zone a fresh spatial join does not give
INSERT INTO mfp_found
SELECT m.fpuid, m.granule_id, NULL, 'E09', 'warning', concat_ws('; ',
       CASE WHEN m.country IS DISTINCT FROM p.country THEN format('country is %%s, it lies in %%s', coalesce(m.country, 'none'), coalesce(p.country, 'none')) END,
       CASE WHEN m.zone_id IS DISTINCT FROM p.zone_id THEN format('zone is %%s, it lies in %%s', coalesce(m.zone_id::text, 'none'), coalesce(p.zone_id::text, 'none')) END),
       'were boundaries or the search radius changed? `orbitory mfp boundaries` places all rows again'
FROM footprint_places(%(granules)s::bigint[], %(radius_km)s) p JOIN footprint_master m USING (granule_id)
WHERE m.sensor = %(sensor)s AND (m.country, m.zone_id) IS DISTINCT FROM (p.country, p.zone_id);

-- mfp_check_e10: footprints that run on beyond 180 degrees, or around the world without a pole, instead of being split
INSERT INTO mfp_found
SELECT fpuid, granule_id, NULL, 'E10', 'error',
       format('one part spans %%s degrees of longitude, from %%s to %%s', round(width::numeric, 1), round(west::numeric, 3), round(east::numeric, 3)),
       'read its metadata again: `orbitory reprocess --mode footprints`'
FROM (SELECT m.fpuid, m.granule_id, p.*
      FROM footprint_master m
      CROSS JOIN LATERAL (
          SELECT ST_XMax(d.geom) - ST_XMin(d.geom) AS width, ST_XMin(d.geom) AS west, ST_XMax(d.geom) AS east
          FROM ST_Dump(m.shape) d
          WHERE ST_XMax(d.geom) > 180.0000001 OR ST_XMin(d.geom) < -180.0000001
             OR ST_XMax(d.geom) - ST_XMin(d.geom) > 180 AND ST_YMax(d.geom) < 89.9999999 AND ST_YMin(d.geom) > -89.9999999
          ORDER BY 1 DESC LIMIT 1) p
      WHERE m.sensor = %(sensor)s AND m.shape IS NOT NULL
        AND (ST_XMax(m.shape) - ST_XMin(m.shape) > 180 OR ST_XMax(m.shape) > 180.0000001 OR ST_XMin(m.shape) < -180.0000001)) s
WHERE NOT EXISTS (SELECT FROM mfp_found f WHERE f.fpuid = s.fpuid AND f.code = 'E05');

-- mfp_check_e11: rows that tell another size than their file had when it was archived
INSERT INTO mfp_found
SELECT m.fpuid, m.granule_id, NULL, 'E11', 'error', format('file_sz is %%s GB, its file has %%s bytes', coalesce(m.file_sz::text, 'no'), s.size), ''
FROM footprint_master m JOIN asset s ON s.id = m.asset_id
WHERE m.sensor = %(sensor)s AND s.state = 'archived' AND round(m.file_sz * 1e9) IS DISTINCT FROM s.size;

-- mfp_check_e14: images without metadata beside them
INSERT INTO mfp_found
SELECT m.fpuid, m.granule_id, NULL, 'E14', 'error', 'no metadata are archived with it, loose or bundled', ''
FROM footprint_master m JOIN granule g ON g.id = m.granule_id AND g.state = 'archived'
WHERE m.sensor = %(sensor)s
  AND NOT EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
                  WHERE l.granule_id = m.granule_id AND s.role IN ('metadata', 'bundle') AND s.state = 'archived');

