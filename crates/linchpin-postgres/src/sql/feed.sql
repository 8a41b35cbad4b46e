-- What is pushed. NOTIFY knows no privileges: whoever may connect may listen to any channel whose name he knows, and send to
-- it. So the names of a namespace's channels follow from the secret in its row, they stand in no statement that others may
-- see, and what goes over them is a hint to look into the tables, or a message that is sealed with the secret.

-- What was changed, by how many changes there had been after it: watchers read on from where they are. Each row is one
-- call's: its keys in their order, when each came to be (0 if it is gone), and the revision of its change. `before` and `was`
-- are the count and the revision before it: only who was told as much has missed nothing.
CREATE TABLE linchpin.changes (
    namespace integer NOT NULL,
    number bigint NOT NULL,
    revision bigint NOT NULL,
    before bigint NOT NULL,
    was bigint NOT NULL,
    keys bytea[] NOT NULL,
    created bigint[] NOT NULL,
    versions bigint[] NOT NULL,
    PRIMARY KEY (namespace, number)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

-- Notes what a call changed, and forgets what 8192 changes or more came after: in steps, each looking only at what it
-- forgets, as an old snapshot may keep what was forgotten before from being removed.
CREATE FUNCTION linchpin.note(
    held linchpin.namespaces, before bigint, number bigint, revision bigint, keys bytea[], created bigint[], versions bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    kept constant bigint := 8192;
    step constant bigint := 64;
BEGIN
    INSERT INTO linchpin.changes VALUES (held.id, number, revision, before, held.revision, keys, created, versions);
    IF before / step <> number / step THEN
        DELETE FROM linchpin.changes AS c WHERE c.namespace = held.id
            AND c.number > before / step * step - kept AND c.number <= number / step * step - kept;
    END IF;
END $$;

-- How often something was written to the keys past these functions: watchers cannot know what, and read all again.
CREATE TABLE linchpin.intrusions (
    only_one boolean PRIMARY KEY DEFAULT true,
    times bigint NOT NULL DEFAULT 0
);

CREATE FUNCTION linchpin.intruded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO linchpin.intrusions AS i VALUES (true, 1) ON CONFLICT (only_one) DO UPDATE SET times = i.times + 1;
    RETURN NULL;
END $$;

-- Whoever holds a namespace writes as it has to be. Also noticed when a backup is restored.
CREATE TRIGGER intruded AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON linchpin.keys FOR EACH STATEMENT
    WHEN (current_setting('linchpin.own', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION linchpin.intruded();
ALTER TABLE linchpin.keys ENABLE ALWAYS TRIGGER intruded;

-- The channel of a namespace's changes (c), messages (m) or streams (s).
CREATE FUNCTION linchpin.channel(secret bytea, kind text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT 'linchpin_' OPERATOR(pg_catalog.||) pg_catalog.encode(pg_catalog.substr(pg_catalog.sha256(
        secret OPERATOR(pg_catalog.||) pg_catalog.convert_to(kind, 'UTF8')), 1, 16), 'hex')
$$;

-- What shows that a message is from somebody who may read the namespace's row. The text is ASCII.
CREATE FUNCTION linchpin.seal(secret bytea, message text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.encode(pg_catalog.substr(pg_catalog.sha256(secret OPERATOR(pg_catalog.||) pg_catalog.sha256(
        secret OPERATOR(pg_catalog.||) pg_catalog.convert_to(message, 'UTF8'))), 1, 16), 'base64')
$$;

-- The secret of a namespace.
CREATE FUNCTION linchpin.secret(namespace text) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    found_secret bytea;
BEGIN
    SELECT n.secret INTO found_secret FROM linchpin.namespaces AS n WHERE n.name = secret.namespace
        ORDER BY n.generation DESC LIMIT 1;
    IF found_secret IS NULL THEN
        found_secret := (linchpin.hold(namespace)).secret;
    END IF;
    RETURN found_secret;
END $$;

-- What is told of changes of a key: how many there are after them, how many they are, which topic it has, and its name.
CREATE FUNCTION linchpin.doorbell(changes bigint, count bigint, key text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT changes || ' ' || count || ' ' || string_agg(DISTINCT encode(substr(sha256(convert_to(
        told, 'UTF8')), 1, 2), 'hex'), '') FROM unnest(ARRAY[substring(key FROM '^[^/]*/[^/]*/'), key]) AS told
$$;

-- Sends notifications.
CREATE FUNCTION linchpin.tell(namespace text, kinds text[], texts text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    key constant bytea := linchpin.secret(namespace);
BEGIN
    PERFORM pg_notify(linchpin.channel(key, told.kind), CASE told.kind WHEN 'm' THEN linchpin.seal(key, told.text) || ' '
        ELSE '' END || told.text) FROM unnest(kinds, texts) AS told (kind, text);
END $$;

-- Listens on channels of a namespace from the end of the transaction on, and not any more on others. LISTEN takes no
-- parameters; here nobody sees what it is about, neither in pg_stat_activity nor in a log.
CREATE FUNCTION linchpin.listen(namespace text, kinds text[], others text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    key constant bytea := linchpin.secret(namespace);
    kind text;
BEGIN
    FOREACH kind IN ARRAY kinds LOOP
        EXECUTE format('LISTEN %I', linchpin.channel(key, kind));
    END LOOP;
    FOREACH kind IN ARRAY others LOOP
        EXECUTE format('UNLISTEN %I', linchpin.channel(key, kind));
    END LOOP;
END $$;

-- Where a namespace is: no row if it is not there.
CREATE FUNCTION linchpin.beat(
    namespace text, OUT secret bytea, OUT changes bigint, OUT revision bigint, OUT intrusions bigint, OUT standby boolean
) RETURNS SETOF record LANGUAGE sql STABLE AS $$
    SELECT n.secret, n.changes, n.revision, (SELECT i.times FROM linchpin.intrusions AS i), pg_is_in_recovery()
        FROM linchpin.namespaces AS n WHERE n.name = beat.namespace ORDER BY n.generation DESC LIMIT 1
$$;

-- The next changes after so many.
CREATE FUNCTION linchpin.changes_after(namespace text, start bigint)
RETURNS TABLE (number bigint, revision bigint, before bigint, was bigint, keys bytea[], created bigint[], versions bigint[])
LANGUAGE sql STABLE AS $$
    SELECT c.number, c.revision, c.before, c.was, c.keys, c.created, c.versions
        FROM (
            SELECT n.id FROM linchpin.namespaces AS n WHERE n.name = changes_after.namespace
                ORDER BY n.generation DESC LIMIT 1
        ) AS n JOIN LATERAL (
            SELECT * FROM linchpin.changes AS c WHERE c.namespace = n.id AND c.number > start ORDER BY c.number LIMIT 1024
        ) AS c ON true
        WHERE (c.before = start OR c.number <= start + 2048) ORDER BY c.number
$$;

-- What stands at keys, but what ends. The values of so many bytes; what is more is null.
CREATE FUNCTION linchpin.look(namespace text, asked bytea[], bytes bigint)
RETURNS TABLE (key bytea, version bigint, created bigint, ttl bigint, value bytea)
LANGUAGE sql STABLE AS $$
    SELECT f.key, f.version, f.created, f.ttl, CASE WHEN f.size <= bytes THEN f.value END FROM (
        SELECT k.key, k.version, k.created, k.value, CASE WHEN k.ends IS NULL THEN 0 ELSE k.ends - now.at END AS ttl,
                sum(length(k.value)) OVER (ORDER BY a.n) AS size, k.ends, now.at
            FROM (
                SELECT * FROM linchpin.namespaces AS n WHERE n.name = look.namespace ORDER BY n.generation DESC LIMIT 1
            ) AS n
            CROSS JOIN LATERAL (SELECT greatest(linchpin.clock() + n.ahead, n.acted) AS at) AS now
            CROSS JOIN unnest(asked) WITH ORDINALITY AS a (key, n)
            CROSS JOIN LATERAL (
                SELECT * FROM linchpin.keys AS k WHERE k.namespace = n.id AND k.key = a.key OFFSET 0
            ) AS k
    ) AS f WHERE f.ends IS NULL OR f.ends > f.at
$$;
