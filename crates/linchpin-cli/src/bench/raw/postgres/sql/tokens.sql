-- Takes a token if it is there, or stands in line for it; whether it was there.
CREATE FUNCTION linchpin_bench.take(a_queue text, a_who int) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    was_free boolean;
BEGIN
    SELECT t.is_free INTO was_free FROM linchpin_bench.tokens t WHERE t.queue = a_queue FOR NO KEY UPDATE;
    IF was_free THEN
        UPDATE linchpin_bench.tokens t SET is_free = false WHERE t.queue = a_queue;
    ELSE
        INSERT INTO linchpin_bench.waiters (queue, who) VALUES (a_queue, a_who);
    END IF;
    RETURN was_free;
END
$$;

-- Hands a token to who has waited longest, and tells it: its number comes on the channel.
CREATE FUNCTION linchpin_bench.give(a_queue text, a_channel text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    next int;
BEGIN
    PERFORM FROM linchpin_bench.tokens t WHERE t.queue = a_queue FOR NO KEY UPDATE;
    DELETE FROM linchpin_bench.waiters w WHERE w.queue = a_queue AND w.turn = (
        SELECT first.turn FROM linchpin_bench.waiters first WHERE first.queue = a_queue ORDER BY first.turn LIMIT 1
    )
    RETURNING w.who INTO next;
    IF FOUND THEN
        PERFORM pg_notify(a_channel, next::text);
    ELSE
        UPDATE linchpin_bench.tokens t SET is_free = true WHERE t.queue = a_queue;
    END IF;
END
$$;
