-- Export, one batch from `here` by COPY into the tables of `there`.
-- Row numbers there are given out before anything is copied, so that rows go straight into the indexed tables. The batch's own
-- tables are made in their order: row by row through the index of what they name (OFFSET 0), rows leave as they are found.
-- What goes by the thousand is written column by column, in the order of its table (a function that takes a row costs more than
-- the row); one column too few, and COPY refuses all.

-- export_create_pass: some granules of the batch at a time: new ones go straight into the tables, others beside them first
CREATE TEMP TABLE export_pass ON COMMIT DROP AS SELECT * FROM export_now WHERE (action = 'added') = %(added)s ORDER BY there_id;

-- export_drop_pass: make room for the next one
DROP TABLE export_pass;

-- export_out_items: the ledger's part
COPY (SELECT n.granule_id, n.there_id, n.action, n.digest, n.before, g.key, g.version_rank, g.created
      FROM export_now n CROSS JOIN LATERAL (SELECT * FROM granule g WHERE g.id = n.granule_id OFFSET 0) g) TO STDOUT (FORMAT binary);

-- export_out_fresh: files that stand nowhere there
COPY (SELECT n.there_id, s.path, s.role, CASE WHEN s.state = 'deleted' THEN s.state WHEN s.in_place THEN 'archived' ELSE n.living END,
             s.kind, s.size, s.digest, s.checksums, s.findings, s.header, s.fixity_at, s.in_place, s.removal
      FROM export_now_asset n CROSS JOIN LATERAL (SELECT * FROM asset s WHERE s.id = n.asset_id OFFSET 0) s WHERE n.fresh) TO STDOUT (FORMAT binary);

-- export_in_fresh: likewise
COPY asset FROM STDIN (FORMAT binary);

-- export_out_known: files of the pass that do
COPY (SELECT r.* FROM export_now_asset n JOIN asset s ON s.id = n.asset_id
      CROSS JOIN LATERAL jsonb_populate_record(s, jsonb_build_object('id', n.there_id)) AS r
      WHERE NOT n.fresh AND EXISTS (SELECT FROM export_pass p JOIN granule_asset l ON l.granule_id = p.granule_id
                                    WHERE l.asset_id = s.id)) TO STDOUT (FORMAT binary);

-- export_out_granules: granules
COPY (SELECT n.there_id, g.source, g.product, g.key, g.version, g.version_rank, g.created,
             CASE WHEN g.state = 'deleted' THEN g.state ELSE n.living END, coalesce(sn.there_id, sr.there_id), g.platform, g.sensor,
             g.collection, g.sensing, g.orbit, g.footprint, g.area_km2, g.search, g.classification, g.expires_at, g.stored_at
      FROM export_pass n CROSS JOIN LATERAL (SELECT * FROM granule g WHERE g.id = n.granule_id OFFSET 0) g
      LEFT JOIN export_now sn ON sn.granule_id = g.superseded_by LEFT JOIN export_reference sr ON sr.granule_id = g.superseded_by)
TO STDOUT (FORMAT binary);

-- export_in_granules: likewise
COPY granule FROM STDIN (FORMAT binary);

-- export_out_links: which files hold them
COPY (SELECT n.there_id, s.there_id, l.preferred FROM export_pass n JOIN granule_asset l ON l.granule_id = n.granule_id
      JOIN export_now_asset s ON s.asset_id = l.asset_id) TO STDOUT (FORMAT binary);

-- export_in_links: likewise
COPY granule_asset (granule_id, asset_id, preferred) FROM STDIN (FORMAT binary);

-- export_out_masters: footprints that are preferred; their paths as users there find them
COPY (SELECT n.fpuid, f.strip_id, f.scene_id, f.status, f.catalog_id, f.order_id, f.prod_code, f.country, f.spec_type, f.acq_time,
             f.cloudcover, f.cent_lat, f.cent_long, f.columns, f.rows, f.bits_pixel, f.file_fmt, f.off_nadir, f.sun_elev, f.prod_gsd,
             f.ref_height, f.xtrackva, f.s_filename, export_shown(f.s_filepath, n.linux, n.new_linux), f.sensor, f.bands,
             export_shown(f.previewjpg, n.linux, n.new_linux), f.previewurl, f.added_date, f.file_sz, f.avsunazim, f.avtargetaz,
             f.stereopair, f.pairname, f.acq_date, f.acq_year, f.prod_short, f.det_pitch, f.intrackva, f.acq_month, f.zone_id, f.source,
             f.shape, n.there_id, s.there_id, f.tdi, f.part, f.tile, f.generated, f.area_km2,
             export_shown(f.p_filepath, n.windows, n.new_windows)
      FROM export_pass n JOIN footprint_master f ON f.granule_id = n.granule_id LEFT JOIN export_now_asset s ON s.asset_id = f.asset_id
      ORDER BY n.there_id) TO STDOUT (FORMAT binary);

-- export_in_masters: likewise
COPY footprint_master FROM STDIN (FORMAT binary);

-- export_out_asides: footprints that stand aside, likewise
COPY (SELECT r.* FROM export_pass n JOIN footprint_archive f ON f.granule_id = n.granule_id
      LEFT JOIN export_now_asset s ON s.asset_id = f.asset_id
      LEFT JOIN export_now kn ON kn.granule_id = f.keeper_id LEFT JOIN export_reference kr ON kr.granule_id = f.keeper_id
      CROSS JOIN LATERAL jsonb_populate_record(f, jsonb_build_object(
          'fpuid', n.fpuid, 'granule_id', n.there_id, 'asset_id', s.there_id, 'keeper_id', coalesce(kn.there_id, kr.there_id),
          's_filepath', export_shown(f.s_filepath, n.linux, n.new_linux), 'previewjpg', export_shown(f.previewjpg, n.linux, n.new_linux),
          'p_filepath', export_shown(f.p_filepath, n.windows, n.new_windows))) AS r
      ORDER BY n.there_id) TO STDOUT (FORMAT binary);

-- export_in_asides: likewise
COPY footprint_archive FROM STDIN (FORMAT binary);

-- export_create_beside: where rows stand until they take the place of others
CREATE TEMP TABLE export_granule (LIKE granule) ON COMMIT DROP;

-- export_create_beside_asset: likewise
CREATE TEMP TABLE export_asset (LIKE asset) ON COMMIT DROP;

-- export_create_beside_link: likewise
CREATE TEMP TABLE export_link (LIKE granule_asset) ON COMMIT DROP;

-- export_create_beside_master: likewise
CREATE TEMP TABLE export_master (LIKE footprint_master) ON COMMIT DROP;

-- export_create_beside_aside: likewise
CREATE TEMP TABLE export_aside (LIKE footprint_archive) ON COMMIT DROP;

-- export_beside_granules: feed it
COPY export_granule FROM STDIN (FORMAT binary);

-- export_beside_assets: feed it
COPY export_asset FROM STDIN (FORMAT binary);

-- export_beside_links: feed it
COPY export_link FROM STDIN (FORMAT binary);

-- export_beside_masters: feed it
COPY export_master FROM STDIN (FORMAT binary);

-- export_beside_asides: feed it
COPY export_aside FROM STDIN (FORMAT binary);

-- export_create_coming: what is about to come
CREATE TEMP TABLE export_coming (granule_id bigint, there_id bigint, action text, digest bigint, before bigint,
                                 key text, version_rank integer, created timestamptz) ON COMMIT DROP;

-- export_copy_coming: feed it
COPY export_coming FROM STDIN (FORMAT binary);

-- export_weigh_coming: tell the planner how many they are
ANALYZE export_coming (there_id);

-- export_lock_rows: nobody changes them meanwhile
SELECT g.id FROM granule g JOIN export_coming c ON c.there_id = g.id WHERE c.action <> 'added' ORDER BY g.id FOR NO KEY UPDATE OF g;

-- export_lock_files: nor their files
SELECT s.id FROM asset s WHERE s.id IN (
    SELECT l.asset_id FROM export_coming c JOIN granule_asset l ON l.granule_id = c.there_id WHERE c.action <> 'added'
    UNION SELECT id FROM export_known) ORDER BY s.id FOR NO KEY UPDATE;

-- export_strayed: granules that are not what they were when they were compared, or came there by another way since
SELECT c.key FROM export_coming c LEFT JOIN export_content x ON x.id = c.there_id
WHERE c.action <> 'added' AND x.digest IS DISTINCT FROM c.before
UNION
SELECT c.key FROM export_coming c JOIN granule k ON k.key = c.key AND k.version_rank = c.version_rank AND k.created IS NOT DISTINCT FROM c.created
WHERE k.id <> c.there_id AND k.state <> 'deleted' ORDER BY key LIMIT %(limit)s;

-- export_leaving: granules that are to leave, or to give up one of these files
SELECT there_id AS id FROM export_coming WHERE action = 'removed'
UNION SELECT l.granule_id FROM export_coming c JOIN granule_asset l ON l.granule_id = c.there_id
WHERE c.action = 'changed' AND l.asset_id = ANY (%(assets)s::bigint[]) ORDER BY 1;

-- export_note: the ledger, with the rows as they were
INSERT INTO export_item (export_id, batch, granule_id, there_id, action, digest, before, previous)
SELECT %(export)s, %(number)s, c.there_id, c.granule_id, c.action, c.digest, c.before, r.rows
FROM export_coming c LEFT JOIN export_rows(ARRAY(SELECT there_id FROM export_coming WHERE action <> 'added')) r ON r.granule_id = c.there_id
ORDER BY c.there_id;

-- export_note_simple: the same where nothing was there
INSERT INTO export_item (export_id, batch, granule_id, there_id, action, digest)
SELECT %(export)s, %(number)s, there_id, granule_id, action, digest FROM export_coming ORDER BY there_id;

-- export_forget_footprints: new ones take their place
WITH m AS (DELETE FROM footprint_master WHERE granule_id IN (SELECT id FROM export_granule))
DELETE FROM footprint_archive WHERE granule_id IN (SELECT id FROM export_granule);

-- export_lose_assets: files of these that are not held here any more, and that nothing else there needs, leave
UPDATE asset s SET state = 'deleting' FROM (
    SELECT DISTINCT x.id FROM export_granule e JOIN granule_asset l ON l.granule_id = e.id
    JOIN asset x ON x.id = l.asset_id AND x.state IN ('archived', 'suspect')
    WHERE NOT EXISTS (SELECT FROM export_known k WHERE k.id = x.id AND NOT k.gone)
      AND NOT EXISTS (SELECT FROM granule_asset o JOIN granule g ON g.id = o.granule_id AND g.state <> 'deleted'
                      WHERE o.asset_id = x.id AND NOT EXISTS (SELECT FROM export_granule m WHERE m.id = o.granule_id))) lost
WHERE s.id = lost.id RETURNING s.id, s.path, s.in_place, s.size;

-- export_clear_paths: those whose names are given to others count as gone at once; their files are moved first
UPDATE asset s SET state = 'deleted', removal = 'removed' FROM export_asked q
WHERE s.id = ANY (%(assets)s::bigint[]) AND s.path = q.path AND s.digest <> q.digest AND NOT q.gone;

-- export_renew_assets: what is known of the others; where and since when they stand is the site's own
SELECT export_renew('asset', 'export_asset', '{path, in_place, state, size, digest, removal, fixity_at}') AS rows;

-- export_renew_granules: what changes about granules; those that are removed are first marked, as any removal does. Their expiry
-- is the other side's
SELECT export_renew('granule', 'export_granule', '{state, expires_at, stored_at}') AS rows;

-- export_turn_granules: some leave, or come back
UPDATE granule g SET state = CASE e.state WHEN 'deleted' THEN 'deleting' ELSE e.state END
FROM export_granule e WHERE e.id = g.id AND (e.state = 'deleted') <> (g.state = 'deleted');

-- export_hide_waiting: and some have no file until the new one stands
UPDATE granule g SET state = 'stored' FROM export_granule e WHERE e.id = g.id AND g.state = 'archived'
  AND EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id WHERE l.granule_id = g.id AND s.state = 'stored')
  AND NOT EXISTS (SELECT FROM granule_asset l JOIN asset s ON s.id = l.asset_id AND s.role IN ('data', 'manifest', 'document')
                  WHERE l.granule_id = g.id AND s.state IN ('archived', 'suspect'));

-- export_drop_links: files that no longer hold them
DELETE FROM granule_asset l USING export_granule e WHERE l.granule_id = e.id
  AND NOT EXISTS (SELECT FROM export_link x WHERE x.granule_id = l.granule_id AND x.asset_id = l.asset_id)
  AND EXISTS (SELECT FROM asset s WHERE s.id = l.asset_id AND s.removal IS DISTINCT FROM 'withdrawn');

-- export_renew_links: and those that do
INSERT INTO granule_asset SELECT * FROM export_link
ON CONFLICT (granule_id, asset_id) DO UPDATE SET preferred = excluded.preferred WHERE granule_asset.preferred <> excluded.preferred;

-- export_keep_own: what footprints keep: what the site finds out for itself, and paths that it has written otherwise
CREATE TEMP TABLE export_own ON COMMIT DROP AS
SELECT f.granule_id, jsonb_build_object('fpuid', f.fpuid, 'added_date', f.added_date, 'country', f.country, 'zone_id', f.zone_id,
                                        'stereopair', f.stereopair, 'pairname', f.pairname)
       || CASE WHEN f.s_filepath <> ALL (o.linux) THEN jsonb_build_object('s_filepath', f.s_filepath) ELSE '{}' END
       || CASE WHEN f.previewjpg <> ALL (o.linux) THEN jsonb_build_object('previewjpg', f.previewjpg) ELSE '{}' END
       || CASE WHEN f.p_filepath <> ALL (o.windows) THEN jsonb_build_object('p_filepath', f.p_filepath) ELSE '{}' END AS own
FROM footprint_all f JOIN export_granule g ON g.id = f.granule_id
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(CASE WHEN s.path LIKE '/%%' THEN s.path ELSE %(linux)s || s.path END), '{}') AS linux,
           coalesce(array_agg(windows_path(s.path, %(windows)s)) FILTER (WHERE windows_path(s.path, %(windows)s) IS NOT NULL), '{}') AS windows
    FROM granule_asset l JOIN asset s ON s.id = l.asset_id WHERE l.granule_id = f.granule_id) o;

-- export_renew_masters: footprints as they are here
INSERT INTO footprint_master SELECT r.* FROM export_master f LEFT JOIN export_own o USING (granule_id)
CROSS JOIN LATERAL jsonb_populate_record(f, coalesce(o.own, '{}')) AS r ORDER BY r.granule_id;

-- export_renew_asides: likewise
INSERT INTO footprint_archive SELECT r.* FROM export_aside f LEFT JOIN export_own o USING (granule_id)
CROSS JOIN LATERAL jsonb_populate_record(f, coalesce(o.own, '{}')) AS r ORDER BY r.granule_id;

-- export_unlike: granules that did not become what they should; those that still leave are no question
SELECT c.key FROM export_coming c LEFT JOIN export_content x ON x.id = c.there_id
WHERE c.action <> 'removed' AND x.digest IS DISTINCT FROM c.digest ORDER BY c.key COLLATE "C" LIMIT %(limit)s;

-- export_note_batch: where the batch stands. Its files move if something leaves, or comes: also that whose rows came without
WITH told AS (
    SELECT %(assets)s::int8multirange AS assets,
           coalesce((SELECT range_agg(int8range(s.id, s.id, '[]')) FROM unnest(%(assets)s::int8multirange) AS r
                     JOIN asset s ON s.id >= lower(r) AND s.id < upper(r) WHERE %(files)s AND s.state = 'stored'), '{}')
         + coalesce((SELECT range_agg(int8range(k.id, k.id, '[]')) FROM export_known k JOIN asset s USING (id)
                     WHERE %(files)s AND s.state IN ('archived', 'suspect') AND NOT s.in_place AND k.id <@ export_without_file()), '{}') AS places
), note AS (
    SELECT t.*, CASE WHEN %(leaving)s OR NOT isempty(t.places)
                       OR (%(files)s OR %(changed)s)
                          AND EXISTS (SELECT FROM export_coming c JOIN granule g ON g.id = c.there_id WHERE g.state IN ('stored', 'deleting'))
                     THEN 'placing' ELSE 'done' END AS state FROM told t
)
INSERT INTO export_batch (export_id, number, part, items, rows, granules, assets, arrivals, places, state, done_at)
SELECT %(export)s, %(number)s, %(part)s, %(items)s, %(rows)s,
       coalesce((SELECT range_agg(int8range(there_id, there_id, '[]')) FROM export_coming WHERE action = 'added'), '{}'), assets,
       %(arrivals)s::int8multirange, places, state, CASE state WHEN 'done' THEN now() END FROM note;
