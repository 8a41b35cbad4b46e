-- Gives a lock back if it is still the caller's; whether it was.
CREATE FUNCTION linchpin_bench.release(a_key bytea, a_who bytea) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
    now bigint;
BEGIN
    SELECT n.revision INTO last FROM linchpin_bench.namespaces n WHERE n.id = 1 FOR NO KEY UPDATE;
    now := greatest(last, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    DELETE FROM linchpin_bench.locks l WHERE l.key = a_key AND l.who = a_who AND l.deadline > now;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE linchpin_bench.namespaces n SET revision = greatest(last + 1, now) WHERE n.id = 1;
    RETURN true;
END
$$;
