-- Plans of guarded removal: what is asked for, what of it must stay, and the set that is kept. All but the plan's own tables is set by set.

-- removal_create_chosen: granules that are asked for, for this transaction
CREATE TEMP TABLE removal_chosen (granule_id bigint PRIMARY KEY, keeper_id bigint, reason text NOT NULL) ON COMMIT DROP;

-- removal_create_held: granules that are asked for and stay, and why, for this transaction
CREATE TEMP TABLE removal_held (granule_id bigint PRIMARY KEY, why text NOT NULL) ON COMMIT DROP;

-- removal_create_name: a list's names with what they may mean, for this transaction
CREATE TEMP TABLE removal_name ON COMMIT DROP AS
SELECT * FROM unnest(%(names)s::text[], %(paths)s::text[]) AS n (name, path);

-- removal_create_named: held granules that they mean: by key, or by a file of theirs with its path or the name it came with.
-- Name by name: the planner would read all granules and files for a handful.
CREATE TEMP TABLE removal_named ON COMMIT DROP AS
SELECT n.name, f.granule_id, f.role FROM removal_name n CROSS JOIN LATERAL (
    SELECT g.id AS granule_id, 'data' AS role FROM granule g WHERE g.key = n.name AND g.state = 'archived'
    UNION ALL
    SELECT l.granule_id, s.role FROM asset s JOIN granule_asset l ON l.asset_id = s.id
    WHERE s.path = n.path AND s.state IN ('archived', 'suspect')
    UNION ALL
    SELECT l.granule_id, s.role FROM arrival a JOIN asset s ON s.id = a.asset_id JOIN granule_asset l ON l.asset_id = s.id
    WHERE a.name = n.name AND a.state = 'archived' AND s.state IN ('archived', 'suspect') OFFSET 0) f;

-- removal_analyze_named: so that what follows is planned for as many as there are
ANALYZE removal_name, removal_named;

-- removal_choose_duplicates: images that an evaluation has put aside for the same image of another order or delivery
INSERT INTO removal_chosen
SELECT a.granule_id, a.keeper_id, a.reason FROM footprint_archive a JOIN granule g ON g.id = a.granule_id
WHERE a.reason IN ('re-order', 're-delivery') AND g.state = 'archived'
  AND (%(among)s::bigint[] IS NULL OR a.granule_id = ANY (%(among)s::bigint[]))
  AND (%(sensors)s::text[] IS NULL OR a.sensor = ANY (%(sensors)s::text[]));

-- removal_hold_doubtful: of these, what is not provably the image that its keeper is (DOMAIN 4.5, class 3), or whose keeper is in doubt
INSERT INTO removal_held
SELECT * FROM (
    SELECT c.granule_id, CASE
        WHEN k.granule_id IS NULL THEN 'its keeper is not preferred any more: run an evaluation'
        WHEN k.status = 'faulty' THEN 'its keeper is faulty: see the findings of the newest evaluation'
        WHEN k.status <> 'validated' THEN 'no evaluation has looked at its keeper as it is now: run one'
        WHEN NOT EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
                         WHERE l.granule_id = k.granule_id AND s.role = 'data' AND s.state = 'archived')
            THEN 'its keeper has no file'
        WHEN EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
                     WHERE l.granule_id = k.granule_id AND s.state = 'suspect') THEN 'a file of its keeper is suspect'
        WHEN EXISTS (SELECT FROM granule_asset l JOIN validation v ON v.asset_id = l.asset_id
                     WHERE l.granule_id = k.granule_id AND v.verdict = 'bad') THEN 'the raster of its keeper is bad'
        WHEN (f.sensor, f.catalog_id, f.prod_code) IS DISTINCT FROM (k.sensor, k.catalog_id, k.prod_code)
             OR num_nulls(f.catalog_id, f.prod_code) > 0
            THEN 'its keeper has another sensor, catalog id or product: no duplicate'
        WHEN NOT coalesce(abs(extract(epoch FROM f.acq_time - k.acq_time)) <= 1, false)
            THEN 'its keeper was taken at another time: no duplicate'
        WHEN left(f.order_id, 15) IS NOT DISTINCT FROM left(k.order_id, 15)
             AND (coalesce(f.part, ''), coalesce(f.tile, '')) <> (coalesce(k.part, ''), coalesce(k.tile, ''))
            THEN 'its keeper is another part or tile of the same order: no duplicate'
        WHEN NOT coalesce(o.share >= %(least)s, false)
            THEN concat('its keeper shows ', coalesce(round(o.share::numeric, 3)::text, 'nothing'), ' of its ground: no duplicate')
        END AS why
    FROM removal_chosen c JOIN footprint_archive f ON f.granule_id = c.granule_id
    LEFT JOIN footprint_master k ON k.granule_id = c.keeper_id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN f.shape && k.shape AND ST_IsValid(f.shape) AND ST_IsValid(k.shape)
                    THEN ST_Area(ST_Intersection(f.shape, k.shape)::geography, false)
                         / nullif(ST_Area(f.shape::geography, false), 0) END AS share) o
) d WHERE d.why IS NOT NULL;

-- removal_choose_listed: granules by their key, and all granules of files by their path or the name they came with
INSERT INTO removal_chosen
SELECT g.id, NULL::bigint, 'listed' FROM (
    SELECT DISTINCT granule_id FROM removal_named WHERE role IN ('data', 'manifest', 'document')) n
CROSS JOIN LATERAL (SELECT * FROM granule WHERE id = n.granule_id OFFSET 0) g
WHERE g.state = 'archived' AND (%(sensors)s::text[] IS NULL OR g.sensor = ANY (%(sensors)s::text[]));

-- removal_unknown_names: names of the list by which nothing is removed
SELECT n.name, CASE
    WHEN b.role IS NOT NULL THEN concat('stands beside an image (', b.role, ') and goes with it: name the image')
    WHEN t.gone THEN 'was removed before'
    ELSE 'the archive holds nothing of this name' END AS why
FROM removal_name n
LEFT JOIN LATERAL (SELECT m.role FROM removal_named m WHERE m.name = n.name AND m.role NOT IN ('data', 'manifest', 'document')
                   ORDER BY m.role LIMIT 1) b ON true
LEFT JOIN LATERAL (SELECT true AS gone FROM (SELECT FROM granule g WHERE g.key = n.name AND g.state = 'deleted'
                                             UNION ALL SELECT FROM asset s WHERE s.path = n.path AND s.state = 'deleted') e
                   LIMIT 1) t ON true
WHERE NOT EXISTS (SELECT FROM removal_named m JOIN removal_chosen c ON c.granule_id = m.granule_id WHERE m.name = n.name)
ORDER BY n.name COLLATE "C";

-- removal_choose_ruled: granules that fulfil every condition of a rule; what is not known fulfils none
INSERT INTO removal_chosen
SELECT g.id, NULL::bigint, %(reason)s FROM granule g
WHERE g.state = 'archived' AND (%(sensors)s::text[] IS NULL OR g.sensor = ANY (%(sensors)s::text[]))
  AND (%(among)s::bigint[] IS NULL OR g.id = ANY (%(among)s::bigint[]))
  AND NOT EXISTS (
    SELECT FROM jsonb_to_recordset(%(rule)s::jsonb)
                AS c (field text, signs integer[], alike boolean, text text, number double precision, "time" timestamptz)
    CROSS JOIN LATERAL (SELECT
        CASE WHEN c.text IS NOT NULL THEN CASE c.field
            WHEN 'source' THEN g.source WHEN 'product' THEN g.product WHEN 'sensor' THEN g.sensor
            WHEN 'platform' THEN g.platform WHEN 'collection' THEN g.collection WHEN 'classification' THEN g.classification
            WHEN 'key' THEN g.key WHEN 'version' THEN g.version
            WHEN 'superseded' THEN CASE WHEN EXISTS (SELECT FROM granule n WHERE n.id = g.superseded_by AND n.state = 'archived')
                                        THEN 'yes' ELSE 'no' END
            WHEN 'footprint' THEN coalesce((SELECT a.reason FROM footprint_archive a WHERE a.granule_id = g.id),
                                           (SELECT 'master' FROM footprint_master m WHERE m.granule_id = g.id))
            WHEN 'verdict' THEN (SELECT v.verdict FROM granule_asset l JOIN validation v ON v.asset_id = l.asset_id
                                 JOIN asset s ON s.id = l.asset_id AND s.role = 'data' AND s.state = 'archived'
                                 WHERE l.granule_id = g.id ORDER BY v.verdict = 'bad' DESC, l.preferred DESC, s.id LIMIT 1)
            ELSE g.search ->> c.field END END AS text,
        CASE WHEN c.number IS NOT NULL THEN CASE c.field
            WHEN 'year' THEN extract(year FROM lower(g.sensing) AT TIME ZONE 'UTC')::float8
            WHEN 'orbit' THEN g.orbit::float8 WHEN 'area_km2' THEN g.area_km2
            ELSE CASE WHEN jsonb_typeof(g.search -> c.field) = 'number' THEN (g.search ->> c.field)::float8 END END END AS number,
        CASE c.field WHEN 'sensed' THEN lower(g.sensing) WHEN 'created' THEN g.created
                     WHEN 'stored' THEN g.stored_at WHEN 'expires' THEN g.expires_at END AS "time") v
    WHERE NOT coalesce(c.signs @> ARRAY[CASE
        WHEN c.text IS NOT NULL THEN CASE WHEN v.text IS NULL THEN NULL
                                          WHEN CASE WHEN c.alike THEN v.text LIKE c.text ELSE v.text = c.text END THEN 0 ELSE 1 END
        WHEN c.number IS NOT NULL THEN sign(nullif(v.number, 'NaN') - c.number)::integer
        ELSE CASE WHEN v."time" < c."time" THEN -1 WHEN v."time" = c."time" THEN 0 WHEN v."time" > c."time" THEN 1 END END], false));

-- removal_choose_again: of granules that were listed, those that are still held
INSERT INTO removal_chosen SELECT id, NULL, 'listed' FROM granule WHERE id = ANY (%(among)s::bigint[]) AND state = 'archived';

-- removal_choose_expired: granules whose time is over and that nobody holds, those first that expired first, after a place in that
-- order and without some that were looked at before; as_of: what will have expired by then
INSERT INTO removal_chosen
SELECT id, NULL::bigint, CASE WHEN state = 'withdrawn' THEN 'withdrawn'
                              WHEN EXISTS (SELECT FROM expiry_change c WHERE c.granule_id = due.id) THEN 'expiry was changed'
                              ELSE 'expired' END
FROM (SELECT id, state FROM granule
      WHERE state IN ('archived', 'withdrawn') AND product = ANY (%(products)s::text[])
        AND expires_at <= least(%(until)s::timestamptz, coalesce(%(as_of)s::timestamptz, now()))
        AND (expires_at, id) > (coalesce(%(after)s::timestamptz, '-infinity'), %(after_id)s)
        AND id <> ALL (%(without)s::bigint[])
        AND (SELECT h.id FROM hold h  -- asked one by one, in the order of the index
             WHERE h.granule_id = granule.id AND h.released IS NULL AND (h.until IS NULL OR h.until > now()) LIMIT 1) IS NULL
      ORDER BY expires_at, id LIMIT %(limit)s) due;

-- removal_choose_expired_beside: and those that share a file with them, whose time is over, too; repeated until there is none
INSERT INTO removal_chosen
SELECT DISTINCT g.id, NULL::bigint, CASE WHEN g.state = 'withdrawn' THEN 'withdrawn'
                                         WHEN EXISTS (SELECT FROM expiry_change e WHERE e.granule_id = g.id) THEN 'expiry was changed'
                                         ELSE 'expired' END
FROM removal_chosen c JOIN granule_asset l ON l.granule_id = c.granule_id
JOIN asset s ON s.id = l.asset_id AND s.state IN ('archived', 'suspect') AND s.role IN ('data', 'manifest', 'document')
JOIN granule_asset o ON o.asset_id = s.id AND o.granule_id <> c.granule_id JOIN granule g ON g.id = o.granule_id
WHERE g.expires_at <= least(%(until)s::timestamptz, coalesce(%(as_of)s::timestamptz, now())) AND g.state IN ('archived', 'withdrawn')
  AND g.product = ANY (%(products)s::text[])
ON CONFLICT DO NOTHING;

-- removal_hold_changing: lock what is chosen; what somebody is changing, or has just changed, stays for the next run
WITH free AS (
    SELECT g.id, g.state IN ('archived', 'withdrawn') AND g.expires_at <= least(%(until)s::timestamptz, now()) AS due
    FROM granule g WHERE g.id = ANY (ARRAY(SELECT granule_id FROM removal_chosen)) ORDER BY g.id FOR NO KEY UPDATE SKIP LOCKED
)
INSERT INTO removal_held
SELECT granule_id, 'somebody is changing it, or has changed when it expires: the next run looks again' FROM removal_chosen c
WHERE NOT EXISTS (SELECT FROM free f WHERE f.id = c.granule_id AND f.due);

-- removal_choose_expired_again: of granules that had expired, those whose time is still over
INSERT INTO removal_chosen
SELECT id, NULL, 'expired' FROM granule
WHERE id = ANY (%(among)s::bigint[]) AND expires_at <= least(%(until)s::timestamptz, now()) AND state IN ('archived', 'withdrawn');

-- removal_pairs: each duplicate, followed by its keeper, by what they are judged by now
SELECT x.*, g.key || CASE WHEN g.version_rank > 0 THEN ' ' || g.version ELSE '' END AS key
FROM removal_chosen c CROSS JOIN LATERAL (
    SELECT granule_id, order_id, sensor, prod_code, cloudcover, sun_elev, off_nadir, tdi, acq_time, generated, area_km2
    FROM footprint_archive WHERE granule_id = c.granule_id
    UNION ALL
    SELECT granule_id, order_id, sensor, prod_code, cloudcover, sun_elev, off_nadir, tdi, acq_time, generated, area_km2
    FROM footprint_master WHERE granule_id = c.keeper_id) x
JOIN granule g ON g.id = x.granule_id
WHERE c.keeper_id IS NOT NULL ORDER BY c.granule_id, x.granule_id = c.keeper_id;

-- removal_analyze_chosen: so that what follows is planned for as many as there are
ANALYZE removal_chosen;

-- removal_analyze_planned: likewise
ANALYZE removal_planned;

-- removal_hold_blocked: granules that somebody needs now stay
INSERT INTO removal_held SELECT * FROM unnest(%(granules)s::bigint[], %(whys)s::text[]) ON CONFLICT DO NOTHING;

-- removal_blocked: granules that cannot leave now: a file is just being delivered that leans on theirs, a PGE is about to read
-- them, another one is about to leave because of them, or somebody holds them
SELECT l.granule_id, min(concat(a.name, ' is just being delivered and leans on ', s.path)) AS why
FROM granule_asset l JOIN asset s ON s.id = l.asset_id
JOIN arrival a ON a.asset_id = l.asset_id AND (a.state = 'stored' OR a.landed AND a.state IN ('archived', 'duplicate'))
WHERE l.granule_id = ANY (%(granules)s::bigint[]) AND s.state <> 'deleted' GROUP BY l.granule_id
UNION ALL
SELECT n.granule_id, min(concat('PGE instance ', i.id, ' (', i.pge, ', ', i.state, ') is made from it')) AS why
FROM pge_input n JOIN pge_instance i ON i.id = n.instance_id AND i.state IN ('ready', 'running', 'delivered')
WHERE n.granule_id = ANY (%(granules)s::bigint[]) GROUP BY n.granule_id
UNION ALL
SELECT granule_id, min(concat('held by ', owner, ' (', kind, ')', coalesce(' until ' || to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC', ''),
                              ': ', reason)) AS why
FROM hold WHERE granule_id = ANY (%(granules)s::bigint[]) AND released IS NULL AND (until IS NULL OR until > now()) GROUP BY granule_id
UNION ALL
SELECT i.keeper_id, min(concat('it stays in the place of ', g.key, ', whose removal is not finished: set ', encode(r.hash, 'hex'))) AS why
FROM removal_item i JOIN removal_set r ON r.id = i.set_id AND r.state = 'approved' JOIN granule g ON g.id = i.granule_id
WHERE i.keeper_id = ANY (%(granules)s::bigint[]) AND i.state IN ('planned', 'marked') GROUP BY i.keeper_id;

-- removal_chosen: what is asked for so far
SELECT granule_id FROM removal_chosen;

-- removal_drop_held: what stays is no longer chosen
DELETE FROM removal_chosen c USING removal_held h WHERE h.granule_id = c.granule_id;

-- removal_hold_shared: granules whose image or data file also holds another one that stays; repeated until there is none
INSERT INTO removal_held
SELECT DISTINCT ON (c.granule_id) c.granule_id, concat(s.path, ' also holds ', g.key, ', which was not chosen or stays')
FROM removal_chosen c
JOIN granule_asset l ON l.granule_id = c.granule_id
JOIN asset s ON s.id = l.asset_id AND s.state <> 'deleted' AND s.role IN ('data', 'manifest', 'document')
JOIN granule_asset o ON o.asset_id = l.asset_id AND o.granule_id <> c.granule_id
JOIN granule g ON g.id = o.granule_id AND g.state <> 'deleted'
WHERE NOT EXISTS (SELECT FROM removal_chosen x WHERE x.granule_id = o.granule_id)
ORDER BY c.granule_id, s.path, g.key COLLATE "C";

-- removal_hold_fileless: granules that have no file of their own to go with them
INSERT INTO removal_held
SELECT c.granule_id, 'no archived file is held for it: run `orbitory audit`' FROM removal_chosen c
WHERE NOT EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id
                  WHERE l.granule_id = c.granule_id AND s.state IN ('archived', 'suspect') AND s.role IN ('data', 'manifest', 'document'))
ON CONFLICT DO NOTHING;

-- removal_hold_suspect: granules with a file that the audit doubts: only a person may give those up
INSERT INTO removal_held
SELECT c.granule_id, concat('its file ', min(s.path), ' is suspect: repair it, or remove it by `orbitory delete`')
FROM removal_chosen c JOIN granule_asset l ON l.granule_id = c.granule_id JOIN asset s ON s.id = l.asset_id AND s.state = 'suspect'
GROUP BY c.granule_id ON CONFLICT DO NOTHING;

-- removal_create_planned: the set: chosen granules with those of their files that no other granule needs, and all that the
-- statements below tell of them, for this transaction. Numbers of rows belong to it: what was delivered again is another set.
-- Granule by granule, through indexes: the planner would read all that there are.
CREATE TEMP TABLE removal_planned ON COMMIT DROP AS
SELECT c.granule_id, s.id AS asset_id, s.path, s.in_place, s.size AS bytes, s.digest, s.state AS asset_state, c.keeper_id, c.reason,
       g.key, g.version, g.version_rank, g.created, g.sensor, g.product, g.expires_at, g.state
FROM removal_chosen c
CROSS JOIN LATERAL (SELECT * FROM granule WHERE id = c.granule_id OFFSET 0) g
CROSS JOIN LATERAL (SELECT asset_id FROM granule_asset WHERE granule_id = c.granule_id OFFSET 0) l
CROSS JOIN LATERAL (SELECT * FROM asset WHERE id = l.asset_id OFFSET 0) s
WHERE s.state IN ('archived', 'suspect') AND NOT EXISTS (
    SELECT FROM (SELECT o.granule_id FROM granule_asset o LEFT JOIN removal_chosen x ON x.granule_id = o.granule_id
                 WHERE o.asset_id = s.id AND x.granule_id IS NULL OFFSET 0) o
    JOIN granule h ON h.id = o.granule_id AND h.state <> 'deleted');

-- removal_lines: the set in an order of its own, for its hash
SELECT jsonb_build_array(p.granule_id, p.asset_id, p.keeper_id, p.key, p.version_rank, p.created, p.path, encode(p.digest, 'hex'), p.bytes,
                         k.key, k.version_rank, p.reason)::text COLLATE "C" AS line
FROM removal_planned p LEFT JOIN LATERAL (SELECT key, version_rank FROM granule WHERE id = p.keeper_id OFFSET 0) k ON true
ORDER BY line;

-- removal_shares: how much of each sensor that is
SELECT g.sensor, count(*) AS items, (SELECT count(*) FROM granule t WHERE t.sensor = g.sensor AND t.state = 'archived') AS held
FROM removal_chosen c JOIN granule g ON g.id = c.granule_id GROUP BY g.sensor ORDER BY g.sensor COLLATE "C";



-- removal_known_products: all products that are or were held
WITH RECURSIVE known AS (
    (SELECT product FROM granule ORDER BY product LIMIT 1)
    UNION ALL
    SELECT (SELECT g.product FROM granule g WHERE g.product > k.product ORDER BY g.product LIMIT 1) FROM known k WHERE k.product IS NOT NULL
)
SELECT product FROM known WHERE product IS NOT NULL;

-- removal_held_of_products: how many granules of these products (none: of all) are held, counted up to a number
SELECT count(*)::int AS held FROM (
    SELECT FROM granule WHERE (%(products)s::text[] IS NULL OR product = ANY (%(products)s::text[])) AND state IN ('archived', 'withdrawn')
    LIMIT %(most)s) h;

-- removal_totals: files and bytes of the set; those that stand in place are not touched
SELECT count(DISTINCT asset_id) AS files, count(DISTINCT asset_id) FILTER (WHERE in_place) AS in_place,
       coalesce((SELECT sum(bytes) FROM (SELECT DISTINCT asset_id, bytes FROM removal_planned WHERE NOT in_place) f), 0)::bigint AS bytes
FROM removal_planned;

-- removal_items: the granules of the set with their keepers
SELECT p.granule_id, p.key || CASE WHEN p.version_rank > 0 THEN ' ' || p.version ELSE '' END AS loser, p.sensor, p.reason, p.files,
       p.bytes, k.key || CASE WHEN k.version_rank > 0 THEN ' ' || k.version ELSE '' END AS keeper, p.product, p.expires_at
FROM (SELECT granule_id, keeper_id, reason, key, version, version_rank, sensor, product, expires_at, count(*) AS files, sum(bytes)::bigint AS bytes
      FROM removal_planned GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9) p
LEFT JOIN LATERAL (SELECT key, version, version_rank FROM granule WHERE id = p.keeper_id OFFSET 0) k ON true
ORDER BY p.key COLLATE "C", p.version_rank, p.granule_id;

-- removal_held_back: what was asked for and stays
SELECT h.granule_id, g.key || CASE WHEN g.version_rank > 0 THEN ' ' || g.version ELSE '' END AS key, h.why, g.product, g.expires_at
FROM removal_held h JOIN granule g ON g.id = h.granule_id ORDER BY g.key COLLATE "C", g.version_rank, g.id;

-- removal_keep_set: keep a plan under its hash; a set of which nothing is gone, and that nobody works on, is planned anew
INSERT INTO removal_set (hash, kind, actor, counts, state, reason)
VALUES (%(hash)s, %(kind)s, %(actor)s, %(counts)s::jsonb, %(state)s, %(reason)s)
ON CONFLICT (hash) DO UPDATE SET state = excluded.state, made_at = now(), actor = excluded.actor, counts = excluded.counts, reason = excluded.reason
WHERE removal_set.state <> 'approved'
  AND NOT EXISTS (SELECT FROM removal_item i WHERE i.set_id = removal_set.id AND i.state IN ('marked', 'trashed', 'emptied'))
RETURNING id;

-- removal_forget_items: of a plan that is kept anew
DELETE FROM removal_item WHERE set_id = %(id)s;

-- removal_keep_items: what belongs to a plan; nothing of it can be deleted until that is committed
WITH granules AS MATERIALIZED (
    SELECT id FROM granule WHERE id IN (SELECT granule_id FROM removal_planned UNION SELECT keeper_id FROM removal_planned) FOR KEY SHARE
), files AS MATERIALIZED (
    SELECT id FROM asset WHERE id IN (SELECT asset_id FROM removal_planned) FOR KEY SHARE
)
INSERT INTO removal_item (set_id, granule_id, asset_id, path, bytes, keeper_id, reason)
SELECT %(id)s, p.granule_id, p.asset_id, p.path, p.bytes, p.keeper_id, p.reason
FROM removal_planned p JOIN granules g ON g.id = p.granule_id JOIN files f ON f.id = p.asset_id LEFT JOIN granules k ON k.id = p.keeper_id
WHERE p.keeper_id IS NULL OR k.id IS NOT NULL;

-- removal_take_items: what belongs to a plan and is about to leave: where its files will stand
INSERT INTO removal_item (set_id, granule_id, asset_id, path, bytes, reason, state, trash_path, withdrawn)
SELECT %(id)s, granule_id, asset_id, path, bytes, reason, 'marked', CASE WHEN NOT in_place THEN %(folder)s || path END, state = 'withdrawn'
FROM removal_planned;

-- removal_taken: the same, as a removal goes through it
SELECT granule_id, key, asset_id, path, bytes, keeper_id, in_place, asset_state, digest, false AS suspect, NULL::text AS trash_path
FROM removal_planned ORDER BY granule_id, path;

-- removal_forget_old_plans: plans that nobody took up for long; of what has expired none is shown longer than its question waits
DELETE FROM removal_set WHERE state = 'planned'
  AND made_at < now() - CASE kind WHEN 'expired' THEN interval '8 days' ELSE interval '30 days' END;

-- removal_drop_plan: make room for the next plan of the same transaction
DROP TABLE IF EXISTS removal_chosen, removal_held, removal_name, removal_named, removal_planned;
