-- Messages to people, kept until the mail server took them; and which delivery records were answered.

CREATE TABLE outbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text NOT NULL,              -- what it tells: ingest_failed
    source          text NOT NULL,
    actor           text NOT NULL,              -- the run it tells about, which may have failed before it had a row
    run_id          bigint REFERENCES ingest_run,
    recipients      text[] NOT NULL,            -- empty: the postmaster of the sender's domain
    subject         text NOT NULL,
    text            text NOT NULL,
    html            text NOT NULL,
    attachment_name text,
    attachment      bytea,                      -- forgotten once it was sent: the ledger holds the same
    created_at      timestamptz NOT NULL DEFAULT now(),
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'failed', 'dropped')),
    tries           integer NOT NULL DEFAULT 0,
    next_try        timestamptz NOT NULL DEFAULT now(),
    last_error      text,
    sent_at         timestamptz,
    CHECK (attachment IS NULL OR attachment_name IS NOT NULL),
    CHECK ((state = 'sent') = (sent_at IS NOT NULL))
);
CREATE UNIQUE INDEX outbox_run ON outbox (kind, source, actor);
CREATE INDEX outbox_due ON outbox (next_try) WHERE state = 'pending';
CREATE INDEX outbox_unsent ON outbox (state) WHERE state IN ('pending', 'failed');

-- Delivery records that were answered by an acceptance notice, so that a notice its provider took away stays away.
CREATE TABLE receipt (
    arrival_id bigint PRIMARY KEY REFERENCES arrival,
    path       text NOT NULL,                   -- relative to the zone of links
    written_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX arrival_manifest ON arrival (source, first_seen) WHERE role = 'manifest';
