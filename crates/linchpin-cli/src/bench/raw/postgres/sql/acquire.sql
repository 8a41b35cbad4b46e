-- Takes a lock if it is free, or its holder's time is over: the fencing token, or null. A repeat gets what the first got.
CREATE FUNCTION linchpin_bench.acquire(a_key bytea, a_who bytea, a_ttl bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
    now bigint;
    next bigint;
    granted bigint;
BEGIN
    SELECT n.revision INTO last FROM linchpin_bench.namespaces n WHERE n.id = 1 FOR NO KEY UPDATE;
    now := greatest(last, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    next := greatest(last + 1, now);
    INSERT INTO linchpin_bench.locks AS l (key, who, token, deadline) VALUES (a_key, a_who, next, now + a_ttl)
    ON CONFLICT (key) DO UPDATE SET
        who = excluded.who,
        token = CASE WHEN l.deadline > now THEN l.token ELSE excluded.token END,
        deadline = excluded.deadline
    WHERE l.deadline <= now OR l.who = a_who
    RETURNING l.token INTO granted;
    IF granted = next THEN
        UPDATE linchpin_bench.namespaces n SET revision = next WHERE n.id = 1;
    END IF;
    RETURN granted;
END
$$;
