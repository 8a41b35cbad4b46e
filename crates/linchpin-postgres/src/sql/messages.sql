-- Keeps what does not fit into notifications, and removes what everybody has had the time to fetch.
CREATE FUNCTION linchpin.spill(namespace text, ids bytea[], payloads bytea[]) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    now constant bigint := linchpin.clock();
    space integer;
BEGIN
    SELECT n.id INTO space FROM linchpin.namespaces AS n WHERE n.name = namespace ORDER BY n.generation DESC LIMIT 1;
    IF space IS NULL THEN
        space := (linchpin.hold(namespace)).id;
    END IF;
    INSERT INTO linchpin.messages SELECT space, spilled.id, now, spilled.payload
        FROM unnest(ids, payloads) AS spilled (id, payload);
    DELETE FROM linchpin.messages AS m WHERE m.ctid = ANY (ARRAY(
        SELECT old.ctid FROM linchpin.messages AS old WHERE old.at < now - {ID_WINDOW_US}
            ORDER BY old.at LIMIT 8 + 2 * cardinality(ids) FOR UPDATE SKIP LOCKED));
END $$;
