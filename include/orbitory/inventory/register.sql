-- Register: rows for files that stand where they belong already.

-- create_seen: what a part of the scan found, for this transaction
CREATE TEMP TABLE seen (path bytea PRIMARY KEY, name text, dev bigint, ino bigint, size bigint, mtime_ns bigint, ctime_ns bigint,
                        regular boolean) ON COMMIT DROP;

-- copy_seen: load it
COPY seen FROM STDIN;

-- register_candidates: files with whether they need no second look: archived at this place, or judged since they last changed
SELECT s.path, s.name, s.dev, s.ino, s.size, s.mtime_ns, s.ctime_ns, s.regular,
       EXISTS (SELECT FROM asset x WHERE x.path = %(prefix)s || s.name AND x.state IN ('stored', 'archived')
               AND x.size = s.size)
       OR EXISTS (SELECT FROM arrival a JOIN batch b ON b.id = a.batch_id
                  WHERE a.name = s.name AND a.source = %(source)s AND b.root = %(root)s
                    AND (a.dev, a.ino, a.size, a.mtime_ns) = (s.dev, s.ino, s.size, s.mtime_ns)
                    AND (a.run_id = %(run)s OR coalesce(a.detail, '') NOT LIKE 'changed while it was registered%%')) AS known
FROM seen s;

-- register_arrivals: the ledger's rows of files that never stood in a landing zone
INSERT INTO arrival (source, path, name, role, run_id, batch_id, state, landed, reason, stage, detail, sensor, sensing_start,
                     sensing_end, dev, ino, size, mtime_ns, ctime_ns, announced)
SELECT %(source)s, path, name, role, %(run)s, batch_id, state, false, reason, 'register', detail, sensor, sensing_start,
       sensing_end, dev, ino, size, mtime_ns, ctime_ns, announced::jsonb
FROM planned ORDER BY path;

-- register_members: the others of a unit point to the file that speaks for it
UPDATE arrival s SET unit_id = d.id
FROM planned p JOIN arrival d ON d.batch_id = p.batch_id AND d.path = p.unit_path
WHERE p.unit_path IS NOT NULL AND s.batch_id = p.batch_id AND s.path = p.path;
