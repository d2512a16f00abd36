-- Names that may still have to leave landing: few at any time, and asked for by every step and every run.
CREATE INDEX arrival_leaving ON arrival (source, batch_id)
    WHERE landed AND state IN ('archived', 'rejected', 'conflict', 'duplicate', 'lost');
