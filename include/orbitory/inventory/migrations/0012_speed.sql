-- Names that may still have to leave landing: few at any time, and asked for by every step and every run.
CREATE INDEX arrival_leaving ON arrival (source, batch_id)
    WHERE landed AND state IN ('archived', 'rejected', 'conflict', 'duplicate', 'lost');

-- Where a granule's file will stand if nothing stands there yet. Derived data: made anew by extract.
TRUNCATE extracted_granule, extracted_file;
ALTER TABLE extracted_granule ADD COLUMN path text NOT NULL;
