-- Master footprints: one preferred row for each strip image, what was moved aside, and what checks of both found.

-- Countries and data zones, for the spatial join. A country is known by its name: the codes have gaps and repeat.
CREATE TABLE country (
    name     text PRIMARY KEY,
    iso_a3   text,                          -- as the boundaries' maker tells it; some are '-99'
    boundary geometry(MultiPolygon, 4326) NOT NULL
);
CREATE INDEX country_boundary ON country USING gist (boundary);

-- The same in pieces of few points, of which the nearest one is found twenty times faster.
CREATE TABLE country_piece (
    name  text NOT NULL REFERENCES country ON DELETE CASCADE,
    piece geography(Polygon, 4326) NOT NULL
);
CREATE INDEX country_piece_name ON country_piece (name);
CREATE INDEX country_piece_reach ON country_piece USING gist (piece);

CREATE TABLE data_zone (
    zone_id  integer PRIMARY KEY,
    name     text NOT NULL,
    boundary geometry(MultiPolygon, 4326) NOT NULL
);
CREATE INDEX data_zone_boundary ON data_zone USING gist (boundary);
CREATE INDEX data_zone_reach ON data_zone USING gist ((boundary::geography));

-- A path in storage as users of Windows find it below `root`; null where Windows cannot hold the name, or storage does not
-- hold the file. The same rule as mfp.paths.to_windows, which tells the reasons.
CREATE FUNCTION windows_path(path text, root text) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
    SELECT CASE WHEN path NOT LIKE '/%' AND path !~ '[<>:"|?*\\\u0001-\u001f]|[. ](/|$)'
                 AND path !~* '(^|/)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *([.][^/]*)?(/|$)' THEN root || path END
$$;

-- One number for a footprint's whole life, whichever table it stands in.
CREATE SEQUENCE footprint_fpuid;

-- Both tables of footprints are made from this one, which stays empty. To source: columns, names and order of NCCS's
-- nga_footprint_master_v2; below it: our own.
CREATE TABLE footprint_template (
    fpuid      bigint PRIMARY KEY DEFAULT nextval('footprint_fpuid'),
    strip_id   text,                        -- WV01_102001003A7E9A00_P1BS_502788423060_01
    scene_id   text,                        -- WV01_20150410052955_102001003A7E9A00_15APR10052955-P1BS-502788423060_01_P005
    status     text NOT NULL DEFAULT 'unvalidated',  -- 'unvalidated' until an evaluation has looked at the row as it is
    catalog_id text,
    order_id   text,                        -- with its part: 502788423060_01_P005
    prod_code  text,                        -- P1BS
    country    text,
    spec_type  text,                        -- Panchromatic
    acq_time   timestamptz,
    cloudcover double precision,            -- fraction 0 to 1; null when not known
    cent_lat   double precision,
    cent_long  double precision,
    columns    integer,
    rows       integer,
    bits_pixel integer,
    file_fmt   text,
    off_nadir  double precision,            -- degrees, as all angles
    sun_elev   double precision,
    prod_gsd   double precision,            -- metres
    ref_height double precision,            -- metres above the ellipsoid
    xtrackva   double precision,
    s_filename text,
    s_filepath text,                        -- the whole path, below the Linux root
    sensor     text NOT NULL,
    bands      integer,
    previewjpg text,                        -- the browse image, likewise
    previewurl text,
    added_date timestamptz NOT NULL DEFAULT now(),
    file_sz    double precision,            -- GB of 10^9 bytes
    avsunazim  double precision,
    avtargetaz double precision,
    stereopair text,                        -- catalog id of the partner
    pairname   text,                        -- WV01_20150410_102001003C718E00_102001003A7E9A00: the earlier one first
    acq_date   date,                        -- UTC
    acq_year   integer,
    prod_short text,                        -- 1B
    det_pitch  double precision,            -- millimetres
    intrackva  double precision,
    acq_month  integer,
    zone_id    integer,
    source     text NOT NULL,
    shape      geometry(MultiPolygon, 4326),

    granule_id bigint UNIQUE,
    asset_id   bigint,
    tdi        integer,                     -- largest of its bands
    part       text,                        -- P005
    tile       text,                        -- R1C1
    generated  timestamptz,                 -- by the vendor
    area_km2   double precision,
    p_filepath text                         -- like s_filepath, below the Windows root; null where Windows has no such path
);
CREATE INDEX ON footprint_template USING gist (shape);
CREATE INDEX ON footprint_template (sensor, acq_time);
CREATE INDEX ON footprint_template (catalog_id);
CREATE INDEX ON footprint_template (scene_id);
CREATE INDEX ON footprint_template (asset_id);
CREATE INDEX ON footprint_template (stereopair) WHERE stereopair IS NOT NULL;

CREATE TABLE footprint_master (LIKE footprint_template INCLUDING ALL);
ALTER TABLE footprint_master ADD FOREIGN KEY (granule_id) REFERENCES granule, ADD FOREIGN KEY (asset_id) REFERENCES asset;

-- Footprints that are not preferred: another row is, or the image is no longer held.
CREATE TABLE footprint_archive (
    LIKE footprint_template INCLUDING ALL,
    keeper_id bigint REFERENCES granule,    -- granule of the row that is preferred, if any
    -- re-order, re-delivery: another order holds the same image, and an evaluation chose it.
    -- superseded: the granule has a newer version. Else the image has left the archive: replaced, expired, removed, withdrawn.
    reason    text NOT NULL CHECK (reason IN
              ('re-order', 're-delivery', 'superseded', 'replaced', 'expired', 'removed', 'withdrawn')),
    moved_at  timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE footprint_archive ADD FOREIGN KEY (granule_id) REFERENCES granule, ADD FOREIGN KEY (asset_id) REFERENCES asset;
CREATE INDEX footprint_archive_keeper ON footprint_archive (keeper_id);

CREATE VIEW footprint_all AS
    SELECT m.*, NULL::bigint AS keeper_id, NULL::text AS reason, NULL::timestamptz AS moved_at, true AS preferred
    FROM footprint_master m
    UNION ALL
    SELECT a.*, false FROM footprint_archive a;

-- The master under the column names of the index of the Polar Geospatial Center, for tools that expect them.
CREATE VIEW footprint_pgc AS
    SELECT m.scene_id AS "SCENE_ID", m.strip_id AS "STRIP_ID", m.catalog_id AS "CATALOG_ID", m.sensor AS "SENSOR",
           m.acq_time AS "ACQ_TIME", m.prod_code AS "PROD_CODE", m.spec_type AS "SPEC_TYPE", m.columns AS "COLUMNS",
           m.rows AS "ROWS", m.bands AS "BANDS", m.cloudcover AS "CLOUDCOVER", m.sun_elev AS "SUN_ELEV",
           m.off_nadir AS "OFF_NADIR", m.tdi AS "TDI",
           CASE WHEN s.state = 'archived' THEN 'online' ELSE 'offline' END AS "STATUS",
           m.s_filepath AS "S_FILEPATH", m.s_filename AS "S_FILENAME",
           o.name AS "O_FILEPATH", o.source AS "O_DRIVE",  -- as it was delivered, and by whom
           m.cent_lat AS "CENT_LAT", m.cent_long AS "CENT_LONG", m.stereopair AS "STEREOPAIR", m.pairname AS "PAIRNAME",
           m.p_filepath AS "P_FILEPATH",  -- ours: for Windows
           m.shape AS "SHAPE"
    FROM footprint_master m
    LEFT JOIN asset s ON s.id = m.asset_id
    LEFT JOIN LATERAL (SELECT a.name, a.source FROM arrival a WHERE a.asset_id = m.asset_id AND a.state = 'archived'
                       ORDER BY a.id LIMIT 1) o ON true;

-- What the footprint of every strip image should say by its granule and its files. `path` and `browse` are as in asset;
-- country, zone and stereo partner are not among it: they depend on other rows.
CREATE VIEW footprint_fresh AS
    SELECT g.id AS granule_id, g.state, g.superseded_by, f.id AS asset_id, f.state AS asset_state, f.removal,
           g.search ->> 'strip_id' AS strip_id, g.search ->> 'scene_id' AS scene_id, g.search ->> 'catalog_id' AS catalog_id,
           g.search ->> 'order_id' AS order_id, g.search ->> 'prod_code' AS prod_code, g.search ->> 'spec_type' AS spec_type,
           CASE WHEN lower(g.sensing) = upper(g.sensing) THEN lower(g.sensing) END AS acq_time,  -- else only the day is known
           (g.search ->> 'cloudcover')::float AS cloudcover,
           (g.search ->> 'cent_lat')::float AS cent_lat, (g.search ->> 'cent_long')::float AS cent_long,
           (g.search ->> 'columns')::integer AS columns, (g.search ->> 'rows')::integer AS rows,
           (g.search ->> 'bits_pixel')::integer AS bits_pixel, g.search ->> 'file_fmt' AS file_fmt,
           (g.search ->> 'off_nadir')::float AS off_nadir, (g.search ->> 'sun_elev')::float AS sun_elev,
           (g.search ->> 'prod_gsd')::float AS prod_gsd, (g.search ->> 'ref_height')::float AS ref_height,
           (g.search ->> 'xtrackva')::float AS xtrackva, f.path, b.path AS browse, g.sensor,
           (g.search ->> 'bands')::integer AS bands, g.stored_at AS added_date, f.size / 1e9::float AS file_sz,
           (g.search ->> 'avsunazim')::float AS avsunazim, (g.search ->> 'avtargetaz')::float AS avtargetaz,
           (lower(g.sensing) AT TIME ZONE 'UTC')::date AS acq_date,
           extract(year FROM lower(g.sensing) AT TIME ZONE 'UTC')::integer AS acq_year,
           coalesce(g.search ->> 'prod_short', substr(g.search ->> 'prod_code', 2, 2)) AS prod_short,
           (g.search ->> 'det_pitch')::float AS det_pitch, (g.search ->> 'intrackva')::float AS intrackva,
           extract(month FROM lower(g.sensing) AT TIME ZONE 'UTC')::integer AS acq_month, g.source,
           g.footprint AS shape,
           (SELECT max(t.value::integer) FROM jsonb_each_text(g.search -> 'tdi') AS t) AS tdi,
           substring(g.search ->> 'order_id' FROM 'P\d{3}$') AS part, g.search ->> 'tile' AS tile, g.created AS generated,
           g.area_km2
    FROM granule g
    -- From link to file one by one: while a bulk load has no statistics yet, the planner would read all files for each image.
    LEFT JOIN LATERAL (SELECT s.* FROM granule_asset l
                       CROSS JOIN LATERAL (SELECT * FROM asset a WHERE a.id = l.asset_id OFFSET 0) s
                       WHERE l.granule_id = g.id AND s.role = 'data'
                       ORDER BY s.state = 'archived' DESC, l.preferred DESC, s.id LIMIT 1) f ON true
    LEFT JOIN LATERAL (SELECT s.path FROM granule_asset l
                       CROSS JOIN LATERAL (SELECT * FROM asset a WHERE a.id = l.asset_id OFFSET 0) s
                       WHERE l.granule_id = g.id AND s.role = 'browse' AND s.state = 'archived'
                       ORDER BY s.path ~* '-browse[.]jpe?g$' DESC, s.path LIMIT 1) b ON true
    WHERE g.search ? 'image';  -- what the reader of strips writes for each image, and nothing else does

-- Country and data zone of these granules by their present footprints: the one that holds most of it; else the nearest
-- within the radius; else null, as for a footprint that is none on Earth; each granule has its row. Of equals, the first by
-- name or number, so that the answer never depends on row order. Granule by granule: nothing that is joined as a whole
-- could make the planner read all granules for a handful, or compare all of many with all.
CREATE FUNCTION footprint_places(granules bigint[], radius_km double precision)
RETURNS TABLE (granule_id bigint, country text, zone_id integer) STABLE LANGUAGE sql AS $$
    SELECT s.id, coalesce(c.name, near_country.name), coalesce(z.zone_id, near_zone.zone_id)
    FROM unnest(granules) AS n (id)
    CROSS JOIN LATERAL (
        SELECT g.id, CASE WHEN ST_IsValid(g.footprint) AND g.footprint @ ST_MakeEnvelope(-180, -90, 180, 90, 4326)
                          THEN g.footprint END AS footprint
        FROM granule g WHERE g.id = n.id OFFSET 0) s
    LEFT JOIN LATERAL (
        SELECT m.name FROM (SELECT b.name, b.boundary, count(*) OVER () AS others FROM country b
                            WHERE ST_Intersects(b.boundary, s.footprint)) m
        ORDER BY CASE WHEN m.others > 1 THEN ST_Area(ST_Transform(ST_Intersection(m.boundary, s.footprint), 6933)) END DESC,
                 m.name LIMIT 1) c ON true
    LEFT JOIN LATERAL (
        SELECT m.zone_id FROM (SELECT b.zone_id, b.boundary, count(*) OVER () AS others FROM data_zone b
                               WHERE ST_Intersects(b.boundary, s.footprint)) m
        ORDER BY CASE WHEN m.others > 1 THEN ST_Area(ST_Transform(ST_Intersection(m.boundary, s.footprint), 6933)) END DESC,
                 m.zone_id LIMIT 1) z ON true
    LEFT JOIN LATERAL (
        SELECT p.name FROM country_piece p
        WHERE c.name IS NULL AND ST_DWithin(p.piece, s.footprint::geography, radius_km * 1000, false)
        ORDER BY ST_Distance(p.piece, s.footprint::geography, false), p.name LIMIT 1) near_country ON true
    LEFT JOIN LATERAL (
        SELECT p.zone_id FROM data_zone p
        WHERE z.zone_id IS NULL AND ST_DWithin(p.boundary::geography, s.footprint::geography, radius_km * 1000, false)
        ORDER BY ST_Distance(p.boundary::geography, s.footprint::geography, false), p.zone_id LIMIT 1) near_zone ON true
$$;

-- One evaluation of the master footprints.
CREATE TABLE mfp_run (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    actor       text NOT NULL,
    params      jsonb NOT NULL DEFAULT '{}',
    verdict     text CHECK (verdict IN ('success', 'failed')),
    counts      jsonb,
    coverage    jsonb,
    digest      bytea                       -- of findings, choices and coverage: equal for an equal archive
);

CREATE TABLE mfp_finding (
    run_id     bigint NOT NULL REFERENCES mfp_run ON DELETE CASCADE,
    granule_id bigint REFERENCES granule,
    key        text NOT NULL,               -- of the granule, or the file that has none
    sensor     text NOT NULL,
    code       text NOT NULL,               -- E01 … E14
    level      text NOT NULL CHECK (level IN ('error', 'warning', 'info')),
    reason     text NOT NULL,
    hint       text NOT NULL DEFAULT '',
    place      geometry(Point, 4326)
);
CREATE INDEX mfp_finding_run ON mfp_finding (run_id, sensor, code);

CREATE TABLE mfp_statistic (
    run_id     bigint NOT NULL REFERENCES mfp_run ON DELETE CASCADE,
    sensor     text NOT NULL,
    year       integer,                     -- null: undated
    rows       bigint NOT NULL,
    area_km2   double precision NOT NULL DEFAULT 0,
    union_km2  double precision,
    cloud_free double precision,            -- share of the area
    UNIQUE NULLS NOT DISTINCT (run_id, sensor, year)
);

-- What the newest look at a raster's bytes found.
CREATE TABLE validation (
    asset_id   bigint PRIMARY KEY REFERENCES asset,
    checked_at timestamptz NOT NULL DEFAULT now(),
    mode       text NOT NULL CHECK (mode IN ('header', 'sample', 'full')),
    verdict    text NOT NULL CHECK (verdict IN ('good', 'bad', 'unsupported', 'no_raster')),
    findings   jsonb NOT NULL DEFAULT '[]',
    checksums  jsonb NOT NULL DEFAULT '[]'
);
CREATE INDEX validation_oldest ON validation (checked_at);
CREATE INDEX validation_bad ON validation (asset_id) WHERE verdict = 'bad';

-- A set of files and rows that is removed as a whole, or not at all.
CREATE TABLE removal_set (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash    bytea NOT NULL UNIQUE,
    kind    text NOT NULL CHECK (kind IN ('duplicates', 'list', 'rule')),
    made_at timestamptz NOT NULL DEFAULT now(),
    actor   text NOT NULL,
    state   text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'approved', 'applied', 'undone')),
    counts  jsonb NOT NULL DEFAULT '{}',
    reason  text NOT NULL DEFAULT ''
);

CREATE TABLE removal_item (
    set_id     bigint NOT NULL REFERENCES removal_set ON DELETE CASCADE,
    granule_id bigint NOT NULL REFERENCES granule,
    asset_id   bigint NOT NULL REFERENCES asset,
    path       text NOT NULL COLLATE "C",   -- relative to storage
    bytes      bigint NOT NULL,
    keeper_id  bigint REFERENCES granule,
    reason     text NOT NULL,
    trash_path text COLLATE "C",            -- relative to the trash
    -- marked: on its way out, or back after that was cut short; spared: it stayed, and the set is done with it.
    state      text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'marked', 'trashed', 'spared', 'undone')),
    why        text NOT NULL DEFAULT '',    -- it was spared
    PRIMARY KEY (set_id, granule_id, asset_id)
);
CREATE INDEX removal_item_asset ON removal_item (asset_id);
CREATE INDEX removal_item_granule ON removal_item (granule_id);
CREATE INDEX removal_item_keeper ON removal_item (keeper_id) WHERE keeper_id IS NOT NULL;
CREATE INDEX asset_tombstone ON asset (path) WHERE state = 'deleted';
