-- Reprocessing of what is archived: who asked for what, how it was cut, and what was found.

CREATE TABLE reprocess_request (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mode        text NOT NULL CHECK (mode IN ('verify', 'extract', 'footprints')),
    products    text[] NOT NULL,            -- product types or ids, as asked for; empty: all
    sensors     text[] NOT NULL,            -- empty: all
    names       text[] NOT NULL,            -- files as they were delivered; empty: all
    sensing     tstzrange NOT NULL,         -- granules whose sensing starts in it
    reason      text NOT NULL CHECK (reason IN ('command', 'manual', 'backfill', 'scheduled')),
    actor       text NOT NULL,
    code        text NOT NULL,              -- version that does it
    files       bigint NOT NULL,
    bytes       bigint NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,                -- null: at work, or cancelled
    verdict     text CHECK (verdict IN ('success', 'failed')),
    counts      jsonb                       -- the report's figures
);
CREATE INDEX reprocess_request_actor ON reprocess_request (actor, id DESC);

-- A slice of the sensing time of a request: the unit of mapping.
CREATE TABLE reprocess_batch (
    request_id bigint NOT NULL REFERENCES reprocess_request ON DELETE CASCADE,
    number     integer NOT NULL,
    sensing    tstzrange NOT NULL,
    files      bigint NOT NULL,
    bytes      bigint NOT NULL,
    changed    bigint NOT NULL DEFAULT 0,   -- rows that were written because they differed
    done_at    timestamptz,
    PRIMARY KEY (request_id, number)
);

-- What a person must look at: damaged files, and files that this code no longer understands.
CREATE TABLE reprocess_problem (
    request_id bigint NOT NULL,
    number     integer NOT NULL,
    asset_id   bigint NOT NULL REFERENCES asset,
    code       text NOT NULL,
    detail     text NOT NULL,
    PRIMARY KEY (request_id, number, asset_id),
    FOREIGN KEY (request_id, number) REFERENCES reprocess_batch ON DELETE CASCADE
);

-- Archived granules with each unit of files that holds them (the number of the file that speaks for the unit).
CREATE VIEW granule_unit AS
    SELECT g.id AS granule_id, g.source, g.product, g.sensor, lower(g.sensing) AS sensing_start,
           a.name, coalesce(a.unit_id, a.id) AS unit_id
    FROM granule g
    JOIN granule_asset l ON l.granule_id = g.id
    JOIN asset s ON s.id = l.asset_id AND s.state = 'archived'
    JOIN arrival a ON a.asset_id = l.asset_id AND a.state = 'archived'
    WHERE g.state = 'archived';
