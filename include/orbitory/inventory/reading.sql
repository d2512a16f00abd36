-- Reading: what people ask of the inventory. Nothing here changes a row.

-- search_page: archived granules, newest first, below a place in that order; those with a sensing time, or those without
SELECT g.id, g.source, g.product, g.key, g.version, g.platform, g.sensor, g.collection, g.orbit,
       lower(g.sensing) AS sensing_start, upper(g.sensing) AS sensing_end, g.created, g.area_km2, g.search,
       g.classification, g.expires_at, g.superseded_by,
       ST_AsGeoJSON(g.footprint, 6)::jsonb AS footprint, coalesce(files.assets, '[]') AS assets
FROM (
    SELECT * FROM granule g
    WHERE g.state = 'archived'
      -- Not as NOT EXISTS: that would hash the whole table for a page of a hundred rows.
      AND (%(all_versions)s OR coalesce((SELECT n.state FROM granule n WHERE n.id = g.superseded_by), '') <> 'archived')
      AND (%(timed)s AND lower(g.sensing) IS NOT NULL OR NOT %(timed)s AND lower(g.sensing) IS NULL)
      -- One product by equality: only then does the index give its rows in order.
      AND (%(product)s::text IS NULL OR g.product = %(product)s::text)
      AND (%(products)s::text[] IS NULL OR g.product = ANY (%(products)s::text[]))
      AND (%(sensors)s::text[] IS NULL OR g.sensor = ANY (%(sensors)s::text[]))
      AND (%(source)s::text IS NULL OR g.source = %(source)s::text)
      AND (%(during)s::tstzrange IS NULL
           OR g.sensing && %(during)s::tstzrange AND lower(g.sensing) <= coalesce(upper(%(during)s::tstzrange), 'infinity'))
      AND (%(box)s::geometry IS NULL OR ST_Intersects(g.footprint, %(box)s::geometry)
           OR ST_Intersects(g.footprint, %(second_box)s::geometry))
      AND (%(keys)s::jsonb IS NULL OR NOT EXISTS (
              SELECT FROM jsonb_each_text(%(keys)s::jsonb) AS wanted
              WHERE (jsonb_build_object('platform', g.platform, 'collection', g.collection, 'version', g.version,
                                        'orbit', g.orbit, 'classification', g.classification) || g.search)
                    ->> wanted.key IS DISTINCT FROM wanted.value))
      AND (%(below_id)s::bigint IS NULL
           OR %(timed)s AND (lower(g.sensing), g.id) < (%(below)s::timestamptz, %(below_id)s::bigint)
           OR NOT %(timed)s AND g.id < %(below_id)s::bigint)
    ORDER BY lower(g.sensing) DESC, g.id DESC
    LIMIT %(limit)s
) g
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('path', a.path, 'role', a.role, 'kind', a.kind, 'size', a.size,
                                        'digest', encode(a.digest, 'hex'), 'preferred', l.preferred)
                     ORDER BY l.preferred DESC, a.path) AS assets
    FROM granule_asset l JOIN asset a ON a.id = l.asset_id
    WHERE l.granule_id = g.id AND a.state = 'archived'
) files ON true
ORDER BY lower(g.sensing) DESC, g.id DESC;

-- show_arrival_ids: arrivals seen under exactly this name
SELECT id FROM arrival WHERE name = %(name)s;

-- show_arrival_ids_by_tail: arrivals whose last path element is this name (reads the whole ledger)
SELECT id FROM arrival WHERE right(name, length(%(name)s) + 1) = '/' || %(name)s;

-- show_asset_ids: files that stand, or stood, in storage at this path
SELECT id FROM asset WHERE path = %(name)s;

-- show_asset_ids_by_tail: files in storage whose last path element is this name (reads the whole table)
SELECT id FROM asset WHERE right(path, length(%(name)s) + 1) = '/' || %(name)s;

-- show_granule_ids: granules with this key or, when it is a number, this id
SELECT id FROM granule WHERE key = %(name)s OR id = %(id)s::bigint;

-- show_granule_ids_by_tail: granules whose key ends in this element, for example a bare granule id (reads the whole table)
SELECT id FROM granule WHERE right(key, length(%(name)s) + 1) = '/' || %(name)s;

-- show_arrivals: the named arrivals, the sidecars that share their fate, and whatever became or met one of the assets
SELECT a.id, a.source, a.path AS raw_path, a.name, a.role, a.unit_id, a.run_id, a.batch_id, a.state, a.landed, a.reason,
       a.stage, a.detail, a.sensor, a.size, encode(a.digest, 'hex') AS digest, a.announced, a.first_seen, a.asset_id,
       s.path AS asset_path, a.quarantine_path
FROM arrival a LEFT JOIN asset s ON s.id = a.asset_id
WHERE a.id = ANY (%(ids)s) OR a.unit_id = ANY (%(ids)s) OR a.asset_id = ANY (%(assets)s)
ORDER BY a.id;

-- show_assets: the named files with every other archived file of the same content
SELECT s.id, s.path, s.role, s.state, s.kind, s.size, encode(s.digest, 'hex') AS digest, s.checksums, s.findings,
       s.fixity_at,
       coalesce((SELECT jsonb_agg(o.path ORDER BY o.path) FROM asset o
                 WHERE o.digest = s.digest AND o.id <> s.id AND o.state = 'archived'), '[]') AS same_content,
       coalesce((SELECT jsonb_agg(l.granule_id ORDER BY l.granule_id) FROM granule_asset l
                 WHERE l.asset_id = s.id), '[]') AS granules
FROM asset s WHERE s.id = ANY (%(ids)s) ORDER BY s.path, s.id;

-- show_granules: the named granules with all their versions
SELECT g.id, g.source, g.product, g.key, g.version, g.state, g.superseded_by, g.platform, g.sensor, g.collection,
       lower(g.sensing) AS sensing_start, upper(g.sensing) AS sensing_end, g.created, g.orbit, g.area_km2, g.search,
       g.classification, g.expires_at, ST_AsGeoJSON(g.footprint, 6)::jsonb AS footprint,
       coalesce((SELECT jsonb_agg(jsonb_build_object('id', v.id, 'version', v.version, 'created', v.created,
                                                     'state', v.state, 'superseded_by', v.superseded_by)
                                  ORDER BY v.version_rank, v.created, v.id)
                 FROM granule v WHERE v.key = g.key), '[]') AS versions,
       coalesce((SELECT jsonb_agg(a.path ORDER BY l.preferred DESC, a.path)
                 FROM granule_asset l JOIN asset a ON a.id = l.asset_id WHERE l.granule_id = g.id), '[]') AS files
FROM granule g WHERE g.id = ANY (%(ids)s) ORDER BY g.id;

-- show_granules_of: ids of the granules that these files hold
SELECT DISTINCT granule_id AS id FROM granule_asset WHERE asset_id = ANY (%(ids)s);

-- show_assets_of: ids of the files that hold these granules
SELECT DISTINCT asset_id AS id FROM granule_asset WHERE granule_id = ANY (%(ids)s);

-- show_history: what happened to one arrival, granule or asset, oldest first
SELECT at, actor, run_id AS run, from_state AS "from", to_state AS "to" FROM event
WHERE subject = %(subject)s AND ids @> %(id)s::bigint ORDER BY id;

-- status_counts: files and bytes by source, state and whether the name still stands in the landing zone
SELECT source, state, landed, count(*) AS files, sum(size)::bigint AS bytes FROM arrival GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- status_waiting: why files wait, and since when the oldest of them does (by the database's clock)
SELECT source, coalesce(reason, 'unknown') AS reason, count(*) AS files,
       extract(epoch FROM clock_timestamp() - min(first_seen))::float8 AS oldest_seconds
FROM arrival WHERE state = 'waiting' AND landed GROUP BY 1, 2 ORDER BY 1, 2;

-- status_quarantine: files in quarantine by source and reason
SELECT source, coalesce(reason, 'unknown') AS reason, count(*) AS files FROM arrival
WHERE state IN ('rejected', 'conflict') AND quarantine_path IS NOT NULL AND expired_at IS NULL GROUP BY 1, 2 ORDER BY 1, 2;

-- status_suspect: files that the audit found missing or damaged
SELECT count(*) AS files, min(path) AS first FROM asset WHERE state = 'suspect';

-- status_runs: the last run of each source
SELECT DISTINCT ON (source) source, id AS run, actor, started_at, finished_at, verdict, counts
FROM ingest_run WHERE actor NOT LIKE 'export/%%' ORDER BY source, id DESC;

-- status_migrations: the schema as it stands
SELECT name FROM schema_migration ORDER BY name;
