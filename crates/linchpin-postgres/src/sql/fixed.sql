-- No caller's search_path has a say in what the functions run. Those that the server writes into the statement that calls
-- them, which it does only without a setting, say in full what they use.
DO $$
DECLARE
    one regprocedure;
BEGIN
    FOR one IN SELECT p.oid FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = 'linchpin' AND p.proname NOT IN ('clock', 'channel', 'seal')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', one);
    END LOOP;
END $$;
