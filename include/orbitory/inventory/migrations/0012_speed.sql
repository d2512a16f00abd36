-- Names that may still have to leave landing: asked for by every step, of its batch, and by every run.
CREATE INDEX arrival_leaving ON arrival (source, batch_id) WHERE landed;

-- Where a granule's file will stand if nothing stands there yet. Derived data: made anew by extract.
TRUNCATE extracted_granule, extracted_file;
ALTER TABLE extracted_granule ADD COLUMN path text NOT NULL;
