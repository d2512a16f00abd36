-- Digest: what an inventory holds, without ids, our own clock, run numbers and quarantine folders. Each row becomes one
-- hash and the hashes are sorted, so neither the order of work nor its repetition shows.

-- digest_granules: one hash for each granule; a tombstone beside the same granule that stands again is history
SELECT DISTINCT sha256(convert_to(jsonb_build_array(
           g.source, g.product, g.key, g.version, g.version_rank, g.created, g.state, g.platform, g.sensor, g.collection,
           lower(g.sensing), upper(g.sensing), lower_inc(g.sensing), upper_inc(g.sensing), g.orbit,
           encode(ST_AsEWKB(g.footprint, 'NDR'), 'hex'), g.area_km2, g.search, g.classification,
           n.key, n.version, n.created)::text, 'UTF8')) AS hash
FROM granule g LEFT JOIN granule n ON n.id = g.superseded_by
WHERE g.state <> 'deleted'  -- an intent that was taken back was never content
   OR EXISTS (SELECT FROM event e WHERE e.subject = 'granule' AND e.ids @> g.id
              AND (e.to_state = 'archived' OR e.from_state IS NULL AND e.to_state = 'deleted'))  -- an export has brought a tombstone
   AND NOT EXISTS (SELECT FROM granule o WHERE o.key = g.key AND o.version_rank = g.version_rank AND o.created IS NOT DISTINCT FROM g.created
                   AND o.state <> 'deleted')
ORDER BY 1;

-- digest_assets: one hash for each file that is or was in storage, likewise
SELECT DISTINCT sha256(convert_to(jsonb_build_array(
           path, role, state, kind, size, encode(digest, 'hex'),
           (SELECT jsonb_agg(c ORDER BY c::text COLLATE "C") FROM jsonb_array_elements(checksums) AS c),
           (SELECT jsonb_agg(f ORDER BY f::text COLLATE "C") FROM jsonb_array_elements(findings) AS f))::text, 'UTF8')) AS hash
FROM asset
WHERE state <> 'deleted'
   OR EXISTS (SELECT FROM event e WHERE e.subject = 'asset' AND e.ids @> asset.id
              AND (e.to_state = 'archived' OR e.from_state IS NULL AND e.to_state = 'deleted'))  -- an export has brought a tombstone
   AND NOT EXISTS (SELECT FROM asset o WHERE o.path = asset.path AND o.digest = asset.digest AND o.state <> 'deleted')
ORDER BY 1;

-- digest_links: one hash for each granule held by a file, while both stand
SELECT sha256(convert_to(jsonb_build_array(
           g.source, g.product, g.key, g.version, g.created, a.path, encode(a.digest, 'hex'), a.state, l.preferred)::text, 'UTF8')) AS hash
FROM granule_asset l JOIN granule g ON g.id = l.granule_id JOIN asset a ON a.id = l.asset_id
WHERE g.state <> 'deleted' AND a.state <> 'deleted' ORDER BY 1;

-- digest_expiry: one hash for each granule that expires: that it does, for the moment depends on when it was stored
SELECT sha256(convert_to(jsonb_build_array(g.source, g.product, g.key, g.version, g.created)::text, 'UTF8')) AS hash
FROM granule g WHERE g.state <> 'deleted' AND g.expires_at IS NOT NULL ORDER BY 1;

-- digest_arrivals: one hash for each arrival that left the waiting room; waiting depends on the hour, detail on the machine
SELECT sha256(convert_to(jsonb_build_array(
           r.source, encode(r.path, 'hex'), r.role, u.name, r.state, r.reason, r.stage, r.sensor, r.sensing_start,
           r.sensing_end, r.size, encode(r.digest, 'hex'),
           (SELECT jsonb_agg(c ORDER BY c::text COLLATE "C") FROM jsonb_array_elements(r.announced) AS c), a.path, r.quarantine_path IS NOT NULL)::text,
           'UTF8')) AS hash
FROM arrival r LEFT JOIN arrival u ON u.id = r.unit_id LEFT JOIN asset a ON a.id = r.asset_id
WHERE r.state <> 'waiting' ORDER BY 1;

-- digest_headers: the next files with their compressed header, in no order that matters
SELECT id, path, header FROM asset WHERE id > %(after)s AND state <> 'deleted' ORDER BY id LIMIT %(limit)s;
