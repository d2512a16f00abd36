-- Units of several files: a strip with its metadata and bundle; and archives registered where they stand.

ALTER TABLE arrival DROP CONSTRAINT arrival_role_check;
ALTER TABLE arrival ADD CONSTRAINT arrival_role_check CHECK (role IN
    ('data', 'sibling', 'metadata', 'bundle', 'browse', 'document', 'checksum', 'manifest', 'unknown'));
ALTER TABLE asset DROP CONSTRAINT asset_role_check;
ALTER TABLE asset ADD CONSTRAINT asset_role_check CHECK (role IN
    ('data', 'sibling', 'metadata', 'bundle', 'browse', 'document', 'checksum', 'manifest'));

-- Folder of an archive that is registered in place; null: the source's landing zone. Its files are never touched.
ALTER TABLE batch ADD COLUMN root text;
ALTER TABLE asset ADD COLUMN in_place boolean NOT NULL DEFAULT false;

-- All versions of a granule, removed ones included: asked for by every batch.
CREATE INDEX granule_key ON granule (key);

-- Which file of its unit a granule is in, and what its sender rules about it. Derived data: made anew by extract.
TRUNCATE extracted_granule, extracted_file;
ALTER TABLE extracted_granule ADD COLUMN file_id bigint NOT NULL;
ALTER TABLE extracted_granule ADD COLUMN keep_days integer;
ALTER TABLE extracted_granule ADD COLUMN classification text
    CHECK (classification IN ('unrestricted', 'proprietary', 'licensed', 'itar'));

-- Why a file is no longer in the archive. Its row is the tombstone by which a late copy is recognised.
ALTER TABLE asset ADD COLUMN removal text CHECK (removal IN ('withdrawn', 'replaced', 'expired', 'removed'));
UPDATE asset SET removal = CASE WHEN EXISTS (SELECT FROM event e WHERE e.subject = 'asset' AND e.ids @> asset.id
                                             AND e.to_state = 'archived') THEN 'replaced' ELSE 'withdrawn' END
WHERE state = 'deleted';
ALTER TABLE asset ADD CONSTRAINT asset_removal CHECK ((state = 'deleted') = (removal IS NOT NULL));

-- What a granule is counted under; null where it has no such value. Inlined into the statement that calls it.
CREATE FUNCTION dimension_of(g granule, name text) RETURNS text STABLE LANGUAGE sql AS $$
    SELECT CASE name
        WHEN 'source' THEN g.source WHEN 'product' THEN g.product WHEN 'sensor' THEN g.sensor
        WHEN 'platform' THEN g.platform WHEN 'classification' THEN g.classification WHEN 'form' THEN g.search ->> 'name_form'
        WHEN 'year' THEN to_char(lower(g.sensing) AT TIME ZONE 'UTC', 'YYYY')
        WHEN 'month' THEN to_char(lower(g.sensing) AT TIME ZONE 'UTC', 'YYYY-MM') END
$$;

-- The plan of its join is made once a session, often for a single row; a nested loop over a large batch would take minutes.
ALTER FUNCTION record_event() SET enable_nestloop = off;
