-- any_asset: one row if the inventory has ever held a file that should still stand in storage
SELECT id FROM asset WHERE state IN ('stored', 'archived', 'suspect') LIMIT 1;

-- set_run: write this run's number beside every change of state from now on
SELECT set_config('orbitory.run', %(run)s::text, false);

-- start_run: open the run of this source and actor, or find it again (a retried task resumes its run)
INSERT INTO ingest_run (source, actor, params, session) VALUES (%(source)s, %(actor)s, %(params)s::jsonb, %(session)s)
ON CONFLICT (source, actor) DO UPDATE SET finished_at = NULL, verdict = NULL
RETURNING id;

-- find_run: the run of this source and actor
SELECT id, extract(epoch FROM now() - started_at)::float AS seconds FROM ingest_run WHERE source = %(source)s AND actor = %(actor)s;

-- hold_run: mark the run alive for as long as this session lives
SELECT pg_advisory_lock(7001, %(run)s::int);

-- adopt_batches: take over batches of the landing zone (or of a registered folder) whose run has ended, died, or outlived its lease; returns what was adopted
WITH dead AS (
    SELECT b.id FROM batch b JOIN ingest_run r ON r.id = b.run_id
    WHERE b.source = %(source)s AND b.done_at IS NULL AND b.run_id <> %(run)s AND b.root IS NOT DISTINCT FROM %(root)s::text
      AND (r.finished_at IS NOT NULL
           OR CASE WHEN r.session THEN pg_try_advisory_xact_lock(7001, r.id::int) ELSE b.lease_until < now() END)
    FOR UPDATE OF b SKIP LOCKED
)
UPDATE batch b SET run_id = %(run)s, claim = NULL, lease_until = now() + %(lease)s::interval
FROM dead WHERE b.id = dead.id
RETURNING b.id, b.partition;

-- adopt_arrivals: the open arrivals of adopted batches now count for this run
UPDATE arrival SET run_id = %(run)s
WHERE batch_id = ANY (%(batches)s) AND state IN ('detected', 'verified', 'extracted', 'stored');

-- close_empty_batches: batches of this run in which nothing is left to do; who holds one may still be about to say so
UPDATE batch b SET done_at = now()
WHERE b.run_id = %(run)s AND b.done_at IS NULL
  AND NOT EXISTS (SELECT FROM arrival a WHERE a.batch_id = b.id AND a.state IN ('detected', 'verified', 'extracted', 'stored'));

-- open_batches: what this run still has to do, with the files left in each
SELECT b.id, b.partition, count(a.id)::int AS count FROM batch b
JOIN arrival a ON a.batch_id = b.id AND a.state IN ('detected', 'verified', 'extracted', 'stored')
WHERE b.run_id = %(run)s AND b.done_at IS NULL GROUP BY b.id ORDER BY b.id;

-- lock_detect: one detect of a source at a time; the second waits and then finds nothing new
SELECT pg_advisory_xact_lock(7002, hashtext(%(source)s));

-- seconds_now: the database's clock
SELECT extract(epoch FROM now())::float AS now;

-- landed_page: the next names of a source that its landing folder holds as far as the ledger knows, in the order of their bytes
-- and with NUL between them; which of them wait
SELECT string_agg(path, '\x00' ORDER BY path) AS paths, array_agg(id) FILTER (WHERE state = 'waiting') AS waiting
FROM (SELECT id, path, state FROM arrival WHERE source = %(source)s AND landed AND path > %(after)s ORDER BY path LIMIT %(limit)s) p;

-- waiting_arrivals: what an earlier scan saw of files that wait, with durations by the database's clock
SELECT id, path, dev, ino, size, mtime_ns, ctime_ns, extract(epoch FROM now() - first_seen)::float AS waited,
       extract(epoch FROM now() - changed_at)::float AS unchanged
FROM arrival WHERE id = ANY (%(ids)s);

-- forget_withdrawn: waiting files whose names are gone were renamed or withdrawn by their sender before they were complete
DELETE FROM arrival WHERE id = ANY (%(ids)s) AND state = 'waiting' AND landed;

-- ever_seen: which of these names this source has ever delivered
SELECT DISTINCT name FROM arrival WHERE source = %(source)s AND name = ANY (%(names)s);

-- insert_batch: a new batch of this run; root: of a registered folder, in which the files stay
INSERT INTO batch (run_id, source, partition, files, bytes, lease_until, root)
VALUES (%(run)s, %(source)s, %(partition)s, %(files)s, %(bytes)s, now() + %(lease)s::interval, %(root)s) RETURNING id;

-- create_planned: the decisions of detect, for this transaction
CREATE TEMP TABLE planned (path bytea, name text, role text, unit_path bytea, batch_id bigint, state text, reason text,
    detail text, sensor text, sensing_start timestamptz, sensing_end timestamptz, dev bigint, ino bigint, size bigint,
    mtime_ns bigint, ctime_ns bigint, announced text) ON COMMIT DROP;

-- copy_planned: load the decisions
COPY planned FROM STDIN;

-- record_arrivals: write the decisions into the ledger; a waiting row is carried on, any other is new
INSERT INTO arrival (source, path, name, role, run_id, batch_id, state, reason, stage, detail, sensor, sensing_start,
                     sensing_end, dev, ino, size, mtime_ns, ctime_ns, announced)
SELECT %(source)s, path, name, role, %(run)s, batch_id, state, reason, 'detect', detail, sensor, sensing_start,
       sensing_end, dev, ino, size, mtime_ns, ctime_ns, announced::jsonb
FROM planned ORDER BY path
ON CONFLICT (source, path) WHERE landed DO UPDATE SET
    role = EXCLUDED.role, unit_id = NULL, run_id = EXCLUDED.run_id, batch_id = EXCLUDED.batch_id, state = EXCLUDED.state,
    reason = EXCLUDED.reason, stage = 'detect', detail = EXCLUDED.detail, sensor = EXCLUDED.sensor,
    sensing_start = EXCLUDED.sensing_start, sensing_end = EXCLUDED.sensing_end, dev = EXCLUDED.dev, ino = EXCLUDED.ino,
    size = EXCLUDED.size, mtime_ns = EXCLUDED.mtime_ns, ctime_ns = EXCLUDED.ctime_ns, announced = EXCLUDED.announced,
    changed_at = CASE WHEN (arrival.dev, arrival.ino, arrival.size, arrival.mtime_ns, arrival.ctime_ns)
                         = (EXCLUDED.dev, EXCLUDED.ino, EXCLUDED.size, EXCLUDED.mtime_ns, EXCLUDED.ctime_ns)
                      THEN arrival.changed_at ELSE now() END
    WHERE arrival.state = 'waiting';

-- join_sidecars: sidecars point to the data file whose fate they share
UPDATE arrival s SET unit_id = d.id
FROM planned p JOIN arrival d ON d.source = %(source)s AND d.path = p.unit_path AND d.landed
WHERE p.unit_path IS NOT NULL AND s.source = %(source)s AND s.path = p.path AND s.landed;

-- claim_batch: take the batch; whoever held it before can no longer write
UPDATE batch SET claim = gen_random_uuid(), owner = %(owner)s, tries = tries + 1, lease_until = now() + %(lease)s::interval
WHERE id = %(batch)s RETURNING claim, source, partition, careful, run_id, done_at, root;

-- fence: keep the claim for another lease; no row when another try has taken over
UPDATE batch SET lease_until = now() + %(lease)s::interval WHERE id = %(batch)s AND claim = %(claim)s;

-- ingest_at_work: whether an ingest is at work at this moment, as far as leases tell
SELECT id FROM batch WHERE done_at IS NULL AND claim IS NOT NULL AND lease_until > now() LIMIT 1;

-- be_careful: from now on this batch is placed by copy with an fsync per file
UPDATE batch SET careful = true WHERE id = %(batch)s AND claim = %(claim)s;

-- batch_arrivals: the batch's files in one state, sidecars behind their data file, in the order in which winners are decided
SELECT a.id, a.unit_id, a.path, a.name, a.role, a.state, a.reason, a.detail, a.dev, a.ino, a.size, a.mtime_ns, a.ctime_ns,
       a.announced, a.sensor, a.digest, a.asset_id, s.path AS asset_path, s.state AS asset_state, s.digest AS asset_digest,
       s.removal AS asset_removal,
       (extract(epoch FROM now()) - a.mtime_ns / 1e9)::float AS age
FROM arrival a LEFT JOIN asset s ON s.id = a.asset_id
WHERE a.batch_id = %(batch)s AND a.state = %(state)s
ORDER BY coalesce(a.sensing_start, '-infinity'), a.path;

-- create_outcome: what a step decided for each file, for this transaction
CREATE TEMP TABLE outcome (id bigint PRIMARY KEY, state text, reason text, stage text, detail text, digest bytea, quarantine_path bytea)
ON COMMIT DROP;

-- copy_outcome: load the outcomes
COPY outcome FROM STDIN;

-- apply_outcome: move the files on; those set back to waiting leave their batch
UPDATE arrival a SET state = o.state, reason = o.reason, stage = o.stage, detail = o.detail,
    digest = coalesce(o.digest, a.digest), quarantine_path = o.quarantine_path,
    batch_id = CASE WHEN o.state = 'waiting' THEN NULL ELSE a.batch_id END,
    unit_id = CASE WHEN o.state = 'waiting' THEN NULL ELSE a.unit_id END,
    asset_id = CASE WHEN o.state = 'waiting' THEN NULL ELSE a.asset_id END,
    changed_at = CASE WHEN o.state = 'waiting' THEN now() ELSE a.changed_at END
FROM outcome o
WHERE a.id = o.id AND a.batch_id = %(batch)s AND a.state IN ('detected', 'verified', 'extracted', 'stored');

-- landed_final: files that met their fate but whose names may still stand in landing
SELECT a.id, coalesce(a.unit_id, a.id) AS unit, a.path, a.name, a.state, a.reason, a.stage, a.detail, a.dev, a.ino, a.size,
       a.mtime_ns, a.ctime_ns, a.quarantine_path, a.digest, a.asset_id, s.path AS asset_path, s.digest AS asset_digest,
       s.state AS asset_state, s.in_place AS asset_in_place
FROM arrival a LEFT JOIN asset s ON s.id = a.asset_id
WHERE a.source = %(source)s AND a.landed AND a.state IN ('archived', 'rejected', 'conflict', 'duplicate', 'lost')
  AND (%(batch)s::bigint IS NULL OR a.batch_id = %(batch)s)
ORDER BY a.id;

-- note_repair: a stored file was made whole again from a duplicate
UPDATE asset SET fixity_at = now(), findings = findings || %(finding)s::jsonb WHERE id = %(asset)s;

-- left_landing: their names no longer stand in landing
UPDATE arrival SET landed = false WHERE id = ANY (%(ids)s);

-- lost_bytes: what stood under their names was replaced or gone before it could be moved aside
UPDATE arrival SET landed = false, quarantine_path = NULL,
    detail = concat_ws('; ', detail, 'its bytes were gone from landing before they could be moved aside')
WHERE id = ANY (%(ids)s);

-- drop_outcome: make room for the next outcomes of the same transaction
DROP TABLE outcome;

-- lock_landing: one at a time takes names out of a source's landing folder
SELECT pg_advisory_xact_lock(7003, hashtext(%(source)s));

-- forget_extracted: drop what an earlier try extracted from these arrivals
WITH files AS (DELETE FROM extracted_file WHERE arrival_id = ANY (%(ids)s))
DELETE FROM extracted_granule WHERE arrival_id = ANY (%(ids)s);

-- copy_extracted_file: keep what the files say about themselves
COPY extracted_file FROM STDIN;

-- copy_extracted_granule: keep what the files say about their granules
COPY extracted_granule FROM STDIN;

-- back_to_verified: extracted files whose facts a database crash has taken are extracted again
UPDATE arrival a SET state = 'verified'
FROM arrival m
WHERE a.batch_id = %(batch)s AND a.state = 'extracted' AND m.id = coalesce(a.unit_id, a.id)
  AND NOT EXISTS (SELECT FROM extracted_file e WHERE e.arrival_id = m.id);

-- lock_store: one batch decides at a time, so that two never both find a granule new
SELECT pg_advisory_xact_lock(7004);

-- lock_store_shared: nobody decides meanwhile; batches of an export come two at a time, for they share no granule
SELECT pg_advisory_xact_lock_shared(7004);

-- extracted_of_batch: granules of the batch's files, for the decision
SELECT g.arrival_id, g.ordinal, g.file_id, g.key, g.version, g.created, g.path, f.kind
FROM extracted_granule g JOIN extracted_file f USING (arrival_id) JOIN arrival a ON a.id = g.arrival_id
WHERE a.batch_id = %(batch)s AND a.state = 'extracted' ORDER BY g.arrival_id, g.ordinal;

-- known_granules: versions of these granules with the files that hold them; of removed ones, the files once archived
SELECT g.key, g.version_rank, g.created, CASE WHEN g.state = 'deleted' THEN 'deleted' ELSE 'held' END AS state,
       s.path, s.digest, s.role
FROM granule g
LEFT JOIN granule_asset ga ON ga.granule_id = g.id
LEFT JOIN asset s ON s.id = ga.asset_id AND s.role <> 'checksum' AND (s.state IN ('stored', 'archived', 'suspect')
                  OR s.state = 'deleted' AND s.removal <> 'withdrawn' AND s.role = 'data' AND g.state = 'deleted')
WHERE g.key = ANY (%(keys)s) AND (g.state IN ('stored', 'archived', 'withdrawn') OR g.state = 'deleted' AND s.id IS NOT NULL);

-- known_paths: files that stand, or will stand, under these names
SELECT path, digest FROM asset WHERE path = ANY (%(paths)s) AND state <> 'deleted';

-- create_decided: what store decided, for this transaction
CREATE TEMP TABLE decided_file (arrival_id bigint PRIMARY KEY, unit_id bigint, path text, role text, kind text) ON COMMIT DROP;
CREATE INDEX ON decided_file (unit_id);
CREATE INDEX ON decided_file (path);

-- create_decided_granule: versions as ranked by store, for this transaction
CREATE TEMP TABLE decided_granule (arrival_id bigint, ordinal integer, version_rank integer, PRIMARY KEY (arrival_id, ordinal))
ON COMMIT DROP;

-- create_decided_duplicate: newcomers that the archive already holds, for this transaction
CREATE TEMP TABLE decided_duplicate (arrival_id bigint PRIMARY KEY, keeper text, reason text) ON COMMIT DROP;

-- create_decided_join: files that the archive holds already and that a new image of theirs needs too, for this transaction
CREATE TEMP TABLE decided_join (unit_id bigint, path text) ON COMMIT DROP;

-- copy_decided_join: load them
COPY decided_join FROM STDIN;

-- copy_decided_file: load the final paths
COPY decided_file FROM STDIN;

-- copy_decided_granule: load the ranks
COPY decided_granule FROM STDIN;

-- copy_decided_duplicate: load the duplicates
COPY decided_duplicate FROM STDIN;

-- store_granules: intent rows of granules not yet known
INSERT INTO granule (source, product, key, version, version_rank, created, state, platform, sensor, collection, sensing,
                     orbit, footprint, area_km2, search, classification, expires_at)
SELECT DISTINCT ON (e.key, d.version_rank, e.created)
       %(source)s, e.product, e.key, e.version, d.version_rank, e.created, 'stored', e.platform, e.sensor, e.collection,
       CASE WHEN e.sensing_start IS NOT NULL THEN tstzrange(e.sensing_start, e.sensing_end, '[]') END, e.orbit, e.footprint, e.area_km2, e.search,
       coalesce(e.classification, %(classifications)s::jsonb ->> e.product, %(classification)s),
       now() + least(e.keep_days, nullif(coalesce((%(keep_days)s::jsonb ->> e.product)::integer, %(keep)s), 0)) * interval '1 day'
FROM decided_granule d JOIN extracted_granule e USING (arrival_id, ordinal)
JOIN arrival a ON a.id = d.arrival_id
ORDER BY e.key, d.version_rank, e.created, coalesce(a.sensing_start, '-infinity'), a.path
ON CONFLICT (key, version_rank, created) WHERE state <> 'deleted' DO NOTHING;

-- store_assets: intent rows of the files, with their final paths; findings and header stand with the file that leads its unit
INSERT INTO asset (path, in_place, role, state, kind, size, digest, checksums, findings, header)
SELECT d.path, %(in_place)s, d.role, 'stored', d.kind, a.size, a.digest, a.announced,
       CASE WHEN d.arrival_id = d.unit_id THEN f.findings ELSE '[]' END,
       CASE WHEN d.arrival_id = d.unit_id THEN f.header ELSE ''::bytea END
FROM decided_file d JOIN arrival a ON a.id = d.arrival_id JOIN extracted_file f ON f.arrival_id = d.unit_id
ORDER BY d.path;

-- store_links: which files hold which granules: an image its own, what stands beside it all of its unit
INSERT INTO granule_asset (granule_id, asset_id)
SELECT DISTINCT g.id, s.id
FROM decided_granule d JOIN extracted_granule e USING (arrival_id, ordinal)
JOIN granule g ON g.key = e.key AND g.version_rank = d.version_rank AND g.created IS NOT DISTINCT FROM e.created
              AND g.state IN ('stored', 'archived', 'withdrawn')
JOIN decided_file f ON f.unit_id = d.arrival_id AND (f.role <> 'data' OR f.arrival_id = e.file_id)
JOIN asset s ON s.path = f.path AND s.state = 'stored'
ORDER BY g.id, s.id;

-- store_joins: files that the archive holds already and that a new image of theirs needs too
INSERT INTO granule_asset (granule_id, asset_id)
SELECT DISTINCT g.id, s.id
FROM decided_join j
JOIN decided_granule d ON d.arrival_id = j.unit_id JOIN extracted_granule e USING (arrival_id, ordinal)
JOIN granule g ON g.key = e.key AND g.version_rank = d.version_rank AND g.created IS NOT DISTINCT FROM e.created
              AND g.state IN ('stored', 'archived', 'withdrawn')
JOIN asset s ON s.path = j.path AND s.state IN ('stored', 'archived', 'suspect')
ORDER BY g.id, s.id
ON CONFLICT DO NOTHING;

-- store_arrivals: the files' intent is committed with their final place
UPDATE arrival a SET state = 'stored', stage = 'store', asset_id = s.id
FROM decided_file d JOIN asset s ON s.path = d.path AND s.state = 'stored'
WHERE a.id = d.arrival_id AND a.batch_id = %(batch)s AND a.state = 'extracted';

-- store_duplicates: the newcomers' intent is to go, once the stored copy was read again
UPDATE arrival a SET state = 'stored', stage = 'store', reason = d.reason, asset_id = s.id,
    detail = 'the archive holds it as ' || d.keeper
FROM decided_duplicate d
JOIN LATERAL (SELECT id FROM asset WHERE path = d.keeper AND (state IN ('stored', 'archived', 'suspect')
                  OR state = 'deleted' AND removal <> 'withdrawn' AND d.reason = 'skipped')
              ORDER BY state = 'deleted', id DESC LIMIT 1) s ON true
WHERE a.id = d.arrival_id AND a.batch_id = %(batch)s AND a.state = 'extracted';

-- rank_versions: point every version of these granules to the next newer one
UPDATE granule g SET superseded_by = n.next
FROM (SELECT id, lead(id) OVER (PARTITION BY key ORDER BY version_rank, created NULLS FIRST, id) AS next
      FROM granule WHERE key = ANY (%(keys)s) AND state IN ('stored', 'archived')) n
WHERE g.id = n.id AND g.superseded_by IS DISTINCT FROM n.next;

-- prefer_packaging: of several files that hold a granule, hand out the largest aggregate, uncompressed ones last
UPDATE granule_asset l SET preferred = r.best
FROM (SELECT ga.granule_id, ga.asset_id,
             row_number() OVER (PARTITION BY ga.granule_id ORDER BY
                 (SELECT count(*) FROM granule_asset x WHERE x.asset_id = s.id) DESC,
                 s.path ~ '_[a-z]{3}u_[a-z]{3,4}[.]h5$', s.path) = 1 AS best
      FROM granule_asset ga JOIN asset s ON s.id = ga.asset_id JOIN granule g ON g.id = ga.granule_id
      WHERE g.key = ANY (%(keys)s) AND s.role = 'data' AND s.state IN ('stored', 'archived')) r
WHERE l.granule_id = r.granule_id AND l.asset_id = r.asset_id AND l.preferred <> r.best;

-- archive_assets: the files are in storage, durably
UPDATE asset SET state = 'archived', fixity_at = now() WHERE id = ANY (%(assets)s) AND state = 'stored';

-- archive_granules: granules with an archived data file become visible
UPDATE granule SET state = 'archived'
WHERE state = 'stored' AND id = ANY (ARRAY(SELECT granule_id FROM granule_asset WHERE asset_id = ANY (%(assets)s)));

-- withdraw_assets: intents that cannot be carried out: their files never reached storage
UPDATE asset SET state = 'deleted', removal = 'withdrawn' WHERE id = ANY (%(assets)s) AND state = 'stored';

-- withdraw_granules: granules that existed only as such an intent
UPDATE granule g SET state = 'deleted', superseded_by = NULL
WHERE g.state = 'stored'
  AND g.id IN (SELECT granule_id FROM granule_asset WHERE asset_id = ANY (%(assets)s))
  AND NOT EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
                  WHERE l.granule_id = g.id AND s.role IN ('data', 'manifest', 'document') AND s.state IN ('stored', 'archived', 'suspect'));

-- keys_of_assets: keys of the granules that these files hold
SELECT DISTINCT g.key FROM granule_asset l JOIN granule g ON g.id = l.granule_id WHERE l.asset_id = ANY (%(assets)s);

-- replaced_lock: the granules of these files and the newer versions that replace them, locked: who holds, withdraws or
-- doubts one of them meanwhile is seen
SELECT id FROM granule WHERE id = ANY (ARRAY(
    SELECT unnest(ARRAY[g.id, g.superseded_by]) FROM granule_asset l JOIN granule g ON g.id = l.granule_id
    WHERE l.asset_id = ANY (%(assets)s::bigint[])))
ORDER BY id FOR NO KEY UPDATE;

-- replaced_assets: the next archived files of these keys, or of the source, all of whose granules newer versions replace that are
-- here and whole; with these granules. assets: of these files alone
SELECT s.id, s.path, array_agg(DISTINCT o.granule_id) AS granules FROM asset s JOIN granule_asset o ON o.asset_id = s.id
WHERE s.id IN (SELECT l.asset_id FROM granule g JOIN granule_asset l ON l.granule_id = g.id
               WHERE (g.key = ANY (%(keys)s) OR (%(keys)s::text[] IS NULL AND g.source = %(source)s)) AND g.superseded_by IS NOT NULL)
  AND s.id > %(after)s AND (%(assets)s::bigint[] IS NULL OR s.id = ANY (%(assets)s::bigint[]))
  AND s.state IN ('archived', 'suspect') AND NOT s.in_place
  AND NOT EXISTS (SELECT FROM granule_asset a JOIN granule h ON h.id = a.granule_id
                  LEFT JOIN granule n ON n.id = h.superseded_by AND n.state = 'archived'
                  WHERE a.asset_id = s.id AND (
                      NOT EXISTS (SELECT FROM granule_asset m JOIN asset f ON f.id = m.asset_id
                                  WHERE m.granule_id = n.id AND f.role IN ('data', 'manifest', 'document') AND f.state = 'archived')
                      OR EXISTS (SELECT FROM granule_asset m JOIN asset f ON f.id = m.asset_id
                                 WHERE m.granule_id = n.id AND f.state = 'suspect')))
GROUP BY s.id ORDER BY s.id LIMIT %(limit)s;

-- deleting_assets: files that a crash left half-way out of storage; those of a set that is removed or brought back are its own,
-- and those of a batch that is on its way, or is taken back, are its export's
SELECT id, path FROM asset WHERE state = 'deleting'
  AND NOT EXISTS (SELECT FROM removal_item i WHERE i.asset_id = asset.id AND i.state IN ('marked', 'trashed'))
  AND NOT EXISTS (SELECT FROM export_batch b WHERE b.state IN ('placing', 'taking') AND asset.id <@ b.assets)
ORDER BY path;

-- mark_deleting: these files are about to leave storage
UPDATE asset SET state = 'deleting' WHERE id = ANY (%(assets)s) AND state IN ('archived', 'suspect');

-- granules_deleting: granules that lose their last data file
UPDATE granule g SET state = 'deleting'
WHERE g.state IN ('archived', 'withdrawn')
  AND g.id IN (SELECT granule_id FROM granule_asset WHERE asset_id = ANY (%(assets)s))
  AND NOT EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
                  WHERE l.granule_id = g.id AND s.role IN ('data', 'manifest', 'document') AND s.state IN ('stored', 'archived', 'suspect'));

-- mark_deleted: these files have left storage; the rows stay as tombstones
UPDATE asset SET state = 'deleted', removal = %(removal)s WHERE id = ANY (%(assets)s) AND state = 'deleting';

-- granules_deleted: and so have their granules
UPDATE granule g SET state = 'deleted'
WHERE g.state = 'deleting' AND g.id IN (SELECT granule_id FROM granule_asset WHERE asset_id = ANY (%(assets)s));

-- ledger_of_run: the run's files by sensor and state
SELECT sensor, state, count(*)::int AS files, coalesce(sum(size), 0)::bigint AS bytes
FROM arrival WHERE run_id = %(run)s GROUP BY sensor, state;

-- unfinished_of_run: batches with files that did not meet their fate
SELECT b.id, b.partition, a.state, count(*)::int AS files FROM batch b
JOIN arrival a ON a.batch_id = b.id AND a.state IN ('detected', 'verified', 'extracted', 'stored')
WHERE b.run_id = %(run)s GROUP BY b.id, b.partition, a.state ORDER BY b.id, a.state;

-- forget_statistics: a repeated report replaces the run's figures
DELETE FROM ingest_statistic WHERE run_id = %(run)s;

-- write_statistics: figures of the run by sensor and final state, straight from the ledger
INSERT INTO ingest_statistic (run_id, source, sensor, state, files, bytes)
SELECT run_id, source, sensor, state, count(*), coalesce(sum(size), 0) FROM arrival
WHERE run_id = %(run)s AND state IN ('archived', 'rejected', 'duplicate', 'conflict', 'lost')
GROUP BY run_id, source, sensor, state;

-- finish_run: the run's verdict
UPDATE ingest_run SET finished_at = now(), verdict = %(verdict)s, counts = %(counts)s::jsonb WHERE id = %(run)s;

-- run_of_batch: the run that the batch counts for
SELECT run_id FROM batch WHERE id = %(batch)s;

-- ledger_dump: every arrival, oldest first
SELECT name, role, state, reason, detail, sensor, run_id, landed FROM arrival ORDER BY id;

-- current_dump: data files of the newest archived version of every granule
SELECT s.path FROM granule_current g JOIN granule_asset l ON l.granule_id = g.id JOIN asset s ON s.id = l.asset_id
WHERE s.role = 'data' AND s.state = 'archived' ORDER BY s.path;

-- intended_dump: final paths that are committed but not yet reached
SELECT path FROM asset WHERE state = 'stored' ORDER BY path;

-- stuck_in_landing: settled files of this run, or of ended ones, whose names still stand in landing
SELECT a.name FROM arrival a JOIN ingest_run r ON r.id = a.run_id
WHERE a.source = %(source)s AND a.landed AND a.state IN ('archived', 'rejected', 'conflict', 'duplicate', 'lost')
  AND (a.run_id = %(run)s OR r.finished_at IS NOT NULL)
ORDER BY a.id;
