-- Removes up to `most` keys that have ended by a time that is not before `floor`. -> the count of changes before and after,
-- the revision, the keys, the microseconds until the next one ends, or null if none will, and the time.
CREATE FUNCTION linchpin.sweep(
    namespace text, most integer, floor bigint,
    OUT before bigint, OUT after bigint, OUT revision bigint, OUT keys bytea[], OUT next bigint, OUT now bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    held linchpin.namespaces := linchpin.hold(namespace, floor);
BEGIN
    now := held.acted;
    WITH gone AS (
        DELETE FROM linchpin.keys AS k WHERE k.namespace = held.id AND k.key = ANY (ARRAY(
            SELECT old.key FROM linchpin.keys AS old
                WHERE old.namespace = held.id AND old.ends > held.swept AND old.ends <= now ORDER BY old.ends LIMIT most))
        RETURNING k.key
    ) SELECT coalesce(array_agg(gone.key), '{}') INTO keys FROM gone;
    IF cardinality(keys) < most THEN
        held.swept := now;
    END IF;
    SELECT * INTO before, after, revision FROM linchpin.removed(held, keys);
    SELECT greatest(k.ends - now, 0) INTO next FROM linchpin.keys AS k
        WHERE k.namespace = held.id AND k.ends > held.swept ORDER BY k.ends LIMIT 1;
END $$;

-- Removes those of these keys that have ended, as `sweep` does. Does not wait for long: whoever reads waits for it.
CREATE FUNCTION linchpin.remove_ended(
    namespace text, asked bytea[], floor bigint,
    OUT before bigint, OUT after bigint, OUT revision bigint, OUT keys bytea[], OUT next bigint, OUT now bigint
) LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
#variable_conflict use_variable
DECLARE
    held linchpin.namespaces := linchpin.hold(namespace, floor);
BEGIN
    now := held.acted;
    WITH gone AS (
        DELETE FROM linchpin.keys AS k WHERE k.namespace = held.id AND k.key = ANY (asked) AND k.ends <= now
        RETURNING k.key
    ) SELECT coalesce(array_agg(gone.key), '{}') INTO keys FROM gone;
    SELECT * INTO before, after, revision FROM linchpin.removed(held, keys);
END $$;

-- Removes up to `most` keys that start with this, at a time that is not before `floor`. -> as `sweep`
CREATE FUNCTION linchpin.clear_keys(
    namespace text, start bytea, most integer, floor bigint,
    OUT before bigint, OUT after bigint, OUT revision bigint, OUT keys bytea[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    held linchpin.namespaces := linchpin.hold(namespace, floor);
BEGIN
    WITH gone AS (
        DELETE FROM linchpin.keys AS k WHERE k.namespace = held.id AND k.key = ANY (ARRAY(
            SELECT old.key FROM linchpin.keys AS old
                WHERE old.namespace = held.id AND old.key >= start AND old.key < start || decode('ff', 'hex')
                ORDER BY old.key LIMIT most))
        RETURNING k.key
    ) SELECT coalesce(array_agg(gone.key), '{}') INTO keys FROM gone;
    SELECT * INTO before, after, revision FROM linchpin.removed(held, keys);
END $$;

-- Notes that keys were removed, if they were, and otherwise now and then how late it is.
CREATE FUNCTION linchpin.removed(
    held linchpin.namespaces, keys bytea[], OUT before bigint, OUT after bigint, OUT revision bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    count constant integer := cardinality(keys);
BEGIN
    before := held.changes;
    after := before + count;
    revision := held.revision;
    IF count > 0 THEN
        revision := greatest(revision + 1, held.acted);
        PERFORM linchpin.note(held, before, after, revision, keys, array_fill(0::bigint, ARRAY[count]),
            array_fill(revision, ARRAY[count]));
        held.revision := revision;
        held.changes := after;
        PERFORM linchpin.keep(held, before);
    ELSE
        UPDATE linchpin.namespaces AS n SET acted = held.acted, swept = held.swept
            WHERE n.name = held.name AND n.generation = held.generation AND n.acted < held.acted - 1000000;
    END IF;
END $$;

-- The keys among these that had ended at this time, and that nobody is writing at present.
CREATE FUNCTION linchpin.ended(namespace text, keys bytea[], at bigint) RETURNS SETOF bytea LANGUAGE sql AS $$
    SELECT k.key FROM linchpin.keys AS k WHERE k.namespace = (
            SELECT n.id FROM linchpin.namespaces AS n WHERE n.name = ended.namespace ORDER BY n.generation DESC LIMIT 1
        ) AND k.key = ANY (ended.keys) AND k.ends <= ended.at FOR NO KEY UPDATE SKIP LOCKED
$$;

-- Forgets up to `most` outcomes of each namespace, ids of records and long messages that nobody may ask for any more. Waits
-- for nobody. -> whether some may be left
CREATE FUNCTION linchpin.forget(most integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    window_us constant bigint := {ID_WINDOW_US};
    outcomes bigint;
    messages bigint;
    ids bigint;
BEGIN
    WITH gone AS (
        DELETE FROM linchpin.outcomes AS o WHERE o.ctid = ANY (ARRAY(
            SELECT old.ctid FROM linchpin.namespaces AS n, LATERAL (
                SELECT o.ctid FROM linchpin.outcomes AS o WHERE o.namespace = n.id AND o.at > n.forgotten
                    AND o.at < greatest(linchpin.clock() + n.ahead, n.acted) - window_us
                    ORDER BY o.at LIMIT most FOR UPDATE SKIP LOCKED
            ) AS old))
        RETURNING 1
    ) SELECT count(*) INTO outcomes FROM gone;
    WITH gone AS (
        DELETE FROM linchpin.messages AS m WHERE m.ctid = ANY (ARRAY(
            SELECT old.ctid FROM linchpin.messages AS old WHERE old.at < linchpin.clock() - window_us
                ORDER BY old.at LIMIT most FOR UPDATE SKIP LOCKED))
        RETURNING 1
    ) SELECT count(*) INTO messages FROM gone;
    -- By the clock, which no namespace's time is behind.
    WITH gone AS (
        DELETE FROM linchpin.record_ids AS r WHERE r.ctid = ANY (ARRAY(
            SELECT old.ctid FROM linchpin.record_ids AS old WHERE old.ends > 0 AND old.ends <= linchpin.clock()
                ORDER BY old.ends LIMIT most FOR UPDATE SKIP LOCKED))
        RETURNING 1
    ) SELECT count(*) INTO ids FROM gone;
    RETURN greatest(outcomes, messages, ids) >= most;
END $$;

-- Removes about `most` rows of a namespace, and the namespace with the last. -> whether that was all
CREATE FUNCTION linchpin.erase(namespace text, most integer) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    held linchpin.namespaces := linchpin.hold(namespace);
    remaining integer := most;
    removed integer;
BEGIN
    DELETE FROM linchpin.keys AS k WHERE k.namespace = held.id AND k.key = ANY (ARRAY(
        SELECT old.key FROM linchpin.keys AS old WHERE old.namespace = held.id LIMIT remaining));
    GET DIAGNOSTICS removed = ROW_COUNT;
    remaining := remaining - removed;
    DELETE FROM linchpin.outcomes AS o WHERE o.ctid = ANY (ARRAY(
        SELECT old.ctid FROM linchpin.outcomes AS old WHERE old.namespace = held.id LIMIT remaining));
    GET DIAGNOSTICS removed = ROW_COUNT;
    remaining := remaining - removed;
    DELETE FROM linchpin.changes AS c WHERE c.namespace = held.id AND c.number = ANY (ARRAY(
        SELECT old.number FROM linchpin.changes AS old WHERE old.namespace = held.id LIMIT remaining));
    GET DIAGNOSTICS removed = ROW_COUNT;
    remaining := remaining - removed;
    DELETE FROM linchpin.messages AS m WHERE m.ctid = ANY (ARRAY(
        SELECT old.ctid FROM linchpin.messages AS old WHERE old.namespace = held.id LIMIT remaining));
    GET DIAGNOSTICS removed = ROW_COUNT;
    remaining := remaining - removed;
    IF remaining <= 0 OR linchpin.erase_streams(held.id, remaining) THEN
        RETURN false;
    END IF;
    DELETE FROM linchpin.namespaces AS n WHERE n.name = namespace;
    DELETE FROM linchpin.holds AS h WHERE h.name = namespace;
    RETURN true;
END $$;

-- Removes about `most` rows of the streams of a namespace. -> whether some may be left
CREATE FUNCTION linchpin.erase_streams(space integer, most integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    removed integer;
BEGIN
    WITH gone AS (
        DELETE FROM linchpin.streams AS s WHERE s.ctid = ANY (ARRAY(
            SELECT old.ctid FROM linchpin.streams AS old WHERE old.namespace = space LIMIT most))
        RETURNING s.namespace, s.id
    ) INSERT INTO linchpin.rubbish (namespace, stream, "group") SELECT gone.namespace, gone.id, 0 FROM gone;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed >= most OR linchpin.sweep_streams(space, most - removed);
END $$;

-- Removes about `most` rows of namespaces that are no more: whoever uses a stream, or sends what is long, does not hold the
-- namespace, and may commit after it was erased. What is in one's transaction is seen with its namespace, or not at all.
-- -> whether some may be left
CREATE FUNCTION linchpin.erase_lost(most integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    removed integer;
    lost integer;
BEGIN
    DELETE FROM linchpin.messages AS m WHERE m.ctid = ANY (ARRAY(
        SELECT old.ctid FROM linchpin.messages AS old WHERE old.namespace = ANY (ARRAY(
            SELECT m.namespace FROM linchpin.messages AS m EXCEPT SELECT n.id FROM linchpin.namespaces AS n)) LIMIT most));
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF removed >= most THEN
        RETURN true;
    END IF;
    FOR lost IN (SELECT s.namespace FROM linchpin.streams AS s UNION SELECT r.namespace FROM linchpin.rubbish AS r)
        EXCEPT SELECT n.id FROM linchpin.namespaces AS n
    LOOP
        IF linchpin.erase_streams(lost, most) THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;
