-- Audit: what zones should hold, page by page, and single rows looked at again.

-- audit_any_asset: whether storage should hold anything
SELECT EXISTS (SELECT FROM asset WHERE state IN ('archived', 'suspect')) AS holds;

-- audit_assets: the next files that storage should or may hold, in byte order of their path; what was registered in place stays there
SELECT id, path, state, size, digest FROM asset
WHERE (state IN ('stored', 'archived', 'suspect', 'deleting')
       OR state = 'deleted' AND in_place AND removal IN ('removed', 'expired')
          AND NOT EXISTS (SELECT FROM asset n WHERE n.path = asset.path AND n.id > asset.id AND (n.state <> 'deleted' OR n.removal IN ('removed', 'expired'))))
  AND path COLLATE "C" > %(after)s ORDER BY path COLLATE "C" LIMIT %(limit)s;

-- audit_asset: a file that storage should or may hold, as the inventory knows it at this moment
SELECT id, path, state, size, digest FROM asset
WHERE path = %(path)s AND (state IN ('stored', 'archived', 'suspect', 'deleting') OR state = 'deleted' AND in_place AND removal IN ('removed', 'expired'))
ORDER BY state = 'deleted', id DESC;

-- audit_quarantined: the next files that quarantine should hold, in byte order of their path
SELECT id, name, quarantine_path AS path, size, landed, detail, expired_at FROM arrival
WHERE state IN ('rejected', 'conflict') AND quarantine_path > %(after)s ORDER BY quarantine_path LIMIT %(limit)s;

-- audit_quarantined_at: what quarantine should hold at a path, at this moment
SELECT id, name, quarantine_path AS path, size, landed, detail, expired_at FROM arrival
WHERE state IN ('rejected', 'conflict') AND quarantine_path = %(path)s;

-- audit_set_aside: a finding whose dark or damaged file was moved into quarantine
SELECT id FROM scan_finding WHERE id = %(finding)s AND moved_to IS NOT NULL;

-- audit_under_way: the next arrivals amid their steps, whose landing names must stand
SELECT id, source, path, name, state FROM arrival
WHERE landed AND state IN ('detected', 'verified', 'extracted', 'stored') AND id > %(after)s ORDER BY id LIMIT %(limit)s;

-- audit_unseen: outputs of delivered instances, by their landing names, of which the ingest has written nothing down
SELECT i.id, i.id || '-' || i.delivery || '/' || o.name AS file, concat(i.pge, ' ', i.period_key) AS name
FROM pge_instance i JOIN pge_output o ON o.instance_id = i.id
WHERE i.state = 'delivered' AND o.granule_id IS NULL AND (%(id)s::bigint IS NULL OR i.id = %(id)s)
  AND NOT EXISTS (SELECT FROM arrival a WHERE a.source = 'pge' AND a.name = i.id || '-' || i.delivery || '/' || o.name)
ORDER BY i.id, o.name LIMIT %(limit)s;

-- audit_state_of: the state of an arrival at this moment
SELECT state, landed FROM arrival WHERE id = %(id)s;
