-- Product generation: planned runs, the inputs frozen for them, and what they made.

-- One planned run of one PGE over one period. Rows stay: they are the history of what was made, and from what.
CREATE TABLE pge_instance (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pge         text NOT NULL,              -- of the catalogue
    version     text NOT NULL,
    period_key  text NOT NULL,              -- a granule's key, or platform and time, or platform and orbit
    platform    text NOT NULL DEFAULT '',   -- empty: the period spans platforms
    sensing     tstzrange NOT NULL,         -- the period
    state       text NOT NULL CHECK (state IN ('waiting', 'ready', 'running', 'delivered', 'done', 'failed',
                                               'expired', 'cancelled', 'superseded')),
    input_hash  bytea,                      -- of the identities of all inputs, once they are frozen; never of row numbers
    selected    bytea,                      -- while waiting: of the required inputs found so far
    reason      text,                       -- stable code of why it failed, expired or was set aside
    detail      text,                       -- for a person
    missing     jsonb NOT NULL DEFAULT '[]', -- [{"input", "have", "need", "expected", "optional", "until"}]
    priority    integer NOT NULL DEFAULT 50,
    queue       text NOT NULL DEFAULT 'default',
    tries       integer NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now(),
    settled_at  timestamptz,                -- while waiting: since when the required inputs suffice and stand unchanged
    ready_at    timestamptz,
    started_at  timestamptz,
    finished_at timestamptz,
    expires_at  timestamptz,                -- a waiting one that cannot run by then is hopeless
    wake_at     timestamptz,                -- while waiting: when time alone may change its fate; while stale: when to look again
    stale_at    timestamptz,                -- since when better inputs are known than those it was made from
    claim       uuid,                       -- fencing token of the worker that runs it
    owner       text,
    lease_until timestamptz,
    run         jsonb,                      -- {"exit_status", "wall_seconds", "cpu_seconds", "peak_bytes"}
    log_tail    text,
    folder      text,
    delivery    integer NOT NULL DEFAULT 1, -- which one this is or will be: landing/pge/<id>-<delivery>/
    supersedes  bigint REFERENCES pge_instance,
    CHECK (state = 'waiting' OR input_hash IS NOT NULL OR state IN ('expired', 'cancelled', 'superseded'))
);
-- Never the same work twice, and one live instance for each period: the last guards behind the planner's own lock.
CREATE UNIQUE INDEX pge_instance_inputs ON pge_instance (pge, version, input_hash) WHERE input_hash IS NOT NULL;
CREATE UNIQUE INDEX pge_instance_period ON pge_instance (pge, version, period_key)
    WHERE state IN ('waiting', 'ready', 'running', 'delivered', 'done', 'failed');
CREATE INDEX pge_instance_sensing ON pge_instance (pge, (lower(sensing)))
    WHERE state IN ('waiting', 'ready', 'running', 'delivered', 'done', 'failed', 'expired');
CREATE INDEX pge_instance_wake ON pge_instance (wake_at, id) WHERE state = 'waiting';
CREATE INDEX pge_instance_queue ON pge_instance (queue, priority DESC, ready_at, id) WHERE state = 'ready';
CREATE INDEX pge_instance_open ON pge_instance (state) WHERE state IN ('running', 'delivered', 'failed');
CREATE INDEX pge_instance_stale ON pge_instance (wake_at, id) WHERE stale_at IS NOT NULL;
CREATE INDEX pge_instance_unbegun ON pge_instance (pge, expires_at) WHERE state IN ('waiting', 'ready');

-- What an instance is made from, frozen when it becomes ready. While it is ready, running or delivered, these rows hold
-- the files against retention. They are written together with the instance and copied from granule_asset and asset; rows of
-- all three stay, so no foreign keys are checked: that would cost as much as all the rest of planning.
CREATE TABLE pge_input (
    instance_id bigint NOT NULL,
    input       text NOT NULL,              -- name in the definition
    ordinal     integer NOT NULL,           -- order in which the PGE gets them
    granule_id  bigint,                     -- null: a file outside the archive
    asset_id    bigint,
    path        text,                       -- of a file outside the archive
    digest      bytea NOT NULL,             -- BLAKE3
    PRIMARY KEY (instance_id, input, ordinal),
    CHECK ((granule_id IS NULL) = (asset_id IS NULL) AND (granule_id IS NULL) = (path IS NOT NULL))
);
CREATE INDEX pge_input_granule ON pge_input (granule_id) WHERE granule_id IS NOT NULL;
CREATE INDEX pge_input_asset ON pge_input (asset_id) WHERE asset_id IS NOT NULL;

-- Files outside the archive that PGEs use, as they were read last: one is read again when its mark has changed.
CREATE TABLE pge_static (
    path   text PRIMARY KEY,                -- as the definition says it
    mark   text NOT NULL,                   -- device, inode, size, times
    digest bytea NOT NULL                   -- BLAKE3
);

-- What an instance delivered.
CREATE TABLE pge_output (
    instance_id bigint NOT NULL REFERENCES pge_instance ON DELETE CASCADE,
    name        text NOT NULL,              -- file name in landing/pge/<instance>-<delivery>/
    product     text NOT NULL,              -- product type
    digest      bytea NOT NULL,             -- BLAKE3
    size        bigint NOT NULL,
    granule_id  bigint REFERENCES granule,  -- null until it is archived
    PRIMARY KEY (instance_id, name)
);
CREATE INDEX pge_output_granule ON pge_output (granule_id) WHERE granule_id IS NOT NULL;
CREATE INDEX pge_output_digest ON pge_output (digest);
CREATE INDEX pge_output_name ON pge_output (name);

-- Up to which event planning has looked at granules that became visible: for each PGE, and (under no name) at all. A new
-- PGE begins where planning stands; what was there before is planned on request. A broken one catches up when repaired.
CREATE TABLE pge_watermark (
    pge      text PRIMARY KEY,
    event_id bigint NOT NULL
);
INSERT INTO pge_watermark (pge, event_id) SELECT '', coalesce(max(id), 0) FROM event;

ALTER TABLE event DROP CONSTRAINT event_subject_check;
ALTER TABLE event ADD CONSTRAINT event_subject_check CHECK (subject IN ('arrival', 'granule', 'asset', 'pge_instance'));
CREATE INDEX event_archived ON event (id) WHERE subject = 'granule' AND to_state = 'archived';

-- As before; but who makes granules visible holds lock 7006 shared until his events are committed. Nobody ever waits for it:
-- who has seen the newest such event, and then the end of everyone who held it, knows that no older one is still to come.
CREATE OR REPLACE FUNCTION record_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    who text := coalesce(nullif(current_setting('orbitory.actor', true), ''), session_user);
    run_number bigint := nullif(current_setting('orbitory.run', true), '')::bigint;
BEGIN
    IF tg_table_name = 'granule' AND tg_op <> 'DELETE' THEN
        IF EXISTS (SELECT FROM after_rows WHERE state = 'archived') THEN
            PERFORM pg_advisory_xact_lock_shared(7006);
        END IF;
    END IF;
    IF tg_op = 'INSERT' THEN
        INSERT INTO event (actor, run_id, subject, to_state, ids)
        SELECT who, run_number, tg_table_name, state, range_agg(int8range(id, id, '[]')) FROM after_rows GROUP BY state ORDER BY state;
    ELSIF tg_op = 'DELETE' THEN  -- only what never was complete: its sender withdrew or renamed it
        INSERT INTO event (actor, run_id, subject, from_state, to_state, ids)
        SELECT who, run_number, tg_table_name, state, 'gone', range_agg(int8range(id, id, '[]')) FROM before_rows GROUP BY state ORDER BY state;
    ELSE
        INSERT INTO event (actor, run_id, subject, from_state, to_state, ids)
        SELECT who, run_number, tg_table_name, b.state, a.state, range_agg(int8range(id, id, '[]'))
        FROM after_rows a JOIN before_rows b USING (id)
        WHERE a.state <> b.state GROUP BY b.state, a.state ORDER BY b.state, a.state;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER pge_instance_inserted AFTER INSERT ON pge_instance REFERENCING NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_event();
CREATE TRIGGER pge_instance_updated AFTER UPDATE ON pge_instance REFERENCING OLD TABLE AS before_rows
    NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION record_event();
CREATE TRIGGER pge_instance_deleted AFTER DELETE ON pge_instance REFERENCING OLD TABLE AS before_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_event();
