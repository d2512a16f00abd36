-- Places (storage, quarantine, landing) that stopped a source: one row from the first failure until a run passes again.

CREATE TABLE outage (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source    text NOT NULL,
    cause     text NOT NULL,              -- unmounted, full, read-only, denied, failing
    detail    text NOT NULL,              -- the newest failure, in words
    actor     text NOT NULL,              -- the newest run that it stopped
    runs      integer NOT NULL DEFAULT 1, -- runs that it stopped
    failures  integer NOT NULL DEFAULT 1, -- tries that failed
    opened_at timestamptz NOT NULL DEFAULT now(),
    last_at   timestamptz NOT NULL DEFAULT now(),
    ended_at  timestamptz                 -- when a run of the source has passed
);
CREATE UNIQUE INDEX outage_open ON outage (source, cause) WHERE ended_at IS NULL;

-- How many were sent within the last hour.
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE state = 'sent';
