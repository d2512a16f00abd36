-- The same numbers as before, in a way that does not depend on statistics: after the first export into an empty site the
-- planner knew nothing of the new rows, took each granule to have a hundred files, and read all files for every granule.
-- What a granule amounts to, with its files and its footprint, in one number that is the same on every site: no ids, none
-- of our own clock, nothing that each site rules for itself (expiry, fixity), no path that depends on where storage stands.
-- Rows that are on their way in count as if they stood. Columns of footprints are those of their tables, so that none is
-- forgotten.
DO $do$
DECLARE columns text;
BEGIN
    SELECT string_agg(CASE attname WHEN 'shape' THEN 'ST_AsEWKB(r.shape, ''NDR'')' ELSE format('r.%I', attname) END, ', ' ORDER BY attnum)
    INTO columns FROM pg_attribute
    WHERE attrelid = 'footprint_template'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> ALL (export_own_columns());
    EXECUTE format($sql$
CREATE OR REPLACE VIEW export_content AS
SELECT g.id, g.key, g.version_rank, (extract(epoch FROM g.created) * 1000000)::bigint AS created, g.state,
       hash_record_extended(ROW(
           g.source, g.product, g.key, g.version, g.version_rank, g.created,
           CASE WHEN g.state IN ('stored', 'deleting') THEN 'archived' ELSE g.state END, g.platform, g.sensor, g.collection,
           g.sensing, g.orbit, ST_AsEWKB(g.footprint, 'NDR'), g.area_km2, g.search, g.classification,
           n.key, n.version_rank, n.created), 0)
       # coalesce(f.digest, 0) # coalesce(m.digest, 0) # coalesce(a.digest, 0) AS digest
FROM granule g
LEFT JOIN granule n ON n.id = g.superseded_by
LEFT JOIN LATERAL (
    SELECT bit_xor((SELECT hash_record_extended(ROW(
               s.path, s.in_place, s.role, s.state IN ('deleting', 'deleted'), s.kind, s.size, s.digest, s.checksums, s.findings,
               s.header, l.preferred OR s.state IN ('deleting', 'deleted')), 1)
               FROM asset s WHERE s.id = l.asset_id AND s.removal IS DISTINCT FROM 'withdrawn')) AS digest
    FROM granule_asset l WHERE l.granule_id = g.id) f ON true
LEFT JOIN LATERAL (
    SELECT hash_record_extended(ROW(%1$s), 2) AS digest FROM footprint_master r WHERE r.granule_id = g.id) m ON true
LEFT JOIN LATERAL (
    SELECT hash_record_extended(ROW(%1$s, r.reason, k.key, k.version_rank, k.created), 3) AS digest
    FROM footprint_archive r LEFT JOIN granule k ON k.id = r.keeper_id WHERE r.granule_id = g.id) a ON true
WHERE g.state <> 'deleted' OR f.digest IS NOT NULL  -- an intent that was taken back has no file that ever stood
$sql$, columns);
END $do$;
