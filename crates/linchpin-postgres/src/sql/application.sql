-- For an application's own transactions: what they write through these becomes visible with the application's rows, or
-- not at all. The namespace is held until that transaction ends: everybody else who writes to it waits so long.

-- A name's bytes. Refuses what linchpin refuses everywhere else.
CREATE FUNCTION linchpin.admit(namespace text, what text, name text, most integer DEFAULT {MAX_STORED_NAME}) RETURNS bytea
LANGUAGE plpgsql AS $$
DECLARE
    bytes constant bytea := convert_to(name, 'UTF8');
BEGIN
    IF namespace IS NULL OR namespace !~ '^[a-z0-9][a-z0-9._-]{0,62}$' THEN
        RAISE EXCEPTION 'a namespace has 1 to 63 of a-z, 0-9, ".", "_" and "-", and begins with a letter or digit'
            USING ERRCODE = '22023';
    END IF;
    IF bytes IS NULL OR length(bytes) NOT BETWEEN 1 AND most THEN
        RAISE EXCEPTION '% has 1 to % bytes, not %', what, most, coalesce(length(bytes), 0) USING ERRCODE = '22023';
    END IF;
    RETURN bytes;
END $$;

-- Runs one operation and tells the watchers, once the application commits.
CREATE FUNCTION linchpin.apply(
    namespace text, guard integer, expected bigint, mutation integer, number bigint, ttl interval, key text, value bytea,
    OUT applied boolean, OUT revision bigint, OUT result text
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    name constant bytea := linchpin.admit(namespace, 'a key', key);
    micros bigint := 0;
    did record;
BEGIN
    IF length(value) > {MAX_BYTES} THEN
        RAISE EXCEPTION 'a value has at most {MAX_BYTES} bytes, not %', length(value) USING ERRCODE = '22023';
    END IF;
    IF expected IS NULL OR number IS NULL OR mutation = {PUT} AND value IS NULL THEN
        RAISE EXCEPTION 'the value, the version or the number to add is null' USING ERRCODE = '22004';
    END IF;
    IF ttl NOT BETWEEN '1 millisecond' AND '{MAX_TTL_DAYS} days' THEN
        RAISE EXCEPTION 'a TTL is at least a millisecond and at most 100 years, not %', ttl USING ERRCODE = '22023';
    END IF;
    IF ttl IS NOT NULL THEN
        micros := ceil(extract(epoch FROM ttl) * 1000000);
    END IF;
    SELECT * INTO did FROM linchpin.commit(
        namespace => namespace, ids => ARRAY[NULL::bytea], fingerprints => ARRAY[0::bigint], lasts => ARRAY[2],
        kinds => ARRAY[guard, mutation], slots => ARRAY[1, 1], numbers => ARRAY[expected, number],
        ttls => ARRAY[0, micros], keys => ARRAY[name], "values" => ARRAY[value], sweeps => 0, floor => 0);
    IF did.statuses[1] IN ({NO_COUNTER}, {OVERFLOW}) THEN
        RAISE EXCEPTION 'the value at this key is no counter, or would leave the range of a bigint'
            USING ERRCODE = '22003';
    END IF;
    applied := did.statuses[1] = {COMMITTED};
    revision := did.revisions[1];
    result := did.results[1];
    IF did.after <> did.before THEN
        PERFORM linchpin.tell(namespace, '{c}', ARRAY[linchpin.doorbell(did.after, did.after - did.before, key)]);
    END IF;
END $$;

CREATE FUNCTION linchpin.base64(bytes bytea) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT translate(encode(bytes, 'base64'), E'\n', '') $$;

-- The value at a key; null if there is none.
CREATE FUNCTION linchpin.get(namespace text, key text) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT k.value FROM (
            SELECT * FROM linchpin.namespaces AS n WHERE n.name = get.namespace ORDER BY n.generation DESC LIMIT 1
        ) AS n JOIN linchpin.keys AS k ON k.namespace = n.id
        WHERE k.key = convert_to(get.key, 'UTF8')
            AND (k.ends IS NULL OR k.ends > greatest(linchpin.clock() + n.ahead, n.acted))
$$;

-- Writes a value. -> the key's new version
CREATE FUNCTION linchpin.put(namespace text, key text, value bytea, ttl interval DEFAULT NULL) RETURNS bigint
LANGUAGE sql AS $$
    SELECT revision FROM linchpin.apply(namespace => namespace, guard => {LOOK}, expected => 0, mutation => {PUT},
        number => 1, ttl => ttl, key => key, value => value)
$$;

-- Writes a value where there is none. -> the key's version; null if there is one
CREATE FUNCTION linchpin.put_if_absent(namespace text, key text, value bytea, ttl interval DEFAULT NULL) RETURNS bigint
LANGUAGE sql AS $$
    SELECT CASE WHEN applied THEN revision END FROM linchpin.apply(
        namespace => namespace, guard => {ABSENT}, expected => 0, mutation => {PUT}, number => 1, ttl => ttl, key => key,
        value => value)
$$;

-- Writes a value over the version that is given. -> the key's new version; null if another one stands there, or none
CREATE FUNCTION linchpin.put_if_version(
    namespace text, key text, value bytea, version bigint, ttl interval DEFAULT NULL
) RETURNS bigint LANGUAGE sql AS $$
    SELECT CASE WHEN applied THEN revision END FROM linchpin.apply(
        namespace => namespace, guard => {VERSION}, expected => version, mutation => {PUT}, number => 1, ttl => ttl,
        key => key, value => value)
$$;

-- Adds to a counter; the TTL counts if that creates it. -> the counter
CREATE FUNCTION linchpin.add(namespace text, key text, delta bigint, ttl interval DEFAULT NULL) RETURNS bigint
LANGUAGE sql AS $$
    SELECT split_part(result, ':', 1)::bigint FROM linchpin.apply(
        namespace => namespace, guard => {LOOK}, expected => 0, mutation => {ADD}, number => delta, ttl => ttl, key => key,
        value => NULL)
$$;

-- Deletes a key. -> whether it was there
CREATE FUNCTION linchpin.delete(namespace text, key text) RETURNS boolean LANGUAGE sql AS $$
    SELECT result = '1' FROM linchpin.apply(namespace => namespace, guard => {LOOK}, expected => 0, mutation => {DELETE},
        number => 0, ttl => NULL, key => key, value => NULL)
$$;

-- Fails, and the application's transaction with it, unless the key that this fencing token is of still stands there.
-- Until the transaction ends nobody else can get it.
CREATE FUNCTION linchpin.fence(namespace text, key text, token bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name constant bytea := linchpin.admit(fence.namespace, 'a key', fence.key);
    held constant linchpin.namespaces := linchpin.hold(fence.namespace);
BEGIN
    PERFORM FROM linchpin.keys AS k WHERE k.namespace = held.id AND k.key = name
        AND k.created = token AND (k.ends IS NULL OR k.ends > held.acted);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the fencing token % of this key is not valid any more', token USING ERRCODE = 'LP002';
    END IF;
END $$;

-- As `fence`, for a lock by its name and the token of its guard: the key that is there has a random name.
CREATE FUNCTION linchpin.fence_lock(namespace text, lock text, token bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name constant bytea := linchpin.admit(fence_lock.namespace, 'a lock''s name', lock, {MAX_NAME});
    start constant bytea := convert_to('lock/' || length(name) || ':' || lock || '/', 'UTF8');
    held constant linchpin.namespaces := linchpin.hold(fence_lock.namespace);
BEGIN
    PERFORM FROM linchpin.keys AS k WHERE k.namespace = held.id AND k.key >= start AND k.key < start || decode('ff', 'hex')
        AND k.created = token AND (k.ends IS NULL OR k.ends > held.acted);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the fencing token % of this lock is not valid any more', token USING ERRCODE = 'LP002';
    END IF;
END $$;

-- Sends a message to whoever is subscribed when the application commits.
CREATE FUNCTION linchpin.publish(namespace text, channel text, payload bytea) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name constant bytea := linchpin.admit(publish.namespace, 'a channel', channel);
    told constant text := 'q' || replace(gen_random_uuid()::text, '-', '') || ' ' || linchpin.base64(name) || ' '
        || linchpin.base64(payload);
BEGIN
    IF told IS NULL THEN
        RAISE EXCEPTION 'the payload is null' USING ERRCODE = '22004';
    END IF;
    IF length(told) > {LONGEST_SEALED} THEN
        RAISE EXCEPTION
            'a message that is published from SQL fits into a notification, of {LONGEST_SEALED} characters in base64'
            USING ERRCODE = '22023';
    END IF;
    PERFORM linchpin.tell(publish.namespace, '{m}', ARRAY[told]);
END $$;
