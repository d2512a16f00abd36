-- What leaves writes less: every change of a state wrote an entry into each of these indexes, and a removal two changes of each granule.

-- Only what is visible is looked for by product and time.
DROP INDEX granule_product_time;
CREATE INDEX granule_product_time ON granule (product, (lower(sensing)), id) WHERE state = 'archived';

-- Of which products and sources there is, or ever was, anything: the one index that tells of both.
DROP INDEX granule_source_product;
CREATE INDEX granule_product_source ON granule (product, source);

-- The items of a set are rows that its own transaction has locked: nothing is proved by asking for each of them anew. What must
-- never happen is that a granule or file goes of which a set tells, and that is asked where rows go, which is rare.
ALTER TABLE removal_item DROP CONSTRAINT removal_item_granule_id_fkey, DROP CONSTRAINT removal_item_asset_id_fkey,
    DROP CONSTRAINT removal_item_keeper_id_fkey;

CREATE FUNCTION keep_what_removals_tell_of() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    told bigint;
BEGIN
    IF tg_table_name = 'asset' THEN
        SELECT b.id INTO told FROM before_rows b WHERE EXISTS (SELECT FROM removal_item i WHERE i.asset_id = b.id OFFSET 0) LIMIT 1;
    ELSE
        SELECT b.id INTO told FROM before_rows b
        WHERE EXISTS (SELECT FROM removal_item i WHERE i.granule_id = b.id OFFSET 0)
           OR EXISTS (SELECT FROM removal_item i WHERE i.keeper_id = b.id OFFSET 0) LIMIT 1;
    END IF;
    IF told IS NOT NULL THEN
        RAISE foreign_key_violation USING MESSAGE = format('%s %s cannot be deleted: a removal tells of it', tg_table_name, told);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER granule_kept_for_removal AFTER DELETE ON granule REFERENCING OLD TABLE AS before_rows
    FOR EACH STATEMENT EXECUTE FUNCTION keep_what_removals_tell_of();
CREATE TRIGGER asset_kept_for_removal AFTER DELETE ON asset REFERENCING OLD TABLE AS before_rows
    FOR EACH STATEMENT EXECUTE FUNCTION keep_what_removals_tell_of();
