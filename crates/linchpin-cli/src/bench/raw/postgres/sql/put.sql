-- Writes an entry so that a repeat changes nothing and whoever watches can read of it.
CREATE FUNCTION linchpin_bench.put(a_key bytea, a_value bytea, a_ttl bigint, a_id bytea, OUT o_revision bigint, OUT o_created bigint)
LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
    now bigint;
BEGIN
    SELECT n.revision INTO last FROM linchpin_bench.namespaces n WHERE n.id = 1 FOR NO KEY UPDATE;
    -- Only behind the lock: a statement sees what was committed before it began, and the clock is not to run back.
    SELECT l.revision, l.created INTO o_revision, o_created FROM linchpin_bench.log l WHERE l.id = a_id;
    IF FOUND THEN
        RETURN;
    END IF;
    now := greatest(last, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    o_revision := greatest(last + 1, now);
    INSERT INTO linchpin_bench.entries AS e (key, value, version, created, deadline)
    VALUES (a_key, a_value, o_revision, o_revision, now + a_ttl)
    ON CONFLICT (key) DO UPDATE SET
        value = excluded.value,
        version = excluded.version,
        created = CASE WHEN e.deadline > now THEN e.created ELSE excluded.created END,
        deadline = excluded.deadline
    RETURNING e.created INTO o_created;
    INSERT INTO linchpin_bench.log VALUES (o_revision, a_id, a_key, o_created);
    UPDATE linchpin_bench.namespaces n SET revision = o_revision WHERE n.id = 1;
END
$$;
