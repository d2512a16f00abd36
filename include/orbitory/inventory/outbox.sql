-- Outbox: messages to people, until the mail server took them.

-- enqueue_message: keep one message about a run; none when there is one already
INSERT INTO outbox (kind, source, actor, run_id, recipients, subject, text, html, attachment_name, attachment)
VALUES (%(kind)s, %(source)s, %(actor)s, %(run)s, %(recipients)s, %(subject)s, %(text)s, %(html)s, %(attachment_name)s,
        %(attachment)s)
ON CONFLICT (kind, source, actor) DO NOTHING;

-- drop_message: a message that was not sent yet is no longer true
UPDATE outbox SET state = 'dropped', last_error = 'the run was repeated and ended well'
WHERE kind = %(kind)s AND source = %(source)s AND actor = %(actor)s AND state = 'pending';

-- claim_message: the next message that is due, locked until this transaction ends; one that another sender holds is passed over
SELECT id, source, recipients, subject, text, html, attachment_name, attachment, created_at, tries FROM outbox
WHERE state = 'pending' AND next_try <= now() AND id > %(after)s AND (%(actor)s::text IS NULL OR actor = %(actor)s::text)
ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;

-- crowd: the due messages about failures, locked, of recipients who would have had more than so many of them within an hour; run: only
-- whether the one about that run is among them
WITH crowd AS (
    SELECT recipients FROM outbox
    WHERE kind = ANY (%(kinds)s) AND (state = 'pending' OR state = 'sent' AND sent_at > now() - interval '1 hour')
    GROUP BY recipients HAVING count(*) > %(most)s
)
SELECT o.id, o.source, o.subject, o.recipients, o.created_at FROM outbox o JOIN crowd USING (recipients)
WHERE o.state = 'pending' AND o.next_try <= now() AND o.kind = ANY (%(kinds)s)
  AND (%(actor)s::text IS NULL OR o.actor = %(actor)s::text)
ORDER BY o.id FOR UPDATE OF o SKIP LOCKED;

-- fold_messages: these are told by one message
UPDATE outbox SET state = 'dropped', last_error = 'told in one message with the others, ' || %(by)s WHERE id = ANY (%(ids)s);

-- message_sent: the mail server took it
UPDATE outbox SET state = 'sent', sent_at = clock_timestamp(), tries = tries + 1, last_error = NULL, attachment = NULL
WHERE id = %(id)s;

-- message_failed: try again after a minute, then two, four, … an hour; after the last try a person must ask for more
UPDATE outbox SET tries = tries + 1, last_error = %(error)s,
    state = CASE WHEN tries + 1 >= %(most)s OR %(refused)s THEN 'failed' ELSE 'pending' END,
    next_try = clock_timestamp() + least(interval '1 minute' * 2 ^ least(tries, 6), interval '1 hour')
WHERE id = %(id)s RETURNING state;

-- retry_messages: unsent messages are due at once, with all their tries; the given ones, or all
UPDATE outbox SET state = 'pending', tries = 0, next_try = now()
WHERE state IN ('pending', 'failed') AND (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s::bigint[])) RETURNING id;

-- outbox_list: messages without their bodies, oldest first; unsent ones, or all
SELECT id, kind, source, actor, run_id AS run, recipients, subject, attachment_name AS attachment, created_at, state, tries,
       CASE WHEN state = 'pending' THEN next_try END AS next_try, last_error, sent_at
FROM outbox WHERE %(all)s OR state IN ('pending', 'failed') ORDER BY id;

-- outbox_counts: unsent messages, and how many of them the mail server did not take at least once
SELECT count(*) FILTER (WHERE state = 'pending')::int AS pending, count(*) FILTER (WHERE state = 'failed')::int AS failed,
       count(*) FILTER (WHERE state = 'pending' AND tries > 0)::int AS delayed
FROM outbox WHERE state IN ('pending', 'failed');
