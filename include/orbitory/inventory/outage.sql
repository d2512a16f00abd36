-- Outages: what stops a source until somebody cures a place; told once, counted after that.

-- note_outage: one more failure of an open outage, or a new one; opened: whether it is new
INSERT INTO outage (source, cause, detail, actor) VALUES (%(source)s, %(cause)s, %(detail)s, %(actor)s)
ON CONFLICT (source, cause) WHERE ended_at IS NULL DO UPDATE SET
    failures = outage.failures + 1, runs = outage.runs + (outage.actor <> EXCLUDED.actor)::int,
    detail = EXCLUDED.detail, actor = EXCLUDED.actor, last_at = now()
RETURNING id, failures = 1 AS opened;

-- stopped_run: open outages that this run has met
SELECT id, cause, detail, opened_at, runs FROM outage
WHERE source = %(source)s AND actor = %(actor)s AND ended_at IS NULL ORDER BY id;

-- end_outages: a run of this source has passed: nothing is in its way any more
UPDATE outage SET ended_at = now() WHERE source = %(source)s AND ended_at IS NULL
RETURNING id, cause, detail, opened_at, runs, failures, extract(epoch FROM now() - opened_at)::float8 AS seconds;

-- open_outages: what stops sources now, oldest first
SELECT source, cause, detail, opened_at, runs FROM outage WHERE ended_at IS NULL ORDER BY id;
