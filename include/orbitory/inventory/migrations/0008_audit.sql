-- The audit of the archive and its second copy.

-- 'suspect': the audit found the file missing or damaged. It is neither handed out nor deleted, and archived again once it is whole.
ALTER TABLE asset DROP CONSTRAINT asset_state_check;
ALTER TABLE asset ADD CONSTRAINT asset_state_check CHECK (state IN ('stored', 'archived', 'suspect', 'deleting', 'deleted'));
CREATE INDEX asset_fixity ON asset (fixity_at, id) WHERE state IN ('archived', 'suspect');
CREATE INDEX asset_suspect ON asset (id) WHERE state = 'suspect';

-- One pass over one partition of storage: all of its names held against the inventory, or its longest unread files read.
CREATE TABLE scan (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('reconcile', 'fixity')),
    partition   text NOT NULL,              -- where its range of paths begins
    actor       text NOT NULL,              -- the run: a task tried again goes on with the same row
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,                -- null: at work, or cut short
    files       bigint NOT NULL DEFAULT 0,  -- seen or read so far
    bytes       bigint NOT NULL DEFAULT 0,
    UNIQUE (actor, kind, partition)
);
CREATE INDEX scan_started ON scan (kind, started_at);

-- What such passes found: dark (a file that no row speaks of), missing, damaged. Of each path one is open until it is in order again.
CREATE TABLE scan_finding (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('dark', 'missing', 'damaged')),
    path       bytea NOT NULL,              -- below storage, as the file system holds it
    name       text NOT NULL,               -- the same, readable
    asset_id   bigint REFERENCES asset,     -- null: dark
    size       bigint,                      -- of the ordinary file on disk
    detail     text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen  timestamptz NOT NULL DEFAULT now(),
    agreed_at  timestamptz NOT NULL DEFAULT now(),  -- when a look last counted: the next that counts is of another run, and some time later
    scans      integer NOT NULL,            -- looks that agreed
    actor      text NOT NULL,               -- the run that saw it last
    acted_at   timestamptz,                 -- since when a missing or damaged file is suspect, or a dark one in quarantine
    moved_to   bytea,                       -- below quarantine: where a dark or damaged file stands, or, while this is open, is about to
    closed_at  timestamptz,
    outcome    text CHECK (outcome IN ('quarantined', 'repaired', 'whole', 'gone')),
    CHECK ((closed_at IS NULL) = (outcome IS NULL)),
    CHECK ((kind = 'dark') = (asset_id IS NULL))
);
CREATE UNIQUE INDEX scan_finding_open ON scan_finding (path) WHERE closed_at IS NULL;
CREATE INDEX scan_finding_asset ON scan_finding (asset_id) WHERE asset_id IS NOT NULL;
CREATE INDEX scan_finding_moved ON scan_finding (id) WHERE moved_to IS NOT NULL;
CREATE INDEX scan_finding_closed ON scan_finding (closed_at) WHERE closed_at IS NOT NULL;

-- Mirrors that were written to: the number stands in the folder's sentinel, so that no other site or mirror writes there.
CREATE TABLE mirror (
    name      text PRIMARY KEY,
    number    uuid NOT NULL DEFAULT gen_random_uuid(),
    products  text[],                       -- what the last whole pass was asked to copy
    whole_at  timestamptz,                  -- when it began
    passed_at timestamptz                   -- when the last pass began: what was archived before is copied, or a whole pass tries it again
);
-- Of which sources and products there is anything.
CREATE INDEX granule_source_product ON granule (source, product);

-- Files of which a second copy stands in a mirror, under the path that they have in storage.
CREATE TABLE mirror_copy (
    mirror      text NOT NULL,
    asset_id    bigint NOT NULL REFERENCES asset,
    copied_at   timestamptz NOT NULL DEFAULT now(),
    verified_at timestamptz DEFAULT now(),  -- when its bytes were last seen to agree with the inventory; null: they did not, at the last look
    PRIMARY KEY (mirror, asset_id)
);
CREATE INDEX mirror_copy_asset ON mirror_copy (asset_id);
CREATE INDEX mirror_copy_bad ON mirror_copy (mirror, asset_id) WHERE verified_at IS NULL;
CREATE INDEX mirror_copy_oldest ON mirror_copy (mirror, verified_at, asset_id);

-- Copies of files whose rows are gone (an export that was taken back): they are removed.
CREATE TABLE mirror_orphan (
    mirror text NOT NULL,
    path   text NOT NULL COLLATE "C",
    PRIMARY KEY (mirror, path)
);
