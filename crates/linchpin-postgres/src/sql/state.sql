-- Removes up to `most` keys that have ended. -> the count of changes before and after, the revision, the keys, and the
-- microseconds until the next one ends, or null if none will.
CREATE FUNCTION linchpin.sweep(
    namespace text, most integer,
    OUT before bigint, OUT after bigint, OUT revision bigint, OUT keys bytea[], OUT next bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    held linchpin.namespaces := linchpin.hold(namespace);
BEGIN
    WITH gone AS (
        DELETE FROM linchpin.keys AS k WHERE k.namespace = held.id AND k.key = ANY (ARRAY(
            SELECT old.key FROM linchpin.keys AS old WHERE old.namespace = held.id AND old.ends <= held.acted
                ORDER BY old.ends LIMIT most))
        RETURNING k.key
    ) SELECT coalesce(array_agg(gone.key), '{}') INTO keys FROM gone;
    SELECT * INTO before, after, revision FROM linchpin.removed(held, keys);
    SELECT greatest(k.ends - held.acted, 0) INTO next FROM linchpin.keys AS k
        WHERE k.namespace = held.id AND k.ends IS NOT NULL ORDER BY k.ends LIMIT 1;
END $$;

-- Removes up to `most` keys that start with this. -> as `sweep`
CREATE FUNCTION linchpin.clear_keys(
    namespace text, start bytea, most integer,
    OUT before bigint, OUT after bigint, OUT revision bigint, OUT keys bytea[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    held linchpin.namespaces := linchpin.hold(namespace);
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

-- Notes that keys were removed, if some were.
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
        UPDATE linchpin.namespaces AS n SET revision = removed.revision, changes = removed.after, acted = held.acted
            WHERE n.id = held.id;
    END IF;
END $$;

-- Removes a namespace with all that is in it.
CREATE FUNCTION linchpin.erase(namespace text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    held linchpin.namespaces := linchpin.hold(namespace);
BEGIN
    DELETE FROM linchpin.keys AS k WHERE k.namespace = held.id;
    DELETE FROM linchpin.changes AS c WHERE c.namespace = held.id;
    DELETE FROM linchpin.outcomes AS o WHERE o.namespace = held.id;
    DELETE FROM linchpin.messages AS m WHERE m.namespace = held.id;
    INSERT INTO linchpin.rubbish (namespace, stream, "group")
        SELECT s.namespace, s.id, 0 FROM linchpin.streams AS s WHERE s.namespace = held.id;
    DELETE FROM linchpin.streams AS s WHERE s.namespace = held.id;
    WHILE linchpin.sweep_streams(held.id, 2147483647) LOOP
    END LOOP;
    DELETE FROM linchpin.namespaces AS n WHERE n.id = held.id;
END $$;
