-- Streams. A name is that of the stream, and of a group's dead letters also a NUL and the group's. Whoever writes to a
-- stream holds its row, and whoever claims for a group holds the group's: nobody waits for commits, nor they for us.
--
-- The planner knows nothing of tables that were empty when it looked, so it is given no choice: what is looked up for many
-- is so one by one (OFFSET 0), and an index that is there for an order is partial, so that it is no good for looking up.

-- `first` is the position of the oldest record that is still there, `last` of the newest ever. Whoever clears a stream
-- gives it another id: `cleared` is where it was then, and `ends` when that may be forgotten if nobody goes on with it.
CREATE TABLE linchpin.streams (
    namespace integer NOT NULL,
    name bytea NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    first bigint NOT NULL DEFAULT 1,
    last bigint NOT NULL DEFAULT 0,
    cleared bigint NOT NULL DEFAULT 0,
    -- The latest time acted upon.
    acted bigint NOT NULL,
    ends bigint,
    PRIMARY KEY (namespace, name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
CREATE INDEX streams_ends ON linchpin.streams (namespace, ends) WHERE ends IS NOT NULL;

-- Headers are a list of [name, value]. A story says why a dead letter is one.
CREATE TABLE linchpin.records (
    stream bigint NOT NULL,
    position bigint NOT NULL,
    due bigint,
    id bytea,
    headers json,
    story json,
    payload bytea NOT NULL,
    PRIMARY KEY (stream, position)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

-- Which ids of records are known, and until when: `forget` removes them.
CREATE TABLE linchpin.record_ids (
    stream bigint NOT NULL,
    id bytea NOT NULL,
    position bigint NOT NULL,
    ends bigint NOT NULL,
    CONSTRAINT record_ids_pkey PRIMARY KEY (stream, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX record_ids_ends ON linchpin.record_ids (ends) WHERE ends > 0;

-- A group has looked at the records up to a position.
CREATE TABLE linchpin.groups (
    stream bigint NOT NULL,
    name bytea NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    looked bigint NOT NULL,
    acted bigint NOT NULL,
    PRIMARY KEY (stream, name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);

-- What a group has looked at and not settled: held by a member until it is due, or waiting for that without one.
CREATE TABLE linchpin.pending (
    "group" bigint NOT NULL,
    position bigint NOT NULL,
    due bigint NOT NULL,
    deliveries integer NOT NULL,
    member bytea,
    PRIMARY KEY ("group", position)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX pending_due ON linchpin.pending ("group", due, position) WHERE due > 0;

-- Ids that streams or groups (the other one is 0) had before they were cleared, of which something is left.
CREATE TABLE linchpin.rubbish (
    namespace integer NOT NULL,
    stream bigint NOT NULL,
    "group" bigint NOT NULL,
    PRIMARY KEY (namespace, stream, "group")
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 200);

-- Who joins this waits for a lock for a moment only, until the end of the transaction.
CREATE VIEW linchpin.patience AS SELECT left(set_config('lock_timeout', '30ms', true), 0) AS nothing OFFSET 0;

-- A namespace's row, which is not held.
CREATE FUNCTION linchpin.space(namespace text) RETURNS linchpin.namespaces LANGUAGE plpgsql AS $$
DECLARE
    found_space linchpin.namespaces;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'linchpin needs transactions that are READ COMMITTED' USING ERRCODE = 'LP001';
    END IF;
    SELECT * INTO found_space FROM linchpin.namespaces AS n WHERE n.name = space.namespace ORDER BY n.generation DESC LIMIT 1;
    IF NOT FOUND THEN
        found_space := linchpin.hold(namespace);
    END IF;
    RETURN found_space;
END $$;

-- The time, never before one that was acted upon. Only where the clock has stepped back the namespace is held for it:
-- from then on time runs ahead of the clock.
CREATE FUNCTION linchpin.time(space linchpin.namespaces, acted bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    reached bigint := greatest(space.acted, time.acted);
    now bigint := linchpin.clock() + space.ahead;
BEGIN
    IF now < reached THEN
        now := (linchpin.hold(space.name, reached)).acted;
    END IF;
    RETURN now;
END $$;

-- Notes how late it is for these groups where nothing else is written: no clock that steps back stops time for what they
-- have. Waits for nobody: whoever holds one notes it himself.
CREATE FUNCTION linchpin.note_time(streams bigint[], groups bigint[], now bigint, step bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE linchpin.groups AS g SET acted = note_time.now WHERE g.ctid = ANY (ARRAY(
        SELECT late.ctid FROM linchpin.groups AS late
            WHERE late.stream = ANY (note_time.streams) AND late.id = ANY (note_time.groups)
                AND late.acted < note_time.now - note_time.step
            FOR NO KEY UPDATE SKIP LOCKED));
END $$;

-- A stream's row, locked until the end of the transaction. One that was cleared lives again.
CREATE FUNCTION linchpin.hold_stream(space linchpin.namespaces, stream bytea) RETURNS linchpin.streams
LANGUAGE plpgsql AS $$
DECLARE
    held linchpin.streams;
BEGIN
    LOOP
        SELECT * INTO held FROM linchpin.streams AS s WHERE s.namespace = space.id AND s.name = stream
            FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        PERFORM linchpin.forget_streams(space);
        INSERT INTO linchpin.streams (namespace, name, acted) VALUES (space.id, stream, linchpin.time(space, 0))
            ON CONFLICT DO NOTHING;
    END LOOP;
    IF held.ends IS NOT NULL THEN
        UPDATE linchpin.streams AS s SET ends = NULL WHERE s.namespace = space.id AND s.name = stream;
    END IF;
    RETURN held;
END $$;

-- Forgets where some streams were that were cleared long ago: more than one call can clear, so they never pile up.
CREATE FUNCTION linchpin.forget_streams(space linchpin.namespaces) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    now constant bigint := linchpin.time(space, 0);
BEGIN
    DELETE FROM linchpin.streams AS s WHERE s.ctid = ANY (ARRAY(
        SELECT old.ctid FROM linchpin.streams AS old WHERE old.namespace = space.id AND old.ends <= now
            ORDER BY old.ends LIMIT 32 FOR UPDATE SKIP LOCKED));
END $$;

-- Appends records, in their order, next to each other. Per record: its id or null, its delay in us or null, its headers as
-- JSON or null, its payload. Ids are remembered for `memory` us. -> where each stands, and whether it was there already
CREATE FUNCTION linchpin.append_records(
    namespace text, stream bytea, memory bigint, ids bytea[], delays bigint[], headers text[], payloads bytea[],
    OUT positions bigint[], OUT duplicates boolean[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    space linchpin.namespaces := linchpin.space(namespace);
    held linchpin.streams := linchpin.hold_stream(space, stream);
    now constant bigint := linchpin.time(space, held.acted);
    appended bigint := cardinality(payloads);
BEGIN
    IF cardinality(array_remove(ids, NULL)) = 0 THEN
        SELECT array_agg(held.last + n), array_agg(false) INTO positions, duplicates
            FROM generate_series(1, appended) AS n;
    ELSE
        -- One whose id came before in this call stands where that one does.
        SELECT array_agg(coalesce(f.known, held.last + f.place) ORDER BY f.n),
                array_agg(f.known IS NOT NULL OR NOT f.is_first ORDER BY f.n),
                count(*) FILTER (WHERE f.known IS NULL AND f.is_first)
            INTO positions, duplicates, appended
            FROM (
                SELECT c.n, c.known, c.is_first,
                    CASE WHEN c.id IS NULL THEN c.place ELSE min(c.place) OVER (PARTITION BY c.id) END AS place
                FROM (
                    SELECT a.*, sum(CASE WHEN a.known IS NULL AND a.is_first THEN 1 ELSE 0 END) OVER (ORDER BY a.n)
                        AS place
                    FROM (
                        SELECT asked.n, asked.id, r.position AS known,
                            asked.id IS NULL OR asked.n = min(asked.n) OVER (PARTITION BY asked.id) AS is_first
                        FROM unnest(ids) WITH ORDINALITY AS asked (id, n)
                        LEFT JOIN LATERAL (
                            SELECT i.position, i.ends FROM linchpin.record_ids AS i
                                WHERE i.stream = held.id AND i.id = asked.id OFFSET 0
                        ) AS r ON r.ends > now
                    ) AS a
                ) AS c
            ) AS f;
        INSERT INTO linchpin.record_ids (stream, id, position, ends)
            SELECT held.id, a.id, a.position, now + memory
                FROM unnest(ids, positions, duplicates) AS a (id, position, duplicate)
                WHERE a.id IS NOT NULL AND NOT a.duplicate
            ON CONFLICT ON CONSTRAINT record_ids_pkey DO UPDATE SET position = excluded.position, ends = excluded.ends;
    END IF;
    IF appended > 0 THEN
        INSERT INTO linchpin.records (stream, position, due, id, headers, payload)
            SELECT held.id, a.position, CASE WHEN a.delay > 0 THEN now + a.delay END, a.id, a.headers::json, a.payload
                FROM unnest(positions, duplicates, delays, ids, headers, payloads)
                    AS a (position, duplicate, delay, id, headers, payload)
                WHERE NOT a.duplicate;
        UPDATE linchpin.streams AS s SET last = held.last + appended, acted = now
            WHERE s.namespace = space.id AND s.name = stream;
    END IF;
END $$;

-- Puts records into the dead letters of a group, in their order, each with the reason as JSON. Whoever calls this holds all
-- that is pending and waits for nothing more but streams, by their names: so two never wait for each other. What a group
-- rejects of dead letters is gone. -> whether some were
CREATE FUNCTION linchpin.bury(
    space linchpin.namespaces, home bigint, stream bytea, "group" bytea, places bigint[], deliveries integer[], reasons text[]
) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    dead constant bytea := stream || decode('00', 'hex') || "group";
    held linchpin.streams;
    buried integer;
BEGIN
    IF position(decode('00', 'hex') IN stream) > 0 THEN
        RETURN false;
    END IF;
    held := linchpin.hold_stream(space, dead);
    INSERT INTO linchpin.records (stream, position, id, headers, story, payload)
        SELECT held.id, held.last + row_number() OVER (ORDER BY b.n), r.id, r.headers,
                ('{"reason": ' || b.reason || ', "deliveries": ' || b.deliveries || ', "position": ' || b.place || '}')::json,
                r.payload
            FROM unnest(places, deliveries, reasons) WITH ORDINALITY AS b (place, deliveries, reason, n)
            CROSS JOIN LATERAL (
                SELECT * FROM linchpin.records AS r WHERE r.stream = home AND r.position = b.place OFFSET 0
            ) AS r;
    GET DIAGNOSTICS buried = ROW_COUNT;
    IF buried > 0 THEN
        UPDATE linchpin.streams AS s SET last = held.last + buried WHERE s.namespace = space.id AND s.name = dead;
    END IF;
    RETURN buried > 0;
END $$;

-- Claims up to `most` records for a member of a group: first what is due again, then what the group has not looked at.
-- What was delivered `enough` times, if that is not 0, goes to the dead letters instead. What is not due, or was delivered
-- often enough, holds up nothing that is behind it.
-- -> if nothing is given: the us until something pending becomes due, 0 if there may be more now, or null; whether something
-- was buried; what is given
CREATE FUNCTION linchpin.claim_records(
    namespace text, stream bytea, "group" bytea, member bytea, most integer, visibility bigint, enough integer,
    OUT wait bigint, OUT buried boolean, OUT positions bigint[], OUT deliveries integer[], OUT ids bytea[],
    OUT headers text[], OUT stories text[], OUT payloads bytea[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    enough_bytes constant bigint := {ENOUGH_BYTES};
    -- The group is held for so long: others wait for it.
    enough_looks constant integer := 8192;
    enough_burials constant integer := 4096;
    space linchpin.namespaces := linchpin.space(namespace);
    home linchpin.streams;
    held linchpin.groups;
    now bigint;
    last bigint;
    bytes bigint := 0;
    looks integer := 0;
    is_due boolean;
    first bigint;
    seen record;
    dead record;
BEGIN
    SELECT 0 AS count, NULL::bigint[] AS positions, NULL::integer[] AS deliveries, false AS more INTO dead;
    buried := false;
    positions := '{}'; deliveries := '{}'; ids := '{}'; headers := '{}'; stories := '{}'; payloads := '{}';
    LOOP
        SELECT s.last, greatest(s.acted, g.acted) AS acted, g.id AS "group", g.stream, g.looked,
                (SELECT p.due FROM linchpin.pending AS p WHERE p."group" = g.id AND p.due > 0 ORDER BY p.due LIMIT 1)
                    AS due
            INTO seen FROM linchpin.streams AS s
            LEFT JOIN linchpin.groups AS g ON g.stream = s.id AND g.name = "group"
            WHERE s.namespace = space.id AND s.name = stream;
        IF seen."group" IS NULL THEN
            home := linchpin.hold_stream(space, stream);
            INSERT INTO linchpin.groups (stream, name, looked, acted)
                VALUES (home.id, "group", home.first - 1, linchpin.time(space, home.acted)) ON CONFLICT DO NOTHING;
            CONTINUE;
        END IF;
        now := linchpin.time(space, seen.acted);
        IF seen.looked >= seen.last AND (seen.due IS NULL OR seen.due > now) THEN
            wait := seen.due - now;
            IF wait IS NOT NULL AND seen.acted < now - 500000 THEN
                PERFORM linchpin.note_time(ARRAY[seen.stream], ARRAY[seen."group"], now, 500000);
            END IF;
            RETURN;
        END IF;
        is_due := seen.due IS NOT NULL AND seen.due <= now;
        SELECT * INTO held FROM linchpin.groups AS g WHERE g.stream = seen.stream AND g.name = "group"
            FOR NO KEY UPDATE;
        CONTINUE WHEN NOT FOUND;
        SELECT s.last INTO last FROM linchpin.streams AS s
            WHERE s.namespace = space.id AND s.name = stream AND s.id = held.stream;
        -- Otherwise it was cleared meanwhile.
        EXIT WHEN FOUND;
    END LOOP;
    now := linchpin.time(space, greatest(held.acted, now));

    -- What is being settled just now is left to that.
    FOR seen IN SELECT p.position, p.deliveries, r.id, r.headers, r.story, r.payload
        FROM linchpin.pending AS p
        LEFT JOIN LATERAL (
            SELECT * FROM linchpin.records AS r WHERE r.stream = held.stream AND r.position = p.position OFFSET 0
        ) AS r ON true
        WHERE is_due AND p."group" = held.id AND p.due <= now AND p.due > 0 AND (enough = 0 OR p.deliveries < enough)
        ORDER BY p.due, p.position LIMIT most FOR UPDATE OF p SKIP LOCKED
    LOOP
        looks := looks + 1;
        IF seen.payload IS NULL THEN
            DELETE FROM linchpin.pending AS p WHERE p."group" = held.id AND p.position = seen.position;
            CONTINUE;
        END IF;
        UPDATE linchpin.pending AS p
            SET due = now + visibility, deliveries = seen.deliveries + 1, member = claim_records.member
            WHERE p."group" = held.id AND p.position = seen.position;
        positions := positions || seen.position;
        deliveries := deliveries || seen.deliveries + 1;
        ids := ids || seen.id;
        headers := headers || seen.headers::text;
        stories := stories || seen.story::text;
        payloads := payloads || seen.payload;
        bytes := bytes + length(seen.payload);
        EXIT WHEN bytes >= enough_bytes;
    END LOOP;
    IF is_due AND enough > 0 THEN
        WITH due AS MATERIALIZED (
            SELECT o.position, o.due FROM linchpin.pending AS o
                WHERE o."group" = held.id AND o.due <= now AND o.due > 0 AND o.deliveries >= enough
                ORDER BY o.due, o.position LIMIT enough_burials FOR UPDATE SKIP LOCKED
        ), sized AS MATERIALIZED (
            SELECT d.position, sum(coalesce(r.size, 0)) OVER (ORDER BY d.due, d.position) - coalesce(r.size, 0) AS before
                FROM due AS d LEFT JOIN LATERAL (
                    SELECT length(r.payload) AS size FROM linchpin.records AS r
                        WHERE r.stream = held.stream AND r.position = d.position OFFSET 0
                ) AS r ON true
        ), gone AS (
            DELETE FROM linchpin.pending AS p WHERE p."group" = held.id AND p.position = ANY (ARRAY(
                SELECT s.position FROM sized AS s WHERE s.before < 4 * enough_bytes))
            RETURNING p.*
        ) SELECT count(*) AS count, array_agg(g.position ORDER BY g.due, g.position) AS positions,
                array_agg(g.deliveries ORDER BY g.due, g.position) AS deliveries,
                (SELECT count(*) FROM due) >= enough_burials OR (SELECT count(*) FROM due) > count(*) AS more
            INTO dead FROM gone AS g;
        IF dead.count > 0 THEN
            buried := linchpin.bury(space, held.stream, stream, "group", dead.positions, dead.deliveries,
                array_fill('"max deliveries"'::text, ARRAY[dead.count::integer]));
            looks := looks + dead.count;
        END IF;
    END IF;

    WHILE held.looked < last AND cardinality(positions) < most AND bytes < enough_bytes AND looks < enough_looks LOOP
        -- What is not due yet is put aside, so that it does not hold up what comes after it.
        SELECT r.position INTO first FROM linchpin.records AS r
            WHERE r.stream = held.stream AND r.position > held.looked AND r.position <= last
                AND (r.due IS NULL OR r.due <= now)
            ORDER BY r.position LIMIT 1;
        first := least(coalesce(first, last + 1), held.looked + 1 + enough_looks - looks);
        IF first > held.looked + 1 THEN
            INSERT INTO linchpin.pending ("group", position, due, deliveries)
                SELECT held.id, r.position, r.due, 0 FROM linchpin.records AS r
                    WHERE r.stream = held.stream AND r.position > held.looked AND r.position < first;
            looks := looks + (first - 1 - held.looked);
            held.looked := first - 1;
            CONTINUE;
        END IF;
        WITH next AS MATERIALIZED (
            SELECT f.*, coalesce(f.due > now, false) AS waits, sum(length(f.payload)) OVER (ORDER BY f.position) AS size
                FROM (
                    SELECT * FROM linchpin.records AS r
                        WHERE r.stream = held.stream AND r.position > held.looked AND r.position <= last
                        ORDER BY r.position LIMIT most - cardinality(positions)
                ) AS f
        ), taken AS MATERIALIZED (
            SELECT * FROM next WHERE next.size - length(next.payload) < enough_bytes - bytes ORDER BY next.position
        ), noted AS (
            INSERT INTO linchpin.pending ("group", position, due, deliveries, member)
                SELECT held.id, t.position, CASE WHEN t.waits THEN t.due ELSE now + visibility END,
                        CASE WHEN t.waits THEN 0 ELSE 1 END, CASE WHEN t.waits THEN NULL ELSE member END
                    FROM taken AS t
        ) SELECT count(*) AS looks, max(t.position) AS position, max(t.size) AS size,
                array_agg(t.position) FILTER (WHERE NOT t.waits) AS positions,
                array_agg(1) FILTER (WHERE NOT t.waits) AS deliveries,
                array_agg(t.id) FILTER (WHERE NOT t.waits) AS ids,
                array_agg(t.headers::text) FILTER (WHERE NOT t.waits) AS headers,
                array_agg(t.story::text) FILTER (WHERE NOT t.waits) AS stories,
                array_agg(t.payload) FILTER (WHERE NOT t.waits) AS payloads
            INTO seen FROM taken AS t;
        -- Positions have no gaps, so there is something.
        held.looked := coalesce(seen.position, last);
        looks := looks + seen.looks;
        bytes := bytes + coalesce(seen.size, 0);
        positions := positions || seen.positions;
        deliveries := deliveries || seen.deliveries;
        ids := ids || seen.ids;
        headers := headers || seen.headers;
        stories := stories || seen.stories;
        payloads := payloads || seen.payloads;
    END LOOP;

    -- Unless another member took it all meanwhile.
    IF looks > 0 THEN
        UPDATE linchpin.groups AS g SET looked = held.looked, acted = now
            WHERE g.stream = held.stream AND g.name = "group";
    END IF;
    IF cardinality(positions) > 0 THEN
        wait := NULL;
    ELSIF held.looked < last OR dead.more OR looks >= most THEN
        wait := 0;
    ELSE
        -- What is due and was left is looked at again in a moment.
        SELECT greatest(p.due - now, 5000) INTO wait FROM linchpin.pending AS p
            WHERE p."group" = held.id AND p.due > 0 ORDER BY p.due LIMIT 1;
    END IF;
END $$;

-- Settles deliveries, each on its own. They name their stream and group by the index among `streams` and `groups`; what
-- is settled twice comes in the rounds 0, 1, and so on. Actions: 0 ack, 1 retry and 2 extend with a time in us, 3 reject
-- with a reason as JSON. -> per settlement: 0 stale, 1 done, 2 done and due earlier than before
CREATE FUNCTION linchpin.settle_records(
    namespace text, streams bytea[], groups bytea[], slots integer[], positions bigint[], deliveries integer[],
    actions integer[], times bigint[], reasons text[], rounds integer[]
) RETURNS integer[] LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    space linchpin.namespaces := linchpin.space(namespace);
    settled integer[] := array_fill({STALE}, ARRAY[cardinality(positions)]);
    home_ids bigint[];
    group_ids bigint[];
    now bigint;
    acked tid[];
    seen record;
    until bigint;
    rejected integer[] := '{}';
BEGIN
    SELECT array_agg(f.stream ORDER BY q.n), array_agg(f.id ORDER BY q.n), max(f.acted)
        INTO home_ids, group_ids, now
        FROM unnest(streams, groups) WITH ORDINALITY AS q (stream, "group", n)
        LEFT JOIN LATERAL (
            SELECT g.stream, g.id, greatest(s.acted, g.acted) AS acted
                FROM linchpin.streams AS s JOIN linchpin.groups AS g ON g.stream = s.id
                WHERE s.namespace = space.id AND s.name = q.stream AND g.name = q."group" OFFSET 0
        ) AS f ON true;
    now := linchpin.time(space, coalesce(now, 0));
    IF {REJECT} = ANY (actions) THEN
        -- All that is pending first: streams of dead letters are waited for after it, as whoever claims does.
        PERFORM FROM (
                SELECT DISTINCT group_ids[asked.slot] AS "group", asked.position
                    FROM unnest(slots, positions) AS asked (slot, position) ORDER BY 1, 2
            ) AS a
            CROSS JOIN LATERAL (
                SELECT FROM linchpin.pending AS p WHERE p."group" = a."group" AND p.position = a.position FOR UPDATE
            ) AS p;
    END IF;
    FOR round IN 0 .. (SELECT max(r) FROM unnest(rounds) AS r) LOOP
        acked := '{}';
        -- All in the same order, so that nobody waits for who waits for him.
        FOR seen IN SELECT a.*, p.ctid, p.due FROM (
                SELECT asked.* FROM unnest(slots, positions, deliveries, actions, rounds) WITH ORDINALITY
                    AS asked (slot, position, delivery, action, round, n)
                    WHERE asked.round = round
                    ORDER BY group_ids[asked.slot], asked.position
            ) AS a
            CROSS JOIN LATERAL (
                SELECT p.ctid, p.due FROM linchpin.pending AS p
                    WHERE p."group" = group_ids[a.slot] AND p.position = a.position AND p.deliveries = a.delivery
                        AND p.member IS NOT NULL
                    FOR UPDATE
            ) AS p
        LOOP
            settled[seen.n] := {SETTLED};
            IF seen.action = {ACK} THEN
                acked := acked || seen.ctid;
            ELSIF seen.action = {REJECT} THEN
                rejected := rejected || seen.n::integer;
                acked := acked || seen.ctid;
            ELSE
                until := now + times[seen.n];
                IF until < seen.due THEN
                    settled[seen.n] := {SHORTENED};
                END IF;
                UPDATE linchpin.pending AS p
                    SET due = until, member = CASE WHEN seen.action = {RETRY} THEN NULL ELSE p.member END
                    WHERE p."group" = group_ids[seen.slot] AND p.position = seen.position;
            END IF;
        END LOOP;
        DELETE FROM linchpin.pending AS p WHERE p.ctid = ANY (acked);
    END LOOP;
    IF {RETRY} = ANY (actions) OR {PROLONG} = ANY (actions) THEN
        PERFORM linchpin.note_time(home_ids, group_ids, now, 100000);
    END IF;
    FOR seen IN SELECT slots[r.n] AS slot, array_agg(positions[r.n] ORDER BY r.o) AS places,
            array_agg(deliveries[r.n] ORDER BY r.o) AS counts, array_agg(reasons[r.n] ORDER BY r.o) AS reasons
        FROM unnest(rejected) WITH ORDINALITY AS r (n, o) GROUP BY slots[r.n]
        ORDER BY streams[slots[r.n]] || decode('00', 'hex') || groups[slots[r.n]]
    LOOP
        PERFORM linchpin.bury(space, home_ids[seen.slot], streams[seen.slot], groups[seen.slot], seen.places, seen.counts,
            seen.reasons);
    END LOOP;
    RETURN settled;
END $$;

-- What a stream holds: per group, or once without one. `last` is null if nothing was appended since it was cleared.
CREATE FUNCTION linchpin.inspect_stream(namespace text, stream bytea)
RETURNS TABLE (length bigint, last bigint, "group" bytea, pending bigint, lag bigint, dead bigint)
LANGUAGE sql STABLE AS $$
    SELECT s.last - s.first + 1, CASE WHEN s.last > s.cleared THEN s.last END, g.name,
            (SELECT count(*) FROM linchpin.pending AS p WHERE p."group" = g.id),
            s.last - greatest(g.looked, s.first - 1),
            coalesce((SELECT d.last - d.first + 1 FROM linchpin.streams AS d WHERE d.namespace = n.id
                AND position(decode('00', 'hex') IN s.name) = 0 AND d.name = s.name || decode('00', 'hex') || g.name), 0)
        FROM (
            SELECT n.id FROM linchpin.namespaces AS n WHERE n.name = inspect_stream.namespace
                ORDER BY n.generation DESC LIMIT 1
        ) AS n
        JOIN linchpin.streams AS s ON s.namespace = n.id AND s.name = inspect_stream.stream
        LEFT JOIN linchpin.groups AS g ON g.stream = s.id
        ORDER BY g.name
$$;

-- Drops up to `most` of the oldest records before a position, or all but so many of the newest; what a group has not
-- settled, or not looked at, stays. Without a number all that every group has settled, and nothing where there is no group.
-- -> how many, and whether that was all
CREATE FUNCTION linchpin.trim_records(
    namespace text, stream bytea, newest boolean, number bigint, most integer, OUT dropped bigint, OUT done boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    held linchpin.streams;
    kept bigint;
BEGIN
    dropped := 0;
    done := true;
    SELECT s.* INTO held FROM linchpin.streams AS s WHERE s.name = stream AND s.namespace = (
            SELECT n.id FROM linchpin.namespaces AS n WHERE n.name = namespace ORDER BY n.generation DESC LIMIT 1
        ) FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    kept := least(CASE WHEN newest THEN held.last - number + 1 ELSE number END, held.last + 1);
    -- A group comes to be while the stream is held.
    IF number IS NULL AND NOT EXISTS (SELECT FROM linchpin.groups AS g WHERE g.stream = held.id) THEN
        RETURN;
    END IF;
    -- In one statement, as a claim moves what a group has not looked at to what is pending.
    SELECT least(kept, min(least(g.looked + 1, (
            SELECT p.position FROM linchpin.pending AS p WHERE p."group" = g.id ORDER BY p.position LIMIT 1
        )))) INTO kept FROM linchpin.groups AS g WHERE g.stream = held.id;
    IF kept > held.first THEN
        dropped := least(kept - held.first, most);
        done := dropped = kept - held.first;
        DELETE FROM linchpin.records AS r
            WHERE r.stream = held.id AND r.position >= held.first AND r.position < held.first + dropped;
        UPDATE linchpin.streams AS s SET first = held.first + dropped
            WHERE s.namespace = held.namespace AND s.name = stream;
    END IF;
END $$;

-- Clears a stream that is held. For a day a new stream of the name goes on after the old one: a receipt of that must not fit
-- the new one.
CREATE FUNCTION linchpin.clear_stream(space linchpin.namespaces, old linchpin.streams, now bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO linchpin.rubbish (namespace, stream, "group") VALUES (space.id, old.id, 0);
    UPDATE linchpin.streams AS s SET id = DEFAULT, first = old.last + 1, cleared = old.last, ends = now + 86400 * 1000000::bigint
        WHERE s.namespace = space.id AND s.name = old.name;
END $$;

-- Removes a group, its dead letters with it. -> whether there was one
CREATE FUNCTION linchpin.remove_group(namespace text, stream bytea, "group" bytea) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    space linchpin.namespaces := linchpin.space(namespace);
    gone bigint;
    dead linchpin.streams;
BEGIN
    -- First the group, then what it buries in: as whoever claims for it does.
    DELETE FROM linchpin.groups AS g WHERE g.name = "group" AND g.stream = (
        SELECT s.id FROM linchpin.streams AS s WHERE s.namespace = space.id AND s.name = remove_group.stream
    ) RETURNING g.id INTO gone;
    IF gone IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO linchpin.rubbish (namespace, stream, "group") VALUES (space.id, 0, gone);
    IF position(decode('00', 'hex') IN stream) = 0 THEN
        SELECT * INTO dead FROM linchpin.streams AS s
            WHERE s.namespace = space.id AND s.name = stream || decode('00', 'hex') || "group" AND s.ends IS NULL
            FOR NO KEY UPDATE;
        IF FOUND THEN
            PERFORM linchpin.clear_stream(space, dead, linchpin.time(space, 0));
        END IF;
    END IF;
    RETURN true;
END $$;

-- Clears some streams whose name starts with this; if there are none, removes about `most` rows of what cleared ones had.
-- -> whether that was all
CREATE FUNCTION linchpin.clear_streams(namespace text, start bytea, most integer) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    space linchpin.namespaces := linchpin.space(namespace);
    now constant bigint := linchpin.time(space, 0);
    old linchpin.streams;
BEGIN
    -- Never both in one call: what is removed may be held by somebody who waits for a stream.
    PERFORM FROM linchpin.streams AS s
        WHERE s.namespace = space.id AND s.name >= start AND s.name < start || decode('ff', 'hex') AND s.ends IS NULL LIMIT 1;
    IF NOT FOUND THEN
        RETURN NOT linchpin.sweep_streams(space.id, most);
    END IF;
    FOR old IN SELECT * FROM linchpin.streams AS s
        WHERE s.namespace = space.id AND s.name >= start AND s.name < start || decode('ff', 'hex') AND s.ends IS NULL
        ORDER BY s.name LIMIT 16 FOR NO KEY UPDATE
    LOOP
        PERFORM linchpin.clear_stream(space, old, now);
    END LOOP;
    PERFORM linchpin.forget_streams(space);
    RETURN false;
END $$;

-- Removes about `most` rows that nobody finds any more. -> whether some may be left
CREATE FUNCTION linchpin.sweep_streams(space integer, most integer) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    old linchpin.rubbish;
    remaining integer := most;
    removed integer;
BEGIN
    WHILE remaining > 0 LOOP
        SELECT * INTO old FROM linchpin.rubbish AS r WHERE r.namespace = space LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        -- First: whoever claims holds its group, and does not find it after this.
        WITH gone AS (DELETE FROM linchpin.groups AS g WHERE g.stream = old.stream RETURNING g.id)
            INSERT INTO linchpin.rubbish (namespace, stream, "group") SELECT space, 0, gone.id FROM gone;
        -- By what does not change: some may just be settled.
        DELETE FROM linchpin.pending AS p WHERE p."group" = old."group" AND p.position = ANY (ARRAY(
            SELECT o.position FROM linchpin.pending AS o WHERE o."group" = old."group" LIMIT remaining));
        GET DIAGNOSTICS removed = ROW_COUNT;
        remaining := remaining - removed;
        DELETE FROM linchpin.record_ids AS r WHERE r.ctid = ANY (ARRAY(
            SELECT o.ctid FROM linchpin.record_ids AS o WHERE o.stream = old.stream LIMIT remaining));
        GET DIAGNOSTICS removed = ROW_COUNT;
        remaining := remaining - removed;
        DELETE FROM linchpin.records AS r WHERE r.ctid = ANY (ARRAY(
            SELECT o.ctid FROM linchpin.records AS o WHERE o.stream = old.stream LIMIT remaining));
        GET DIAGNOSTICS removed = ROW_COUNT;
        remaining := remaining - removed;
        -- Not by how many were removed: some may have been settled meanwhile.
        IF NOT EXISTS (SELECT FROM linchpin.pending AS p WHERE p."group" = old."group")
            AND NOT EXISTS (SELECT FROM linchpin.record_ids AS r WHERE r.stream = old.stream)
            AND NOT EXISTS (SELECT FROM linchpin.records AS r WHERE r.stream = old.stream)
        THEN
            DELETE FROM linchpin.rubbish AS r
                WHERE r.namespace = space AND r.stream = old.stream AND r."group" = old."group";
        END IF;
        remaining := remaining - 1;
    END LOOP;
    RETURN true;
END $$;

-- For an application's own transactions: appends a record that is there when the application commits, held back for a
-- while if a delay is given. Others who append to the stream wait until then. Headers are names and values in turn.
-- -> where it stands; with an id that is known, where the record stands that had it first
CREATE FUNCTION linchpin.append_later(
    namespace text, stream text, payload bytea, delay interval, id text DEFAULT NULL, VARIADIC headers text[] DEFAULT '{}'
) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    name constant bytea := linchpin.admit(namespace, 'a stream''s name', stream);
    known constant bytea := convert_to(id, 'UTF8');
    micros constant bigint := ceil(extract(epoch FROM delay) * 1000000)::bigint;
    size constant bigint := length(payload) + coalesce((
        SELECT sum(length(convert_to(h, 'UTF8'))) FROM unnest(headers) AS h), 0);
    written text;
    did record;
BEGIN
    IF delay NOT BETWEEN '0' AND '{MAX_TTL_DAYS} days' THEN
        RAISE EXCEPTION 'a delay is not negative and at most 100 years, not %', delay USING ERRCODE = '22023';
    END IF;
    IF length(known) NOT BETWEEN 1 AND {MAX_RECORD_ID} THEN
        RAISE EXCEPTION 'a record''s id has 1 to {MAX_RECORD_ID} bytes, not %', length(known) USING ERRCODE = '22023';
    END IF;
    IF size IS NULL OR size > {MAX_BYTES} THEN
        RAISE EXCEPTION 'a record has a payload, and with its headers at most {MAX_BYTES} bytes' USING ERRCODE = '22023';
    END IF;
    IF cardinality(headers) % 2 = 1 OR array_position(headers, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'headers are names and values in turn, none of them null' USING ERRCODE = '22023';
    END IF;
    SELECT '[' || string_agg('[' || to_json(headers[i]) || ',' || to_json(headers[i + 1]) || ']', ',' ORDER BY i) || ']'
        INTO written FROM generate_series(1, cardinality(headers), 2) AS i;
    SELECT * INTO did FROM linchpin.append_records(
        namespace => namespace, stream => name, memory => {DEDUPE_WINDOW_US}, ids => ARRAY[known], delays => ARRAY[micros],
        headers => ARRAY[written], payloads => ARRAY[payload]);
    IF NOT did.duplicates[1] THEN
        PERFORM linchpin.tell(namespace, '{s}', ARRAY[linchpin.base64(name)]);
    END IF;
    RETURN did.positions[1];
END $$;

-- As `append_later`, without a delay.
CREATE FUNCTION linchpin.append(
    namespace text, stream text, payload bytea, id text DEFAULT NULL, VARIADIC headers text[] DEFAULT '{}'
) RETURNS bigint LANGUAGE sql AS
$$ SELECT linchpin.append_later(
    namespace => namespace, stream => stream, payload => payload, delay => NULL, id => id, VARIADIC headers => headers) $$;
