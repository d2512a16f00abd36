-- Ingest: arrivals, batches, granules, assets, and an event for every change of state.

CREATE EXTENSION IF NOT EXISTS postgis;
CREATE EXTENSION IF NOT EXISTS btree_gist;

-- One run of one source's ingest, by Airflow or by hand.
CREATE TABLE ingest_run (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text NOT NULL,
    actor       text NOT NULL,              -- who or what started it: dag/run id, or user@host and pid
    session     boolean NOT NULL,           -- true: alive while its starter's database session holds lock (7001, id)
    params      jsonb NOT NULL DEFAULT '{}',
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    verdict     text CHECK (verdict IN ('success', 'failed')),
    counts      jsonb                       -- the report's figures, in files
);
CREATE UNIQUE INDEX ingest_run_actor ON ingest_run (source, actor);
CREATE INDEX ingest_run_source ON ingest_run (source, id DESC);

-- A bounded slice of one sensor's arrivals: the unit of mapping, claimed by one worker at a time.
CREATE TABLE batch (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      bigint NOT NULL REFERENCES ingest_run,
    source      text NOT NULL,
    partition   text NOT NULL,              -- sensor
    files       integer NOT NULL,
    bytes       bigint NOT NULL,
    claim       uuid,                       -- fencing token: every update of the batch's rows must present it
    owner       text,                       -- who holds the claim, for people
    tries       integer NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL,       -- past this (database clock) another run may adopt the arrivals
    careful     boolean NOT NULL DEFAULT false,  -- a sync failed once: place by copy, fsync each file
    done_at     timestamptz
);
CREATE INDEX batch_run ON batch (run_id);
CREATE INDEX batch_open ON batch (source) WHERE done_at IS NULL;

-- A file seen in a landing zone. Rows stay for ever: they are the ledger.
CREATE TABLE arrival (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source          text NOT NULL,
    path            bytea NOT NULL,         -- relative to the source's landing folder, as the bytes the file system holds
    name            text NOT NULL,          -- the same, readable: undecodable bytes as \xNN
    role            text NOT NULL CHECK (role IN ('data', 'checksum', 'manifest', 'unknown')),
    unit_id         bigint REFERENCES arrival ON DELETE SET NULL,  -- sidecars: the data file whose fate they share
    run_id          bigint NOT NULL REFERENCES ingest_run,
    batch_id        bigint REFERENCES batch,
    state           text NOT NULL CHECK (state IN ('waiting', 'detected', 'verified', 'extracted', 'stored',
                                                   'archived', 'rejected', 'duplicate', 'conflict', 'lost')),
    landed          boolean NOT NULL DEFAULT true,  -- the name still stands in the landing zone
    reason          text,                   -- code of model.REASONS, or why it waits
    stage           text,                   -- step that decided
    detail          text,                   -- for a person
    sensor          text NOT NULL DEFAULT '',
    sensing_start   timestamptz,            -- from the name: order of work, and of winners
    sensing_end     timestamptz,
    dev             bigint NOT NULL,
    ino             bigint NOT NULL,
    size            bigint NOT NULL,
    mtime_ns        bigint NOT NULL,
    ctime_ns        bigint NOT NULL,
    first_seen      timestamptz NOT NULL DEFAULT now(),
    changed_at      timestamptz NOT NULL DEFAULT now(),   -- when its identity (size, mtime, …) was last seen to change
    announced       jsonb NOT NULL DEFAULT '[]',          -- [{"algorithm","value","size","origin"}]
    digest          bytea,                  -- BLAKE3 of the bytes
    asset_id        bigint,                 -- archived: its asset; duplicate, conflict: the stored one it met
    quarantine_path bytea                   -- relative to the quarantine root
);
CREATE UNIQUE INDEX arrival_landed ON arrival (source, path) WHERE landed;
CREATE INDEX arrival_batch ON arrival (batch_id);
CREATE INDEX arrival_run ON arrival (run_id, state);
CREATE INDEX arrival_unit ON arrival (unit_id) WHERE unit_id IS NOT NULL;
CREATE INDEX arrival_name ON arrival (name text_pattern_ops);
CREATE INDEX arrival_quarantined ON arrival (source, id) WHERE state IN ('rejected', 'conflict') AND quarantine_path IS NOT NULL;

-- What extract learned, until store has used it. Derived data: lost in a database crash, extract is repeated.
CREATE UNLOGGED TABLE extracted_file (
    arrival_id bigint PRIMARY KEY,
    kind       text NOT NULL,
    header     bytea NOT NULL,
    findings   jsonb NOT NULL
);
CREATE UNLOGGED TABLE extracted_granule (
    arrival_id bigint NOT NULL,
    ordinal    integer NOT NULL,
    product text NOT NULL, key text NOT NULL, sensor text NOT NULL, platform text NOT NULL, collection text NOT NULL,
    version text NOT NULL, created timestamptz, sensing_start timestamptz, sensing_end timestamptz, orbit integer,
    footprint geometry(MultiPolygon, 4326), area_km2 double precision, search jsonb NOT NULL,
    PRIMARY KEY (arrival_id, ordinal)
);

-- The smallest independently managed item. Visible to users only when archived.
CREATE TABLE granule (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source         text NOT NULL,
    product        text NOT NULL,
    key            text NOT NULL,
    version        text NOT NULL DEFAULT '',
    version_rank   integer NOT NULL DEFAULT 0,  -- A10 after A9
    created        timestamptz,                 -- by its producer
    state          text NOT NULL CHECK (state IN ('stored', 'archived', 'withdrawn', 'deleting', 'deleted')),
    superseded_by  bigint REFERENCES granule,
    platform       text NOT NULL DEFAULT '',
    sensor         text NOT NULL,
    collection     text NOT NULL DEFAULT '',
    sensing        tstzrange,
    orbit          integer,
    footprint      geometry(MultiPolygon, 4326),
    area_km2       double precision,
    search         jsonb NOT NULL DEFAULT '{}',
    classification text NOT NULL DEFAULT 'itar'
                   CHECK (classification IN ('unrestricted', 'proprietary', 'licensed', 'itar')),
    expires_at     timestamptz,
    stored_at      timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX granule_identity ON granule (key, version_rank, created) NULLS NOT DISTINCT WHERE state <> 'deleted';
CREATE INDEX granule_place_time ON granule USING gist (footprint, sensing);
CREATE INDEX granule_product_time ON granule (product, (lower(sensing)), id);
CREATE INDEX granule_time ON granule ((lower(sensing)), id);
CREATE INDEX granule_expiry ON granule (expires_at) WHERE expires_at IS NOT NULL;

-- One archived file. Several granules may share it (aggregates, several products), and a granule may have several
-- (repackaging, sidecars).
CREATE TABLE asset (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path            text NOT NULL COLLATE "C",  -- relative to storage
    role            text NOT NULL CHECK (role IN ('data', 'checksum', 'manifest')),
    state           text NOT NULL CHECK (state IN ('stored', 'archived', 'deleting', 'deleted')),
    kind            text NOT NULL,
    size            bigint NOT NULL,
    digest          bytea NOT NULL,             -- BLAKE3
    checksums       jsonb NOT NULL DEFAULT '[]',  -- announced ones that were checked; empty: computed by us alone
    findings        jsonb NOT NULL DEFAULT '[]',
    header          bytea NOT NULL DEFAULT '',  -- zlib-compressed JSON
    fixity_at       timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX asset_path ON asset (path) WHERE state <> 'deleted';
CREATE INDEX asset_digest ON asset (digest);
ALTER TABLE arrival ADD FOREIGN KEY (asset_id) REFERENCES asset;
CREATE INDEX arrival_asset ON arrival (asset_id) WHERE asset_id IS NOT NULL;

CREATE TABLE granule_asset (
    granule_id bigint NOT NULL REFERENCES granule,
    asset_id   bigint NOT NULL REFERENCES asset,
    preferred  boolean NOT NULL DEFAULT true,  -- the packaging to hand out where several hold the granule
    PRIMARY KEY (granule_id, asset_id)
);
CREATE INDEX granule_asset_asset ON granule_asset (asset_id);

-- The newest archived version of each granule: what users see by default.
CREATE VIEW granule_current AS
    SELECT * FROM granule g
    WHERE state = 'archived'
      AND NOT EXISTS (SELECT FROM granule n WHERE n.id = g.superseded_by AND n.state = 'archived');

-- Figures of each run by partition and state, written by report; the ledger must agree with them.
CREATE TABLE ingest_statistic (
    run_id    bigint NOT NULL REFERENCES ingest_run,
    source    text NOT NULL,
    sensor    text NOT NULL,
    state     text NOT NULL,
    files     bigint NOT NULL,
    bytes     bigint NOT NULL,
    PRIMARY KEY (run_id, sensor, state)
);

-- Append-only: who moved which rows from which state to which, in which run. Ids are kept as a multirange, so that a
-- batch of 20,000 arrivals is one small row.
CREATE TABLE event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text NOT NULL,
    run_id     bigint,
    subject    text NOT NULL CHECK (subject IN ('arrival', 'granule', 'asset')),
    from_state text,
    to_state   text NOT NULL,
    ids        int8multirange NOT NULL
);
CREATE INDEX event_ids ON event USING gist (ids);

CREATE FUNCTION record_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    who text := coalesce(nullif(current_setting('orbitory.actor', true), ''), session_user);
    run bigint := nullif(current_setting('orbitory.run', true), '')::bigint;
BEGIN
    IF tg_op = 'INSERT' THEN
        INSERT INTO event (actor, run_id, subject, to_state, ids)
        SELECT who, run, tg_table_name, state, range_agg(int8range(id, id, '[]')) FROM after_rows GROUP BY state ORDER BY state;
    ELSIF tg_op = 'DELETE' THEN  -- only what never was complete: its sender withdrew or renamed it
        INSERT INTO event (actor, run_id, subject, from_state, to_state, ids)
        SELECT who, run, tg_table_name, state, 'gone', range_agg(int8range(id, id, '[]')) FROM before_rows GROUP BY state ORDER BY state;
    ELSE
        INSERT INTO event (actor, run_id, subject, from_state, to_state, ids)
        SELECT who, run, tg_table_name, b.state, a.state, range_agg(int8range(id, id, '[]'))
        FROM after_rows a JOIN before_rows b USING (id)
        WHERE a.state <> b.state GROUP BY b.state, a.state ORDER BY b.state, a.state;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event table is append-only: history is never rewritten';
END $$;
CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['arrival', 'granule', 'asset'] LOOP
        EXECUTE format('CREATE TRIGGER %1$s_inserted AFTER INSERT ON %1$I REFERENCING NEW TABLE AS after_rows
                        FOR EACH STATEMENT EXECUTE FUNCTION record_event()', t);
        EXECUTE format('CREATE TRIGGER %1$s_updated AFTER UPDATE ON %1$I REFERENCING OLD TABLE AS before_rows
                        NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION record_event()', t);
        EXECUTE format('CREATE TRIGGER %1$s_deleted AFTER DELETE ON %1$I REFERENCING OLD TABLE AS before_rows
                        FOR EACH STATEMENT EXECUTE FUNCTION record_event()', t);
    END LOOP;
END $$;
