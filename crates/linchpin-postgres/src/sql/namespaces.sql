-- The clock.
CREATE FUNCTION linchpin.clock() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000000)::bigint
$$;

-- A namespace's row, as this transaction holds it until its end, with the time in `acted`: never before `floor`, a time that
-- somebody has seen. Revisions and the count of changes of a new one start at the time: they are above those of a lost one.
CREATE FUNCTION linchpin.hold(namespace text, floor bigint DEFAULT 0) RETURNS linchpin.namespaces LANGUAGE plpgsql AS $$
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
        PERFORM FROM linchpin.holds AS h WHERE h.name = namespace FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO linchpin.holds (name) VALUES (namespace) ON CONFLICT DO NOTHING;
    END LOOP;
    SELECT * INTO held FROM linchpin.namespaces AS n WHERE n.name = namespace ORDER BY n.generation DESC LIMIT 1;
    IF NOT FOUND THEN
        now := linchpin.clock();
        INSERT INTO linchpin.namespaces AS n (name, revision, changes, acted, ahead)
            VALUES (namespace, now, now, now, 0) RETURNING * INTO held;
    END IF;
    -- Where the clock steps back time runs further ahead of it: nothing that ended comes back to life.
    held.acted := greatest(held.acted, floor);
    now := linchpin.clock() + held.ahead;
    IF now < held.acted THEN
        held.ahead := held.ahead + held.acted - now;
        UPDATE linchpin.namespaces AS n SET acted = held.acted, ahead = held.ahead
            WHERE n.name = held.name AND n.generation = held.generation;
    ELSE
        held.acted := now;
    END IF;
    RETURN held;
END $$;

-- Notes a time that somebody has seen, and lets it go on where the clock has stepped back behind it. Waits for nobody:
-- whoever holds the namespace may do it himself. -> whether time goes on
CREATE FUNCTION linchpin.go_on(namespace text, floor bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    held linchpin.namespaces;
BEGIN
    PERFORM FROM linchpin.holds AS h WHERE h.name = namespace FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    held := linchpin.hold(namespace, floor);
    UPDATE linchpin.namespaces AS n SET acted = held.acted
        WHERE n.name = held.name AND n.generation = held.generation AND n.acted < held.acted - 100000;
    RETURN true;
END $$;

-- Writes back what a transaction holds, after it was changed `before` times.
CREATE FUNCTION linchpin.keep(held linchpin.namespaces, before bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    step constant bigint := 64;
    now_at bigint;
BEGIN
    UPDATE linchpin.namespaces AS n SET revision = held.revision, changes = held.changes, acted = held.acted,
            swept = held.swept, forgotten = held.forgotten
        WHERE n.name = held.name AND n.generation = held.generation;
    IF before / step = held.changes / step THEN
        RETURN;
    END IF;
    SELECT ((n.ctid::text::point)[0])::bigint INTO now_at FROM linchpin.namespaces AS n
        WHERE n.name = held.name AND n.generation = held.generation;
    IF held.page IS NULL THEN
        UPDATE linchpin.namespaces AS n SET page = now_at WHERE n.name = held.name AND n.generation = held.generation;
    ELSIF held.page <> now_at THEN
        -- It had to move, as the versions before it cannot be removed: from here on nobody looks at them.
        DELETE FROM linchpin.namespaces AS n WHERE n.name = held.name AND n.generation = held.generation;
        held.generation := held.generation + 1;
        held.page := NULL;
        INSERT INTO linchpin.namespaces SELECT held.*;
    END IF;
END $$;
