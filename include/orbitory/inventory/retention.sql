-- Retention: what has expired and why, what holds it, and what the incinerator did. All times are the database's.

-- retention_clock: the only clock by which anything expires
SELECT now() AS now;

-- retention_due: granules whose time is over by a moment, that nobody needs and no audit doubts, by product; without some
SELECT g.product, count(*)::int AS items FROM granule g
WHERE g.state IN ('archived', 'withdrawn') AND g.expires_at <= least(%(until)s::timestamptz, coalesce(%(as_of)s::timestamptz, now()))
  AND NOT EXISTS (SELECT FROM hold h WHERE h.granule_id = g.id AND h.released IS NULL AND (h.until IS NULL OR h.until > now()))
  AND NOT EXISTS (SELECT FROM pge_input p JOIN pge_instance i ON i.id = p.instance_id AND i.state IN ('ready', 'running', 'delivered')
                  WHERE p.granule_id = g.id)
  AND g.id NOT IN (SELECT l.granule_id FROM asset s JOIN granule_asset l ON l.asset_id = s.id WHERE s.state = 'suspect')
  AND NOT EXISTS (SELECT FROM unnest(%(without)s::bigint[]) AS w (id) WHERE w.id = g.id)
GROUP BY g.product ORDER BY g.product;

-- retention_held: of the granules whose time is over, those that somebody holds, and how many there are; so many are told
SELECT g.id AS granule_id, g.key || CASE WHEN g.version_rank > 0 THEN ' ' || g.version ELSE '' END AS key, g.product,
       g.expires_at AS expires, count(*) OVER () AS held
FROM (SELECT DISTINCT granule_id FROM hold WHERE released IS NULL AND (until IS NULL OR until > now())) h
JOIN granule g ON g.id = h.granule_id
WHERE g.expires_at <= least(%(until)s::timestamptz, coalesce(%(as_of)s::timestamptz, now())) AND g.state IN ('archived', 'withdrawn')
ORDER BY g.expires_at, g.id LIMIT %(limit)s;

-- retention_calendar: what expires on each of the next days, by product; what is overdue counts for today
SELECT greatest((expires_at AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date) AS day, product, count(*)::int AS granules,
       coalesce(sum((SELECT sum(s.size) FROM granule_asset l JOIN asset s ON s.id = l.asset_id AND s.state = 'archived'
                     WHERE l.granule_id = g.id)), 0)::bigint AS bytes
FROM granule g
WHERE expires_at < now() + %(days)s * interval '1 day' AND state IN ('archived', 'withdrawn')
GROUP BY 1, 2 ORDER BY 1, 2;

-- retention_named: the granules that names mean: by key; by path in storage or delivered name of a file that holds them.
-- Name by name: the planner would read all granules and files for a handful.
SELECT DISTINCT n.name, g.id, g.key, g.state FROM unnest(%(names)s::text[], %(paths)s::text[]) AS n (name, path)
CROSS JOIN LATERAL (
    SELECT id FROM granule WHERE key = n.name
    UNION SELECT l.granule_id FROM asset s JOIN granule_asset l ON l.asset_id = s.id WHERE s.path = n.path AND s.state <> 'deleted'
    UNION SELECT l.granule_id FROM asset s JOIN granule_asset l ON l.asset_id = s.id
    WHERE s.path = n.path AND s.state = 'deleted' AND s.removal IS DISTINCT FROM 'withdrawn'
    UNION SELECT l.granule_id FROM arrival a JOIN granule_asset l ON l.asset_id = a.asset_id
    WHERE a.name = n.name AND a.state = 'archived' OFFSET 0) f
CROSS JOIN LATERAL (SELECT * FROM granule WHERE id = f.id OFFSET 0) g
WHERE g.state = ANY (%(states)s) ORDER BY g.key, g.id;

-- retention_ruled: the granules that a removal rule has chosen, in its transaction
SELECT g.id, g.key, g.state FROM removal_chosen c JOIN granule g ON g.id = c.granule_id ORDER BY g.key, g.id;

-- retention_lock: granules that are here and not about to leave, locked: nothing can take them out until this transaction ends
SELECT id, key, state, expires_at FROM granule
WHERE id = ANY (%(granules)s) AND state IN ('stored', 'archived', 'withdrawn') ORDER BY id FOR NO KEY UPDATE;

-- hold_add: hold these
INSERT INTO hold (granule_id, kind, reason, owner, until)
SELECT unnest(%(granules)s::bigint[]), %(kind)s, %(reason)s, %(owner)s, %(until)s::timestamptz;

-- hold_release: let go of these
UPDATE hold SET released = now(), released_by = %(owner)s
WHERE granule_id = ANY (%(granules)s) AND released IS NULL AND (%(reason)s::text IS NULL OR reason = %(reason)s::text)
  AND (%(kind)s::text IS NULL OR kind = %(kind)s::text) AND (until IS NULL OR until > now())
RETURNING granule_id;

-- hold_list: active holds, or all, oldest first
SELECT h.id, g.key AS name, g.state, h.kind, h.reason, h.owner, h.placed, h.until, h.released, h.released_by
FROM hold h JOIN granule g ON g.id = h.granule_id
WHERE (%(granules)s::bigint[] IS NULL OR h.granule_id = ANY (%(granules)s::bigint[]))
  AND (%(all)s OR h.released IS NULL AND (h.until IS NULL OR h.until > now()))
ORDER BY h.id LIMIT %(limit)s;

-- retention_keep: another expiry for these, and who wanted it why
WITH change AS (
    INSERT INTO expiry_change (granule_id, before, after, reason, actor)
    SELECT id, expires_at, %(until)s::timestamptz, %(reason)s, %(actor)s FROM granule
    WHERE id = ANY (%(granules)s) AND expires_at IS DISTINCT FROM %(until)s::timestamptz
    RETURNING granule_id
)
UPDATE granule SET expires_at = %(until)s::timestamptz FROM change WHERE id = granule_id;

-- withdrawal_hide: out of sight at once, gone after so many days (0: as before); and how that was until now
WITH hidden AS (
    SELECT id, expires_at, CASE WHEN %(days)s > 0 THEN least(expires_at, now() + %(days)s * interval '1 day') ELSE expires_at END AS after
    FROM granule WHERE id = ANY (%(granules)s) AND state = 'archived'
), noted AS (
    INSERT INTO withdrawal (granule_id, reason, actor, before, after) SELECT id, %(reason)s, %(actor)s, expires_at, after FROM hidden
), changed AS (
    INSERT INTO expiry_change (granule_id, before, after, reason, actor)
    SELECT id, expires_at, after, 'withdrawn: ' || %(reason)s, %(actor)s FROM hidden WHERE after IS DISTINCT FROM expires_at
)
UPDATE granule g SET state = 'withdrawn', expires_at = h.after FROM hidden h WHERE g.id = h.id;

-- withdrawal_undo: visible again, expiring as before unless a person has said otherwise since; for so many days where that is over
WITH back AS (
    UPDATE withdrawal SET undone_at = now() WHERE granule_id = ANY (%(granules)s) AND undone_at IS NULL RETURNING granule_id, before, after
), shown AS (
    SELECT g.id, g.expires_at, CASE WHEN w.wanted <= now() THEN now() + %(days)s * interval '1 day' ELSE w.wanted END AS after
    FROM back b JOIN granule g ON g.id = b.granule_id AND g.state = 'withdrawn'
    CROSS JOIN LATERAL (SELECT CASE WHEN g.expires_at IS NOT DISTINCT FROM b.after THEN b.before ELSE g.expires_at END AS wanted) w
), changed AS (
    INSERT INTO expiry_change (granule_id, before, after, reason, actor)
    SELECT id, expires_at, after, 'its withdrawal was taken back', %(actor)s FROM shown WHERE after IS DISTINCT FROM expires_at
)
UPDATE granule g SET state = 'archived', expires_at = s.after FROM shown s WHERE g.id = s.id;

-- withdrawal_made_from: everything that was made from these granules, and from what was made from them
WITH RECURSIVE made (instance_id, granule_id) AS (
    SELECT NULL::bigint, n FROM unnest(%(granules)s::bigint[]) AS n
    UNION
    SELECT p.instance_id, o.granule_id FROM made m JOIN pge_input p ON p.granule_id = m.granule_id
    LEFT JOIN pge_output o ON o.instance_id = p.instance_id
)
SELECT DISTINCT i.id AS instance, i.pge, i.version, i.period_key AS period, i.state, o.name AS output, g.key AS granule,
       g.state AS granule_state, g.source
FROM made m JOIN pge_instance i ON i.id = m.instance_id
LEFT JOIN pge_output o ON o.instance_id = i.id AND o.granule_id IS NOT DISTINCT FROM m.granule_id
LEFT JOIN granule g ON g.id = m.granule_id ORDER BY i.id, o.name;

-- restore_sets: the newest sets with which these granules left and that have not brought them back, newest granules first
SELECT DISTINCT ON (i.granule_id) i.granule_id, g.key, g.version_rank, g.created, r.id, encode(r.hash, 'hex') AS hash, r.state,
       bool_or(i.state = 'emptied') AS emptied, max(i.trashed_at) AS trashed_at
FROM removal_item i JOIN removal_set r ON r.id = i.set_id JOIN granule g ON g.id = i.granule_id
WHERE i.granule_id = ANY (%(granules)s) AND i.state IN ('marked', 'trashed', 'emptied')
GROUP BY i.granule_id, g.id, r.id ORDER BY i.granule_id DESC, r.id DESC;

-- restore_closure: granules of a set that share a file with these, themselves included, and how many of the set do not
WITH RECURSIVE reached AS (
    SELECT unnest(%(granules)s::bigint[]) AS granule_id
    UNION
    SELECT o.granule_id FROM reached r
    CROSS JOIN LATERAL (SELECT asset_id FROM removal_item WHERE set_id = %(id)s AND granule_id = r.granule_id OFFSET 0) i
    CROSS JOIN LATERAL (SELECT granule_id FROM removal_item WHERE set_id + 0 = %(id)s AND asset_id = i.asset_id OFFSET 0) o
)
SELECT coalesce(array_agg(granule_id ORDER BY granule_id), '{}') AS granules,
       (SELECT count(DISTINCT granule_id) FROM removal_item WHERE set_id = %(id)s) - count(*) AS others FROM reached;

-- restore_carve: a set of their own for granules that come back without the others they left with
INSERT INTO removal_set (hash, kind, actor, state, counts, reason)
SELECT %(new_hash)s, kind, %(actor)s, 'applied', counts, reason FROM removal_set WHERE id = %(id)s RETURNING id;

-- restore_carve_items: and their files
UPDATE removal_item SET set_id = %(new)s WHERE set_id = %(id)s AND granule_id = ANY (%(granules)s);

-- retention_run_begin: open a run; one that is tried again finds what its first try has opened
WITH found AS (
    SELECT id FROM retention_run WHERE actor = %(actor)s AND finished_at IS NULL AND NOT %(anew)s ORDER BY id DESC LIMIT 1
), made AS (
    INSERT INTO retention_run (actor) SELECT %(actor)s WHERE NOT EXISTS (SELECT FROM found) RETURNING id
)
SELECT id FROM found UNION ALL SELECT id FROM made;

-- retention_run_note: what a rule did; tried again, it adds to what it did before
INSERT INTO retention_statistic (run_id, rule, removed, bytes, blocked, failed, trouble, skipped)
VALUES (%(run)s, %(rule)s, %(removed)s, %(bytes)s, %(blocked)s, %(failed)s, %(trouble)s, %(skipped)s)
ON CONFLICT (run_id, rule) DO UPDATE SET removed = retention_statistic.removed + excluded.removed,
    bytes = retention_statistic.bytes + excluded.bytes, blocked = excluded.blocked, failed = excluded.failed,
    trouble = excluded.trouble, skipped = excluded.skipped, at = now();

-- retention_skipped_long: whether a rule has waited for somebody else in all runs of so many hours, and in one before
SELECT EXISTS (SELECT FROM retention_statistic WHERE rule = %(rule)s AND at < now() - %(hours)s * interval '1 hour')
       AND NOT EXISTS (SELECT FROM retention_statistic WHERE rule = %(rule)s AND NOT skipped AND at >= now() - %(hours)s * interval '1 hour') AS long;

-- retention_run_rules: what the rules of a run did
SELECT rule, removed, bytes, blocked, failed, trouble FROM retention_statistic WHERE run_id = %(run)s ORDER BY rule;

-- retention_run_finish: the run's verdict
UPDATE retention_run SET finished_at = now(), verdict = %(verdict)s WHERE id = %(run)s;

-- retention_streak: the newest runs that failed, or never came to a verdict, one after the other: how many, the first of them, the day
SELECT count(*)::int AS failures, min(id) AS first, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day FROM retention_run
WHERE (verdict = 'failed' OR verdict IS NULL AND started_at < now() - interval '1 hour')
  AND id > coalesce((SELECT max(id) FROM retention_run WHERE verdict = 'success'), 0);

-- retention_silence: since when no run has come to a verdict, if that is too long ago; nothing where there never was a run
SELECT s.since, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day
FROM (SELECT coalesce((SELECT finished_at FROM retention_run WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT 1), min(started_at)) AS since
      FROM retention_run) s
WHERE s.since < now() - %(hours)s * interval '1 hour';

-- retention_history: the newest runs with what they did
SELECT r.id, r.actor, r.started_at, r.finished_at, r.verdict, coalesce(sum(s.removed), 0)::bigint AS removed,
       coalesce(sum(s.bytes), 0)::bigint AS bytes, coalesce(sum(s.blocked), 0)::bigint AS blocked,
       coalesce(sum(s.failed), 0)::bigint AS failed,
       coalesce(string_agg(s.rule || ': ' || s.trouble, '; ' ORDER BY s.rule) FILTER (WHERE s.trouble <> ''), '') AS trouble
FROM retention_run r LEFT JOIN retention_statistic s ON s.run_id = r.id
GROUP BY r.id ORDER BY r.id DESC LIMIT %(limit)s;

-- expiry_ask: put the question about a product type, unless it waits for its answer, or the last one is too young
INSERT INTO expiry_question (product_type, next_at) VALUES (%(product_type)s, now() + %(days)s * interval '1 day')
ON CONFLICT (product_type) DO UPDATE SET asked_at = now(), answered_at = NULL, approved = NULL, next_at = excluded.next_at
WHERE expiry_question.next_at <= now();

-- expiry_questions: those of these product types that wait for an answer
SELECT product_type, asked_at FROM expiry_question
WHERE product_type = ANY (%(product_types)s) AND answered_at IS NULL ORDER BY product_type;

-- expiry_answered: what came of the question that was put then, and in how many days the next one may be put
UPDATE expiry_question SET answered_at = now(), approved = %(approved)s, next_at = now() + %(days)s * interval '1 day'
WHERE product_type = %(product_type)s AND asked_at = %(asked_at)s::timestamptz AND answered_at IS NULL;

-- retention_quarantined: the next rejected files whose time in quarantine is over, and those that were marked before
SELECT a.id, coalesce(a.unit_id, a.id) AS unit, a.source, a.name, a.quarantine_path, a.size, a.expired_at IS NOT NULL AS marked,
       e.at + k.days * interval '1 day' AS expires
FROM arrival a
CROSS JOIN LATERAL (SELECT coalesce((%(sources)s::jsonb ->> a.source)::integer, %(days)s) AS days) k
CROSS JOIN LATERAL (SELECT coalesce((SELECT max(v.at) FROM event v WHERE v.subject = 'arrival' AND v.ids @> a.id AND v.to_state = 'rejected'),
                                    a.first_seen) AS at) e
WHERE a.state = 'rejected' AND a.quarantine_path IS NOT NULL AND NOT a.landed AND a.id > %(after)s
  AND (a.expired_at IS NOT NULL  -- judged later than seen: most need no look at the history
       OR a.first_seen + k.days * interval '1 day' <= coalesce(%(as_of)s::timestamptz, now()))
  AND coalesce(a.detail, '') NOT LIKE 're-driving: %%'
  AND (a.expired_at IS NOT NULL OR k.days > 0 AND e.at + k.days * interval '1 day' <= coalesce(%(as_of)s::timestamptz, now()))
ORDER BY a.id LIMIT %(limit)s;

-- retention_quarantine_mark: their files are about to go
UPDATE arrival SET expired_at = now() WHERE id = ANY (%(ids)s) AND expired_at IS NULL AND quarantine_path IS NOT NULL;

-- retention_quarantine_gone: and have
UPDATE arrival SET quarantine_path = NULL WHERE id = ANY (%(ids)s) AND expired_at IS NOT NULL;

-- retention_trash_sets: removed sets with files whose window is over, or that are on their way out of the trash
SELECT set_id FROM removal_item WHERE state = 'emptied' AND trash_path IS NOT NULL
UNION
SELECT set_id FROM removal_item WHERE state = 'trashed' AND trash_path IS NOT NULL AND %(days)s > 0
  AND trashed_at <= coalesce(%(as_of)s::timestamptz, now()) - %(days)s * interval '1 day'
ORDER BY set_id;

-- retention_trash: the next such files of a set; one that is on its way back stays, one that could not come back goes
SELECT i.set_id, i.trash_path, min(i.bytes)::bigint AS bytes, max(i.trashed_at) + %(days)s * interval '1 day' AS expires
FROM removal_item i JOIN removal_set r ON r.id = i.set_id JOIN asset s ON s.id = i.asset_id AND s.state = 'deleted'
WHERE i.set_id = %(set)s AND i.trash_path > %(path)s COLLATE "C"
  AND (i.state = 'emptied' OR i.state = 'trashed' AND r.state IN ('applied', 'undone') AND %(days)s > 0
       AND i.trashed_at <= coalesce(%(as_of)s::timestamptz, now()) - %(days)s * interval '1 day')
GROUP BY i.set_id, i.trash_path ORDER BY i.trash_path LIMIT %(limit)s;

-- retention_trash_mark: nothing brings these back any more
UPDATE removal_item i SET state = 'emptied' FROM unnest(%(sets)s::bigint[], %(paths)s::text[]) AS t (set_id, trash_path)
WHERE i.set_id = t.set_id AND i.trash_path = t.trash_path AND i.state = 'trashed';

-- retention_trash_gone: and their files have gone
UPDATE removal_item i SET trash_path = NULL FROM unnest(%(sets)s::bigint[], %(paths)s::text[]) AS t (set_id, trash_path)
WHERE i.set_id = t.set_id AND i.trash_path = t.trash_path AND i.state = 'emptied';

-- retention_aside: the next files that the audit has put into quarantine and whose time there is over
SELECT id, name, moved_to AS path, coalesce(size, 0) AS size, closed_at + %(days)s * interval '1 day' AS expires FROM scan_finding
WHERE moved_to IS NOT NULL AND closed_at IS NOT NULL AND %(days)s > 0 AND id > %(after)s
  AND closed_at <= coalesce(%(as_of)s::timestamptz, now()) - %(days)s * interval '1 day'
ORDER BY id LIMIT %(limit)s;

-- retention_aside_gone: they stand nowhere any more
UPDATE scan_finding SET moved_to = NULL WHERE id = ANY (%(ids)s);

-- hold_restored: what comes back and would leave again at once is held for a while, by who has brought it back
INSERT INTO hold (granule_id, kind, reason, owner, until)
SELECT id, 'person', 'restored', %(owner)s, now() + %(days)s * interval '1 day' FROM granule
WHERE id = ANY (%(granules)s) AND expires_at < now() + %(days)s * interval '1 day';
