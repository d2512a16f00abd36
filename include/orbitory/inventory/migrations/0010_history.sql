-- History is written into our table, whatever tables of a like name a session makes for itself: PostgreSQL looks among
-- temporary ones first unless they are named last.
ALTER FUNCTION record_event() SET search_path = public, pg_temp;
