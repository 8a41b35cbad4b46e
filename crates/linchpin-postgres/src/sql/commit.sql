-- Commits transactions one after the other, each all or nothing on its own.
--
-- Per transaction: its id or null, its fingerprint, and the index of its last operation. Per operation, guards first, what
-- it is: LOOK looks at a key, which removes it if it has ended; ABSENT, PRESENT, VERSION `number`, PREFIX_ABSENT; PUT value
-- `number`, with a TTL or 0; DELETE; ADD `number`, with a TTL or 0 if that creates it; EXTEND version `number` to a TTL.
-- Operations name their key by its index among `keys`, so that each is looked up once.
--
-- Up to `sweeps` other keys that have ended are removed as well, so that they never pile up. Nothing is decided by a time
-- before `floor`, which somebody has seen.
--
-- -> the count of changes before and after; the keys that had ended, and at which revision they were removed; per
-- transaction its status (COMMITTED, REFUSED, REFUSED_BY what was found, NO_COUNTER, OVERFLOW, ID_TAKEN by another one, and
-- AGAIN: refused and to be asked again, as what refused it did not fit into the answer; REPLAYED more if it was decided
-- before), revision, the operation that decided it (from 0, of its guards or of its mutations), and what its mutations
-- did, or for REFUSED_BY the index of what was found; what was found, each once; and the time.
CREATE FUNCTION linchpin.commit(
    namespace text, ids bytea[], fingerprints bigint[], lasts integer[],
    kinds integer[], slots integer[], numbers bigint[], ttls bigint[], keys bytea[], "values" bytea[],
    sweeps integer, floor bigint, OUT before bigint, OUT after bigint, OUT ended bytea[], OUT ended_at bigint[],
    OUT statuses integer[], OUT revisions bigint[], OUT details integer[], OUT results text[],
    OUT found_keys bytea[], OUT found_values bytea[], OUT found_numbers bigint[], OUT now bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    held linchpin.namespaces := linchpin.hold(namespace, floor);
    window_us constant bigint := {ID_WINDOW_US};
    -- What stands at each key: version 0 for nothing, ends 0 for never; its value is the one in the table (0), one of
    -- `values`, or below 0 one of `sums`; and what is to be done: KEEP, WRITE, REMOVE, or MOVE_END.
    s_version bigint[]; s_created bigint[]; s_ends bigint[]; s_value integer[]; s_write integer[];
    all_keys bytea[] := keys;
    all_values bytea[] := "values";
    sums bytea[] := '{}';
    known bytea[];
    writes boolean := false;
    extends boolean := false;
    removes boolean := false;
    remembers boolean := false;
    s integer; first integer; guards integer; last integer := 0; next_sum integer;
    status integer; detail integer; kind integer; holds boolean; ticks boolean; summed numeric; current bytea;
    did text[]; reached bigint := held.revision; had linchpin.outcomes; seen linchpin.keys;
    o_found integer[] := '{}'; finds integer := 0; place integer; left_us bigint;
    -- Everybody else waits for what is told: so much of values, or one.
    enough_bytes constant bigint := {ENOUGH_BYTES}; told_bytes bigint := 0; size bigint; is_replay boolean; written integer;
    touched integer[] := '{}'; other integer;
    -- What was changed, in its order: the key's slot, when it came to be (0 if it is gone), the revision.
    c_slots integer[] := '{}'; c_created bigint[] := '{}'; c_versions bigint[] := '{}';
    forgets integer; forgotten bigint; is_all boolean; notes boolean := false;
BEGIN
    now := held.acted;
    before := held.changes;
    ended := '{}'; ended_at := '{}'; statuses := '{}'; revisions := '{}'; details := '{}'; results := '{}';
    found_keys := '{}'; found_values := '{}'; found_numbers := '{}';

    IF sweeps > 0 THEN
        WITH gone AS (
            DELETE FROM linchpin.keys AS k WHERE k.namespace = held.id AND k.key = ANY (ARRAY(
                SELECT old.key FROM linchpin.keys AS old
                    WHERE old.namespace = held.id AND old.ends > held.swept AND old.ends <= now
                    ORDER BY old.ends LIMIT sweeps))
            RETURNING k.key
        ) SELECT coalesce(array_agg(gone.key), '{}') INTO ended FROM gone;
        IF cardinality(ended) < sweeps THEN
            held.swept := now;
        END IF;
        IF cardinality(ended) > 0 THEN
            reached := greatest(reached + 1, now);
            ended_at := array_fill(reached, ARRAY[cardinality(ended)]);
        END IF;
    END IF;
    IF cardinality(keys) = 1 THEN
        s_value := '{0}'; s_write := '{0}';
        SELECT ARRAY[k.version], ARRAY[k.created], ARRAY[coalesce(k.ends, 0)] INTO s_version, s_created, s_ends
            FROM linchpin.keys AS k WHERE k.namespace = held.id AND k.key = keys[1];
        IF NOT FOUND THEN
            s_version := '{0}'; s_created := '{0}'; s_ends := '{0}';
        END IF;
    ELSE
        SELECT array_agg(coalesce(k.version, 0)), array_agg(coalesce(k.created, 0)), array_agg(coalesce(k.ends, 0)),
                array_agg(0), array_agg(0)
            INTO s_version, s_created, s_ends, s_value, s_write
            FROM (
                SELECT k.* FROM unnest(keys) WITH ORDINALITY AS asked (key, n)
                    LEFT JOIN LATERAL (
                        SELECT k.version, k.created, k.ends FROM linchpin.keys AS k
                            WHERE k.namespace = held.id AND k.key = asked.key OFFSET 0
                    ) AS k ON true ORDER BY asked.n
            ) AS k;
    END IF;
    -- Whoever reads a key that has ended, and that nobody holds, takes it for gone even if he cannot remove it. So what may
    -- live on is held before it is seen how late it is.
    IF now < ANY (s_ends) THEN
        PERFORM FROM linchpin.keys AS k
            WHERE k.namespace = held.id AND k.key = ANY (keys) AND coalesce(k.ends, 0) > now FOR NO KEY UPDATE;
        now := greatest(now, linchpin.clock() + held.ahead);
        held.acted := now;
    END IF;
    -- What has ended is removed before anybody decides anything by it.
    FOR s IN 1 .. coalesce(cardinality(s_ends), 0) LOOP
        IF s_ends[s] <> 0 AND s_ends[s] <= now THEN
            reached := greatest(reached + 1, now);
            ended := ended || all_keys[s];
            ended_at := ended_at || reached;
            s_version[s] := 0;
            s_write[s] := {REMOVE};
            touched := touched || s;
            removes := true;
        END IF;
    END LOOP;
    IF ids[1] IS NOT NULL OR cardinality(ids) > 1 THEN
        SELECT array_agg(o.id) INTO known FROM linchpin.outcomes AS o WHERE o.id = ANY (ids) AND o.namespace = held.id;
    END IF;

    FOR t IN 1 .. cardinality(lasts) LOOP
        first := last + 1;
        last := lasts[t];
        did := '{}';
        o_found[t] := 0;
        status := {COMMITTED};
        detail := 0;
        ticks := false;
        guards := 0;
        -- Which of `values` or `sums` what refuses it has; 0 for the one in the table.
        written := 0;
        is_replay := known IS NOT NULL AND ids[t] = ANY (known);
        IF is_replay THEN
            SELECT * INTO had FROM linchpin.outcomes AS o WHERE o.namespace = held.id AND o.id = ids[t];
            IF had.fingerprint <> fingerprints[t] THEN
                statuses[t] := {ID_TAKEN}; revisions[t] := reached; details[t] := 0; results[t] := '';
                CONTINUE;
            END IF;
            status := had.status;
            IF status = {REFUSED_BY} THEN
                -- What refused it is told again only if it still stands there, and was not just written.
                SELECT k.namespace, k.key, ''::bytea, k.created, k.version, k.ends INTO seen FROM linchpin.keys AS k
                    WHERE k.namespace = held.id AND k.key = had.found_key AND k.version = had.found_version
                        AND (k.ends IS NULL OR k.ends > now);
                s := array_position(all_keys, had.found_key);
                IF s_version[s] <> had.found_version THEN
                    seen := NULL;
                END IF;
                IF seen.key IS NULL THEN
                    status := {REFUSED};
                ELSE
                    seen.ends := CASE WHEN s IS NULL THEN seen.ends ELSE nullif(s_ends[s], 0) END;
                END IF;
            END IF;
        END IF;

        FOR i IN first .. last LOOP
            kind := kinds[i];
            EXIT WHEN kind >= {PUT} OR is_replay;
            guards := guards + 1;
            CONTINUE WHEN kind = {LOOK};
            s := slots[i];
            IF kind = {PREFIX_ABSENT} THEN
                -- In the table, but for what was written by transactions before this one, and among that.
                SELECT k.namespace, k.key, ''::bytea, k.created, k.version, k.ends INTO seen FROM linchpin.keys AS k
                    WHERE k.namespace = held.id AND k.key >= all_keys[s] AND k.key < all_keys[s] || decode('ff', 'hex')
                        AND (k.ends IS NULL OR k.ends > now)
                        AND NOT EXISTS (SELECT FROM unnest(touched) AS n WHERE all_keys[n] = k.key)
                    ORDER BY k.key LIMIT 1;
                IF extends THEN
                    other := array_position(all_keys, seen.key);
                    seen.ends := CASE WHEN other IS NULL THEN seen.ends ELSE s_ends[other] END;
                END IF;
                IF touched <> '{}' THEN
                    SELECT n INTO other FROM unnest(touched) AS n
                        WHERE s_version[n] <> 0 AND all_keys[n] >= all_keys[s] AND all_keys[n] < all_keys[s] || decode('ff', 'hex')
                        ORDER BY all_keys[n] LIMIT 1;
                    IF other IS NOT NULL AND (seen.key IS NULL OR all_keys[other] < seen.key) THEN
                        seen := (held.id, all_keys[other], ''::bytea, s_created[other], s_version[other],
                            s_ends[other])::linchpin.keys;
                        written := s_value[other];
                    END IF;
                END IF;
                holds := seen.key IS NULL;
            ELSE
                holds := CASE kind WHEN {ABSENT} THEN s_version[s] = 0 WHEN {PRESENT} THEN s_version[s] <> 0
                    ELSE s_version[s] <> 0 AND s_version[s] = numbers[i] END;
                IF NOT holds AND s_version[s] <> 0 THEN
                    seen := (held.id, all_keys[s], ''::bytea, s_created[s], s_version[s], s_ends[s])::linchpin.keys;
                    written := s_value[s];
                END IF;
            END IF;
            IF NOT holds THEN
                status := CASE WHEN kind <> {PREFIX_ABSENT} AND s_version[s] = 0 THEN {REFUSED} ELSE {REFUSED_BY} END;
                detail := i - first;
                EXIT;
            END IF;
        END LOOP;
        IF status = {REFUSED_BY} THEN
            left_us := CASE WHEN coalesce(seen.ends, 0) = 0 THEN 0 ELSE seen.ends - now END;
            place := array_position(found_keys, seen.key);
            IF place IS NULL OR found_numbers[place * 3 - 1] <> seen.version OR found_numbers[place * 3] <> left_us THEN
                IF written = 0 THEN
                    SELECT length(k.value) INTO size FROM linchpin.keys AS k
                        WHERE k.namespace = held.id AND k.key = seen.key;
                ELSE
                    size := length(CASE WHEN written > 0 THEN all_values[written] ELSE sums[-written] END);
                END IF;
                IF finds > 0 AND told_bytes + size > enough_bytes THEN
                    status := {AGAIN};
                ELSE
                    IF written = 0 THEN
                        SELECT k.value INTO current FROM linchpin.keys AS k
                            WHERE k.namespace = held.id AND k.key = seen.key;
                    ELSE
                        current := CASE WHEN written > 0 THEN all_values[written] ELSE sums[-written] END;
                    END IF;
                    finds := finds + 1;
                    place := finds;
                    told_bytes := told_bytes + size;
                    found_keys := found_keys || seen.key;
                    found_values := found_values || current;
                    found_numbers := found_numbers || ARRAY[seen.created, seen.version, left_us];
                END IF;
            END IF;
            IF status = {REFUSED_BY} THEN
                o_found[t] := place;
                did := ARRAY[place::text];
            END IF;
        END IF;
        IF is_replay THEN
            statuses[t] := status + {REPLAYED}; revisions[t] := had.revision; details[t] := had.detail;
            results[t] := CASE status WHEN {REFUSED_BY} THEN place::text ELSE had.results END;
            CONTINUE;
        END IF;

        IF status = {COMMITTED} THEN
            -- Everything is decided before the first change.
            next_sum := cardinality(sums);
            FOR i IN first + guards .. last LOOP
                kind := kinds[i];
                s := slots[i];
                IF kind = {ADD} THEN
                    IF s_version[s] = 0 THEN
                        summed := numbers[i];
                    ELSE
                        IF s_value[s] = 0 THEN
                            SELECT k.value INTO current FROM linchpin.keys AS k
                                WHERE k.namespace = held.id AND k.key = all_keys[s];
                        ELSE
                            current := CASE WHEN s_value[s] > 0 THEN all_values[s_value[s]] ELSE sums[-s_value[s]] END;
                        END IF;
                        IF length(current) > 20 OR encode(current, 'escape') !~ '^(0|-?[1-9][0-9]*)$' THEN
                            status := {NO_COUNTER};
                        ELSE
                            summed := encode(current, 'escape')::numeric;
                            IF summed NOT BETWEEN -9223372036854775808 AND 9223372036854775807 THEN
                                status := {NO_COUNTER};
                            END IF;
                            summed := summed + numbers[i];
                        END IF;
                    END IF;
                    IF status = {COMMITTED} AND summed NOT BETWEEN -9223372036854775808 AND 9223372036854775807 THEN
                        status := {OVERFLOW};
                    END IF;
                    IF status <> {COMMITTED} THEN
                        detail := i - first - guards;
                        EXIT;
                    END IF;
                    sums := sums || convert_to(summed::text, 'UTF8');
                    ticks := true;
                ELSIF kind = {PUT} OR kind = {DELETE} AND s_version[s] <> 0 THEN
                    ticks := true;
                END IF;
            END LOOP;
        END IF;
        IF status = {COMMITTED} THEN
            IF ticks THEN
                reached := greatest(reached + 1, now);
            END IF;
            FOR i IN first + guards .. last LOOP
                kind := kinds[i];
                s := slots[i];
                IF kind = {PUT} OR kind = {ADD} THEN
                    -- A counter that is there keeps its end.
                    IF kind = {PUT} OR s_version[s] = 0 THEN
                        s_ends[s] := CASE WHEN ttls[i] = 0 THEN 0 ELSE now + ttls[i] END;
                    END IF;
                    IF s_version[s] = 0 THEN
                        s_created[s] := reached;
                    END IF;
                    s_version[s] := reached;
                    IF s_write[s] IN ({KEEP}, {MOVE_END}) THEN
                        touched := touched || s;
                    END IF;
                    s_write[s] := {WRITE};
                    writes := true;
                    c_slots := c_slots || s; c_created := c_created || s_created[s]; c_versions := c_versions || reached;
                    IF kind = {PUT} THEN
                        s_value[s] := numbers[i];
                        did := did || (s_created[s] || ':' || ttls[i]);
                    ELSE
                        next_sum := next_sum + 1;
                        s_value[s] := -next_sum;
                        did := did || (encode(sums[-s_value[s]], 'escape') || ':' || s_created[s] || ':'
                            || CASE WHEN s_ends[s] = 0 THEN 0 ELSE s_ends[s] - now END);
                    END IF;
                ELSIF kind = {DELETE} THEN
                    did := did || CASE WHEN s_version[s] = 0 THEN '0' ELSE '1' END;
                    IF s_version[s] <> 0 THEN
                        s_version[s] := 0;
                        IF s_write[s] IN ({KEEP}, {MOVE_END}) THEN
                            touched := touched || s;
                        END IF;
                        s_write[s] := {REMOVE};
                        removes := true;
                        c_slots := c_slots || s; c_created := c_created || 0::bigint; c_versions := c_versions || reached;
                    END IF;
                ELSIF s_version[s] <> 0 AND s_version[s] = numbers[i] THEN
                    -- Never earlier than before, and no new version.
                    IF s_ends[s] <> 0 AND now + ttls[i] > s_ends[s] THEN
                        s_ends[s] := now + ttls[i];
                        IF s_write[s] = {KEEP} THEN
                            s_write[s] := {MOVE_END};
                            extends := true;
                        END IF;
                    END IF;
                    did := did || ttls[i]::text;
                ELSE
                    did := did || '0'::text;
                END IF;
            END LOOP;
        END IF;
        statuses[t] := status;
        revisions[t] := reached;
        details[t] := detail;
        results[t] := array_to_string(did, ',');
        remembers := remembers OR ids[t] IS NOT NULL;
    END LOOP;

    IF removes THEN
        DELETE FROM linchpin.keys AS k WHERE k.namespace = held.id AND k.key = ANY (ARRAY(
            SELECT all_keys[n] FROM generate_series(1, cardinality(s_write)) AS n WHERE s_write[n] = {REMOVE}));
    END IF;
    IF writes THEN
        INSERT INTO linchpin.keys AS k (namespace, key, value, created, version, ends)
            SELECT held.id, all_keys[n], CASE WHEN s_value[n] > 0 THEN all_values[s_value[n]] ELSE sums[-s_value[n]] END,
                s_created[n], s_version[n], nullif(s_ends[n], 0)
            FROM generate_series(1, cardinality(s_write)) AS n WHERE s_write[n] = {WRITE}
            ON CONFLICT ON CONSTRAINT keys_pkey DO UPDATE SET value = excluded.value, created = excluded.created,
                version = excluded.version, ends = excluded.ends;
    END IF;
    IF extends THEN
        -- By their places: nobody else writes to the namespace now.
        UPDATE linchpin.keys AS k SET ends = longer.ends FROM (
            SELECT found.ctid AS place, s_ends[n] AS ends FROM generate_series(1, cardinality(s_write)) AS n, LATERAL (
                SELECT k.ctid FROM linchpin.keys AS k WHERE k.namespace = held.id AND k.key = all_keys[n] OFFSET 0
            ) AS found WHERE s_write[n] = {MOVE_END}
        ) AS longer WHERE k.ctid = longer.place;
    END IF;
    IF remembers THEN
        INSERT INTO linchpin.outcomes
            SELECT held.id, ids[n], fingerprints[n], now, statuses[n], revisions[n], details[n], results[n],
                found_keys[o_found[n]], found_numbers[o_found[n] * 3 - 1]
            FROM generate_series(1, cardinality(statuses)) AS n WHERE ids[n] IS NOT NULL AND statuses[n] < {ID_TAKEN};
        -- Now and then, more than were added since, so that they never pile up, also where all are refused and the
        -- revision stands still. `commit_one` leaves that to one commit in 64.
        IF random() < 0.125 OR cardinality(statuses) > 1 OR before % 64 = 63 THEN
            forgets := 512 + 2 * cardinality(statuses);
            WITH gone AS (
                DELETE FROM linchpin.outcomes AS o WHERE o.ctid = ANY (ARRAY(
                    SELECT old.ctid FROM linchpin.outcomes AS old
                        WHERE old.namespace = held.id AND old.at > held.forgotten AND old.at < now - window_us
                        ORDER BY old.at LIMIT forgets FOR UPDATE SKIP LOCKED))
                RETURNING o.at
            ) SELECT count(*) < forgets, max(gone.at) INTO is_all, forgotten FROM gone;
            -- Of those noted at the same time some may be left.
            forgotten := CASE WHEN is_all THEN now - window_us - 1 ELSE forgotten - 1 END;
            notes := forgotten > held.forgotten + 1000000;
            held.forgotten := greatest(held.forgotten, forgotten);
        END IF;
    END IF;
    after := before + cardinality(ended) + cardinality(c_slots);
    IF after <> before THEN
        PERFORM linchpin.note(held, before, after, reached,
            ended || ARRAY(SELECT all_keys[c.slot] FROM unnest(c_slots) WITH ORDINALITY AS c (slot, n) ORDER BY c.n),
            array_fill(0::bigint, ARRAY[cardinality(ended)]) || c_created, ended_at || c_versions);
        held.revision := reached;
        held.changes := after;
        PERFORM linchpin.keep(held, before);
    ELSIF extends OR notes THEN
        -- How late it is, so that no clock that steps back stops time where only leases are renewed.
        UPDATE linchpin.namespaces AS n SET acted = now, forgotten = held.forgotten
            WHERE n.name = held.name AND n.generation = held.generation AND n.acted < now - 100000;
    END IF;
END $$;
