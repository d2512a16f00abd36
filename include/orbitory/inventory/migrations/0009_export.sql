-- Export from one site to another: what was copied, what stood there before, and what each granule amounts to.

-- One export. The row stands on both sides: `out` where it came from, `in` where it went.
CREATE TABLE export (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token       uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),  -- the same on both sides
    direction   text NOT NULL CHECK (direction IN ('out', 'in')),
    site        text NOT NULL,              -- name of the other side
    hash        bytea NOT NULL,             -- BLAKE3 of all differences, as they were shown
    state       text NOT NULL DEFAULT 'previewed'
                CHECK (state IN ('previewed', 'running', 'done', 'undoing', 'undone')),
    files       boolean NOT NULL,           -- files travel, too
    selection   jsonb NOT NULL,
    counts      jsonb NOT NULL,             -- the manifest: counts, bytes, guards, samples, versions
    actor       text NOT NULL,
    approval    text NOT NULL DEFAULT '',   -- who approved it and how
    made_at     timestamptz NOT NULL DEFAULT now(),
    started_at  timestamptz,
    finished_at timestamptz
);
CREATE INDEX export_hash ON export (hash);

-- A part of an export that is committed as a whole. On the side it came from all of them stand here, there those that began.
CREATE TABLE export_batch (
    export_id bigint NOT NULL REFERENCES export ON DELETE CASCADE,
    number    integer NOT NULL,
    part      text NOT NULL,                -- sensor; or '~instances': lineage that came after it
    items     bigint NOT NULL,
    rows      bigint NOT NULL DEFAULT 0,    -- that were written, of all tables
    granules  int8multirange NOT NULL DEFAULT '{}',  -- rows that came with it; still told when it was taken back
    assets    int8multirange NOT NULL DEFAULT '{}',
    arrivals  int8multirange NOT NULL DEFAULT '{}',
    instances int8multirange NOT NULL DEFAULT '{}',  -- on the side they came from: its own, so that they are brought once
    places    int8multirange NOT NULL DEFAULT '{}',  -- files that move with it: of new rows, and of rows that came without
    state     text NOT NULL CHECK (state IN ('planned', 'placing', 'done', 'taking', 'undone')),
    done_at   timestamptz,
    PRIMARY KEY (export_id, number)
);

-- A granule of an export. Rows are written together with the granule, so no foreign keys are checked.
CREATE TABLE export_item (
    export_id  bigint NOT NULL,
    batch      integer NOT NULL,
    granule_id bigint NOT NULL,             -- of this side
    there_id   bigint,                      -- of the other side
    action     text NOT NULL CHECK (action IN ('added', 'changed', 'removed')),
    digest     bigint NOT NULL,             -- what it amounts to after the export
    before     bigint,                      -- and before, there
    previous   jsonb,                       -- its rows as they were, there; null: there were none
    PRIMARY KEY (granule_id, export_id)
);
CREATE INDEX export_item_batch ON export_item (export_id, batch);

-- Granules that cannot go because the other side has edited them, or has them from elsewhere, as the newest look at them says.
CREATE TABLE export_finding (
    site       text NOT NULL,               -- the other side
    granule_id bigint NOT NULL REFERENCES granule ON DELETE CASCADE,
    why        text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, granule_id)
);

-- What refers to a row that is taken back is looked for by these.
CREATE INDEX granule_superseded ON granule (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX mfp_finding_granule ON mfp_finding (granule_id) WHERE granule_id IS NOT NULL;
CREATE INDEX reprocess_problem_asset ON reprocess_problem (asset_id);
CREATE INDEX pge_instance_supersedes ON pge_instance (supersedes) WHERE supersedes IS NOT NULL;

-- What each site finds out or rules for itself about a footprint: it is copied once, with a new row, and is in no number.
CREATE FUNCTION export_own_columns() RETURNS text[] IMMUTABLE LANGUAGE sql AS $$
    SELECT ARRAY['fpuid', 'granule_id', 'asset_id', 'keeper_id', 'added_date', 'moved_at', 's_filepath', 'p_filepath', 'previewjpg',
                 'status', 'country', 'zone_id', 'stereopair', 'pairname']
$$;

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
CREATE VIEW export_content AS
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
    SELECT bit_xor(hash_record_extended(ROW(
               s.path, s.in_place, s.role, s.state IN ('deleting', 'deleted'), s.kind, s.size, s.digest, s.checksums, s.findings,
               s.header, l.preferred OR s.state IN ('deleting', 'deleted')), 1)) AS digest
    FROM granule_asset l JOIN asset s ON s.id = l.asset_id
    WHERE l.granule_id = g.id AND s.removal IS DISTINCT FROM 'withdrawn') f ON true
LEFT JOIN LATERAL (
    SELECT hash_record_extended(ROW(%1$s), 2) AS digest FROM footprint_master r WHERE r.granule_id = g.id) m ON true
LEFT JOIN LATERAL (
    SELECT hash_record_extended(ROW(%1$s, r.reason, k.key, k.version_rank, k.created), 3) AS digest
    FROM footprint_archive r LEFT JOIN granule k ON k.id = r.keeper_id WHERE r.granule_id = g.id) a ON true
WHERE g.state <> 'deleted' OR f.digest IS NOT NULL  -- an intent that was taken back has no file that ever stood
$sql$, columns);
END $do$;

-- Give the rows of `target` all columns of those of `source` with the same id, but `own` ones; returns how many differed.
CREATE FUNCTION export_renew(target text, source text, own text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE names text; theirs text; ours text; changed bigint;
BEGIN
    SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum), string_agg(format('e.%I', attname), ', ' ORDER BY attnum),
           string_agg(format('t.%I', attname), ', ' ORDER BY attnum)
    INTO names, theirs, ours FROM pg_attribute
    WHERE attrelid = target::regclass AND attnum > 0 AND NOT attisdropped AND attname <> ALL (own || '{id}');
    EXECUTE format('UPDATE %I t SET (%s) = ROW(%s) FROM %I e WHERE e.id = t.id AND (%s) IS DISTINCT FROM (%s)',
                   target, names, theirs, source, ours, theirs);
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END $$;

-- Files whose rows have come from another site, and that have not come themselves.
CREATE FUNCTION export_without_file() RETURNS int8multirange STABLE LANGUAGE sql AS $$
    SELECT coalesce((SELECT range_agg(r) FROM export e JOIN export_batch b ON b.export_id = e.id, unnest(b.assets) AS r
                     WHERE e.direction = 'in' AND NOT e.files AND b.state = 'done'), '{}')
         - coalesce((SELECT range_agg(r) FROM export_batch b, unnest(b.places) AS r WHERE b.state = 'done'), '{}')
$$;

-- All rows of a granule as they are: to show what differs, and to bring them back letter for letter.
CREATE FUNCTION export_rows(granules bigint[]) RETURNS TABLE (granule_id bigint, rows jsonb) STABLE LANGUAGE sql AS $$
    SELECT g.id, jsonb_build_object(
        'granule', to_jsonb(g) || jsonb_build_object('footprint', encode(ST_AsEWKB(g.footprint), 'hex')),
        'assets', coalesce((SELECT jsonb_agg(to_jsonb(s) || jsonb_build_object('preferred', l.preferred) ORDER BY s.path, s.id)
                            FROM granule_asset l JOIN asset s ON s.id = l.asset_id WHERE l.granule_id = g.id), '[]'),
        'footprint_master', (SELECT to_jsonb(m) || jsonb_build_object('shape', encode(ST_AsEWKB(m.shape), 'hex'))
                             FROM footprint_master m WHERE m.granule_id = g.id),
        'footprint_archive', (SELECT to_jsonb(a) || jsonb_build_object('shape', encode(ST_AsEWKB(a.shape), 'hex'))
                              FROM footprint_archive a WHERE a.granule_id = g.id))
    FROM unnest(granules) AS n (id) JOIN granule g USING (id)
$$;

-- A path as the users of another site find it.
CREATE FUNCTION export_shown(path text, old_root text, new_root text) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE WHEN starts_with(path, old_root) THEN new_root || substr(path, length(old_root) + 1) ELSE path END
$$;
