-- Retention: what holds granules, whose expiry was changed, what was withdrawn, what the incinerator did.

-- Whoever needs a granule says so here: while a hold is active, nothing takes the granule out of the archive.
CREATE TABLE hold (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    granule_id  bigint NOT NULL REFERENCES granule,
    kind        text NOT NULL CHECK (kind IN ('person', 'pge', 'subscription', 'export', 'legal')),
    reason      text NOT NULL CHECK (reason <> ''),
    owner       text NOT NULL,
    placed      timestamptz NOT NULL DEFAULT now(),
    until       timestamptz,                -- null: until it is released
    released    timestamptz,
    released_by text,
    CHECK ((released IS NULL) = (released_by IS NULL))
);
CREATE INDEX hold_active ON hold (granule_id) WHERE released IS NULL;

-- Every change of an expiry after a granule was stored: only people make any, by its date or by a withdrawal.
CREATE TABLE expiry_change (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    granule_id bigint NOT NULL REFERENCES granule,
    before     timestamptz,                 -- null: never
    after      timestamptz,
    reason     text NOT NULL CHECK (reason <> ''),
    actor      text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX expiry_change_granule ON expiry_change (granule_id);

-- Granules that their provider calls bad: hidden at once, and gone after a while.
CREATE TABLE withdrawal (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    granule_id bigint NOT NULL REFERENCES granule,
    reason     text NOT NULL CHECK (reason <> ''),
    actor      text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    before     timestamptz,                 -- its expiry until then
    after      timestamptz,                 -- and from then on
    undone_at  timestamptz
);
CREATE UNIQUE INDEX withdrawal_granule ON withdrawal (granule_id) WHERE undone_at IS NULL;

-- One run of the incinerator.
CREATE TABLE retention_run (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor       text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    verdict     text CHECK (verdict IN ('success', 'failed'))
);
CREATE INDEX retention_run_open ON retention_run (actor) WHERE finished_at IS NULL;

-- What each rule of a run did; a rule that is tried again is counted anew.
CREATE TABLE retention_statistic (
    run_id  bigint NOT NULL REFERENCES retention_run ON DELETE CASCADE,
    rule    text NOT NULL,
    removed bigint NOT NULL,                -- granules, files, links or folders
    bytes   bigint NOT NULL,
    blocked bigint NOT NULL,                -- expired, but somebody needs them or must approve
    failed  bigint NOT NULL,                -- could not be removed; the next run tries again
    trouble text NOT NULL DEFAULT '',       -- the first of the failures, or what it waited for, in words
    skipped boolean NOT NULL DEFAULT false, -- somebody else was at work there
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, rule)
);

-- Product types of which more expired than may go unseen: one question at a time.
CREATE TABLE expiry_question (
    product_type text PRIMARY KEY,          -- or 'all-types'
    asked_at     timestamptz NOT NULL DEFAULT now(),
    answered_at  timestamptz,               -- null: it waits
    approved     boolean,                   -- null: it waits, or there was nothing to decide
    next_at      timestamptz NOT NULL       -- the next one may be put then
);

-- What has expired is found by this alone, however much is kept and of however many products; in the order in which it goes.
DROP INDEX granule_expiry;
CREATE INDEX granule_expiry ON granule (expires_at, id) INCLUDE (product, state)
    WHERE expires_at IS NOT NULL AND state IN ('archived', 'withdrawn');

-- Only what is visible is searched for: what comes and goes writes no entry for each of its states.
DROP INDEX granule_place_time, granule_time;
CREATE INDEX granule_place_time ON granule USING gist (footprint, sensing) WHERE state = 'archived';
CREATE INDEX granule_time ON granule ((lower(sensing)), id) WHERE state = 'archived';

ALTER TABLE removal_set DROP CONSTRAINT removal_set_kind_check;
ALTER TABLE removal_set ADD CONSTRAINT removal_set_kind_check CHECK (kind IN ('duplicates', 'list', 'rule', 'expired'));
ALTER TABLE removal_item DROP CONSTRAINT removal_item_state_check;
ALTER TABLE removal_item ADD CONSTRAINT removal_item_state_check
    CHECK (state IN ('planned', 'marked', 'trashed', 'emptied', 'spared', 'undone'));  -- emptied: nothing brings it back any more
ALTER TABLE removal_item ADD COLUMN withdrawn boolean NOT NULL DEFAULT false;  -- so was the granule when it left
ALTER TABLE removal_item ADD COLUMN suspect boolean NOT NULL DEFAULT false;    -- so was the file: it may be missing
ALTER TABLE removal_item ADD COLUMN trashed_at timestamptz;
UPDATE removal_item SET trashed_at = now() WHERE state = 'trashed';  -- the window begins when there is one
CREATE INDEX removal_item_trashed ON removal_item (trashed_at, set_id) WHERE state = 'trashed' AND trash_path IS NOT NULL;
CREATE INDEX removal_item_emptied ON removal_item (set_id) WHERE state = 'emptied' AND trash_path IS NOT NULL;

-- When a rejected file was taken out of quarantine because its time was over; its path goes once the file has gone.
ALTER TABLE arrival ADD COLUMN expired_at timestamptz;
