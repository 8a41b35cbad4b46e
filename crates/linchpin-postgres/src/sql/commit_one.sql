-- Commits a transaction of the usual kind, in few statements and without arrays: one PUT or DELETE with at most one guard,
-- which is on the same key or PREFIX_ABSENT; `guard` is 0 for none. All else is as of `commit`.
--
-- Nothing is written before it is sure that nothing is unusual: a new namespace, a repeat, a clock that stepped back, keys
-- that have ended, a guard that does not hold, nothing to delete, and now and then what there is to clean up. All that is
-- left to `commit`. `was` is the revision before it; null where `commit` did it, which may have changed more than this.
CREATE FUNCTION linchpin.commit_one(
    namespace text, id bytea, fingerprint bigint, guard integer, guarded bytea, guard_version bigint,
    kind integer, key bytea, value bytea, ttl bigint,
    sweeps integer, floor bigint, OUT before bigint, OUT after bigint, OUT ended bytea[], OUT ended_at bigint[],
    OUT statuses integer[], OUT revisions bigint[], OUT details integer[], OUT results text[],
    OUT found_keys bytea[], OUT found_values bytea[], OUT found_numbers bigint[], OUT now bigint, OUT was bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    step constant bigint := 64;
    own text; is_held boolean := false; looked bigint; is_unusual boolean;
    number integer; generation integer; acted bigint; ahead bigint;
    version bigint; created bigint; ends bigint; revision bigint; result text;
BEGIN
    IF current_setting('transaction_isolation') = 'read committed' THEN
        PERFORM FROM linchpin.holds AS h WHERE h.name = namespace FOR NO KEY UPDATE;
        is_held := FOUND;
    END IF;
    looked := linchpin.clock();
    -- Of a statement that began after that.
    SELECT n.id, n.generation, n.revision, n.changes, n.acted, n.ahead, k.version, k.created, k.ends,
            id IS NOT NULL AND EXISTS (
                SELECT FROM linchpin.outcomes AS o WHERE o.id = id AND o.namespace = n.id OFFSET 0)
            OR sweeps > 0 AND EXISTS (
                SELECT FROM linchpin.keys AS old
                    WHERE old.namespace = n.id AND old.ends > n.swept AND old.ends <= looked + n.ahead
                    ORDER BY old.ends OFFSET 0)
            OR guard = {PREFIX_ABSENT} AND EXISTS (
                SELECT FROM linchpin.keys AS other
                    WHERE other.namespace = n.id AND other.key >= guarded AND other.key < guarded || decode('ff', 'hex') OFFSET 0)
        INTO number, generation, was, before, acted, ahead, version, created, ends, is_unusual
        FROM (SELECT * FROM linchpin.namespaces AS n WHERE n.name = namespace ORDER BY n.generation DESC LIMIT 1) AS n
            LEFT JOIN LATERAL (
                SELECT * FROM linchpin.keys AS k WHERE k.namespace = n.id AND k.key = key OFFSET 0
            ) AS k ON true WHERE is_held;
    IF ends IS NOT NULL THEN
        -- Held before it is seen how late it is, as `commit` does.
        PERFORM FROM linchpin.keys AS k WHERE k.namespace = number AND k.key = key FOR NO KEY UPDATE;
    END IF;
    now := linchpin.clock() + ahead;
    IF is_unusual IS DISTINCT FROM false OR now < acted OR now < floor OR ends <= now
        OR before / step <> (before + 1) / step
        OR kind = {DELETE} AND version IS NULL
        OR guard = {ABSENT} AND version IS NOT NULL
        OR guard IN ({PRESENT}, {VERSION}) AND version IS NULL
        OR guard = {VERSION} AND version <> guard_version
    THEN
        SELECT did.* INTO before, after, ended, ended_at, statuses, revisions, details, results,
                found_keys, found_values, found_numbers, now
            FROM linchpin.commit(
                namespace, ARRAY[id], ARRAY[fingerprint], ARRAY[CASE guard WHEN 0 THEN 1 ELSE 2 END],
                CASE guard WHEN 0 THEN ARRAY[kind] ELSE ARRAY[guard, kind] END,
                CASE WHEN guard = 0 THEN ARRAY[1] WHEN guarded = key THEN ARRAY[1, 1] ELSE ARRAY[1, 2] END,
                CASE guard WHEN 0 THEN ARRAY[1::bigint] ELSE ARRAY[guard_version, 1] END,
                CASE guard WHEN 0 THEN ARRAY[ttl] ELSE ARRAY[0, ttl] END,
                CASE WHEN guard = 0 OR guarded = key THEN ARRAY[key] ELSE ARRAY[guarded, key] END,
                CASE kind WHEN {PUT} THEN ARRAY[value] ELSE '{}' END, sweeps, floor) AS did;
        was := NULL;
        RETURN;
    END IF;

    own := set_config('linchpin.own', 'on', true);
    after := before + 1;
    revision := greatest(was + 1, now);
    IF kind = {PUT} THEN
        created := coalesce(created, revision);
        result := created || ':' || ttl;
        WITH stored AS (
            INSERT INTO linchpin.keys AS k (namespace, key, value, created, version, ends)
                VALUES (number, key, value, created, revision, CASE WHEN ttl > 0 THEN now + ttl END)
                ON CONFLICT ON CONSTRAINT keys_pkey DO UPDATE SET value = excluded.value, version = excluded.version,
                    ends = excluded.ends
        ), noted AS (
            INSERT INTO linchpin.changes
                VALUES (number, after, revision, before, was, ARRAY[key], ARRAY[created], ARRAY[revision])
        ), remembered AS (
            INSERT INTO linchpin.outcomes (namespace, id, fingerprint, at, status, revision, detail, results)
                SELECT number, id, fingerprint, now, {COMMITTED}, revision, 0, result WHERE id IS NOT NULL
        )
        UPDATE linchpin.namespaces AS n SET revision = revision, changes = after, acted = now,
                swept = CASE WHEN sweeps > 0 THEN greatest(n.swept, least(looked + ahead, now)) ELSE n.swept END
            WHERE n.name = namespace AND n.generation = generation;
    ELSE
        result := '1';
        WITH gone AS (
            DELETE FROM linchpin.keys AS k WHERE k.namespace = number AND k.key = key
        ), noted AS (
            INSERT INTO linchpin.changes
                VALUES (number, after, revision, before, was, ARRAY[key], ARRAY[0::bigint], ARRAY[revision])
        ), remembered AS (
            INSERT INTO linchpin.outcomes (namespace, id, fingerprint, at, status, revision, detail, results)
                SELECT number, id, fingerprint, now, {COMMITTED}, revision, 0, result WHERE id IS NOT NULL
        )
        UPDATE linchpin.namespaces AS n SET revision = revision, changes = after, acted = now
            WHERE n.name = namespace AND n.generation = generation;
    END IF;
    ended := '{}'; ended_at := '{}'; found_keys := '{}'; found_values := '{}'; found_numbers := '{}';
    statuses := ARRAY[{COMMITTED}]; revisions := ARRAY[revision]; details := ARRAY[0]; results := ARRAY[result];
END $$;
