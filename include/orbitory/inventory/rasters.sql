-- Raster validation: which archived rasters are due, what the inventory says of them, and what was found.

-- rasters_now: the moment at which a run begins, by the database's clock
SELECT clock_timestamp() AS moment;

-- rasters_sensors: sensors of which the archive holds something
SELECT DISTINCT sensor FROM granule WHERE state = 'archived' ORDER BY 1;

-- rasters_spent: bytes that checks since a moment have cost
SELECT coalesce(sum(least(s.size, CASE v.mode WHEN 'header' THEN %(header)s WHEN 'sample' THEN %(sample)s ELSE s.size END)), 0)::bigint AS bytes
FROM validation v JOIN asset s ON s.id = v.asset_id WHERE v.checked_at >= %(since)s;

-- rasters_plan: what a budget reaches of those not checked since a moment, longest ago first, by sensor in shares: ranges of
-- numbers, so that a share is read alone
WITH rasters AS (
    SELECT DISTINCT s.id, g.sensor, least(s.size, %(most)s) AS cost
    FROM asset s JOIN granule_asset l ON l.asset_id = s.id JOIN granule g ON g.id = l.granule_id AND g.state = 'archived'
    WHERE s.state = 'archived' AND (s.role = 'sibling' OR s.role = 'data' AND s.kind = ANY (%(kinds)s))
      AND (%(sensors)s::text[] IS NULL OR g.sensor = ANY (%(sensors)s))
), reached AS (
    SELECT r.id, r.sensor, r.cost, sum(r.cost) OVER (ORDER BY v.checked_at NULLS FIRST, r.id) - r.cost AS spent
    FROM rasters r LEFT JOIN validation v ON v.asset_id = r.id
    WHERE v.checked_at IS NULL OR v.checked_at < %(since)s
), counted AS (
    SELECT id, sensor, cost, row_number() OVER (PARTITION BY sensor ORDER BY id) - 1 AS place,
           count(*) OVER (PARTITION BY sensor) AS files, sum(cost) OVER (PARTITION BY sensor) AS bytes
    FROM reached WHERE %(budget)s::bigint IS NULL OR spent < %(budget)s
), shared AS (
    SELECT c.*, greatest(1, least(files, %(most_parts)s / (SELECT count(DISTINCT sensor) FROM counted),
                                  greatest(ceil(files::numeric / %(most_files)s), ceil(bytes / %(most_bytes)s))::bigint)) AS parts
    FROM counted c
)
SELECT sensor, parts, place * parts / files AS part, min(id) AS first, max(id) AS last, count(*) AS files, sum(cost)::bigint AS bytes
FROM shared GROUP BY 1, 2, 3 ORDER BY 1, 3;

-- rasters_due: those of one part of a sensor, longest ago first; what the part has spent since counts against its budget
WITH rasters AS (
    SELECT DISTINCT s.id, least(s.size, %(most)s) AS cost
    FROM asset s JOIN granule_asset l ON l.asset_id = s.id JOIN granule g ON g.id = l.granule_id AND g.state = 'archived'
    WHERE s.state = 'archived' AND (s.role = 'sibling' OR s.role = 'data' AND s.kind = ANY (%(kinds)s))
      AND g.sensor = %(sensor)s AND s.id BETWEEN %(first)s AND %(last)s
), reached AS (
    SELECT r.id, v.checked_at, d.done, sum(r.cost) OVER (ORDER BY d.done DESC, v.checked_at NULLS FIRST, r.id) - r.cost AS spent
    FROM rasters r LEFT JOIN validation v ON v.asset_id = r.id
    CROSS JOIN LATERAL (SELECT coalesce(v.checked_at >= %(since)s, false) AS done) d
)
SELECT id FROM reached WHERE NOT done AND (%(budget)s::bigint IS NULL OR spent < %(budget)s)
ORDER BY checked_at NULLS FIRST, id;

-- rasters_page: these rasters as the inventory knows them, with the last verdict; those that left the archive are none
SELECT s.id, s.path, s.role = 'sibling' AS sibling, s.kind, s.size, a.name, b.root, g.search, coalesce(g.located, false) AS located,
       coalesce(o.findings, '[]') AS told, coalesce(a.unit_id IS NULL, true) AS main, v.mode AS last_mode, v.verdict AS last_verdict,
       v.checksums AS last_checksums
FROM asset s
LEFT JOIN LATERAL (SELECT g.search, g.footprint IS NOT NULL AS located FROM granule_asset l JOIN granule g ON g.id = l.granule_id
                   WHERE l.asset_id = s.id AND g.state = 'archived' ORDER BY g.id LIMIT 1) g ON true
LEFT JOIN LATERAL (SELECT id, name, unit_id, batch_id FROM arrival WHERE asset_id = s.id AND state = 'archived'
                   ORDER BY id LIMIT 1) a ON true
LEFT JOIN batch b ON b.id = a.batch_id
LEFT JOIN arrival m ON m.id = coalesce(a.unit_id, a.id)
LEFT JOIN asset o ON o.id = m.asset_id
LEFT JOIN validation v ON v.asset_id = s.id
WHERE s.id = ANY (%(ids)s) AND s.state = 'archived' ORDER BY array_position(%(ids)s, s.id);

-- rasters_keep: what was found, in place of what was found before; files that left the archive meanwhile have none
INSERT INTO validation AS v (asset_id, checked_at, mode, verdict, findings, checksums)
SELECT f.id, clock_timestamp(), f.mode, f.verdict, f.findings::jsonb, f.checksums::jsonb
FROM unnest(%(ids)s::bigint[], %(modes)s::text[], %(verdicts)s::text[], %(findings)s::text[], %(checksums)s::text[])
     AS f (id, mode, verdict, findings, checksums)
JOIN asset s ON s.id = f.id AND s.state = 'archived'
ORDER BY f.id
ON CONFLICT (asset_id) DO UPDATE SET checked_at = EXCLUDED.checked_at, mode = EXCLUDED.mode, verdict = EXCLUDED.verdict,
    findings = EXCLUDED.findings,
    checksums = CASE WHEN EXCLUDED.checksums = '[]' THEN v.checksums ELSE EXCLUDED.checksums END;

-- rasters_counts: what was checked since a moment, by sensor and verdict
SELECT g.sensor, v.verdict, count(*) AS files, sum(s.size)::bigint AS bytes
FROM validation v JOIN asset s ON s.id = v.asset_id
CROSS JOIN LATERAL (SELECT min(g.sensor) AS sensor FROM granule_asset l JOIN granule g ON g.id = l.granule_id
                    WHERE l.asset_id = s.id AND g.state = 'archived') g
WHERE v.checked_at >= %(since)s AND (%(sensors)s::text[] IS NULL OR g.sensor = ANY (%(sensors)s))
GROUP BY 1, 2 ORDER BY 1, 2;

-- rasters_found: checked since a moment and not simply good, bad ones first
SELECT s.id, s.path, s.size, g.key, g.sensor, v.mode, v.verdict, v.findings
FROM validation v JOIN asset s ON s.id = v.asset_id
LEFT JOIN LATERAL (SELECT g.key, g.sensor FROM granule_asset l JOIN granule g ON g.id = l.granule_id
                   WHERE l.asset_id = s.id AND g.state = 'archived' ORDER BY g.sensor, g.id LIMIT 1) g ON true
WHERE v.checked_at >= %(since)s AND v.findings <> '[]' AND (%(sensors)s::text[] IS NULL OR g.sensor = ANY (%(sensors)s))
ORDER BY v.verdict <> 'bad', s.path;
