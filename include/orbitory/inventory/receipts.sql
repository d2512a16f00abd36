-- Receipts: which delivery records of a source are to be answered, and what became of the files they name.

-- receipts_due: delivery records that met their fate and were not answered; one that never can be is let go after a month
SELECT a.id, a.name, a.path AS raw_path, a.state, a.quarantine_path, s.path AS asset_path
FROM arrival a LEFT JOIN asset s ON s.id = a.asset_id
WHERE a.source = %(source)s AND a.role = 'manifest' AND a.first_seen > now() - interval '30 days'
  AND lower(a.name) LIKE '%%.pdr' AND a.state IN ('archived', 'rejected', 'duplicate', 'conflict')
  AND NOT EXISTS (SELECT FROM receipt r WHERE r.arrival_id = a.id)
  AND NOT EXISTS (SELECT FROM ingest_run r WHERE r.id = a.run_id AND r.actor LIKE 'export/%%')  -- answered where it was delivered
ORDER BY a.id;

-- receipt_fates: the last arrival under each of these names, with the moment it met its fate
SELECT DISTINCT ON (a.name) a.name, a.state, a.reason, judged.at
FROM arrival a
LEFT JOIN LATERAL (
    SELECT e.at FROM event e WHERE e.subject = 'arrival' AND e.ids @> a.id AND e.to_state = a.state
    ORDER BY e.id DESC LIMIT 1
) judged ON true
WHERE a.source = %(source)s AND a.name = ANY (%(names)s)
ORDER BY a.name, a.id DESC;

-- receipt_written: this delivery record is answered
INSERT INTO receipt (arrival_id, path) VALUES (%(id)s, %(path)s) ON CONFLICT DO NOTHING;
