-- The clock.
CREATE FUNCTION linchpin.clock() RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint $$;

-- A namespace's row, locked until the end of the transaction, with the time in `acted`. Revisions and the count of
-- changes of a new one start at the time: they are above those of a lost one.
CREATE FUNCTION linchpin.hold(namespace text) RETURNS linchpin.namespaces LANGUAGE plpgsql AS $$
DECLARE
    held linchpin.namespaces;
    now bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'linchpin needs transactions that are READ COMMITTED' USING ERRCODE = 'LP001';
    END IF;
    -- What is written from here on is no intrusion.
    PERFORM set_config('linchpin.own', 'on', true);
    LOOP
        SELECT * INTO held FROM linchpin.namespaces WHERE name = namespace FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO linchpin.namespaces (name, revision, changes, acted, ahead)
            SELECT namespace, now.at, now.at, now.at, 0 FROM linchpin.clock() AS now (at)
            ON CONFLICT DO NOTHING;
    END LOOP;
    -- Where the clock steps back time runs further ahead of it: nothing that ended comes back to life.
    now := linchpin.clock() + held.ahead;
    IF now < held.acted THEN
        held.ahead := held.ahead + held.acted - now;
        UPDATE linchpin.namespaces SET ahead = held.ahead WHERE id = held.id;
    ELSE
        held.acted := now;
    END IF;
    RETURN held;
END $$;
